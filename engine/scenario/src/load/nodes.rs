//! `spec.cluster.nodes` and `nodeGroups`, with the addresses of those that state none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::LABEL_ZONE;
use control::{NodeConfig, ProxySettings};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::claims::{Claims, Purpose, Taken};
use super::cluster::{Ranges, cidr};
use super::manifests::Files;
use super::state::Stated;
use super::{names, proxy};
use crate::cursor::{Cursor, Fields, Noted, Read, all, did_you_mean};
use crate::judge::counted;

/// As many nodes as Kubernetes itself is tested with.
const NODES_MAX: usize = 5_000;
/// CPUs of one node: as many as Linux can count.
const CPUS_MAX: u64 = 8_192;
/// Addresses, ranges or labels of one node.
const NODE_LIST_MAX: usize = 100;
/// kube-controller-manager's `--node-cidr-mask-size-ipv4` and `-ipv6`.
const NODE_MASK_V4: u8 = 24;
const NODE_MASK_V6: u8 = 64;

/// A node as it stands in the file: what it does not state is still missing.
pub(super) struct Draft<'a> {
    pub(super) config: NodeConfig,
    /// The node, or the group that it is of.
    at: Cursor<'a>,
    /// Its `addresses`, if it states any.
    addresses: Option<Cursor<'a>>,
}

/// The nodes that `spec.state` shows and `spec.cluster` leaves out.
pub(super) fn stated<'a>(
    nodes: Option<&[NodeConfig]>,
    stated: Option<&Stated<'a>>,
    names: &mut BTreeSet<String>,
    claims: &mut Claims<'a>,
) -> Vec<Draft<'a>> {
    let (Some(nodes), Some(Stated { at, .. })) = (nodes, stated) else {
        return Vec::new();
    };
    let draft = |config: &NodeConfig| {
        names.insert(config.name.clone());
        for address in &config.addresses {
            claims.address(Purpose::Node(config.name.clone()), *address, at.clone());
        }
        for net in &config.pod_cidrs {
            claims.range(Purpose::PodsOf(config.name.clone()), *net, Some(at.clone()));
        }
        Draft {
            config: config.clone(),
            at: at.clone(),
            addresses: (!config.addresses.is_empty()).then(|| at.clone()),
        }
    };
    nodes.iter().map(draft).collect()
}

/// Reads both keys; `stated` are the nodes if they are left out, and `shared` is what their proxies' own settings add to.
pub(super) fn drafts<'a>(
    fields: &mut Fields<'a>,
    stated: Vec<Draft<'a>>,
    shared: &ProxySettings,
    names: &mut BTreeSet<String>,
    claims: &mut Claims<'a>,
    files: &mut Files<'_>,
) -> Read<Vec<Draft<'a>>> {
    let single = fields.or("nodes", Vec::new(), |at| {
        at.list(NODES_MAX, |item| node(&item, shared, names, claims, files))
    });
    let groups = fields.or("nodeGroups", Vec::new(), |at| {
        let groups = at.list(NODE_LIST_MAX, |item| group(&item, names))?;
        Ok(groups.into_iter().flatten().collect())
    });
    let mut drafts = stated;
    drafts.extend(single?);
    drafts.extend(groups?);
    if drafts.is_empty() {
        return Err(fields.at().refuse_with(
            "a cluster needs at least one node",
            "write `nodes: [{name: node-a}]`",
        ));
    }
    if drafts.len() > NODES_MAX {
        return Err(fields.at().refuse(format!(
            "{} nodes are too many: at most {NODES_MAX}",
            drafts.len()
        )));
    }
    Ok(drafts)
}

