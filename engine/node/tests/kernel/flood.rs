//! While a Service's endpoints change under a flood of new flows, each of them reaches an endpoint or is lost.
//!
//! **What.** One thread sends first packets, UDP and TCP, into the node; another has the sink change the rules, one commit
//! for each change: thousands by netlink in layout `flat`, as many as `nft` does in a bounded time in kube-proxy's. All
//! that leaves the node is read: nothing may leave untranslated, and no client may be refused.
//! **Why.** A commit is one step for who reads the rules, and not for a packet that is between two lookups; see the guard
//! in `rules`' layout `flat`. kube-proxy's layout has no guard, and there some do either: see [`allows`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use base::Seed;
use netfilter::{Packet, Ruleset};
use rules::{
    Capabilities, ClusterView, ServiceName, ServicePortView, ServiceView, SlicePortView, SliceView,
};
use ruleset::nft::{Ident, NftChain, NftTables, NftTransaction, Statement, Verdict};
use ruleset::{Family, Protocol};
use switchboard_node::{NftTools, NftablesSink, Transport};

use crate::backend::Backend;
use crate::lab::{Lab, on};
use crate::packets::{destination, first};
use crate::site::run;
use crate::{endpoint, node};

/// The frontends of the Service that is flooded, the client, and the client's interface.
const CLUSTER_IP: &str = "10.96.0.40:80";
const EXTERNAL_IP: &str = "203.0.113.5:80";
const CLIENT: &str = "10.244.1.4";
const DOOR: &str = "veth4";

/// Its endpoints are some of so many, and there are so many choices of them.
const ENDPOINTS: u8 = 20;
const CHOICES: usize = 60;
/// First packets until the node forgets its connections, and how many are on their way before they are counted: an
/// interface holds 500.
const FLOWS: u16 = 20_000;
const BATCH: usize = 200;

/// What became of packets.
#[derive(Default)]
struct Tally {
    sent: usize,
    delivered: usize,
    untranslated: usize,
    refused: usize,
}

impl Tally {
    /// Sends packets and counts what leaves the node.
    fn send(&mut self, lab: &mut Lab, packets: &[Packet]) {
        for packet in packets {
            lab.wires.inject(DOOR, packet);
        }
        self.sent += packets.len();
        for (_, packet) in lab.wires.left() {
            self.count(&packet);
        }
    }

    const fn lost(&self) -> usize {
        self.sent - self.delivered - self.untranslated - self.refused
    }

    fn count(&mut self, packet: &Packet) {
        let to = destination(packet).to_string();
        if [CLUSTER_IP, EXTERNAL_IP]
            .iter()
            .any(|frontend| frontend.starts_with(&to))
        {
            self.untranslated += 1;
        } else if to == CLIENT {
            self.refused += 1;
        } else if (1..=ENDPOINTS).any(|number| address(number) == to) {
            self.delivered += 1;
        } else {
            panic!("nobody sends {packet:?}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent,
            delivered,
            untranslated,
            refused,
        } = self;
        let lost = self.lost();
        write!(
            f,
            "{sent} sent: {delivered} delivered, {untranslated} untranslated, {refused} refused, {lost} lost"
        )
    }
}

/// What else there is beside the Service that is flooded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cluster {
    /// Other Services, whose numbers of endpoints are all that occur: only elements change in layout `flat`.
    Several,
    /// Nothing: maps and rules come and go as well.
    Alone,
    /// Nothing, and the Service has session affinity: it has chains in any layout.
    Sticky,
}

/// Each kind of change.
#[test]
fn all_reach_an_endpoint_or_are_lost() {
    let backends = [Backend::Flat, Backend::Nftables];
    on(
        &backends,
        "flood::all_reach_an_endpoint_or_are_lost",
        |lab| {
            for (frontend, cluster) in [
                (CLUSTER_IP, Cluster::Several),
                (EXTERNAL_IP, Cluster::Alone),
                (EXTERNAL_IP, Cluster::Sticky),
            ] {
                let changes = changes(lab.backend, cluster);
                let tally = flood_under_changes(lab, frontend, cluster);
                let summary = format!(
                    "{frontend} with {:?}, {cluster:?}, {changes} changes, {tally}",
                    lab.backend
                );
                println!("{summary}");
                assert!(allows(lab.backend, frontend, &tally), "{summary}");
                assert!(tally.delivered > 3000, "{summary}");
                assert!(tally.delivered > changes, "{summary}");
                assert!(tally.delivered > tally.sent / 10 * 9, "{summary}");
            }
        },
    );
}

