//! The connection that a packet under evaluation belongs to.
//!
//! **What.** [`track`] finds it, or begins one; [`Connection`] carries the translation while the hooks decide it.
//! **Why.** Translation is decided once, on the first packet, destination before source (PROXY-72): afterwards
//! the two tuples say it all. **Source of the semantics.** Linux `nf_conntrack_in`, `nf_conntrack_inet_error`,
//! `get_unique_tuple` and `nf_nat_l4proto_unique_tuple` in `nf_nat_core.c`.
//!
//! Deviation: transport checksums are not verified (as with `nf_conntrack_checksum=0`).

use std::net::IpAddr;
use std::time::Duration;

use base::SimTime;
use ruleset::Protocol;
use ruleset::xt::{CtState, CtStates, NatTarget};

use crate::entry::{
    Direction, Entry, Progress, destination_translated, source_translated, timeout,
};
use crate::packet::{Content, Datagram};
use crate::state::{Effects, EntryId, NodeState};
use crate::tcp::{self, Move, TcpFlags};
use crate::tuple::Side;
use crate::{Chooser, DropReason, TcpState, Tuple};

/// What conntrack makes of a packet.
#[derive(Clone, Debug)]
pub(crate) enum Tracking {
    /// Conntrack has not looked yet; rules see that as INVALID.
    Unseen,
    /// It belongs to no connection.
    Invalid,
    /// It is exempt.
    Untracked,
    /// It belongs to this one.
    Connection(Connection),
}

impl Tracking {
    /// The packet's state.
    pub(crate) const fn state(&self) -> CtState {
        match self {
            Self::Unseen | Self::Invalid => CtState::Invalid,
            Self::Untracked => CtState::Untracked,
            Self::Connection(connection) => connection.state,
        }
    }

    /// Everything that `--ctstate` can match.
    pub(crate) fn states(&self) -> CtStates {
        let Self::Connection(connection) = self else {
            return CtStates::of(&[self.state()]);
        };
        let Connection {
            original, reply, ..
        } = connection;
        let state = connection.state;
        match (
            source_translated(original, reply),
            destination_translated(original, reply),
        ) {
            (false, false) => CtStates::of(&[state]),
            (true, false) => CtStates::of(&[state, CtState::Snat]),
            (false, true) => CtStates::of(&[state, CtState::Dnat]),
            (true, true) => CtStates::of(&[state, CtState::Snat, CtState::Dnat]),
        }
    }
}

/// A connection, and the packet's place in it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) state: CtState,
    pub(crate) direction: Direction,
    pub(crate) original: Tuple,
    pub(crate) reply: Tuple,
    /// For one that the packet starts.
    pub(crate) fresh: Option<Fresh>,
}

/// What is still open about a new connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh {
    pub(crate) progress: Progress,
    destination_decided: bool,
    source_decided: bool,
}

impl Connection {
    /// Whether the rules are still to be asked about a side.
    pub(crate) const fn is_open(&self, side: Side) -> bool {
        match (&self.fresh, side) {
            (None, _) => false,
            (Some(fresh), Side::Source) => !fresh.source_decided,
            (Some(fresh), Side::Destination) => !fresh.destination_decided,
        }
    }

    /// Closes the question of a side.
    pub(crate) const fn close(&mut self, side: Side) {
        if let Some(fresh) = &mut self.fresh {
            match side {
                Side::Source => fresh.source_decided = true,
                Side::Destination => fresh.destination_decided = true,
            }
        }
    }

    /// What the packet's tuple is after both translations.
    pub(crate) const fn translated(&self) -> Tuple {
        match self.direction {
            Direction::Original => self.reply.inverse(),
            Direction::Reply => self.original.inverse(),
        }
    }

    /// The tuple of a direction.
    pub(crate) const fn tuple(&self, direction: Direction) -> Tuple {
        match direction {
            Direction::Original => self.original,
            Direction::Reply => self.reply,
        }
    }

    /// Gives a new connection another destination.
    pub(crate) const fn redirect(&mut self, to: NatTarget) {
        let redirected = self.reply.inverse().with_destination(to.address, to.port);
        self.reply = redirected.inverse();
    }

    /// Gives a new connection a source, whose answers nobody else expects: the given address or the one it has,
    /// the port it has if that is free (and no random one is asked for), else another.
    ///
    /// # Errors
    /// When all ports are taken.
    pub(crate) fn choose_source(
        &mut self,
        address: Option<IpAddr>,
        random_port: bool,
        taken: impl Fn(&Tuple) -> bool,
        chooser: &mut impl Chooser,
    ) -> Result<(), DropReason> {
        let current = self.reply.inverse();
        let wanted = current.with_source(address.unwrap_or(current.source()), None);
        let is_free = |tuple: &Tuple| !taken(&tuple.inverse());
        let (source, port) = wanted.side(Side::Source);
        let found = match port {
            Some(port) if random_port || !is_free(&wanted) => {
                let range = match port {
                    _ if wanted.echo_id().is_some() => 0..=u16::MAX,
                    ..512 => 1..=511,
                    512..1024 => 600..=1023,
                    1024.. => 1024..=u16::MAX,
                };
                let first = chooser.port(range.clone());
                (first..=*range.end())
                    .chain(*range.start()..first)
                    .map(|port| wanted.with_source(source, Some(port)))
                    .find(is_free)
            }
            _ => Some(wanted).filter(is_free),
        };
        self.reply = found.ok_or(DropReason::PortsExhausted)?.inverse();
        Ok(())
    }
}

