//! Who is attached where, and which way packets go between hosts and nodes.
//!
//! **What.** Nodes, hosts, the addresses they hold and the routes they know. **Why.** Everything here answers
//! questions and changes only when somebody is added or removed, so that a running packet and a trace that must
//! not change anything ask the same code. **Source of the semantics.** The Kubernetes network model: every node
//! reaches every Pod range through the node that has it; ClusterIPs are on no interface and in no route
//! (PROXY-16, DBG-52). Pods hang on their node by a veth pair with a host route each, as the ptp CNI plugin
//! does it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use netfilter::{Hop, Ingress, InterfaceName, Packet, Routing, Verdict};
use smoltcp::wire::{Ipv4Packet, Ipv6Packet};

use crate::balancer::Balancer;
use crate::link::Links;
use crate::prefix::PrefixMap;
use crate::segment::Datagram;
use crate::topology::{Topology, Vertex};
use crate::{HostId, HostSpec, LostReason, NodeId, NodeSpec, OutsideSpec, Place, PlaneConfig};

/// The interface that leads from a node to everything but its Pods, and from a host to its node.
pub(crate) const UPLINK: InterfaceName = InterfaceName::literal("eth0");

/// That of a Pod which might be.
const ANY_POD: InterfaceName = InterfaceName::literal("veth");

/// Where a packet enters a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// By an interface of its own. Its rules may see a Pod's packets come by another
    /// ([`Plane::put_pods_behind`](crate::Plane::put_pods_behind)).
    Interface(InterfaceName),
    /// A process on the node sent it.
    Local,
}

/// Where a packet goes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Node {
        node: NodeId,
        door: Door,
    },
    Host(HostId),
    Lost {
        place: Place,
        /// Rare, and larger than the rest.
        reason: Box<LostReason>,
    },
}

/// A step of a packet's way, and how long it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transit {
    /// Who sends it.
    pub(crate) from: Place,
    pub(crate) next: Next,
    /// By the configured latencies; impaired links add to it.
    pub(crate) delay: Duration,
}

impl Transit {
    /// The end of a packet's way.
    pub(crate) fn lost(place: Place, reason: LostReason) -> Self {
        let reason = Box::new(reason);
        Self {
            from: place,
            next: Next::Lost { place, reason },
            delay: Duration::ZERO,
        }
    }
}

/// Where a host is attached.
#[derive(Debug)]
pub(crate) enum Attachment {
    /// By this interface of the node's.
    Pod {
        node: NodeId,
        interface: InterfaceName,
    },
    /// It is the node itself.
    Node(NodeId),
    Outside {
        at: Vertex,
        routes: PrefixMap<NodeId>,
    },
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) attachment: Attachment,
}

impl Host {
    /// Whether an address is the host's own.
    fn holds(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.addresses.contains(&address)
    }

    /// Whether both ends of a packet are on this host.
    pub(crate) fn talks_to_itself(&self, packet: &[u8]) -> bool {
        Datagram::parse(packet)
            .is_some_and(|ends| self.holds(ends.source) && self.holds(ends.destination))
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) host: HostId,
    pub(crate) at: Vertex,
    /// The interface by which its rules see its Pods' packets come in, if not by each Pod's own.
    pods_behind: Option<InterfaceName>,
}

/// Who holds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Node(NodeId),
    /// A Pod or an outside host.
    Host(HostId),
}

/// Where a packet is going.
#[derive(Clone, Copy, Debug)]
struct Goal {
    address: IpAddr,
    holder: Option<Holder>,
}

/// Who claims an address. The last to claim it has it, as on a real link where nobody checks.
#[derive(Debug)]
struct Claims {
    holder: Holder,
    /// In order.
    earlier: Vec<Holder>,
}

