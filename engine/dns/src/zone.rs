//! The cluster's zone: what the API's Services and EndpointSlices say about names.
//!
//! Source of the semantics: the record table DNS-4 … DNS-18, readiness DNS-19 … DNS-22, result codes
//! DNS-29 … DNS-44, time to live DNS-45 (kubeadm's 30 s), `pods insecure` DNS-37.
//!
//! Deviation: this version answers A, AAAA and SOA; questions for SRV, PTR, NS and TXT inside of the zone get
//! NOTIMP, where CoreDNS would answer them.
//! Deviation: there is no upstream server. A name outside of the zone does not exist (NXDOMAIN).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use api::{Change, EndpointSlice, Object, Service, WatchEvent};

use crate::{Question, Rcode, Record, RecordData, RecordType, Response};

/// Seconds a record may be kept (DNS-45).
const TTL: u32 = 30;

type Names = (String, String);

/// All names of one cluster, as of the last event observed.
#[derive(Clone, Debug)]
pub struct ClusterZone {
    domain: String,
    namespaces: BTreeSet<String>,
    services: BTreeMap<Names, Arc<Service>>,
    slices: BTreeMap<Names, BTreeMap<String, Arc<EndpointSlice>>>,
    /// The Service under which each slice is filed.
    owners: BTreeMap<Names, Names>,
    serial: u32,
}

impl ClusterZone {
    /// An empty zone: `domain` is `cluster.local`, say.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        Self {
            domain: domain.trim_matches('.').to_ascii_lowercase(),
            namespaces: BTreeSet::new(),
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            owners: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Takes one event of the watch (DNS-69); kinds that make no names are ignored.
    pub fn observe(&mut self, event: &WatchEvent) {
        let gone = event.change == Change::Deleted;
        let meta = event.object.meta();
        let name = meta.name.clone();
        let namespace = meta.namespace.clone();
        match &event.object {
            Object::Namespace(_) if gone => {
                self.namespaces.remove(&name);
            }
            Object::Namespace(_) => {
                self.namespaces.insert(name);
            }
            Object::Service(_) if gone => {
                self.services.remove(&(namespace, name));
            }
            Object::Service(service) => {
                self.services.insert((namespace, name), Arc::clone(service));
            }
            Object::EndpointSlice(slice) => self.observe_slice(slice, (namespace, name), gone),
            _ => return,
        }
        self.serial = self.serial.wrapping_add(1);
    }

    /// Answers a question.
    #[must_use]
    pub fn answer(&self, question: &Question) -> Response {
        let lower = question.name.to_ascii_lowercase();
        let Some(inside) = self.within_zone(&lower) else {
            return Response {
                rcode: Rcode::NxDomain,
                authoritative: false,
                answers: Vec::new(),
                authority: Vec::new(),
            };
        };
        let unanswered = [
            RecordType::SRV,
            RecordType::PTR,
            RecordType::NS,
            RecordType::TXT,
        ];
        if unanswered.contains(&question.record_type) {
            return self.negative(Rcode::NotImp);
        }
        if inside.is_empty() && question.record_type == RecordType::SOA {
            return self.positive(question, vec![self.soa()]);
        }
        match self.find(&inside) {
            Found::Nothing => self.negative(Rcode::NxDomain),
            Found::Name => self.negative(Rcode::NoError),
            Found::Alias(target) => self.positive(question, vec![RecordData::Cname(target)]),
            Found::Addresses(addresses) => {
                let data: Vec<_> = addresses
                    .into_iter()
                    .filter_map(|address| record_of(address, question.record_type))
                    .collect();
                match data.is_empty() {
                    true => self.negative(Rcode::NoError),
                    false => self.positive(question, data),
                }
            }
        }
    }

    fn observe_slice(&mut self, slice: &Arc<EndpointSlice>, key: Names, gone: bool) {
        // The label may have moved the slice to another Service (DNS-71).
        if let Some(owner) = self.owners.remove(&key)
            && let Some(slices) = self.slices.get_mut(&owner)
        {
            slices.remove(&key.1);
            if slices.is_empty() {
                self.slices.remove(&owner);
            }
        }
        if let (false, Some(service)) = (gone, slice.service_name()) {
            let owner = (key.0.clone(), service.to_owned());
            let slices = self.slices.entry(owner.clone()).or_default();
            slices.insert(key.1.clone(), Arc::clone(slice));
            self.owners.insert(key, owner);
        }
    }

