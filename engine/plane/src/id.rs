//! Names for the things in a network, as small numbers that are never given out twice.

use std::fmt;

/// A node of one [`crate::Plane`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

/// A host of one [`crate::Plane`]: a Pod, an outside host, or a node as the place of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) u32);

/// A socket on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    pub(crate) host: HostId,
    pub(crate) serial: u32,
}

impl SocketId {
    /// The host whose socket it is.
    #[must_use]
    pub const fn host(self) -> HostId {
        self.host
    }
}

impl HostId {
    /// All sockets that the host has, had or will have.
    #[must_use]
    pub const fn sockets(self) -> std::ops::RangeInclusive<SocketId> {
        let first = SocketId {
            host: self,
            serial: 0,
        };
        let last = SocketId {
            host: self,
            serial: u32::MAX,
        };
        first..=last
    }
}

impl NodeId {
    /// Its number: nodes are counted from 0 in the order in which they were added.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl HostId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.host.0, self.serial)
    }
}
