//! One client: resolve, dial, send, read the answer. A client without an errand only resolves.
//!
//! A state machine over the events of the plane. Its outcome is what a program on Linux would be told.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::SimTime;
use control::{Connection, Decision, Outcome, Peer, Resolution, Target};
use plane::{HostId, Plane, SocketError, SocketId};
use ruleset::Protocol;

use crate::app::Introduction;
use crate::resolver::Resolver;

/// What a client is to do.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) host: HostId,
    pub(crate) to: Target,
    pub(crate) protocol: Protocol,
    pub(crate) timeout: Duration,
    pub(crate) payload: Vec<u8>,
}

impl Errand {
    /// What is sent. Servers answer requests, so a client with nothing to say greets.
    fn request(&self) -> &[u8] {
        if self.payload.is_empty() {
            b"hello"
        } else {
            &self.payload
        }
    }
}

/// A client under way.
#[derive(Debug)]
pub(crate) struct Client {
    errand: Option<Errand>,
    state: State,
    started: SimTime,
    resolution: Option<Resolution>,
    remote: Option<SocketAddr>,
    asked_from: Vec<SocketAddr>,
    dialled_from: Vec<SocketAddr>,
    dialled: SimTime,
    latency: Option<Duration>,
    received: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Resolving(Box<Resolver>),
    Dialling(SocketId),
    Talking(SocketId),
    Done(Outcome, SimTime),
}

impl Client {
    /// A client that dials an address at once.
    pub(crate) fn dialling(plane: &mut Plane, errand: &Errand, address: IpAddr) -> Self {
        let mut client = Self::new(Some(errand.clone()), plane.now());
        client.dial(plane, errand, address);
        client
    }

    /// A client whose name is being resolved, or could not be asked about.
    pub(crate) fn resolving(
        plane: &mut Plane,
        errand: Option<Errand>,
        resolver: Result<Resolver, Resolution>,
    ) -> Self {
        let mut client = Self::new(errand, plane.now());
        match resolver {
            Ok(resolver) => client.state = State::Resolving(Box::new(resolver)),
            Err(resolution) => client.resolved(plane, resolution),
        }
        client
    }

    fn new(errand: Option<Errand>, now: SimTime) -> Self {
        Self {
            errand,
            state: State::Done(Outcome::Unresolved, now),
            started: now,
            resolution: None,
            remote: None,
            asked_from: Vec::new(),
            dialled_from: Vec::new(),
            dialled: now,
            latency: None,
            received: Vec::new(),
        }
    }

    /// The socket whose events concern it; `None` once it is done.
    pub(crate) fn socket(&self) -> Option<SocketId> {
        match &self.state {
            State::Resolving(resolver) => resolver.socket(),
            State::Dialling(socket) | State::Talking(socket) => Some(*socket),
            State::Done(..) => None,
        }
    }

    /// The addresses of the packets that decided its outcome: its queries' when the name was not resolved, else
    /// its connection's.
    pub(crate) fn decisive_addresses(&self) -> &[SocketAddr] {
        if self.remote.is_some() {
            &self.dialled_from
        } else {
            &self.asked_from
        }
    }

    /// When it was refused, if it was.
    pub(crate) const fn refused_at(&self) -> Option<SimTime> {
        match self.state {
            State::Done(Outcome::Refused, at) => Some(at),
            _ => None,
        }
    }

    /// When it will wait no longer; `None` once it is done.
    pub(crate) fn deadline(&self) -> Option<SimTime> {
        match &self.state {
            State::Resolving(resolver) => Some(resolver.deadline()),
            State::Dialling(_) | State::Talking(_) => {
                let patience = self.errand.as_ref().map_or(Duration::ZERO, |e| e.timeout);
                Some(self.dialled + patience)
            }
            State::Done(..) => None,
        }
    }

    /// Its TCP connection stands.
    pub(crate) fn connected(&mut self, plane: &mut Plane) {
        if let State::Resolving(resolver) = &mut self.state {
            let resolution = resolver.connected(plane);
            self.go_on(plane, resolution);
        } else if let State::Dialling(socket) = self.state {
            self.latency = Some(plane.now().since(self.dialled));
            self.state = State::Talking(socket);
            let errand = self
                .errand
                .as_ref()
                .expect("only a client with an errand dials");
            if plane.send(socket, errand.request()).is_err() {
                self.finish(plane, Outcome::Reset);
            }
        }
    }

    /// Bytes came.
    pub(crate) fn received(&mut self, plane: &mut Plane, from: Option<SocketAddr>, bytes: &[u8]) {
        match (&mut self.state, from) {
            (State::Resolving(resolver), from) => {
                let resolution = resolver.received(plane, from, bytes);
                self.go_on(plane, resolution);
            }
            (State::Dialling(_), Some(from)) if Some(from) == self.remote => {
                self.latency = Some(plane.now().since(self.dialled));
                self.received.extend_from_slice(bytes);
                self.finish(plane, Outcome::Connected);
            }
            (State::Talking(_), None) => {
                self.received.extend_from_slice(bytes);
                if bytes.ends_with(b"\n") {
                    self.finish(plane, Outcome::Connected);
                }
            }
            _ => {}
        }
    }

