//! Packets in words, as `tcpdump -n` prints them.
//!
//! **Source of the semantics.** tcpdump 4.99: `print-ip.c`, `print-ip6.c`, `print-tcp.c` (sequence numbers count from a
//! connection's first packet that was seen), `print-udp.c`, `print-icmp.c`, `print-icmp6.c`.
//!
//! Deviation: what a TCP connection carries is not looked into, and a packet of SCTP is one of an unknown protocol.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use ruleset::Protocol;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, TcpOption, TcpPacket,
};

use crate::icmp::{Complaint, Quote, v4_complaint, v6_complaint};
use crate::segment::{Datagram, Segment};

/// What can be asked of any packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHead {
    /// The transport protocol.
    pub protocol: Protocol,
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// From which port and to which; of TCP and UDP.
    pub ports: Option<(u16, u16)>,
}

impl PacketHead {
    /// Reads a packet's headers; `None` when they are broken.
    #[must_use]
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let datagram = Datagram::parse(packet)?;
        let flow = Segment::parse(packet).map(|segment| segment.flow);
        Some(Self {
            protocol: datagram.protocol,
            source: datagram.source,
            destination: datagram.destination,
            ports: flow.map(|flow| (flow.remote.port(), flow.local.port())),
        })
    }
}

/// Both ends of a TCP connection, the lesser first.
type Ends = (SocketAddr, SocketAddr);

/// Prints packets, one after the other, and remembers where connections began to count.
#[derive(Debug, Default)]
pub struct Dissector {
    /// The first sequence number of the lesser end and of the other.
    begins: BTreeMap<Ends, (u32, u32)>,
}

impl Dissector {
    /// One packet, without its time. `message` puts what a datagram from or to port 53 carries into words.
    pub fn line(&mut self, packet: &[u8], message: impl Fn(&[u8]) -> Option<String>) -> String {
        let Some(datagram) = Datagram::parse(packet) else {
            return "IP, truncated".to_owned();
        };
        let Datagram {
            source,
            destination,
            protocol,
            payload,
        } = datagram;
        let version = if source.is_ipv4() { "IP" } else { "IP6" };
        let flow = Segment::parse(packet).map(|segment| segment.flow);
        let (ends, text) = match (protocol, flow) {
            (Protocol::TCP, Some(flow)) => {
                let (from, to) = (flow.remote, flow.local);
                (ends(from, to), self.segment(from, to, payload))
            }
            (Protocol::UDP, Some(flow)) => {
                let (from, to) = (flow.remote, flow.local);
                let data = payload.get(8..).unwrap_or_default();
                let words = message(data).filter(|_| [from.port(), to.port()].contains(&53));
                let words = words.map(|words| format!("{words} ({})", data.len()));
                let words = words.unwrap_or_else(|| format!("UDP, length {}", data.len()));
                (ends(from, to), words)
            }
            (Protocol::ICMP, _) => (format!("{source} > {destination}"), icmp(payload)),
            (Protocol::ICMPV6, _) => (format!("{source} > {destination}"), icmp_v6(payload)),
            _ => {
                let text = format!("ip-proto-{} {}", protocol.0, payload.len());
                (format!("{source} > {destination}"), text)
            }
        };
        format!("{version} {ends}: {text}")
    }

    fn segment(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> String {
        let Ok(segment) = TcpPacket::new_checked(bytes) else {
            return "tcp, truncated".to_owned();
        };
        let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]));
        let (sequence, acknowledged) = (word(4), word(8));
        let is_forth = from < to;
        let key = if is_forth { (from, to) } else { (to, from) };
        let known = self.begins.get(&key).filter(|_| !segment.syn()).copied();
        let (sequence, acknowledged) = match known {
            None => {
                let other = acknowledged.wrapping_sub(1);
                let begin = match is_forth {
                    true => (sequence, other),
                    false => (other, sequence),
                };
                self.begins.insert(key, begin);
                (sequence, acknowledged)
            }
            Some((lesser, other)) => {
                let (own, peers) = match is_forth {
                    true => (lesser, other),
                    false => (other, lesser),
                };
                (sequence.wrapping_sub(own), acknowledged.wrapping_sub(peers))
            }
        };
        let length = segment.payload().len();
        let mut text = format!("Flags [{}]", flags(&segment));
        if length > 0 {
            let end = sequence.wrapping_add(u32::try_from(length).unwrap_or(u32::MAX));
            let _ = write!(text, ", seq {sequence}:{end}");
        } else if segment.syn() || segment.fin() || segment.rst() {
            let _ = write!(text, ", seq {sequence}");
        }
        if segment.ack() {
            let _ = write!(text, ", ack {acknowledged}");
        }
        let _ = write!(text, ", win {}", segment.window_len());
        let options = options(segment.options());
        if !options.is_empty() {
            let _ = write!(text, ", options [{}]", options.join(","));
        }
        let _ = write!(text, ", length {length}");
        text
    }
}

