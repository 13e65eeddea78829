//! The short way through a node, for packets that no rule looks at.
//!
//! **What.** [`pass`] takes a packet of a known connection through a node, if every chain on its way is known to do
//! nothing to it: its translation is that of the connection, and all that is left is the way out. **Why.** Nearly
//! every packet is one of these. **Source of the semantics.** That of [`eval`](crate::eval()), which gives the same;
//! Linux has such a way too (`nf_flow_table_ip.c`), and forgets more on it.

use base::SimTime;

use crate::connection::{Course, Look, is_unanswered};
use crate::entry::Direction;
use crate::eval::{is_martian, is_own};
use crate::hook::Unwatched;
use crate::packet::{Content, Datagram};
use crate::state::{ConnectionChange, Found};
use crate::tables::FamilyTables;
use crate::tuple::Side;
use crate::{Effects, Evaluation, NodeState, Routing, Verdict};

/// Takes a packet that has arrived from outside through the node.
///
/// # Errors
/// When it has to take the long way, on which it may also end. It is left as it is; what was found on looking for its
/// connection comes back, for the long way needs that too.
pub(crate) fn pass<'a>(
    tables: &FamilyTables,
    state: &'a NodeState,
    routing: &impl Routing,
    datagram: &mut Datagram,
    now: SimTime,
) -> Result<Evaluation, Look<'a>> {
    let (Some(unwatched), Content::Flow(flow)) = (tables.unwatched(), datagram.content) else {
        return Err(Look::Ahead);
    };
    let found = state.lookup(&flow, now);
    found
        .and_then(|found| pass_with(found, tables, *unwatched, routing, datagram, now))
        .ok_or(Look::Done(found))
}

/// Takes a packet through of a connection that was found. What is asked first costs least and fails most.
fn pass_with(
    (id, direction, entry): Found<'_>,
    tables: &FamilyTables,
    unwatched: Unwatched,
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
    let answer = entry.tuple(direction.other());
    let (source, destination) = (datagram.headers.source, answer.source());
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
    let way_out = match is_here {
        true => None,
        false => Some(routing.route(destination)?.interface),
    };
    for side in [Side::Destination, Side::Source] {
        if let Some((address, port)) = datagram.new_end(side, answer) {
            datagram.rewrite(side, address, port);
        }
    }
    let verdict = match way_out {
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
