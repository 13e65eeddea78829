//! The addresses of a node, as `ip -o address show` prints them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use ruleset::ipvs::DEVICE;

/// Who has which address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Single ones on the device of a proxy.
    pub(super) bound: BTreeSet<IpAddr>,
    /// All that are on other devices.
    pub(super) own: BTreeSet<IpAddr>,
}

impl Addresses {
    /// Reads `5: kube-ipvs0    inet 10.96.0.40/32 scope global kube-ipvs0\ …`; what is no address is left out.
    pub(super) fn read(text: &str) -> Self {
        let mut addresses = Self::default();
        for (device, net) in text.lines().filter_map(read_line) {
            match device == DEVICE {
                false => addresses.own.insert(net.addr()),
                true if net.prefix_len() == net.max_prefix_len() => {
                    addresses.bound.insert(net.addr())
                }
                // A link's own address, such as IPv6 makes one.
                true => continue,
            };
        }
        addresses
    }
}

fn read_line(line: &str) -> Option<(&str, IpNet)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let device = words.next()?;
    let is_address = |word: &&str| matches!(*word, "inet" | "inet6");
    words.next().filter(is_address)?;
    let address = words.next()?;
    let net = match address.contains('/') {
        true => address.parse().ok()?,
        // What has a peer is printed without a length.
        false => IpNet::from(address.parse::<IpAddr>().ok()?),
    };
    Some((device, net))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ip() {
        let text = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n\
                    2: eth0    inet 192.168.1.1/24 brd 192.168.1.255 scope global eth0\\       valid_lft forever\n\
                    2: eth0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever\n\
                    3: tun0    inet 10.9.0.1 peer 10.9.0.2/32 scope global tun0\\       valid_lft forever\n\
                    9: kube-ipvs0    inet 10.96.0.40/32 scope global kube-ipvs0\\       valid_lft forever\n\
                    9: kube-ipvs0    inet6 fd00:96::40/128 scope global \\       valid_lft forever\n\
                    9: kube-ipvs0    inet6 fe80::2/64 scope link \\       valid_lft forever\n";
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let expected = Addresses {
            bound: all(&["10.96.0.40", "fd00:96::40"]),
            own: all(&["127.0.0.1", "192.168.1.1", "fe80::1", "10.9.0.1"]),
        };
        assert_eq!(Addresses::read(text), expected);
    }
}
