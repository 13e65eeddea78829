//! Looks into sets: `-m set`.
//!
//! **Source of the semantics.** iptables-extensions(8), `set`; `ip_set_test` in Linux `net/netfilter/ipset/ip_set_core.c`.

use ruleset::ipvs::{SetKind, SetParts};
use ruleset::xt::{AddressSide, SetMatch};

use crate::eval::Flight;
use crate::{Chooser, Routing, Tracer};

impl<R: Routing, C: Chooser, T: Tracer> Flight<'_, R, C, T> {
    /// Whether the packet has what a set holds. A set that is asked about fewer parts than it has holds nothing.
    pub(crate) fn set_matches(&self, wanted: &SetMatch) -> bool {
        let set = self.tables.set(&wanted.set);
        let holds = set.is_some_and(|set| {
            let sides = &wanted.sides;
            let address = |side: AddressSide| match side {
                AddressSide::Source => self.datagram.headers.source,
                AddressSide::Destination => self.datagram.headers.destination,
            };
            // The only part of a set of ports is a port.
            let port_side = match set.kind {
                SetKind::Port => sides.first(),
                _ => sides.get(1),
            };
            let port = port_side.and_then(|side| self.set_port(*side));
            let third = sides.get(2).map(|side| address(*side));
            let first = sides.first().map(|side| address(*side));
            let parts = first.map(|first| SetParts { first, port, third });
            sides.len() >= set.kind.dimensions() && parts.is_some_and(|parts| set.holds(&parts))
        });
        holds != wanted.negated
    }

    fn set_port(&self, side: AddressSide) -> Option<(ruleset::Protocol, u16)> {
        let flow = self.datagram.content.flow()?;
        let port = match side {
            AddressSide::Source => flow.source_port(),
            AddressSide::Destination => flow.destination_port(),
        };
        Some((flow.protocol(), port?))
    }
}