/// Nodes, hosts and routes.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) topology: Topology,
    pub(crate) links: Links,
    /// Whether a Pod's packets may come back to it by the link that they left by.
    hairpin: bool,
    /// Nodes that stand still.
    stopped: BTreeSet<NodeId>,
    nodes: Vec<Node>,
    /// By id; `None` for those removed.
    hosts: Vec<Option<Host>>,
    /// Never iterated.
    claims: HashMap<AddressNumber, Claims, FixedState>,
    pod_ranges: PrefixMap<NodeId>,
    balancer: Balancer,
    node_names: BTreeMap<Arc<str>, NodeId>,
    host_names: BTreeMap<Arc<str>, HostId>,
}

impl Network {
    pub(crate) fn new(config: &PlaneConfig) -> Self {
        Self {
            topology: Topology::new(config),
            links: Links::new(config.seed),
            hairpin: config.hairpin,
            stopped: BTreeSet::new(),
            nodes: Vec::new(),
            hosts: Vec::new(),
            claims: HashMap::default(),
            pod_ranges: PrefixMap::new(),
            balancer: Balancer::default(),
            node_names: BTreeMap::new(),
            host_names: BTreeMap::new(),
        }
    }

    pub(crate) fn add_node(&mut self, spec: NodeSpec) -> NodeId {
        let id = NodeId(count(self.nodes.len()));
        let name: Arc<str> = Arc::from(spec.name);
        let host = self.add_host(Host {
            name: Arc::clone(&name),
            addresses: spec.addresses.clone(),
            attachment: Attachment::Node(id),
        });
        self.nodes.push(Node {
            name: Arc::clone(&name),
            addresses: spec.addresses.clone(),
            host,
            at: self.topology.add_node(&spec.zone),
            pods_behind: None,
        });
        self.node_names.insert(name, id);
        for address in spec.addresses {
            self.claim(address, Holder::Node(id));
        }
        for range in spec.pod_cidrs {
            self.pod_ranges.insert(range, id);
        }
        id
    }

    pub(crate) fn put_pods_behind(&mut self, id: NodeId, interface: InterfaceName) {
        self.nodes[id.index()].pods_behind = Some(interface);
    }

    /// How a node's rules see a packet come in.
    pub(crate) fn ingress<'a>(&'a self, id: NodeId, door: &'a Door) -> Ingress<'a> {
        match (door, &self.nodes[id.index()].pods_behind) {
            (Door::Local, _) => Ingress::Local,
            (Door::Interface(own), Some(shared)) if *own != UPLINK => {
                Ingress::Interface(shared.as_str())
            }
            (Door::Interface(own), _) => Ingress::Interface(own.as_str()),
        }
    }

    /// Where a packet from an address enters a node, if no process there sends it: by the link of a Pod that is there, or
    /// might be, or from elsewhere.
    pub(crate) fn door_of(&self, id: NodeId, address: IpAddr) -> Door {
        let interface = match self.holder(address) {
            Some(Holder::Host(host)) => match self.host(host).map(|host| &host.attachment) {
                Some(Attachment::Pod { node, interface }) if *node == id => *interface,
                _ => UPLINK,
            },
            None if self.pod_ranges.lookup(address) == Some(id) => ANY_POD,
            Some(Holder::Node(_)) | None => UPLINK,
        };
        Door::Interface(interface)
    }

    /// Gives a node an address that nobody else hears of.
    pub(crate) fn add_local_address(&mut self, id: NodeId, address: IpAddr) {
        let node = &mut self.nodes[id.index()];
        node.addresses.push(address);
        if let Some(Some(host)) = self.hosts.get_mut(node.host.index()) {
            host.addresses.push(address);
        }
    }

    pub(crate) fn add_pod(&mut self, spec: HostSpec) -> HostId {
        let interface = format!("veth{:x}", self.hosts.len());
        let interface = InterfaceName::new(&interface);
        let attachment = Attachment::Pod {
            node: spec.node,
            interface: interface.expect("numbers of hosts have at most eight digits"),
        };
        self.add_named_host(spec.name, spec.addresses, attachment)
    }

