//! A routing table: the longest prefix that contains an address wins.

use std::collections::BTreeSet;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;

/// Values by prefix. A lookup costs one map lookup for each prefix length that is in use.
#[derive(Clone, Debug)]
pub(crate) struct PrefixMap<T> {
    /// Never iterated.
    by_net: HashMap<IpNet, T, FixedState>,
    lengths: BTreeSet<u8>,
}

impl<T: Copy> PrefixMap<T> {
    pub(crate) const fn new() -> Self {
        Self {
            by_net: HashMap::with_hasher(FixedState::with_seed(0)),
            lengths: BTreeSet::new(),
        }
    }

    /// Adds a prefix, host bits ignored; a later value for the same prefix replaces the earlier one.
    pub(crate) fn insert(&mut self, net: IpNet, value: T) {
        self.by_net.insert(net.trunc(), value);
        self.lengths.insert(net.prefix_len());
    }

    pub(crate) fn lookup(&self, address: IpAddr) -> Option<T> {
        self.lengths.iter().rev().find_map(|length| {
            let net = IpNet::new(address, *length).ok()?.trunc();
            self.by_net.get(&net).copied()
        })
    }
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
    use super::*;

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
}
