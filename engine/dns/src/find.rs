//! What a name of the cluster stands for.
//!
//! Source of the semantics: the record table DNS-4 … DNS-18, readiness DNS-19 … DNS-22, ports DNS-24 … DNS-28, result
//! codes DNS-29 … DNS-39 (CoreDNS: plugin/kubernetes `parse.go`, `kubernetes.go`, `reverse.go`, `ns.go`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use api::{Endpoint, EndpointSlice, Protocol, Service};

use crate::zone::{ClusterZone, Names, ready};
use crate::{DNS_SERVICE, PodsMode};

/// One thing that a name stands for (CoreDNS: `msg.Service`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// What is behind the name.
    pub(crate) host: Behind,
    /// At which port; `None` where no port is declared (DNS-28).
    pub(crate) port: Option<u16>,
    /// Its own name below the zone: `db-0.db.shop.svc`.
    pub(crate) name: String,
}

/// What is behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    Address(IpAddr),
    /// Another name, without a final dot.
    Alias(String),
}

/// NXDOMAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchName;

/// What stands left of a Service's name.
#[derive(Clone, Copy)]
enum Prefix<'a> {
    None,
    Endpoint(&'a str),
    /// With or without underscores (DNS-24).
    Port(&'a str, &'a str),
}

impl ClusterZone {
    /// Everything that a name stands for: `labels` are those left of the zone, in lower case. Nothing at all is a
    /// name without records.
    pub(crate) fn find(&self, labels: &[&str]) -> Result<Vec<Item>, NoSuchName> {
        match labels {
            [] | ["svc" | "pod"] => Ok(Vec::new()),
            // DNS-35: at most two labels left of the Service.
            [left @ .., namespace, kind @ ("svc" | "pod")] if left.len() <= 3 => {
                if !self.namespaces.contains(*namespace) {
                    return Err(NoSuchName);
                }
                match (*kind, left) {
                    ("pod", _) if self.options.pods == PodsMode::Disabled => Err(NoSuchName),
                    (_, []) => Ok(Vec::new()),
                    // Whatever stands left of a Pod's name is not looked at.
                    ("pod", [.., address]) => self.find_pod(address, namespace),
                    (_, [service]) => self.find_service(service, namespace, Prefix::None),
                    (_, [host, service]) => {
                        self.find_service(service, namespace, Prefix::Endpoint(host))
                    }
                    (_, [port, protocol, service, ..]) => {
                        let prefix = Prefix::Port(bare(port), bare(protocol));
                        self.find_service(service, namespace, prefix)
                    }
                }
            }
            _ => Err(NoSuchName),
        }
    }

