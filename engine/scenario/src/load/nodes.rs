//! `spec.cluster.nodes` and `nodeGroups`, with the addresses of those that state none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use control::NodeConfig;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::cluster::{cidr, fresh_address};
use crate::cursor::{Cursor, Fields, Noted, Read, did_you_mean};

/// As many nodes as Kubernetes itself is tested with.
const NODES_MAX: usize = 5_000;
/// Addresses, ranges or labels of one node.
const NODE_LIST_MAX: usize = 100;
/// kube-controller-manager's `--node-cidr-mask-size-ipv4` and `-ipv6`.
const NODE_MASK_V4: u8 = 24;
const NODE_MASK_V6: u8 = 64;

/// Reads both keys; a node without addresses or Pod ranges gets free ones.
pub(super) fn nodes(fields: &mut Fields<'_>, pod_cidrs: &[IpNet]) -> Read<Vec<NodeConfig>> {
    let mut names = Vec::new();
    let mut addresses = Vec::new();
    let single = fields.or("nodes", Vec::new(), |at| {
        at.list(NODES_MAX, |item| node(&item, &mut names, &mut addresses))
    });
    let groups = fields.or("nodeGroups", Vec::new(), |at| {
        let groups = at.list(NODE_LIST_MAX, |item| group(&item, &mut names))?;
        Ok(groups.into_iter().flatten().collect())
    });
    let mut nodes: Vec<NodeConfig> = single?;
    nodes.extend(groups?);
    if nodes.is_empty() {
        return Err(fields.at().refuse_with(
            "a cluster needs at least one node",
            "write `nodes: [{name: node-a}]`",
        ));
    }
    if nodes.len() > NODES_MAX {
        return Err(fields.at().refuse(format!(
            "{} nodes are too many: at most {NODES_MAX}",
            nodes.len()
        )));
    }
    refuse_overlaps(fields, &nodes)?;
    give_addresses(&mut nodes, pod_cidrs);
    give_pod_cidrs(fields, &mut nodes, pod_cidrs)?;
    Ok(nodes)
}

/// Reads a name that nothing before has.
pub(super) fn fresh_name(at: &Cursor<'_>, used: &mut Vec<String>) -> Read<String> {
    let name = at.name()?;
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if name.len() > 253 || !name.bytes().all(is_plain) {
        return Err(at.refuse(format!(
            "{name:?} is no name: expected lower-case letters, digits, `-` and `.`"
        )));
    }
    if used.iter().any(|other| other == name) {
        return Err(at.refuse(format!("the name {name:?} is used twice")));
    }
    used.push(name.to_owned());
    Ok(name.to_owned())
}

/// Reads the name of a node of the cluster.
pub(super) fn known(at: &Cursor<'_>, nodes: &[NodeConfig]) -> Read<String> {
    let name = at.name()?;
    check_known(at, name, nodes).map(|()| name.to_owned())
}

/// Notes that no node is called `name`, unless one is.
pub(super) fn check_known(at: &Cursor<'_>, name: &str, nodes: &[NodeConfig]) -> Read<()> {
    match nodes.iter().any(|node| node.name == name) {
        true => Ok(()),
        false => Err(unknown(
            at,
            "node",
            name,
            nodes.iter().map(|node| node.name.as_str()),
        )),
    }
}

/// Notes that `name` is none of `known`, which are listed unless they are too many.
pub(super) fn unknown<'n>(
    at: &Cursor<'_>,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> Noted {
    const SHOWN_MAX: usize = 10;
    let message = format!("there is no {what} {name:?} in spec.cluster");
    let help = did_you_mean(name, known.clone()).unwrap_or_else(|| {
        let listed: Vec<&str> = known.clone().take(SHOWN_MAX).collect();
        let more = known.skip(SHOWN_MAX).count();
        match (listed.is_empty(), more) {
            (true, _) => format!("there is no {what} at all"),
            (false, 0) => format!("there are: {}", listed.join(", ")),
            (false, more) => format!("there are: {} and {more} more", listed.join(", ")),
        }
    });
    at.refuse_with(message, help)
}

