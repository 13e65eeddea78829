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
use crate::state::{ConnectionChange, Effects, EntryId, Found, NodeState, Room};
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

    /// Whether `--ctstate` matches. What became of the addresses is looked at only where it is asked for.
    pub(crate) fn is_any_of(&self, states: CtStates) -> bool {
        let by_translation = CtStates::of(&[CtState::Snat, CtState::Dnat]);
        states.contains(self.state())
            || (states.intersects(by_translation) && self.states().intersects(states))
    }

    /// Everything that `--ctstate` can match.
    fn states(&self) -> CtStates {
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
    /// As it is with this packet.
    pub(crate) progress: Progress,
    pub(crate) origin: Origin,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// It was there before the packet.
    Known(EntryId),
    /// The packet starts it.
    Fresh(Fresh),
}

/// What is still open about a new connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fresh {
    destination_decided: bool,
    source_decided: bool,
}

/// A new source that a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceWish {
    pub(crate) address: IpAddr,
    pub(crate) port: PortWish,
}

/// Which source port is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortWish {
    /// The one it has, or else any.
    Keep,
    /// Any, even if the one it has is free.
    Random,
    /// This one and no other.
    Exactly(u16),
}

impl Connection {
    /// Whether a virtual server, and not the translation of addresses, rewrites a side.
    pub(crate) const fn is_served(&self, side: Side) -> bool {
        self.progress.is_virtual
            && matches!(
                (self.direction, side),
                (Direction::Original, Side::Destination) | (Direction::Reply, Side::Source)
            )
    }

    /// Whether the rules are still to be asked about a side.
    pub(crate) const fn is_open(&self, side: Side) -> bool {
        match (&self.origin, side) {
            (Origin::Known(_), _) => false,
            (Origin::Fresh(fresh), Side::Source) => !fresh.source_decided,
            (Origin::Fresh(fresh), Side::Destination) => !fresh.destination_decided,
        }
    }

    /// Closes the question of a side.
    pub(crate) const fn close(&mut self, side: Side) {
        if let Origin::Fresh(fresh) = &mut self.origin {
            match side {
                Side::Source => fresh.source_decided = true,
                Side::Destination => fresh.destination_decided = true,
            }
        }
    }

    /// The tuple of answers to the packet.
    pub(crate) const fn answer(&self) -> &Tuple {
        self.tuple(self.direction.other())
    }

    /// The tuple of a direction.
    pub(crate) const fn tuple(&self, direction: Direction) -> &Tuple {
        match direction {
            Direction::Original => &self.original,
            Direction::Reply => &self.reply,
        }
    }

    /// Gives a new connection another destination.
    pub(crate) const fn redirect(&mut self, to: NatTarget) {
        let redirected = self.reply.inverse().with_destination(to.address, to.port);
        self.reply = redirected.inverse();
    }

    /// Gives a new connection a source, whose answers nobody else expects: what is wished for or what it has; the
    /// port it has if that is free (and no other is asked for), else another.
    ///
    /// # Errors
    /// When all ports are taken.
    pub(crate) fn choose_source(
        &mut self,
        wish: Option<SourceWish>,
        taken: impl Fn(&Tuple) -> bool,
        chooser: &mut impl Chooser,
    ) -> Result<(), DropReason> {
        let current = self.reply.inverse();
        let SourceWish { address, port } = wish.unwrap_or(SourceWish {
            address: current.source(),
            port: PortWish::Keep,
        });
        let wanted = match port {
            PortWish::Exactly(port) => current.with_source(address, Some(port)),
            PortWish::Keep | PortWish::Random => current.with_source(address, None),
        };
        let is_free = |tuple: &Tuple| !taken(&tuple.inverse());
        let keeps = port != PortWish::Random && is_free(&wanted);
        let found = match wanted.side(Side::Source) {
            (_, Some(present)) if !keeps && !matches!(port, PortWish::Exactly(_)) => {
                let range = match present {
                    _ if wanted.echo_id().is_some() => 0..=u16::MAX,
                    ..512 => 1..=511,
                    512..1024 => 600..=1023,
                    1024.. => 1024..=u16::MAX,
                };
                let first = chooser.port(range.clone());
                (first..=*range.end())
                    .chain(*range.start()..first)
                    .map(|port| wanted.with_source(address, Some(port)))
                    .find(is_free)
            }
            _ => Some(wanted).filter(|wanted| keeps || is_free(wanted)),
        };
        self.reply = found.ok_or(DropReason::PortsExhausted)?.inverse();
        Ok(())
    }

    /// Marks the connection; one that was there before the packet is changed by its effects.
    pub(crate) fn set_mark(&mut self, mark: u32, effects: &mut Effects) {
        self.progress.mark = mark;
        if let Origin::Known(id) = self.origin {
            effects.connection = Some(ConnectionChange::Updated(id, self.progress));
        }
    }

    /// What `ct status` shows (`enum ip_conntrack_status`).
    pub(crate) fn status(&self) -> u32 {
        let flags = [
            (1 << 1, self.progress.seen_reply),
            (1 << 2, self.progress.assured),
            (1 << 3, matches!(self.origin, Origin::Known(_))),
            (1 << 4, source_translated(&self.original, &self.reply)),
            (1 << 5, destination_translated(&self.original, &self.reply)),
        ];
        let set = flags.iter().filter(|(_, is_set)| *is_set);
        set.fold(0, |status, (bit, _)| status | bit)
    }
}

/// Whether a packet's flow was looked up before conntrack is asked about it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look<'a> {
    /// That is still to be done.
    Ahead,
    /// This was found.
    Done(Option<Found<'a>>),
}

