//! What became of a packet, and why.

use std::fmt;

use ruleset::ipvs::ServerKey;
use ruleset::xt::RejectWith;

use crate::{ChainPlace, Doubt, Effects, InterfaceName, Malformed, Packet, RulePlace};

/// The result of one evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// What becomes of the packet.
    pub verdict: Verdict,
    /// What it changes in the node's state, once committed.
    pub effects: Effects,
    /// How many rules a kernel would have compared with the packet. Indexes need not compare them all.
    pub rules_tested: u64,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes up to a process on the node.
    Deliver(Packet),
    /// It leaves through an interface.
    Forward {
        /// As it leaves: translated, TTL decremented unless the node itself sent it.
        packet: Packet,
        /// The interface.
        interface: InterfaceName,
    },
    /// It is gone, and nobody is told.
    Drop(DropReason),
    /// It is gone, and its sender is told.
    Reject {
        /// The answer, addressed to the sender and quoting the packet as this node received it. It is complete:
        /// send it towards its destination without another evaluation on this node.
        reply: Packet,
        /// Why.
        reason: RejectReason,
    },
    /// It meets a rule that is not understood. Only tables that were read from a dump have such rules.
    Unknown(Box<Doubt>),
}

/// Why a packet was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// A rule said so.
    Rule(RulePlace),
    /// No rule accepted it and the chain's policy is to drop.
    Policy(ChainPlace),
    /// A rule rejected it, but no answer may be sent: it is an ICMP error itself, a TCP reset, went to a group,
    /// or there is no way back.
    RejectedSilently(RulePlace),
    /// A virtual server refused it, but no answer may be sent.
    RefusedSilently(RejectReason),
    /// The real server of its connection is gone from this virtual one.
    RealServerGone(ServerKey),
    /// There is no route to its destination.
    NoRoute,
    /// Its TTL ran out and no answer may be sent.
    TtlExpired,
    /// It does not fit the link, and no answer may be sent.
    TooBig {
        /// What would fit, in bytes.
        mtu: usize,
    },
    /// Its addresses cannot occur where it arrived.
    Martian,
    /// It is no packet that the node understands.
    Malformed(Malformed),
    /// No source port is left for its connection.
    PortsExhausted,
    /// It should be masqueraded, but the outgoing interface has no address of its family.
    NoSourceAddress,
    /// It should be redirected to the node, but the interface it came in by has no address of its family.
    NoLocalAddress,
    /// It starts a connection, and the table of connections is full.
    ConntrackFull,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(place) => write!(f, "dropped by {place}"),
            Self::Policy(chain) => write!(f, "dropped by the policy of {chain}"),
            Self::RejectedSilently(place) => write!(f, "rejected by {place}, without an answer"),
            Self::RefusedSilently(reason) => write!(f, "{reason}, without an answer"),
            Self::RealServerGone(server) => {
                write!(f, "its real server is gone from virtual server {server}")
            }
            Self::NoRoute => f.write_str("no route to the destination"),
            Self::TtlExpired => f.write_str("time to live exceeded"),
            Self::TooBig { mtu } => write!(f, "too big for the link, which takes {mtu} bytes"),
            Self::Martian => f.write_str("impossible address (martian)"),
            Self::Malformed(malformed) => write!(f, "malformed: {malformed}"),
            Self::PortsExhausted => f.write_str("no free source port for the translation"),
            Self::NoSourceAddress => {
                f.write_str("outgoing interface has no address to masquerade with")
            }
            Self::NoLocalAddress => f.write_str("incoming interface has no address to redirect to"),
            Self::ConntrackFull => f.write_str("conntrack table is full"),
        }
    }
}

/// Why a packet was refused with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// A rule said so.
    Rule {
        /// The rule.
        place: RulePlace,
        /// How it answers.
        with: RejectWith,
    },
    /// A virtual server has nobody to give it to.
    NoRealServer(ServerKey),
    /// It is of no connection that a virtual server knows, and begins none.
    UnknownConnection(ServerKey),
    /// Its TTL ran out: the answer is an ICMP time exceeded.
    TtlExpired,
    /// It does not fit the link: the answer is ICMP "fragmentation needed" or "packet too big".
    TooBig {
        /// What would fit, in bytes.
        mtu: usize,
    },
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { place, with } => {
                let answer = match with {
                    RejectWith::PortUnreachable => "port unreachable",
                    RejectWith::HostUnreachable => "host unreachable",
                    RejectWith::NetUnreachable => "network unreachable",
                    RejectWith::AdminProhibited => "administratively prohibited",
                    RejectWith::HostProhibited => "host prohibited",
                    RejectWith::NetProhibited => "network prohibited",
                    RejectWith::ProtoUnreachable => "protocol unreachable",
                    RejectWith::TcpReset => "TCP reset",
                };
                write!(f, "rejected by {place} ({answer})")
            }
            Self::NoRealServer(server) => write!(
                f,
                "virtual server {server} has no real server (port unreachable)"
            ),
            Self::UnknownConnection(server) => write!(
                f,
                "virtual server {server} knows no such connection (TCP reset)"
            ),
            Self::TtlExpired => f.write_str("time to live exceeded"),
            Self::TooBig { mtu } => write!(f, "too big for the link, which takes {mtu} bytes"),
        }
    }
}