fn ends(from: SocketAddr, to: SocketAddr) -> String {
    let end = |end: SocketAddr| format!("{}.{}", end.ip(), end.port());
    format!("{} > {}", end(from), end(to))
}

fn flags(segment: &TcpPacket<&[u8]>) -> String {
    let letters = [
        (segment.fin(), 'F'),
        (segment.syn(), 'S'),
        (segment.rst(), 'R'),
        (segment.psh(), 'P'),
        (segment.ack(), '.'),
        (segment.urg(), 'U'),
    ];
    let set = letters.into_iter().filter(|(is_set, _)| *is_set);
    let text: String = set.map(|(_, letter)| letter).collect();
    match text.is_empty() {
        true => "none".to_owned(),
        false => text,
    }
}

fn options(mut rest: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    while let Ok((after, option)) = TcpOption::parse(rest) {
        words.push(match option {
            TcpOption::EndOfList => "eol".to_owned(),
            TcpOption::NoOperation => "nop".to_owned(),
            TcpOption::MaxSegmentSize(size) => format!("mss {size}"),
            TcpOption::WindowScale(scale) => format!("wscale {scale}"),
            TcpOption::SackPermitted => "sackOK".to_owned(),
            TcpOption::SackRange(ranges) => {
                let ranges = ranges.iter().flatten();
                let ranges: Vec<String> = ranges
                    .map(|(begin, end)| format!("{{{begin}:{end}}}"))
                    .collect();
                format!("sack {} {}", ranges.len(), ranges.concat())
            }
            TcpOption::TimeStamp { tsval, tsecr } => format!("TS val {tsval} ecr {tsecr}"),
            TcpOption::Unknown { kind, .. } => format!("unknown-{kind}"),
        });
        // What comes after the end of the list is padding.
        if option == TcpOption::EndOfList {
            break;
        }
        rest = after;
    }
    words
}

fn icmp(message: &[u8]) -> String {
    let length = message.len();
    let Ok(packet) = Icmpv4Packet::new_checked(message) else {
        return format!("ICMP, length {length}");
    };
    let words = match packet.msg_type() {
        Icmpv4Message::EchoRequest => echo("echo request", message),
        Icmpv4Message::EchoReply => echo("echo reply", message),
        kind => {
            let quote = message.get(8..).and_then(Quote::parse);
            let to = quote.map_or_else(|| "?".to_owned(), |quote| quote.destination.to_string());
            match v4_complaint(message) {
                Some(Complaint::PortUnreachable) => {
                    format!("{} unreachable", port_of(quote.as_ref()))
                }
                Some(Complaint::TooBig { mtu }) => {
                    format!("{to} unreachable - need to frag (mtu {mtu})")
                }
                Some(Complaint::Prohibited) => {
                    format!("host {to} unreachable - admin prohibited filter")
                }
                Some(Complaint::Unreachable) => format!("host {to} unreachable"),
                Some(Complaint::TtlExceeded) => "time exceeded in-transit".to_owned(),
                Some(Complaint::Other) | None => format!("type-#{}", u8::from(kind)),
            }
        }
    };
    format!("ICMP {words}, length {length}")
}

