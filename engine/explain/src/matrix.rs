//! Who reaches which Service, from where, and how.
//!
//! **What.** For each address and port at which a Service is to be reached, and for each class of source, what the
//! rules of a node do with the first packet of a connection: which endpoints it may be sent to, whether its source is
//! hidden, or whether it is refused or dropped. **Why.** A policy is easily right for Pods and wrong for nodes or for
//! what comes from outside; side by side it shows. Built on [`World::probe`], so it changes nothing. A probe follows an
//! answer on its way back, too: one that does not get back is said.
//!
//! Every node is asked. Those that say the same stand in one row.
//! Deviation: of a node's further addresses of a family, the first is asked and stands for the others.
//! **Source of the semantics.** DBG-67 … DBG-76 are rows of it; the classes of sources are those of PROXY-25.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use api::{Object, ObjectKey, Protocol, Service};
use control::{
    Control, NodeConfig, Probe, ProbeOutcome, ProbeRequest, ProbeSource, ReferenceError, Source,
    Unheard, World,
};
use ruleset::Family;

use crate::facts::{slices, usable};
use crate::services;

/// Where packets from outside come from if the cluster has no host there (documentation ranges: RFC 5737, RFC 3849).
const ELSEWHERE: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(198, 51, 100, 7),
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7),
);

/// All rows, by Service, port, address and source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// What was asked, and what came of it.
    pub rows: Vec<Row>,
    /// Services that no rule is about, and why.
    pub without: Vec<(ObjectKey, &'static str)>,
}

/// One address of a Service, from one class of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was asked.
    pub place: Place,
    /// Whether the nodes host an endpoint of the Service.
    pub is_local: bool,
    /// What becomes of the first packet.
    pub fate: Fate,
    /// On, or by way of, which nodes, by name.
    pub nodes: Vec<String>,
}

/// What a row is about, whichever the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The Service.
    pub service: ObjectKey,
    /// Its port's number.
    pub port: i32,
    /// Its port's protocol.
    pub protocol: Protocol,
    /// Which of its addresses.
    pub frontend: Frontend,
    /// Who sends.
    pub source: SourceClass,
}

/// An address at which a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frontend {
    /// A ClusterIP.
    ClusterIp(SocketAddr),
    /// An entry of `externalIPs`.
    ExternalIp(SocketAddr),
    /// An address of the load balancer.
    LoadBalancer(SocketAddr),
    /// This port of the node itself.
    NodePort(u16, NodeAddress),
}

/// Which address of a node: node ports need not be open at all of them (PROXY-26, PROXY-27).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeAddress {
    /// Its first of a family.
    Primary(Family),
    /// A further one of the family.
    Further(Family),
    /// 127.0.0.1
    Loopback,
}

/// Whose packets are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceClass {
    /// A Pod on that node.
    Pod,
    /// The node itself.
    Node,
    /// Somebody outside of the cluster, by way of that node.
    Outside,
}

/// What becomes of a first packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Sent to one of these.
    Sent(BTreeMap<SocketAddr, Sent>),
    /// Refused by a rule.
    Refused,
    /// Dropped by a rule.
    Dropped,
    /// No rule of a Service is about it.
    Untouched,
    /// One or the other, by chance.
    Mixed(Vec<String>),
}

/// How a packet is sent to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    /// Whether its source is hidden.
    pub snat: bool,
    /// Why an answer does not get back; `None`: it does, if there is one.
    pub unheard: Option<Unheard>,
}

