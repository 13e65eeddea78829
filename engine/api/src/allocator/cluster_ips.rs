//! Virtual IPs out of the Service ranges.
//!
//! **What.** [`ClusterIps`] knows which addresses are taken, gives out free ones, and takes them back.
//! **Why.** Addresses are numbers inside, so that both families are chosen from alike.
//! **Source of the semantics.** ALLOC-3, ALLOC-8 … ALLOC-13, ALLOC-17 … ALLOC-22; S:
//! `pkg/registry/core/service/ipallocator/{ipallocator,cidrallocator}.go`.
//!
//! Deviation: several ranges of one family are tried in the order of configuration; Kubernetes' order is not
//! defined (ALLOC-17). An IPv6 range may be shorter than /64 (ALLOC-4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base::Rng;
use imbl::OrdSet;
use ipnet::IpNet;

use super::range::{Range, band};
use crate::family::IpFamily;

/// The largest count of addresses that a range is taken to have (ALLOC-4).
const SIZE_MAX: u128 = i64::MAX as u128;

/// Why an address was not given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError {
    /// ALLOC-22
    #[error("range is full")]
    Full,
    /// ALLOC-20
    #[error("provided IP is already allocated")]
    AlreadyAllocated,
    /// ALLOC-21
    #[error("the provided network does not match the current range")]
    OutOfRange,
}

/// Which addresses of the Service ranges are taken.
#[derive(Clone, Debug)]
pub struct ClusterIps {
    ranges: Vec<(IpFamily, Range)>,
    taken_v4: OrdSet<u128>,
    taken_v6: OrdSet<u128>,
}

impl ClusterIps {
    /// All addresses of `ranges` are free; a range without a usable address is as good as none.
    #[must_use]
    pub fn new(ranges: &[IpNet]) -> Self {
        Self {
            ranges: ranges.iter().filter_map(usable).collect(),
            taken_v4: OrdSet::new(),
            taken_v6: OrdSet::new(),
        }
    }

    /// The families that have a range, the default one first.
    #[must_use]
    pub fn families(&self) -> Vec<IpFamily> {
        let mut families = Vec::new();
        for (family, _) in &self.ranges {
            if !families.contains(family) {
                families.push(*family);
            }
        }
        families
    }

    /// The first usable address of the first range: the `kubernetes` Service's (ALLOC-5).
    #[must_use]
    pub fn first_usable(&self) -> Option<IpAddr> {
        self.ranges
            .first()
            .map(|(family, range)| address(*family, range.first))
    }

    /// Takes a free address: from the dynamic band while it has one, then from the static band (ALLOC-12,
    /// ALLOC-13).
    ///
    /// # Errors
    /// [`AllocateError::Full`].
    pub fn allocate(&mut self, family: IpFamily, rng: &mut Rng) -> Result<IpAddr, AllocateError> {
        let taken = self.taken(family);
        let ranges = self.ranges.iter().filter(|(of, _)| *of == family);
        let free = ranges
            .into_iter()
            .find_map(|(_, range)| range.pick(taken, rng));
        let number = free.ok_or(AllocateError::Full)?;
        self.taken_mut(family).insert(number);
        Ok(address(family, number))
    }

    /// Takes the address that the user asks for, from either band.
    ///
    /// # Errors
    /// [`AllocateError::AlreadyAllocated`], [`AllocateError::OutOfRange`].
    pub fn reserve(&mut self, wanted: IpAddr) -> Result<(), AllocateError> {
        let (family, number) = number(wanted);
        let holds = |(of, range): &(IpFamily, Range)| *of == family && range.contains(number);
        if !self.ranges.iter().any(holds) {
            return Err(AllocateError::OutOfRange);
        }
        match self.taken_mut(family).insert(number) {
            None => Ok(()),
            Some(_) => Err(AllocateError::AlreadyAllocated),
        }
    }

    /// Gives an address back; one that is free or out of range is left alone (ALLOC-27).
    pub fn release(&mut self, address: IpAddr) {
        let (family, number) = number(address);
        self.taken_mut(family).remove(&number);
    }

