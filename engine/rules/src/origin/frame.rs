//! What the rules decide that a node has whatever its Services are.

use std::fmt;

/// What a rule of the frame decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameDecision {
    /// A built-in chain visits one of ours, or a chain looks into a map (written `@map`).
    Visit {
        /// Our chain or map.
        chain: &'static str,
        /// What it is for.
        purpose: &'static str,
    },
    /// Packets from elsewhere to 127.0.0.0/8 are dropped (PROXY-27).
    ProtectLoopback,
    /// Packets that belong to no connection are dropped (PROXY-34).
    DropInvalid,
    /// Packets that bear the mark may be forwarded (PROXY-34).
    ForwardMarked(u32),
    /// Packets of known connections may be forwarded (PROXY-34).
    ForwardKnown,
    /// The mark is set (PROXY-19).
    Mark(u32),
    /// Packets without the mark keep their source (PROXY-35).
    KeepUnmarked(u32),
    /// The mark has done its work (PROXY-35).
    ClearMark(u32),
    /// Marked packets are masqueraded (PROXY-35).
    Masquerade(u32),
    /// Endpoints that call themselves are masqueraded (PROXY-23).
    MasqueradeHairpin,
    /// Whatever is for the node itself may be for a node port (PROXY-36).
    NodePorts,
    /// What comes from the loopback address is let be.
    SkipLoopback,
    /// Something becomes of packets whose addresses and ports are in a set (PROXY-59).
    InSet {
        /// The set.
        set: &'static str,
        /// What.
        then: &'static str,
    },
    /// A connection to a load balancer's address from a source that it does not list is dropped (PROXY-30).
    DropSource,
    /// A connection to a Service's address that no virtual server serves is refused (PROXY-16, PROXY-17).
    RefuseUnserved,
    /// A connection to a Service without endpoints is refused (PROXY-14).
    Refuse,
    /// A connection to a Service without endpoints on this node is dropped (PROXY-15).
    DropHere,
    /// A packet that came by while a Service's endpoints were being changed is dropped.
    DropMissed,
    /// A ClusterIP is asked for a port that its Service does not have (PROXY-16).
    RefuseOtherPorts,
    /// An address of the Service range is no Service's (PROXY-16).
    DropUnallocated,
}

impl fmt::Display for FrameDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Visit { chain, purpose } => write!(f, "look into {chain}: {purpose}"),
            Self::ProtectLoopback => {
                f.write_str("packets from elsewhere to 127.0.0.0/8 are dropped")
            }
            Self::DropInvalid => f.write_str("packets that belong to no connection are dropped"),
            Self::ForwardMarked(mark) => write!(f, "packets marked {mark:#x} may be forwarded"),
            Self::ForwardKnown => f.write_str("packets of known connections may be forwarded"),
            Self::Mark(mark) => write!(
                f,
                "mark with {mark:#x}, to get the node's address as source later"
            ),
            Self::KeepUnmarked(mark) => write!(f, "packets not marked {mark:#x} keep their source"),
            Self::ClearMark(mark) => write!(f, "the mark {mark:#x} is taken off again"),
            Self::Masquerade(mark) => write!(
                f,
                "packets marked {mark:#x} get the node's address as source"
            ),
            Self::MasqueradeHairpin => {
                f.write_str("endpoints that call themselves get the node's address as source")
            }
            Self::NodePorts => {
                f.write_str("packets for the node itself are compared with the node ports")
            }
            Self::SkipLoopback => f.write_str("packets from the loopback address are let be"),
            Self::InSet { set, then } => write!(f, "what is in {set}: {then}"),
            Self::DropSource => f.write_str(
                "connections to a load balancer from a source that it does not list are dropped",
            ),
            Self::RefuseUnserved => f.write_str(
                "connections to a Service's address that no virtual server serves are refused",
            ),
            Self::Refuse => f.write_str("connections to a Service without endpoints are refused"),
            Self::DropHere => {
                f.write_str("connections to a Service without endpoints on this node are dropped")
            }
            Self::DropMissed => f.write_str(
                "packets that come by while a Service's endpoints are being changed are dropped",
            ),
            Self::RefuseOtherPorts => f.write_str(
                "connections to a ClusterIP at a port that it does not have are refused",
            ),
            Self::DropUnallocated => {
                f.write_str("packets to an address that no Service has are dropped")
            }
        }
    }
}
