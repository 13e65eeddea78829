//! What a rule decides and for whom, in one sentence.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use ruleset::OriginId;

use crate::{DropReason, Masquerade, RejectReason, ServicePortId, TrafficPolicy};

/// Why a rule is there. Prints as a sentence for people who do not read rules.
///
/// The endpoint is the first field because origins are compared in this order, and addresses compare fast.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The endpoint it is about, if it is about one.
    pub endpoint: Option<SocketAddr>,
    /// The service port it serves; `None` for the frame that every node has.
    pub service_port: Option<ServicePortOrigin>,
    /// What it decides.
    pub decision: Decision,
    /// The endpoint's Pod, if known.
    pub pod: Option<Arc<str>>,
}

/// A service port with its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServicePortOrigin {
    /// Namespace, name, port name, protocol.
    pub id: ServicePortId,
    /// Its number, `spec.ports[].port`.
    pub port: u16,
}

/// What a rule decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Connections to this address are the service port's.
    Enter {
        /// The frontend.
        frontend: SocketAddr,
        /// The set it balances over.
        policy: TrafficPolicy,
    },
    /// The client is hidden behind the node's address (PROXY-20).
    HideClient(Masquerade),
    /// The endpoint is chosen.
    Pick {
        /// The chance of a connection to end up at this endpoint, as numerator and denominator. The rule itself
        /// is more likely to match the later it stands, because the ones before it took their share (PROXY-42).
        probability: (u32, u32),
    },
    /// The endpoint talks to itself and is hidden behind the node's address, so that the answer comes back
    /// this way (PROXY-23).
    HideHairpin,
    /// The connection's destination becomes the endpoint.
    Translate,
    /// The connection is refused.
    Refuse(RejectReason),
    /// The connection is dropped.
    Drop(DropReason),
    /// A part of the frame.
    Frame(FrameDecision),
}

/// What a rule of the frame decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameDecision {
    /// A built-in chain visits one of ours.
    Visit {
        /// Our chain.
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
    /// Whatever is for the node itself may be for a node port (PROXY-36).
    NodePorts,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service_port {
            Some(ServicePortOrigin { id, port }) => {
                let protocol = id.protocol.to_string().to_uppercase();
                write!(f, "Service {} port {port}/{protocol}", id.service)?;
            }
            None => f.write_str("frame")?,
        }
        match &self.decision {
            Decision::Enter { frontend, policy } => {
                let place = match policy {
                    TrafficPolicy::Cluster => "",
                    TrafficPolicy::Local => " on this node",
                };
                write!(
                    f,
                    ": connections to {frontend} go to one of its endpoints{place}"
                )
            }
            Decision::HideClient(Masquerade::UnlessFrom(pods)) => write!(
                f,
                ": a client other than the Pods ({pods}) is hidden behind the node's address"
            ),
            Decision::HideClient(Masquerade::Always) => {
                f.write_str(": every client is hidden behind the node's address")
            }
            Decision::HideClient(Masquerade::Never) => f.write_str(": clients keep their address"),
            Decision::Pick { probability } => {
                write!(f, ": pick {}", self.endpoint_name())?;
                match probability {
                    (1, 1) => f.write_str(", the only choice"),
                    (numerator, denominator) => {
                        write!(f, " with probability {numerator}/{denominator}")
                    }
                }
            }
            Decision::HideHairpin => write!(
                f,
                ": {} that calls itself is hidden behind the node's address",
                self.endpoint_name()
            ),
            Decision::Translate => write!(f, ": send to {}", self.endpoint_name()),
            Decision::Refuse(reason) => write!(f, " has {reason}: refuse"),
            Decision::Drop(reason) => write!(f, " has {reason}: drop"),
            Decision::Frame(decision) => write!(f, ": {decision}"),
        }
    }
}

impl Origin {
    fn endpoint_name(&self) -> String {
        match (self.endpoint, &self.pod) {
            (Some(endpoint), Some(pod)) => format!("{endpoint} (pod {pod})"),
            (Some(endpoint), None) => endpoint.to_string(),
            (None, _) => "an endpoint".to_owned(),
        }
    }
}

