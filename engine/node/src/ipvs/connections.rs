//! How many connections real servers have, as `ipvsadm -L -n` prints it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ruleset::Protocol;
use ruleset::ipvs::{Drained, ServerKey};

/// By real server, those that are established and those that are not (`ActiveConn`, `InActConn`). What is no real server
/// of an address and a port, such as one for marked packets, is left out.
pub(super) fn counts(listed: &str) -> BTreeMap<(ServerKey, SocketAddr), u64> {
    let mut counts = BTreeMap::new();
    let mut server = None;
    for line in listed.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["->", address, _, _, active, inactive, ..] => {
                let place = server.zip(address.parse().ok());
                let count = active.parse().ok().zip(inactive.parse().ok());
                if let (Some(place), Some((active, inactive))) = (place, count) {
                    let (active, inactive): (u64, u64) = (active, inactive);
                    counts.insert(place, active + inactive);
                }
            }
            [protocol, address, ..] => server = key(protocol, address),
            _ => {}
        }
    }
    counts
}

fn key(protocol: &str, address: &str) -> Option<ServerKey> {
    Some(ServerKey {
        protocol: Protocol::parse(&protocol.to_ascii_lowercase())?,
        address: address.parse().ok()?,
    })
}

/// Those of the real servers that are there and have no connection; and those that have one.
pub(super) fn idle_and_busy(
    drained: &[Drained],
    counts: &BTreeMap<(ServerKey, SocketAddr), u64>,
) -> (Vec<Drained>, Vec<Drained>) {
    let known = drained.iter().filter_map(|one| {
        let count = counts.get(&(one.server, one.address))?;
        Some((*one, *count))
    });
    let (idle, busy): (Vec<_>, Vec<_>) = known.partition(|(_, count)| *count == 0);
    let only = |list: Vec<(Drained, u64)>| list.into_iter().map(|(one, _)| one).collect();
    (only(idle), only(busy))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "IP Virtual Server version 1.2.1 (size=4096)\n\
        Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n\
        FWM  1 rr\n  -> 10.244.1.9:80                Masq    1      7          7         \n\
        TCP  10.96.0.40:80 rr persistent 10800\n  -> 10.244.1.5:8080              Masq    0      3          1         \n\
        \u{20} -> 10.244.1.6:8080              Masq    0      0          0         \n\
        TCP  [fd00:96::40]:80 rr\n  -> [fd00:244::5]:8080           Masq    1      0          2         \n";

    fn drained(server: &str, real: &str) -> Drained {
        Drained {
            server: ServerKey {
                protocol: Protocol::TCP,
                address: server.parse().unwrap(),
            },
            address: real.parse().unwrap(),
        }
    }

    /// PROXY-61
    #[test]
    fn who_is_idle() {
        let counts = counts(LISTED);
        assert_eq!(counts.len(), 3, "{counts:?}");
        let busy = [
            drained("10.96.0.40:80", "10.244.1.5:8080"),
            drained("[fd00:96::40]:80", "[fd00:244::5]:8080"),
        ];
        let idle = drained("10.96.0.40:80", "10.244.1.6:8080");
        let gone = drained("10.96.0.40:80", "10.244.1.9:80");
        let all = [busy[0], idle, gone, busy[1]];
        assert_eq!(idle_and_busy(&all, &counts), (vec![idle], busy.to_vec()));
    }
}
