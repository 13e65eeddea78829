//! Ids of origins.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use ruleset::OriginId;

use super::picks::{PickIds, Picks};
use super::{Decision, FrameDecision, Origin, ServicePortOrigin};
use crate::{EndpointPlan, ServicePortId, ServicePortPlan};

/// Gives origins their ids: equal ones of rules share one, and so do equal ones of the same place in equal lists of endpoints
/// that are drawn from by number. Nothing is forgotten: tables of any age may be asked about.
///
/// Service ports are numbered first, so that a lowering looks its service port up once and compares no names after
/// that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    origins: Numbered<Origin>,
    picks: Picks,
    ports: Numbered<Arc<ServicePortOrigin>>,
    hasher: FixedState,
}

/// Different things, each with its number: that of those which came before it.
#[derive(Clone, Debug)]
pub(super) struct Numbered<T> {
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
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let is_it =
            |(of, number): &(u64, u32)| *of == hash && is_it(&self.things[*number as usize]);
        self.numbers.find(hash, is_it).map(|(_, number)| *number)
    }

    /// Makes room for so many in all, and for a few that are nobody's or only some have: growing doubles all.
    pub(super) fn make_room(&mut self, count: usize) {
        let more = (count + count / 16 + 64).saturating_sub(self.things.len());
        self.things.reserve_exact(more);
        self.numbers.reserve(more, |(hash, _)| *hash);
    }

    /// The thing of a number that was given.
    pub(super) fn get(&self, number: u32) -> &T {
        &self.things[number as usize]
    }

    /// All, in the order of their numbers.
    pub(super) fn all(&self) -> &[T] {
        &self.things
    }

    /// Takes in what is not there.
    pub(super) fn add(&mut self, hash: u64, thing: T) -> u32 {
        let number = u32::try_from(self.things.len()).expect("fewer things than 2^32");
        self.things.push(thing);
        let entry = (hash, number);
        self.numbers.insert_unique(hash, entry, |(hash, _)| *hash);
        number
    }
}

/// What most service ports need.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PerPort {
    pub(crate) origins: usize,
    /// Lists of endpoints.
    pub(crate) picks: usize,
}

/// The origins of one service port, while it is lowered.
pub(crate) struct PortOrigins<'o> {
    origins: &'o mut Origins,
    port: Arc<ServicePortOrigin>,
    number: u32,
}

impl Origins {
    /// Makes room for what rules of so many service ports are made for, of which each has so many origins and lists of endpoints
    /// to pick from.
    pub(crate) fn expect(&mut self, ports: usize, of_each: PerPort) {
        self.ports.make_room(ports);
        self.picks.make_room(of_each.picks * ports);
        self.origins.make_room(of_each.origins * ports);
    }

    /// For the rules of one service port.
    pub(crate) fn port(&mut self, plan: &ServicePortPlan) -> PortOrigins<'_> {
        self.port_of(&plan.id, plan.port)
    }

    fn port_of(&mut self, id: &ServicePortId, port: u16) -> PortOrigins<'_> {
        let hash = self.hasher.hash_one((id, port));
        let is_it = |known: &Arc<ServicePortOrigin>| (&known.id, known.port) == (id, port);
        let known = self.ports.find(hash, is_it);
        let number = known.unwrap_or_else(|| {
            let port = ServicePortOrigin {
                id: id.clone(),
                port,
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
        match Picks::place(id) {
            Some(place) => self.picks.get(place),
            None => self.origins.things.get(id.0 as usize / 2),
        }
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
        let number = known.unwrap_or_else(|| self.origins.add(hash, origin));
        OriginId(number.checked_mul(2).expect("fewer origins than 2^31"))
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

    /// For elements that lead to one of these endpoints each, by number.
    pub(crate) fn picks(&mut self, endpoints: &Arc<[EndpointPlan]>) -> PickIds {
        let Origins { picks, hasher, .. } = &mut *self.origins;
        picks.ids(hasher, (&self.port, self.number), endpoints)
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Protocol;

    use super::*;
    use crate::ServiceName;

    fn web() -> ServicePortId {
        ServicePortId {
            service: ServiceName {
                namespace: "default".into(),
                name: "web".into(),
            },
            port_name: "http".into(),
            protocol: Protocol::TCP,
        }
    }

    fn endpoints(hosts: &[u8]) -> Arc<[EndpointPlan]> {
        let endpoint = |host: &u8| EndpointPlan {
            address: ([10, 244, 1, *host], 8080).into(),
            is_local: false,
            pod: None,
        };
        hosts.iter().map(endpoint).collect()
    }

    #[test]
    fn picks_have_ids_of_their_own_and_equal_ones_share_them() {
        let mut origins = Origins::default();
        let mut port = origins.port_of(&web(), 80);
        let frontend = port.id(Decision::HideExternal);
        let [of_three, of_two] = [&[1, 2, 3][..], &[3, 4]].map(|one| port.picks(&endpoints(one)));
        assert_eq!(port.picks(&endpoints(&[1, 2, 3])), of_three);
        let id = |ids: PickIds, number| ids.of(number).expect("it has as many");
        let said = |id| origins.get(id).expect("it was given").to_string();
        let of = "Service default/web port 80/TCP: ";
        assert_eq!(
            said(id(of_three, 2)),
            format!("{of}pick 10.244.1.3:8080 with probability 1/3")
        );
        assert_eq!(
            said(id(of_two, 0)),
            format!("{of}pick 10.244.1.3:8080 with probability 1/2")
        );
        assert_eq!(
            said(frontend),
            format!("{of}external traffic is hidden behind the node's address")
        );
        assert_eq!([of_three.of(3), of_two.of(2)], [None, None]);
    }

    #[test]
    fn lists_share_ids_unless_addresses_or_pods_differ() {
        let mut origins = Origins::default();
        let of = endpoints(&[1, 2]);
        let (mut elsewhere, mut named) = (endpoints(&[1, 2]), endpoints(&[1, 2]));
        Arc::make_mut(&mut elsewhere)[1].is_local = true;
        Arc::make_mut(&mut named)[1].pod = Some("web-2".into());
        let mut port = origins.port_of(&web(), 80);
        let [ids, of_elsewhere, of_named] = [&of, &elsewhere, &named].map(|one| port.picks(one));
        assert_eq!(ids, of_elsewhere);
        assert_ne!(ids, of_named);
        let of_other_port = origins.port_of(&web(), 81).picks(&of);
        assert_ne!(ids, of_other_port);
        let pod = |ids: PickIds| {
            origins
                .get(ids.of(1).expect("it has two"))
                .map(|one| &one.pod)
        };
        assert_eq!(pod(ids), Some(&None));
        assert_eq!(pod(of_named), Some(&Some("web-2".into())));
    }

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
