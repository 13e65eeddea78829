//! What the server does by itself: what exists from the start, what is looked after every 10 s, and when repairs
//! are due.
//!
//! **What.** The namespaces, the default ServiceCIDR, and the Service `kubernetes` with its endpoints; they come back
//! when somebody removes or changes them.
//! **Why.** A loop that finds nothing to do costs nothing here: it is due only after a write that could concern it,
//! at the instant at which the real loop would come round.
//! **Source of the semantics.** ALLOC-5, ALLOC-30, ALLOC-40, ALLOC-44; S:
//! `pkg/controlplane/controller/{kubernetesservice,defaultservicecidr}`, `pkg/controlplane/reconcilers`.
//!
//! Deviation: further ranges of a family, which the flags of Kubernetes do not allow, are ServiceCIDRs `kubernetes-2`,
//! `kubernetes-3` … of the start, which do not come back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::SimTime;
use ipnet::IpNet;
use serde_json::json;

use super::events::{Teller, Told};
use super::{ApiConfig, ApiServer};
use crate::allocator::first_usable;
use crate::family::IpFamily;
use crate::object::{
    Condition, Endpoint, EndpointAddress, EndpointConditions, EndpointPort, EndpointSlice,
    EndpointSubset, Endpoints, EndpointsPort, IntOrString, Kind, LABEL_SERVICE_NAME, Namespace,
    Object, ObjectKey, ObjectMeta, Service, ServiceCidr, ServiceCidrSpec, ServiceCidrStatus,
    ServicePort, ServiceSpec,
};
use crate::status::Status;
use crate::timestamp::timestamp;

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// The name of the Service of the API servers, of its endpoints, and of the default ServiceCIDR.
const KUBERNETES: &str = "kubernetes";
/// The port of an API server if the settings state none.
const API_SERVER_PORT: u16 = 6443;
/// How often the objects of the start are looked after.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// How often everything is compared (S: `pkg/controlplane/instance.go`).
const COMPARE: Duration = Duration::from_secs(180);

/// What the server has to look at, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Upkeep {
    /// The objects of the start.
    kubernetes: Option<SimTime>,
    /// All Services, addresses and ports.
    pub(super) comparison: Option<SimTime>,
    /// IPAddresses that may belong to nobody, by name.
    pub(super) suspects: BTreeMap<String, SimTime>,
    /// How many comparisons in a row have found a port that nobody has (ALLOC-34).
    pub(super) leaks: BTreeMap<i32, u8>,
    pub(super) told: Told,
    mismatch_told: bool,
}

impl Upkeep {
    /// Takes note of a write that was not part of a Service's.
    pub(super) fn note(&mut self, object: &Object, now: SimTime) {
        let meta = object.meta();
        match object {
            Object::IpAddress(_) => {
                self.suspects.insert(meta.name.clone(), now);
                self.compare_later(now);
            }
            Object::ServiceCidr(_) => {
                self.compare_later(now);
                if meta.name == KUBERNETES {
                    self.look_after_later(now);
                }
            }
            Object::Service(_) | Object::Endpoints(_) | Object::EndpointSlice(_)
                if meta.name == KUBERNETES && meta.namespace == "default" =>
            {
                self.look_after_later(now);
            }
            _ => {}
        }
    }

    /// Takes note of a Service that came from elsewhere.
    pub(super) fn note_restored(&mut self, now: SimTime) {
        self.compare_later(now);
    }

    pub(super) fn compare_later(&mut self, now: SimTime) {
        self.comparison.get_or_insert(next(now, COMPARE));
    }

    fn look_after_later(&mut self, now: SimTime) {
        self.kubernetes.get_or_insert(next(now, LOOK_AFTER));
    }
}

impl ApiServer {
    /// When the server has something to do by itself, and does not just come round to it; `None` = nothing.
    #[must_use]
    pub fn next_pending(&self) -> Option<SimTime> {
        self.upkeep.suspects.values().min().copied()
    }

    /// When the server comes round to something that it may have to do; `None` = nothing has been touched that it
    /// looks after.
    #[must_use]
    pub fn next_periodic(&self) -> Option<SimTime> {
        let upkeep = &self.upkeep;
        upkeep.kubernetes.into_iter().chain(upkeep.comparison).min()
    }

