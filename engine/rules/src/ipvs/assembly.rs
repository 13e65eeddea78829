//! A node's tables of one family, put together from what service ports contribute, and kept up to date.
//!
//! **Why.** Service ports may contribute the same: two Services with one Pod behind them have one hairpin entry. What
//! each contributes is counted, so a change takes out what nobody else has and puts in what nobody had.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imbl::OrdMap;
use ruleset::ipvs::{IpvsTables, Scheduler, ServerKey, Set, SetEntry, VirtualServer};
use ruleset::{Family, Protocol};

use super::fragment::{Fragment, NodePort};
use super::frame;
use super::sets::{KubeSet, empty_tables};
use crate::memo::Lowerer;
use crate::plan::changes;
use crate::{NodeFacts, NodePortDestinations, RulePlan, ServicePortId, ServicePortPlans};

/// What of a node shows in its virtual servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    scheduler: Scheduler,
    /// Its own addresses: they are not bound once more.
    addresses: Vec<IpAddr>,
    /// Those that take node ports (PROXY-26); loopback never does (PROXY-27).
    node_ports: Vec<IpAddr>,
}

impl Node {
    pub(crate) fn of(facts: &NodeFacts, plan: &RulePlan, scheduler: Scheduler) -> Self {
        let addresses = facts.addresses.iter().copied();
        let addresses = addresses
            .filter(|address| Family::of(*address) == plan.family && !address.is_loopback());
        let addresses: Vec<IpAddr> = addresses.collect();
        Self {
            scheduler,
            node_ports: match &plan.node_ports.destinations {
                NodePortDestinations::AnyLocal => addresses.clone(),
                NodePortDestinations::Addresses(chosen) => chosen.clone(),
            },
            addresses,
        }
    }
}

/// The tables so far.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    node: Node,
    tables: IpvsTables,
    /// The sets that hold something.
    filled: BTreeSet<KubeSet>,
    fragments: OrdMap<ServicePortId, Arc<Fragment>>,
    /// Whoever has a virtual server: of several the first one's is there.
    servers: OrdMap<(ServerKey, ServicePortId), Arc<VirtualServer>>,
    /// Load balancers that this node may not call: the sources that they are for leave its primary address out.
    closed: BTreeSet<(ServerKey, ServicePortId)>,
    /// How many have an entry.
    entries: OrdMap<(KubeSet, SetEntry), u32>,
}

impl Assembly {
    /// Nothing yet.
    pub(crate) fn new(family: Family, node: Node) -> Self {
        Self {
            node,
            tables: empty_tables(family),
            filled: BTreeSet::new(),
            fragments: OrdMap::new(),
            servers: OrdMap::new(),
            closed: BTreeSet::new(),
            entries: OrdMap::new(),
        }
    }

    pub(crate) const fn tables(&self) -> &IpvsTables {
        &self.tables
    }

    pub(crate) const fn node(&self) -> &Node {
        &self.node
    }

    /// Goes on to a plan; it costs what differs in service ports, and the few rules if a set begins or ceases to hold
    /// something, a Service has or had sources that may call it only, or all else of the plan is another (`is_reframed`).
    pub(crate) fn update(
        &mut self,
        before: &ServicePortPlans,
        plan: &RulePlan,
        mut is_reframed: bool,
        with: &mut Lowerer<'_, Fragment>,
    ) {
        let filled = self.filled.clone();
        for (old, new) in changes(before, &plan.service_ports) {
            if let Some(id) = old
                && let Some(fragment) = self.fragments.remove(id)
            {
                is_reframed |= !fragment.restricted.is_empty();
                self.take_out(id, &fragment);
            }
            if let Some(new) = new {
                let scheduler = self.node.scheduler;
                let fragment = with.fragment(new, |plan, origins| {
                    Fragment::lower(plan, scheduler, origins)
                });
                is_reframed |= !fragment.restricted.is_empty();
                self.put_in(&new.id, &fragment);
                self.fragments.insert(new.id.clone(), fragment);
            }
        }
        if is_reframed || filled != self.filled {
            let closed: BTreeSet<ServerKey> = self.closed.iter().map(|(key, _)| *key).collect();
            let held = frame::Held {
                filled: &self.filled,
                closed: &closed,
            };
            let rules = frame::rules(plan, held, with.capabilities, with.origins);
            self.tables.rules = Arc::new(rules);
        }
    }