/// How many changes: what takes some seconds in all. Those that make chains come and go take more time.
const fn changes(backend: Backend, cluster: Cluster) -> usize {
    match (backend, cluster) {
        (Backend::Flat, Cluster::Several) => 1500,
        (Backend::Flat, Cluster::Alone) => 1000,
        _ => 60,
    }
}

/// Whether a layout may do so to packets to a frontend that always has endpoints.
///
/// kube-proxy's has a hole: each rule that chooses an endpoint has a map of its own. A packet that has found the rule when
/// it is replaced may look into the map when that has been emptied (`nft_map_deactivate` of kernels since 6.5), and goes on
/// as it is. To a ClusterIP it is then taken for one to a wrong port and refused (PROXY-52), to any other address it leaves
/// the node. Under a flood, one change of some twenty to sixty does it.
fn allows(backend: Backend, frontend: &str, tally: &Tally) -> bool {
    match (backend, frontend) {
        (Backend::Nftables, CLUSTER_IP) => tally.untranslated == 0,
        (Backend::Nftables, _) => tally.refused == 0,
        _ => (tally.untranslated, tally.refused) == (0, 0),
    }
}

/// The counts above are not zero because nobody counts: packets that find no endpoint are lost only as long as there is
/// the guard.
#[test]
fn without_the_guard_it_would_be_seen() {
    let test = "flood::without_the_guard_it_would_be_seen";
    on(&[Backend::Flat], test, |lab| {
        let present = compile(lab.backend, 0b111, Cluster::Alone);
        lab.load(vec![Ruleset::Nft(Arc::clone(&present))]);
        let packets = first_packets(CLUSTER_IP);
        let mut packets = packets.chunks(BATCH);
        let mut check = |change: &str, count: fn(&Tally) -> usize| {
            nft(change);
            let mut tally = Tally::default();
            tally.send(
                lab,
                packets.next().expect("there are more packets than checks"),
            );
            assert_eq!(count(&tally), BATCH, "after {change:?}: {tally}");
        };
        check("", |tally| tally.delivered);
        let unguarded = NftTransaction::between(&present, &unguarded(&present)).script();
        check(
            "flush map ip kube-proxy endpoints-tcp-3; flush map ip kube-proxy endpoints-udp-3",
            Tally::lost,
        );
        check(&unguarded, |tally| tally.refused);
        check("flush chain ip kube-proxy cluster-ips-check", |tally| {
            tally.untranslated
        });
    });
}

/// Floods the Service as long as its endpoints change.
fn flood_under_changes(lab: &mut Lab, frontend: &str, cluster: Cluster) -> Tally {
    let backend = lab.backend;
    let mut rng = Seed::new(7).split("choices");
    let choices = (0..CHOICES).map(|_| {
        let all = rng.below(1 << ENDPOINTS) | 1 << rng.below(ENDPOINTS.into());
        // Few of them as often as many.
        let some = all >> rng.below(ENDPOINTS.into());
        compile(backend, some.max(1), cluster)
    });
    let choices: Vec<_> = choices.collect();
    lab.load(vec![Ruleset::Nft(Arc::clone(&choices[0]))]);
    let packets = first_packets(frontend);
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| change(backend, changes(backend, cluster), &choices));
        while !changes.is_finished() {
            run("conntrack", &["--flush"], "");
            let mut batches = packets.chunks(BATCH);
            while let Some(batch) = batches.next().filter(|_| !changes.is_finished()) {
                tally.send(lab, batch);
            }
        }
        changes.join().expect("the kernel takes every change");
    });
    tally
}

/// From the first choice of endpoints to another, and on, again and again.
fn change(backend: Backend, changes: usize, choices: &[Arc<NftTables>]) {
    let transport = match backend {
        Backend::Flat => Transport::Netlink,
        _ => Transport::Text,
    };
    let sink = NftablesSink::new(NftTools::new(), Capabilities::default());
    let mut sink = sink.by_transport(transport);
    let mut rng = Seed::new(7).split("changes");
    let mut present = 0;
    for _ in 0..changes {
        let step = 1 + rng.below(choices.len() as u64 - 1);
        let step = usize::try_from(step).expect("there are few");
        present = (present + step) % choices.len();
        let done = sink.update(&choices[present]);
        done.expect("the kernel takes every change");
    }
    let unencodable = sink.take_unencodable();
    assert!(unencodable.is_none(), "nft did one: {unencodable:?}");
}