    /// Does what is due.
    pub fn run(&mut self, now: SimTime) {
        let is_due = |at: Option<SimTime>| at.is_some_and(|at| at <= now);
        if is_due(self.upkeep.kubernetes) {
            self.look_after(now);
        }
        if is_due(self.upkeep.comparison) {
            self.repair(now);
        } else {
            self.check_suspects(now);
        }
    }

    /// Makes the objects of the start. A first address that is missing, or taken for good, leaves them out.
    pub(super) fn start(&mut self, now: SimTime) {
        for name in NAMESPACES {
            let namespace = Namespace {
                metadata: ObjectMeta::named("", name),
                ..Namespace::default()
            };
            self.create(namespace.into(), now)
                .expect("its own namespaces are valid");
        }
        for cidr in default_service_cidrs(&self.config, now) {
            self.create(cidr.into(), now)
                .expect("ranges of the settings are ranges");
        }
        self.look_after(now);
        self.upkeep = Upkeep::default();
    }

    /// Brings the objects of the start back to what the settings say; what does not work is tried again.
    fn look_after(&mut self, now: SimTime) {
        let cidr = self.look_after_service_cidr(now);
        let service = self.look_after_service(now);
        // Its own writes are what it wants.
        let again = cidr.and(service).is_err();
        self.upkeep.kubernetes = again.then(|| next(now, LOOK_AFTER));
    }

    fn look_after_service(&mut self, now: SimTime) -> Result<(), Status> {
        let Some(service) = kubernetes_service(&self.config) else {
            return Ok(());
        };
        if self.service("default", KUBERNETES).is_none() {
            self.create(service.into(), now)?;
        }
        let servers = &self.config.api_servers;
        let Some(first) = servers.first() else {
            return Ok(());
        };
        let (family, port) = (IpFamily::of(first.ip()), first.port().into());
        let addresses: BTreeSet<IpAddr> = servers.iter().map(SocketAddr::ip).collect();
        let addresses = addresses.iter().filter(|ip| IpFamily::of(**ip) == family);
        let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
        self.settle(endpoints(&addresses, port).into(), now)?;
        self.settle(slice(&addresses, family, port).into(), now)
    }

    /// Writes what is to be there, and keeps the metadata that is there.
    fn settle(&mut self, mut object: Object, now: SimTime) -> Result<(), Status> {
        let Some(old) = self.get(&object.key()) else {
            return self.create(object, now).map(drop);
        };
        let mut meta = old.meta().clone();
        meta.labels.append(&mut object.meta_mut().labels);
        *object.meta_mut() = meta;
        self.replace(object, now).map(drop)
    }

    fn look_after_service_cidr(&mut self, now: SimTime) -> Result<(), Status> {
        let Some(wanted) = default_service_cidrs(&self.config, now).into_iter().next() else {
            return Ok(());
        };
        let key = ObjectKey::new(Kind::ServiceCidr, "", KUBERNETES);
        let Some(Object::ServiceCidr(found)) = self.get(&key).cloned() else {
            return self.create(wanted.into(), now).map(drop);
        };
        let (ranges, flags) = (&found.spec.cidrs, &wanted.spec.cidrs);
        if found.metadata.is_terminating() || ranges == flags {
            return Ok(());
        }
        if let ([only], [first, _]) = (ranges.as_slice(), flags.as_slice())
            && only == first
        {
            let mut grown = ServiceCidr::clone(&found);
            grown.spec.cidrs.clone_from(flags);
            return self.replace(grown.into(), now).map(drop);
        }
        if !self.upkeep.mismatch_told {
            self.upkeep.mismatch_told = true;
            let message = format!(
                "The default ServiceCIDR [{}] does not match the controller flag configurations [{}]",
                ranges.join(" "),
                flags.join(" ")
            );
            let reason = "KubernetesDefaultServiceCIDRInconsistent";
            let about = Object::ServiceCidr(found);
            self.tell(Teller::ServiceCidrs, &about, reason, message, now);
        }
        Ok(())
    }
}

/// The first instant after `now` at which a loop of this period comes round.
fn next(now: SimTime, period: Duration) -> SimTime {
    let period = u64::try_from(period.as_nanos()).expect("periods are short");
    SimTime::from_nanos((now.as_nanos() / period + 1).saturating_mul(period))
}

