//! What a generated Service is beyond its ClusterIP: type, node ports, external and load-balancer addresses,
//! external policy, source ranges, session affinity.

use std::net::IpAddr;

use api::{
    ClientIpConfig, IpFamily, LoadBalancerIngress, LoadBalancerStatus, Service,
    SessionAffinityConfig,
};
use proptest::prelude::*;
use proptest::sample::select;

/// How far a Service is open to the world.
#[derive(Clone, Debug)]
pub(crate) struct Exposure {
    service_type: &'static str,
    external_policy: &'static str,
    /// Whether it has external IPs of its families.
    external_ips: bool,
    ingress: Ingress,
    source_ranges: &'static [&'static str],
    /// Whether a load balancer has node ports.
    node_ports: bool,
    affinity_seconds: Option<i32>,
}

/// What a load balancer has come to.
#[derive(Clone, Copy, Debug)]
enum Ingress {
    Pending,
    Vip,
    Proxy,
    Hostname,
}

/// Source ranges: closed to everybody who is tried here, open to one of outside and Pods each, to the nodes, and to
/// all.
const RANGES: [&[&str]; 6] = [
    &[],
    &["198.51.100.0/24", "2001:db8:ffff::/48"],
    &["203.0.113.64/28", "2001:db8::/64"],
    &["10.244.0.0/16", "fd00:10:244::/48"],
    &["192.168.10.0/24", "fd00:192:168::/64"],
    &["198.51.100.0/24", "0.0.0.0/0", "::/0"],
];

/// Any exposure; a third of the Services have a ClusterIP only.
pub(crate) fn exposure() -> impl Strategy<Value = Exposure> {
    let ingress = select(vec![
        Ingress::Pending,
        Ingress::Vip,
        Ingress::Vip,
        Ingress::Proxy,
        Ingress::Hostname,
    ]);
    let affinity = prop_oneof![3 => Just(None), 1 => select(vec![Some(10_800), Some(60)])];
    (
        select(vec!["ClusterIP", "NodePort", "LoadBalancer"]),
        select(vec!["Cluster", "Local"]),
        proptest::bool::weighted(0.3),
        ingress,
        select(RANGES.to_vec()),
        proptest::bool::weighted(0.8),
        affinity,
    )
        .prop_map(
            |(
                service_type,
                external_policy,
                external_ips,
                ingress,
                source_ranges,
                node_ports,
                affinity_seconds,
            )| Exposure {
                service_type,
                external_policy,
                external_ips,
                ingress,
                source_ranges,
                node_ports,
                affinity_seconds,
            },
        )
}

impl Exposure {
    /// Writes it into the Service of this index, as an API server would have completed it.
    pub(crate) fn apply(&self, service: &mut Service, index: usize) {
        let is_balancer = self.service_type == "LoadBalancer";
        let has_node_ports = self.service_type == "NodePort" || (is_balancer && self.node_ports);
        let families: Vec<IpFamily> = service.addresses().map(IpFamily::of).collect();
        let spec = &mut service.spec;
        self.service_type.clone_into(&mut spec.service_type);
        if has_node_ports {
            for (nth, port) in (0_i32..).zip(&mut spec.ports) {
                port.node_port = 30_000 + 10 * number(index) + nth;
            }
        }
        if self.external_ips {
            let of = |family: &IpFamily| address(*family, 10 + index).to_string();
            spec.external_ips = families.iter().map(of).collect();
        }
        if self.service_type != "ClusterIP" || self.external_ips {
            self.external_policy
                .clone_into(&mut spec.external_traffic_policy);
        }
        if let Some(seconds) = self.affinity_seconds {
            "ClientIP".clone_into(&mut spec.session_affinity);
            spec.session_affinity_config = Some(SessionAffinityConfig {
                client_ip: Some(ClientIpConfig {
                    timeout_seconds: Some(seconds),
                }),
            });
        }
        if is_balancer {
            spec.allocate_load_balancer_node_ports = Some(self.node_ports);
            let ranges = self.source_ranges.iter().copied();
            spec.load_balancer_source_ranges = ranges.map(str::to_owned).collect();
            if self.external_policy == "Local" {
                spec.health_check_node_port = 31_000 + number(index);
            }
            let ingress = families.iter().filter_map(|family| {
                let address = address(*family, 30 + index);
                self.ingress.at(address)
            });
            service.status.load_balancer = LoadBalancerStatus {
                ingress: ingress.collect(),
            };
        }
    }
}

impl Ingress {
    fn at(self, address: IpAddr) -> Option<LoadBalancerIngress> {
        let mode = match self {
            Self::Pending => return None,
            Self::Hostname => {
                return Some(LoadBalancerIngress {
                    hostname: "lb.example.com".to_owned(),
                    ..LoadBalancerIngress::default()
                });
            }
            Self::Vip => "VIP",
            Self::Proxy => "Proxy",
        };
        Some(LoadBalancerIngress {
            ip: address.to_string(),
            ip_mode: Some(mode.to_owned()),
            ..LoadBalancerIngress::default()
        })
    }
}

fn number(index: usize) -> i32 {
    i32::try_from(index).expect("a cluster has few Services")
}

/// An address outside of the cluster (RFC 5737, RFC 3849).
fn address(family: IpFamily, host: usize) -> IpAddr {
    let text = match family {
        IpFamily::V4 => format!("203.0.113.{host}"),
        IpFamily::V6 => format!("2001:db8::{host}"),
    };
    text.parse().expect("hosts are below 256")
}
