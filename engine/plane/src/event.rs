//! What applications notice, what nodes decided, and what was lost.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base::SimTime;
use netfilter::{DropReason, RejectReason, TracedElement, TracedRule, Tuple};

use crate::{EchoError, HostId, NodeId, SocketId};

/// Something that happened while the plane ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaneEvent {
    /// A client's TCP connection stands.
    Connected {
        /// The client's socket.
        socket: SocketId,
    },
    /// A listening host has a new TCP connection.
    Accepted {
        /// The server's socket for this connection.
        socket: SocketId,
        /// The listening host.
        host: HostId,
        /// The address that the connection was made to, as this host sees it.
        local: SocketAddr,
        /// Where it comes from, as this host sees it.
        peer: SocketAddr,
    },
    /// Bytes arrived.
    Data {
        /// The receiving socket.
        socket: SocketId,
        /// All that was there: any piece of a TCP stream, one whole UDP datagram.
        bytes: Vec<u8>,
        /// The sender of a UDP datagram; `None` for TCP.
        from: Option<SocketAddr>,
    },
    /// The peer will send nothing more.
    PeerClosed {
        /// The socket.
        socket: SocketId,
    },
    /// The client of a connection that is used once has its answer: told in place of all that its ends would have been
    /// told. Only for what somebody foresaw (see [`Foresight`](crate::Foresight)).
    Exchanged {
        /// The client's socket. It goes when the connection is over, by itself.
        socket: SocketId,
        /// When it stood, for the client.
        connected: SimTime,
        /// All that the server has said.
        answer: Vec<u8>,
    },
    /// A TCP connection is over, its socket gone.
    Closed {
        /// The socket that was.
        socket: SocketId,
    },
    /// An error. A TCP socket is gone with it; a UDP socket goes on.
    Failed {
        /// The socket.
        socket: SocketId,
        /// What a Linux program would see.
        error: SocketError,
    },
    /// An echo request was answered; its socket is gone.
    Echoed {
        /// The socket of [`crate::Plane::ping`].
        socket: SocketId,
        /// Who answered.
        from: IpAddr,
        /// The time to live that is left of the answer's.
        ttl: u8,
    },
    /// An echo request was answered with an error; its socket is gone.
    EchoFailed {
        /// The socket of [`crate::Plane::ping`].
        socket: SocketId,
        /// Who says so.
        from: IpAddr,
        /// What it says.
        error: EchoError,
    },
    /// A node decided about the first packet of a flow. Told after [`crate::Plane::log_decisions`] only.
    Decision {
        /// When.
        at: SimTime,
        /// Where.
        node: NodeId,
        /// The flow as it came to this node.
        tuple: Tuple,
        /// What became of it.
        action: DecisionAction,
        /// The rules that matched and say whom they serve, in order.
        rules: Vec<TracedRule>,
        /// What was found in sets and maps, in order.
        elements: Vec<TracedElement>,
    },
    /// A packet vanished without anybody being told. Told after [`crate::Plane::log_decisions`] only.
    Lost {
        /// When.
        at: SimTime,
        /// Where.
        place: Place,
        /// Its flow; `None` for what belongs to none.
        tuple: Option<Tuple>,
        /// Why.
        reason: LostReason,
    },
}

/// What a socket's owner is told when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketError {
    /// `ECONNREFUSED`: a reset, or ICMP port unreachable, in answer to a connection attempt.
    Refused,
    /// `EHOSTUNREACH`, `ENETUNREACH`, `EACCES`: an ICMP error, or no way to the address from here.
    Unreachable,
    /// `ECONNRESET`: a reset on a connection that stood.
    Reset,
    /// `ETIMEDOUT`: the kernel gave up. An application's own timeout is the application's affair.
    TimedOut,
    /// `EADDRNOTAVAIL`: no local port is free.
    PortsExhausted,
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "connection refused",
            Self::Unreachable => "host unreachable",
            Self::Reset => "connection reset by peer",
            Self::TimedOut => "connection timed out",
            Self::PortsExhausted => "cannot assign requested address",
        })
    }
}

/// What a node did with the first packet of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionAction {
    /// It goes to another destination.
    Translated {
        /// The new destination; port 0 for protocols without ports.
        to: SocketAddr,
    },
    /// Its sender was told that it is unwanted.
    Rejected(RejectReason),
    /// It was dropped.
    Dropped(DropReason),
    /// It goes where it was sent.
    Untouched,
}

/// Where a packet was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On its way to or from a host.
    Host(HostId),
    /// On a node.
    Node(NodeId),
    /// Beyond every default route.
    World,
}

/// Why a packet was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// A node dropped it.
    Dropped(DropReason),
    /// It took the default route, and nobody out there has this address (PROXY-16, DBG-52).
    NobodyThere,
    /// The address is the load balancer's, and it sends it to no node.
    NoNodeTakes,
    /// The node serves the address's range, but no Pod there has the address (any more; DBG-71).
    NoSuchPod,
    /// The host takes every packet and answers none.
    Ignored,
    /// The host was removed while the packet was on its way.
    HostGone,
    /// The network has no path.
    NoPath,
    /// The link is cut.
    LinkCut,
    /// The link loses packets, and this is one.
    LostOnLink,
    /// Too many packets wait for the link already.
    QueueFull,
    /// The node is stopped.
    NodeStopped,
    /// It would go back to the Pod by the link it came by, which is not in hairpin mode.
    NoHairpin,
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped(reason) => reason.fmt(f),
            Self::NobodyThere => f.pad("left by the default route; nobody there has the address"),
            Self::NoNodeTakes => {
                f.pad("the load balancer knows no node that takes packets to this address")
            }
            Self::NoSuchPod => f.pad("no Pod on the node has the address"),
            Self::Ignored => f.pad("the host takes every packet and answers none"),
            Self::HostGone => f.pad("the host is gone"),
            Self::NoPath => f.pad("no path through the network"),
            Self::LinkCut => f.pad("the link is cut"),
            Self::LostOnLink => f.pad("lost on the link"),
            Self::QueueFull => f.pad("too many packets wait for the link"),
            Self::NodeStopped => f.pad("the node is down"),
            Self::NoHairpin => {
                f.pad("it would go back to the Pod that sent it, and the Pod's link is not in hairpin mode")
            }
        }
    }
}