/// The families that have a range with a usable address, the default one first (ALLOC-1).
pub(super) fn families(config: &ApiConfig) -> Vec<IpFamily> {
    let mut families = Vec::new();
    for address in config.service_cidrs.iter().filter_map(first_usable) {
        let family = IpFamily::of(address);
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families
}

/// The ServiceCIDRs of the settings, each with at most one range of a family.
fn default_service_cidrs(config: &ApiConfig, now: SimTime) -> Vec<ServiceCidr> {
    let mut groups: Vec<Vec<IpNet>> = Vec::new();
    for range in &config.service_cidrs {
        let is_other = |known: &IpNet| IpFamily::of(known.addr()) != IpFamily::of(range.addr());
        let open = groups.iter_mut().find(|group| group.iter().all(is_other));
        match open {
            Some(group) => group.push(range.trunc()),
            None => groups.push(vec![range.trunc()]),
        }
    }
    let named = |(index, ranges): (usize, Vec<IpNet>)| {
        let name = match index {
            0 => KUBERNETES.to_owned(),
            index => format!("{KUBERNETES}-{}", index + 1),
        };
        service_cidr(&name, &ranges, now)
    };
    groups.into_iter().enumerate().map(named).collect()
}

/// A ServiceCIDR as the controller that looks after them leaves it.
fn service_cidr(name: &str, ranges: &[IpNet], now: SimTime) -> ServiceCidr {
    let mut ready = Condition {
        condition_type: "Ready".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(timestamp(now)),
        ..Condition::default()
    };
    ready.rest.insert("reason", json!(""));
    let message = "Kubernetes Service CIDR is ready";
    ready.rest.insert("message", json!(message));
    ServiceCidr {
        metadata: ObjectMeta {
            finalizers: vec![ServiceCidr::FINALIZER.to_owned()],
            ..ObjectMeta::named("", name)
        },
        spec: ServiceCidrSpec {
            cidrs: ranges.iter().map(ToString::to_string).collect(),
        },
        status: ServiceCidrStatus {
            conditions: vec![ready],
        },
    }
}

/// The Service through which Pods reach the API server (ALLOC-5).
fn kubernetes_service(config: &ApiConfig) -> Option<Service> {
    let address = first_usable(config.service_cidrs.first()?)?;
    let mut metadata = ObjectMeta::named("default", KUBERNETES);
    for (key, value) in [("component", "apiserver"), ("provider", "kubernetes")] {
        metadata.labels.insert(key.to_owned(), value.to_owned());
    }
    let target = config.api_servers.first().map(SocketAddr::port);
    let port = ServicePort {
        name: "https".to_owned(),
        port: 443,
        target_port: Some(IntOrString::Int(target.unwrap_or(API_SERVER_PORT).into())),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        ports: vec![port],
        cluster_ip: address.to_string(),
        ..ServiceSpec::default()
    };
    Some(Service {
        metadata,
        spec,
        ..Service::default()
    })
}

fn endpoints(addresses: &[String], port: i32) -> Endpoints {
    let mut metadata = ObjectMeta::named("default", KUBERNETES);
    let label = "endpointslice.kubernetes.io/skip-mirror".to_owned();
    metadata.labels.insert(label, "true".to_owned());
    let address = |ip: &String| EndpointAddress {
        ip: ip.clone(),
        ..EndpointAddress::default()
    };
    let subset = EndpointSubset {
        addresses: addresses.iter().map(address).collect(),
        ports: vec![EndpointsPort {
            name: "https".to_owned(),
            port,
            protocol: "TCP".to_owned(),
            ..EndpointsPort::default()
        }],
        ..EndpointSubset::default()
    };
    Endpoints {
        metadata,
        subsets: vec![subset],
    }
}

fn slice(addresses: &[String], family: IpFamily, port: i32) -> EndpointSlice {
    let mut metadata = ObjectMeta::named("default", KUBERNETES);
    let label = LABEL_SERVICE_NAME.to_owned();
    metadata.labels.insert(label, KUBERNETES.to_owned());
    let endpoint = |address: &String| Endpoint {
        addresses: vec![address.clone()],
        conditions: EndpointConditions {
            ready: Some(true),
            ..EndpointConditions::default()
        },
        ..Endpoint::default()
    };
    EndpointSlice {
        metadata,
        address_type: family.to_string(),
        endpoints: addresses.iter().map(endpoint).collect(),
        ports: vec![EndpointPort {
            name: Some("https".to_owned()),
            protocol: Some("TCP".to_owned()),
            port: Some(port),
            ..EndpointPort::default()
        }],
    }
}
