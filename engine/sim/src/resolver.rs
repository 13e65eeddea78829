//! A lookup over a host's sockets: datagrams, or a connection where the answer would not fit.

use std::net::SocketAddr;

use base::{Rng, SimTime};
use control::{Answer, Attempt, Resolution};
use dns::{Lookup, LookupStep, Query, QueryResult, RecordType, ResolvConf, Resolved, Transport};
use plane::{HostId, Plane, SocketError, SocketId};
use ruleset::Protocol;

/// What is looked up.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// A final dot skips the search list.
    pub(crate) name: String,
    pub(crate) types: Vec<RecordType>,
    /// What carries the first queries.
    pub(crate) transport: Transport,
}

/// A lookup under way.
#[derive(Debug)]
pub(crate) struct Resolver {
    host: HostId,
    socket: Option<SocketId>,
    lookup: Lookup,
    deadline: SimTime,
    started: SimTime,
    /// What waits for a connection.
    waiting: Vec<u8>,
    /// The server of the queries now under way.
    server: Option<SocketAddr>,
    /// What came over a connection and is no whole message yet.
    stream: Vec<u8>,
}

impl Resolver {
    /// Starts a lookup from `host`. Returns either the lookup under way or, where nobody can be asked, its end.
    pub(crate) fn start(
        plane: &mut Plane,
        host: HostId,
        conf: ResolvConf,
        wanted: &Wanted,
        ids: Rng,
    ) -> Result<Self, Resolution> {
        let started = plane.now();
        let Wanted {
            name,
            types,
            transport,
        } = wanted;
        let (lookup, step) = Lookup::start(conf, name, types, *transport, ids, started);
        let mut resolver = Self {
            host,
            socket: None,
            lookup,
            deadline: SimTime::MAX,
            started,
            waiting: Vec::new(),
            server: None,
            stream: Vec::new(),
        };
        match resolver.follow(plane, step) {
            Some(resolution) => Err(resolution),
            None => Ok(resolver),
        }
    }

    /// The socket of the queries now under way.
    pub(crate) const fn socket(&self) -> Option<SocketId> {
        self.socket
    }

    /// When it will give up on the queries now under way.
    pub(crate) const fn deadline(&self) -> SimTime {
        self.deadline
    }

    /// Its connection stands.
    pub(crate) fn connected(&mut self, plane: &mut Plane) -> Option<Resolution> {
        let queries = std::mem::take(&mut self.waiting);
        let sent = self.socket.map(|socket| plane.send(socket, &queries));
        match sent {
            Some(Err(_)) => self.give_up(plane, "UNREACHABLE"),
            _ => None,
        }
    }

    /// A datagram came, or, without a sender, a part of a connection's bytes.
    pub(crate) fn received(
        &mut self,
        plane: &mut Plane,
        from: Option<SocketAddr>,
        bytes: &[u8],
    ) -> Option<Resolution> {
        let (Some(server), messages) = (match from {
            Some(from) => (Some(from), vec![bytes.to_vec()]),
            None => {
                self.stream.extend_from_slice(bytes);
                (self.server, dns::take_messages(&mut self.stream))
            }
        }) else {
            return None;
        };
        for message in messages {
            let step = self.lookup.received(server, &message, plane.now());
            let is_over = !matches!(step, LookupStep::Wait);
            let resolution = self.follow(plane, step);
            // Whatever comes after the last answer is none.
            if is_over {
                return resolution;
            }
        }
        None
    }

    /// An ICMP error came, or its connection failed.
    pub(crate) fn failed(&mut self, plane: &mut Plane, error: SocketError) -> Option<Resolution> {
        let why = match error {
            SocketError::Refused => "REFUSED",
            SocketError::Reset => "RESET",
            SocketError::TimedOut => "TIMEOUT",
            SocketError::Unreachable | SocketError::PortsExhausted => "UNREACHABLE",
        };
        self.give_up(plane, why)
    }

    /// The server will send nothing more over its connection.
    pub(crate) fn closed(&mut self, plane: &mut Plane) -> Option<Resolution> {
        self.give_up(plane, "CLOSED")
    }

    /// The deadline has come.
    pub(crate) fn timed_out(&mut self, plane: &mut Plane) -> Option<Resolution> {
        let step = self.lookup.timed_out(plane.now());
        self.follow(plane, step)
    }

    fn give_up(&mut self, plane: &mut Plane, why: &'static str) -> Option<Resolution> {
        let step = self.lookup.failed(why, plane.now());
        self.follow(plane, step)
    }

    fn follow(&mut self, plane: &mut Plane, mut step: LookupStep) -> Option<Resolution> {
        loop {
            match step {
                LookupStep::Wait => return None,
                LookupStep::Done(resolved) => {
                    self.hang_up(plane);
                    return Some(resolution(&resolved, self.started, plane.now()));
                }
                LookupStep::Send { queries, deadline } => {
                    self.deadline = deadline;
                    self.hang_up(plane);
                    if self.send(plane, &queries) {
                        return None;
                    }
                    step = self.lookup.failed("UNREACHABLE", plane.now());
                }
            }
        }
    }

    /// All queries of one step go to one server, from one connected socket, as glibc does it: so an ICMP error is heard
    /// of. Whether they went out, or will once the connection stands.
    fn send(&mut self, plane: &mut Plane, queries: &[Query]) -> bool {
        let Some(first) = queries.first() else {
            return true;
        };
        let mut messages = queries.iter().map(|query| {
            query
                .to_bytes()
                .expect("the lookup asks for encodable names")
        });
        self.server = Some(first.server);
        match first.transport {
            Transport::Udp => {
                let socket = plane.udp_connect(self.host, first.server);
                self.socket = Some(socket);
                messages.all(|bytes| plane.send(socket, &bytes).is_ok())
            }
            Transport::Tcp => {
                self.socket = Some(plane.connect(self.host, first.server));
                self.waiting = messages.flat_map(|bytes| dns::framed(&bytes)).collect();
                true
            }
        }
    }

    fn hang_up(&mut self, plane: &mut Plane) {
        self.stream.clear();
        if let Some(socket) = self.socket.take() {
            plane.close(socket);
        }
    }
}

fn resolution(resolved: &Resolved, started: SimTime, finished: SimTime) -> Resolution {
    let answers = resolved.answers.iter().map(|record| Answer {
        name: format!("{}.", record.name),
        record_type: record.data.record_type().to_string(),
        ttl: record.ttl,
        data: record.data.to_string(),
    });
    Resolution {
        rcode: resolved
            .rcode
            .map_or("TIMEOUT", dns::Rcode::as_str)
            .to_owned(),
        answers: answers.collect(),
        attempts: resolved.history.iter().map(attempt).collect(),
        started,
        finished,
    }
}

fn attempt(result: &QueryResult) -> Attempt {
    Attempt {
        name: result.query.name.clone(),
        record_type: result.query.record_type.to_string(),
        server: result.query.server,
        protocol: match result.query.transport {
            Transport::Udp => Protocol::UDP,
            Transport::Tcp => Protocol::TCP,
        },
        result: match &result.result {
            Ok(rcode) => rcode.to_string(),
            Err(why) => (*why).to_owned(),
        },
        sent: result.query.sent,
        known: result.known,
    }
}
