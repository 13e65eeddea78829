//! Virtual IPs out of the Service ranges.
//!
//! **What.** [`ClusterIps`] is the index of the ServiceCIDR and IPAddress objects: which ranges there are, and which
//! addresses are taken. It gives out free addresses.
//! **Why.** The objects are the truth (ALLOC-36): whoever stores one tells the index, be it the server for a
//! Service, a user, or a repair. Addresses are numbers inside, so that both families are chosen from alike.
//! **Source of the semantics.** ALLOC-3, ALLOC-4, ALLOC-8 … ALLOC-13, ALLOC-17 … ALLOC-22, ALLOC-37, ALLOC-42 …
//! ALLOC-44; S: `pkg/registry/core/service/ipallocator/{ipallocator,cidrallocator}.go`.
//!
//! Deviation: the ranges of one family are tried in the order in which they came; Kubernetes' order is not defined
//! (ALLOC-17). Requests do not race for an address (ALLOC-18), and nothing is counted as a metric (ALLOC-29).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use base::Rng;
use ipnet::IpNet;

use super::range::{Range, band};
use super::runs::Runs;
use crate::family::IpFamily;

/// The largest count of addresses that a range is taken to have (ALLOC-4).
const SIZE_MAX: u128 = i64::MAX as u128;
/// The shortest prefix of an IPv6 range that addresses are given out of (ALLOC-4).
const PREFIX_MIN_V6: u8 = 64;

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

/// Which addresses there are, and which of them are taken.
#[derive(Clone, Debug)]
pub struct ClusterIps {
    families: Arc<[IpFamily]>,
    offers: Arc<Vec<Offer>>,
    taken_v4: Runs,
    taken_v6: Runs,
}

/// What a ServiceCIDR offers.
#[derive(Clone, Debug)]
struct Offer {
    /// Of the ServiceCIDR.
    name: String,
    /// Without, addresses are taken back but not given out (ALLOC-42).
    ready: bool,
    ranges: Vec<(IpFamily, Range)>,
}

impl ClusterIps {
    /// An index that knows no object yet. `families` are those of the cluster's settings, the default one first:
    /// they do not follow the objects.
    #[must_use]
    pub fn new(families: &[IpFamily]) -> Self {
        Self {
            families: families.into(),
            offers: Arc::default(),
            taken_v4: Runs::default(),
            taken_v6: Runs::default(),
        }
    }

    /// The families that the cluster is configured for, the default one first.
    #[must_use]
    pub fn families(&self) -> &[IpFamily] {
        &self.families
    }

    /// Takes note of a ServiceCIDR, which may have been known in another state. A range without a usable address
    /// offers nothing.
    pub fn offer(&mut self, name: &str, ranges: impl Iterator<Item = IpNet>, ready: bool) {
        let offer = Offer {
            name: name.to_owned(),
            ready,
            ranges: ranges.filter_map(|net| usable(&net)).collect(),
        };
        let offers = Arc::make_mut(&mut self.offers);
        match offers.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = offer,
            None => offers.push(offer),
        }
    }

    /// Forgets a ServiceCIDR.
    pub fn withdraw(&mut self, name: &str) {
        Arc::make_mut(&mut self.offers).retain(|offer| offer.name != name);
    }

    /// Whether any ServiceCIDR has the address, ready or not.
    #[must_use]
    pub fn is_in_range(&self, address: IpAddr) -> bool {
        let (family, number) = number(address);
        let mut ranges = self.offers.iter().flat_map(|offer| &offer.ranges);
        ranges.any(|(of, range)| *of == family && range.contains(number))
    }

    /// Takes a free address: from the dynamic band while it has one, then from the static band (ALLOC-12,
    /// ALLOC-13).
    ///
    /// # Errors
    /// [`AllocateError::Full`].
    pub fn allocate(&mut self, family: IpFamily, rng: &mut Rng) -> Result<IpAddr, AllocateError> {
        let taken = self.taken(family);
        let free = self
            .ready(family)
            .find_map(|range| range.pick(taken, rng))
            .ok_or(AllocateError::Full)?;
        self.taken_mut(family).insert(free);
        Ok(address(family, free))
    }

    /// Takes the address that the user asks for, from either band.
    ///
    /// # Errors
    /// [`AllocateError::AlreadyAllocated`], [`AllocateError::OutOfRange`].
    pub fn reserve(&mut self, wanted: IpAddr) -> Result<(), AllocateError> {
        let (family, number) = number(wanted);
        if !self.ready(family).any(|range| range.contains(number)) {
            Err(AllocateError::OutOfRange)
        } else if self.taken_mut(family).insert(number) {
            Ok(())
        } else {
            Err(AllocateError::AlreadyAllocated)
        }
    }

    /// Takes note that an address is taken, in range or not.
    pub fn take(&mut self, address: IpAddr) {
        let (family, number) = number(address);
        self.taken_mut(family).insert(number);
    }

    /// Takes an address back; one that is free or out of range is left alone (ALLOC-27).
    pub fn release(&mut self, address: IpAddr) {
        let (family, number) = number(address);
        self.taken_mut(family).remove(number);
    }

    fn ready(&self, family: IpFamily) -> impl Iterator<Item = &Range> {
        let ready = self.offers.iter().filter(|offer| offer.ready);
        let ranges = ready.flat_map(|offer| &offer.ranges);
        ranges
            .filter(move |(of, _)| *of == family)
            .map(|(_, range)| range)
    }

    fn taken(&self, family: IpFamily) -> &Runs {
        match family {
            IpFamily::V4 => &self.taken_v4,
            IpFamily::V6 => &self.taken_v6,
        }
    }

    fn taken_mut(&mut self, family: IpFamily) -> &mut Runs {
        match family {
            IpFamily::V4 => &mut self.taken_v4,
            IpFamily::V6 => &mut self.taken_v6,
        }
    }
}