/// The matrix of all Services at this instant.
///
/// # Errors
/// When a node that the cluster is configured with does not exist in the world; `None` where its control plane
/// cannot be looked into.
pub fn matrix(world: &mut dyn World) -> Result<Option<Matrix>, ReferenceError> {
    let Some(control) = world.control() else {
        return Ok(None);
    };
    let mut matrix = Matrix::default();
    let mut asked = Vec::new();
    for key in services(control.api()) {
        let Some(service) = control.api().get(&key).and_then(Object::as_service) else {
            continue;
        };
        match without_rules(service) {
            Some(why) => matrix.without.push((key, why)),
            None => asked.extend(asked_of(control, &key, service)),
        }
    }
    let mut rows: BTreeMap<(Place, bool, Fate), Vec<String>> = BTreeMap::new();
    for Asked {
        place,
        node,
        is_local,
        request,
    } in asked
    {
        let fate = Fate::of(&world.probe(&request)?);
        rows.entry((place, is_local, fate)).or_default().push(node);
    }
    for ((place, is_local, fate), mut nodes) in rows {
        nodes.sort_unstable();
        matrix.rows.push(Row {
            place,
            is_local,
            fate,
            nodes,
        });
    }
    Ok(Some(matrix))
}

fn without_rules(service: &Service) -> Option<&'static str> {
    match service.spec.service_type.as_str() {
        "ExternalName" => Some("an alias in DNS"),
        _ if service.is_headless() => Some("headless: its name stands for its Pods"),
        _ => None,
    }
}

/// A question to a node.
struct Asked {
    place: Place,
    node: String,
    is_local: bool,
    request: ProbeRequest,
}

/// The nodes that host an endpoint of a Service.
fn hosts<'a>(control: &'a Control, key: &'a ObjectKey) -> BTreeSet<&'a str> {
    let namespace = key.namespace.as_deref().unwrap_or_default();
    let own = slices(control.api(), namespace)
        .filter(|slice| slice.service_name() == Some(key.name.as_str()));
    own.flat_map(usable)
        .filter_map(|endpoint| endpoint.node_name.as_deref())
        .collect()
}

/// Every node is asked: which are alike depends on policies, topology, and the settings of each proxy.
fn asked_of(control: &Control, key: &ObjectKey, service: &Service) -> Vec<Asked> {
    let mut asked = Vec::new();
    let hosts = hosts(control, key);
    for port in &service.spec.ports {
        let frontends = frontends(service, port);
        for node in &control.config().nodes {
            for (frontend, source) in pairs(&frontends) {
                let place = Place {
                    service: key.clone(),
                    port: port.port,
                    protocol: port.transport(),
                    frontend,
                    source,
                };
                asked.extend(request(control, &place, node).map(|request| Asked {
                    place,
                    node: node.name.clone(),
                    is_local: hosts.contains(node.name.as_str()),
                    request,
                }));
            }
        }
    }
    asked
}

fn pairs(frontends: &[Frontend]) -> impl Iterator<Item = (Frontend, SourceClass)> {
    let sources = [SourceClass::Pod, SourceClass::Node, SourceClass::Outside];
    let pairs = frontends
        .iter()
        .flat_map(move |frontend| sources.map(|source| (*frontend, source)));
    // Nobody else's packets are for 127.0.0.1.
    pairs.filter(|(frontend, source)| match frontend {
        Frontend::NodePort(_, NodeAddress::Loopback) => *source == SourceClass::Node,
        _ => true,
    })
}

fn frontends(service: &Service, port: &api::ServicePort) -> Vec<Frontend> {
    let Ok(number) = u16::try_from(port.port) else {
        return Vec::new();
    };
    let at = |address: IpAddr| SocketAddr::new(address, number);
    let parsed = |text: &String| text.parse::<IpAddr>().ok().map(at);
    let external = service.spec.external_ips.iter().filter_map(parsed);
    let balancers = service.status.load_balancer.ingress.iter();
    let balancers = balancers.filter_map(|ingress| parsed(&ingress.ip));
    let node_port = u16::try_from(port.node_port).ok().filter(|port| *port > 0);
    let virtual_ones = service
        .addresses()
        .map(at)
        .map(Frontend::ClusterIp)
        .chain(external.map(Frontend::ExternalIp))
        .chain(balancers.map(Frontend::LoadBalancer));
    let node_ports = node_port.into_iter().flat_map(|port| {
        let of_family = |family| [NodeAddress::Primary(family), NodeAddress::Further(family)];
        let all = Family::ALL.into_iter().flat_map(of_family);
        let all = all.chain([NodeAddress::Loopback]);
        all.map(move |at| Frontend::NodePort(port, at))
    });
    virtual_ones.chain(node_ports).collect()
}

