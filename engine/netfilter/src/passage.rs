//! The short way through a node, for packets that no rule looks at.
//!
//! **What.** [`pass`] takes a packet of a known connection through a node, if every chain on its way is known to do
//! nothing to it: its translation is that of the connection, and all that is left is the way out. **Why.** Nearly
//! every packet is one of these. **Source of the semantics.** That of [`eval`](crate::eval()), which gives the same;
//! Linux has such a way too (`nf_flow_table_ip.c`), and forgets more on it.

use base::SimTime;

use crate::connection::{Course, packet_state};
use crate::entry::Direction;
use crate::eval::is_own;
use crate::packet::{Content, Datagram};
use crate::reply::is_unicast;
use crate::state::ConnectionChange;
use crate::tables::FamilyTables;
use crate::tuple::Side;
use crate::{Effects, Evaluation, NodeState, Routing, Tuple, Verdict};

/// Takes a packet that has arrived from outside through the node. `None` leaves it as it is: it has to take the long
/// way, on which it may also end.
pub(crate) fn pass(
    tables: &FamilyTables,
    state: &NodeState,
    routing: &impl Routing,
    datagram: &mut Datagram,
    now: SimTime,
) -> Option<Evaluation> {
    let Content::Flow(flow) = datagram.content else {
        return None;
    };
    let (id, direction, entry) = state.lookup(&flow, now)?;
    let before = entry.progress();
    if before.is_virtual {
        return None;
    }
    let Course::On(progress) = Course::of(datagram, direction, entry, now) else {
        return None;
    };
    let unwatched = tables.unwatched(packet_state(before, direction));
    let answer = entry.tuple(direction.other());
    if !is_possible(tables, routing, &flow, answer, direction) {
        return None;
    }
    let destination = answer.source();
    let (interface, rules_tested) = if is_own(tables, routing, destination) {
        (None, unwatched.to_node?)
    } else {
        let rules_tested = unwatched.through?;
        let hop = routing.route(destination)?;
        if datagram.headers.ttl <= 1 || routing.has_narrow_ways() {
            return None;
        }
        (Some(hop.interface), rules_tested)
    };
    translate(datagram, &flow, answer);
    let verdict = match interface {
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
        rules_tested,
    })
}

/// Whether the packet is no martian.
fn is_possible(
    tables: &FamilyTables,
    routing: &impl Routing,
    flow: &Tuple,
    answer: &Tuple,
    direction: Direction,
) -> bool {
    let (source, destination) = (flow.source(), answer.source());
    is_unicast(source)
        && !source.is_unspecified()
        && !is_own(tables, routing, source)
        && is_unicast(destination)
        && !destination.is_unspecified()
        && (direction == Direction::Reply || !destination.is_loopback())
}

/// Gives the packet the ends that an answer to it has.
fn translate(datagram: &mut Datagram, flow: &Tuple, answer: &Tuple) {
    for side in [Side::Destination, Side::Source] {
        let (address, port) = answer.side(side.other());
        if (address, port) != flow.side(side) {
            datagram.rewrite(side, address, port);
        }
    }
}
