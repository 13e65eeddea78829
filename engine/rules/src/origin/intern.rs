//! One id for equal origins.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use ruleset::OriginId;

use super::{Decision, FrameDecision, Origin, ServicePortOrigin};
use crate::{EndpointPlan, ServicePortPlan};

/// Gives equal origins one id. Nothing is forgotten: tables of any age may be asked about.
///
/// Service ports are numbered first, so that a lowering looks its service port up once and compares no names after
/// that. No table is ever iterated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    by_id: Vec<Origin>,
    /// Ids, each with the hash of what it stands for.
    ids: HashTable<(u64, u32)>,
    ports: HashMap<Arc<ServicePortOrigin>, u32, FixedState>,
    hasher: FixedState,
}

/// The origins of one service port, while it is lowered.
pub(crate) struct PortOrigins<'o> {
    origins: &'o mut Origins,
    port: Arc<ServicePortOrigin>,
    /// The service port's number.
    number: u32,
}

impl Origins {
    /// For the rules of one service port.
    pub(crate) fn port(&mut self, plan: &ServicePortPlan) -> PortOrigins<'_> {
        let port = Arc::new(ServicePortOrigin {
            id: plan.id.clone(),
            port: plan.port,
        });
        let next = u32::try_from(self.ports.len()).expect("fewer service ports than 2^32");
        let known = self.ports.entry(port);
        let port = Arc::clone(known.key());
        let number = *known.or_insert(next);
        PortOrigins {
            origins: self,
            port,
            number,
        }
    }

    /// For a rule of the frame.
    pub(crate) fn frame(&mut self, decision: FrameDecision) -> OriginId {
        self.of_frame(Decision::Frame(decision))
    }

    /// For a rule of the frame that decides what rules of service ports decide elsewhere.
    pub(crate) fn of_frame(&mut self, decision: Decision) -> OriginId {
        self.intern(None, decision, None)
    }

    pub(crate) fn get(&self, id: OriginId) -> Option<&Origin> {
        let index = usize::try_from(id.0).ok()?;
        self.by_id.get(index)
    }

    fn intern(
        &mut self,
        port: Option<(&Arc<ServicePortOrigin>, u32)>,
        decision: Decision,
        endpoint: Option<&EndpointPlan>,
    ) -> OriginId {
        let Self {
            by_id, ids, hasher, ..
        } = self;
        let (service_port, number) = port.unzip();
        let origin = Origin {
            endpoint: endpoint.map(|endpoint| endpoint.address),
            decision,
            pod: endpoint.and_then(|endpoint| endpoint.pod.clone()),
            service_port: service_port.cloned(),
        };
        let key = (number, origin.endpoint, &origin.decision);
        let hash = hasher.hash_one(key);
        let is_same = |(_, id): &(u64, u32)| by_id[*id as usize] == origin;
        if let Some((_, id)) = ids.find(hash, is_same) {
            return OriginId(*id);
        }
        let id = u32::try_from(by_id.len()).expect("fewer rules than 2^32");
        by_id.push(origin);
        ids.insert_unique(hash, (hash, id), |(hash, _)| *hash);
        OriginId(id)
    }
}

impl PortOrigins<'_> {
    /// For a rule about the service port as a whole.
    pub(crate) fn id(&mut self, decision: Decision) -> OriginId {
        let port = Some((&self.port, self.number));
        self.origins.intern(port, decision, None)
    }

    /// For a rule about one endpoint.
    pub(crate) fn of_endpoint(&mut self, decision: Decision, endpoint: &EndpointPlan) -> OriginId {
        let port = Some((&self.port, self.number));
        self.origins.intern(port, decision, Some(endpoint))
    }
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
