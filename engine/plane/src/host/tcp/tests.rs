//! That a connection asks smoltcp for all that smoltcp's own loop would do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ruleset::Protocol;
use smoltcp::iface::SocketSet;

use super::super::spares::Spares;
use super::*;
use crate::HostId;
use crate::segment::Segment;

/// A way to run a connection.
type Way = fn(
    &mut Connection,
    SimTime,
    Cause,
    &mut Interface,
    &mut Wire,
    &mut Vec<PlaneEvent>,
) -> Progress;

/// As [`Connection::run`] does it, with `Interface::poll` in a loop.
fn run_by_poll(
    connection: &mut Connection,
    now: SimTime,
    cause: Cause,
    interface: &mut Interface,
    wire: &mut Wire,
    events: &mut Vec<PlaneEvent>,
) -> Progress {
    let is_late = connection.deadline().is_some_and(|end| end <= now);
    if (cause == Cause::Timer && is_late) || connection.ends_unheard() {
        // Nothing is asked of smoltcp.
        return connection.run(now, cause, interface, wire, events);
    }
    let reset = matches!(cause, Cause::Arrival { reset: true, .. });
    if let Cause::Arrival { packet, .. } = cause {
        wire.deliver(packet);
        connection.waiting_since = now;
    }
    connection.apply_abort();
    if !wire.has_come() {
        connection.refill(now);
    }
    loop {
        interface.poll(instant(now), wire, connection.solo.set_mut());
        connection.report_opening(events);
        let received = connection.receive(events);
        let sent = connection.refill(now);
        if !(received || sent) {
            break;
        }
    }
    let next = interface.poll_at(instant(now), connection.solo.set());
    connection.report_peer_close(events);
    connection.conclude(now, reset, next, events)
}

/// Something that an application does, and how long nothing else is done after it.
#[derive(Clone, Copy, Debug)]
struct Turn {
    end: usize,
    act: Act,
    pause: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Send(usize),
    Close,
    Abort,
    Wait,
}

struct End {
    flow: Flow,
    interface: Interface,
    connection: Option<Connection>,
    timer: Option<SimTime>,
}

/// What a run came to: when, on which side, and what was sent and told.
type Entry = (SimTime, usize, Progress, Vec<Vec<u8>>, Vec<PlaneEvent>);

/// A client and a server, and a link between them.
struct Pair {
    way: Way,
    now: SimTime,
    wire: Wire,
    spares: Spares,
    ends: [End; 2],
    /// By time and number: who gets it, and the packet.
    under_way: BTreeMap<(SimTime, usize), (usize, Vec<u8>)>,
    sent: usize,
    /// How long packets take, in turn and again from the beginning; `None`: they are lost.
    fates: Vec<Option<u64>>,
    log: Vec<Entry>,
}

impl Pair {
    fn new(way: Way, fates: Vec<Option<u64>>, mut spares: Spares) -> Self {
        let [client, server] = ["10.0.0.1:40000", "10.0.0.2:80"].map(|at| at.parse().unwrap());
        let mut wire = Wire::new(1500);
        let mut end = |random_seed, local, remote| End {
            flow: Flow {
                protocol: Protocol::TCP,
                local,
                remote,
            },
            interface: wire.interface(random_seed),
            connection: None,
            timer: None,
        };
        let mut ends = [end(1, client, server), end(2, server, client)];
        let End {
            flow, interface, ..
        } = &mut ends[0];
        let socket = spares.take();
        let begun = Connection::connect(id(0), *flow, SimTime::ZERO, interface, socket);
        ends[0].connection = Some(begun.unwrap());
        Self {
            way,
            now: SimTime::ZERO,
            wire,
            spares,
            ends,
            under_way: BTreeMap::new(),
            sent: 0,
            fates,
            log: Vec::new(),
        }
    }

    /// From a connection's begin to its end.
    fn play_all(&mut self, turns: &[Turn]) {
        self.run(0, Cause::Timer);
        for turn in turns {
            self.play(*turn);
        }
        self.run_until(self.now + Duration::from_secs(2_000));
    }

    fn play(&mut self, turn: Turn) {
        if let Some(connection) = &mut self.ends[turn.end].connection {
            match turn.act {
                Act::Send(len) if connection.may_send() => connection.send(&vec![7; len]),
                Act::Send(_) | Act::Wait => {}
                Act::Close => connection.close(),
                Act::Abort => connection.abort(),
            }
            self.run(turn.end, Cause::Timer);
        }
        self.run_until(self.now + turn.pause);
    }

