//! One client: resolve, dial, send, read the answer; perhaps send again. A client without an errand only resolves.
//!
//! A state machine over the events of the plane. Its outcome is what a program on Linux would be told.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base::SimTime;
use control::{Connection, Decision, Outcome, Peer, Resolution, Target};
use plane::{HostId, Plane, SocketError, SocketId};
use ruleset::Protocol;

use crate::app::{Introduction, KEEP_ALIVE};
use crate::resolver::Resolver;

/// What a client is to do.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) host: HostId,
    pub(crate) to: Target,
    pub(crate) protocol: Protocol,
    pub(crate) timeout: Duration,
    pub(crate) payload: Vec<u8>,
    /// Whether it keeps its connection for more requests.
    pub(crate) keeps: bool,
}

impl Errand {
    /// What is sent for a payload. Servers answer requests, so a client with nothing to say greets.
    fn request<'a>(&self, payload: &'a [u8], is_first: bool) -> Cow<'a, [u8]> {
        let payload: &[u8] = if payload.is_empty() {
            b"hello"
        } else {
            payload
        };
        if !self.keeps || self.is_udp() {
            return payload.into();
        }
        let begin: &[u8] = if is_first { KEEP_ALIVE } else { &[] };
        [begin, payload, b"\n"].concat().into()
    }

    fn is_udp(&self) -> bool {
        self.protocol == Protocol::UDP
    }
}

/// A client under way.
#[derive(Debug)]
pub(crate) struct Client {
    errand: Option<Arc<Errand>>,
    state: State,
    /// How its last request ended; `None` while one is under way.
    verdict: Option<(Outcome, SimTime)>,
    is_first: bool,
    /// When the request began, name resolution included.
    started: SimTime,
    resolution: Option<Resolution>,
    remote: Option<SocketAddr>,
    asked_from: Vec<SocketAddr>,
    dialled_from: Vec<SocketAddr>,
    /// Since when it waits, and how long it will.
    since: SimTime,
    patience: Duration,
    latency: Option<Duration>,
    received: Vec<u8>,
    /// Answers that the server owes, those to requests that were given up included.
    owed: u32,
}

#[derive(Debug)]
enum State {
    Resolving(Box<Resolver>),
    Dialling(SocketId),
    Talking(SocketId),
    /// Nothing is under way, and the connection stands.
    Idle(SocketId),
    /// Nothing will come any more: what another request would be told.
    Over(Outcome),
}

impl Client {
    /// A client that dials an address at once.
    pub(crate) fn dialling(plane: &mut Plane, errand: &Arc<Errand>, address: IpAddr) -> Self {
        let mut client = Self::new(Some(Arc::clone(errand)), plane.now());
        client.dial(plane, errand, address);
        client
    }

    /// A client whose name is being resolved, or could not be asked about.
    pub(crate) fn resolving(
        plane: &mut Plane,
        errand: Option<Arc<Errand>>,
        resolver: Result<Resolver, Resolution>,
    ) -> Self {
        let mut client = Self::new(errand, plane.now());
        match resolver {
            Ok(resolver) => client.state = State::Resolving(Box::new(resolver)),
            Err(resolution) => client.resolved(plane, resolution),
        }
        client
    }

    fn new(errand: Option<Arc<Errand>>, now: SimTime) -> Self {
        Self {
            patience: errand.as_ref().map_or(Duration::ZERO, |e| e.timeout),
            errand,
            state: State::Over(Outcome::Unresolved),
            verdict: None,
            is_first: true,
            started: now,
            resolution: None,
            remote: None,
            asked_from: Vec::new(),
            dialled_from: Vec::new(),
            since: now,
            latency: None,
            received: Vec::new(),
            owed: 1,
        }
    }

    /// The socket whose events concern it; `None` once it is over.
    pub(crate) fn socket(&self) -> Option<SocketId> {
        match &self.state {
            State::Resolving(resolver) => resolver.socket(),
            State::Dialling(socket) | State::Talking(socket) | State::Idle(socket) => Some(*socket),
            State::Over(_) => None,
        }
    }

