//! Who claims which addresses in `spec.cluster`, and whether two do.
//!
//! **What.** Every range and address of the cluster is a [`Claim`] with its place in the file; [`Claims::check`]
//! complains of each that another one contradicts. **Why.** A packet to an address that two have goes to one of
//! them by accident, and nothing in a run would say so. **Source of the semantics.** kube-apiserver and
//! kube-controller-manager take it for granted that the ranges of Services, Pods and nodes lie apart; which
//! addresses a node cannot have: S: `pkg/kubelet/kubelet_node_status.go`, `validateNodeIP`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::cursor::{Cursor, Read, all};

/// Addresses that no node, no other host and no range of either can have, and what they are.
const SPECIAL: [(&str, &str); 10] = [
    ("0.0.0.0/32", "the unspecified address"),
    ("127.0.0.0/8", "a loopback address"),
    ("169.254.0.0/16", "a link-local address"),
    ("224.0.0.0/4", "a multicast address"),
    ("255.255.255.255/32", "the broadcast address"),
    ("::/128", "the unspecified address"),
    ("::1/128", "a loopback address"),
    ("::ffff:0:0/96", "an IPv4 address in IPv6 clothes"),
    ("fe80::/10", "a link-local address"),
    ("ff00::/8", "a multicast address"),
];

/// What an address or range is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `serviceCIDRs`
    Services,
    /// `podCIDRs`
    Pods,
    /// `loadBalancer.pool`
    Balancer,
    /// A node's `podCIDRs`.
    PodsOf(String),
    /// A node's address.
    Node(String),
    /// The address of a host outside.
    Outside(String),
}

/// One range or address.
struct Claim<'a> {
    purpose: Purpose,
    net: IpNet,
    /// `None` for a default.
    at: Option<Cursor<'a>>,
}

/// Every range and address that a cluster states.
#[derive(Default)]
pub(super) struct Claims<'a>(Vec<Claim<'a>>);

/// Claims that lie apart from each other.
#[derive(Default)]
pub(super) struct Taken {
    /// `serviceCIDRs`, `podCIDRs` and the load balancer's pool: nodes' ranges may lie in the second.
    wide: Vec<(IpNet, Purpose)>,
    nodes: Apart,
    addresses: BTreeMap<IpAddr, Purpose>,
}

/// Ranges that lie apart from each other, and what they are for.
#[derive(Default)]
struct Apart(BTreeMap<IpNet, Purpose>);

impl<'a> Claims<'a> {
    /// Notes a range that stands in the file, or the default if `at` is `None`.
    pub(super) fn range(&mut self, purpose: Purpose, net: IpNet, at: Option<Cursor<'a>>) {
        self.0.push(Claim { purpose, net, at });
    }

    /// Notes an address that stands in the file.
    pub(super) fn address(&mut self, purpose: Purpose, address: IpAddr, at: Cursor<'a>) {
        let (net, at) = (IpNet::from(address), Some(at));
        self.0.push(Claim { purpose, net, at });
    }

    /// Complains of every claim that contradicts itself or another one. Of two, the more particular one is to
    /// blame, but never a default.
    pub(super) fn check(mut self) -> Read<Taken> {
        self.0
            .sort_by_key(|claim| (claim.at.is_some(), rank(&claim.purpose)));
        let mut taken = Taken::default();
        all(self.0.iter().map(|claim| taken.take(claim)))?;
        Ok(taken)
    }
}

impl Taken {
    /// Takes one more range for a node's Pods, unless it has an address in common with another node's.
    pub(super) fn take_pod_range(&mut self, net: IpNet, node: &str) -> bool {
        let is_free = self.nodes.overlapping(net).is_none();
        if is_free {
            self.nodes.0.insert(net, Purpose::PodsOf(node.to_owned()));
        }
        is_free
    }

    /// Takes the first address from `next` on that nobody claims; `next` is then the one after it.
    pub(super) fn take_address(&mut self, next: &mut Option<IpAddr>, node: &str) -> Option<IpAddr> {
        loop {
            let address = (*next)?;
            let net = IpNet::from(address);
            let wide = self.wide.iter().map(|(net, _)| *net);
            let covering = wide
                .chain(self.nodes.overlapping(net).map(|(net, _)| net))
                .chain(special(net).map(|(net, _)| net))
                .find(|wide| wide.contains(&net));
            *next = after(covering.map_or(address, |net| net.broadcast()));
            if covering.is_none() && !self.addresses.contains_key(&address) {
                let purpose = Purpose::Node(node.to_owned());
                self.addresses.insert(address, purpose);
                return Some(address);
            }
        }
    }