fn icmp_v6(message: &[u8]) -> String {
    let length = message.len();
    let Ok(packet) = Icmpv6Packet::new_checked(message) else {
        return format!("ICMP6, length {length}");
    };
    let words = match packet.msg_type() {
        Icmpv6Message::EchoRequest => echo("echo request", message),
        Icmpv6Message::EchoReply => echo("echo reply", message),
        kind => {
            let quote = message.get(8..).and_then(Quote::parse);
            let to = quote.map_or_else(|| "?".to_owned(), |quote| quote.destination.to_string());
            let unreachable = "destination unreachable, unreachable";
            match v6_complaint(message) {
                Some(Complaint::PortUnreachable) => {
                    format!("{unreachable} port, {}", port_of(quote.as_ref()))
                }
                Some(Complaint::TooBig { mtu }) => format!("packet too big, mtu {mtu}"),
                Some(Complaint::Prohibited) => format!("{unreachable} prohibited {to}"),
                Some(Complaint::Unreachable) => format!("{unreachable} route {to}"),
                Some(Complaint::TtlExceeded) => format!("time exceeded in-transit for {to}"),
                Some(Complaint::Other) | None => format!("type-#{}", u8::from(kind)),
            }
        }
    };
    format!("ICMP6, {words}, length {length}")
}

fn echo(what: &str, message: &[u8]) -> String {
    let word = |at: usize| match message.get(at..at + 2) {
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    format!("{what}, id {}, seq {}", word(4), word(6))
}

/// `10.96.0.10 udp port 53`
fn port_of(quote: Option<&Quote<'_>>) -> String {
    let Some(quote) = quote else {
        return "port".to_owned();
    };
    let port = quote.word(2).unwrap_or(0);
    match quote.protocol {
        Protocol::TCP | Protocol::UDP => {
            format!("{} {} port {port}", quote.destination, quote.protocol)
        }
        Protocol(number) => format!("{} protocol {number} port {port}", quote.destination),
    }
}

#[cfg(test)]
mod tests {
    use netfilter::{Packet, packet_too_big};

    use super::*;
    use crate::{echo_request, tcp_syn, udp_datagram};

    fn check(packet: &[u8], expected: &str) {
        let line = Dissector::default().line(packet, |_| Some("0 A? web.".to_owned()));
        assert_eq!(line, expected);
    }

    fn end(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn datagrams_and_errors() {
        let (from, to) = (end("10.0.0.2:4000"), end("10.96.0.10:53"));
        let query = udp_datagram(from, to, b"query").unwrap();
        check(&query, "IP 10.0.0.2.4000 > 10.96.0.10.53: 0 A? web. (5)");
        let other = udp_datagram(from, end("10.96.0.10:54"), b"query").unwrap();
        check(&other, "IP 10.0.0.2.4000 > 10.96.0.10.54: UDP, length 5");
        let too_big = packet_too_big(Packet::new(query), 1300).unwrap();
        let text = Dissector::default().line(too_big.bytes(), |_| None);
        let expected = "ICMP 10.96.0.10 unreachable - need to frag (mtu 1300), length ";
        assert!(text.contains(expected), "{text}");
        check(&[0x45, 0], "IP, truncated");
    }

    #[test]
    fn segments_count_from_the_first() {
        let ends = (end("[fd00::2]:4000"), end("[fd00::3]:80"));
        let syn = tcp_syn(ends.0, ends.1).unwrap();
        let mut dissector = Dissector::default();
        let first = dissector.line(&syn, |_| None);
        let text = "IP6 fd00::2.4000 > fd00::3.80: Flags [S], seq 0, win ";
        assert!(first.starts_with(text), "{first}");
        let mut ack = syn.clone();
        // Sequence number 7, acknowledging 9; only ACK is set.
        ack[47] = 7;
        ack[51] = 9;
        ack[53] = 0x10;
        let later = dissector.line(&ack, |_| None);
        assert!(later.contains("Flags [.], ack 10, win "), "{later}");
    }

    #[test]
    fn pings() {
        let to = end("10.0.0.3:0").ip();
        let request = echo_request(end("10.0.0.2:0").ip(), to, 7, 64, 56).unwrap();
        let expected = "IP 10.0.0.2 > 10.0.0.3: ICMP echo request, id 7, seq 1, length 64";
        check(&request, expected);
        assert_eq!(PacketHead::parse(&request).unwrap().destination, to);
    }
}
