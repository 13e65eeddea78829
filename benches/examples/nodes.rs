//! What the rules of many nodes of one class hold in memory, made by one compiler:
//! `nodes iptables|nftables|flat SERVICES NODES [LOCAL]`. Of the Services, so many percent have an external IP and external
//! policy Local. Endpoints are spread over the nodes.
//!
//! Growth is that of the process's resident memory with so many nodes. Each node's rules are made from those of the node
//! before, and share with them what is equal.

use std::sync::Arc;

use rules::{Capabilities, ClusterSizes, ClusterView, Compiler, NodeFacts, NodePortAddresses};
use rules::{ServiceView, SliceView, TrafficPolicy};
use switchboard_benches::cluster::{ENDPOINTS, events, node, service_name, view};

const USAGE: &str = "usage: nodes iptables|nftables|flat SERVICES NODES [LOCAL]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layout, services, nodes, local @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let (services, nodes): (usize, usize) = (services.parse()?, nodes.parse()?);
    let local = local.first().map_or(Ok(0), |local| local.parse())?;
    let view = spread(&view(&events(services)), services, nodes, local);
    match layout.as_str() {
        "iptables" => judge(
            &view,
            nodes,
            &NodePortAddresses::All,
            |compiler, earlier, view, facts| {
                compiler.iptables_after(earlier, view, facts, ClusterSizes::of(view))
            },
        ),
        "nftables" => judge(
            &view,
            nodes,
            &NodePortAddresses::Primary,
            Compiler::nftables_after,
        ),
        "flat" => judge(
            &view,
            nodes,
            &NodePortAddresses::Primary,
            Compiler::flat_after,
        ),
        _ => Err(USAGE.into()),
    }
}

/// Compiles for one node after the other, each with the mode's default of where node ports answer, and says what they hold.
fn judge<T>(
    view: &ClusterView,
    nodes: usize,
    node_ports: &NodePortAddresses,
    compile: fn(&mut Compiler, Option<&T>, &ClusterView, &NodeFacts) -> T,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut compiler = Compiler::new(Capabilities::ALL);
    let before = resident()?;
    let mut compiled: Vec<T> = Vec::with_capacity(nodes);
    for number in 0..nodes {
        let next = compile(
            &mut compiler,
            compiled.last(),
            view,
            &facts(number, node_ports.clone()),
        );
        compiled.push(next);
        let count = number + 1;
        if [1, 10, 100].contains(&count) || count == nodes {
            println!("{count:>6} nodes {:>10.1} MB", resident()? - before);
        }
    }
    Ok(())
}

/// The memory of this process in MB.
fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes.ok_or("no VmRSS")?.parse()?;
    Ok(kilobytes / 1024.0)
}

fn facts(number: usize, node_port_addresses: NodePortAddresses) -> NodeFacts {
    let address = format!("192.168.{}.{}", number / 250, number % 250 + 1);
    NodeFacts {
        name: node_name(number),
        addresses: vec![address.parse().expect("it is an address")],
        node_port_addresses,
        ..node()
    }
}

fn node_name(number: usize) -> Arc<str> {
    format!("node-{number}").into()
}

/// The same cluster with its endpoints on so many nodes, and so many percent of external policy Local.
fn spread(view: &ClusterView, services: usize, nodes: usize, local: usize) -> ClusterView {
    let mut spread = view.clone();
    for index in 0..services {
        let name = service_name(index);
        let slices = view.services.slices(&name).expect("it has one");
        let slices = slices.iter().map(|(name, slice)| {
            let mut slice = SliceView::clone(slice);
            for (number, endpoint) in slice.endpoints.iter_mut().enumerate() {
                endpoint.node = Some(node_name((index * ENDPOINTS + number) % nodes));
            }
            (name.clone(), Arc::new(slice))
        });
        spread.services.set_slices(name.clone(), slices.collect());
        if index % 100 < local {
            let mut service = ServiceView::clone(view.services.get(&name).expect("it exists"));
            let address = format!("203.0.{}.{}", index / 250, index % 250 + 1);
            service.external_ips = vec![address.parse().expect("it is an address")];
            service.external_traffic_policy = TrafficPolicy::Local;
            spread.services.insert(name, Arc::new(service));
        }
    }
    spread
}