fn node(at: &Cursor<'_>, names: &mut Vec<String>, used: &mut Vec<IpAddr>) -> Read<NodeConfig> {
    let mut fields = at.fields()?;
    let name = fields.need("name", |at| fresh_name(at, names));
    let zone = fields.may("zone", |at| at.name().map(str::to_owned));
    let addresses = fields.or("addresses", Vec::new(), |at| {
        at.list(NODE_LIST_MAX, |item| fresh_address(&item, used))
    });
    let pod_cidrs = fields.or("podCIDRs", Vec::new(), |at| {
        at.list(NODE_LIST_MAX, |item| cidr(&item))
    });
    let labels = fields.or("labels", BTreeMap::new(), |at| {
        at.entries(|key, at| Ok((key.to_owned(), at.text()?.to_owned())))
    });
    let watch = fields.may("watch", Cursor::duration);
    let proxy = fields.unsupported("proxy", "say `proxy` in spec.cluster: all nodes share it");
    fields.finish()?;
    proxy?;
    Ok(NodeConfig {
        name: name?,
        zone: zone?,
        addresses: addresses?,
        pod_cidrs: pod_cidrs?,
        labels: labels?,
        watch: watch?,
    })
}

/// `count` nodes `prefix-1`, `prefix-2` …, dealt out to the zones in turn.
fn group(at: &Cursor<'_>, names: &mut Vec<String>) -> Read<Vec<NodeConfig>> {
    let mut fields = at.fields()?;
    let prefix = fields.need("prefix", |at| at.name().map(str::to_owned));
    let count = fields.need("count", |at| at.integer(0..=NODES_MAX as u64));
    let zones = fields.or("zones", Vec::new(), |at| {
        at.list(NODE_LIST_MAX, |item| item.name().map(str::to_owned))
    });
    let cpu = fields.unsupported("cpu", "leave it out: nothing is weighed by CPU yet");
    fields.finish()?;
    cpu?;
    let (prefix, count, zones) = (prefix?, count?, zones?);
    let taken: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let nodes: Vec<NodeConfig> = (1..=count)
        .zip(
            zones
                .iter()
                .map(Some)
                .cycle()
                .chain(std::iter::repeat(None)),
        )
        .map(|(number, zone)| NodeConfig {
            name: format!("{prefix}-{number}"),
            zone: zone.cloned(),
            addresses: Vec::new(),
            pod_cidrs: Vec::new(),
            labels: BTreeMap::new(),
            watch: None,
        })
        .collect();
    if let Some(twice) = nodes.iter().find(|node| taken.contains(node.name.as_str())) {
        return Err(at.refuse(format!("the name {:?} is used twice", twice.name)));
    }
    names.extend(nodes.iter().map(|node| node.name.clone()));
    Ok(nodes)
}

fn refuse_overlaps(fields: &Fields<'_>, nodes: &[NodeConfig]) -> Read<()> {
    let mut ranges: Vec<(IpNet, &str)> = nodes
        .iter()
        .flat_map(|node| node.pod_cidrs.iter().map(|net| (*net, node.name.as_str())))
        .collect();
    // Ranges without host bits either nest or lie apart, so neighbours by address tell of any overlap.
    ranges.sort_unstable();
    match ranges
        .windows(2)
        .find(|pair| pair[0].0.contains(&pair[1].0) || pair[1].0.contains(&pair[0].0))
    {
        None => Ok(()),
        Some(pair) => {
            let [(net, node), (other_net, other)] = [pair[0], pair[1]];
            let message =
                format!("podCIDRs of nodes overlap: {net} of {node} and {other_net} of {other}");
            Err(fields.at().refuse(message))
        }
    }
}

