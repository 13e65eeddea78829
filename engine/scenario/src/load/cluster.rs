//! `spec.cluster`: everything but the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use base::Seed;
use control::{
    ClusterConfig, NODE_LOCAL_DNS, NetworkConfig, NodeConfig, OutsideConfig, ProxyMode,
    ProxySettings, TimingConfig,
};
use ipnet::IpNet;

use super::claims::{Claims, Purpose};
use super::manifests::Files;
use super::names;
use super::nodes::{self, Draft};
use super::proxy;
use super::state::{State, Stated};
use super::sync_cost;
use crate::cursor::{Cursor, Fields, Read, did_you_mean};

/// Hosts outside, their routes, and CIDRs in a list.
const LIST_MAX: usize = 1_000;
/// From one heartbeat of a node to the next.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The smallest range that holds the 10th address, which is the DNS Service's.
const DNS_HOST_BITS_MIN: u8 = 4;
/// The smallest range that an API server starts with (S: `pkg/controlplane/services.go`).
const SERVICE_HOST_BITS_MIN: u8 = 3;
/// The largest IPv6 range that addresses are given out of (ALLOC-4).
const SERVICE_PREFIX_MIN_V6: u8 = 64;

/// `serviceCIDRs` or `podCIDRs`: one range, or one of each family.
pub(super) struct Ranges<'a> {
    pub(super) nets: Vec<IpNet>,
    /// Where they stand; `None` for the default.
    pub(super) at: Option<Cursor<'a>>,
    items: Vec<Cursor<'a>>,
}

impl<'a> Ranges<'a> {
    /// Where the range of that number stands; `None` for the default.
    pub(super) fn item(&self, index: usize) -> Option<Cursor<'a>> {
        self.items.get(index).cloned()
    }

    fn claim(&self, purpose: &Purpose, claims: &mut Claims<'a>) {
        for (index, net) in self.nets.iter().enumerate() {
            claims.range(purpose.clone(), *net, self.item(index));
        }
    }
}

/// Ranges of one load balancer.
const POOL_MAX: usize = 100;

/// `spec.cluster`, read.
pub(super) struct Cluster {
    /// The modes to run in.
    pub(super) modes: Vec<ProxyMode>,
    /// The cluster with the first of them.
    pub(super) config: ClusterConfig,
    /// What was concluded from `spec.state`.
    pub(super) conclusion: Option<String>,
}

/// Reads `spec.cluster`; what it leaves out follows from `spec.state`, where there is one.
pub(super) fn cluster<'a>(
    at: &Cursor<'a>,
    stated: Option<&Stated<'a>>,
    files: &mut Files<'_>,
) -> Read<Cluster> {
    let mut fields = at.fields()?;
    let mut claims = Claims::default();
    let concluded = Concluded::new(&fields, stated);
    let or_stated = |nets: &Option<Vec<IpNet>>, text| match (nets, stated) {
        (Some(nets), Some(stated)) => Ranges {
            nets: nets.clone(),
            at: Some(stated.at.clone()),
            items: Vec::new(),
        },
        _ => default(text),
    };
    let has_dns = match fields.given("dns") {
        Some(dns) => dns.value().as_bool() != Some(false),
        None => !concluded.no_dns,
    };
    let services = or_stated(&concluded.services, "10.96.0.0/12");
    let services = fields.or("serviceCIDRs", services, |at| service_cidrs(at, has_dns));
    if let Ok(ranges) = &services {
        ranges.claim(&Purpose::Services, &mut claims);
    }
    let pods = or_stated(&concluded.pods, "10.244.0.0/16");
    let pods = fields.or("podCIDRs", pods, cidrs);
    if let Ok(ranges) = &pods {
        ranges.claim(&Purpose::Pods, &mut claims);
    }
    let node_port_range = fields.or("nodePortRange", 30_000..=32_767, port_range);
    let dns_domain = fields.or("dnsDomain", "cluster.local".to_owned(), dns_domain);
    let dns = fields.or("dns", (!concluded.no_dns, false), dns);
    let pool = fields.or("loadBalancer", Vec::new(), |at| balancer(at, &mut claims));
    let modes = modes(&mut fields);
    let proxy = fields.or("proxy", ProxySettings::default(), |at| {
        proxy::of_cluster(at, files)
    });
    let mut names = BTreeSet::new();
    let known = nodes::stated(concluded.nodes.as_deref(), stated, &mut names, &mut claims);
    let shared = proxy.clone().unwrap_or_default();
    let drafts = nodes::drafts(&mut fields, known, &shared, &mut names, &mut claims, files);
    let network = fields.or("network", NetworkConfig::default(), network);
    let timing = fields.or("timing", TimingConfig::default(), timing);
    let outside = match &drafts {
        Ok(drafts) => fields.or("outside", Vec::new(), |at| {
            outside(at, drafts, &mut names, &mut claims)
        }),
        Err(noted) => {
            fields.take("outside");
            Err(*noted)
        }
    };
    let taken = claims.check();
    fields.finish()?;
    let modes = modes?;
    let (services, pods, (dns, node_local_dns)) = (services?, pods?, dns?);
    if node_local_dns && services.nets[0].addr().is_ipv6() {
        return Err(at.refuse_with(
            format!(
                "`dns.nodeLocal` answers at {NODE_LOCAL_DNS}, and Pods have no IPv4 address here"
            ),
            "supported here: serviceCIDRs that begin with a range of IPv4",
        ));
    }
    let nodes = nodes::complete(drafts?, &services, &pods, taken?);
    let config = ClusterConfig {
        seed: Seed::new(0),
        service_cidrs: services.nets,
        pod_cidrs: pods.nets,
        node_port_range: node_port_range?,
        load_balancer_pool: pool?,
        dns_domain: dns_domain?,
        dns,
        node_local_dns,
        mode: modes[0],
        proxy: proxy?,
        nodes: nodes?,
        state: stated.map_or_else(Vec::new, |stated| stated.state.objects.clone()),
        outside: outside?,
        network: network?,
        timing: timing?,
    };
    let conclusion = stated.and_then(|stated| concluded.told(stated.state));
    Ok(Cluster {
        modes,
        config,
        conclusion,
    })
}

