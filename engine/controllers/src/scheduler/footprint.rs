//! What a Pod takes up on its node.
//!
//! **Source of the semantics.** S: `component-helpers/resource/helpers.go` (PodRequests),
//! `pkg/scheduler/framework/types.go` (HostPortInfo).

use api::{Container, Pod, Protocol};
use serde_json::Value;

use super::pod_term::PodTerm;
use super::quantity::nanos;

/// Processors and memory, in billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) cpu: i128,
    pub(super) memory: i128,
}

impl Amounts {
    pub(super) fn plus(self, other: Self) -> Self {
        self.combined(other, i128::saturating_add)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.combined(other, i128::saturating_sub)
    }

    fn max(self, other: Self) -> Self {
        self.combined(other, i128::max)
    }

    fn combined(self, other: Self, with: fn(i128, i128) -> i128) -> Self {
        Self {
            cpu: with(self.cpu, other.cpu),
            memory: with(self.memory, other.memory),
        }
    }
}

/// A port of the node's that a container asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostPort {
    pub(super) protocol: Protocol,
    pub(super) port: i32,
    pub(super) ip: String,
}

impl HostPort {
    /// Whether both cannot be had at once.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        let anywhere = |port: &Self| port.ip == "0.0.0.0";
        (self.protocol, self.port) == (other.protocol, other.port)
            && (self.ip == other.ip || anywhere(self) || anywhere(other))
    }
}

/// What a Pod takes up on its node.
#[derive(Clone, Debug, Default)]
pub(super) struct Footprint {
    pub(super) requests: Amounts,
    pub(super) ports: Vec<HostPort>,
    /// The uid of the controller that it belongs to.
    pub(super) owner: Option<String>,
    /// The Pods that it wants to be away from.
    pub(super) repels: Vec<PodTerm>,
}

impl Footprint {
    /// What this Pod takes up.
    pub(super) fn of(pod: &Pod) -> Self {
        let owner = pod.metadata.controller();
        Self {
            requests: requests(pod),
            ports: host_ports(pod),
            owner: owner.map(|owner| owner.uid.clone()),
            repels: PodTerm::anti_affinity(pod),
        }
    }
}

/// Containers and sidecars run together; each other init container runs with the sidecars before it.
fn requests(pod: &Pod) -> Amounts {
    let mut sidecars = Amounts::default();
    let mut starting = Amounts::default();
    for container in &pod.spec.init_containers {
        let asked = container_requests(container);
        if container.runs_on() {
            sidecars = sidecars.plus(asked);
            starting = starting.max(sidecars);
        } else {
            starting = starting.max(sidecars.plus(asked));
        }
    }
    let containers = pod.spec.containers.iter().map(container_requests);
    let running = containers.fold(sidecars, Amounts::plus);
    let mut all = running.max(starting);
    if let Some(whole) = pod
        .spec
        .rest
        .get("resources")
        .and_then(|all| all.get("requests"))
    {
        all.cpu = whole.get("cpu").and_then(nanos).unwrap_or(all.cpu);
        all.memory = whole.get("memory").and_then(nanos).unwrap_or(all.memory);
    }
    all.plus(amounts(pod.spec.rest.get("overhead")))
}

fn container_requests(container: &Container) -> Amounts {
    let resources = container.rest.get("resources");
    amounts(resources.and_then(|resources| resources.get("requests")))
}

fn amounts(list: Option<&Value>) -> Amounts {
    let amount = |resource: &str| list?.get(resource).and_then(nanos);
    Amounts {
        cpu: amount("cpu").unwrap_or(0),
        memory: amount("memory").unwrap_or(0),
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let containers = pod.serving_containers();
    let ports = containers.flat_map(|container| &container.ports);
    let taken = ports.filter(|port| port.host_port > 0);
    taken
        .map(|port| HostPort {
            protocol: port.transport(),
            port: port.host_port,
            ip: match port.host_ip.as_str() {
                "" => "0.0.0.0".to_owned(),
                ip => ip.to_owned(),
            },
        })
        .collect()
}