/// Gives 192.168.1.1 upwards (and fd00:192:168::1 upwards beside IPv6 Pods) to nodes without an address.
fn give_addresses(nodes: &mut [NodeConfig], pod_cidrs: &[IpNet]) {
    let mut used: BTreeSet<IpAddr> = nodes
        .iter()
        .flat_map(|node| node.addresses.iter().copied())
        .collect();
    let mut v4 = (1..).map(|offset| IpAddr::from(Ipv4Addr::from_bits(0xc0a8_0100 + offset)));
    let v6_first = Ipv6Addr::new(0xfd00, 0x192, 0x168, 0, 0, 0, 0, 0).to_bits();
    let mut v6 = (1..).map(|offset| IpAddr::from(Ipv6Addr::from_bits(v6_first + offset)));
    for node in nodes.iter_mut().filter(|node| node.addresses.is_empty()) {
        for net in pod_cidrs {
            let free = match net {
                IpNet::V4(_) => v4.find(|address| !used.contains(address)),
                IpNet::V6(_) => v6.find(|address| !used.contains(address)),
            };
            let free = free.expect("there are more addresses than nodes");
            used.insert(free);
            node.addresses.push(free);
        }
    }
}

/// Gives every node without a Pod range one of each family, as kube-controller-manager's IPAM does.
///
/// Deviation: it begins with the second range (10.244.1.0/24 for the first node) and takes the first one last,
/// so that a node's number is that of its range.
fn give_pod_cidrs(fields: &Fields<'_>, nodes: &mut [NodeConfig], pod_cidrs: &[IpNet]) -> Read<()> {
    let mut taken: BTreeSet<IpNet> = BTreeSet::new();
    for net in nodes.iter().flat_map(|node| &node.pod_cidrs) {
        taken.insert(*net);
    }
    let wanting: Vec<&mut NodeConfig> = nodes
        .iter_mut()
        .filter(|node| node.pod_cidrs.is_empty())
        .collect();
    let mut parts: Vec<_> = pod_cidrs.iter().map(|net| parts(*net)).collect();
    for node in wanting {
        for (net, parts) in pod_cidrs.iter().zip(&mut parts) {
            let Some(part) = parts.find(|part| !overlaps(&taken, part)) else {
                let message = format!("podCIDRs {net} has no range left for node {}", node.name);
                return Err(fields.at().refuse_with(message, "give a larger range"));
            };
            taken.insert(part);
            node.pod_cidrs.push(part);
        }
    }
    Ok(())
}

/// The nodes' parts of a cluster's range, in the order of being given out.
fn parts(net: IpNet) -> Box<dyn Iterator<Item = IpNet>> {
    match net {
        IpNet::V4(net) => {
            let mask = NODE_MASK_V4.max(net.prefix_len());
            let first = net.network().to_bits();
            let part = move |number: u32| {
                let address = Ipv4Addr::from_bits(first + (number << (32 - mask)));
                IpNet::V4(Ipv4Net::new_assert(address, mask))
            };
            let count = 1_u32 << (mask - net.prefix_len());
            Box::new((1..count).chain([0]).map(part))
        }
        IpNet::V6(net) => {
            let mask = NODE_MASK_V6.max(net.prefix_len());
            let first = net.network().to_bits();
            let part = move |number: u128| {
                let address = Ipv6Addr::from_bits(first + (number << (128 - mask)));
                IpNet::V6(Ipv6Net::new_assert(address, mask))
            };
            let count = 1_u128 << (mask - net.prefix_len());
            Box::new((1..count).chain([0]).map(part))
        }
    }
}

/// Whether `net` has an address in common with any of `taken`, which lie apart from each other.
fn overlaps(taken: &BTreeSet<IpNet>, net: &IpNet) -> bool {
    let before = taken.range(..=net).next_back();
    let after = taken.range(net..).next();
    [before, after]
        .into_iter()
        .flatten()
        .any(|other| other.contains(net) || net.contains(other))
}