/// The first address of a range that can be given out, if there is one: the `kubernetes` Service's, of the first
/// range (ALLOC-5).
pub(crate) fn first_usable(net: &IpNet) -> Option<IpAddr> {
    usable(net).map(|(family, range)| address(family, range.first))
}

/// The addresses of a range that can be given out: neither the network address nor IPv4's broadcast address
/// (ALLOC-3). There are none in an IPv6 range that is too large (ALLOC-4).
fn usable(net: &IpNet) -> Option<(IpFamily, Range)> {
    let (family, base) = number(net.network());
    if family == IpFamily::V6 && net.prefix_len() < PREFIX_MIN_V6 {
        return None;
    }
    let host_bits = u32::from(net.max_prefix_len() - net.prefix_len());
    let size = (1_u128 << host_bits).min(SIZE_MAX);
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
        let mut ips = ClusterIps::new(&[IpFamily::V4, IpFamily::V6]);
        for range in ranges {
            ips.offer(range, [range.parse().unwrap()].into_iter(), true);
        }
        (ips, Seed::new(7).split("cluster-ips"))
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
    fn alloc_8_9_10_11_worked_numbers() {
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
        assert_eq!(usable(&"::/0".parse().unwrap()), None);
    }

    #[test]
    fn alloc_4_an_ipv6_range_shorter_than_64_offers_nothing() {
        let (mut ips, mut rng) = pool(&["2001:db8::/48"]);
        let wanted = ips.reserve(ip("2001:db8::1"));
        assert_eq!(wanted, Err(AllocateError::OutOfRange));
        let given = ips.allocate(IpFamily::V6, &mut rng);
        assert_eq!(given, Err(AllocateError::Full));
        let (mut ips, mut rng) = pool(&["2001:db8::/64"]);
        assert!(ips.allocate(IpFamily::V6, &mut rng).is_ok());
    }

    #[test]
    fn alloc_15_60_a_freed_address_of_a_full_range_comes_back() {
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
    fn alloc_12_61_the_static_band_comes_last() {
        let (mut ips, mut rng) = pool(&["10.50.0.0/24"]);
        let given: Vec<IpAddr> = (0..254)
            .map(|_| ips.allocate(IpFamily::V4, &mut rng).unwrap())
            .collect();
        let in_static = |address: &IpAddr| *address <= ip("10.50.0.16");
        assert_eq!(given.iter().position(in_static), Some(238));
        assert!(given[238..].iter().all(in_static));
    }

    #[test]
    fn alloc_3_62_network_and_broadcast_address_are_out_of_range() {
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
    fn alloc_27_what_is_free_or_elsewhere_can_be_given_back() {
        let (mut ips, _) = pool(&["10.50.0.0/24"]);
        for address in ["10.50.0.7", "10.51.0.7", "fd00::7"] {
            ips.release(ip(address));
        }
        assert_eq!(ips.reserve(ip("10.50.0.7")), Ok(()));
    }

    #[test]
    fn both_families_have_pools_of_their_own() {
        let (mut ips, mut rng) = pool(&["10.96.0.0/16", "fd00:10:96::/112"]);
        assert!(ips.allocate(IpFamily::V4, &mut rng).unwrap().is_ipv4());
        assert!(ips.allocate(IpFamily::V6, &mut rng).unwrap().is_ipv6());
    }

    #[test]
    fn alloc_17_a_second_range_of_a_family_is_used_when_the_first_is_full() {
        let (mut ips, mut rng) = pool(&["10.0.0.0/30", "10.1.0.0/30"]);
        let given: BTreeSet<IpAddr> = (0..4)
            .map(|_| ips.allocate(IpFamily::V4, &mut rng).unwrap())
            .collect();
        assert_eq!(given.len(), 4);
        assert!(ips.allocate(IpFamily::V4, &mut rng).is_err());
    }

    #[test]
    fn alloc_42_a_range_that_is_not_ready_takes_back_only() {
        let (mut ips, mut rng) = pool(&["10.0.0.0/30"]);
        ips.reserve(ip("10.0.0.1")).unwrap();
        let range = || ["10.0.0.0/30".parse().unwrap()].into_iter();
        ips.offer("10.0.0.0/30", range(), false);
        let given = ips.allocate(IpFamily::V4, &mut rng);
        assert_eq!(given, Err(AllocateError::Full));
        assert_eq!(ips.reserve(ip("10.0.0.2")), Err(AllocateError::OutOfRange));
        assert!(ips.is_in_range(ip("10.0.0.2")));
        ips.release(ip("10.0.0.1"));
        ips.offer("10.0.0.0/30", range(), true);
        assert_eq!(ips.reserve(ip("10.0.0.1")), Ok(()));
        ips.withdraw("10.0.0.0/30");
        assert!(!ips.is_in_range(ip("10.0.0.2")));
    }

    #[test]
    fn alloc_43_an_address_of_two_ranges_is_one_address() {
        let (mut ips, mut rng) = pool(&["10.0.0.0/30", "10.0.0.0/29"]);
        let given: BTreeSet<IpAddr> = (0..6)
            .map(|_| ips.allocate(IpFamily::V4, &mut rng).unwrap())
            .collect();
        assert_eq!(given.len(), 6);
        let more = ips.allocate(IpFamily::V4, &mut rng);
        assert_eq!(more, Err(AllocateError::Full));
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
            let (mut ips, _) = pool(&["10.0.0.0/27"]);
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
