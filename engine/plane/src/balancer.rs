//! The load balancer in front of the nodes.
//!
//! It sends every packet to an address of its own to one of the nodes that take it, as it came: the address is translated
//! by the node's rules (`ipMode: VIP`, PROXY-29). All packets of a flow go to the same node as long as the nodes stay
//! the same.
//!
//! Deviation: it is no host of the network, and takes no time: a packet reaches the node as if it had been sent there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::NodeId;
use crate::segment::Datagram;

/// Which nodes take packets to which address.
#[derive(Debug, Default)]
pub(crate) struct Balancer {
    /// An address stays once it was there: it is the load balancer's, be there a node for it or not.
    nodes: BTreeMap<IpAddr, BTreeSet<NodeId>>,
}

impl Balancer {
    pub(crate) fn set(&mut self, address: IpAddr, node: NodeId, takes: bool) {
        let nodes = self.nodes.entry(address).or_default();
        if takes {
            nodes.insert(node);
        } else {
            nodes.remove(&node);
        }
    }

    /// The node for a packet; `Some(None)` when none takes it, and `None` when the address is not the load balancer's.
    pub(crate) fn choose(&self, packet: &[u8], destination: IpAddr) -> Option<Option<NodeId>> {
        let nodes = self.nodes.get(&destination)?;
        let count = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
        let Some(chosen) = flow(packet).checked_rem(count) else {
            return Some(None);
        };
        let chosen = usize::try_from(chosen).expect("less than the number of nodes");
        Some(nodes.iter().nth(chosen).copied())
    }
}

/// A number that the packets of a flow have in common (FNV-1a over protocol, addresses and ports, and mixed).
fn flow(packet: &[u8]) -> u64 {
    let Some(ends) = Datagram::parse(packet) else {
        return 0;
    };
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut bytes = octets(ends.source);
    bytes.extend(octets(ends.destination));
    bytes.push(ends.protocol.0);
    // Both ports, in each protocol that has any.
    bytes.extend(ends.payload.iter().take(4));
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp_syn;

    #[test]
    fn flows_are_spread_over_the_nodes_that_take_them() {
        let address: IpAddr = "203.0.113.1".parse().unwrap();
        let mut balancer = Balancer::default();
        let choose = |balancer: &Balancer, port: u16| {
            let source = format!("192.0.2.7:{port}").parse().unwrap();
            let packet = tcp_syn(source, (address, 80).into()).unwrap();
            balancer.choose(&packet, address)
        };
        assert_eq!(choose(&balancer, 1), None, "not the load balancer's");
        let nodes = [NodeId(0), NodeId(1), NodeId(2)];
        for node in nodes {
            balancer.set(address, node, true);
        }
        let ports = 40_000..40_300;
        let chosen = |node: NodeId| {
            let mut all = ports.clone().map(|port| choose(&balancer, port));
            all.by_ref().filter(|one| *one == Some(Some(node))).count()
        };
        let counts = nodes.map(chosen);
        assert_eq!(counts.iter().sum::<usize>(), 300);
        assert!(
            counts.iter().all(|count| (70..=130).contains(count)),
            "{counts:?}"
        );
        assert_eq!(choose(&balancer, 7), choose(&balancer, 7));
        for node in nodes {
            balancer.set(address, node, false);
        }
        assert_eq!(choose(&balancer, 1), Some(None), "nobody takes it");
    }
}