/// Finds the connection of a packet, or begins one.
pub(crate) fn track(datagram: &Datagram, state: &NodeState, now: SimTime) -> (Tracking, Effects) {
    match datagram.content {
        Content::Flow(tuple) => match state.lookup(&tuple, now) {
            Some((id, direction, entry)) => follow(datagram, id, direction, entry, now),
            None => (begin(datagram, tuple, now), Effects::default()),
        },
        Content::Error { .. } => (relate(datagram, state, now), Effects::default()),
        Content::Untracked => (Tracking::Untracked, Effects::default()),
        Content::Other => (Tracking::Invalid, Effects::default()),
    }
}

fn begin(datagram: &Datagram, tuple: Tuple, now: SimTime) -> Tracking {
    let tcp = match tuple.protocol() {
        Protocol::TCP => match tcp::begin(TcpFlags::of(datagram.transport())) {
            Move::To(state) => Some(state),
            Move::Ignore | Move::Invalid => return Tracking::Invalid,
        },
        _ => None,
    };
    // An answer to an echo that nobody sent starts nothing.
    if tuple.is_echo_reply() {
        return Tracking::Invalid;
    }
    let lifetime = match tcp {
        Some(state) => state.timeout(),
        None => timeout(tuple.protocol(), false, false),
    };
    Tracking::Connection(Connection {
        state: CtState::New,
        direction: Direction::Original,
        original: tuple,
        reply: tuple.inverse(),
        fresh: Some(Fresh {
            progress: Progress {
                started: now,
                expires: now + lifetime,
                seen_reply: false,
                assured: false,
                tcp,
            },
            destination_decided: false,
            source_decided: false,
        }),
    })
}

/// A packet of a known connection.
fn follow(
    datagram: &Datagram,
    id: EntryId,
    direction: Direction,
    entry: &Entry,
    now: SimTime,
) -> (Tracking, Effects) {
    let before = *entry.progress();
    let state = match direction {
        Direction::Original if !before.seen_reply => CtState::New,
        _ => CtState::Established,
    };
    let tracking = Tracking::Connection(Connection {
        state,
        direction,
        original: *entry.original(),
        reply: *entry.reply(),
        fresh: None,
    });
    let mut effects = Effects::default();
    let Some(tcp_state) = before.tcp else {
        let progress = follow_datagram(before, entry.original().protocol(), direction, now);
        effects.updated = Some((id, progress));
        return (tracking, effects);
    };
    let flags = TcpFlags::of(datagram.transport());
    match tcp::advance(tcp_state, direction, flags) {
        Move::Invalid => return (Tracking::Invalid, effects),
        Move::Ignore => {}
        // A closed connection is opened again: it is a new one, and meets the rules again.
        Move::To(TcpState::SynSent) if tcp_state != TcpState::SynSent => {
            effects.removed = Some(id);
            let tuple = *entry.tuple(direction);
            return (begin(datagram, tuple, now), effects);
        }
        // Refused: nothing is worth remembering.
        Move::To(TcpState::Close) if flags == TcpFlags::Rst && !before.seen_reply => {
            effects.removed = Some(id);
        }
        Move::To(next) => {
            let proven = matches!(tcp_state, TcpState::SynRecv | TcpState::Established)
                && next == TcpState::Established;
            let progress = Progress {
                expires: now + next.timeout(),
                seen_reply: before.seen_reply || direction == Direction::Reply,
                assured: before.assured || (before.seen_reply && proven),
                tcp: Some(next),
                ..before
            };
            effects.updated = Some((id, progress));
        }
    }
    (tracking, effects)
}

/// Progress of a connection without states.
fn follow_datagram(
    before: Progress,
    protocol: Protocol,
    direction: Direction,
    now: SimTime,
) -> Progress {
    // nf_conntrack_proto_udp.c: still active two seconds after its first packet.
    const STREAM_AFTER: Duration = Duration::from_secs(2);
    let stream = before.seen_reply && now > before.started + STREAM_AFTER;
    let seen_reply = before.seen_reply || direction == Direction::Reply;
    Progress {
        expires: now + timeout(protocol, seen_reply, stream),
        seen_reply,
        assured: before.assured || (stream && protocol == Protocol::UDP),
        ..before
    }
}

/// An ICMP error belongs to the connection of the packet it quotes, and goes against that packet.
fn relate(datagram: &Datagram, state: &NodeState, now: SimTime) -> Tracking {
    let found = datagram
        .quoted()
        .and_then(|(_, quoted)| state.lookup(&quoted.inverse(), now));
    match found {
        Some((_, direction, entry))
            if entry.tuple(direction).destination() == datagram.headers.destination =>
        {
            Tracking::Connection(Connection {
                state: CtState::Related,
                direction,
                original: *entry.original(),
                reply: *entry.reply(),
                fresh: None,
            })
        }
        _ => Tracking::Invalid,
    }
}
