//! The graph of places and the delays between them.
//!
//! **What.** Nodes hang on zones, zones and outside hosts on the world; a link's weight is its one-way delay.
//! **Why.** Delays are those of shortest paths; what is wrong with a link is laid over them (`crate::link`).
//! Only zones and the world, the hubs, are vertices of the graph. A node or an outside host has one link, to its
//! hub, which every path from or to it takes: what is known of delays grows with the pairs of hubs, not of nodes.
//! A process is one access link away from its node: it costs half the latency within a node, so that the
//! latencies of [`PlaneConfig`] hold in total from process to process. Access links are not vertices, because
//! Pods come and go all the time and every change would void the delays that are known.
//!
//! Deviation: latencies are split over the links of a path by integer halves; odd nanoseconds lose one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use petgraph::algo::dijkstra;
use petgraph::graph::{NodeIndex, UnGraph};

use crate::PlaneConfig;

/// A node or an outside host: a place at the end of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vertex(usize);

/// The link of a place.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    hub: NodeIndex,
    delay_nanos: u64,
}

/// The graph, and the delays that have been asked for since it last changed.
#[derive(Debug)]
pub(crate) struct Topology {
    /// Zones and the world.
    hubs: UnGraph<(), u64>,
    world: NodeIndex,
    zones: BTreeMap<String, NodeIndex>,
    leaves: Vec<Leaf>,
    access_nanos: u64,
    node_to_zone_nanos: u64,
    zone_to_world_nanos: u64,
    outside_to_world_nanos: u64,
    /// By hub, those of all hubs that can be reached. A cache only: what is in it follows from the graph.
    delays: RefCell<BTreeMap<NodeIndex, BTreeMap<NodeIndex, u64>>>,
}

impl Topology {
    pub(crate) fn new(config: &PlaneConfig) -> Self {
        let [same_node, same_zone, cross_zone] =
            [config.same_node, config.same_zone, config.cross_zone].map(nanos);
        let mut hubs = UnGraph::default();
        let world = hubs.add_node(());
        Self {
            hubs,
            world,
            zones: BTreeMap::new(),
            leaves: Vec::new(),
            access_nanos: same_node / 2,
            node_to_zone_nanos: same_zone.saturating_sub(same_node) / 2,
            zone_to_world_nanos: cross_zone.saturating_sub(same_zone) / 2,
            outside_to_world_nanos: cross_zone / 2,
            delays: RefCell::default(),
        }
    }

    /// Adds a node and, when it is the first of its zone, the zone.
    pub(crate) fn add_node(&mut self, zone: &str) -> Vertex {
        let hub = match self.zones.get(zone) {
            Some(hub) => *hub,
            None => self.add_zone(zone),
        };
        self.attach(hub, self.node_to_zone_nanos)
    }

    pub(crate) fn add_outside(&mut self) -> Vertex {
        self.attach(self.world, self.outside_to_world_nanos)
    }

    /// A zone that has a node.
    pub(crate) fn zone(&self, name: &str) -> Option<NodeIndex> {
        self.zones.get(name).copied()
    }

    /// The name of a zone; empty for what is none.
    pub(crate) fn zone_name(&self, zone: NodeIndex) -> &str {
        let mut zones = self.zones.iter();
        zones
            .find(|(_, hub)| **hub == zone)
            .map_or("", |(name, _)| name)
    }

    /// What a place hangs on: a node's zone.
    pub(crate) fn hub(&self, place: Vertex) -> NodeIndex {
        self.leaves[place.0].hub
    }

    /// The one-way delay between a process and the hooks of its node.
    pub(crate) const fn access_delay(&self) -> Duration {
        Duration::from_nanos(self.access_nanos)
    }

    /// The one-way delay of the shortest path; `None` when there is none.
    pub(crate) fn delay(&self, from: Vertex, to: Vertex) -> Option<Duration> {
        if from == to {
            return Some(Duration::ZERO);
        }
        let [from, to] = [from, to].map(|place| self.leaves[place.0]);
        let between = self.between_hubs(from.hub, to.hub)?;
        let nanos = from.delay_nanos + between + to.delay_nanos;
        Some(Duration::from_nanos(nanos))
    }

    fn between_hubs(&self, from: NodeIndex, to: NodeIndex) -> Option<u64> {
        let mut known = self.delays.borrow_mut();
        let from_here = known.entry(from).or_insert_with(|| {
            let reached = dijkstra(&self.hubs, from, None, |link| *link.weight());
            reached.into_iter().collect()
        });
        from_here.get(&to).copied()
    }

