//! Virtual servers and the real servers behind them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use crate::{OriginId, Protocol};

/// What clients call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerKey {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Address and port.
    pub address: SocketAddr,
}

/// `tcp 10.96.0.40:80`
impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.address)
    }
}

/// How connections are shared out. Two are equal when they do the same: the origin does not count.
#[derive(Clone, Debug)]
pub struct VirtualServer {
    /// Who is next.
    pub scheduler: Scheduler,
    /// `-p`: for how many seconds after its last connection a client stays with its real server.
    pub persistence: Option<NonZeroU32>,
    /// `-b`: the scheduler's own flags, by their numbers in `ipvsadm`'s order.
    pub scheduler_flags: u8,
    /// By address and port.
    ///
    /// Deviation: a kernel lists them by age, and `rr` goes through them so.
    pub real_servers: BTreeMap<SocketAddr, RealServer>,
    /// Whom it serves.
    pub origin: Option<OriginId>,
}

impl PartialEq for VirtualServer {
    fn eq(&self, other: &Self) -> bool {
        (self.scheduler, self.persistence, self.scheduler_flags)
            == (other.scheduler, other.persistence, other.scheduler_flags)
            && self.real_servers == other.real_servers
    }
}

impl Eq for VirtualServer {}

/// One that connections are given to. Two are equal when they are the same: the origin does not count.
#[derive(Clone, Copy, Debug)]
pub struct RealServer {
    /// How packets get there.
    pub forwarding: Forwarding,
    /// Its share; 0 gives it no new connection.
    pub weight: u32,
    /// Whom it serves.
    pub origin: Option<OriginId>,
}

impl PartialEq for RealServer {
    fn eq(&self, other: &Self) -> bool {
        (self.forwarding, self.weight) == (other.forwarding, other.weight)
    }
}

impl Eq for RealServer {}

/// How packets get to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// `-m`: with another destination, and the answers with another source.
    Masquerading,
    /// `-g`: as they are, with another hardware address.
    DirectRouting,
    /// `-i`: as they are, in another packet.
    Tunnelling,
}

impl Forwarding {
    pub(super) const WORDS: [(Self, &'static str); 3] = [
        (Self::Masquerading, "-m"),
        (Self::DirectRouting, "-g"),
        (Self::Tunnelling, "-i"),
    ];
}

/// Who gets the next connection: `-s` (ipvsadm(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheduler {
    /// `rr`: one after the other.
    RoundRobin,
    /// `wrr`: the same, by weight.
    WeightedRoundRobin,
    /// `lc`: who has the fewest connections.
    LeastConnection,
    /// `wlc`: the same, by weight.
    WeightedLeastConnection,
    /// `lblc`: by destination, and by load.
    LocalityBased,
    /// `lblcr`: the same, with several for a destination.
    LocalityBasedReplicated,
    /// `sh`: by the client's address.
    SourceHashing,
    /// `dh`: by the address that it calls.
    DestinationHashing,
    /// `sed`: who would be done first.
    ShortestExpectedDelay,
    /// `nq`: who is idle, or else as `sed`.
    NeverQueue,
    /// `mh`: by the client's address, so that few move when real servers change.
    MaglevHashing,
}

impl Scheduler {
    /// Every scheduler that kube-proxy takes, with its name (PROXY-58).
    pub const NAMES: [(Self, &'static str); 11] = [
        (Self::RoundRobin, "rr"),
        (Self::WeightedRoundRobin, "wrr"),
        (Self::LeastConnection, "lc"),
        (Self::WeightedLeastConnection, "wlc"),
        (Self::LocalityBased, "lblc"),
        (Self::LocalityBasedReplicated, "lblcr"),
        (Self::SourceHashing, "sh"),
        (Self::DestinationHashing, "dh"),
        (Self::ShortestExpectedDelay, "sed"),
        (Self::NeverQueue, "nq"),
        (Self::MaglevHashing, "mh"),
    ];

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names
            .find(|(_, known)| *known == name)
            .map(|(scheduler, _)| *scheduler)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        let found = names.find(|(scheduler, _)| *scheduler == self);
        found.expect("every scheduler has a name").1
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