impl fmt::Display for FrameDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Visit { chain, purpose } => write!(f, "look into {chain}: {purpose}"),
            Self::ProtectLoopback => {
                f.write_str("packets from elsewhere to 127.0.0.0/8 are dropped")
            }
            Self::DropInvalid => f.write_str("packets that belong to no connection are dropped"),
            Self::ForwardMarked(mark) => {
                write!(f, "packets marked {mark:#x} may be forwarded")
            }
            Self::ForwardKnown => f.write_str("packets of known connections may be forwarded"),
            Self::Mark(mark) => {
                write!(
                    f,
                    "mark with {mark:#x}, to get the node's address as source later"
                )
            }
            Self::KeepUnmarked(mark) => {
                write!(f, "packets not marked {mark:#x} keep their source")
            }
            Self::ClearMark(mark) => write!(f, "the mark {mark:#x} is taken off again"),
            Self::Masquerade(mark) => {
                write!(
                    f,
                    "packets marked {mark:#x} get the node's address as source"
                )
            }
            Self::NodePorts => {
                f.write_str("packets for the node itself are compared with the node ports")
            }
        }
    }
}

/// Gives equal origins one id. Nothing is forgotten: tables of any age may be asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    ids: BTreeMap<Arc<Origin>, OriginId>,
    by_id: Vec<Arc<Origin>>,
}

impl Origins {
    pub(crate) fn id(&mut self, origin: Origin) -> OriginId {
        if let Some(id) = self.ids.get(&origin) {
            return *id;
        }
        let id = u32::try_from(self.by_id.len()).expect("fewer rules than 2^32");
        let id = OriginId(id);
        let origin = Arc::new(origin);
        self.by_id.push(Arc::clone(&origin));
        self.ids.insert(origin, id);
        id
    }

    pub(crate) fn frame(&mut self, decision: FrameDecision) -> OriginId {
        self.id(Origin {
            service_port: None,
            decision: Decision::Frame(decision),
            endpoint: None,
            pod: None,
        })
    }

    pub(crate) fn get(&self, id: OriginId) -> Option<&Origin> {
        let index = usize::try_from(id.0).ok()?;
        self.by_id.get(index).map(|origin| &**origin)
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Protocol;

    use super::*;
    use crate::ServiceName;

    fn check(decision: Decision, expected: &str) {
        let origin = Origin {
            service_port: Some(ServicePortOrigin {
                id: ServicePortId {
                    service: ServiceName {
                        namespace: "default".into(),
                        name: "web".into(),
                    },
                    port_name: "http".into(),
                    protocol: Protocol::TCP,
                },
                port: 80,
            }),
            decision,
            endpoint: Some(([10, 244, 1, 5], 8080).into()),
            pod: Some("web-1".into()),
        };
        assert_eq!(
            origin.to_string(),
            format!("Service default/web port 80/TCP{expected}")
        );
    }

    #[test]
    fn sentences_for_beginners() {
        check(
            Decision::Pick {
                probability: (1, 3),
            },
            ": pick 10.244.1.5:8080 (pod web-1) with probability 1/3",
        );
        check(
            Decision::Pick {
                probability: (1, 1),
            },
            ": pick 10.244.1.5:8080 (pod web-1), the only choice",
        );
        check(
            Decision::Refuse(RejectReason::NoEndpoints),
            " has no ready endpoint: refuse",
        );
        check(
            Decision::Drop(DropReason::NoLocalEndpoints),
            " has no ready endpoint on this node: drop",
        );
        let id = Origins::default().frame(FrameDecision::Masquerade(0x4000));
        assert_eq!(id, OriginId(0));
    }

    #[test]
    fn equal_origins_share_an_id() {
        let mut origins = Origins::default();
        let first = origins.frame(FrameDecision::Masquerade(0x4000));
        let other = origins.frame(FrameDecision::DropInvalid);
        assert_ne!(first, other);
        assert_eq!(origins.frame(FrameDecision::Masquerade(0x4000)), first);
        assert_eq!(
            origins.get(first).expect("it was just made").to_string(),
            "frame: packets marked 0x4000 get the node's address as source"
        );
    }
}