/// What `spec.cluster` leaves out and the state shows.
struct Concluded {
    nodes: Option<Vec<NodeConfig>>,
    services: Option<Vec<IpNet>>,
    pods: Option<Vec<IpNet>>,
    /// A dump without kube-dns is of a cluster without, or shows a part: none is made up in its midst.
    no_dns: bool,
}

impl Concluded {
    fn new(fields: &Fields<'_>, stated: Option<&Stated<'_>>) -> Self {
        let left_out = |keys: &[&'static str]| {
            stated.filter(|_| keys.iter().all(|key| fields.given(key).is_none()))
        };
        let ranges = |key, of: fn(&State) -> Vec<IpNet>| {
            let ranges = left_out(&[key]).map(|stated| of(stated.state));
            ranges.filter(|ranges| !ranges.is_empty())
        };
        let nodes = left_out(&["nodes", "nodeGroups"]).map(|stated| stated.state.nodes());
        Self {
            nodes: nodes.filter(|nodes| !nodes.is_empty()),
            services: ranges("serviceCIDRs", State::service_ranges),
            pods: ranges("podCIDRs", State::pod_ranges),
            no_dns: left_out(&["dns"]).is_some_and(|stated| !stated.state.has_dns()),
        }
    }

    fn told(&self, state: &State) -> Option<String> {
        let (services, pods) = (self.services.as_deref(), self.pods.as_deref());
        state.conclusion(self.nodes.as_deref(), services, pods, self.no_dns)
    }
}

/// Reads one mode's name.
pub(super) fn mode(at: &Cursor<'_>) -> Read<ProxyMode> {
    mode_named(at, at.text()?)
}

/// The mode called `name`; complaints are about the value.
pub(super) fn mode_named(at: &Cursor<'_>, name: &str) -> Read<ProxyMode> {
    if let Some(mode) = ProxyMode::ALL
        .into_iter()
        .find(|mode| mode.as_str() == name)
    {
        return Ok(mode);
    }
    let known = || ProxyMode::ALL.iter().map(|mode| mode.as_str());
    let supported = format!("supported: {}", known().collect::<Vec<_>>().join(", "));
    let help = did_you_mean(name, known()).unwrap_or(supported);
    Err(at.refuse_with(format!("{name:?} is no mode"), help))
}

/// Reads a range of addresses without host bits.
pub(super) fn cidr(at: &Cursor<'_>) -> Read<IpNet> {
    let text = at.text()?;
    cidr_of(at, text)
}

