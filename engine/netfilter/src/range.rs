//! Translations onto ranges: the choice that the kernel makes.
//!
//! **Source of the semantics.** `find_best_ips_proto` and `nf_nat_l4proto_unique_tuple` in Linux `nf_nat_core.c`.
//!
//! Deviation: the kernel takes an address by a hash of the packet's addresses, with a seed of its own; here it is
//! drawn. Where the port that is drawn for a source is taken, no other is tried.

use std::net::IpAddr;

use ruleset::{AddressSpan, NatKind, NatRange, NatTarget};

use crate::eval::Flight;
use crate::{Chooser, Routing, TableVerdict, Tracer};

impl<R: Routing, C: Chooser, T: Tracer> Flight<'_, R, C, T> {
    /// What the range comes to for the packet at hand.
    pub(crate) fn translation(&mut self, range: &NatRange) -> TableVerdict {
        let flow = self.datagram.content.flow();
        let random_fully = range.random || range.random_fully;
        match range.kind {
            NatKind::Dnat(addresses) => {
                let present = self.datagram.headers.destination;
                let address = addresses.map_or(present, |span| self.one_of(span));
                let port = self.port_in(range, flow.and_then(|flow| flow.destination_port()));
                TableVerdict::Dnat(NatTarget { address, port })
            }
            NatKind::Redirect => TableVerdict::Redirect {
                port: self.port_in(range, flow.and_then(|flow| flow.destination_port())),
            },
            NatKind::Snat(span) => {
                let address = self.one_of(span);
                let port = self.source_port_in(range);
                TableVerdict::Snat {
                    to: NatTarget { address, port },
                    random_fully,
                }
            }
            NatKind::Masquerade => match (self.source_port_in(range), self.way_address()) {
                (port @ Some(_), Some(address)) => TableVerdict::Snat {
                    to: NatTarget { address, port },
                    random_fully,
                },
                _ => TableVerdict::Masquerade { random_fully },
            },
        }
    }

    fn one_of(&mut self, span: AddressSpan) -> IpAddr {
        match span.count() {
            1 => span.nth(0),
            count => span.nth(self.chooser.numgen(count)),
        }
    }

    /// The new destination port; `None` keeps the present one, as the kernel does when it is in the range.
    fn port_in(&mut self, range: &NatRange, present: Option<u16>) -> Option<u16> {
        let (first, last) = range.ports?.ends();
        if !range.random && present.is_some_and(|port| (first..=last).contains(&port)) {
            return None;
        }
        match u32::from(last - first) {
            0 => Some(first),
            more => {
                let drawn = self.chooser.numgen(more + 1);
                Some(first.saturating_add(u16::try_from(drawn).unwrap_or(u16::MAX)))
            }
        }
    }

    fn source_port_in(&mut self, range: &NatRange) -> Option<u16> {
        let (first, last) = range.ports?.ends();
        let present = self
            .datagram
            .content
            .flow()
            .and_then(|flow| flow.source_port());
        let stays = !range.random
            && !range.random_fully
            && present.is_some_and(|port| (first..=last).contains(&port));
        (!stays).then(|| self.chooser.port(first..=last))
    }
}