    fn take_out(&mut self, id: &ServicePortId, fragment: &Fragment) {
        for key in self.closed_of(fragment) {
            self.closed.remove(&(key, id.clone()));
        }
        for (key, _) in self.servers_of(fragment) {
            self.servers.remove(&(key, id.clone()));
            self.settle(key);
        }
        for (set, entry) in self.entries_of(fragment) {
            let place = (set, entry);
            let left = self.entries.get(&place).map_or(0, |count| count - 1);
            if left > 0 {
                self.entries.insert(place, left);
                continue;
            }
            self.entries.remove(&place);
            let held = self.set_mut(set);
            held.entries.remove(&entry);
            if held.entries.is_empty() {
                self.filled.remove(&set);
            }
        }
    }

    fn put_in(&mut self, id: &ServicePortId, fragment: &Fragment) {
        for key in self.closed_of(fragment) {
            self.closed.insert((key, id.clone()));
        }
        for (key, server) in self.servers_of(fragment) {
            self.servers.insert((key, id.clone()), server);
            self.settle(key);
        }
        for (set, entry) in self.entries_of(fragment) {
            let count = self.entries.entry((set, entry)).or_insert(0);
            *count += 1;
            if *count == 1 {
                self.set_mut(set).entries.insert(entry);
                self.filled.insert(set);
            }
        }
    }

    /// Has the virtual server at an address be the first one's that wants one there.
    fn settle(&mut self, key: ServerKey) {
        let least = ServicePortId::least();
        let mut wanted = self.servers.range((key, least)..);
        let first = wanted.next().filter(|((of, _), _)| *of == key);
        match first.map(|(_, server)| Arc::clone(server)) {
            Some(server) => self.tables.servers.insert(key, server),
            None => self.tables.servers.remove(&key),
        };
    }

    fn set_mut(&mut self, set: KubeSet) -> &mut Set {
        let name = set.name(self.tables.family);
        let set = self.tables.sets.get_mut(&name);
        set.expect("every set is made at the start")
    }

    fn servers_of(&self, fragment: &Fragment) -> Vec<(ServerKey, Arc<VirtualServer>)> {
        let protocol = fragment.protocol;
        let own = fragment.servers.iter().cloned();
        let node_port = fragment.node_port.iter().flat_map(|node_port| {
            let NodePort { port, server, .. } = node_port;
            let addresses = self.node.node_ports.iter();
            addresses.map(move |address| (SocketAddr::new(*address, *port), Arc::clone(server)))
        });
        let all = own.chain(node_port);
        all.map(|(address, server)| (ServerKey { protocol, address }, server))
            .collect()
    }

    /// Those of its addresses that this node may not call.
    fn closed_of(&self, fragment: &Fragment) -> Vec<ServerKey> {
        let Some(primary) = self.node.addresses.first() else {
            return Vec::new();
        };
        let restricted = fragment.restricted.iter();
        let closed = restricted.filter(|(_, nets)| !nets.iter().any(|net| net.contains(primary)));
        let protocol = fragment.protocol;
        let keys = closed.map(|(address, _)| ServerKey {
            protocol,
            address: *address,
        });
        keys.collect()
    }

    fn entries_of(&self, fragment: &Fragment) -> Vec<(KubeSet, SetEntry)> {
        let mut entries = fragment.entries.clone();
        let addresses = fragment.servers.iter().map(|(address, _)| address.ip());
        let bound = addresses.filter(|address| !self.node.addresses.contains(address));
        entries.extend(bound.map(|address| (KubeSet::IpvsIps, SetEntry::Address(address))));
        if let Some(node_port) = &fragment.node_port {
            entries.extend(self.node_port_entries(fragment.protocol, node_port));
        }
        entries
    }

    /// A node port is in its set, and in another one as well when the policy is Local.
    fn node_port_entries(
        &self,
        protocol: Protocol,
        node_port: &NodePort,
    ) -> Vec<(KubeSet, SetEntry)> {
        let port = node_port.port;
        let addresses = &self.node.node_ports;
        let (all, local, entries) = match protocol {
            _ if addresses.is_empty() => return Vec::new(),
            Protocol::SCTP => {
                let at = |address: &IpAddr| SetEntry::AddressPort(*address, protocol, port);
                let entries: Vec<SetEntry> = addresses.iter().map(at).collect();
                (KubeSet::NodePortSctp, KubeSet::NodePortLocalSctp, entries)
            }
            Protocol::UDP => (
                KubeSet::NodePortUdp,
                KubeSet::NodePortLocalUdp,
                vec![SetEntry::Port(port)],
            ),
            _ => (
                KubeSet::NodePortTcp,
                KubeSet::NodePortLocalTcp,
                vec![SetEntry::Port(port)],
            ),
        };
        let local = node_port.is_local.then_some(local);
        let sets = std::iter::once(all).chain(local);
        sets.flat_map(|set| entries.iter().map(move |entry| (set, *entry)))
            .collect()
    }
}
