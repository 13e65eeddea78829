//! One id for equal origins.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use ruleset::OriginId;

use super::{Decision, FrameDecision, Origin, ServicePortOrigin};
use crate::{EndpointPlan, ServicePortPlan};

/// Gives equal origins one id. Nothing is forgotten: tables of any age may be asked about.
///
/// Service ports are numbered first, so that a lowering looks its service port up once and compares no names after
/// that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    origins: Numbered<Origin>,
    ports: Numbered<Arc<ServicePortOrigin>>,
    hasher: FixedState,
}

/// Different things, each with its number: that of those which came before it.
#[derive(Clone, Debug)]
struct Numbered<T> {
    things: Vec<T>,
    /// Their numbers, each with the hash of what it stands for, so that growing looks at no thing. Never iterated.
    numbers: HashTable<(u64, u32)>,
}

// Deriving would ask for a default thing.
impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            things: Vec::new(),
            numbers: HashTable::new(),
        }
    }
}

impl<T> Numbered<T> {
    /// The number of the thing with this hash that `is_it`.
    fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let is_it =
            |(of, number): &(u64, u32)| *of == hash && is_it(&self.things[*number as usize]);
        self.numbers.find(hash, is_it).map(|(_, number)| *number)
    }

    /// Makes room for so many in all.
    fn make_room(&mut self, count: usize) {
        let more = count.saturating_sub(self.things.len());
        self.things.reserve(more);
        self.numbers.reserve(more, |(hash, _)| *hash);
    }

    /// Takes in what is not there.
    fn add(&mut self, hash: u64, thing: T) -> u32 {
        let number = u32::try_from(self.things.len()).expect("fewer things than 2^32");
        self.things.push(thing);
        let entry = (hash, number);
        self.numbers.insert_unique(hash, entry, |(hash, _)| *hash);
        number
    }
}

/// The origins of one service port, while it is lowered.
pub(crate) struct PortOrigins<'o> {
    origins: &'o mut Origins,
    port: Arc<ServicePortOrigin>,
    number: u32,
}

impl Origins {
    /// Makes room for what rules of many service ports are made for: growing bit by bit would look at all again and again.
    pub(crate) fn expect<'p>(
        &mut self,
        plans: impl ExactSizeIterator<Item = &'p Arc<ServicePortPlan>>,
    ) {
        self.ports.make_room(plans.len());
        // The frontend, its address, and each endpoint; of those on the node, one more.
        let origins = |plan: &Arc<ServicePortPlan>| plan.cluster.len() + 3;
        self.origins.make_room(plans.map(origins).sum());
    }

    /// For the rules of one service port.
    pub(crate) fn port(&mut self, plan: &ServicePortPlan) -> PortOrigins<'_> {
        let ServicePortPlan { id, port, .. } = plan;
        let hash = self.hasher.hash_one((id, port));
        let is_it = |known: &Arc<ServicePortOrigin>| (&known.id, &known.port) == (id, port);
        let known = self.ports.find(hash, is_it);
        let number = known.unwrap_or_else(|| {
            let port = ServicePortOrigin {
                id: id.clone(),
                port: *port,
            };
            self.ports.add(hash, Arc::new(port))
        });
        PortOrigins {
            port: Arc::clone(&self.ports.things[number as usize]),
            origins: self,
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
        self.origins.things.get(index)
    }

    fn intern(
        &mut self,
        port: Option<(&Arc<ServicePortOrigin>, u32)>,
        decision: Decision,
        endpoint: Option<&EndpointPlan>,
    ) -> OriginId {
        let (service_port, number) = port.unzip();
        let origin = Origin {
            endpoint: endpoint.map(|endpoint| endpoint.address),
            decision,
            pod: endpoint.and_then(|endpoint| endpoint.pod.clone()),
            service_port: service_port.cloned(),
        };
        let key = (number, origin.endpoint, &origin.decision);
        let hash = self.hasher.hash_one(key);
        let known = self.origins.find(hash, |known| *known == origin);
        OriginId(known.unwrap_or_else(|| self.origins.add(hash, origin)))
    }
}

impl PortOrigins<'_> {
    /// The service port's number, which is small.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

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
