//! A routing table: the longest prefix that contains an address wins.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;

/// Values by prefix. A lookup costs one map lookup for each prefix length that is in use.
#[derive(Clone, Debug)]
pub(crate) struct PrefixMap<T> {
    v4: Vec<Level<T>>,
    v6: Vec<Level<T>>,
}

/// The prefixes of one length.
#[derive(Clone, Debug)]
struct Level<T> {
    length: u8,
    /// By the bits of the prefix. Never iterated.
    values: HashMap<u128, T, FixedState>,
}

impl<T: Copy> PrefixMap<T> {
    pub(crate) const fn new() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }

    /// Adds a prefix, host bits ignored; a later value for the same prefix replaces the earlier one.
    pub(crate) fn insert(&mut self, net: IpNet, value: T) {
        let length = net.prefix_len();
        let levels = match net {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        };
        // The longest first.
        let at = levels.partition_point(|level| level.length > length);
        if levels.get(at).is_none_or(|level| level.length != length) {
            let values = HashMap::default();
            levels.insert(at, Level { length, values });
        }
        levels[at].values.insert(prefix(net.addr(), length), value);
    }

    pub(crate) fn lookup(&self, address: IpAddr) -> Option<T> {
        let levels = match address {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        let mut found = levels
            .iter()
            .map(|level| level.values.get(&prefix(address, level.length)));
        found.find_map(Option::<&T>::copied)
    }
}

/// The first bits of an address, as a number.
fn prefix(address: IpAddr, length: u8) -> u128 {
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    bits.checked_shr(width - u32::from(length)).unwrap_or(0)
}

impl<T: Copy> FromIterator<(IpNet, T)> for PrefixMap<T> {
    fn from_iter<I: IntoIterator<Item = (IpNet, T)>>(routes: I) -> Self {
        let mut map = Self::new();
        for (net, value) in routes {
            map.insert(net, value);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Addresses that have their first bits in common, as many as it happens, and the extreme ones.
    fn some_address() -> impl Strategy<Value = IpAddr> {
        const COMMON: u128 = 0xa5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5_a5a5;
        let bits = prop_oneof![
            6 => (0_u32..128).prop_map(|differs| COMMON ^ (1 << differs)),
            2 => Just(COMMON),
            1 => Just(0),
            1 => Just(u128::MAX),
        ];
        let address = |(bits, v4): (u128, bool)| match v4 {
            true => IpAddr::from(u32::try_from(bits >> 96).unwrap().to_be_bytes()),
            false => IpAddr::from(bits.to_be_bytes()),
        };
        (bits, any::<bool>()).prop_map(address)
    }

    fn some_net() -> impl Strategy<Value = IpNet> {
        let length = prop_oneof![4 => 0_u8..=128, 1 => Just(0), 1 => Just(u8::MAX)];
        (some_address(), length).prop_map(|(address, length)| {
            let longest = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, length.min(longest)).unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

        #[test]
        fn a_lookup_finds_what_looking_at_every_prefix_finds(
            nets in prop::collection::vec(some_net(), 0..24),
            addresses in prop::collection::vec(some_address(), 1..8),
        ) {
            let map: PrefixMap<usize> = nets.iter().copied().zip(0..).collect();
            for address in addresses {
                let containing = nets.iter().enumerate().filter(|(_, net)| net.contains(&address));
                // Of those that are alike the last.
                let longest = containing.max_by_key(|(_, net)| net.prefix_len());
                prop_assert_eq!(map.lookup(address), longest.map(|(index, _)| index), "{}", address);
            }
        }
    }

    fn check(address: &str, expected: Option<u32>) {
        let routes = [
            ("10.0.0.0/8", 1),
            ("10.96.0.7/12", 2),
            ("10.96.0.1/32", 3),
            ("fd00::/64", 4),
        ];
        let map: PrefixMap<u32> = routes
            .into_iter()
            .map(|(net, value)| (net.parse().unwrap(), value))
            .collect();
        assert_eq!(map.lookup(address.parse().unwrap()), expected, "{address}");
    }

    #[test]
    fn longest_prefix_wins() {
        check("10.1.2.3", Some(1));
        check("10.97.0.1", Some(2));
        check("10.96.0.1", Some(3));
        check("fd00::7", Some(4));
        check("fd01::7", None);
        check("11.0.0.1", None);
    }

    #[test]
    fn the_shortest_prefix_takes_everything_of_its_family() {
        let mut map = PrefixMap::new();
        map.insert("::/0".parse().unwrap(), 1);
        map.insert("fd00::7/128".parse().unwrap(), 2);
        let lookup = |address: &str| map.lookup(address.parse().unwrap());
        assert_eq!(
            ["fd00::8", "fd00::7", "10.0.0.1"].map(lookup),
            [Some(1), Some(2), None]
        );
    }
}