    /// Has packets arrive and timers fire, up to an instant.
    fn run_until(&mut self, until: SimTime) {
        loop {
            let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let timer = |end: usize| self.ends[end].timer.map(|at| (at, end));
            let timer = [0, 1].into_iter().filter_map(timer).min();
            let next = arrival.into_iter().chain(timer.map(|(at, _)| at)).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = at;
            if arrival == Some(at) {
                let (_, (end, packet)) = self.under_way.pop_first().unwrap();
                self.arrive(end, packet);
            } else if let Some((_, end)) = timer {
                self.run(end, Cause::Timer);
            }
        }
        self.now = until;
    }

    fn arrive(&mut self, end: usize, packet: Vec<u8>) {
        let flags = Segment::parse(&packet).unwrap().flags;
        let begins = end == 1 && flags.syn && !flags.ack;
        if self.ends[end].connection.is_none() && begins {
            let (flow, socket) = (self.ends[end].flow, self.spares.take());
            self.ends[end].connection = Connection::accept(id(end), flow, self.now, socket);
        }
        let reset = flags.rst;
        match self.ends[end].connection {
            Some(_) => self.run(end, Cause::Arrival { packet, reset }),
            None => self.reject(end, packet),
        }
    }

    /// Nobody has this packet.
    fn reject(&mut self, end: usize, packet: Vec<u8>) {
        self.wire.deliver(packet);
        let mut none = SocketSet::new(Vec::new());
        let interface = &mut self.ends[end].interface;
        interface.poll(instant(self.now), &mut self.wire, &mut none);
        self.transmit(end);
    }

    fn run(&mut self, end: usize, cause: Cause) {
        let End {
            interface,
            connection,
            timer,
            ..
        } = &mut self.ends[end];
        let mut events = Vec::new();
        let running = connection.as_mut().expect("it stands");
        let progress = (self.way)(
            running,
            self.now,
            cause,
            interface,
            &mut self.wire,
            &mut events,
        );
        *timer = match progress {
            Progress::Waits(until) => until,
            Progress::Over | Progress::OverBefore(_) => None,
        };
        if !matches!(progress, Progress::Waits(_)) {
            let over = connection.take().expect("it stood");
            self.spares.put(over.into_socket());
        }
        let packets = self.transmit(end);
        self.log
            .push((self.now, end, progress.clone(), packets, events));
        if let Progress::OverBefore(packet) = progress {
            self.reject(end, packet);
        }
    }

    /// Sends what is on the wire on its way, and tells what it is.
    fn transmit(&mut self, end: usize) -> Vec<Vec<u8>> {
        let packets = std::mem::take(&mut self.wire.outgoing);
        for packet in &packets {
            let fate = self.fates[self.sent % self.fates.len()];
            if let Some(millis) = fate {
                let at = self.now + Duration::from_millis(millis);
                self.under_way
                    .insert((at, self.sent), (1 - end, packet.clone()));
            }
            self.sent += 1;
        }
        packets
    }
}

fn id(end: usize) -> SocketId {
    SocketId {
        host: HostId(u32::from(end == 1)),
        serial: 0,
    }
}

fn turn() -> impl Strategy<Value = Turn> {
    let act = prop_oneof![
        8 => (1_usize..12_000).prop_map(Act::Send),
        2 => Just(Act::Close),
        1 => Just(Act::Abort),
        2 => Just(Act::Wait),
    ];
    let pause = prop_oneof![0_u64..5, 0_u64..4_000].prop_map(Duration::from_millis);
    (0_usize..2, act, pause).prop_map(|(end, act, pause)| Turn { end, act, pause })
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec(turn(), 1..12)
}

fn fates() -> impl Strategy<Value = Vec<Option<u64>>> {
    prop::collection::vec(prop::option::weighted(0.85, 1_u64..40), 1..40)
}

proptest! {
    /// The same packets and events, and the same timers, whatever is lost or comes out of order.
    #[test]
    fn smoltcp_is_asked_for_all_that_its_own_loop_would_do(turns in turns(), fates in fates()) {
        let [ours, polled] = [Connection::run as Way, run_by_poll as Way].map(|way| {
            let mut pair = Pair::new(way, fates.clone(), Spares::default());
            pair.play_all(&turns);
            pair.log
        });
        prop_assert_eq!(ours, polled);
    }

    /// Whatever became of the connections that had the sockets before.
    #[test]
    fn a_socket_that_was_used_is_as_good_as_new(
        before in prop::collection::vec((turns(), fates()), 1..4),
        turns in turns(),
        fates in fates(),
    ) {
        let mut used = Spares::default();
        for (turns, fates) in before {
            let mut pair = Pair::new(Connection::run, fates, used);
            pair.play_all(&turns);
            used = pair.spares;
        }
        let [with_new, with_used] = [Spares::default(), used].map(|spares| {
            let mut pair = Pair::new(Connection::run, fates.clone(), spares);
            pair.play_all(&turns);
            pair.log
        });
        prop_assert_eq!(with_new, with_used);
    }
}