impl NodeAddress {
    /// `None` where a node has no such address.
    fn of(self, node: &NodeConfig) -> Option<IpAddr> {
        let of_family = |family| {
            let addresses = node.addresses.iter().copied();
            addresses.filter(move |address| Family::of(*address) == family)
        };
        match self {
            Self::Primary(family) => of_family(family).next(),
            Self::Further(family) => of_family(family).nth(1),
            Self::Loopback => of_family(Family::V4)
                .next()
                .map(|_| Ipv4Addr::LOCALHOST.into()),
        }
    }
}

/// `None` where there is no source of the address's family, or nobody outside comes that way.
fn request(control: &Control, place: &Place, node: &NodeConfig) -> Option<ProbeRequest> {
    let to = match place.frontend {
        Frontend::ClusterIp(at) | Frontend::ExternalIp(at) | Frontend::LoadBalancer(at) => at,
        Frontend::NodePort(port, at) => SocketAddr::new(at.of(node)?, port),
    };
    let same_family = |address: &IpAddr| address.is_ipv4() == to.is_ipv4();
    let from = match place.source {
        SourceClass::Node if to.ip().is_loopback() => ProbeSource::Address(to.ip()),
        SourceClass::Node => ProbeSource::Source(Source::Node(node.name.clone())),
        SourceClass::Pod => ProbeSource::Address(pod_address(node, to.is_ipv4())?),
        SourceClass::Outside => {
            let known = control.config().outside.iter().map(|host| host.address);
            let elsewhere = match to.is_ipv4() {
                true => ELSEWHERE.0.into(),
                false => ELSEWHERE.1.into(),
            };
            ProbeSource::Address(known.clone().find(same_family).unwrap_or(elsewhere))
        }
    };
    let has_family = node.addresses.iter().any(same_family);
    has_family.then(|| ProbeRequest {
        node: Some(node.name.clone()),
        from,
        to,
        protocol: match place.protocol {
            Protocol::Tcp => ruleset::Protocol::TCP,
            Protocol::Udp => ruleset::Protocol::UDP,
            Protocol::Sctp => ruleset::Protocol::SCTP,
        },
    })
}

/// The last address of the node's Pod range, which Pods get at last: a client that is no endpoint.
fn pod_address(node: &NodeConfig, is_v4: bool) -> Option<IpAddr> {
    let nets = node.pod_cidrs.iter();
    let mut nets = nets.filter(|net| net.addr().is_ipv4() == is_v4);
    nets.next().map(|net| match net {
        ipnet::IpNet::V4(net) => {
            let last = u32::from(net.broadcast());
            Ipv4Addr::from(last.saturating_sub(1)).into()
        }
        ipnet::IpNet::V6(net) => net.broadcast().into(),
    })
}

impl Fate {
    fn of(probe: &Probe) -> Self {
        let mut sent: BTreeMap<SocketAddr, Sent> = BTreeMap::new();
        let mut others: BTreeSet<&'static str> = BTreeSet::new();
        for (_, outcome) in &probe.outcomes {
            match outcome {
                ProbeOutcome::Endpoint { to, snat } => {
                    let how = sent.entry(*to).or_default();
                    how.snat |= *snat;
                    how.unheard = probe.unheard(to).cloned();
                }
                ProbeOutcome::Reject => drop(others.insert("refused")),
                ProbeOutcome::Drop => drop(others.insert("dropped")),
                ProbeOutcome::Untouched => drop(others.insert("untouched")),
            }
        }
        let only = others.iter().next().copied();
        match (sent.is_empty(), others.len(), only) {
            (false, 0, _) => Self::Sent(sent),
            (true, 1, Some("refused")) => Self::Refused,
            (true, 1, Some("dropped")) => Self::Dropped,
            (true, 1, _) => Self::Untouched,
            _ => {
                let sent = sent.keys().map(ToString::to_string);
                Self::Mixed(sent.chain(others.into_iter().map(str::to_owned)).collect())
            }
        }
    }