impl<'a> Look<'a> {
    /// Looks a packet up, if it is of a flow.
    pub(crate) fn at(datagram: &Datagram, state: &'a NodeState, now: SimTime) -> Self {
        match &datagram.content {
            Content::Flow(tuple) => Self::Done(state.lookup(tuple, now)),
            Content::Error { .. } | Content::Untracked | Content::Other => Self::Ahead,
        }
    }
}

/// Finds the connection of a packet, or begins one.
///
/// # Errors
/// When a connection begins, the table is full, and nothing in it can be given up.
pub(crate) fn track(
    datagram: &Datagram,
    look: Look<'_>,
    state: &NodeState,
    now: SimTime,
    effects: &mut Effects,
) -> Result<Tracking, DropReason> {
    let tracking = match datagram.content {
        Content::Flow(tuple) => {
            let found = match look {
                Look::Ahead => state.lookup(&tuple, now),
                Look::Done(found) => found,
            };
            match found {
                Some((id, direction, entry)) => {
                    follow(datagram, id, direction, entry, now, effects)
                }
                None => begin(datagram, tuple, now),
            }
        }
        Content::Error { .. } => relate(datagram, state, now),
        Content::Untracked => Tracking::Untracked,
        Content::Other => Tracking::Invalid,
    };
    if let Tracking::Connection(connection) = &tracking
        && matches!(connection.origin, Origin::Fresh(_))
        && effects.removed.is_none()
    {
        effects.removed = match state.room(&connection.original, now) {
            Room::Free => None,
            Room::After(sacrifice) => Some(sacrifice),
            Room::None => return Err(DropReason::ConntrackFull),
        };
    }
    Ok(tracking)
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
        progress: Progress::of_first(now, tcp, lifetime),
        origin: Origin::Fresh(Fresh::default()),
    })
}

/// Whether a packet of a known connection is, to rules, as new as its first one: nobody has answered that yet.
pub(crate) const fn is_unanswered(before: &Progress, direction: Direction) -> bool {
    matches!(direction, Direction::Original) && !before.seen_reply
}

/// What a packet does to its connection, which is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It goes on so.
    On(Progress),
    /// It is closed, and the packet opens it again: it is a new one, and meets the rules again.
    Reopened,
    /// The packet refuses it: nothing is worth remembering.
    Refused,
    /// The packet is none of its packets.
    Invalid,
}

impl Course {
    /// What a packet of this direction does to an entry that was found for it. Its ends are not compared again.
    pub(crate) fn of(
        datagram: &Datagram,
        direction: Direction,
        entry: &Entry,
        now: SimTime,
    ) -> Self {
        let before = *entry.progress();
        let Some(last) = before.tcp else {
            let protocol = entry.original().protocol();
            return Self::On(follow_datagram(before, protocol, direction, now));
        };
        let flags = TcpFlags::of(datagram.transport());
        Self::of_tcp(before, last, direction, flags, now)
    }

    /// The same for a segment of TCP with these flags.
    pub(crate) fn of_tcp(
        before: Progress,
        last: TcpState,
        direction: Direction,
        flags: TcpFlags,
        now: SimTime,
    ) -> Self {
        match tcp::advance(last, direction, flags) {
            Move::Invalid => Self::Invalid,
            Move::Ignore => Self::On(before),
            Move::To(TcpState::SynSent) if last != TcpState::SynSent => Self::Reopened,
            Move::To(TcpState::Close) if flags == TcpFlags::Rst && !before.seen_reply => {
                Self::Refused
            }
            Move::To(next) => Self::On(follow_tcp(before, last, next, direction, now)),
        }
    }
}

/// A packet of a known connection.
fn follow(
    datagram: &Datagram,
    id: EntryId,
    direction: Direction,
    entry: &Entry,
    now: SimTime,
    effects: &mut Effects,
) -> Tracking {
    let before = *entry.progress();
    let progress = match Course::of(datagram, direction, entry, now) {
        Course::On(progress) => progress,
        Course::Invalid => return Tracking::Invalid,
        Course::Reopened => {
            effects.removed = Some(id);
            let tuple = *entry.tuple(direction);
            return begin(datagram, tuple, now);
        }
        Course::Refused => {
            effects.removed = Some(id);
            before
        }
    };
    if progress != before {
        effects.connection = Some(ConnectionChange::Updated(id, progress));
    }
    Tracking::Connection(Connection {
        state: if is_unanswered(&before, direction) {
            CtState::New
        } else {
            CtState::Established
        },
        direction,
        original: *entry.original(),
        reply: *entry.reply(),
        progress,
        origin: Origin::Known(id),
    })
}

/// Progress of a TCP connection that moves from one state to the next.
fn follow_tcp(
    before: Progress,
    last: TcpState,
    next: TcpState,
    direction: Direction,
    now: SimTime,
) -> Progress {
    let proven =
        matches!(last, TcpState::SynRecv | TcpState::Established) && next == TcpState::Established;
    Progress {
        expires: now + next.timeout(),
        seen_reply: before.seen_reply || direction == Direction::Reply,
        assured: before.assured || (before.seen_reply && proven),
        tcp: Some(next),
        ..before
    }
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
        Some((id, direction, entry))
            if entry.tuple(direction).destination() == datagram.headers.destination =>
        {
            Tracking::Connection(Connection {
                state: CtState::Related,
                direction,
                original: *entry.original(),
                reply: *entry.reply(),
                progress: *entry.progress(),
                origin: Origin::Known(id),
            })
        }
        _ => Tracking::Invalid,
    }
}