    fn add_zone(&mut self, zone: &str) -> NodeIndex {
        let hub = self.hubs.add_node(());
        self.hubs
            .add_edge(hub, self.world, self.zone_to_world_nanos);
        self.zones.insert(zone.to_owned(), hub);
        self.delays.get_mut().clear();
        hub
    }

    fn attach(&mut self, hub: NodeIndex, delay_nanos: u64) -> Vertex {
        self.leaves.push(Leaf { hub, delay_nanos });
        Vertex(self.leaves.len() - 1)
    }
}

/// At most 2⁶⁰ ns (36 years), so that no path's sum overflows.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos())
        .unwrap_or(u64::MAX)
        .min(1 << 60)
}

#[cfg(test)]
mod tests {
    use base::Seed;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn latencies_hold_from_process_to_process() {
        let config = PlaneConfig::with_seed(Seed::new(1));
        let mut topology = Topology::new(&config);
        let [a, b] = ["zone-1", "zone-1"].map(|zone| topology.add_node(zone));
        let c = topology.add_node("zone-2");
        let [laptop, desktop] = [(); 2].map(|()| topology.add_outside());
        let access = topology.access_delay();
        let between = |from, to| topology.delay(from, to).unwrap();
        assert_eq!(between(a, a) + access * 2, config.same_node);
        assert_eq!(between(a, b) + access * 2, config.same_zone);
        assert_eq!(between(a, c) + access * 2, config.cross_zone);
        assert_eq!(between(laptop, c) + access, config.cross_zone);
        assert_eq!(between(laptop, desktop), config.cross_zone);
    }

    #[test]
    fn new_places_are_reached_at_once() {
        let mut topology = Topology::new(&PlaneConfig::with_seed(Seed::new(1)));
        let a = topology.add_node("z");
        assert!(topology.delay(a, a).is_some());
        let b = topology.add_node("z");
        assert_eq!(topology.delay(a, b), topology.delay(b, a));
    }

    /// Five thousand nodes ask for the way to each other: what is remembered is the zones' affair.
    #[test]
    fn memory_is_by_zone() {
        let mut topology = Topology::new(&PlaneConfig::with_seed(Seed::new(1)));
        let nodes: Vec<Vertex> = (0..5000)
            .map(|index| topology.add_node(["a", "b", "c"][index % 3]))
            .collect();
        for (from, to) in nodes.iter().zip(nodes.iter().rev()) {
            topology.delay(*from, *to).unwrap();
        }
        let known: usize = topology.delays.borrow().values().map(BTreeMap::len).sum();
        assert_eq!(known, 3 * 4, "from each zone to each hub");
    }

    proptest! {
        /// The same delays as by shortest paths over a graph in which every place is a vertex.
        #[test]
        fn delays_are_those_of_the_whole_graph(
            // Four is outside.
            places in prop::collection::vec(0..5_usize, 1..20),
            mut latencies in prop::array::uniform3(0_u64..2_000_000),
        ) {
            latencies.sort_unstable();
            let [same_node, same_zone, cross_zone] = latencies.map(Duration::from_nanos);
            let seed = Seed::new(1);
            let config = PlaneConfig { same_node, same_zone, cross_zone, ..PlaneConfig::with_seed(seed) };
            let mut topology = Topology::new(&config);
            let mut whole = UnGraph::<(), u64>::default();
            let world = whole.add_node(());
            let mut zones = BTreeMap::new();
            let mut pairs = Vec::new();
            for place in places {
                let vertex = whole.add_node(());
                if place == 4 {
                    whole.add_edge(vertex, world, latencies[2] / 2);
                    pairs.push((topology.add_outside(), vertex));
                    continue;
                }
                let zone = *zones.entry(place).or_insert_with(|| {
                    let zone = whole.add_node(());
                    whole.add_edge(zone, world, (latencies[2] - latencies[1]) / 2);
                    zone
                });
                whole.add_edge(vertex, zone, (latencies[1] - latencies[0]) / 2);
                pairs.push((topology.add_node(&place.to_string()), vertex));
                // Asked half-way, so that later places find a cache.
                topology.delay(pairs[0].0, pairs[pairs.len() - 1].0);
            }
            for (from, start) in &pairs {
                let expected = dijkstra(&whole, *start, None, |link| *link.weight());
                for (to, end) in &pairs {
                    let expected = expected.get(end).copied().map(Duration::from_nanos);
                    prop_assert_eq!(topology.delay(*from, *to), expected);
                }
            }
        }
    }
}
