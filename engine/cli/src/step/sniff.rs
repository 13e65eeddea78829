//! `tcpdump`, of what passed while the last command let time pass.
//!
//! **Source of the semantics.** tcpdump(8), pcap-filter(7), of which a few words are understood.
//!
//! Deviation: it looks back. A real one listens while something else runs; here nothing runs beside a command. Times are
//! those of the scenario's clock, and packets have no link layer.

use std::net::IpAddr;

use base::SimTime;
use control::Source;
use plane::PacketHead;
use ruleset::Protocol;
use sim::{Passed, Sim};

use super::command::TcpdumpOrder;

const SUPPORTED: &str = "supported here: tcp, udp, icmp, icmp6, ip, ip6, [src|dst] host ADDRESS, [src|dst] port NUMBER, \
                         with `and` between them";

/// What passed the interfaces of where one is, from an instant on.
///
/// # Errors
/// When a word of the filter is not understood, or nothing passed an interface of that name.
pub(super) fn tcpdump(
    sim: &Sim,
    place: &Source,
    since: SimTime,
    order: &TcpdumpOrder,
) -> Result<String, String> {
    let filter = Filter::parse(&order.filter)?;
    let passed: Vec<Passed> = sim.passed(place);
    let wanted = order.interface.as_str();
    let is_any = wanted == "any";
    let is_known = wanted == "eth0" || is_any || passed.iter().any(|one| one.interface == wanted);
    if !is_known {
        let mut known: Vec<&str> = passed.iter().map(|one| one.interface.as_str()).collect();
        known.extend(["any", "eth0"]);
        known.sort_unstable();
        known.dedup();
        return Err(format!(
            "tcpdump: {wanted}: No such device exists (there are: {})",
            known.join(", ")
        ));
    }
    let most = order.count.map_or(usize::MAX, usize::from);
    let seen = passed
        .iter()
        .filter(|one| one.at >= since && (is_any || one.interface == wanted))
        .filter(|one| filter.takes(one.head.as_ref()))
        .take(most);
    let lines: Vec<String> = seen.map(|one| line(one, is_any)).collect();
    let link = "link-type RAW (Raw IP), snapshot length 262144 bytes";
    let from = since.to_string();
    Ok(format!(
        "listening on {wanted}, {link}, from {from} on\n{}{} packets captured",
        lines.concat(),
        lines.len()
    ))
}

fn line(one: &Passed, names_interface: bool) -> String {
    let interface = match names_interface {
        true => format!("{} ", one.interface),
        false => String::new(),
    };
    format!("{} {interface}{}\n", clock(one.at), one.text)
}

/// `00:01:02.000345`
fn clock(at: SimTime) -> String {
    let us = at.as_nanos() / 1000;
    let (seconds, rest) = (us / 1_000_000, us % 1_000_000);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    format!(
        "{:02}:{:02}:{:02}.{rest:06}",
        hours,
        minutes % 60,
        seconds % 60
    )
}

/// One end of a packet, or either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Source,
    Destination,
    Either,
}

/// What a packet has to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Protocol(Protocol),
    IsV4(bool),
    Host(Side, IpAddr),
    Port(Side, u16),
}

/// All that a packet has to have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter(Vec<Test>);