pub(super) fn cidr_of(at: &Cursor<'_>, text: &str) -> Read<IpNet> {
    let net: IpNet = text.parse().map_err(|_| {
        at.refuse(format!(
            "{text:?} is no CIDR: expected a range of addresses such as 10.96.0.0/12"
        ))
    })?;
    if net.trunc() == net {
        Ok(net)
    } else {
        let message = format!("{net} names a host, not a range");
        Err(at.refuse_with(message, format!("did you mean {}?", net.trunc())))
    }
}

fn default<'a>(text: &'static str) -> Ranges<'a> {
    let net = text
        .parse()
        .expect("a range written in the source is valid");
    Ranges {
        nets: vec![net],
        at: None,
        items: Vec::new(),
    }
}

/// One range, or one of each family (dual-stack).
fn cidrs<'a>(at: &Cursor<'a>) -> Read<Ranges<'a>> {
    let nets = at.list(2, |item| cidr(&item))?;
    match nets[..] {
        [_] => {}
        [a, b] if a.addr().is_ipv4() != b.addr().is_ipv4() => {}
        _ => return Err(at.refuse("expected one range, or one of each address family")),
    }
    Ok(Ranges {
        nets,
        at: Some(at.clone()),
        items: at.items(2)?,
    })
}

/// Reads `loadBalancer`.
fn balancer<'a>(at: &Cursor<'a>, claims: &mut Claims<'a>) -> Read<Vec<IpNet>> {
    let mut fields = at.fields()?;
    let pool = fields.need("pool", |at| {
        at.list(POOL_MAX, |item| Ok((cidr(&item)?, item)))
    });
    fields.finish()?;
    let claim = |(net, at)| {
        claims.range(Purpose::Balancer, net, Some(at));
        net
    };
    Ok(pool?.into_iter().map(claim).collect())
}

fn service_cidrs<'a>(at: &Cursor<'a>, has_dns: bool) -> Read<Ranges<'a>> {
    let ranges = cidrs(at)?;
    let is_large = |net: &&IpNet| net.addr().is_ipv6() && net.prefix_len() < SERVICE_PREFIX_MIN_V6;
    if let Some(net) = ranges.nets.iter().find(is_large) {
        return Err(at.refuse_with(
            format!("{net} is too large: Services get no addresses of such an IPv6 range"),
            format!("give at most a /{SERVICE_PREFIX_MIN_V6}"),
        ));
    }
    let host_bits = |net: &IpNet| net.max_prefix_len() - net.prefix_len();
    let refuse = |net: &IpNet, why: &str, bits: u8| {
        at.refuse_with(
            format!("{net} is too small: {why}"),
            format!("give at least a /{}", net.max_prefix_len() - bits),
        )
    };
    let first = ranges.nets.first().filter(|_| has_dns);
    if let Some(net) = first.filter(|net| host_bits(net) < DNS_HOST_BITS_MIN) {
        let why = "the DNS Service has the 10th address";
        return Err(refuse(net, why, DNS_HOST_BITS_MIN));
    }
    let mut nets = ranges.nets.iter();
    match nets.find(|net| host_bits(net) < SERVICE_HOST_BITS_MIN) {
        None => Ok(ranges),
        Some(net) => {
            let why = "a Service range has at least 8 addresses";
            Err(refuse(net, why, SERVICE_HOST_BITS_MIN))
        }
    }
}

fn port_range(at: &Cursor<'_>) -> Read<RangeInclusive<u16>> {
    let text = at.text()?;
    let ends = text
        .split_once('-')
        .and_then(|(least, most)| least.parse().ok().zip(most.parse().ok()));
    ends.filter(|(least, most)| 0 < *least && least <= most)
        .map(|(least, most)| least..=most)
        .ok_or_else(|| {
            at.refuse(format!(
                "{text:?} is no range of ports: expected one such as 30000-32767"
            ))
        })
}

/// Reads `dns`: whether there is cluster DNS, and whether nodes have a cache of it, which `{nodeLocal: true}` says.
fn dns(at: &Cursor<'_>) -> Read<(bool, bool)> {
    if !at.value().is_mapping() {
        return Ok((at.boolean()?, false));
    }
    let mut fields = at.fields()?;
    let node_local = fields.or("nodeLocal", false, Cursor::boolean);
    fields.finish()?;
    Ok((true, node_local?))
}

fn dns_domain(at: &Cursor<'_>) -> Read<String> {
    let text = at.name()?;
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if text.len() <= 200 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err(at.refuse(format!(
            "{text:?} is no DNS domain: expected one such as cluster.local"
        )))
    }
}

