//! At which of a node's addresses node ports answer (PROXY-26, PROXY-27).
//!
//! Source of the semantics: kube-proxy 1.36 `pkg/proxy/util/nodeport_addresses.go`.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use ruleset::Family;

use crate::{NodeFacts, NodePortAddresses};

/// Where node ports answer, in one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePortPlan {
    /// At which addresses.
    pub destinations: NodePortDestinations,
    /// Whether 127.0.0.1 counts among them, in the dialects that can do that (PROXY-27). Never for IPv6.
    pub localhost: bool,
}

/// Addresses that take node ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortDestinations {
    /// Whatever is the node's own, loopback apart.
    AnyLocal,
    /// Exactly these, loopback apart, each once and in the node's order.
    Addresses(Vec<IpAddr>),
}

impl NodeFacts {
    /// Whether node ports answer at one of the node's own addresses, loopback apart.
    #[must_use]
    pub fn takes_node_ports_at(&self, address: IpAddr) -> bool {
        match NodePortPlan::of(self, Family::of(address)).destinations {
            NodePortDestinations::AnyLocal => true,
            NodePortDestinations::Addresses(taking) => taking.contains(&address),
        }
    }
}

impl NodePortPlan {
    /// Decides for a node. Ranges of the other family do not count, and a family that is left without a range
    /// takes node ports at every address, as in kube-proxy (`NewNodePortAddresses`); the primary address counts as a
    /// range.
    pub(super) fn of(facts: &NodeFacts, family: Family) -> Self {
        let own = |accepts: &dyn Fn(IpAddr) -> bool| {
            let mut chosen = Vec::new();
            for address in &facts.addresses {
                let fits = Family::of(*address) == family && !address.is_loopback();
                if fits && accepts(*address) && !chosen.contains(address) {
                    chosen.push(*address);
                }
            }
            NodePortDestinations::Addresses(chosen)
        };
        let ranges: Vec<IpNet> = match &facts.node_port_addresses {
            NodePortAddresses::All => Vec::new(),
            NodePortAddresses::Primary => {
                let primary = facts.primary_address(family);
                let primary = primary.filter(|address| !address.is_loopback());
                primary.map(IpNet::from).into_iter().collect()
            }
            NodePortAddresses::Within(ranges) => {
                let ranges = ranges.iter().copied();
                ranges
                    .filter(|net| Family::of(net.addr()) == family)
                    .collect()
            }
        };
        let contains = |address: IpAddr| ranges.iter().any(|net| net.contains(&address));
        let any_local = ranges.is_empty() || ranges.iter().any(|net| net.prefix_len() == 0);
        Self {
            destinations: match any_local {
                true => NodePortDestinations::AnyLocal,
                false => own(&contains),
            },
            localhost: family == Family::V4
                && facts.localhost_node_ports
                && (any_local || contains(Ipv4Addr::LOCALHOST.into())),
        }
    }
}
