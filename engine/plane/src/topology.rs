//! The graph of places and the delays between them.
//!
//! **What.** Nodes hang on zones, zones and outside hosts on the world; a link's weight is its one-way delay.
//! **Why.** Delays are those of shortest paths; what is wrong with a link is laid over them (`crate::link`).
//! Only zones and the world, the hubs, are vertices of the graph, and the delays between them a table, for every packet asks.
//! A node or an outside host has one link, to its hub, which every path from or to it takes.
//! A process is one access link away from its node: it costs half the latency within a node, so that the
//! latencies of [`PlaneConfig`] hold in total from process to process. Access links are not vertices, because
//! Pods come and go all the time.
//!
//! Deviation: latencies are split over the links of a path by integer halves; odd nanoseconds lose one.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use petgraph::algo::dijkstra;
use petgraph::graph::{NodeIndex, UnGraph};

use crate::PlaneConfig;

/// A node or an outside host: a place at the end of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vertex(usize);

/// What places hang on: a zone, by its number, or the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hub {
    World,
    Zone(u32),
}

impl Hub {
    /// Where it is in the graph.
    fn vertex(self) -> NodeIndex {
        match self {
            Self::World => NodeIndex::new(0),
            Self::Zone(number) => NodeIndex::new(number as usize + 1),
        }
    }
}

/// The graph, and the delays between its hubs.
#[derive(Debug)]
pub(crate) struct Topology {
    /// The world, which is the first, and zones by their numbers.
    graph: UnGraph<(), u64>,
    /// From hub to hub, by their places in the graph; found when it is asked for after a change.
    delays: OnceCell<Vec<Vec<u64>>>,
    zones: BTreeMap<String, Hub>,
    /// By place.
    hubs: Vec<Hub>,
    access_nanos: u64,
    node_to_zone_nanos: u64,
    zone_to_world_nanos: u64,
    outside_to_world_nanos: u64,
}

impl Topology {
    pub(crate) fn new(config: &PlaneConfig) -> Self {
        let [same_node, same_zone, cross_zone] =
            [config.same_node, config.same_zone, config.cross_zone].map(nanos);
        let mut graph = UnGraph::default();
        graph.add_node(());
        Self {
            graph,
            delays: OnceCell::new(),
            zones: BTreeMap::new(),
            hubs: Vec::new(),
            access_nanos: same_node / 2,
            node_to_zone_nanos: same_zone.saturating_sub(same_node) / 2,
            zone_to_world_nanos: cross_zone.saturating_sub(same_zone) / 2,
            outside_to_world_nanos: cross_zone / 2,
        }
    }

    /// Adds a node and, when it is the first of its zone, the zone.
    pub(crate) fn add_node(&mut self, zone: &str) -> Vertex {
        let hub = match self.zone(zone) {
            Some(hub) => hub,
            None => self.add_zone(zone),
        };
        self.attach(hub)
    }

    pub(crate) fn add_outside(&mut self) -> Vertex {
        self.attach(Hub::World)
    }

    /// A zone that has a node.
    pub(crate) fn zone(&self, name: &str) -> Option<Hub> {
        self.zones.get(name).copied()
    }

    /// The name of a zone; empty for what is none.
    pub(crate) fn zone_name(&self, zone: Hub) -> &str {
        let mut zones = self.zones.iter();
        zones
            .find(|(_, hub)| **hub == zone)
            .map_or("", |(name, _)| name)
    }

    /// What a place hangs on: a node's zone.
    pub(crate) fn hub(&self, place: Vertex) -> Hub {
        self.hubs[place.0]
    }

    /// The one-way delay between a process and the hooks of its node.
    pub(crate) const fn access_delay(&self) -> Duration {
        Duration::from_nanos(self.access_nanos)
    }

    /// The one-way delay of the shortest path between two places.
    pub(crate) fn delay(&self, from: Vertex, to: Vertex) -> Duration {
        if from == to {
            return Duration::ZERO;
        }
        let [from, to] = [from, to].map(|place| self.hub(place));
        let between = self.delays()[from.vertex().index()][to.vertex().index()];
        Duration::from_nanos(self.to_hub(from) + between + self.to_hub(to))
    }

    fn delays(&self) -> &[Vec<u64>] {
        self.delays.get_or_init(|| {
            let hubs = || self.graph.node_indices();
            let from_hub = |from| {
                let reached = dijkstra(&self.graph, from, None, |link| *link.weight());
                hubs().map(|to| reached[&to]).collect()
            };
            hubs().map(from_hub).collect()
        })
    }

    const fn to_hub(&self, hub: Hub) -> u64 {
        match hub {
            Hub::World => self.outside_to_world_nanos,
            Hub::Zone(_) => self.node_to_zone_nanos,
        }
    }

    fn add_zone(&mut self, zone: &str) -> Hub {
        let number = u32::try_from(self.zones.len()).expect("fewer than 2^32 zones");
        let hub = Hub::Zone(number);
        let vertex = self.graph.add_node(());
        let world = Hub::World.vertex();
        self.graph.add_edge(vertex, world, self.zone_to_world_nanos);
        self.zones.insert(zone.to_owned(), hub);
        self.delays.take();
        hub
    }

    fn attach(&mut self, hub: Hub) -> Vertex {
        self.hubs.push(hub);
        Vertex(self.hubs.len() - 1)
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
        let between = |from, to| topology.delay(from, to);
        assert_eq!(between(a, a) + access * 2, config.same_node);
        assert_eq!(between(a, b) + access * 2, config.same_zone);
        assert_eq!(between(a, c) + access * 2, config.cross_zone);
        assert_eq!(between(laptop, c) + access, config.cross_zone);
        assert_eq!(between(laptop, desktop), config.cross_zone);
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
                // Asked half-way, so that later places find a table.
                topology.delay(pairs[0].0, pairs[pairs.len() - 1].0);
            }
            for (from, start) in &pairs {
                let expected = dijkstra(&whole, *start, None, |link| *link.weight());
                for (to, end) in &pairs {
                    let expected = Duration::from_nanos(expected[end]);
                    prop_assert_eq!(topology.delay(*from, *to), expected);
                }
            }
        }
    }
}