fn nft(script: &str) {
    run("nft", &["-f", "-"], script);
}

/// The tables of a node on which the Service has these endpoints, and on which other Services have each number of
/// endpoints, or do not.
fn compile(backend: Backend, chosen: u64, cluster: Cluster) -> Arc<NftTables> {
    let mut view = ClusterView::default();
    let chosen = (1..=ENDPOINTS).filter(|number| chosen >> (number - 1) & 1 == 1);
    let affinity = (cluster == Cluster::Sticky).then_some(600);
    add_service(&mut view, &[CLUSTER_IP, EXTERNAL_IP], affinity, chosen);
    for number in (1..=ENDPOINTS).filter(|_| cluster == Cluster::Several) {
        add_service(
            &mut view,
            &[&format!("10.96.1.{number}:80")],
            None,
            1..=number,
        );
    }
    let compiled = backend.compile(&view, &node());
    let [Ruleset::Nft(tables)] = compiled.as_slice() else {
        panic!("{backend:?} is not of nftables");
    };
    Arc::clone(tables)
}

/// Adds a Service of both protocols, with a ClusterIP and perhaps external IPs.
fn add_service(
    view: &mut ClusterView,
    frontends: &[&str],
    affinity_seconds: Option<u32>,
    endpoints: impl Iterator<Item = u8>,
) {
    let frontends = frontends.iter().map(|frontend| frontend.parse());
    let frontends: Vec<SocketAddr> = frontends
        .map(|frontend| frontend.expect("it is an address and a port"))
        .collect();
    let (at, external) = frontends.split_first().expect("there is a ClusterIP");
    let protocols = [("tcp", Protocol::TCP), ("udp", Protocol::UDP)];
    let port = |(name, protocol): (&str, _)| ServicePortView {
        name: name.into(),
        protocol,
        port: at.port(),
        node_port: None,
    };
    let service = ServiceView {
        cluster_ips: [at.ip()].into_iter().collect(),
        external_ips: external.iter().map(SocketAddr::ip).collect(),
        ports: protocols.map(port).into_iter().collect(),
        affinity_seconds,
        ..ServiceView::default()
    };
    let port = |(name, protocol): (&str, _)| SlicePortView {
        name: name.into(),
        protocol,
        port: 8080,
    };
    let slice = SliceView {
        family: Family::V4,
        ports: protocols.map(port).into_iter().collect(),
        endpoints: endpoints.map(|number| endpoint(&address(number))).collect(),
    };
    let name = ServiceName {
        namespace: "default".into(),
        name: at.ip().to_string().into(),
    };
    view.services.insert(name.clone(), Arc::new(service));
    view.services
        .insert_slice(name, "slice".into(), Arc::new(slice));
}

/// The address of an endpoint; all are behind one interface.
fn address(number: u8) -> String {
    format!("10.244.1.{}", 10 + number)
}

/// The same tables without rules that drop what was not translated.
fn unguarded(tables: &NftTables) -> NftTables {
    let mut tables = tables.clone();
    let drops = |statement: &Statement| *statement == Statement::Verdict(Verdict::Drop);
    for table in tables.tables.values_mut() {
        for choose in ["choose-service-tcp", "choose-service-udp"].map(Ident::literal) {
            let Some(chain) = table.chain(&choose) else {
                continue;
            };
            let mut chain = NftChain::clone(chain);
            chain
                .rules
                .retain(|rule| !rule.statements.iter().any(drops));
            table.put_chain(choose, Arc::new(chain));
        }
    }
    tables
}

/// To a frontend, all of different sockets.
fn first_packets(frontend: &str) -> Vec<Packet> {
    let from = |port| SocketAddr::new(CLIENT.parse().expect("it is an address"), port);
    let to = frontend.parse().expect("it is an address and a port");
    let both = |port| [Protocol::UDP, Protocol::TCP].map(|one| first(one, from(port), to));
    (10_000..10_000 + FLOWS).flat_map(both).collect()
}
