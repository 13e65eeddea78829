//! What a rule decides and for whom, in one sentence.

mod frame;
mod intern;
mod picks;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;

pub use frame::FrameDecision;
pub(crate) use intern::{Origins, PerPort, PortOrigins};
pub(crate) use picks::PickIds;

use crate::{
    DropReason, EndpointPlan, FrontendKind, Masquerade, PodTraffic, RejectReason, ServicePortId,
    TrafficPolicy,
};

/// Why a rule, or an element of a set or map, is there. Prints as a sentence for people who do not read rules.
///
/// The endpoint is the first field because origins are compared in this order, and addresses compare fast.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The endpoint it is about, if it is about one.
    pub endpoint: Option<SocketAddr>,
    /// What it decides.
    pub decision: Decision,
    /// The endpoint's Pod, if known.
    pub pod: Option<Arc<str>>,
    /// The service port it serves; `None` for the frame that every node has.
    pub service_port: Option<Arc<ServicePortOrigin>>,
}

impl Origin {
    /// When this is a choice among endpoints ([`Decision::Balance`]): what is decided when number `index` is drawn.
    #[must_use]
    pub fn choice(&self, index: usize) -> Option<Self> {
        let Decision::Balance { endpoints, .. } = &self.decision else {
            return None;
        };
        let endpoint = endpoints.get(index)?;
        let count = u32::try_from(endpoints.len()).expect("fewer endpoints than 2^32");
        Some(Self {
            endpoint: Some(endpoint.address),
            decision: Decision::Pick {
                probability: (1, count),
            },
            pod: endpoint.pod.clone(),
            service_port: self.service_port.clone(),
        })
    }
}

/// A service port with its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortOrigin {
    /// Namespace, name, port name, protocol.
    pub id: ServicePortId,
    /// Its number, `spec.ports[].port`.
    pub port: u16,
}

/// An address at which clients reach a service port. Prints as `10.96.0.40:80` or `node port 30080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frontend {
    /// An address of its own.
    Address {
        /// What sort of address; never a node port.
        kind: FrontendKind,
        /// Address and port.
        address: SocketAddr,
    },
    /// A port at the node's addresses.
    NodePort(u16),
}

/// What a rule decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Connections to this ClusterIP are the service port's.
    Enter {
        /// The frontend.
        frontend: SocketAddr,
        /// The set it balances over.
        policy: TrafficPolicy,
    },
    /// Connections to this frontend are the service port's external traffic.
    EnterExternal(Frontend),
    /// Connections to this frontend are let in by their source only (PROXY-30).
    CheckSource(Frontend),
    /// Sources in this range are let in (PROXY-30).
    AllowSource(IpNet),
    /// External traffic from Pods does not count as external (PROXY-25).
    ShortCircuitPods(PodTraffic),
    /// External traffic from the node itself does not count as external (PROXY-25).
    ShortCircuitNode,
    /// External traffic goes on to a set (PROXY-40).
    External(TrafficPolicy),
    /// The client is hidden behind the node's address (PROXY-20).
    HideClient(Masquerade),
    /// All external traffic is hidden behind the node's address (PROXY-22).
    HideExternal,
    /// External traffic from the node itself is hidden behind the node's address (PROXY-22).
    HideNode,
    /// A client goes back to the endpoint it was sent to before (PROXY-32).
    Stick {
        /// If that was within so many seconds.
        seconds: NonZeroU32,
    },
    /// The client's endpoint is remembered (PROXY-32).
    Remember {
        /// For so many seconds.
        seconds: NonZeroU32,
    },
    /// The endpoint is chosen.
    Pick {
        /// The chance of a connection to end up at this endpoint, as numerator and denominator. The rule itself
        /// is more likely to match the later it stands, because the ones before it took their share (PROXY-42).
        probability: (u32, u32),
    },
    /// One of the endpoints is chosen, each as likely as the others; the rule's map holds them in this order
    /// (PROXY-54).
    Balance {
        /// The set it balances over.
        policy: TrafficPolicy,
        /// The set.
        endpoints: Arc<[EndpointPlan]>,
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
    /// Load balancers may ask for the node's health at this port (PROXY-33).
    AdmitHealthCheck(u16),
    /// The address is the ClusterIP of a Service (PROXY-52).
    ActiveClusterIp(IpAddr),
    /// The node takes node ports at this address (PROXY-26).
    NodePortAddress(IpAddr),
    /// A part of the frame.
    Frame(FrameDecision),
}
