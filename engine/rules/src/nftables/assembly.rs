//! A node's table of one family, put together from the frame and from what service ports contribute, and kept up to date.
//!
//! **Why.** A service port whose plan changes takes its old contribution out and puts its new one in; the rest of the table
//! is not looked at, and copies share it. Several service ports may want the same element: all their claims are kept, and
//! the first in the order of service ports has it, whenever the others came. Where nothing has been put in yet, all claims are
//! sorted, and sets and maps are filled in their order ([`Assembly::fill`]): nothing is looked up.
//!
//! Deviation: kube-proxy gives such an element to any of them, by chance.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ruleset::nft::{Comment, Element, Ident, Key, NftChain, NftTable, Place, Scalar, SetOrMap};
use ruleset::{Family, OriginId, Sorted};

use super::claims::{Claim, Claims, ClaimsByKey, claims_of};
use super::container::Container;
use super::contents::{Content, Contents, Put, for_each_element};
use super::flat::Layout;
use super::flat_frame;
use super::flat_kind::FlatTable;
use super::fragment::{Fragment, Part};
use super::frame;
use crate::memo::Lowerer;
use crate::plan::changes;
use crate::{RulePlan, ServicePortId, ServicePortPlan, ServicePortPlans};

/// The table so far.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    layout: Layout,
    family: Family,
    table: NftTable,
    fragments: Sorted<ServicePortId, Arc<Fragment>>,
    /// The frame's sets and maps; those that differ from the table's are noted.
    containers: BTreeMap<Container, SetOrMap>,
    touched: BTreeSet<Container>,
    /// Who wants an element, by container and key.
    claims: ClaimsByKey,
    /// How many frontends are of a kind, and how many of these have so many endpoints.
    counts: BTreeMap<Container, usize>,
    /// Of the frame's own elements.
    node_port_ips: BTreeMap<Key, OriginId>,
}

/// Chains and sets of service ports come after those of the frame.
const OF_SERVICE_PORTS: u64 = 1 << 32;

impl Assembly {
    /// Nothing yet; the frame comes by [`Self::reframe`].
    pub(crate) fn new(family: Family, layout: Layout) -> Self {
        let containers = Container::of_layout(layout).filter(|one| *one != Container::NodePortIps);
        let containers: BTreeMap<Container, SetOrMap> =
            containers.map(|one| (one, one.empty(family))).collect();
        Self {
            layout,
            family,
            table: NftTable {
                comment: Some(Comment::new("rules for kube-proxy")),
                ..NftTable::default()
            },
            fragments: Sorted::new(),
            touched: containers.keys().copied().collect(),
            containers,
            claims: ClaimsByKey::default(),
            counts: BTreeMap::new(),
            node_port_ips: BTreeMap::new(),
        }
    }

