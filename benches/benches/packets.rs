//! Packets through one node's rules, in both layouts of kube-proxy and in our own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base::{Seed, SimTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use netfilter::{
    Evaluation, Ingress, NoTrace, NodeState, NodeTables, Packet, Ruleset, SeededChooser, Verdict,
    eval,
};
use rules::{Capabilities, ClusterView, Compiler};
use switchboard_benches::cluster::{events, node, view};
use switchboard_benches::packets::{OneWay, data, syn, syn_ack};

const SERVICES: usize = 10_000;
const FLOWS: u32 = 100_000;
/// Flows of one client Pod.
const PORTS: u32 = 20_000;

/// A node on which packets follow each other.
#[derive(Clone)]
struct Node<'a> {
    tables: &'a NodeTables,
    routing: &'a OneWay,
    state: NodeState,
    chooser: SeededChooser,
}

impl Node<'_> {
    fn take(&mut self, packet: Packet) -> Packet {
        let Evaluation {
            verdict, effects, ..
        } = eval(
            self.tables,
            &self.state,
            self.routing,
            packet,
            Ingress::Interface("veth0"),
            SimTime::ZERO,
            &mut self.chooser,
            &mut NoTrace,
        );
        self.state.commit(effects);
        match verdict {
            Verdict::Forward { packet, .. } => packet,
            other => panic!("every packet of this bench is forwarded, not {other:?}"),
        }
    }
}

/// Gives the node back, so that taking it apart is not measured.
fn take_all(mut node: Node<'_>, packets: Vec<Packet>) -> (Node<'_>, Vec<Packet>) {
    let forwarded = packets
        .into_iter()
        .map(|packet| node.take(packet))
        .collect();
    (node, forwarded)
}

/// One SYN per flow; flows take the Services in turn.
fn first_packets(view: &ClusterView) -> Vec<Packet> {
    let services = view.services.existing().map(|(_, service, _)| service);
    let vips: Vec<_> = services
        .filter(|service| service.ports[0].port == 80)
        .map(|service| SocketAddr::new(service.cluster_ips[0], 80))
        .collect();
    let flows = (0..FLOWS).zip(vips.iter().cycle());
    flows.map(|(flow, vip)| syn(client(flow), *vip)).collect()
}

/// The client's end of a flow.
fn client(flow: u32) -> SocketAddr {
    let pod = u8::try_from(flow / PORTS).expect("five Pods are enough");
    let port = u16::try_from(20_000 + flow % PORTS).expect("20,000 from 20,000 on are ports");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 244, 0, 5 + pod)), port)
}

/// Opens a connection; returns a segment each way, as they arrive at the node.
fn establish(node: &mut Node<'_>, first: &Packet) -> [Packet; 2] {
    let arrived = first.tuple().expect("a SYN is of a flow");
    let left = node
        .take(first.clone())
        .tuple()
        .expect("a SYN is of a flow");
    let (client, vip) = (arrived.source_socket(), arrived.destination_socket());
    let endpoint = left.destination_socket();
    node.take(syn_ack(endpoint, client));
    let segments = [data(client, vip), data(endpoint, client)];
    for segment in &segments {
        node.take(segment.clone());
    }
    segments
}

fn measure(criterion: &mut Criterion, layout: &str, owners: Vec<Ruleset>, firsts: &[Packet]) {
    let tables = NodeTables::new(owners).expect("compiled tables load");
    let routing = OneWay::through("eth0");
    let idle = || Node {
        tables: &tables,
        routing: &routing,
        state: NodeState::with_capacity(firsts.len()),
        chooser: SeededChooser(Seed::new(7).split("chooser")),
    };

    let mut group = criterion.benchmark_group(format!("packets/{layout}"));
    group.sample_size(20);
    group.throughput(Throughput::Elements(FLOWS.into()));
    group.bench_function("new", |bencher| {
        let setup = || (idle(), firsts.to_vec());
        let run = |(node, packets)| take_all(node, packets);
        bencher.iter_batched(setup, run, BatchSize::PerIteration);
    });

    let mut busy = idle();
    let segments: Vec<Packet> = firsts
        .iter()
        .flat_map(|first| establish(&mut busy, first))
        .collect();
    group.throughput(Throughput::Elements(u64::from(FLOWS) * 2));
    group.bench_function("established", |bencher| {
        let setup = || segments.clone();
        let run = |packets: Vec<Packet>| -> Vec<Packet> {
            packets
                .into_iter()
                .map(|packet| busy.take(packet))
                .collect()
        };
        bencher.iter_batched(setup, run, BatchSize::PerIteration);
    });
    group.finish();
}

fn packets(criterion: &mut Criterion) {
    let view = view(&events(SERVICES));
    let firsts = first_packets(&view);
    let nftables = Compiler::new(Capabilities::ALL).nftables(&view, &node());
    measure(criterion, "nftables", vec![nftables.tables.into()], &firsts);
    let flat = Compiler::new(Capabilities::ALL).flat(&view, &node());
    measure(criterion, "flat", vec![flat.tables.into()], &firsts);
    let iptables = Compiler::new(Capabilities::ALL).iptables(&view, &node());
    let owners = iptables.tables.values().map(Arc::clone).map(Into::into);
    measure(criterion, "iptables", owners.collect(), &firsts);
}

criterion_group!(benches, packets);
criterion_main!(benches);