    fn taken(&self, family: IpFamily) -> &OrdSet<u128> {
        match family {
            IpFamily::V4 => &self.taken_v4,
            IpFamily::V6 => &self.taken_v6,
        }
    }

    fn taken_mut(&mut self, family: IpFamily) -> &mut OrdSet<u128> {
        match family {
            IpFamily::V4 => &mut self.taken_v4,
            IpFamily::V6 => &mut self.taken_v6,
        }
    }
}

/// The addresses of a range that can be given out: neither the network address nor IPv4's broadcast address
/// (ALLOC-3).
fn usable(net: &IpNet) -> Option<(IpFamily, Range)> {
    let (family, base) = number(net.network());
    let host_bits = u32::from(net.max_prefix_len() - net.prefix_len());
    let size = 1_u128
        .checked_shl(host_bits)
        .unwrap_or(u128::MAX)
        .min(SIZE_MAX);
    let reserved = if family == IpFamily::V4 { 2 } else { 1 };
    let usable = size.checked_sub(reserved).filter(|usable| *usable > 0)?;
    let range = Range {
        first: base + 1,
        last: base + usable,
        band: band(size, 16, 256),
    };
    Some((family, range))
}

fn number(address: IpAddr) -> (IpFamily, u128) {
    match address {
        IpAddr::V4(v4) => (IpFamily::V4, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (IpFamily::V6, v6.to_bits()),
    }
}

fn address(family: IpFamily, number: u128) -> IpAddr {
    match family {
        IpFamily::V4 => {
            let bits = u32::try_from(number).expect("IPv4 ranges hold 32-bit numbers");
            Ipv4Addr::from_bits(bits).into()
        }
        IpFamily::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base::Seed;
    use proptest::prelude::{
        Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };

    use super::*;

    fn pool(ranges: &[&str]) -> (ClusterIps, Rng) {
        let ranges: Vec<IpNet> = ranges.iter().map(|range| range.parse().unwrap()).collect();
        (ClusterIps::new(&ranges), Seed::new(7).split("cluster-ips"))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// ALLOC-10 and ALLOC-11: the range's first and last usable address and its band.
    fn check_range(net: &str, first: &str, last: &str, band: u128) {
        let (family, range) = usable(&net.parse().unwrap()).unwrap();
        let ends = (address(family, range.first), address(family, range.last));
        assert_eq!((ends, range.band), ((ip(first), ip(last)), band), "{net}");
    }

    #[test]
    fn alloc_10_worked_numbers() {
        check_range("10.96.0.0/28", "10.96.0.1", "10.96.0.14", 0);
        check_range("10.96.0.0/27", "10.96.0.1", "10.96.0.30", 16);
        check_range("10.96.0.0/26", "10.96.0.1", "10.96.0.62", 16);
        check_range("10.96.0.0/24", "10.96.0.1", "10.96.0.254", 16);
        check_range("10.96.0.0/22", "10.96.0.1", "10.96.3.254", 64);
        check_range("10.96.0.0/20", "10.96.0.1", "10.96.15.254", 256);
        check_range("10.96.0.0/16", "10.96.0.1", "10.96.255.254", 256);
        check_range("10.96.0.0/12", "10.96.0.1", "10.111.255.254", 256);
        check_range("fd00::/112", "fd00::1", "fd00::ffff", 256);
        check_range("fd00::/108", "fd00::1", "fd00::f:ffff", 256);
        check_range("fd00::/64", "fd00::1", "fd00::7fff:ffff:ffff:fffe", 256);
        assert_eq!(usable(&"10.0.0.0/31".parse().unwrap()), None);
        assert_eq!(usable(&"10.0.0.1/32".parse().unwrap()), None);
        assert_eq!(usable(&"fd00::1/128".parse().unwrap()), None);
        assert!(usable(&"0.0.0.0/0".parse().unwrap()).is_some());
        assert!(usable(&"::/0".parse().unwrap()).is_some());
    }

    #[test]
    fn alloc_60_a_freed_address_of_a_full_range_comes_back() {
        let (mut ips, mut rng) = pool(&["10.60.0.0/28"]);
        let given: BTreeSet<IpAddr> = (0..14)
            .map(|_| ips.allocate(IpFamily::V4, &mut rng).unwrap())
            .collect();
        assert_eq!(given.len(), 14);
        assert_eq!(
            ips.allocate(IpFamily::V4, &mut rng),
            Err(AllocateError::Full)
        );
        ips.release(ip("10.60.0.7"));
        assert_eq!(ips.allocate(IpFamily::V4, &mut rng), Ok(ip("10.60.0.7")));
    }

    #[test]
    fn alloc_61_the_static_band_comes_last() {
        let (mut ips, mut rng) = pool(&["10.50.0.0/24"]);
        let given: Vec<IpAddr> = (0..254)
            .map(|_| ips.allocate(IpFamily::V4, &mut rng).unwrap())
            .collect();
        let in_static = |address: &IpAddr| *address <= ip("10.50.0.16");
        assert_eq!(given.iter().position(in_static), Some(238));
        assert!(given[238..].iter().all(in_static));
    }

    #[test]
    fn alloc_62_network_and_broadcast_address_are_out_of_range() {
        let (mut ips, _) = pool(&["10.50.0.0/24"]);
        assert_eq!(ips.reserve(ip("10.50.0.0")), Err(AllocateError::OutOfRange));
        assert_eq!(
            ips.reserve(ip("10.50.0.255")),
            Err(AllocateError::OutOfRange)
        );
        assert_eq!(ips.reserve(ip("fd00::1")), Err(AllocateError::OutOfRange));
        assert_eq!(ips.reserve(ip("10.50.0.1")), Ok(()));
        assert_eq!(
            ips.reserve(ip("10.50.0.1")),
            Err(AllocateError::AlreadyAllocated)
        );
    }

    #[test]
    fn both_families_have_pools_of_their_own() {
        let (mut ips, mut rng) = pool(&["10.96.0.0/16", "fd00:10:96::/112"]);
        assert_eq!(ips.families(), [IpFamily::V4, IpFamily::V6]);
        assert!(ips.allocate(IpFamily::V4, &mut rng).unwrap().is_ipv4());
        assert!(ips.allocate(IpFamily::V6, &mut rng).unwrap().is_ipv6());
    }

    #[test]
    fn a_second_range_of_a_family_is_used_when_the_first_is_full() {
        let (mut ips, mut rng) = pool(&["10.0.0.0/30", "10.1.0.0/30"]);
        let given: BTreeSet<IpAddr> = (0..4)
            .map(|_| ips.allocate(IpFamily::V4, &mut rng).unwrap())
            .collect();
        assert_eq!(given.len(), 4);
        assert!(ips.allocate(IpFamily::V4, &mut rng).is_err());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Allocate,
        Reserve(u8),
        Release(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Allocate),
            1 => (0..40_u8).prop_map(Step::Reserve),
            2 => (0..40_u8).prop_map(Step::Release),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_given_out_twice(seed: u64, steps in prop::collection::vec(step(), 0..200)) {
            let mut ips = ClusterIps::new(&["10.0.0.0/27".parse().unwrap()]);
            let mut rng = Seed::new(seed).split("cluster-ips");
            let mut model = BTreeSet::new();
            let at = |host: u8| IpAddr::from([10, 0, 0, host]);
            for step in steps {
                match step {
                    Step::Allocate => match ips.allocate(IpFamily::V4, &mut rng) {
                        Ok(address) => prop_assert!(model.insert(address), "{address} twice"),
                        Err(error) => {
                            prop_assert_eq!(error, AllocateError::Full);
                            prop_assert_eq!(model.len(), 30);
                        }
                    },
                    Step::Reserve(host) => {
                        let expected = if !(1..=30).contains(&host) {
                            Err(AllocateError::OutOfRange)
                        } else if model.insert(at(host)) {
                            Ok(())
                        } else {
                            Err(AllocateError::AlreadyAllocated)
                        };
                        prop_assert_eq!(ips.reserve(at(host)), expected);
                    }
                    Step::Release(host) => {
                        ips.release(at(host));
                        model.remove(&at(host));
                    }
                }
            }
        }
    }
}
