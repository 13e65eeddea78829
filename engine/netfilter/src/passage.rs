//! The short way through a node, for packets that no rule looks at.
//!
//! **What.** [`pass`] takes a packet of a known connection through a node, if every chain on its way is known to do
//! nothing to it: its translation is that of the connection, and all that is left is the way out. **Why.** Nearly
//! every packet is one of these. **Source of the semantics.** That of [`eval`](crate::eval()), which gives the same;
//! Linux has such a way too (`nf_flow_table_ip.c`), and forgets more on it.

use base::SimTime;

use crate::connection::{Course, is_unanswered};
use crate::entry::{Direction, Entry};
use crate::eval::{is_martian, is_own};
use crate::hook::Unwatched;
use crate::packet::Datagram;
use crate::state::{ConnectionChange, Found};
use crate::tables::FamilyTables;
use crate::tuple::Side;
use crate::{Effects, Evaluation, InterfaceName, Routing, Tuple, Verdict};

/// Takes a packet that has arrived from outside, and whose connection was found, through the node. `None` leaves it as
/// it is: it has to take the long way, on which it may also end. What is asked first costs least and fails most.
pub(crate) fn pass(
    (id, direction, entry): Found<'_>,
    unwatched: &Unwatched,
    tables: &FamilyTables,
    routing: &impl Routing,
    datagram: &mut Datagram,
    now: SimTime,
) -> Option<Evaluation> {
    let before = entry.progress();
    let way = Way::of(entry, direction, unwatched, tables, routing)?;
    if way.interface.is_some() && datagram.headers.ttl <= 1 {
        return None;
    }
    let Course::On(progress) = Course::of(datagram, direction, entry, now) else {
        return None;
    };
    translate(
        datagram,
        entry.tuple(direction),
        entry.tuple(direction.other()),
    );
    let verdict = match way.interface {
        None => Verdict::Deliver(datagram.take_packet()),
        Some(interface) => {
            datagram.set_ttl(datagram.headers.ttl - 1);
            let packet = datagram.take_packet();
            Verdict::Forward { packet, interface }
        }
    };
    let is_changed = progress != *before;
    Some(Evaluation {
        verdict,
        effects: Effects {
            connection: is_changed.then_some(ConnectionChange::Updated(id, progress)),
            ..Effects::default()
        },
        rules_tested: way.rules_tested,
    })
}

/// An unwatched way through a node.
pub(crate) struct Way {
    /// How many rules a kernel compares all the same.
    rules_tested: u64,
    /// Where it leads out; `None` to the node itself.
    pub(crate) interface: Option<InterfaceName>,
}

impl Way {
    /// That of the packets of a connection in one direction, unless they have to take the long way, whatever else they are.
    #[inline]
    pub(crate) fn of(
        entry: &Entry,
        direction: Direction,
        unwatched: &Unwatched,
        tables: &FamilyTables,
        routing: &impl Routing,
    ) -> Option<Self> {
        let before = entry.progress();
        if before.is_virtual {
            return None;
        }
        let ways = unwatched.ways(is_unanswered(before, direction));
        let through = ways.through.filter(|_| !routing.has_narrow_ways());
        if ways.to_node.is_none() && through.is_none() {
            return None;
        }
        let source = entry.tuple(direction).source();
        let destination = entry.tuple(direction.other()).source();
        let is_here = is_own(tables, routing, destination);
        let rules_tested = if is_here { ways.to_node? } else { through? };
        let is_answer = direction == Direction::Reply;
        if is_martian(tables, routing, source, destination, is_answer) {
            return None;
        }
        let interface = match is_here {
            true => None,
            false => Some(routing.route(destination)?.interface),
        };
        Some(Self {
            rules_tested,
            interface,
        })
    }
}

fn translate(datagram: &mut Datagram, flow: &Tuple, answer: &Tuple) {
    for side in [Side::Destination, Side::Source] {
        let (address, port) = answer.answered_side(side);
        if flow.side(side) != (address, port) {
            datagram.rewrite(side, address, port);
        }
    }
}
