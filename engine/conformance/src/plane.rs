//! Something that carries packets, and how it is held against the oracle.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use api::Object;

use crate::words::Words;
use crate::{Allowed, Cluster, FirstPacket, Oracle, ProxyMode, ProxySettings, Share};

/// A Service proxy with the network around it: simulated, a kernel, or anything else that can be asked.
pub trait DataPlane {
    /// How it writes Services: what a client may see depends on it.
    fn mode(&self) -> ProxyMode;

    /// Makes the cluster this one. Nothing of an earlier cluster counts any more.
    fn apply(&mut self, cluster: &Cluster);

    /// Waits until every node's rules are those of the cluster.
    fn settle(&mut self);

    /// All that may become of a packet, with the share of each; the shares sum to 1. The packet belongs to a
    /// connection of its own: nothing that was probed before counts.
    fn probe(&mut self, packet: &FirstPacket) -> Vec<(Share, Outcome)>;
}

/// A data plane whose nodes remember who was where: what session affinity needs (PROXY-32).
pub trait RememberingPlane: DataPlane {
    /// Makes the cluster this one, and waits until every node's rules are. Nodes keep what they remember, as far
    /// as the new rules let them.
    fn change(&mut self, cluster: &Cluster);

    /// Opens a connection at an instant, counted from the beginning of the test; instants never go back. The node
    /// remembers it. Its client port is one that no other connection has.
    fn connect(&mut self, packet: &FirstPacket, at: Duration) -> Outcome;
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It went to an endpoint.
    Endpoint {
        /// Which one.
        address: SocketAddr,
        /// Whether the endpoint sees another source address than the client's.
        source_nat: bool,
    },
    /// It was refused, and the client told.
    Reject,
    /// It was dropped by a rule.
    Drop,
    /// No rule changed or stopped it.
    Untouched,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint {
                address,
                source_nat,
            } => {
                let client = if *source_nat {
                    "hidden behind the node"
                } else {
                    "visible"
                };
                write!(f, "goes to {address}, client {client}")
            }
            Self::Reject => f.pad("rejected"),
            Self::Drop => f.pad("dropped"),
            Self::Untouched => f.pad("untouched"),
        }
    }
}

/// A data plane did what the oracle does not allow.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Disagreement {
    /// The data plane's mode.
    pub mode: ProxyMode,
    /// The packet.
    pub packet: FirstPacket,
    /// The settings of every node's proxy.
    pub proxy: ProxySettings,
    /// The node, and the Service with its slices if the packet is for one.
    pub objects: Vec<Object>,
    /// What the oracle allows.
    pub allowed: Allowed,
    /// What the data plane did.
    pub observed: Vec<(Share, Outcome)>,
}

/// Gives a cluster to a data plane, lets it settle, and holds its treatment of each packet against the oracle.
///
/// # Errors
/// The first disagreement.
pub fn check(
    plane: &mut impl DataPlane,
    cluster: &Cluster,
    packets: &[FirstPacket],
) -> Result<(), Box<Disagreement>> {
    plane.apply(cluster);
    plane.settle();
    let oracle = Oracle::new(cluster, plane.mode());
    for packet in packets {
        let allowed = oracle.judge(packet);
        let observed = plane.probe(packet);
        if !allowed.permits(&observed) {
            return Err(Box::new(Disagreement {
                mode: plane.mode(),
                packet: packet.clone(),
                proxy: cluster.proxy.clone(),
                objects: oracle.involved(packet),
                allowed,
                observed,
            }));
        }
    }
    Ok(())
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the data plane ({}) and the oracle disagree", self.mode)?;
        writeln!(f, "packet: {}", self.packet)?;
        writeln!(f, "proxies: {}", self.proxy)?;
        writeln!(f, "objects:")?;
        for object in &self.objects {
            writeln!(f, "    {}", Words { object, indent: 6 })?;
        }
        writeln!(f, "allowed: {}", self.allowed)?;
        write!(f, "the data plane:")?;
        if self.observed.is_empty() {
            write!(f, " does not say")?;
        }
        for (share, outcome) in &self.observed {
            write!(f, "\n    {share}: {outcome}")?;
        }
        Ok(())
    }
}

/// Nodes without any rule: no Service works. A check that this passes is no check.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRules;

impl DataPlane for NoRules {
    fn mode(&self) -> ProxyMode {
        ProxyMode::Iptables
    }

    fn apply(&mut self, _cluster: &Cluster) {}

    fn settle(&mut self) {}

    fn probe(&mut self, _packet: &FirstPacket) -> Vec<(Share, Outcome)> {
        vec![(Share::ALL, Outcome::Untouched)]
    }
}
