//! One conntrack entry.
//!
//! **What.** An [`Entry`] is a connection's two tuples and how far it has come. The translation *is* the
//! difference between the tuples: the reply tuple is what an answer looks like on the wire.
//! **Source of the semantics.** Linux `struct nf_conn`, `nf_conntrack_proto_udp.c`, `…_icmp.c`, `…_generic.c`;
//! the listing is that of `conntrack -L`.

use std::fmt;
use std::time::Duration;

use base::SimTime;
use ruleset::{Family, Protocol};

use crate::{TcpState, Tuple};

/// Which way a packet of a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the first packet.
    Original,
    /// Against it.
    Reply,
}

impl Direction {
    /// The way of answers to packets that go this way.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

/// A tracked connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    original: Tuple,
    reply: Tuple,
    progress: Progress,
}

/// How far a connection has come: what changes after its first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) started: SimTime,
    pub(crate) expires: SimTime,
    pub(crate) seen_reply: bool,
    pub(crate) assured: bool,
    /// For TCP only.
    pub(crate) tcp: Option<TcpState>,
    /// `ct mark`, `CONNMARK`
    pub(crate) mark: u32,
    /// Whether its other destination is a virtual server's doing.
    pub(crate) is_virtual: bool,
}

impl Progress {
    /// That of a connection with its first packet.
    pub(crate) fn of_first(now: SimTime, tcp: Option<TcpState>, lifetime: Duration) -> Self {
        Self {
            started: now,
            expires: now + lifetime,
            seen_reply: false,
            assured: false,
            tcp,
            mark: 0,
            is_virtual: false,
        }
    }
}

impl Entry {
    pub(crate) const fn new(original: Tuple, reply: Tuple, progress: Progress) -> Self {
        Self {
            original,
            reply,
            progress,
        }
    }

    /// The first packet's tuple, as it arrived.
    #[must_use]
    pub const fn original(&self) -> &Tuple {
        &self.original
    }

    /// The tuple of an answer, before it is translated back.
    #[must_use]
    pub const fn reply(&self) -> &Tuple {
        &self.reply
    }

    /// The TCP state; `None` for other protocols.
    #[must_use]
    pub const fn tcp_state(&self) -> Option<TcpState> {
        self.progress.tcp
    }

    /// Whether an answer was seen.
    #[must_use]
    pub const fn is_replied(&self) -> bool {
        self.progress.seen_reply
    }

    /// Whether the connection has proven itself: established TCP, a UDP stream.
    #[must_use]
    pub const fn is_assured(&self) -> bool {
        self.progress.assured
    }

    /// The connection's mark (`ct mark`), 0 unless a rule set it.
    #[must_use]
    pub const fn mark(&self) -> u32 {
        self.progress.mark
    }

    /// When its first packet came.
    #[must_use]
    pub const fn started_at(&self) -> SimTime {
        self.progress.started
    }

    /// When it goes unless another packet comes.
    #[must_use]
    pub const fn expires_at(&self) -> SimTime {
        self.progress.expires
    }

    /// The tuple of a direction.
    pub(crate) const fn tuple(&self, direction: Direction) -> &Tuple {
        match direction {
            Direction::Original => &self.original,
            Direction::Reply => &self.reply,
        }
    }

    pub(crate) const fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) const fn set_progress(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// The entry as `conntrack -L` prints it at an instant.
    #[must_use]
    pub const fn listing(&self, now: SimTime) -> Listing<'_> {
        Listing { entry: self, now }
    }
}

/// Whether the source was translated, given both tuples of a connection.
pub(crate) fn source_translated(original: &Tuple, reply: &Tuple) -> bool {
    (
        original.source(),
        original.source_port(),
        original.echo_id(),
    ) != (
        reply.destination(),
        reply.destination_port(),
        reply.echo_id(),
    )
}

/// Whether the destination was translated, given both tuples of a connection.
pub(crate) fn destination_translated(original: &Tuple, reply: &Tuple) -> bool {
    (original.destination(), original.destination_port()) != (reply.source(), reply.source_port())
}