    /// What a client comes to see.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Sent(sent) if sent.values().all(|how| how.unheard.is_some()) => "unanswered",
            Self::Sent(_) => "sent",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
            Self::Untouched => "untouched",
            Self::Mixed(_) => "mixed",
        }
    }

    /// The endpoints that it may be sent to.
    #[must_use]
    pub fn backends(&self) -> Vec<String> {
        match self {
            Self::Sent(sent) => sent.keys().map(ToString::to_string).collect(),
            Self::Mixed(either) => either.clone(),
            Self::Refused | Self::Dropped | Self::Untouched => Vec::new(),
        }
    }

    /// Whether its source is hidden: always (`yes`), never (`no`), or on the way to some only; nothing of one that is
    /// not sent.
    #[must_use]
    pub fn snat(&self) -> Option<&'static str> {
        let Self::Sent(sent) = self else {
            return None;
        };
        let hidden = sent.values().filter(|how| how.snat).count();
        Some(match hidden {
            0 => "no",
            all if all == sent.len() => "yes",
            _ => "some",
        })
    }

    /// Endpoints whose answers do not get back, by why not.
    #[must_use]
    pub fn unheard(&self) -> BTreeMap<&Unheard, Vec<SocketAddr>> {
        let mut whys: BTreeMap<&Unheard, Vec<SocketAddr>> = BTreeMap::new();
        if let Self::Sent(sent) = self {
            for (to, how) in sent {
                if let Some(why) = &how.unheard {
                    whys.entry(why).or_default().push(*to);
                }
            }
        }
        whys
    }
}

impl Matrix {
    /// Where two matrices say different things: this one's word, and the other's.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let (before, after) = (self.by_node(), other.by_node());
        let places: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let mut found: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for at in places {
            let pair = (before.get(at).copied(), after.get(at).copied());
            if pair.0 != pair.1 {
                let (place, node) = at;
                found
                    .entry((*place, pair))
                    .or_default()
                    .push((*node).to_owned());
            }
        }
        let differences = found.into_iter();
        differences
            .map(|((place, (before, after)), nodes)| Difference {
                place: place.clone(),
                nodes,
                before: before.cloned(),
                after: after.cloned(),
            })
            .collect()
    }

    fn by_node(&self) -> BTreeMap<(&Place, &str), &Fate> {
        let rows = self.rows.iter();
        rows.flat_map(|row| {
            let nodes = row.nodes.iter();
            nodes.map(|node| ((&row.place, node.as_str()), &row.fate))
        })
        .collect()
    }
}

/// A place of which two matrices say different things; `None`: one does not have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub place: Place,
    /// On, or by way of, which nodes.
    pub nodes: Vec<String>,
    /// Of the first.
    pub before: Option<Fate>,
    /// Of the second.
    pub after: Option<Fate>,
}

impl SourceClass {
    /// As tables have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Node => "node",
            Self::Outside => "outside",
        }
    }
}

impl fmt::Display for Frontend {
    /// `ClusterIP 10.96.0.1:443`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterIp(at) => write!(f, "ClusterIP {at}"),
            Self::ExternalIp(at) => write!(f, "ExternalIP {at}"),
            Self::LoadBalancer(at) => write!(f, "LoadBalancer {at}"),
            Self::NodePort(port, at) => write!(f, "NodePort {port}{at}"),
        }
    }
}

impl fmt::Display for NodeAddress {
    /// Nothing for what everybody means by a node's address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary(Family::V4) => "",
            Self::Primary(Family::V6) => " over IPv6",
            Self::Further(Family::V4) => " at a further address of the node",
            Self::Further(Family::V6) => " over IPv6 at a further address of the node",
            Self::Loopback => " at 127.0.0.1",
        })
    }
}
