//! The `resolv.conf` that the kubelet writes for a Pod, by `dnsPolicy` and `dnsConfig`.
//!
//! Source of the semantics: DNS-53 … DNS-58; pkg/kubelet/network/dns/dns.go of Kubernetes 1.36 (`GetPodDNS`,
//! `appendDNSConfig`, `formDNSConfigFitsLimits`).
//!
//! Deviation: options keep the order in which they were given; the kubelet's comes out of a Go map.

use std::net::{IpAddr, SocketAddr};

use api::PodSpec;

use crate::ResolvConf;

/// Servers of one `resolv.conf` (S: `MaxDNSNameservers`).
const NAMESERVERS_MAX: usize = 3;
/// Search domains of one (S: `MaxDNSSearchPaths`).
const SEARCHES_MAX: usize = 32;
/// Characters of its search line (S: `MaxDNSSearchListChars`).
const SEARCH_LIST_MAX: usize = 2048;
/// Characters of a domain (S: `DNS1123SubdomainMaxLength`).
const DOMAIN_MAX: usize = 253;

/// What a kubelet knows of DNS.
#[derive(Clone, Copy, Debug)]
pub struct ClusterDns<'a> {
    /// `clusterDNS`: the servers of the cluster.
    pub servers: &'a [IpAddr],
    /// `clusterDomain`
    pub domain: &'a str,
    /// The node's own resolver.
    pub node: &'a ResolvConf,
}

/// The resolver of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodResolver {
    /// Its `resolv.conf`.
    pub conf: ResolvConf,
    /// What the kubelet complains of.
    pub complaints: Vec<Forming>,
}

/// A complaint of the kubelet: an Event of type Warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forming {
    /// The Event's reason.
    pub reason: &'static str,
    /// The Event's message.
    pub message: String,
}

impl PodResolver {
    /// The resolver of a Pod that starts now.
    #[must_use]
    pub fn of(namespace: &str, spec: &PodSpec, cluster: &ClusterDns<'_>) -> Self {
        let mut complaints = Vec::new();
        let mut conf = match (uses_cluster_dns(spec), cluster.servers) {
            (_, _) if spec.dns_policy == "None" => ResolvConf::default(),
            (false, _) => cluster.node.clone(),
            (true, []) => {
                complaints.push(missing_cluster_dns());
                cluster.node.clone()
            }
            (true, servers) => cluster_first(namespace, servers, cluster),
        };
        if let Some(extra) = &spec.dns_config {
            let servers = extra
                .nameservers
                .iter()
                .filter_map(|text| text.parse().ok());
            append_new(&mut conf.nameservers, servers.map(server));
            append_new(&mut conf.search, extra.searches.iter().cloned());
            for option in &extra.options {
                let is_same = |written: &String| {
                    written
                        .split_once(':')
                        .map_or(written.as_str(), |(name, _)| name)
                        == option.name
                };
                let text = match option.value.as_deref() {
                    None | Some("") => option.name.clone(),
                    Some(value) => format!("{}:{value}", option.name),
                };
                match conf.options.iter_mut().find(|written| is_same(written)) {
                    Some(written) => *written = text,
                    None => conf.options.push(text),
                }
            }
        }
        fit_nameservers(&mut conf.nameservers, &mut complaints);
        fit_searches(&mut conf.search, &mut complaints);
        Self { conf, complaints }
    }
}

/// DNS-54: on the node's network, `ClusterFirst` is not enough.
fn uses_cluster_dns(spec: &PodSpec) -> bool {
    match spec.dns_policy.as_str() {
        "ClusterFirstWithHostNet" => true,
        "" | "ClusterFirst" => !spec.host_network,
        _ => false,
    }
}

/// DNS-53: the cluster's servers instead of the node's, its domains before the node's, options of its own.
fn cluster_first(namespace: &str, servers: &[IpAddr], cluster: &ClusterDns<'_>) -> ResolvConf {
    let mut conf = ResolvConf::cluster_first(servers[0], namespace, cluster.domain);
    conf.nameservers = servers.iter().copied().map(server).collect();
    append_new(&mut conf.search, cluster.node.search.iter().cloned());
    conf
}

fn server(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 53)
}

fn append_new<T: PartialEq>(list: &mut Vec<T>, more: impl Iterator<Item = T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn missing_cluster_dns() -> Forming {
    Forming {
        reason: "MissingClusterDNS",
        message: "kubelet does not have ClusterDNS IP configured and cannot create Pod using \
                  \"ClusterFirst\" policy. Falling back to \"Default\" policy."
            .to_owned(),
    }
}

fn fit_nameservers(servers: &mut Vec<SocketAddr>, complaints: &mut Vec<Forming>) {
    if servers.len() <= NAMESERVERS_MAX {
        return;
    }
    servers.truncate(NAMESERVERS_MAX);
    let applied: Vec<String> = servers
        .iter()
        .map(|server| server.ip().to_string())
        .collect();
    complaints.push(Forming {
        reason: "DNSConfigForming",
        message: format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied \
             nameserver line is: {}",
            applied.join(" ")
        ),
    });
}

fn fit_searches(searches: &mut Vec<String>, complaints: &mut Vec<Forming>) {
    let given = searches.len();
    searches.truncate(SEARCHES_MAX);
    searches.retain(|search| search.len() <= DOMAIN_MAX);
    while searches.join(" ").len() > SEARCH_LIST_MAX {
        searches.pop();
    }
    if searches.len() < given {
        complaints.push(Forming {
            reason: "DNSConfigForming",
            message: format!(
                "Search Line limits were exceeded, some search paths have been omitted, the \
                 applied search line is: {}",
                searches.join(" ")
            ),
        });
    }
}
