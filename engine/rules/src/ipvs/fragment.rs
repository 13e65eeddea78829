//! What one service port contributes: virtual servers and entries of sets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use ruleset::Protocol;
use ruleset::ipvs::{Forwarding, RealServer, Scheduler, SetEntry, VirtualServer};

use super::sets::KubeSet;
use crate::origin::PortOrigins;
use crate::{
    Decision, ExternalPlan, ExternalRoute, Frontend, FrontendKind, RejectReason, ServicePortPlan,
    TrafficPolicy,
};

/// A service port's part, the same on every node of a class.
#[derive(Clone, Debug)]
pub(crate) struct Fragment {
    pub(super) protocol: Protocol,
    /// At addresses that are to be bound, unless the node has them already.
    pub(super) servers: Vec<(SocketAddr, Arc<VirtualServer>)>,
    /// At the node's own addresses.
    pub(super) node_port: Option<NodePort>,
    pub(super) entries: Vec<(KubeSet, SetEntry)>,
    /// Load balancers' addresses that are for these sources only.
    pub(super) restricted: Vec<(SocketAddr, Vec<IpNet>)>,
}

/// A node port.
#[derive(Clone, Debug)]
pub(super) struct NodePort {
    pub(super) port: u16,
    pub(super) server: Arc<VirtualServer>,
    /// Whether the client keeps its address.
    pub(super) is_local: bool,
}

impl Fragment {
    pub(crate) fn lower(
        plan: &ServicePortPlan,
        scheduler: Scheduler,
        origins: PortOrigins<'_>,
    ) -> Self {
        let mut lowering = Lowering {
            plan,
            scheduler,
            origins,
            fragment: Self {
                protocol: plan.id.protocol,
                servers: Vec::new(),
                node_port: None,
                entries: Vec::new(),
                restricted: Vec::new(),
            },
        };
        lowering.hairpins();
        lowering.cluster_ip();
        if let Some(external) = &plan.external {
            lowering.external(external);
        }
        if let Some(port) = plan.health_check_node_port {
            lowering.enter(KubeSet::HealthCheck, SetEntry::Port(port));
        }
        lowering.fragment
    }
}

struct Lowering<'a> {
    plan: &'a ServicePortPlan,
    scheduler: Scheduler,
    origins: PortOrigins<'a>,
    fragment: Fragment,
}

impl Lowering<'_> {
    fn enter(&mut self, set: KubeSet, entry: SetEntry) {
        self.fragment.entries.push((set, entry));
    }

    fn at(&self, address: IpAddr) -> SetEntry {
        SetEntry::AddressPort(address, self.plan.id.protocol, self.plan.port)
    }

    /// Endpoints of the node that may call themselves (PROXY-23).
    fn hairpins(&mut self) {
        let plan = self.plan;
        for endpoint in plan.reachable().filter(|endpoint| endpoint.is_local) {
            let (address, port) = (endpoint.address.ip(), endpoint.address.port());
            let entry = SetEntry::AddressPortAddress(address, plan.id.protocol, port, address);
            self.enter(KubeSet::LoopBack, entry);
        }
    }

    fn cluster_ip(&mut self) {
        let plan = self.plan;
        let address = plan.cluster_ip_socket();
        self.enter(KubeSet::ClusterIp, self.at(address.ip()));
        // What the verdict says for the policy is what the fallback undoes (PROXY-15): the set alone decides.
        let policy = match plan.cluster_ip.verdict {
            crate::FrontendVerdict::Balance(policy) => policy,
            crate::FrontendVerdict::Drop(_) => TrafficPolicy::Local,
            crate::FrontendVerdict::Reject(_) => TrafficPolicy::Cluster,
        };
        let server = self.server(policy, |policy| Decision::Enter {
            frontend: address,
            policy,
        });
        self.fragment.servers.push((address, server));
    }

    fn external(&mut self, external: &ExternalPlan) {
        let is_local = matches!(external.route, ExternalRoute::Local { .. });
        let policy = match is_local {
            true => TrafficPolicy::Local,
            false => TrafficPolicy::Cluster,
        };
        let set = match is_local {
            true => KubeSet::ExternalIpLocal,
            false => KubeSet::ExternalIp,
        };
        for address in &external.external_ips {
            self.enter(set, self.at(*address));
            self.serve(*address, FrontendKind::ExternalIp, policy);
        }
        for address in &external.load_balancer_ips {
            self.enter(KubeSet::LoadBalancer, self.at(*address));
            if is_local {
                self.enter(KubeSet::LoadBalancerLocal, self.at(*address));
            }
            if let Some(sources) = &external.load_balancer_sources {
                self.admit(*address, sources, &external.load_balancer_ips);
            }
            self.serve(*address, FrontendKind::LoadBalancerIp, policy);
        }
        self.fragment.node_port = external.node_port.map(|frontend| NodePort {
            port: frontend.port,
            server: self.server(policy, |_| {
                Decision::EnterExternal(Frontend::NodePort(frontend.port))
            }),
            is_local,
        });
    }

    /// Who may call a load balancer's address (PROXY-30).
    fn admit(&mut self, address: IpAddr, sources: &[IpNet], own: &[IpAddr]) {
        let (protocol, port) = (self.plan.id.protocol, self.plan.port);
        let restricted = (SocketAddr::new(address, port), sources.to_vec());
        self.fragment.restricted.push(restricted);
        self.enter(KubeSet::LoadBalancerFirewall, self.at(address));
        for net in sources {
            let is_own = net.prefix_len() == net.max_prefix_len() && own.contains(&net.addr());
            let (set, entry) = match is_own {
                true => (
                    KubeSet::LoadBalancerSourceIp,
                    SetEntry::AddressPortAddress(address, protocol, port, net.addr()),
                ),
                false => (
                    KubeSet::LoadBalancerSourceCidr,
                    SetEntry::AddressPortNet(address, protocol, port, net.trunc()),
                ),
            };
            self.enter(set, entry);
        }
    }

    fn serve(&mut self, address: IpAddr, kind: FrontendKind, policy: TrafficPolicy) {
        let address = SocketAddr::new(address, self.plan.port);
        let frontend = Frontend::Address { kind, address };
        let server = self.server(policy, |_| Decision::EnterExternal(frontend));
        self.fragment.servers.push((address, server));
    }

    /// A virtual server for a policy. Local falls back to the cluster set (PROXY-15).
    fn server(
        &mut self,
        policy: TrafficPolicy,
        decision: impl FnOnce(TrafficPolicy) -> Decision,
    ) -> Arc<VirtualServer> {
        let plan = self.plan;
        let policy = match policy {
            TrafficPolicy::Local if !plan.local.is_empty() => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        };
        let set = plan.endpoints(policy);
        let decision = match set.is_empty() {
            true => Decision::Refuse(RejectReason::NoEndpoints),
            false => decision(policy),
        };
        let origin = self.origins.id(decision);
        let count = u32::try_from(set.len()).expect("fewer endpoints than 2^32");
        let reals = set.iter().map(|endpoint| {
            let picked = Decision::Pick {
                probability: (1, count),
            };
            let real = RealServer {
                forwarding: Forwarding::Masquerading,
                weight: 1,
                origin: Some(self.origins.of_endpoint(picked, endpoint)),
            };
            (endpoint.address, real)
        });
        Arc::new(VirtualServer {
            scheduler: self.scheduler,
            persistence: plan.affinity_seconds,
            // `FlagSourceHash`, which is `mh-port`.
            scheduler_flags: u8::from(self.scheduler == Scheduler::MaglevHashing) << 1,
            real_servers: reals.collect(),
            origin: Some(origin),
        })
    }
}
