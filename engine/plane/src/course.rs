//! The course of an exchange that nothing disturbs.
//!
//! **What.** [`Course::rehearse`] has two hosts on a network of their own go through an exchange, and notes what they send
//! when. **Why.** Where packets only take their time, every exchange of the same lengths goes the same way: TCP knows no
//! other chance than its first sequence numbers. **Source of the semantics.** The plane itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::{Seed, SimTime};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use netfilter::{Advance, Direction, NodeTables, TcpFlags};
use ruleset::Protocol;

use crate::plane::TableSource;
use crate::segment::Datagram;
use crate::{HostId, NodeId, OutsideSpec, Plane, PlaneConfig, PlaneEvent, SocketId};

/// Where the packets of a connection come by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    /// From the client to the server, and back.
    pub(crate) whole: (Duration, Duration),
    /// For each node on the way: from the client to it, and from the server to it.
    pub(crate) stops: Vec<(Duration, Duration)>,
}

/// What two applications do, as far as it matters to packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Play {
    /// The request's length in bytes.
    pub(crate) request: usize,
    /// From its arrival to the answer.
    pub(crate) think: Duration,
    /// The answer's length.
    pub(crate) answer: usize,
    pub(crate) is_ipv6: bool,
}

/// A packet: when it is sent or comes to a node, counted from the connection's first, and its direction there.
type Passing = (Duration, Direction, TcpFlags);

/// The course of an exchange.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Course {
    /// How far the connection gets on each node of the route.
    pub(crate) advances: Vec<Advance>,
    /// When the client's connection stands, all counted from its first packet.
    pub(crate) connected: Duration,
    /// When it has the answer.
    pub(crate) answered: Duration,
    /// When the last packet has arrived, and both sockets are gone.
    pub(crate) over: Duration,
}

/// The courses that are known; `None` for what has none.
#[derive(Default)]
pub(crate) struct Courses(HashMap<(Play, Route), Option<Arc<Course>>, FixedState>);

impl Courses {
    /// No more are kept than that: a cluster has a few distances and a few lengths of names.
    const MAX: usize = 4096;

    /// The course of an exchange on a route of links that carry so much.
    pub(crate) fn get(&mut self, play: Play, route: Route, mtu: usize) -> Option<Arc<Course>> {
        let key = (play, route);
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        if self.0.len() == Self::MAX {
            self.0.clear();
        }
        let course = Course::rehearse(play, &key.1, mtu).map(Arc::new);
        self.0.insert(key, course.clone());
        course
    }
}

impl Course {
    /// Rehearses an exchange; `None` where it does not come to its end, or where it depends on more than the route which
    /// packet comes to a node first.
    fn rehearse(play: Play, route: &Route, mtu: usize) -> Option<Self> {
        let (there, back) = route.whole;
        if there != back || there > WAY_MAX {
            return None;
        }
        let mut rehearsal = Rehearsal::new(play, there, mtu);
        rehearsal.run()?;
        let sent = rehearsal.sent()?;
        let stops = route.stops.iter();
        let advances = stops.map(|stop| Advance::by(passings(&sent, *stop)?));
        Some(Self {
            advances: advances.collect::<Option<_>>()?,
            connected: rehearsal.connected?,
            answered: rehearsal.answered?,
            over: rehearsal.plane.now().since(SimTime::ZERO),
        })
    }
}

/// What comes to a node so far from the client and the server; `None` when packets from both come at one instant.
fn passings(sent: &[Passing], (there, back): (Duration, Duration)) -> Option<Vec<Passing>> {
    let arrive = |(at, direction, flags): &Passing| {
        let way = match direction {
            Direction::Original => there,
            Direction::Reply => back,
        };
        (*at + way, *direction, *flags)
    };
    let mut passings: Vec<Passing> = sent.iter().map(arrive).collect();
    passings.sort_by_key(|(at, ..)| *at);
    let meet = |pair: &[Passing]| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1;
    (!passings.windows(2).any(meet)).then_some(passings)
}

/// A network of a client and a server, one link apart.
struct Rehearsal {
    plane: Plane,
    play: Play,
    way: Duration,
    client: (HostId, SocketAddr),
    server: (HostId, SocketAddr),
    /// The client's.
    socket: Option<SocketId>,
    /// How much of the answer has come.
    received: usize,
    /// The server's socket that owes an answer, and when it gives it.
    owed: Option<(SimTime, SocketId)>,
    is_asked: bool,
    connected: Option<Duration>,
    answered: Option<Duration>,
}