    pub(crate) fn add_outside(&mut self, spec: OutsideSpec) -> HostId {
        let attachment = Attachment::Outside {
            at: self.topology.add_outside(),
            routes: spec.routes.into_iter().collect(),
        };
        self.add_named_host(spec.name, spec.addresses, attachment)
    }

    fn add_named_host(
        &mut self,
        name: String,
        addresses: Vec<IpAddr>,
        attachment: Attachment,
    ) -> HostId {
        let name: Arc<str> = Arc::from(name);
        let id = self.add_host(Host {
            name: Arc::clone(&name),
            addresses: addresses.clone(),
            attachment,
        });
        self.host_names.insert(name, id);
        for address in addresses {
            self.claim(address, Holder::Host(id));
        }
        id
    }

    fn add_host(&mut self, host: Host) -> HostId {
        let id = HostId(count(self.hosts.len()));
        self.hosts.push(Some(host));
        id
    }

    pub(crate) const fn balancer_mut(&mut self) -> &mut Balancer {
        &mut self.balancer
    }

    /// Takes a Pod or an outside host away. Nodes stay.
    pub(crate) fn remove_host(&mut self, id: HostId) {
        let removable = self
            .host(id)
            .is_some_and(|host| !matches!(host.attachment, Attachment::Node(_)));
        if !removable {
            return;
        }
        let Some(host) = self.hosts.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        self.forget_links_of(id);
        if self.host_names.get(&host.name) == Some(&id) {
            self.host_names.remove(&host.name);
        }
        for address in &host.addresses {
            self.give_up(*address, Holder::Host(id));
        }
    }

    fn claim(&mut self, address: IpAddr, holder: Holder) {
        match self.claims.entry(number(address)) {
            Entry::Occupied(mut claims) => {
                let claims = claims.get_mut();
                let earlier = std::mem::replace(&mut claims.holder, holder);
                claims.earlier.push(earlier);
            }
            Entry::Vacant(place) => {
                let earlier = Vec::new();
                place.insert(Claims { holder, earlier });
            }
        }
    }

    fn give_up(&mut self, address: IpAddr, holder: Holder) {
        let Entry::Occupied(mut claims) = self.claims.entry(number(address)) else {
            return;
        };
        let Claims {
            holder: present,
            earlier,
        } = claims.get_mut();
        earlier.retain(|other| *other != holder);
        if *present != holder {
            return;
        }
        match earlier.pop() {
            Some(last) => *present = last,
            None => drop(claims.remove()),
        }
    }

    fn goal(&self, address: IpAddr) -> Goal {
        let holder = self.holder(address);
        Goal { address, holder }
    }

    fn holder(&self, address: IpAddr) -> Option<Holder> {
        Some(self.claims.get(&number(address))?.holder)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub(crate) fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(id.index())?.as_ref()
    }

    pub(crate) fn node_by_name(&self, name: &str) -> Option<NodeId> {
        self.node_names.get(name).copied()
    }

    pub(crate) fn host_by_name(&self, name: &str) -> Option<HostId> {
        self.host_names.get(name).copied()
    }

    /// The way of a packet that a host sends.
    pub(crate) fn leaving_host(&self, id: HostId, packet: &[u8]) -> Transit {
        let place = Place::Host(id);
        let Some(destination) = destination(packet) else {
            return Transit::lost(place, LostReason::NoPath);
        };
        let Some(host) = self.host(id) else {
            return Transit::lost(place, LostReason::HostGone);
        };
        if self.is_stopped(id) {
            return Transit::lost(place, LostReason::NodeStopped);
        }
        match &host.attachment {
            Attachment::Node(node) => {
                let (node, door) = (*node, Door::Local);
                self.through_access(place, Next::Node { node, door })
            }
            _ if host.holds(destination) => Transit {
                from: place,
                next: Next::Host(id),
                delay: Duration::ZERO,
            },
            Attachment::Pod { node, interface } => self.leaving_pod(id, *node, *interface),
            Attachment::Outside { at, routes } => match routes.lookup(destination) {
                Some(node) => self.towards_node(*at, place, node),
                None => {
                    let goal = self.goal(destination);
                    self.over_uplink(*at, place, packet, goal)
                }
            },
        }
    }

