//! A server's end of a connection, and the answers that applications are still thinking about.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use base::SimTime;
use plane::{Plane, SocketId};

use crate::app::{App, Identity, KEEP_ALIVE};

/// A server's end of a connection.
pub(crate) struct Inbox {
    pub(crate) identity: Arc<Identity>,
    pub(crate) app: App,
    /// Its own address and its client's.
    pub(crate) ends: (SocketAddr, SocketAddr),
    /// Whether its client wants more than one answer; unknown before the first bytes.
    pub(crate) keeps: Option<bool>,
    /// The begin of a request.
    pub(crate) bytes: Vec<u8>,
}

impl Inbox {
    /// How many requests these bytes complete, and whether the answer to them is the last.
    pub(crate) fn requests(&mut self, bytes: &[u8]) -> (usize, bool) {
        let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count() - 1;
        match self.keeps {
            Some(true) => (lines(bytes), false),
            Some(false) => (0, false),
            None => {
                self.keeps = Some(wants_more(bytes));
                let rest = bytes.strip_prefix(KEEP_ALIVE);
                rest.map_or((1, true), |rest| (lines(rest), false))
            }
        }
    }
}

/// Whether a client that begins so wants more than one answer.
pub(crate) fn wants_more(request: &[u8]) -> bool {
    request.starts_with(KEEP_ALIVE)
}

/// What a server says.
pub(crate) struct Answer {
    socket: SocketId,
    /// To whom, from a UDP socket.
    to: Option<SocketAddr>,
    bytes: Vec<u8>,
    /// Whether it has nothing more to say.
    closes: bool,
}

impl Answer {
    /// On a connection.
    pub(crate) const fn of_stream(socket: SocketId, bytes: Vec<u8>, closes: bool) -> Self {
        Self {
            socket,
            to: None,
            bytes,
            closes,
        }
    }

    /// From a UDP socket.
    pub(crate) const fn datagram(socket: SocketId, to: SocketAddr, bytes: Vec<u8>) -> Self {
        Self {
            socket,
            to: Some(to),
            bytes,
            closes: false,
        }
    }

    /// Sends it. A client that has gone away meanwhile misses it; that is its own affair.
    pub(crate) fn give(self, plane: &mut Plane) {
        let _ = match self.to {
            Some(to) => plane.send_to(self.socket, to, &self.bytes),
            None => plane.send(self.socket, &self.bytes),
        };
        if self.closes {
            plane.close(self.socket);
        }
    }
}

/// Answers to come, in order of time.
#[derive(Default)]
pub(crate) struct Answers {
    due: BTreeMap<(SimTime, u64), Answer>,
    planned: u64,
}

impl Answers {
    /// Has an answer given later.
    pub(crate) fn plan(&mut self, at: SimTime, answer: Answer) {
        self.due.insert((at, self.planned), answer);
        self.planned += 1;
    }

    /// When the first is due.
    pub(crate) fn next_at(&self) -> Option<SimTime> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Gives those that are due.
    pub(crate) fn give(&mut self, now: SimTime, plane: &mut Plane) {
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) {
            first.remove().give(plane);
        }
    }
}