    /// The server will send nothing more.
    pub(crate) fn peer_closed(&mut self, plane: &mut Plane) {
        match &mut self.state {
            State::Resolving(resolver) => {
                let resolution = resolver.closed(plane);
                self.go_on(plane, resolution);
            }
            State::Talking(_) => self.finish(plane, Outcome::Connected),
            State::Dialling(_) | State::Done(..) => {}
        }
    }

    /// Its socket failed.
    pub(crate) fn failed(&mut self, plane: &mut Plane, error: SocketError) {
        if let State::Resolving(resolver) = &mut self.state {
            let resolution = resolver.failed(plane, error);
            self.go_on(plane, resolution);
            return;
        }
        self.finish(plane, outcome_of(error));
    }

    /// Its deadline has come.
    pub(crate) fn timed_out(&mut self, plane: &mut Plane) {
        match &mut self.state {
            State::Resolving(resolver) => {
                let resolution = resolver.timed_out(plane);
                self.go_on(plane, resolution);
            }
            State::Dialling(_) | State::Talking(_) => self.finish(plane, Outcome::Timeout),
            State::Done(..) => {}
        }
    }

    /// Its story, once it is done.
    pub(crate) fn into_connection(self, decisions: Vec<Decision>) -> Connection {
        let State::Done(outcome, finished) = self.state else {
            unreachable!("asked only when every client is done");
        };
        let answer = Introduction::parse(&self.received);
        Connection {
            outcome,
            backend: answer.as_ref().map(|answer| Peer {
                name: format!("pod/{}/{}", answer.namespace, answer.name),
                address: answer.address,
                node: Some(answer.node.clone()),
            }),
            remote: self.remote,
            peer_seen: answer.map(|answer| answer.peer),
            started: self.started,
            finished,
            latency: self.latency.filter(|_| outcome == Outcome::Connected),
            resolution: self.resolution,
            decisions,
        }
    }

    /// What its lookup gave, if it made one that is done.
    pub(crate) fn into_resolution(self) -> Option<Resolution> {
        self.resolution
    }

    /// Notes the address of the socket in use, once it has one.
    pub(crate) fn note_local_address(&mut self, plane: &Plane) {
        let address = self.socket().and_then(|socket| plane.local_address(socket));
        let known = match self.remote {
            Some(_) => &mut self.dialled_from,
            None => &mut self.asked_from,
        };
        known.extend(address.filter(|address| !known.contains(address)));
    }

    /// Goes on once its lookup is done.
    fn go_on(&mut self, plane: &mut Plane, resolution: Option<Resolution>) {
        if let Some(resolution) = resolution {
            self.resolved(plane, resolution);
        }
    }

    fn resolved(&mut self, plane: &mut Plane, resolution: Resolution) {
        let address = choose_address(&resolution);
        self.resolution = Some(resolution);
        match (self.errand.clone(), address) {
            (Some(errand), Some(address)) => self.dial(plane, &errand, address),
            _ => self.state = State::Done(Outcome::Unresolved, plane.now()),
        }
    }

    fn dial(&mut self, plane: &mut Plane, errand: &Errand, address: IpAddr) {
        let remote = SocketAddr::new(address, errand.to.port);
        self.remote = Some(remote);
        self.dialled = plane.now();
        if errand.protocol == Protocol::UDP {
            let socket = plane.udp_connect(errand.host, remote);
            self.state = State::Dialling(socket);
            if plane.send(socket, errand.request()).is_err() {
                self.finish(plane, Outcome::Unreachable);
            }
        } else {
            self.state = State::Dialling(plane.connect(errand.host, remote));
        }
        self.note_local_address(plane);
    }

    fn finish(&mut self, plane: &mut Plane, outcome: Outcome) {
        if let Some(socket) = self.socket() {
            if outcome == Outcome::Connected {
                plane.close(socket);
            } else {
                plane.abort(socket);
            }
        }
        self.state = State::Done(outcome, plane.now());
    }
}

/// The record types to ask for before dialling: as `getaddrinfo`, both families.
pub(crate) const ADDRESS_TYPES: [dns::RecordType; 2] = [dns::RecordType::A, dns::RecordType::AAAA];

/// The first address, IPv4 before IPv6.
///
/// Deviation: RFC 6724 sorts by more; a cluster's clients have one address a family.
fn choose_address(resolution: &Resolution) -> Option<IpAddr> {
    let addresses = |wanted: &'static str| {
        let records = resolution
            .answers
            .iter()
            .filter(move |a| a.record_type == wanted);
        records.filter_map(|answer| answer.data.parse::<IpAddr>().ok())
    };
    addresses("A").chain(addresses("AAAA")).next()
}

const fn outcome_of(error: SocketError) -> Outcome {
    match error {
        SocketError::Refused => Outcome::Refused,
        SocketError::Unreachable | SocketError::PortsExhausted => Outcome::Unreachable,
        SocketError::Reset => Outcome::Reset,
        SocketError::TimedOut => Outcome::Timeout,
    }
}
