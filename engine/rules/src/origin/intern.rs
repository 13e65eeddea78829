//! One id for equal origins.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ruleset::OriginId;

use super::{Decision, FrameDecision, Origin, ServicePortOrigin};
use crate::{EndpointPlan, ServicePortPlan};

/// Gives equal origins one id. Nothing is forgotten: tables of any age may be asked about.
///
/// Ids are kept apart by service port, so that a lowering looks its service port up once and compares no names
/// after that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    by_id: Vec<Origin>,
    frame: Ids,
    ports: BTreeMap<Arc<ServicePortOrigin>, Ids>,
}

/// Of one service port: by endpoint, decision and Pod.
type Ids = BTreeMap<(Option<SocketAddr>, Decision, Option<Arc<str>>), OriginId>;

/// The origins of one service port, while it is lowered.
pub(crate) struct PortOrigins<'o> {
    port: Arc<ServicePortOrigin>,
    ids: &'o mut Ids,
    by_id: &'o mut Vec<Origin>,
}

impl Origins {
    /// For the rules of one service port.
    pub(crate) fn port(&mut self, plan: &ServicePortPlan) -> PortOrigins<'_> {
        let port = Arc::new(ServicePortOrigin {
            id: plan.id.clone(),
            port: plan.port,
        });
        let ids = self.ports.entry(Arc::clone(&port)).or_default();
        PortOrigins {
            port,
            ids,
            by_id: &mut self.by_id,
        }
    }

    /// For a rule of the frame.
    pub(crate) fn frame(&mut self, decision: FrameDecision) -> OriginId {
        self.of_frame(Decision::Frame(decision))
    }

    /// For a rule of the frame that decides what rules of service ports decide elsewhere.
    pub(crate) fn of_frame(&mut self, decision: Decision) -> OriginId {
        intern(&mut self.frame, &mut self.by_id, None, decision, None)
    }

    pub(crate) fn get(&self, id: OriginId) -> Option<&Origin> {
        let index = usize::try_from(id.0).ok()?;
        self.by_id.get(index)
    }
}

impl PortOrigins<'_> {
    /// For a rule about the service port as a whole.
    pub(crate) fn id(&mut self, decision: Decision) -> OriginId {
        intern(self.ids, self.by_id, Some(&self.port), decision, None)
    }

    /// For a rule about one endpoint.
    pub(crate) fn of_endpoint(&mut self, decision: Decision, endpoint: &EndpointPlan) -> OriginId {
        intern(
            self.ids,
            self.by_id,
            Some(&self.port),
            decision,
            Some(endpoint),
        )
    }
}

fn intern(
    ids: &mut Ids,
    by_id: &mut Vec<Origin>,
    port: Option<&Arc<ServicePortOrigin>>,
    decision: Decision,
    endpoint: Option<&EndpointPlan>,
) -> OriginId {
    let pod = endpoint.and_then(|endpoint| endpoint.pod.clone());
    let address = endpoint.map(|endpoint| endpoint.address);
    let key = (address, decision, pod);
    if let Some(id) = ids.get(&key) {
        return *id;
    }
    let id = OriginId(u32::try_from(by_id.len()).expect("fewer rules than 2^32"));
    let (endpoint, decision, pod) = key.clone();
    by_id.push(Origin {
        endpoint,
        decision,
        pod,
        service_port: port.cloned(),
    });
    ids.insert(key, id);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_origins_share_an_id() {
        let mut origins = Origins::default();
        let first = origins.frame(FrameDecision::Masquerade(0x4000));
        assert_eq!(first, OriginId(0));
        let other = origins.frame(FrameDecision::DropInvalid);
        assert_ne!(first, other);
        assert_eq!(origins.frame(FrameDecision::Masquerade(0x4000)), first);
        assert_eq!(
            origins.get(first).expect("it was just made").to_string(),
            "frame: packets marked 0x4000 get the node's address as source"
        );
    }
}
