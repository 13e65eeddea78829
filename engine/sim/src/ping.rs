//! Echo requests, one a second, and what comes of them.
//!
//! **Source of the semantics.** ping(8) of iputils.

use std::net::IpAddr;
use std::time::Duration;

use base::SimTime;
use control::{ReferenceError, Source};
use plane::{EchoError, PingSpec, PlaneEvent, SendError, SocketId};

use crate::sim::Sim;

/// From one request to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// One echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// When it was sent.
    pub sent: SimTime,
    /// What came of it.
    pub end: EchoEnd,
}

/// What came of an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EchoEnd {
    /// It was answered.
    Answered {
        /// When the answer came.
        at: SimTime,
        /// Who answered.
        from: IpAddr,
        /// The time to live that was left of the answer's.
        ttl: u8,
    },
    /// It was answered with an error.
    Failed {
        /// Who says so.
        from: IpAddr,
        /// What it says.
        error: EchoError,
    },
    /// Nothing came while somebody waited.
    Silence,
    /// It was not sent.
    Unsent(SendError),
}

/// Requests under way, by their sockets.
type UnderWay = Vec<(SocketId, usize)>;

impl Sim {
    /// Sends so many echo requests, one a second, and waits for each: after the last one as long as `patience`.
    ///
    /// # Errors
    /// When the source does not exist at this instant.
    pub fn ping(
        &mut self,
        from: &Source,
        to: IpAddr,
        count: u16,
        patience: Duration,
    ) -> Result<Vec<Echo>, ReferenceError> {
        let host = self.source_host(from)?;
        self.obey_signals();
        let start = self.control.now();
        let mut echoes: Vec<Echo> = Vec::new();
        let mut waiting = UnderWay::new();
        for number in 0..count {
            self.hear(start + INTERVAL * number.into(), &mut echoes, &mut waiting);
            let sent = self.control.now();
            let mut end = EchoEnd::Silence;
            match self.plane.ping(host, PingSpec::to(to)) {
                Ok(socket) => waiting.push((socket, echoes.len())),
                Err(why) => end = EchoEnd::Unsent(why),
            }
            echoes.push(Echo { sent, end });
            // Whoever has no way at all to the address stops there.
            if let [
                Echo {
                    end: EchoEnd::Unsent(_),
                    ..
                },
            ] = echoes[..]
            {
                return Ok(echoes);
            }
        }
        let limit = self.control.now() + patience;
        while !waiting.is_empty() && self.advance(limit) {
            self.note(&mut echoes, &mut waiting);
        }
        if !waiting.is_empty() {
            self.run_to(limit);
        }
        for (socket, _) in waiting {
            self.plane.close(socket);
        }
        Ok(echoes)
    }

    /// Lets time pass until `at`, and hears of what comes.
    fn hear(&mut self, at: SimTime, echoes: &mut [Echo], waiting: &mut UnderWay) {
        while self.advance(at) {
            self.note(echoes, waiting);
        }
        self.run_to(at);
    }

    /// Notes what has come at this instant.
    fn note(&mut self, echoes: &mut [Echo], waiting: &mut UnderWay) {
        let at = self.control.now();
        for event in std::mem::take(&mut self.echoes) {
            let (socket, end) = match event {
                PlaneEvent::Echoed { socket, from, ttl } => {
                    (socket, EchoEnd::Answered { at, from, ttl })
                }
                PlaneEvent::EchoFailed {
                    socket,
                    from,
                    error,
                } => (socket, EchoEnd::Failed { from, error }),
                _ => continue,
            };
            if let Some(place) = waiting.iter().position(|(one, _)| *one == socket) {
                let (_, number) = waiting.swap_remove(place);
                echoes[number].end = end;
            }
        }
    }
}