    /// The way of a packet that came to a node by a door, after the node has decided about it, with the interface
    /// through which it leaves (none towards a process). `None` when it is dropped.
    pub(crate) fn after(
        &self,
        node: NodeId,
        door: &Door,
        verdict: Verdict,
    ) -> Option<(Transit, Option<InterfaceName>, Packet)> {
        let (packet, interface) = match verdict {
            Verdict::Drop(_) | Verdict::Unknown(_) => return None,
            Verdict::Deliver(packet) => (packet, None),
            Verdict::Forward { packet, interface } if self.is_refused_hairpin(door, interface) => {
                let transit = Transit::lost(Place::Node(node), LostReason::NoHairpin);
                return Some((transit, None, packet));
            }
            Verdict::Forward { packet, interface } => (packet, Some(interface)),
            Verdict::Reject { reply, .. } => {
                let way = self.way_out(node, destination(reply.bytes()));
                (reply, way)
            }
        };
        let transit = match (&interface, destination(packet.bytes())) {
            (Some(interface), Some(to)) => self.leaving_node(node, *interface, packet.bytes(), to),
            _ => self.through_access(Place::Node(node), Next::Host(self.node(node).host)),
        };
        Some((transit, interface, packet))
    }

    /// The first step of every packet that a Pod on a node sends to somebody else, by an interface of the node's.
    pub(crate) fn leaving_pod(
        &self,
        id: HostId,
        node: NodeId,
        interface: InterfaceName,
    ) -> Transit {
        let door = Door::Interface(interface);
        self.through_access(Place::Host(id), Next::Node { node, door })
    }

    /// The next step of every packet to a destination that a node has forwarded from a door to an interface; `None` where
    /// that depends on more.
    pub(crate) fn onward(
        &self,
        node: NodeId,
        door: &Door,
        interface: InterfaceName,
        destination: IpAddr,
    ) -> Option<Transit> {
        if self.is_refused_hairpin(door, interface) {
            return None;
        }
        // Only where nobody has an address a load balancer asks what the packet is.
        self.holder(destination)?;
        Some(self.leaving_node(node, interface, &[], destination))
    }

    /// Whether every node runs, and every link is as it should be.
    pub(crate) fn is_sound(&self) -> bool {
        self.stopped.is_empty() && self.is_whole()
    }

    /// Whether a packet would leave a bridge by the port it came in by, which takes hairpin mode (`bridge link set …
    /// hairpin on`; `hairpinMode` of the bridge CNI plugin): a Pod that reaches itself through a Service.
    fn is_refused_hairpin(&self, door: &Door, way_out: InterfaceName) -> bool {
        !self.hairpin && way_out != UPLINK && *door == Door::Interface(way_out)
    }

    pub(crate) fn set_node_up(&mut self, node: NodeId, up: bool) {
        match up {
            true => self.stopped.remove(&node),
            false => self.stopped.insert(node),
        };
    }

    pub(crate) fn is_node_stopped(&self, node: NodeId) -> bool {
        self.stopped.contains(&node)
    }

    /// Whether a host stands still with its node.
    pub(crate) fn is_stopped(&self, id: HostId) -> bool {
        if self.stopped.is_empty() {
            return false;
        }
        match self.host(id).map(|host| &host.attachment) {
            Some(Attachment::Pod { node, .. } | Attachment::Node(node)) => {
                self.is_node_stopped(*node)
            }
            Some(Attachment::Outside { .. }) | None => false,
        }
    }

    /// Where a packet ends up that gets there now: nowhere, if nobody is awake there.
    pub(crate) fn arrival(&self, next: Next) -> Next {
        if self.stopped.is_empty() {
            return next;
        }
        let stopped = match &next {
            Next::Node { node, .. } => self.is_node_stopped(*node).then_some(Place::Node(*node)),
            Next::Host(host) => self.is_stopped(*host).then_some(Place::Host(*host)),
            Next::Lost { .. } => None,
        };
        match stopped {
            Some(place) => Transit::lost(place, LostReason::NodeStopped).next,
            None => next,
        }
    }