    /// The labels left of the zone, or `None` for a name outside of it.
    fn within_zone<'a>(&self, lower: &'a str) -> Option<Vec<&'a str>> {
        let left = lower.strip_suffix(&self.domain)?;
        match left.strip_suffix('.') {
            Some(labels) => Some(labels.split('.').collect()),
            None => left.is_empty().then(Vec::new),
        }
    }

    fn find(&self, labels: &[&str]) -> Found {
        match labels {
            [] | ["svc" | "pod"] => Found::Name,
            [namespace, "svc" | "pod"] => match self.namespaces.contains(*namespace) {
                true => Found::Name,
                false => Found::Nothing,
            },
            [service, namespace, "svc"] => self.find_service(service, namespace),
            [host, service, namespace, "svc"] => self.find_endpoint(host, service, namespace),
            [address, namespace, "pod"] => self.find_pod(address, namespace),
            _ => Found::Nothing,
        }
    }

    fn find_service(&self, name: &str, namespace: &str) -> Found {
        let key = (namespace.to_owned(), name.to_owned());
        let Some(service) = self.services.get(&key) else {
            return Found::Nothing;
        };
        if service.spec.service_type == "ExternalName" {
            let target = service.spec.external_name.trim_end_matches('.');
            return Found::Alias(target.to_owned());
        }
        if !service.is_headless() {
            return Found::Addresses(service.addresses().collect());
        }
        let addresses: Vec<IpAddr> = self
            .ready_endpoints(&key)
            .into_iter()
            .map(|(_, address)| address)
            .collect();
        // DNS-21: a headless Service without any ready endpoint has no name.
        if addresses.is_empty() {
            Found::Nothing
        } else {
            Found::Addresses(addresses)
        }
    }

    fn find_endpoint(&self, host: &str, service: &str, namespace: &str) -> Found {
        let key = (namespace.to_owned(), service.to_owned());
        if !self.services.contains_key(&key) {
            return Found::Nothing;
        }
        let addresses: Vec<IpAddr> = self
            .ready_endpoints(&key)
            .into_iter()
            .filter(|(name, _)| name == host)
            .map(|(_, address)| address)
            .collect();
        if addresses.is_empty() {
            Found::Nothing
        } else {
            Found::Addresses(addresses)
        }
    }

    /// DNS-37: any well-formed dashed address in an existing namespace.
    fn find_pod(&self, dashed: &str, namespace: &str) -> Found {
        if !self.namespaces.contains(namespace) {
            return Found::Nothing;
        }
        let dots = dashed.replace('-', ".").parse::<IpAddr>();
        let colons = dashed.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6);
        match dots.or(colons) {
            Ok(address) => Found::Addresses(vec![address]),
            Err(_) => Found::Nothing,
        }
    }

    /// Host name (DNS-16) and address of every ready endpoint, each once, in order of address.
    fn ready_endpoints(&self, service: &Names) -> BTreeSet<(String, IpAddr)> {
        let slices = self
            .slices
            .get(service)
            .into_iter()
            .flat_map(BTreeMap::values);
        slices
            .flat_map(|slice| &slice.endpoints)
            .filter(|endpoint| endpoint.conditions.is_ready())
            .flat_map(|endpoint| {
                let addresses = endpoint
                    .addresses
                    .iter()
                    .filter_map(|text| text.parse().ok());
                addresses.map(move |address: IpAddr| {
                    let host = endpoint.hostname.clone().filter(|name| !name.is_empty());
                    (host.unwrap_or_else(|| dashed(address)), address)
                })
            })
            .collect()
    }

    fn positive(&self, question: &Question, data: Vec<RecordData>) -> Response {
        let record = |data| Record {
            name: question.name.clone(),
            ttl: TTL,
            data,
        };
        Response {
            rcode: Rcode::NoError,
            authoritative: true,
            answers: data.into_iter().map(record).collect(),
            authority: Vec::new(),
        }
    }

    fn negative(&self, rcode: Rcode) -> Response {
        let soa = Record {
            name: self.domain.clone(),
            ttl: TTL,
            data: self.soa(),
        };
        Response {
            rcode,
            authoritative: true,
            answers: Vec::new(),
            authority: vec![soa],
        }
    }

    /// DNS-15. Deviation: the serial counts changes; CoreDNS puts the Unix time of the last one.
    fn soa(&self) -> RecordData {
        RecordData::Soa {
            mname: format!("ns.dns.{}", self.domain),
            rname: format!("hostmaster.{}", self.domain),
            serial: self.serial,
            minimum: TTL,
        }
    }
}

enum Found {
    /// NXDOMAIN.
    Nothing,
    /// The name exists and has no records.
    Name,
    /// A CNAME.
    Alias(String),
    /// Addresses of either family.
    Addresses(Vec<IpAddr>),
}

fn record_of(address: IpAddr, record_type: RecordType) -> Option<RecordData> {
    match (address, record_type) {
        (IpAddr::V4(address), RecordType::A) => Some(RecordData::A(address)),
        (IpAddr::V6(address), RecordType::AAAA) => Some(RecordData::Aaaa(address)),
        _ => None,
    }
}

/// The address as a host name (DNS-16).
fn dashed(address: IpAddr) -> String {
    let mut name = address.to_string().replace(['.', ':'], "-");
    if name.ends_with('-') {
        name.push('0');
    }
    name
}
