//! ICMP errors as a client's socket hears of them.
//!
//! smoltcp's sockets ignore ICMP errors; Linux turns them into socket errors, and what a user sees of a
//! rejected Service ("connection refused") is exactly that. Source: `icmp_err_convert` in Linux
//! `net/ipv4/icmp.c`, `tab_unreach` in `net/ipv6/icmp.c`.

use std::net::SocketAddr;

use ruleset::Protocol;
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet};

use crate::SocketError;
use crate::segment::{Datagram, Flow};

/// An error about a packet that this host had sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    /// The conversation of the quoted packet; `local` is this host's end.
    pub(crate) flow: Flow,
    pub(crate) error: SocketError,
}

/// What an arriving ICMP packet is to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icmp {
    /// An error that some socket may want to hear.
    Error(IcmpError),
    /// An error that says nothing a socket could use.
    Ignored,
}

impl Icmp {
    /// `None` when the packet is no ICMP error at all (an echo request, another protocol).
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let datagram = Datagram::parse(packet)?;
        let (error, quoted) = match datagram.protocol {
            Protocol::ICMP => v4_error(datagram.payload)?,
            Protocol::ICMPV6 => v6_error(datagram.payload)?,
            _ => return None,
        };
        let heard = error.zip(quoted_flow(quoted));
        Some(heard.map_or(Self::Ignored, |(error, flow)| {
            Self::Error(IcmpError { flow, error })
        }))
    }
}

fn v4_error(message: &[u8]) -> Option<(Option<SocketError>, &[u8])> {
    const PORT_UNREACHABLE: u8 = 3;
    const FRAGMENTATION_NEEDED: u8 = 4;
    let packet = Icmpv4Packet::new_checked(message).ok()?;
    let error = match (packet.msg_type(), packet.msg_code()) {
        (Icmpv4Message::DstUnreachable, PORT_UNREACHABLE) => Some(SocketError::Refused),
        (Icmpv4Message::DstUnreachable, FRAGMENTATION_NEEDED)
        | (Icmpv4Message::Redirect | Icmpv4Message::ParamProblem, _) => None,
        (Icmpv4Message::DstUnreachable | Icmpv4Message::TimeExceeded, _) => {
            Some(SocketError::Unreachable)
        }
        _ => return None,
    };
    Some((error, message.get(8..).unwrap_or_default()))
}

fn v6_error(message: &[u8]) -> Option<(Option<SocketError>, &[u8])> {
    const PORT_UNREACHABLE: u8 = 4;
    let packet = Icmpv6Packet::new_checked(message).ok()?;
    let error = match (packet.msg_type(), packet.msg_code()) {
        (Icmpv6Message::DstUnreachable, PORT_UNREACHABLE) => Some(SocketError::Refused),
        (Icmpv6Message::DstUnreachable | Icmpv6Message::TimeExceeded, _) => {
            Some(SocketError::Unreachable)
        }
        (Icmpv6Message::PktTooBig | Icmpv6Message::ParamProblem, _) => None,
        _ => return None,
    };
    Some((error, message.get(8..).unwrap_or_default()))
}

/// The conversation of a quoted packet, of which only the first bytes need be there: the IP header and the
/// ports (RFC 792). A quote says a length that it need not have, so its header is read by hand.
fn quoted_flow(quoted: &[u8]) -> Option<Flow> {
    let (protocol, source, destination, ports) = match quoted.first()? >> 4 {
        4 => {
            let header_len = usize::from(quoted[0] & 0xf) * 4;
            let address =
                |at: usize| Some(<[u8; 4]>::try_from(quoted.get(at..at + 4)?).ok()?.into());
            let ports = quoted.get(header_len.max(20)..)?;
            (*quoted.get(9)?, address(12)?, address(16)?, ports)
        }
        6 => {
            let address =
                |at: usize| Some(<[u8; 16]>::try_from(quoted.get(at..at + 16)?).ok()?.into());
            (
                *quoted.get(6)?,
                address(8)?,
                address(24)?,
                quoted.get(40..)?,
            )
        }
        _ => return None,
    };
    let protocol = Protocol(protocol);
    let port = |at: usize| Some(u16::from_be_bytes(ports.get(at..at + 2)?.try_into().ok()?));
    protocol.has_ports().then_some(Flow {
        protocol,
        local: SocketAddr::new(source, port(0)?),
        remote: SocketAddr::new(destination, port(2)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::tcp_syn;

    /// The error as its receiver gets it, with a quote of `quoted_len` bytes.
    fn error_packet(sent: &[u8], message_type: u8, code: u8, quoted_len: usize) -> Vec<u8> {
        let v6 = sent[0] >> 4 == 6;
        let payload_len = 8 + quoted_len;
        let mut packet = if v6 {
            sent[..40].to_vec()
        } else {
            sent[..20].to_vec()
        };
        if v6 {
            packet[4..6].copy_from_slice(&u16::try_from(payload_len).unwrap().to_be_bytes());
            packet[6] = 58;
        } else {
            packet[2..4].copy_from_slice(&u16::try_from(20 + payload_len).unwrap().to_be_bytes());
            packet[9] = 1;
        }
        packet.extend([message_type, code, 0, 0, 0, 0, 0, 0]);
        packet.extend(&sent[..quoted_len]);
        packet
    }

    fn check(ends: [&str; 2], message: (u8, u8), expected: Option<SocketError>) {
        let [from, to]: [SocketAddr; 2] = ends.map(|end| end.parse().unwrap());
        let sent = tcp_syn(from, to).unwrap();
        let header_len = if from.is_ipv4() { 20 } else { 40 };
        for quoted_len in [header_len + 8, sent.len()] {
            let heard =
                Icmp::parse(&error_packet(&sent, message.0, message.1, quoted_len)).unwrap();
            let flow = Flow {
                protocol: Protocol::TCP,
                local: from,
                remote: to,
            };
            let expected = expected.map_or(Icmp::Ignored, |error| {
                Icmp::Error(IcmpError { flow, error })
            });
            assert_eq!(heard, expected, "{message:?}");
        }
    }

    #[test]
    fn errors_become_what_linux_reports() {
        let v4 = ["10.0.0.1:1000", "10.96.0.1:80"];
        check(v4, (3, 3), Some(SocketError::Refused));
        check(v4, (3, 0), Some(SocketError::Unreachable));
        check(v4, (3, 1), Some(SocketError::Unreachable));
        check(v4, (3, 13), Some(SocketError::Unreachable));
        check(v4, (3, 4), None);
        check(v4, (11, 0), Some(SocketError::Unreachable));
        let v6 = ["[fd00::1]:1000", "[fd00::2]:80"];
        check(v6, (1, 4), Some(SocketError::Refused));
        check(v6, (1, 0), Some(SocketError::Unreachable));
        check(v6, (1, 1), Some(SocketError::Unreachable));
        check(v6, (2, 0), None);
    }

    #[test]
    fn cut_and_other_packets_are_no_errors() {
        let [from, to]: [SocketAddr; 2] =
            ["10.0.0.1:1", "10.0.0.2:2"].map(|end| end.parse().unwrap());
        let sent = tcp_syn(from, to).unwrap();
        assert_eq!(Icmp::parse(&sent), None);
        let error = error_packet(&sent, 3, 3, 23);
        assert_eq!(
            Icmp::parse(&error),
            Some(Icmp::Ignored),
            "ports are cut off"
        );
        for cut in 0..error.len() {
            assert_eq!(Icmp::parse(&error[..cut]), None);
        }
    }
}