    /// The interface towards an address; `None` when it is the node's own.
    fn way_out(&self, node: NodeId, to: Option<IpAddr>) -> Option<InterfaceName> {
        let routing = self.routing(node);
        let to = to.filter(|to| !to.is_loopback() && !routing.is_local(*to))?;
        Some(routing.route(to)?.interface)
    }

    /// The way of a packet that leaves a node through an interface.
    fn leaving_node(
        &self,
        id: NodeId,
        interface: InterfaceName,
        packet: &[u8],
        destination: IpAddr,
    ) -> Transit {
        let (at, place) = (self.node(id).at, Place::Node(id));
        let goal = self.goal(destination);
        if let Some(pod) = self.pod_behind(id, interface, goal.holder) {
            return self.through_access(place, Next::Host(pod));
        }
        if goal.holder.is_some_and(|holder| self.is_on_uplink(holder)) {
            return self.over_uplink(at, place, packet, goal);
        }
        match self.pod_ranges.lookup(destination) {
            Some(node) if node == id => Transit::lost(place, LostReason::NoSuchPod),
            Some(node) => self.towards_node(at, place, node),
            None => self.over_uplink(at, place, packet, goal),
        }
    }

    /// What the evaluator asks of a node's routes.
    pub(crate) const fn routing(&self, node: NodeId) -> NodeRouting<'_> {
        NodeRouting {
            network: self,
            node,
        }
    }

    fn over_uplink(&self, at: Vertex, from: Place, packet: &[u8], goal: Goal) -> Transit {
        match goal.holder {
            Some(Holder::Node(node)) => self.towards_node(at, from, node),
            Some(Holder::Host(id)) => match self.host(id).map(|host| &host.attachment) {
                Some(Attachment::Outside { at: there, .. }) => {
                    self.over_links(at, from, *there, Next::Host(id))
                }
                _ => Transit::lost(Place::World, LostReason::NobodyThere),
            },
            None => match self.balancer.choose(packet, goal.address) {
                Some(Some(node)) => self.towards_node(at, from, node),
                Some(None) => Transit::lost(Place::World, LostReason::NoNodeTakes),
                None => Transit::lost(Place::World, LostReason::NobodyThere),
            },
        }
    }

    fn towards_node(&self, at: Vertex, from: Place, node: NodeId) -> Transit {
        let door = Door::Interface(UPLINK);
        self.over_links(at, from, self.node(node).at, Next::Node { node, door })
    }

    fn over_links(&self, at: Vertex, from: Place, to: Vertex, next: Next) -> Transit {
        let delay = self.topology.delay(at, to);
        self.unless_cut(Transit { from, next, delay })
    }

    fn through_access(&self, from: Place, next: Next) -> Transit {
        let delay = self.topology.access_delay();
        self.unless_cut(Transit { from, next, delay })
    }

    /// Whether packets to an address go over the uplink, not into a Pod range.
    fn is_on_uplink(&self, holder: Holder) -> bool {
        match holder {
            Holder::Node(_) => true,
            Holder::Host(id) => self
                .host(id)
                .is_some_and(|host| matches!(host.attachment, Attachment::Outside { .. })),
        }
    }

    /// The Pod that an interface of a node leads to: nearly always it is the one that a packet is for.
    fn pod_behind(
        &self,
        node: NodeId,
        interface: InterfaceName,
        holder: Option<Holder>,
    ) -> Option<HostId> {
        if interface == UPLINK {
            return None;
        }
        if let Some(Holder::Host(id)) = holder
            && let Attachment::Pod {
                node: there,
                interface: own,
            } = &self.host(id)?.attachment
            && (*there, *own) == (node, interface)
        {
            return Some(id);
        }
        let index = interface.as_str().strip_prefix("veth")?;
        let index = u32::from_str_radix(index, 16).ok()?;
        let id = HostId(index);
        match &self.host(id)?.attachment {
            Attachment::Pod { node: there, .. } if *there == node => Some(id),
            _ => None,
        }
    }
}

