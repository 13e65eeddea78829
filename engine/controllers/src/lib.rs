//! Controllers: pure reconcilers behind their own cache.
//!
//! **What.** Those that write EndpointSlices and Endpoints and mirror the latter; those of Deployments, ReplicaSets,
//! StatefulSets and DaemonSets; a scheduler, the simulated kubelet of all nodes, what becomes of nodes, namespaces and
//! ServiceCIDRs, a load balancer, and a garbage collector. Each learns about the cluster from watch events alone and answers
//! with [`Effect`]s. [`Application`] is what runs in a simulated Pod.
//! **Why.** Controllers of a real cluster see it late and write concurrently; a controller that never touches the
//! API server can be delivered its events at any lag, in virtual time, and is tested without one.
//! **Source of the semantics.** EP-1 … EP-89, API-92; which tests show what is in `EP-COVERAGE.md`; each module names its own.
//!
//! ```
//! use api::{ApiConfig, ApiServer, ObjectMeta, Service, ServicePort};
//! use base::{Seed, SimTime};
//! use switchboard_controllers::{Controller, Effect, EndpointSliceController};
//!
//! let config = ApiConfig {
//!     service_cidrs: vec!["10.96.0.0/12".parse()?],
//!     node_port_range: 30_000..=32_767,
//!     dns_domain: "cluster.local".to_owned(),
//!     api_servers: Vec::new(),
//!     seed: Seed::new(7),
//! };
//! let now = SimTime::ZERO;
//! let mut server = ApiServer::new(config, now);
//! let mut service = Service { metadata: ObjectMeta::named("default", "web"), ..Service::default() };
//! service.spec.selector.insert("app".to_owned(), "web".to_owned());
//! service.spec.ports.push(ServicePort { port: 80, ..ServicePort::default() });
//! server.create(service.into(), now)?;
//!
//! let mut controller = EndpointSliceController::new(std::time::Duration::ZERO, Seed::new(7));
//! for event in server.events_after(0) {
//!     controller.observe(event, now);
//! }
//! let effects = controller.reconcile(now);
//! assert!(matches!(effects.as_slice(), [Effect::Create(_)]), "a placeholder: no Pod matches");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod amount;
mod application;
mod backing;
mod conditions;
mod controller;
mod daemon_nodes;
mod daemon_set;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod events;
mod expectations;
mod garbage;
mod heartbeat;
mod incident;
mod kubelet;
mod load_balancer;
mod mirroring;
mod name;
mod namespace;
mod node_lifecycle;
mod node_selector;
mod owned_pods;
mod ownership;
mod pod_ips;
mod pod_state;
mod queue;
mod replica_set;
mod revision;
mod scheduler;
mod service_cidr;
mod set_cache;
mod slices;
mod stateful_set;
mod tolerations;
mod unseen;

pub use application::{Application, ApplicationError, ListenPort, Manners, OnTerm};
pub use controller::{Controller, Effect, PodSignal};
pub use daemon_set::DaemonSetController;
pub use deployment::DeploymentController;
pub use endpoint_slice::EndpointSliceController;
pub use endpoints::EndpointsController;
pub use garbage::GarbageCollector;
pub use incident::Incident;
pub use kubelet::{Kubelet, KubeletConfig, POD_TEARDOWN};
pub use load_balancer::LoadBalancerController;
pub use mirroring::EndpointSliceMirroringController;
pub use namespace::NamespaceController;
pub use node_lifecycle::NodeLifecycleController;
pub use pod_ips::first_pod_address;
pub use replica_set::ReplicaSetController;
pub use scheduler::Scheduler;
pub use service_cidr::ServiceCidrController;
pub use stateful_set::StatefulSetController;