/// Timeouts of everything but TCP.
///
/// Deviation: the states of an SCTP association are not followed. It has the timeout of COOKIE_WAIT until an
/// answer comes, then that of ESTABLISHED.
pub(crate) const fn timeout(protocol: Protocol, seen_reply: bool, stream: bool) -> Duration {
    Duration::from_secs(match (protocol, seen_reply) {
        // nf_conntrack_udp_timeout_stream, nf_conntrack_udp_timeout (PROXY-75)
        (Protocol::UDP, _) => {
            if stream {
                120
            } else {
                30
            }
        }
        // nf_conntrack_icmp_timeout, nf_conntrack_icmpv6_timeout
        (Protocol::ICMP | Protocol::ICMPV6, _) => 30,
        (Protocol::SCTP, false) => 3,
        (Protocol::SCTP, true) => 210,
        // nf_conntrack_generic_timeout
        _ => 600,
    })
}

/// Prints an entry like `conntrack -L`; see [`Entry::listing`].
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    entry: &'a Entry,
    now: SimTime,
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, now } = self;
        let protocol = entry.original.protocol();
        let name = match protocol {
            Protocol::ICMPV6 => "icmpv6".to_owned(),
            known if known.has_ports() || known == Protocol::ICMP => known.to_string(),
            _ => "unknown".to_owned(),
        };
        let left = entry.progress.expires.since(*now).as_secs();
        write!(f, "{name:<8} {} {left} ", protocol.0)?;
        if let Some(state) = entry.progress.tcp {
            write!(f, "{state} ")?;
        }
        write_tuple(f, &entry.original)?;
        if !entry.progress.seen_reply {
            f.write_str("[UNREPLIED] ")?;
        }
        write_tuple(f, &entry.reply)?;
        if entry.progress.assured {
            f.write_str("[ASSURED] ")?;
        }
        write!(f, "mark={} use=1", entry.progress.mark)
    }
}

fn write_tuple(f: &mut fmt::Formatter<'_>, tuple: &Tuple) -> fmt::Result {
    write!(f, "src={} dst={} ", tuple.source(), tuple.destination())?;
    if let (Some(source), Some(destination)) = (tuple.source_port(), tuple.destination_port()) {
        write!(f, "sport={source} dport={destination} ")?;
    }
    if let Some(id) = tuple.echo_id() {
        let kind = match (tuple.family(), tuple.is_echo_reply()) {
            (Family::V4, false) => 8,
            (Family::V4, true) => 0,
            (Family::V6, false) => 128,
            (Family::V6, true) => 129,
        };
        write!(f, "type={kind} code=0 id={id} ")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_conntrack_does() {
        let original = Tuple::new(
            Protocol::TCP,
            "10.244.1.5:45000".parse().unwrap(),
            "10.96.0.40:80".parse().unwrap(),
        );
        let reply = Tuple::new(
            Protocol::TCP,
            "10.244.2.11:8080".parse().unwrap(),
            "10.244.1.5:45000".parse().unwrap(),
        );
        let mut progress = Progress {
            started: SimTime::ZERO,
            expires: SimTime::ZERO + Duration::from_secs(120),
            seen_reply: false,
            assured: false,
            tcp: Some(TcpState::SynSent),
            mark: 0,
            is_virtual: false,
        };
        let entry = Entry::new(original, reply, progress);
        assert_eq!(
            entry.listing(SimTime::from_nanos(1)).to_string(),
            "tcp      6 119 SYN_SENT src=10.244.1.5 dst=10.96.0.40 sport=45000 dport=80 [UNREPLIED] \
             src=10.244.2.11 dst=10.244.1.5 sport=8080 dport=45000 mark=0 use=1"
        );
        progress.seen_reply = true;
        progress.assured = true;
        progress.tcp = Some(TcpState::Established);
        let entry = Entry::new(original, reply, progress);
        assert!(
            entry
                .listing(SimTime::ZERO)
                .to_string()
                .ends_with("[ASSURED] mark=0 use=1")
        );
        assert!(destination_translated(&original, &reply));
        assert!(!source_translated(&original, &reply));
    }
}
