//! Origins as sentences.

use std::fmt;

use super::{Decision, Frontend, Origin, ServicePortOrigin};
use crate::{FrontendKind, Masquerade, TrafficPolicy};

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.service_port.as_deref() {
            Some(ServicePortOrigin { id, port }) => {
                let protocol = id.protocol.to_string().to_uppercase();
                write!(f, "Service {} port {port}/{protocol}", id.service)?;
            }
            None => f.write_str("frame")?,
        }
        let is_complaint = matches!(self.decision, Decision::Refuse(_) | Decision::Drop(_));
        f.write_str(if is_complaint { " has " } else { ": " })?;
        self.fmt_decision(f)
    }
}

impl Origin {
    fn fmt_decision(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = EndpointName(self);
        match &self.decision {
            Decision::Refuse(reason) => write!(f, "{reason}: refuse"),
            Decision::Drop(reason) => write!(f, "{reason}: drop"),
            Decision::Enter { frontend, policy } => {
                write!(f, "connections to {frontend} go to one of {}", of(*policy))
            }
            Decision::EnterExternal(frontend) => {
                write!(f, "connections to {frontend} are external traffic")
            }
            Decision::CheckSource(frontend) => {
                write!(f, "connections to {frontend} are let in by their source")
            }
            Decision::AllowSource(net) => write!(f, "clients in {net} are let in"),
            Decision::ShortCircuitPods(pods) => {
                write!(
                    f,
                    "Pods ({pods}) go to any of its endpoints, as inside the cluster"
                )
            }
            Decision::ShortCircuitNode => {
                f.write_str("the node itself goes to any of its endpoints, as inside the cluster")
            }
            Decision::External(policy) => {
                write!(f, "external traffic goes to one of {}", of(*policy))
            }
            Decision::HideExternal => {
                f.write_str("external traffic is hidden behind the node's address")
            }
            Decision::HideNode => {
                f.write_str("the node itself is hidden behind the node's address")
            }
            Decision::HideClient(masquerade) => fmt_masquerade(masquerade, f),
            Decision::HideHairpin => {
                write!(
                    f,
                    "{endpoint} that calls itself is hidden behind the node's address"
                )
            }
            Decision::Stick { seconds } => write!(
                f,
                "a client that was sent to {endpoint} in the last {seconds} s goes there again"
            ),
            Decision::Remember { seconds } => {
                write!(
                    f,
                    "remember for {seconds} s that this client goes to {endpoint}"
                )
            }
            Decision::Balance { policy, endpoints } => {
                let (count, of) = (endpoints.len(), of(*policy));
                write!(
                    f,
                    "pick one of {of}: {count} in all, each as likely as the others"
                )
            }
            Decision::Pick { probability } => match probability {
                (1, 1) => write!(f, "pick {endpoint}, the only choice"),
                (share, whole) => write!(f, "pick {endpoint} with probability {share}/{whole}"),
            },
            Decision::Translate => write!(f, "send to {endpoint}"),
            Decision::AdmitHealthCheck(port) => {
                write!(f, "load balancers may ask for its health at port {port}")
            }
            Decision::ActiveClusterIp(address) => write!(f, "{address} is its ClusterIP"),
            Decision::NodePortAddress(address) => write!(f, "{address} takes node ports"),
            Decision::Frame(decision) => write!(f, "{decision}"),
        }
    }
}

/// `10.244.1.5:8080 (pod web-1)`
struct EndpointName<'o>(&'o Origin);

impl fmt::Display for EndpointName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.endpoint, &self.0.pod) {
            (Some(endpoint), Some(pod)) => write!(f, "{endpoint} (pod {pod})"),
            (Some(endpoint), None) => write!(f, "{endpoint}"),
            (None, _) => f.write_str("an endpoint"),
        }
    }
}

const fn of(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "its endpoints",
        TrafficPolicy::Local => "its endpoints on this node",
    }
}

fn fmt_masquerade(masquerade: &Masquerade, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match masquerade {
        Masquerade::UnlessFrom(pods) => write!(
            f,
            "a client other than the Pods ({pods}) is hidden behind the node's address"
        ),
        Masquerade::Always => f.write_str("every client is hidden behind the node's address"),
        Masquerade::Never => f.write_str("clients keep their address"),
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address {
                kind: FrontendKind::ClusterIp,
                address,
            } => write!(f, "{address}"),
            Self::Address { kind, address } => write!(f, "{kind} {address}"),
            Self::NodePort(port) => write!(f, "node port {port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ruleset::Protocol;

    use super::*;
    use crate::{DropReason, FrameDecision, RejectReason, ServiceName, ServicePortId};

    fn check(decision: Decision, expected: &str) {
        let port = ServicePortOrigin {
            id: ServicePortId {
                service: ServiceName {
                    namespace: "default".into(),
                    name: "web".into(),
                },
                port_name: "http".into(),
                protocol: Protocol::TCP,
            },
            port: 80,
        };
        let origin = Origin {
            service_port: Some(Arc::new(port)),
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
        let one_in = |n| Decision::Pick {
            probability: (1, n),
        };
        check(
            one_in(3),
            ": pick 10.244.1.5:8080 (pod web-1) with probability 1/3",
        );
        check(
            one_in(1),
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
        check(
            Decision::EnterExternal(Frontend::NodePort(30_080)),
            ": connections to node port 30080 are external traffic",
        );
        check(
            Decision::External(TrafficPolicy::Local),
            ": external traffic goes to one of its endpoints on this node",
        );
        check(Decision::Translate, ": send to 10.244.1.5:8080 (pod web-1)");
    }

    #[test]
    fn the_frame_serves_nobody_in_particular() {
        let origin = Origin {
            service_port: None,
            decision: Decision::Frame(FrameDecision::Masquerade(0x4000)),
            endpoint: None,
            pod: None,
        };
        assert_eq!(
            origin.to_string(),
            "frame: packets marked 0x4000 get the node's address as source"
        );
    }
}