fn modes(fields: &mut Fields<'_>) -> Read<Vec<ProxyMode>> {
    match fields.take("modes") {
        Some(at) => {
            let mut modes = Vec::new();
            at.one_or_list(ProxyMode::ALL.len(), |item| {
                let mode = mode(&item)?;
                if modes.contains(&mode) {
                    return Err(item.refuse(format!("the mode {mode} stands here twice")));
                }
                modes.push(mode);
                Ok(())
            })?;
            Ok(modes)
        }
        None => Ok(vec![ProxyMode::Nftables]),
    }
}

fn outside<'a>(
    at: &Cursor<'a>,
    drafts: &[Draft<'a>],
    names: &mut BTreeSet<String>,
    claims: &mut Claims<'a>,
) -> Read<Vec<OutsideConfig>> {
    at.list(LIST_MAX, |item| {
        let mut fields = item.fields()?;
        let name = fields.need("name", |at| names::fresh_host(at, names));
        let spoken = name.clone().unwrap_or_else(|_| "without a name".to_owned());
        let address = fields.need("address", |at| {
            let address = at.address()?;
            claims.address(Purpose::Outside(spoken), address, at.clone());
            Ok(address)
        });
        let routes = fields.or("routes", Vec::new(), |at| routes(at, drafts));
        fields.finish()?;
        Ok(OutsideConfig {
            name: name?,
            address: address?,
            routes: routes?,
        })
    })
}

/// The routes of one host: a range leads one way.
fn routes(at: &Cursor<'_>, drafts: &[Draft<'_>]) -> Read<Vec<(IpNet, String)>> {
    let mut ways: BTreeMap<IpNet, String> = BTreeMap::new();
    at.list(LIST_MAX, |item| {
        let mut fields = item.fields()?;
        let to = fields.need("to", |at| Ok((at.clone(), cidr(at)?)));
        let via = fields.need("via", |at| {
            nodes::known(at, drafts.iter().map(|draft| &draft.config))
        });
        fields.finish()?;
        let ((to_at, to), via) = (to?, via?);
        match ways.insert(to, via.clone()) {
            None => Ok((to, via)),
            Some(other) => Err(to_at.refuse(format!(
                "this host has a route to {to} already, via {other}"
            ))),
        }
    })
}

fn network(at: &Cursor<'_>) -> Read<NetworkConfig> {
    let defaults = NetworkConfig::default();
    let mut fields = at.fields()?;
    let same_node = fields.or("sameNode", defaults.same_node, Cursor::duration);
    let same_zone = fields.or("sameZone", defaults.same_zone, Cursor::duration);
    let cross_zone = fields.or("crossZone", defaults.cross_zone, Cursor::duration);
    // 1280 is the least that IPv6 asks of a link (RFC 8200, section 5).
    let mtu = fields.or("mtu", 1500, |at| at.integer(1280..=65_535));
    let hairpin = fields.or("hairpin", defaults.hairpin, Cursor::boolean);
    fields.finish()?;
    Ok(NetworkConfig {
        same_node: same_node?,
        same_zone: same_zone?,
        cross_zone: cross_zone?,
        mtu: usize::try_from(mtu?).expect("at most 65535"),
        hairpin: hairpin?,
    })
}

/// Reads how long a node may go unheard of.
fn node_grace(at: &Cursor<'_>) -> Read<Duration> {
    let grace = at.duration()?;
    if grace < HEARTBEAT {
        return Err(
            at.refuse("a node would count as away between two heartbeats, which come every 10s")
        );
    }
    Ok(grace)
}

fn timing(at: &Cursor<'_>) -> Read<TimingConfig> {
    let defaults = TimingConfig::default();
    let mut fields = at.fields()?;
    let watch = fields.or("watch", defaults.watch, Cursor::duration);
    let batch = fields.or(
        "endpointSliceBatch",
        defaults.endpoint_slice_batch,
        Cursor::duration,
    );
    let pod_start = fields.or("podStart", defaults.pod_start, Cursor::duration);
    let grace = fields.or("nodeGrace", defaults.node_grace, node_grace);
    let dns_watch = fields.or("dnsWatch", defaults.dns_watch, Cursor::duration);
    let sync_cost = fields.or("syncCost", defaults.sync_cost, sync_cost::sync_cost);
    fields.finish()?;
    Ok(TimingConfig {
        watch: watch?,
        endpoint_slice_batch: batch?,
        pod_start: pod_start?,
        node_grace: grace?,
        dns_watch: dns_watch?,
        sync_cost: sync_cost?,
    })
}
