//! Names of addresses: `5.1.244.10.in-addr.arpa` (RFC 1035 section 3.5) and nibbles in `ip6.arpa` (RFC 3596 section
//! 2.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The zones of addresses.
pub(crate) const ZONES: [&str; 2] = ["in-addr.arpa", "ip6.arpa"];

/// The name under which an address's own name is asked for, without a final dot.
///
/// ```
/// let address = "10.244.1.5".parse().unwrap();
/// assert_eq!(switchboard_dns::reverse_name(address), "5.1.244.10.in-addr.arpa");
/// ```
#[must_use]
pub fn reverse_name(address: IpAddr) -> String {
    let (labels, zone): (Vec<String>, _) = match address {
        IpAddr::V4(address) => (
            address.octets().iter().map(ToString::to_string).collect(),
            ZONES[0],
        ),
        IpAddr::V6(address) => {
            let nibbles = address
                .octets()
                .into_iter()
                .flat_map(|byte| [byte >> 4, byte & 0xf]);
            (
                nibbles.map(|nibble| format!("{nibble:x}")).collect(),
                ZONES[1],
            )
        }
    };
    let labels: Vec<&str> = labels.iter().rev().map(String::as_str).collect();
    format!("{}.{zone}", labels.join("."))
}

/// The address that the labels left of `zone` stand for; `None` for a part of one, or none.
pub(crate) fn address_of(labels: &[&str], zone: &str) -> Option<IpAddr> {
    let digits = labels.iter().rev();
    if zone == ZONES[0] {
        let text: Vec<&str> = digits.copied().collect();
        return text.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    if labels.len() != 32 || labels.iter().any(|label| label.len() != 1) {
        return None;
    }
    let bits = digits.map(|label| u128::from_str_radix(label, 16));
    let bits = bits.reduce(|high, low| Ok((high? << 4) | low?))?.ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, name: &str) {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(reverse_name(address), name);
        let zone = ZONES.into_iter().find(|zone| name.ends_with(zone)).unwrap();
        let labels: Vec<&str> = name[..name.len() - zone.len() - 1].split('.').collect();
        assert_eq!(address_of(&labels, zone), Some(address));
        assert_eq!(address_of(&labels[1..], zone), None, "a part of an address");
    }

    #[test]
    fn addresses_are_spelled_backwards_and_read_back() {
        check("10.244.1.5", "5.1.244.10.in-addr.arpa");
        check(
            "fd00:10:96::51",
            "1.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa",
        );
    }
}