    /// The names of an address, below the zone: that of the Service whose ClusterIP it is, or else one for every
    /// Service that has it as an endpoint (DNS-6, DNS-10, DNS-17).
    pub(crate) fn names_of(&self, address: IpAddr) -> Vec<String> {
        let service = self.cluster_ips.get(&address).into_iter().flatten().next();
        if let Some(key) = service {
            return vec![service_name(key)];
        }
        let mut names = Vec::new();
        for (owner, slice) in self.slices_with(address) {
            let ready = ready(slice).filter(|(_, ip)| *ip == address);
            names.extend(ready.map(|(endpoint, ip)| self.endpoint_name(owner, endpoint, ip)));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The names below the zone, and the addresses, of the server itself (DNS-14).
    ///
    /// Deviation: CoreDNS looks for the Service that has its own address as an endpoint; this takes
    /// kube-system/kube-dns.
    pub(crate) fn servers(&self) -> Vec<Item> {
        let (name, namespace) = DNS_SERVICE;
        let found = self.find_service(name, namespace, Prefix::None);
        found.unwrap_or_default()
    }

    fn find_service(
        &self,
        name: &str,
        namespace: &str,
        prefix: Prefix<'_>,
    ) -> Result<Vec<Item>, NoSuchName> {
        let key = (namespace.to_owned(), name.to_owned());
        let service = self.services.get(&key).ok_or(NoSuchName)?;
        let by_endpoint = matches!(prefix, Prefix::Endpoint(_));
        let found = if !service.needs_cluster_ip() {
            // An alias has no endpoints, and an address is no alias.
            let target = service.spec.external_name.trim_end_matches('.');
            let is_alias = !by_endpoint && target.parse::<IpAddr>().is_err();
            let alias = is_alias.then(|| Item {
                host: Behind::Alias(target.to_owned()),
                port: Some(0),
                name: service_name(&key),
            });
            alias.into_iter().collect()
        } else if by_endpoint || service.is_headless() {
            self.endpoints(&key, prefix)
        } else {
            cluster_ips(service, &key, prefix)
        };
        // DNS-21, DNS-33: a Service of whom nothing fits the question has no such name.
        match found.is_empty() {
            true => Err(NoSuchName),
            false => Ok(found),
        }
    }

    /// An item for each ready endpoint and port that fits.
    fn endpoints(&self, key: &Names, prefix: Prefix<'_>) -> Vec<Item> {
        let mut items = Vec::new();
        let slices = self.slices.get(key).into_iter().flat_map(BTreeMap::values);
        for slice in slices {
            let ports = ports_of(slice, prefix);
            for (endpoint, ip) in ready(slice) {
                let host = self.host_name(endpoint, ip);
                if matches!(prefix, Prefix::Endpoint(wanted) if !host.eq_ignore_ascii_case(wanted))
                {
                    continue;
                }
                items.extend(ports.iter().map(|port| Item {
                    host: Behind::Address(ip),
                    port: *port,
                    name: self.endpoint_name(key, endpoint, ip),
                }));
            }
        }
        items
    }

    /// DNS-12, DNS-37, DNS-38: a Pod by its primary address.
    fn find_pod(&self, dashed: &str, namespace: &str) -> Result<Vec<Item>, NoSuchName> {
        let is_ipv4 = dashed.matches('-').count() == 3 && !dashed.contains("--");
        let address = match is_ipv4 {
            true => dashed.replace('-', ".").parse().map_err(|_| NoSuchName)?,
            false => {
                let address: Result<Ipv6Addr, _> = dashed.replace('-', ":").parse();
                IpAddr::V6(address.map_err(|_| NoSuchName)?)
            }
        };
        if self.options.pods == PodsMode::Verified && !self.has_pod(namespace, address) {
            return Err(NoSuchName);
        }
        Ok(vec![Item {
            host: Behind::Address(address),
            port: Some(0),
            name: format!("{dashed}.{namespace}.pod"),
        }])
    }

    fn endpoint_name(&self, service: &Names, endpoint: &Endpoint, ip: IpAddr) -> String {
        format!("{}.{}", self.host_name(endpoint, ip), service_name(service))
    }

    /// An endpoint's own label (DNS-16).
    fn host_name(&self, endpoint: &Endpoint, ip: IpAddr) -> String {
        /// The longest label.
        const LABEL_MAX: usize = 63;
        if let Some(name) = endpoint.hostname.as_ref().filter(|name| !name.is_empty()) {
            return name.clone();
        }
        let pod = endpoint.target_ref.as_ref().map(|pod| pod.name.as_str());
        let pod = pod.filter(|name| (1..=LABEL_MAX).contains(&name.len()));
        match pod {
            Some(name) if self.options.endpoint_pod_names => name.to_owned(),
            _ => dashed(ip),
        }
    }
}

impl Prefix<'_> {
    /// Whether a port is meant.
    fn fits(self, name: &str, protocol: Option<Protocol>) -> bool {
        let Self::Port(wanted, over) = self else {
            return true;
        };
        let protocol = protocol.map_or_else(String::new, |protocol| protocol.to_string());
        let is =
            |wanted: &str, known: &str| wanted.is_empty() || wanted.eq_ignore_ascii_case(known);
        is(wanted, name) && is(over, &protocol)
    }
}

/// The numbers of a slice's ports that fit; one that is no number where it has none at all (DNS-28).
fn ports_of(slice: &EndpointSlice, prefix: Prefix<'_>) -> Vec<Option<u16>> {
    if slice.ports.is_empty() {
        return prefix.fits("", None).then_some(None).into_iter().collect();
    }
    let fitting = slice.ports.iter().filter(|port| {
        let name = port.name.as_deref().unwrap_or_default();
        prefix.fits(name, Some(port.transport()))
    });
    let numbers = fitting.map(|port| u16::try_from(port.port?).ok());
    numbers.collect()
}

/// An item for each address and port that fits.
fn cluster_ips(service: &Service, key: &Names, prefix: Prefix<'_>) -> Vec<Item> {
    let ports = service.spec.ports.iter();
    let ports = ports.filter(|port| prefix.fits(&port.name, Some(port.transport())));
    let items = ports.flat_map(|port| {
        service.addresses().map(|ip| Item {
            host: Behind::Address(ip),
            port: u16::try_from(port.port).ok(),
            name: service_name(key),
        })
    });
    items.collect()
}

/// A Service's name below the zone.
fn service_name((namespace, name): &Names) -> String {
    format!("{name}.{namespace}.svc")
}

fn bare(label: &str) -> &str {
    label.strip_prefix('_').unwrap_or(label)
}

/// The address as a label (DNS-16).
fn dashed(address: IpAddr) -> String {
    let mut name = address.to_string().replace(['.', ':'], "-");
    if name.ends_with('-') {
        name.push('0');
    }
    name
}
