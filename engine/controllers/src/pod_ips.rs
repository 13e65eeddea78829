//! A node's Pod addresses.
//!
//! **What.** One pool per range: the first usable address is the node's gateway, Pods get those after it.
//! **Why.** The next-fit cursor keeps an address from coming back right after it was released, as the CNI
//! `host-local` plugin does: an old connection must not meet a new Pod.

use std::collections::BTreeMap;
use std::fmt;
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

/// Why there is no address for a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The node has no range of addresses for Pods.
    NoRange,
    /// All of a range are in use.
    Full {
        /// Which of the node's.
        range: usize,
        /// Its first address and its last.
        ends: [IpAddr; 2],
    },
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
    pub(crate) fn allocate(&mut self) -> Result<Vec<IpAddr>, Shortage> {
        if self.pools.is_empty() {
            return Err(Shortage::NoRange);
        }
        let free = |(range, pool): (usize, &Pool)| {
            let ends = [pool.first - 1, pool.last].map(|number| pool.address(number));
            let free = pool.free_after_cursor(&self.used);
            free.ok_or(Shortage::Full { range, ends })
        };
        let numbers: Result<Vec<u128>, Shortage> =
            self.pools.iter().enumerate().map(free).collect();
        let numbers = numbers?;
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
        Ok(addresses)
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

/// As `host-local` puts it: `failed to allocate for range 0: no IP addresses available in range set:
/// 10.244.1.1-10.244.1.254`, the gateway's address included.
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRange => f.write_str("no IP ranges specified"),
            Self::Full { range, ends } => write!(
                f,
                "failed to allocate for range {range}: no IP addresses available in range set: {}-{}",
                ends[0], ends[1]
            ),
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