/// Gives free addresses and Pod ranges to the nodes that state none.
pub(super) fn complete<'a>(
    mut drafts: Vec<Draft<'a>>,
    services: &Ranges<'a>,
    pods: &Ranges<'a>,
    mut taken: Taken,
) -> Read<Vec<NodeConfig>> {
    let is_v4 = services.nets[0].addr().is_ipv4();
    let addressed = all(drafts.iter().map(|draft| check_family(draft, is_v4)));
    let ranged = check_pod_family(&drafts, services, pods, is_v4);
    addressed?;
    ranged?;
    give_addresses(&mut drafts, is_v4, pods, &mut taken)?;
    give_pod_ranges(&mut drafts, pods, &mut taken)?;
    Ok(drafts.into_iter().map(|draft| draft.config).collect())
}

/// Reads the name of a node of the cluster.
pub(super) fn known<'n>(
    at: &Cursor<'_>,
    nodes: impl Iterator<Item = &'n NodeConfig> + Clone,
) -> Read<String> {
    let name = at.name()?;
    check_known(at, name, nodes).map(|()| name.to_owned())
}

/// Notes that no node is called `name`, unless one is.
pub(super) fn check_known<'n>(
    at: &Cursor<'_>,
    name: &str,
    nodes: impl Iterator<Item = &'n NodeConfig> + Clone,
) -> Read<()> {
    match nodes.clone().any(|node| node.name == name) {
        true => Ok(()),
        false => Err(unknown(
            at,
            "node",
            name,
            nodes.map(|node| node.name.as_str()),
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

fn node<'a>(
    at: &Cursor<'a>,
    shared: &ProxySettings,
    names: &mut BTreeSet<String>,
    claims: &mut Claims<'a>,
    files: &mut Files<'_>,
) -> Read<Draft<'a>> {
    let mut fields = at.fields()?;
    let name = fields.need("name", |at| {
        let name = names::fresh_host(at, names)?;
        // It is the label kubernetes.io/hostname too.
        names::check_label_value(at, &name).map(|()| name)
    });
    let spoken = name.clone().unwrap_or_else(|_| "without a name".to_owned());
    let zone = fields.may("zone", zone);
    let mut addresses_at = None;
    let addresses = fields.or("addresses", Vec::new(), |at| {
        addresses_at = Some(at.clone());
        at.list(NODE_LIST_MAX, |item| {
            let address = item.address()?;
            claims.address(Purpose::Node(spoken.clone()), address, item);
            Ok(address)
        })
    });
    let pod_cidrs = fields.or("podCIDRs", Vec::new(), |at| {
        at.list(NODE_LIST_MAX, |item| {
            let net = cidr(&item)?;
            claims.range(Purpose::PodsOf(spoken.clone()), net, Some(item));
            Ok(net)
        })
    });
    let labels = fields.or("labels", BTreeMap::new(), |at| {
        labels(at, zone.as_ref().ok().and_then(Option::as_deref))
    });
    let cpu = fields.may("cpu", cpus);
    let watch = fields.may("watch", Cursor::duration);
    let proxy = fields.may("proxy", |at| proxy::of_node(at, shared, files));
    fields.finish()?;
    let (mode, proxy) = match proxy? {
        Some((mode, settings)) => (mode, Some(Box::new(settings))),
        None => (None, None),
    };
    let labels = labels?;
    let config = NodeConfig {
        name: name?,
        zone: zone?.or_else(|| {
            labels
                .get(LABEL_ZONE)
                .filter(|zone| !zone.is_empty())
                .cloned()
        }),
        addresses: addresses?,
        pod_cidrs: pod_cidrs?,
        labels,
        cpu: cpu?,
        watch: watch?,
        mode,
        proxy,
    };
    Ok(Draft {
        addresses: addresses_at.filter(|_| !config.addresses.is_empty()),
        config,
        at: at.clone(),
    })
}

/// The labels of a node, of which one may say again which zone it is in.
fn labels(at: &Cursor<'_>, zone: Option<&str>) -> Read<BTreeMap<String, String>> {
    at.entries(|key, at| {
        let (checked, value) = (names::check_label_key(&at, key), names::label_value(&at));
        checked?;
        match (value?, zone) {
            (value, Some(zone)) if key == LABEL_ZONE && value != zone => {
                let message =
                    format!("the node's `zone` is {zone:?}, and its label says {value:?}");
                Err(at.refuse_with(message, "say it once"))
            }
            (value, _) => Ok((key.to_owned(), value.to_owned())),
        }
    })
}

/// `count` nodes `prefix-1`, `prefix-2` …, dealt out to the zones in turn.
fn group<'a>(at: &Cursor<'a>, names: &mut BTreeSet<String>) -> Read<Vec<Draft<'a>>> {
    let mut fields = at.fields()?;
    let prefix = fields.need("prefix", |at| {
        let prefix = at.name()?;
        let longest = format!("{prefix}-{NODES_MAX}");
        names::check_subdomain(at, &longest)?;
        names::check_label_value(at, &longest)?;
        Ok(prefix.to_owned())
    });
    let count = fields.need("count", |at| at.integer(0..=NODES_MAX as u64));
    let zones = fields.or("zones", Vec::new(), |at| {
        at.list(NODE_LIST_MAX, |item| zone(&item))
    });
    let cpu = fields.may("cpu", cpus);
    fields.finish()?;
    let (prefix, count, zones, cpu) = (prefix?, count?, zones?, cpu?);
    let zones = zones
        .iter()
        .map(Some)
        .cycle()
        .chain(std::iter::repeat(None));
    let drafts: Vec<Draft<'a>> = (1..=count)
        .zip(zones)
        .map(|(number, zone)| Draft {
            config: NodeConfig {
                name: format!("{prefix}-{number}"),
                zone: zone.cloned(),
                cpu,
                ..NodeConfig::default()
            },
            at: at.clone(),
            addresses: None,
        })
        .collect();
    for draft in &drafts {
        if !names.insert(draft.config.name.clone()) {
            return Err(at.refuse(format!("the name {:?} is used twice", draft.config.name)));
        }
    }
    Ok(drafts)
}

