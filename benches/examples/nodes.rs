//! What the rules of many nodes of one class hold in memory, made by one compiler:
//! `nodes iptables|nftables|flat SERVICES NODES [LOCAL]`. Of the Services, so many percent have an external IP and external
//! policy Local. Endpoints are spread over the nodes.
//!
//! Growth is that of the process's resident memory with so many nodes. Where the bytes are is counted: what several nodes
//! share is one copy; an entry counts as much as it is big, without what it leads to and without the trees' own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rules::{Capabilities, ClusterView, CompiledIptables, CompiledNftables, Compiler, NodeFacts};
use rules::{ServiceView, SliceView, TrafficPolicy};
use ruleset::OriginId;
use ruleset::nft::{Element, ElementAttrs, Ident, Key, NftChain, NftRule, SetOrMap};
use ruleset::xt::{ChainName, XtChain, XtRule};
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
        "iptables" => judge(&view, nodes, Compiler::iptables, Holdings::add_iptables),
        "nftables" => judge(&view, nodes, Compiler::nftables, Holdings::add_nftables),
        "flat" => judge(&view, nodes, Compiler::flat, Holdings::add_nftables),
        _ => Err(USAGE.into()),
    }
}

/// Compiles for one node after the other, and says what they hold.
fn judge<T>(
    view: &ClusterView,
    nodes: usize,
    compile: fn(&mut Compiler, &ClusterView, &NodeFacts) -> T,
    add: fn(&mut Holdings, &T),
) -> Result<(), Box<dyn std::error::Error>> {
    let mut compiler = Compiler::new(Capabilities::ALL);
    let before = resident()?;
    let mut compiled = Vec::with_capacity(nodes);
    for number in 0..nodes {
        compiled.push(compile(&mut compiler, view, &facts(number)));
        let count = number + 1;
        if [1, 10, 100].contains(&count) || count == nodes {
            println!("{count:>6} nodes {:>10.1} MB", resident()? - before);
        }
    }
    let mut holdings = Holdings::default();
    for one in &compiled {
        add(&mut holdings, one);
    }
    holdings.print();
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

fn facts(number: usize) -> NodeFacts {
    let address = format!("192.168.{}.{}", number / 250, number % 250 + 1);
    NodeFacts {
        name: node_name(number),
        addresses: vec![address.parse().expect("it is an address")],
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
        let slices = view.slices[&name].iter().map(|(name, slice)| {
            let mut slice = SliceView::clone(slice);
            for (number, endpoint) in slice.endpoints.iter_mut().enumerate() {
                endpoint.node = Some(node_name((index * ENDPOINTS + number) % nodes));
            }
            (name.clone(), Arc::new(slice))
        });
        spread
            .slices
            .insert(name.clone(), Arc::new(slices.collect()));
        if index % 100 < local {
            let mut service = ServiceView::clone(&view.services[&name]);
            let address = format!("203.0.{}.{}", index / 250, index % 250 + 1);
            service.external_ips = vec![address.parse().expect("it is an address")];
            service.external_traffic_policy = TrafficPolicy::Local;
            spread.services.insert(name, Arc::new(service));
        }
    }
    spread
}

/// What tables hold, by what it is.
#[derive(Default)]
struct Holdings {
    by_name: BTreeMap<String, Holding>,
    /// Where things are that several nodes may share.
    seen: BTreeSet<usize>,
}

#[derive(Clone, Copy, Default)]
struct Holding {
    copies: usize,
    entries: usize,
    bytes: usize,
}

impl Holdings {
    fn add_nftables(&mut self, compiled: &CompiledNftables) {
        for table in compiled.tables.tables.values() {
            for (name, set) in table.sets.iter() {
                let (place, entries, size) = match set {
                    SetOrMap::Set(set) => {
                        let place = Arc::as_ptr(set).addr();
                        (place, set.elements.len(), size_of::<(Key, ElementAttrs)>())
                    }
                    SetOrMap::Map(map) => {
                        let place = Arc::as_ptr(map).addr();
                        (place, map.elements.len(), size_of::<(Key, Element)>())
                    }
                };
                self.add_shared(place, format!("elements of {name}"), entries, size);
                let size = size_of::<(Key, OriginId)>();
                self.add("origins of elements".to_owned(), entries, size);
            }
            for (name, chain) in table.chains.iter() {
                let what = format!("rules of {}", kind(name.as_str()));
                let place = Arc::as_ptr(chain).addr();
                self.add_shared(place, what, chain.rules.len(), size_of::<NftRule>());
            }
            let size = size_of::<(Ident, Arc<NftChain>)>() + size_of::<(Ident, usize)>();
            self.add("chains by name".to_owned(), table.chains.len(), size);
        }
    }

    fn add_iptables(&mut self, compiled: &CompiledIptables) {
        for table in compiled.tables.values().flat_map(|one| one.tables.values()) {
            for (name, chain) in &table.chains {
                let what = format!("rules of {}", kind(name.as_str()));
                let place = Arc::as_ptr(chain).addr();
                self.add_shared(place, what, chain.rules.len(), size_of::<XtRule>());
            }
            let size = size_of::<(ChainName, Arc<XtChain>)>();
            self.add("chains by name".to_owned(), table.chains.len(), size);
        }
    }

    fn add_shared(&mut self, place: usize, what: String, entries: usize, size: usize) {
        if self.seen.insert(place) {
            self.add(what, entries, size);
        }
    }

    fn add(&mut self, what: String, entries: usize, size: usize) {
        let holding = self.by_name.entry(what).or_default();
        holding.copies += 1;
        holding.entries += entries;
        holding.bytes += entries * size;
    }

    /// The biggest ones.
    fn print(&self) {
        let mut by_size: Vec<_> = self.by_name.iter().collect();
        by_size.sort_by_key(|(_, holding)| std::cmp::Reverse(holding.bytes));
        for (what, holding) in by_size.into_iter().take(8) {
            let Holding {
                copies,
                entries,
                bytes,
            } = holding;
            let megabytes = bytes >> 20;
            println!("{megabytes:>9} MB {copies:>9} copies {entries:>10} entries  {what}");
        }
    }
}

/// The chains of fragments are as many as Services.
fn kind(chain: &str) -> String {
    let of_service = [
        "KUBE-SVC-",
        "KUBE-SEP-",
        "KUBE-EXT-",
        "KUBE-SVL-",
        "KUBE-FW-",
    ];
    let of_service = of_service.iter().find(|prefix| chain.starts_with(**prefix));
    match (of_service, chain.split_once('-')) {
        (Some(prefix), _) => format!("{prefix}…"),
        (None, Some((first, _))) if chain.contains('/') => format!("{first}-…"),
        _ => chain.to_owned(),
    }
}