impl Filter {
    fn parse(words: &[String]) -> Result<Self, String> {
        let text = words.join(" ");
        let mut words = text.split_whitespace();
        let mut tests = Vec::new();
        let refuse = |word: &str| {
            format!(
                "tcpdump: can't parse filter expression: {word:?} is not understood; {SUPPORTED}"
            )
        };
        let end = || format!("tcpdump: can't parse filter expression: it ends early; {SUPPORTED}");
        while let Some(mut word) = words.next() {
            if word == "and" || word == "&&" {
                word = words.next().filter(|_| !tests.is_empty()).ok_or_else(end)?;
            } else {
                // `tcp port 80` and `ip host 10.0.0.1` need no `and`.
                let goes_on = match tests.last() {
                    None | Some(Test::Protocol(_)) => true,
                    Some(Test::IsV4(_)) => matches!(word, "host" | "src" | "dst"),
                    Some(Test::Host(..) | Test::Port(..)) => false,
                };
                if !goes_on {
                    return Err(refuse(word));
                }
            }
            let side = match word {
                "src" => Side::Source,
                "dst" => Side::Destination,
                _ => Side::Either,
            };
            if side != Side::Either {
                word = words.next().ok_or_else(end)?;
            }
            tests.push(match (word, side) {
                ("tcp", Side::Either) => Test::Protocol(Protocol::TCP),
                ("udp", Side::Either) => Test::Protocol(Protocol::UDP),
                ("icmp", Side::Either) => Test::Protocol(Protocol::ICMP),
                ("icmp6", Side::Either) => Test::Protocol(Protocol::ICMPV6),
                ("ip", Side::Either) => Test::IsV4(true),
                ("ip6", Side::Either) => Test::IsV4(false),
                ("host", _) => {
                    let word = words.next().ok_or_else(end)?;
                    Test::Host(side, word.parse().map_err(|_| refuse(word))?)
                }
                ("port", _) => {
                    let word = words.next().ok_or_else(end)?;
                    Test::Port(side, word.parse().map_err(|_| refuse(word))?)
                }
                (word, Side::Source | Side::Destination) if word.parse::<IpAddr>().is_ok() => {
                    Test::Host(side, word.parse().map_err(|_| refuse(word))?)
                }
                (word, _) => return Err(refuse(word)),
            });
        }
        Ok(Self(tests))
    }

    /// A packet with broken headers has nothing.
    fn takes(&self, head: Option<&PacketHead>) -> bool {
        self.0
            .iter()
            .all(|test| head.is_some_and(|head| test.holds(head)))
    }
}

impl Test {
    fn holds(self, head: &PacketHead) -> bool {
        match self {
            Self::Protocol(protocol) => head.protocol == protocol,
            Self::IsV4(is_v4) => head.source.is_ipv4() == is_v4,
            Self::Host(side, address) => side.has(&[head.source, head.destination], &address),
            Self::Port(side, port) => head
                .ports
                .is_some_and(|(from, to)| side.has(&[from, to], &port)),
        }
    }
}

impl Side {
    fn has<T: PartialEq>(self, [source, destination]: &[T; 2], wanted: &T) -> bool {
        match self {
            Self::Source => source == wanted,
            Self::Destination => destination == wanted,
            Self::Either => source == wanted || destination == wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[Test]>) {
        let read = Filter::parse(&[text.to_owned()]);
        assert_eq!(
            read.ok().as_ref().map(|read| &read.0[..]),
            expected,
            "{text}"
        );
    }

    #[test]
    fn filters() {
        let host = "10.0.0.1".parse().unwrap();
        check("", Some(&[]));
        check(
            "tcp port 80 and src host 10.0.0.1",
            Some(&[
                Test::Protocol(Protocol::TCP),
                Test::Port(Side::Either, 80),
                Test::Host(Side::Source, host),
            ]),
        );
        check("dst 10.0.0.1", Some(&[Test::Host(Side::Destination, host)]));
        check(
            "ip6 and icmp6",
            Some(&[Test::IsV4(false), Test::Protocol(Protocol::ICMPV6)]),
        );
        let of_host = [Test::IsV4(true), Test::Host(Side::Either, host)];
        check("ip host 10.0.0.1", Some(&of_host));
        let of_port = [Test::Protocol(Protocol::TCP), Test::Port(Side::Either, 80)];
        check("tcp port 80", Some(&of_port));
        for bad in [
            "ip port 80",
            "port",
            "and tcp",
            "port x",
            "tcp or udp",
            "src tcp",
            "port 80 port 81",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn clocks() {
        let at = SimTime::from_nanos(3_723_000_345_999);
        assert_eq!(clock(at), "01:02:03.000345");
    }
}
