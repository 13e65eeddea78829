//! The first packet of a connection, as one node sees it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use api::Protocol;

/// The first packet of a new connection, as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirstPacket {
    /// The node whose rules it meets.
    pub node: String,
    /// Who sends it.
    pub source: Source,
    /// Whereto. The port of a ping says nothing.
    pub destination: SocketAddr,
    /// What it is.
    pub kind: PacketKind,
}

/// What a first packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PacketKind {
    /// The beginning of a connection over TCP, UDP or SCTP.
    Open(Protocol),
    /// An ICMP echo request (PROXY-17).
    Ping,
}

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A Pod on the node, from its own address. Its packets come through an interface of Pods.
    Pod(IpAddr),
    /// A process of the node itself, from one of the node's addresses, loopback included: the packet is made
    /// there and arrives at no interface.
    Node(IpAddr),
    /// A Pod of another node, whose packet is for this node or is routed through it.
    RemotePod(IpAddr),
    /// A host outside of the cluster, whose packet is routed through the node.
    Outside(IpAddr),
}

impl Source {
    /// The source address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        match self {
            Self::Pod(address)
            | Self::Node(address)
            | Self::RemotePod(address)
            | Self::Outside(address) => address,
        }
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(protocol) => protocol.fmt(f),
            Self::Ping => f.pad("ping"),
        }
    }
}

impl fmt::Display for FirstPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            source,
            destination,
            kind,
        } = self;
        match kind {
            PacketKind::Open(_) => write!(f, "{kind} to {destination}")?,
            PacketKind::Ping => write!(f, "{kind} to {}", destination.ip())?,
        }
        write!(f, " on {node}, from ")?;
        match source {
            Source::Pod(address) => write!(f, "its Pod {address}"),
            Source::Node(address) => write!(f, "the node itself ({address})"),
            Source::RemotePod(address) => write!(f, "Pod {address} of another node"),
            Source::Outside(address) => write!(f, "outside ({address})"),
        }
    }
}