    /// Has the frame be that of a plan for the same family and mark.
    pub(crate) fn reframe(&mut self, plan: &RulePlan, with: &mut Lowerer<'_, Fragment>) {
        let origins = &mut *with.origins;
        let container = Container::NodePortIps;
        let addresses = frame::node_port_ips(plan, origins);
        self.touched.insert(container);
        match &addresses {
            None => self.containers.remove(&container),
            Some(_) => self
                .containers
                .insert(container, container.empty(self.family)),
        };
        self.node_port_ips = addresses.unwrap_or_default();
        let keys: Vec<Key> = self.node_port_ips.keys().cloned().collect();
        for key in keys {
            self.put(Put {
                container,
                key,
                value: None,
                comment: None,
            });
        }
        let counts: Vec<Container> = self.counts.keys().copied().collect();
        let chains = frame::chains(plan, self.layout, &counts, with.capabilities, origins);
        self.write(chains);
        self.settle();
    }

    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) const fn table(&self) -> &NftTable {
        &self.table
    }

    /// Goes on to a plan that differs in service ports only; it costs what differs.
    pub(crate) fn update(
        &mut self,
        before: &ServicePortPlans,
        plan: &RulePlan,
        with: &mut Lowerer<'_, Fragment>,
    ) {
        let counted: Vec<Container> = self.counts.keys().copied().collect();
        let (layout, mark) = (self.layout, plan.masquerade_mark);
        if self.fragments.is_empty() {
            let ports = plan.service_ports.len();
            with.expect(ports, layout.per_port());
        }
        let mut lower = |new: &Arc<ServicePortPlan>| {
            with.fragment(new, |plan, origins| {
                Fragment::lower(plan, layout, mark, origins)
            })
        };
        let mut chains = Vec::new();
        if self.fragments.is_empty() {
            let all = plan.service_ports.iter();
            let all = all.map(|(id, plan)| (id.clone(), lower(plan)));
            self.fill(all.collect(), &mut chains);
        } else {
            for (old, new) in changes(before, &plan.service_ports) {
                let old = old.and_then(|id| self.fragments.remove(id));
                let new = new.map(|new| {
                    let fragment = lower(new);
                    self.fragments.insert(new.id.clone(), Arc::clone(&fragment));
                    fragment
                });
                self.replace(old.as_ref(), new.as_ref(), &mut chains);
            }
        }
        self.table.chains.insert_all(chains);
        self.follow_counts(&counted, plan, with);
        self.settle();
    }

    /// Has the frame be that of the present counts; it is that of these.
    fn follow_counts(
        &mut self,
        counted: &[Container],
        plan: &RulePlan,
        with: &mut Lowerer<'_, Fragment>,
    ) {
        let counts: Vec<Container> = self.counts.keys().copied().collect();
        if counts == counted {
            return;
        }
        let origins = &mut *with.origins;
        let chains = flat_frame::chains_by_count(plan, &counts, with.capabilities, origins);
        for gone in flat_frame::names_by_count(counted) {
            if !chains.iter().any(|(_, name, _)| *name == gone) {
                self.table.chains.remove(&gone);
            }
        }
        self.write(chains);
    }

    /// What an element of a container was made for; `None` for an element of somebody else.
    pub(crate) fn element_origin(&self, container: &Ident, key: &Key) -> Option<OriginId> {
        let mut containers = self.containers.keys().copied();
        let container = containers.find(|one| one.ident() == *container)?;
        let part = |place: Container, key: Key| {
            let claims = self.claims.get(place, &key)?;
            claims.first().map(Claim::part)
        };
        match container {
            Container::NodePortIps => self.node_port_ips.get(key).copied(),
            Container::Flat(kind, table) => {
                let (frontend, number) = match (table, key.split_last()?) {
                    (FlatTable::Endpoints(_), (before, Scalar::Number(number))) => {
                        (before, Some(number))
                    }
                    _ => (key.clone(), None),
                };
                let part = part(kind.chained(), kind.with_protocol(&frontend)?)?;
                part.flat_origin(container, number)
            }
            _ => match part(container.asked_with(), key.clone())? {
                Part::Element(element) if element.container == container => Some(element.origin),
                Part::Element(_) | Part::Frontend(_) => None,
            },
        }
    }

    /// Puts in what all service ports contribute, where none has put anything in. Chains that come are left to the caller.
    fn fill(
        &mut self,
        fragments: Sorted<ServicePortId, Arc<Fragment>>,
        coming: &mut Vec<(Place, Ident, Arc<NftChain>)>,
    ) {
        // Of each shape one, and how many there are.
        let mut shapes: Vec<(&Part, usize)> = Vec::new();
        for fragment in fragments.values() {
            self.add_own(None, Some(fragment), coming);
            for part in &fragment.parts {
                let is_alike = |(one, _): &&mut (&Part, usize)| one.shape() == part.shape();
                match shapes.iter_mut().find(is_alike) {
                    Some((_, count)) => *count += 1,
                    None => shapes.push((part, 1)),
                }
            }
        }
        for (part, count) in shapes {
            self.count(part, count);
        }
        // Elements come in the order of their keys, as claims do: nothing is looked up.
        let mut contents = Contents::default();
        self.claims = claims_of(fragments.values(), |container, key, claim| match container
            .has_keys_alone()
        {
            true => contents.push_key(container, key),
            false => contents.push_all(claim.part()),
        });
        self.fragments = fragments;
        for (container, content) in contents.by_container() {
            self.touched.insert(container);
            match (self.containers.get_mut(&container), content) {
                (Some(SetOrMap::Set(set)), Content::Set(elements)) => {
                    Arc::make_mut(set).elements = elements.build();
                }
                (Some(SetOrMap::Map(map)), Content::Map(elements)) => {
                    Arc::make_mut(map).elements = elements.build();
                }
                _ => unreachable!("a container with elements is there, and is of its sort"),
            }
        }
    }

    /// Puts what a service port contributes in place of what it did. What is the same, and at the same place, stays, so that
    /// nodes share it: nothing that differs between nodes may tell parts apart unless it shows in a table or an origin.
    /// Chains that come are left to the caller.
    fn replace(
        &mut self,
        old: Option<&Arc<Fragment>>,
        new: Option<&Arc<Fragment>>,
        coming: &mut Vec<(Place, Ident, Arc<NftChain>)>,
    ) {
        let chains = (of(old, |one| &one.chains), of(new, |one| &one.chains));
        let sets = (of(old, |one| &one.sets), of(new, |one| &one.sets));
        let parts = (of(old, |one| &one.parts), of(new, |one| &one.parts));
        for (_, (name, _)) in differing(chains.0, chains.1, says_the_same) {
            self.table.chains.remove(name);
        }
        for (_, (name, _)) in differing(sets.0, sets.1, PartialEq::eq) {
            self.table.sets.remove(name);
        }
        for (number, _) in differing(parts.0, parts.1, PartialEq::eq) {
            self.give_up(&Claim::of(old, number));
        }
        self.add_own(old, new, coming);
        for (number, _) in differing(parts.1, parts.0, PartialEq::eq) {
            self.claim(&Claim::of(new, number));
        }
    }

    /// Puts in the chains and sets that are a service port's own, but for those that it had before.
    fn add_own(
        &mut self,
        old: Option<&Arc<Fragment>>,
        new: Option<&Arc<Fragment>>,
        coming: &mut Vec<(Place, Ident, Arc<NftChain>)>,
    ) {
        let chains = (of(old, |one| &one.chains), of(new, |one| &one.chains));
        let sets = (of(old, |one| &one.sets), of(new, |one| &one.sets));
        let owner = OnceCell::new();
        let place = |number: usize| Place {
            number: OF_SERVICE_PORTS,
            owner: new.map(|new| Arc::clone(owner.get_or_init(|| new.owner()))),
            within: u32::try_from(number).expect("a service port has few chains"),
        };
        for (number, (name, chain)) in differing(chains.1, chains.0, says_the_same) {
            coming.push((place(number), name.clone(), Arc::clone(chain)));
        }
        for (number, (name, set)) in differing(sets.1, sets.0, PartialEq::eq) {
            let set = SetOrMap::Set(Arc::clone(set));
            self.table.sets.insert_at(place(number), name.clone(), set);
        }
    }

    fn count(&mut self, part: &Part, times: usize) {
        for container in part.counted() {
            *self.counts.entry(container).or_insert_with(|| {
                let empty = container.empty(self.family);
                self.containers.insert(container, empty);
                self.touched.insert(container);
                0
            }) += times;
        }
    }

    fn claim(&mut self, claim: &Claim) {
        self.count(claim.part(), 1);
        let (container, key) = claim.part().claimed();
        let alone = Claims::from_elem(claim.clone(), 1);
        let Some(mut claims) = self.claims.of(container).insert(key.clone(), alone) else {
            return self.put_all(claim.part());
        };
        let rank = claims.partition_point(|other| other.rank() < claim.rank());
        if rank == 0 {
            self.take_all(claims[0].part());
            self.put_all(claim.part());
        }
        claims.insert(rank, claim.clone());
        self.claims.of(container).insert(key.clone(), claims);
    }

    fn give_up(&mut self, claim: &Claim) {
        let (container, key) = claim.part().claimed();
        let of_container = self.claims.of(container);
        if let Some(claims) = of_container.get_mut(key)
            && let Some(place) = claims.iter().position(|one| one.rank() == claim.rank())
        {
            claims.remove(place);
            let heir = claims.first().filter(|_| place == 0).cloned();
            if claims.is_empty() {
                of_container.remove(key);
            }
            if place == 0 {
                self.take_all(claim.part());
            }
            if let Some(heir) = heir {
                self.put_all(heir.part());
            }
        }
        for container in claim.part().counted() {
            let count = self.counts.get_mut(&container);
            let count = count.expect("whoever goes was counted");
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&container);
                self.containers.remove(&container);
                self.touched.insert(container);
            }
        }
    }

    fn put_all(&mut self, part: &Part) {
        for_each_element(part, |one| self.put(one));
    }

    fn take_all(&mut self, part: &Part) {
        for_each_element(part, |one| self.take(&one));
    }

    fn put(&mut self, put: Put) {
        self.touched.insert(put.container);
        let container = self.containers.get_mut(&put.container);
        match (container, put.into_parts()) {
            (Some(SetOrMap::Set(set)), (key, None, attrs)) => {
                Arc::make_mut(set).elements.insert(key, attrs);
            }
            (Some(SetOrMap::Map(map)), (key, Some(value), attrs)) => {
                let element = Element { value, attrs };
                Arc::make_mut(map).elements.insert(key, element);
            }
            _ => unreachable!("parts fit their containers, which are there"),
        }
    }

    fn take(&mut self, put: &Put) {
        self.touched.insert(put.container);
        match self.containers.get_mut(&put.container) {
            Some(SetOrMap::Set(set)) => {
                Arc::make_mut(set).elements.remove(&put.key);
            }
            Some(SetOrMap::Map(map)) => {
                Arc::make_mut(map).elements.remove(&put.key);
            }
            None => unreachable!("a container with elements is there"),
        }
    }

    fn write(&mut self, chains: Vec<(Place, Ident, Arc<NftChain>)>) {
        for (place, name, chain) in chains {
            let is_there = |there: &Arc<NftChain>| have_the_same_origins(there, &chain);
            if !self.table.chains.get(&name).is_some_and(is_there) {
                self.table.chains.insert_at(place, name, chain);
            }
        }
    }

    /// Has the table's sets and maps be those put together.
    fn settle(&mut self) {
        for container in std::mem::take(&mut self.touched) {
            let (name, place) = (container.ident(), container.place());
            match self.containers.get(&container) {
                Some(one) => self.table.sets.insert_at(place, name, one.clone()),
                None => self.table.sets.remove(&name),
            };
        }
    }
}

/// What a fragment has of something; nothing if there is none.
fn of<T>(fragment: Option<&Arc<Fragment>>, some: fn(&Fragment) -> &[T]) -> &[T] {
    fragment.map_or(&[], |fragment| some(fragment))
}

/// What others do not have at the same place.
fn differing<'t, T>(
    some: &'t [T],
    others: &'t [T],
    is_same: fn(&T, &T) -> bool,
) -> impl Iterator<Item = (usize, &'t T)> {
    let numbered = some.iter().enumerate();
    numbered.filter(move |(number, one)| {
        let other = others.get(*number);
        other.is_none_or(|other| !is_same(one, other))
    })
}

fn says_the_same(one: &(Ident, Arc<NftChain>), other: &(Ident, Arc<NftChain>)) -> bool {
    one.0 == other.0 && have_the_same_origins(&one.1, &other.1)
}

/// Whether two chains are equal and their rules have the same origins.
fn have_the_same_origins(one: &NftChain, other: &NftChain) -> bool {
    let rules = one.rules.iter().zip(&other.rules);
    one == other
        && rules
            .into_iter()
            .all(|(one, other)| one.origin == other.origin)
}