/// How many CPUs a node has, for the scheduler to weigh.
fn cpus(at: &Cursor<'_>) -> Read<u32> {
    let cpus = at.integer(1..=CPUS_MAX)?;
    Ok(u32::try_from(cpus).expect("at most CPUS_MAX"))
}

/// It becomes the label topology.kubernetes.io/zone.
fn zone(at: &Cursor<'_>) -> Read<String> {
    let zone = at.name()?;
    names::check_label_value(at, zone).map(|()| zone.to_owned())
}

/// Complains of a node whose addresses are all of the other family than the Services' first.
fn check_family(draft: &Draft<'_>, is_v4: bool) -> Read<()> {
    match &draft.addresses {
        Some(at)
            if !draft
                .config
                .addresses
                .iter()
                .any(|ip| ip.is_ipv4() == is_v4) =>
        {
            Err(at.refuse(format!(
                "node {} has no {} address, and the first of serviceCIDRs is {}",
                draft.config.name,
                family(is_v4),
                family(is_v4)
            )))
        }
        _ => Ok(()),
    }
}

/// Complains if Pods would get no address of the Services' first family.
fn check_pod_family(
    drafts: &[Draft<'_>],
    services: &Ranges<'_>,
    pods: &Ranges<'_>,
    is_v4: bool,
) -> Read<()> {
    let has_family = |nets: &[IpNet]| nets.iter().any(|net| net.addr().is_ipv4() == is_v4);
    let is_used = drafts.iter().any(|draft| draft.config.pod_cidrs.is_empty());
    if !is_used || has_family(&pods.nets) {
        return Ok(());
    }
    let message = format!(
        "podCIDRs has no {0} range, and the first of serviceCIDRs is {0}: Pods would have no address that a Service could send to",
        family(is_v4)
    );
    let at = pods.at.as_ref().or(services.at.as_ref());
    Err(at
        .expect("the defaults of both are of one family")
        .refuse(message))
}

fn family(is_v4: bool) -> &'static str {
    if is_v4 { "IPv4" } else { "IPv6" }
}

