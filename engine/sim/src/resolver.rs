//! A lookup over a host's UDP socket.

use std::net::SocketAddr;

use base::{Rng, SimTime};
use control::{Answer, Attempt, Resolution};
use dns::{Lookup, LookupStep, RecordType, ResolvConf, Resolved};
use plane::{HostId, Plane, SocketError, SocketId};

/// A lookup under way.
#[derive(Debug)]
pub(crate) struct Resolver {
    host: HostId,
    socket: Option<SocketId>,
    lookup: Lookup,
    deadline: SimTime,
    started: SimTime,
}

impl Resolver {
    /// Starts a lookup from `host`. Returns either the lookup under way or, where nobody can be asked, its end.
    pub(crate) fn start(
        plane: &mut Plane,
        host: HostId,
        conf: ResolvConf,
        name: &str,
        types: &[RecordType],
        ids: Rng,
    ) -> Result<Self, Resolution> {
        let started = plane.now();
        let (lookup, step) = Lookup::start(conf, name, types, ids, started);
        let mut resolver = Self {
            host,
            socket: None,
            lookup,
            deadline: SimTime::MAX,
            started,
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

    /// A datagram came.
    pub(crate) fn received(
        &mut self,
        plane: &mut Plane,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Option<Resolution> {
        let step = self.lookup.received(from, bytes, plane.now());
        self.follow(plane, step)
    }

    /// An ICMP error came.
    pub(crate) fn failed(&mut self, plane: &mut Plane, error: SocketError) -> Option<Resolution> {
        let why = match error {
            SocketError::Refused => "REFUSED",
            _ => "UNREACHABLE",
        };
        let step = self.lookup.failed(why, plane.now());
        self.follow(plane, step)
    }

    /// The deadline has come.
    pub(crate) fn timed_out(&mut self, plane: &mut Plane) -> Option<Resolution> {
        let step = self.lookup.timed_out(plane.now());
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
                    // All queries of one step go to one server, from one connected socket, as glibc does it:
                    // so an ICMP error is heard of.
                    let socket = plane.udp_connect(self.host, queries[0].server);
                    self.socket = Some(socket);
                    let sent = queries.iter().all(|query| {
                        let bytes = query
                            .to_bytes()
                            .expect("the lookup asks for encodable names");
                        plane.send(socket, &bytes).is_ok()
                    });
                    if sent {
                        return None;
                    }
                    step = self.lookup.failed("UNREACHABLE", plane.now());
                }
            }
        }
    }

    fn hang_up(&mut self, plane: &mut Plane) {
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
    let attempts = resolved.history.iter().map(|result| Attempt {
        name: result.query.name.clone(),
        record_type: result.query.record_type.to_string(),
        server: result.query.server,
        result: match &result.result {
            Ok(rcode) => rcode.to_string(),
            Err(why) => (*why).to_owned(),
        },
    });
    Resolution {
        rcode: resolved
            .rcode
            .map_or("TIMEOUT", dns::Rcode::as_str)
            .to_owned(),
        answers: answers.collect(),
        attempts: attempts.collect(),
        started,
        finished,
    }
}