    /// Whether nothing is under way.
    pub(crate) const fn is_settled(&self) -> bool {
        self.verdict.is_some()
    }

    /// Whether it stands and can be asked again.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle(_))
    }

    /// Whether the last request was its connection's first.
    pub(crate) const fn is_first(&self) -> bool {
        self.is_first
    }

    /// What it dials by; `None` when it only resolves.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        self.errand.as_ref().map(|errand| errand.protocol)
    }

    /// What it dialled; `None` unless the name was resolved.
    pub(crate) const fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// When its last request began, and when it dialled or sent it.
    pub(crate) const fn began(&self) -> (SimTime, SimTime) {
        (self.started, self.since)
    }

    /// How its last request ended, when, and after what latency if well; nothing while one is under way.
    pub(crate) fn verdict(&self) -> Option<(Outcome, SimTime, Option<Duration>)> {
        let (outcome, at) = self.verdict?;
        let latency = self.latency.filter(|_| outcome == Outcome::Connected);
        Some((outcome, at, latency))
    }

    /// How it ended for good, if it has.
    pub(crate) const fn end(&self) -> Option<Outcome> {
        match self.state {
            State::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Who answered last, by its own words.
    pub(crate) fn answer(&self) -> Option<Introduction<'_>> {
        Introduction::parse(&self.received)
    }

    /// The part of the answer that says who it was, alike in all answers of one Pod.
    pub(crate) fn answerer(&self) -> Option<&str> {
        let line = std::str::from_utf8(&self.received).ok()?;
        let mut spaces = line.match_indices(' ');
        let (end, _) = spaces
            .nth(2)
            .filter(|(at, _)| line[*at..].starts_with(" address="))?;
        Some(&line[..end])
    }

    /// What its lookup gave, if it made one that is done.
    pub(crate) const fn resolution(&self) -> Option<&Resolution> {
        self.resolution.as_ref()
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
        match self.verdict {
            Some((Outcome::Refused, at)) => Some(at),
            _ => None,
        }
    }

    /// When it will wait no longer; `None` while nothing is under way.
    pub(crate) fn deadline(&self) -> Option<SimTime> {
        match &self.state {
            State::Resolving(resolver) => Some(resolver.deadline()),
            State::Dialling(_) | State::Talking(_) => Some(self.since + self.patience),
            State::Idle(_) | State::Over(_) => None,
        }
    }

    /// Its TCP connection stands.
    pub(crate) fn connected(&mut self, plane: &mut Plane) {
        if let State::Resolving(resolver) = &mut self.state {
            let resolution = resolver.connected(plane);
            self.go_on(plane, resolution);
        } else if let State::Dialling(socket) = self.state {
            self.latency = Some(plane.now().since(self.since));
            self.state = State::Talking(socket);
            let errand = self
                .errand
                .as_ref()
                .expect("only a client with an errand dials");
            let sent = plane.send(socket, &errand.request(&errand.payload, true));
            if sent.is_err() {
                self.finish(plane, Outcome::Reset);
            }
        }
    }

    /// What it will send on its connection, when all that it will do is to send that once, and take one answer.
    pub(crate) fn only_request(&self) -> Option<Cow<'_, [u8]>> {
        let errand = self.errand.as_ref().filter(|errand| !errand.keeps)?;
        let is_dialling = matches!(self.state, State::Dialling(_));
        is_dialling.then(|| errand.request(&errand.payload, true))
    }

    /// All that came of its only request, once that is over.
    pub(crate) fn exchanged(&mut self, connected: SimTime, answered: SimTime, answer: Vec<u8>) {
        self.latency = Some(connected.since(self.since));
        self.received = answer;
        self.owed = 0;
        self.verdict = Some((Outcome::Connected, answered));
        self.state = State::Over(Outcome::Connected);
    }

    /// Sends another request, which has an outcome at once where the connection is over. Only for a client that is
    /// settled.
    pub(crate) fn ask(&mut self, plane: &mut Plane, payload: &[u8], patience: Duration) {
        let now = plane.now();
        self.is_first = false;
        (self.started, self.since, self.patience) = (now, now, patience);
        (self.latency, self.resolution) = (None, None);
        self.received.clear();
        let (State::Idle(socket), Some(errand)) = (&self.state, &self.errand) else {
            self.verdict = self.end().map(|outcome| (outcome, now));
            return;
        };
        let socket = *socket;
        self.owed = if errand.is_udp() { 1 } else { self.owed + 1 };
        let request = errand.request(payload, false);
        self.state = State::Talking(socket);
        self.verdict = None;
        if plane.send(socket, &request).is_err() {
            self.state = State::Over(Outcome::Reset);
            self.verdict = Some((Outcome::Reset, now));
        }
    }

    /// Lets go of its connection: in peace, unless its last request failed.
    pub(crate) fn hang_up(&mut self, plane: &mut Plane) {
        let is_well = matches!(self.verdict, Some((Outcome::Connected, _)));
        match self.socket() {
            Some(socket) if is_well => plane.close(socket),
            Some(socket) => plane.abort(socket),
            None => {}
        }
        self.state = State::Over(Outcome::Reset);
    }

    /// Its process is no more, and its kernel resets its connection.
    pub(crate) fn killed(&mut self, plane: &mut Plane) {
        if let Some(socket) = self.socket() {
            plane.abort(socket);
            self.state = State::Over(Outcome::Reset);
            self.verdict.get_or_insert((Outcome::Reset, plane.now()));
        }
    }

    /// Bytes came.
    pub(crate) fn received(&mut self, plane: &mut Plane, from: Option<SocketAddr>, bytes: Vec<u8>) {
        match (&mut self.state, from) {
            (State::Resolving(resolver), from) => {
                let resolution = resolver.received(plane, from, &bytes);
                self.go_on(plane, resolution);
            }
            (State::Talking(_), Some(from)) if Some(from) == self.remote => {
                self.latency = Some(plane.now().since(self.since));
                self.take_in(bytes);
                self.owed = 0;
                self.finish(plane, Outcome::Connected);
            }
            (State::Talking(_) | State::Idle(_), None) => {
                self.take_in(bytes);
                self.read_lines(plane);
            }
            _ => {}
        }
    }

    fn take_in(&mut self, bytes: Vec<u8>) {
        match self.received.is_empty() {
            true => self.received = bytes,
            false => self.received.extend(bytes),
        }
    }

    /// Takes whole answers: those to requests that were given up are nobody's any more.
    fn read_lines(&mut self, plane: &mut Plane) {
        while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
            self.owed = self.owed.saturating_sub(1);
            if matches!(self.state, State::Talking(_)) && self.owed == 0 {
                if !self.is_first {
                    self.latency = Some(plane.now().since(self.since));
                }
                return self.finish(plane, Outcome::Connected);
            }
            self.received.drain(..=end);
        }
    }

    /// The server will send nothing more.
    pub(crate) fn peer_closed(&mut self, plane: &mut Plane) {
        match &mut self.state {
            State::Resolving(resolver) => {
                let resolution = resolver.closed(plane);
                self.go_on(plane, resolution);
            }
            State::Talking(_) => {
                // An end instead of an answer: `curl: (52) Empty reply from server`.
                let outcome = match self.received.is_empty() {
                    true => Outcome::Reset,
                    false => Outcome::Connected,
                };
                self.close_too(plane);
                self.verdict = Some((outcome, plane.now()));
            }
            State::Idle(_) => self.close_too(plane),
            _ => {}
        }
    }

    fn close_too(&mut self, plane: &mut Plane) {
        if let Some(socket) = self.socket() {
            plane.close(socket);
        }
        self.state = State::Over(Outcome::Reset);
    }

    /// Its socket failed.
    pub(crate) fn failed(&mut self, plane: &mut Plane, error: SocketError) {
        let is_udp = self.is_udp();
        match &mut self.state {
            State::Resolving(resolver) => {
                let resolution = resolver.failed(plane, error);
                self.go_on(plane, resolution);
            }
            State::Idle(_) if is_udp => {}
            State::Idle(_) => self.state = State::Over(outcome_of(error)),
            _ => self.finish(plane, outcome_of(error)),
        }
    }

    /// Its deadline has come.
    pub(crate) fn timed_out(&mut self, plane: &mut Plane) {
        match &mut self.state {
            State::Resolving(resolver) => {
                let resolution = resolver.timed_out(plane);
                self.go_on(plane, resolution);
            }
            State::Dialling(_) | State::Talking(_) => self.finish(plane, Outcome::Timeout),
            State::Idle(_) | State::Over(_) => {}
        }
    }

    /// The story of its last request, once that is done.
    pub(crate) fn connection(&self, decisions: Vec<Decision>) -> Connection {
        let (outcome, finished, latency) = self
            .verdict()
            .expect("asked only when every client is done");
        let answer = self.answer();
        Connection {
            outcome,
            backend: answer.map(|answer| Peer {
                name: format!("pod/{}/{}", answer.namespace, answer.name),
                address: answer.address,
                node: Some(answer.node.to_owned()),
            }),
            remote: self.remote,
            peer_seen: answer.map(|answer| answer.peer),
            started: self.started,
            finished,
            latency,
            resolution: self.resolution.clone(),
            decisions,
        }
    }

    /// Notes the address of the socket in use, once it has one.
    pub(crate) fn note_local_address(&mut self, plane: &Plane) {
        let known = match self.remote {
            Some(_) if !self.dialled_from.is_empty() => return,
            Some(_) => &self.dialled_from,
            None => &self.asked_from,
        };
        let address = self.socket().and_then(|socket| plane.local_address(socket));
        let Some(address) = address.filter(|address| !known.contains(address)) else {
            return;
        };
        match self.remote {
            Some(_) => self.dialled_from.push(address),
            None => self.asked_from.push(address),
        }
    }

    fn is_udp(&self) -> bool {
        self.errand.as_ref().is_some_and(|errand| errand.is_udp())
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
            _ => {
                self.state = State::Over(Outcome::Unresolved);
                self.verdict = Some((Outcome::Unresolved, plane.now()));
            }
        }
    }

    fn dial(&mut self, plane: &mut Plane, errand: &Errand, address: IpAddr) {
        let remote = SocketAddr::new(address, errand.to.port);
        self.remote = Some(remote);
        self.since = plane.now();
        if errand.is_udp() {
            let socket = plane.udp_connect(errand.host, remote);
            self.state = State::Talking(socket);
            self.note_local_address(plane);
            let request = errand.request(&errand.payload, true);
            if plane.send(socket, &request).is_err() {
                self.finish(plane, Outcome::Unreachable);
            }
        } else {
            self.state = State::Dialling(plane.connect(errand.host, remote));
            self.note_local_address(plane);
        }
    }

    /// The request under way is done. A UDP socket outlives its errors, and a TCP connection that stands a client's
    /// impatience, where they are to be kept.
    fn finish(&mut self, plane: &mut Plane, outcome: Outcome) {
        self.verdict = Some((outcome, plane.now()));
        let Some(socket) = self.socket() else {
            self.state = State::Over(outcome);
            return;
        };
        let keeps = self.errand.as_ref().is_some_and(|errand| errand.keeps);
        let stands = match (&self.state, outcome) {
            (_, Outcome::Connected) | (State::Talking(_), Outcome::Timeout) => true,
            _ => self.is_udp(),
        };
        if keeps && stands {
            self.state = State::Idle(socket);
            return;
        }
        match outcome {
            Outcome::Connected => plane.close(socket),
            _ => plane.abort(socket),
        }
        self.state = State::Over(outcome);
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