    fn take(&mut self, claim: &Claim<'_>) -> Read<()> {
        let Claim { purpose, net, at } = claim;
        let complain = |message: String| match at {
            Some(at) => Err(at.refuse(message)),
            None => unreachable!("defaults are checked first and do not contradict each other"),
        };
        if let Some((range, what)) = special(*net) {
            return complain(match is_address(*net) {
                true => format!("{} is {what}: nobody else could reach it", net.addr()),
                false => format!("{net} has addresses of {range}: each is {what}"),
            });
        }
        let is_part = |wide: &Purpose| {
            *wide == Purpose::Pods && matches!(purpose, Purpose::Pods | Purpose::PodsOf(_))
        };
        let mut wide = self.wide.iter();
        let wide = wide.find(|(other, whose)| common(*other, *net) && !is_part(whose));
        let other = wide
            .map(|(net, purpose)| (*net, purpose))
            .or_else(|| self.nodes.overlapping(*net))
            .or_else(|| {
                let same = self.addresses.get(&net.addr()).filter(|_| is_address(*net));
                same.map(|purpose| (*net, purpose))
            });
        if let Some((other, whose)) = other {
            return complain(match (is_address(*net), is_address(other)) {
                (true, true) => format!("{} is used twice: it is {whose}", net.addr()),
                (true, false) => format!("{} lies in {other}, {whose}", net.addr()),
                _ => format!("{net} overlaps {other}, {whose}"),
            });
        }
        let purpose = purpose.clone();
        match purpose {
            Purpose::Services | Purpose::Pods | Purpose::Balancer => {
                self.wide.push((*net, purpose));
            }
            Purpose::PodsOf(_) => {
                self.nodes.0.insert(*net, purpose);
            }
            Purpose::Node(_) | Purpose::Outside(_) => {
                self.addresses.insert(net.addr(), purpose);
            }
        }
        Ok(())
    }
}

impl Apart {
    /// A range that has addresses in common with `net`.
    fn overlapping(&self, net: IpNet) -> Option<(IpNet, &Purpose)> {
        // Ranges without host bits nest or lie apart: only the neighbours by address can overlap.
        let before = self.0.range(..=net).next_back();
        let after = self.0.range(net..).next();
        let mut neighbours = before.into_iter().chain(after);
        neighbours
            .find(|(other, _)| common(**other, net))
            .map(|(other, purpose)| (*other, purpose))
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Services => f.write_str("one of serviceCIDRs"),
            Self::Pods => f.write_str("one of podCIDRs"),
            Self::Balancer => f.write_str("one of loadBalancer.pool"),
            Self::PodsOf(node) => write!(f, "a Pod range of node {node}"),
            Self::Node(node) => write!(f, "an address of node {node}"),
            Self::Outside(host) => write!(f, "the address of outside host {host}"),
        }
    }
}

fn rank(purpose: &Purpose) -> u8 {
    match purpose {
        Purpose::Services => 0,
        Purpose::Pods => 1,
        Purpose::Balancer => 2,
        Purpose::PodsOf(_) => 3,
        Purpose::Node(_) => 4,
        Purpose::Outside(_) => 5,
    }
}

fn is_address(net: IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// Whether two ranges have an address in common.
fn common(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

fn special(net: IpNet) -> Option<(IpNet, &'static str)> {
    let mut ranges = SPECIAL.iter().map(|(range, what)| {
        let range: IpNet = range.parse().expect("written above as a range");
        (range, *what)
    });
    ranges.find(|(range, _)| common(*range, net))
}

fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let next = address.to_bits().checked_add(1)?;
            Some(Ipv4Addr::from_bits(next).into())
        }
        IpAddr::V6(address) => {
            let next = address.to_bits().checked_add(1)?;
            Some(Ipv6Addr::from_bits(next).into())
        }
    }
}