/// A node's routes, as the evaluator sees them.
pub(crate) struct NodeRouting<'a> {
    network: &'a Network,
    node: NodeId,
}

impl Routing for NodeRouting<'_> {
    fn is_local(&self, address: IpAddr) -> bool {
        self.network.node(self.node).addresses.contains(&address)
    }

    fn route(&self, destination: IpAddr) -> Option<Hop> {
        let network = self.network;
        let same_family = |address: &&IpAddr| address.is_ipv4() == destination.is_ipv4();
        let own = network.node(self.node).addresses.iter().find(same_family);
        let source_address = own.copied().unwrap_or(match destination {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        });
        let interface = match network.holder(destination) {
            Some(Holder::Host(id)) => match &network.host(id)?.attachment {
                Attachment::Pod { node, interface } if *node == self.node => *interface,
                _ => UPLINK,
            },
            _ => UPLINK,
        };
        Some(Hop {
            interface,
            source_address,
        })
    }

    fn has_narrow_ways(&self) -> bool {
        self.network.has_narrow_links()
    }

    fn mtu(&self, interface: InterfaceName, packet: &[u8]) -> Option<usize> {
        let network = self.network;
        let to = destination(packet)?;
        let transit = network.leaving_node(self.node, interface, packet, to);
        network.narrowest(&transit)
    }
}

/// An address, and whether it is one of IPv4: numbers are quickly hashed, and every packet asks whose an address is.
type AddressNumber = (u128, bool);

const fn number(address: IpAddr) -> AddressNumber {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    }
}

/// Where a packet is going; `None` when its IP header is broken.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Packet::new_checked(packet).ok()?.dst_addr().into()),
        6 => Some(Ipv6Packet::new_checked(packet).ok()?.dst_addr().into()),
        _ => None,
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("a network has fewer than 2^32 hosts")
}

#[cfg(test)]
mod tests {
    use base::Seed;

    use super::*;

    const SHARED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    /// A network where hosts, in turn, claim an address so many times each.
    fn claimed(times: &[usize]) -> (Network, Vec<HostId>) {
        let mut network = Network::new(&PlaneConfig::with_seed(Seed::new(7)));
        let add = |(number, times): (usize, &usize)| {
            network.add_outside(OutsideSpec {
                name: format!("host-{number}"),
                addresses: vec![SHARED; *times],
                routes: Vec::new(),
            })
        };
        let hosts = times.iter().enumerate().map(add).collect();
        (network, hosts)
    }

    /// Who has the address after each of some hosts has gone.
    fn holders(network: &mut Network, gone: &[HostId]) -> Vec<Option<Holder>> {
        let without = |host: &HostId| {
            network.remove_host(*host);
            network.holder(SHARED)
        };
        gone.iter().map(without).collect()
    }

    #[test]
    fn an_address_falls_to_the_last_who_claims_it_still() {
        let (mut network, hosts) = claimed(&[1, 1, 1]);
        let [first, middle, last] = hosts[..] else {
            panic!("three hosts");
        };
        let [of_first, of_last] = [first, last].map(|host| Some(Holder::Host(host)));
        assert_eq!(network.holder(SHARED), of_last);
        let left = holders(&mut network, &[middle, last, first]);
        assert_eq!(left, [of_last, of_first, None]);
    }

    #[test]
    fn a_host_that_claims_an_address_twice_gives_it_up_at_once() {
        for (gone_first, left) in [(0, 1), (1, 0)] {
            let (mut network, hosts) = claimed(&[2, 2]);
            let (gone, left) = (hosts[gone_first], hosts[left]);
            let holders = holders(&mut network, &[gone, left]);
            assert_eq!(holders, [Some(Holder::Host(left)), None]);
        }
    }
}
