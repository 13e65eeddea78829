//! What is counted over a run.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Kind, Object, ObjectKey};
use control::{
    CacheFigures, Connection, Histogram, NodeConfig, Outcome, Source, SyncFigures, TrafficReport,
    World,
};
use serde_json::{Map, Value as Json, json};

use crate::expect::Percentile;
use crate::report::nanos;

/// What stands for the zone of a host outside, and of a node without one.
const OUTSIDE: &str = "outside";
const NO_ZONE: &str = "no zone";

/// What was counted over a run.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Connections, and requests of traffic, by how they ended; repeated looks included.
    pub connections: BTreeMap<Outcome, u64>,
    /// Of those that somebody answered: by the zone of the client, then by that of the server.
    pub zones: BTreeMap<String, BTreeMap<String, u64>>,
    /// The proxies' syncs, and from each change to the end of each node's first sync that has it.
    pub syncs: SyncFigures,
    /// How many rules each node has at the end, of those nodes whose rules somebody has met or looked at.
    pub rules: BTreeMap<String, usize>,
    /// Queries that clients sent, those before connections included.
    pub dns_queries: u64,
    /// What the caches of nodes were asked, where nodes have one.
    pub dns_cache: Option<CacheFigures>,
}

impl Metrics {
    /// Counts connections of one client and the queries before them.
    pub(crate) fn count(
        &mut self,
        world: &dyn World,
        nodes: &[NodeConfig],
        from: &Source,
        seen: &[Connection],
    ) {
        let from_zone = zone_of(world, nodes, from);
        for connection in seen {
            *self.connections.entry(connection.outcome).or_default() += 1;
            let resolution = connection.resolution.as_ref();
            self.dns_queries += resolution.map_or(0, |lookup| lookup.attempts.len() as u64);
            if let Some(peer) = &connection.backend {
                let node = peer.node.as_deref();
                let to_zone =
                    node.map_or_else(|| OUTSIDE.to_owned(), |node| zone(world, nodes, node));
                self.count_zones(&from_zone, &to_zone, 1);
            }
        }
    }

    /// Counts traffic that has ended.
    pub(crate) fn count_traffic(&mut self, seen: &TrafficReport) {
        for (fate, count) in &seen.all().fates {
            *self.connections.entry(fate.outcome).or_default() += count;
            if let Some(to_zone) = &fate.to_zone {
                self.count_zones(&fate.from_zone, to_zone, *count);
            }
        }
        self.dns_queries += seen.dns_queries;
    }

    /// Takes over what the world has counted.
    pub(crate) fn conclude(&mut self, world: &dyn World) {
        let figures = world.figures();
        (self.syncs, self.rules) = (figures.syncs, figures.rules);
        self.dns_cache = figures.dns_cache;
    }

    fn count_zones(&mut self, from: &str, to: &str, count: u64) {
        let from = self.zones.entry(from.to_owned()).or_default();
        *from.entry(to.to_owned()).or_default() += count;
    }

    pub(crate) fn to_json(&self) -> Json {
        let connections = self.connections.iter();
        let connections: Map<String, Json> = connections
            .map(|(outcome, count)| (outcome.as_str().to_owned(), (*count).into()))
            .collect();
        let SyncFigures {
            full,
            partial,
            time,
            programming,
        } = &self.syncs;
        let mut metrics = json!({
            "connections": connections,
            "zones": self.zones,
            "syncs": {"full": full, "partial": partial, "timeNs": nanos(*time)},
            "programmingLatency": latency_json(programming),
            "rules": self.rules,
            "dnsQueries": self.dns_queries,
        });
        if let Some(CacheFigures { hits, misses }) = self.dns_cache {
            metrics["dnsCache"] = json!({"hits": hits, "misses": misses});
        }
        metrics
    }
}

/// How many there are, and percentiles in nanoseconds.
pub(crate) fn latency_json(latency: &Histogram) -> Json {
    let ranks = Percentile::ALL.iter().filter_map(|(key, rank)| {
        let value: Duration = latency.percentile(rank.hundredths().into())?;
        Some(((*key).to_owned(), Json::from(nanos(value))))
    });
    let count = [("count".to_owned(), Json::from(latency.len()))];
    Json::Object(count.into_iter().chain(ranks).collect())
}

/// The zone of a source at this instant.
fn zone_of(world: &dyn World, nodes: &[NodeConfig], from: &Source) -> String {
    match from {
        Source::Outside(_) => OUTSIDE.to_owned(),
        Source::Node(node) => zone(world, nodes, node),
        Source::Pod(key) => {
            let pod = world.get(key).ok();
            let pod = pod.as_ref().and_then(Object::as_pod);
            let node = pod.map_or("", |pod| &pod.spec.node_name);
            zone(world, nodes, node)
        }
    }
}

/// As the node's label says, or while there is no such Node as the scenario does.
fn zone(world: &dyn World, nodes: &[NodeConfig], name: &str) -> String {
    let node = world.get(&ObjectKey::new(Kind::Node, "", name)).ok();
    let zone = match node.as_ref().and_then(Object::as_node) {
        Some(node) => node.zone(),
        None => {
            let node = nodes.iter().find(|node| node.name == name);
            node.and_then(|node| node.zone.as_deref())
        }
    };
    zone.unwrap_or(NO_ZONE).to_owned()
}