impl Rehearsal {
    fn new(play: Play, way: Duration, mtu: usize) -> Self {
        let mut plane = Plane::new(PlaneConfig {
            same_node: Duration::ZERO,
            same_zone: Duration::ZERO,
            cross_zone: way,
            mtu,
            hairpin: false,
            seed: Seed::new(0),
        });
        plane.enable_capture();
        let mut add = |name: &str, number: u8, port| {
            let address = match play.is_ipv6 {
                false => IpAddr::from([192, 0, 2, number]),
                true => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()]),
            };
            let host = plane.add_outside(OutsideSpec {
                name: name.to_owned(),
                addresses: vec![address],
                routes: Vec::new(),
            });
            (host, SocketAddr::new(address, port))
        };
        let (client, server) = (add(CLIENT, 1, 0), add(SERVER, 2, PORT));
        Self {
            plane,
            play,
            way,
            client,
            server,
            socket: None,
            received: 0,
            owed: None,
            is_asked: false,
            connected: None,
            answered: None,
        }
    }

    /// Goes through it; `None` when something goes wrong.
    fn run(&mut self) -> Option<()> {
        let (server, at) = self.server;
        self.plane.listen(server, Protocol::TCP, PORT).ok()?;
        self.socket = Some(self.plane.connect(self.client.0, at));
        // Every packet is sent a few times at most.
        for _ in 0..STEPS_MAX {
            let answer_at = self.owed.map(|(at, _)| at);
            match (self.plane.next_event_at(), answer_at) {
                (Some(next), Some(answer)) if answer < next => self.answer()?,
                (None, Some(_)) => self.answer()?,
                (None, None) => {
                    let hosts = [self.client.0, self.server.0];
                    let is_over = hosts.iter().all(|host| self.plane.socket_count(*host) == 0);
                    return is_over.then_some(());
                }
                (Some(_), _) => {
                    for event in self.plane.step(&mut NoRules) {
                        self.hear(event)?;
                    }
                }
            }
        }
        None
    }

    /// What the applications do: the client asks when it is connected and closes when it has the answer, the server takes
    /// the first bytes for the request, and closes after its answer.
    fn hear(&mut self, event: PlaneEvent) -> Option<()> {
        let now = self.plane.now();
        match event {
            PlaneEvent::Connected { socket } => {
                self.connected = Some(now.since(SimTime::ZERO));
                let request = vec![b'?'; self.play.request];
                self.plane.send(socket, &request).ok()
            }
            PlaneEvent::Data { socket, bytes, .. } if Some(socket) == self.socket => {
                self.received += bytes.len();
                if self.received == self.play.answer {
                    self.answered = Some(now.since(SimTime::ZERO));
                    self.plane.close(socket);
                }
                Some(())
            }
            PlaneEvent::Data { socket, .. } if !self.is_asked => {
                self.is_asked = true;
                self.owed = Some((now + self.play.think, socket));
                match self.play.think.is_zero() {
                    true => self.answer(),
                    false => Some(()),
                }
            }
            PlaneEvent::PeerClosed { socket } => {
                self.plane.close(socket);
                Some(())
            }
            PlaneEvent::Failed { .. } => None,
            _ => Some(()),
        }
    }

    fn answer(&mut self) -> Option<()> {
        let (at, socket) = self.owed.take()?;
        self.plane.advance_clock(at);
        let answer = vec![b'!'; self.play.answer];
        self.plane.send(socket, &answer).ok()?;
        self.plane.close(socket);
        Some(())
    }

    /// What both have sent, in order, after the first packet; `None` when that did not take the time that it was to take: a
    /// link of an odd number of nanoseconds does not.
    fn sent(&self) -> Option<Vec<Passing>> {
        let mut sent = Vec::new();
        let hosts = [
            (CLIENT, self.client.1, Direction::Original),
            (SERVER, self.server.1, Direction::Reply),
        ];
        for (name, own, direction) in hosts {
            for captured in self.plane.captured(name) {
                let datagram = Datagram::parse(captured.packet)?;
                if datagram.source == own.ip() && datagram.protocol == Protocol::TCP {
                    let at = captured.at.since(SimTime::ZERO);
                    sent.push((at, direction, TcpFlags::of(datagram.payload)));
                }
            }
        }
        let mut received = self.plane.captured(SERVER).into_iter();
        let arrived = received.next()?.at.since(SimTime::ZERO);
        // What is sent again was not answered in time.
        let repeats = sent
            .iter()
            .skip(1)
            .any(|(_, _, flags)| *flags == TcpFlags::Syn);
        let is_first = sent.first() == Some(&(Duration::ZERO, Direction::Original, TcpFlags::Syn));
        (is_first && !repeats && arrived == self.way).then(|| sent.split_off(1))
    }
}

/// Who is further away may send again what is on its way: smoltcp waits for a second, at first.
const WAY_MAX: Duration = Duration::from_millis(400);
const CLIENT: &str = "client";
const SERVER: &str = "server";
const PORT: u16 = 80;
/// More than any exchange takes that is worth foreseeing.
const STEPS_MAX: usize = 1000;

struct NoRules;

impl TableSource for NoRules {
    fn tables(&mut self, _: NodeId) -> Arc<NodeTables> {
        Arc::default()
    }
}