/// Gives 192.168.1.1 upwards and fd00:192:168::1 upwards to nodes without an address: one of each family that
/// Pods have, and of the Services' first.
fn give_addresses(
    drafts: &mut [Draft<'_>],
    is_v4: bool,
    pods: &Ranges<'_>,
    taken: &mut Taken,
) -> Read<()> {
    let mut families: Vec<bool> = pods.nets.iter().map(|net| net.addr().is_ipv4()).collect();
    if !families.contains(&is_v4) {
        families.insert(0, is_v4);
    }
    let mut v4 = Some(IpAddr::from(Ipv4Addr::new(192, 168, 1, 1)));
    let mut v6 = Some(IpAddr::from(Ipv6Addr::new(
        0xfd00, 0x192, 0x168, 0, 0, 0, 0, 1,
    )));
    for draft in drafts {
        if draft.addresses.is_some() {
            continue;
        }
        for is_v4 in &families {
            let next = if *is_v4 { &mut v4 } else { &mut v6 };
            let Some(address) = taken.take_address(next, &draft.config.name) else {
                let message = format!("no address is left for node {}", draft.config.name);
                return Err(draft.at.refuse_with(message, "give it `addresses`"));
            };
            draft.config.addresses.push(address);
        }
    }
    Ok(())
}

/// Gives every node without a Pod range one of each family, as kube-controller-manager's IPAM does.
///
/// Deviation: it begins with the second range (10.244.1.0/24 for the first node) and takes the first one last,
/// so that a node's number is that of its range.
fn give_pod_ranges(drafts: &mut [Draft<'_>], pods: &Ranges<'_>, taken: &mut Taken) -> Read<()> {
    let mut parts: Vec<_> = pods.nets.iter().map(|net| parts(*net)).collect();
    let is_wanting = |draft: &&mut Draft<'_>| draft.config.pod_cidrs.is_empty();
    let wanting: Vec<&mut Draft<'_>> = drafts.iter_mut().filter(is_wanting).collect();
    let count = wanting.len();
    for (served, draft) in wanting.into_iter().enumerate() {
        for (index, (net, parts)) in pods.nets.iter().zip(&mut parts).enumerate() {
            let Some(part) = parts.find(|part| taken.take_pod_range(*part, &draft.config.name))
            else {
                let message = format!(
                    "podCIDRs {net} has room for the ranges of {} (a /{} each), and {count} nodes need one",
                    counted(served, "node", "nodes"),
                    part_mask(*net)
                );
                let at = pods.item(index).unwrap_or_else(|| draft.at.clone());
                let help = "give a larger range, fewer nodes, or nodes with podCIDRs of their own";
                return Err(at.refuse_with(message, help));
            };
            draft.config.pod_cidrs.push(part);
        }
    }
    Ok(())
}

/// How long the prefix of a node's part of a range is.
fn part_mask(net: IpNet) -> u8 {
    let mask = match net {
        IpNet::V4(_) => NODE_MASK_V4,
        IpNet::V6(_) => NODE_MASK_V6,
    };
    mask.max(net.prefix_len())
}

/// The nodes' parts of a cluster's range, in the order of being given out.
fn parts(net: IpNet) -> Box<dyn Iterator<Item = IpNet>> {
    let mask = part_mask(net);
    match net {
        IpNet::V4(net) => {
            let first = net.network().to_bits();
            let part = move |number: u32| {
                let address = Ipv4Addr::from_bits(first + (number << (32 - mask)));
                IpNet::V4(Ipv4Net::new_assert(address, mask))
            };
            let count = 1_u32 << (mask - net.prefix_len());
            Box::new((1..count).chain([0]).map(part))
        }
        IpNet::V6(net) => {
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
