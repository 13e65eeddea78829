//! Whole TCP exchanges through a Service: sockets, links, rules and back.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::Seed;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ipnet::IpNet;
use netfilter::NodeTables;
use plane::{HostId, HostSpec, NodeId, NodeSpec, Plane, PlaneConfig, PlaneEvent, TableSource};
use rules::{Capabilities, Compiler};
use ruleset::Protocol;
use switchboard_benches::cluster::{self, ENDPOINTS, events, frontend};

const SERVICES: usize = 100;
/// Exchanges of one iteration, and how many of them are under way at a time.
const EXCHANGES: usize = 10_000;
const AT_ONCE: usize = 100;
const CLIENTS: u8 = 5;
const REQUEST: [u8; 100] = [b'?'; 100];
const ANSWER: [u8; 200] = [b'!'; 200];

/// The same tables on every node.
struct Everywhere(Arc<NodeTables>);

impl TableSource for Everywhere {
    fn tables(&mut self, _: NodeId) -> Arc<NodeTables> {
        Arc::clone(&self.0)
    }
}

/// A cluster whose servers answer each request and close, and whose clients make exchanges in turn.
struct Cluster {
    plane: Plane,
    clients: Vec<HostId>,
    frontends: Vec<SocketAddr>,
    begun: usize,
}

impl Cluster {
    /// Endpoints spread over so many nodes; clients are on the first.
    fn new(nodes: usize, frontends: Vec<SocketAddr>, endpoints: &[IpAddr]) -> Self {
        let mut plane = Plane::new(PlaneConfig::with_seed(Seed::new(7)));
        let ids: Vec<NodeId> = (0..nodes)
            .map(|index| plane.add_node(node(index, nodes, endpoints)))
            .collect();
        for (index, address) in endpoints.iter().enumerate() {
            let addresses = vec![*address];
            let (name, node) = (format!("endpoint-{index}"), ids[index % nodes]);
            let host = plane.add_pod(HostSpec {
                name,
                node,
                addresses,
            });
            plane
                .listen(host, Protocol::TCP, 8080)
                .expect("nothing else listens there");
        }
        let client = |number: u8| {
            plane.add_pod(HostSpec {
                name: format!("client-{number}"),
                node: ids[0],
                addresses: vec![[10, 244, 0, 5 + number].into()],
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self {
            plane,
            clients,
            frontends,
            begun: 0,
        }
    }

    fn begin(&mut self) {
        let client = self.clients[self.begun % self.clients.len()];
        let to = self.frontends[self.begun % self.frontends.len()];
        self.plane.connect(client, to);
        self.begun += 1;
    }

    fn react(&mut self, event: &PlaneEvent) -> bool {
        match event {
            PlaneEvent::Connected { socket } => {
                self.plane.send(*socket, &REQUEST).expect("it stands");
            }
            PlaneEvent::Data { socket, bytes, .. } if bytes.len() == REQUEST.len() => {
                self.plane.send(*socket, &ANSWER).expect("it stands");
                self.plane.close(*socket);
            }
            PlaneEvent::PeerClosed { socket } => self.plane.close(*socket),
            PlaneEvent::Closed { socket } => return self.clients.contains(&socket.host()),
            PlaneEvent::Failed { error, .. } => panic!("every exchange works: {error}"),
            _ => {}
        }
        false
    }

    /// Makes all exchanges; gives the cluster back, so that taking it apart is not measured.
    fn run(mut self, tables: &mut Everywhere) -> Self {
        for _ in 0..AT_ONCE {
            self.begin();
        }
        let mut done = 0;
        while self.plane.next_event_at().is_some() {
            for event in self.plane.step(tables) {
                if !self.react(&event) {
                    continue;
                }
                done += 1;
                if self.begun < EXCHANGES {
                    self.begin();
                }
            }
        }
        assert_eq!(done, EXCHANGES, "every exchange ends");
        self
    }
}

/// One of the nodes, which has every so-many-th endpoint.
fn node(index: usize, nodes: usize, endpoints: &[IpAddr]) -> NodeSpec {
    let number = u8::try_from(index).expect("five nodes at most");
    let own = endpoints.iter().skip(index).step_by(nodes);
    let clients = format!("10.244.{number}.0/24");
    let clients: IpNet = clients.parse().expect("it is a range");
    NodeSpec {
        name: format!("node-{index}"),
        zone: "zone".to_owned(),
        addresses: vec![[192, 168, 1, 1 + number].into()],
        pod_cidrs: own
            .map(|address| IpNet::from(*address))
            .chain([clients])
            .collect(),
    }
}

fn exchanges(criterion: &mut Criterion) {
    let view = cluster::view(&events(SERVICES));
    let compiled = Compiler::new(Capabilities::ALL).nftables(&view, &cluster::node());
    let tables = NodeTables::new([compiled.tables]).expect("compiled tables load");
    let mut tables = Everywhere(Arc::new(tables));
    let frontends: Vec<SocketAddr> = (0..SERVICES).map(|index| frontend(&view, index)).collect();
    let endpoints: BTreeSet<IpAddr> = view
        .services
        .existing()
        .flat_map(|(_, _, slices)| slices.values())
        .flat_map(|slice| &slice.endpoints)
        .map(|endpoint| endpoint.address)
        .collect();
    let endpoints: Vec<IpAddr> = endpoints.into_iter().collect();

    let mut group = criterion.benchmark_group("plane/exchanges");
    group.sample_size(10);
    let count = u64::try_from(EXCHANGES).expect("ten thousand");
    group.throughput(Throughput::Elements(count));
    for (name, nodes) in [("one node", 1), ("five nodes", ENDPOINTS)] {
        group.bench_function(name, |bencher| {
            let setup = || Cluster::new(nodes, frontends.clone(), &endpoints);
            let run = |cluster: Cluster| cluster.run(&mut tables);
            bencher.iter_batched(setup, run, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, exchanges);
criterion_main!(benches);
