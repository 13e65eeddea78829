//! The graph of places and the delays between them.
//!
//! **What.** Nodes hang on zones, zones and outside hosts on the world; a link's weight is its one-way delay.
//! **Why.** Delays are those of shortest paths, so later links (a cut, a detour, a slow one) need no other code.
//! A process is one access link away from its node: it costs half the latency within a node, so that the
//! latencies of [`PlaneConfig`] hold in total from process to process. Access links are not vertices, because
//! Pods come and go all the time and every change would void the delays that are known.
//!
//! Deviation: latencies are split over the links of a path by integer halves; odd nanoseconds lose one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use petgraph::algo::dijkstra;
use petgraph::graph::{NodeIndex, UnGraph};

use crate::PlaneConfig;

/// A vertex of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Vertex(NodeIndex);

/// The graph, and the delays that have been asked for since it last changed.
#[derive(Debug)]
pub(crate) struct Topology {
    links: UnGraph<(), u64>,
    world: NodeIndex,
    zones: BTreeMap<String, NodeIndex>,
    access_nanos: u64,
    node_to_zone_nanos: u64,
    zone_to_world_nanos: u64,
    outside_to_world_nanos: u64,
    /// By source vertex. A cache only: what is in it follows from the graph.
    delays: RefCell<BTreeMap<NodeIndex, Rc<[Option<u64>]>>>,
}

impl Topology {
    pub(crate) fn new(config: &PlaneConfig) -> Self {
        let [same_node, same_zone, cross_zone] =
            [config.same_node, config.same_zone, config.cross_zone].map(nanos);
        let mut links = UnGraph::default();
        let world = links.add_node(());
        Self {
            links,
            world,
            zones: BTreeMap::new(),
            access_nanos: same_node / 2,
            node_to_zone_nanos: same_zone.saturating_sub(same_node) / 2,
            zone_to_world_nanos: cross_zone.saturating_sub(same_zone) / 2,
            outside_to_world_nanos: cross_zone / 2,
            delays: RefCell::default(),
        }
    }

    /// Adds a node and, when it is the first of its zone, the zone.
    pub(crate) fn add_node(&mut self, zone: &str) -> Vertex {
        let zone_vertex = match self.zones.get(zone) {
            Some(vertex) => *vertex,
            None => {
                let vertex = self.links.add_node(());
                self.links
                    .add_edge(vertex, self.world, self.zone_to_world_nanos);
                self.zones.insert(zone.to_owned(), vertex);
                vertex
            }
        };
        self.attach(zone_vertex, self.node_to_zone_nanos)
    }

    pub(crate) fn add_outside(&mut self) -> Vertex {
        self.attach(self.world, self.outside_to_world_nanos)
    }

    /// The one-way delay between a process and the hooks of its node.
    pub(crate) const fn access_delay(&self) -> Duration {
        Duration::from_nanos(self.access_nanos)
    }

    /// The one-way delay of the shortest path; `None` when there is none.
    pub(crate) fn delay(&self, from: Vertex, to: Vertex) -> Option<Duration> {
        let known = self.delays.borrow().get(&from.0).cloned();
        let from_here = known.unwrap_or_else(|| {
            let fresh = self.delays_from(from.0);
            self.delays.borrow_mut().insert(from.0, Rc::clone(&fresh));
            fresh
        });
        from_here[to.0.index()].map(Duration::from_nanos)
    }

    fn attach(&mut self, parent: NodeIndex, delay_nanos: u64) -> Vertex {
        let vertex = self.links.add_node(());
        self.links.add_edge(vertex, parent, delay_nanos);
        self.delays.get_mut().clear();
        Vertex(vertex)
    }

    fn delays_from(&self, source: NodeIndex) -> Rc<[Option<u64>]> {
        let reached = dijkstra(&self.links, source, None, |link| *link.weight());
        self.links
            .node_indices()
            .map(|vertex| reached.get(&vertex).copied())
            .collect()
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
}
