//! The node as far as a dump's reader knows it.

use std::net::IpAddr;

use ipnet::IpNet;
use netfilter::{Hop, Ingress, InterfaceName, LOOPBACK, Routing};
use ruleset::nft::Ifname;

/// Where everything goes that no [`Link`] is given for.
const UPLINK: &str = "eth0";

/// Which addresses are behind an interface, as `docker0=172.17.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    interface: InterfaceName,
    net: IpNet,
}

impl Link {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, net)| {
            let net = net
                .parse::<IpNet>()
                .or_else(|_| net.parse::<IpAddr>().map(IpNet::from));
            Some(Self {
                interface: InterfaceName::new(name).filter(|_| !name.is_empty())?,
                net: net.ok()?,
            })
        });
        parts.ok_or_else(|| "expected NAME=CIDR, such as docker0=172.17.0.0/16".to_owned())
    }
}

/// Its addresses, its links, and how the packet comes to it.
pub(super) struct Node<'a> {
    pub(super) addresses: &'a [IpAddr],
    pub(super) links: &'a [Link],
    pub(super) source: IpAddr,
    /// By which interface the packet arrives, when that was said.
    pub(super) arrival: Option<InterfaceName>,
}

impl Node<'_> {
    /// The link of the longest prefix.
    fn link(&self, address: IpAddr) -> Option<&Link> {
        let links = self.links.iter().filter(|link| link.net.contains(&address));
        links.max_by_key(|link| link.net.prefix_len())
    }

    fn interface(&self, address: IpAddr) -> InterfaceName {
        let link = self.link(address);
        link.map_or(InterfaceName::literal(UPLINK), |link| link.interface)
    }

    pub(super) fn arrives_by(&self) -> InterfaceName {
        self.arrival.unwrap_or_else(|| self.interface(self.source))
    }

    pub(super) fn ingress<'i>(&self, arrives_by: &'i InterfaceName) -> Ingress<'i> {
        let is_local = self.addresses.contains(&self.source) || self.source.is_loopback();
        if is_local && self.arrival.is_none() {
            Ingress::Local
        } else {
            Ingress::Interface(arrives_by.as_str())
        }
    }

    /// The node's address on the way to another: one behind the same interface, else the first of the family.
    fn source_address(&self, destination: IpAddr) -> Option<IpAddr> {
        let interface = self.interface(destination);
        let all = self.addresses.iter().copied();
        let mut of_family = all.filter(|address| address.is_ipv4() == destination.is_ipv4());
        let first = of_family.clone().next();
        let near = of_family.find(|address| self.interface(*address) == interface);
        near.or(first)
    }
}

impl Routing for Node<'_> {
    fn is_local(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    fn route(&self, destination: IpAddr) -> Option<Hop> {
        Some(Hop {
            interface: self.interface(destination),
            source_address: self.source_address(destination).unwrap_or(destination),
        })
    }

    fn assumes_arrival(&self) -> bool {
        self.arrival.is_none() && self.link(self.source).is_none()
    }

    fn assumes_way(&self, destination: IpAddr) -> bool {
        self.link(destination).is_none()
    }

    fn places(&self, interface: &Ifname) -> bool {
        let mut known = self.links.iter().map(|link| link.interface.as_str());
        let is_own = [LOOPBACK, UPLINK].contains(&interface.as_str());
        is_own || known.any(|known| interface.matches(known))
    }
}
