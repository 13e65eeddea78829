//! A node's Pod addresses.
//!
//! **What.** One pool per range: the first usable address is the node's gateway, Pods get those after it.
//! **Why.** The next-fit cursor keeps an address from coming back right after it was released, as the CNI
//! `host-local` plugin does: an old connection must not meet a new Pod.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// The first address that a Pod gets from a range, in a node that has run none yet: the one after the gateway's.
/// `None` when the range has no room for Pods.
#[must_use]
pub fn first_pod_address(net: IpNet) -> Option<IpAddr> {
    let pool = Pool::of(&net)?;
    Some(pool.address(pool.first))
}

/// The addresses of one node's Pods.
#[derive(Clone, Debug)]
pub(crate) struct PodIps {
    pools: Vec<Pool>,
    /// Addresses in use and by how many Pods: a manifest may name one that is taken.
    used: BTreeMap<IpAddr, u32>,
}

#[derive(Clone, Debug)]
struct Pool {
    is_ipv4: bool,
    first: u128,
    last: u128,
    next: u128,
}

impl PodIps {
    /// Pools of the first range of each family.
    pub(crate) fn new(ranges: &[IpNet]) -> Self {
        let mut pools: Vec<Pool> = Vec::new();
        for pool in ranges.iter().filter_map(Pool::of) {
            if pools.iter().all(|other| other.is_ipv4 != pool.is_ipv4) {
                pools.push(pool);
            }
        }
        Self {
            pools,
            used: BTreeMap::new(),
        }
    }

    /// One free address per family; none at all if a family has none left.
    pub(crate) fn allocate(&mut self) -> Option<Vec<IpAddr>> {
        let free = |pool: &Pool| pool.free_after_cursor(&self.used);
        let numbers: Option<Vec<u128>> = self.pools.iter().map(free).collect();
        let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
        let mut addresses = Vec::new();
        for (pool, number) in self.pools.iter_mut().zip(numbers) {
            pool.next = if number == pool.last {
                pool.first
            } else {
                number + 1
            };
            addresses.push(pool.address(number));
        }
        for address in &addresses {
            self.hold(*address);
        }
        Some(addresses)
    }

    /// Marks an address as used, whoever chose it.
    pub(crate) fn hold(&mut self, address: IpAddr) {
        *self.used.entry(address).or_insert(0) += 1;
    }

    /// Gives back one use of an address.
    pub(crate) fn release(&mut self, address: IpAddr) {
        if let Some(uses) = self.used.get_mut(&address) {
            *uses -= 1;
            if *uses == 0 {
                self.used.remove(&address);
            }
        }
    }
}

impl Pool {
    fn of(range: &IpNet) -> Option<Self> {
        let (base, top) = (number(range.network()), number(range.broadcast()));
        let is_ipv4 = matches!(range, IpNet::V4(_));
        let first = base.checked_add(2)?;
        let last = if is_ipv4 { top.checked_sub(1)? } else { top };
        (first <= last).then_some(Self {
            is_ipv4,
            first,
            last,
            next: first,
        })
    }

    fn free_after_cursor(&self, used: &BTreeMap<IpAddr, u32>) -> Option<u128> {
        let candidates = (self.next..=self.last).chain(self.first..self.next);
        candidates
            .into_iter()
            .find(|number| !used.contains_key(&self.address(*number)))
    }

    fn address(&self, number: u128) -> IpAddr {
        if self.is_ipv4 {
            let bits = u32::try_from(number).expect("IPv4 pools hold 32-bit numbers");
            std::net::Ipv4Addr::from_bits(bits).into()
        } else {
            std::net::Ipv6Addr::from_bits(number).into()
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(ranges: &[&str]) -> PodIps {
        PodIps::new(
            &ranges
                .iter()
                .map(|range| range.parse().unwrap())
                .collect::<Vec<_>>(),
        )
    }

    fn next(ips: &mut PodIps) -> String {
        let addresses = ips.allocate().unwrap_or_default();
        addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn pods_start_after_the_gateway_and_go_round() {
        let mut ips = pool(&["10.244.1.0/29"]);
        assert_eq!(next(&mut ips), "10.244.1.2");
        assert_eq!(next(&mut ips), "10.244.1.3");
        ips.release("10.244.1.2".parse().unwrap());
        assert_eq!(next(&mut ips), "10.244.1.4", "a released address rests");
        assert_eq!(next(&mut ips), "10.244.1.5");
        assert_eq!(next(&mut ips), "10.244.1.6");
        assert_eq!(next(&mut ips), "10.244.1.2");
        assert_eq!(next(&mut ips), "", "full");
    }

    #[test]
    fn the_first_address_is_known_beforehand() {
        for (range, first) in [
            ("10.244.1.0/24", Some("10.244.1.2")),
            ("10.244.1.77/24", Some("10.244.1.2")),
            ("10.0.0.0/30", Some("10.0.0.2")),
            ("fd00:1::/64", Some("fd00:1::2")),
            ("10.0.0.0/31", None),
            ("255.255.255.255/32", None),
            ("::/127", None),
        ] {
            let expected: Option<IpAddr> = first.map(|first| first.parse().unwrap());
            assert_eq!(
                first_pod_address(range.parse().unwrap()),
                expected,
                "{range}"
            );
            assert_eq!(next(&mut pool(&[range])), first.unwrap_or_default());
        }
    }

    #[test]
    fn one_address_per_family() {
        let mut ips = pool(&["10.244.1.0/24", "fd00:1::/64", "10.9.0.0/24"]);
        ips.hold("fd00:1::2".parse().unwrap());
        assert_eq!(next(&mut ips), "10.244.1.2,fd00:1::3");
    }

    #[test]
    fn ranges_without_room_give_nothing() {
        for range in ["10.0.0.0/31", "10.0.0.0/32", "::/128", "255.255.255.255/32"] {
            assert_eq!(next(&mut pool(&[range])), "", "{range}");
        }
        assert_eq!(next(&mut pool(&[])), "");
        assert_eq!(next(&mut pool(&["10.0.0.0/30"])), "10.0.0.2");
    }
}
