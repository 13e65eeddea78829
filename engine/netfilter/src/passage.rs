//! The short way through a node, for packets that no rule looks at.
//!
//! **What.** [`pass`] takes a packet of a known connection through a node, if every chain on its way is known to do
//! nothing to it: its translation is that of the connection, and all that is left is the way out. **Why.** Nearly
//! every packet is one of these. **Source of the semantics.** That of [`eval`](crate::eval()), which gives the same;
//! Linux has such a way too (`nf_flow_table_ip.c`), and forgets more on it.

use base::SimTime;

use crate::connection::{Course, is_unanswered};
use crate::entry::Direction;
use crate::eval::{is_martian, is_own};
use crate::hook::Unwatched;
use crate::packet::Datagram;
use crate::state::{ConnectionChange, Found};
use crate::tables::FamilyTables;
use crate::tuple::Side;
use crate::{Effects, Evaluation, Routing, Tuple, Verdict};

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
    if before.is_virtual {
        return None;
    }
    let ways = unwatched.ways(is_unanswered(before, direction));
    let through = ways.through.filter(|_| !routing.has_narrow_ways());
    if ways.to_node.is_none() && through.is_none() {
        return None;
    }
    let (flow, answer) = (entry.tuple(direction), entry.tuple(direction.other()));
    let (source, destination) = (flow.source(), answer.source());
    let is_here = is_own(tables, routing, destination);
    let rules_tested = if is_here { ways.to_node? } else { through? };
    let is_answer = direction == Direction::Reply;
    if is_martian(tables, routing, source, destination, is_answer)
        || (!is_here && datagram.headers.ttl <= 1)
    {
        return None;
    }
    let Course::On(progress) = Course::of(datagram, direction, entry, now) else {
        return None;
    };
    let verdict = if is_here {
        translate(datagram, flow, answer);
        Verdict::Deliver(datagram.take_packet())
    } else {
        let interface = routing.route(destination)?.interface;
        translate(datagram, flow, answer);
        datagram.set_ttl(datagram.headers.ttl - 1);
        let packet = datagram.take_packet();
        Verdict::Forward { packet, interface }
    };
    let is_changed = progress != *before;
    Some(Evaluation {
        verdict,
        effects: Effects {
            connection: is_changed.then_some(ConnectionChange::Updated(id, progress)),
            ..Effects::default()
        },
        rules_tested,
    })
}

fn translate(datagram: &mut Datagram, flow: &Tuple, answer: &Tuple) {
    for side in [Side::Destination, Side::Source] {
        let (address, port) = answer.answered_side(side);
        if flow.side(side) != (address, port) {
            datagram.rewrite(side, address, port);
        }
    }
}
