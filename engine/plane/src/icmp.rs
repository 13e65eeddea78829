//! ICMP as a host hears it: errors that become socket errors, smaller paths, and what comes of pings.
//!
//! smoltcp's sockets ignore ICMP errors; Linux turns them into socket errors, and what a user sees of a
//! rejected Service ("connection refused") is exactly that. Source: `icmp_err_convert` in Linux
//! `net/ipv4/icmp.c`, `tab_unreach` in `net/ipv6/icmp.c`; RFC 1191 and RFC 8201 for packets that are too big.

use std::net::{IpAddr, SocketAddr};

use ruleset::Protocol;
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet};

use crate::segment::{Datagram, Flow};
use crate::{EchoError, SocketError};

/// What an arriving ICMP packet is to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icmp {
    /// An error that some socket may want to hear; `flow` is that of the quoted packet, `flow.local` this host's end.
    Error { flow: Flow, error: SocketError },
    /// A packet did not fit: packets to its destination may have so many bytes.
    TooBig { flow: Flow, mtu: usize },
    /// The answer to an echo request of this identifier.
    Echoed { id: u16, from: IpAddr, ttl: u8 },
    /// An error about an echo request of this identifier.
    EchoFailed {
        id: u16,
        from: IpAddr,
        error: EchoError,
    },
    /// Nothing that a socket could use.
    Ignored,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    PortUnreachable,
    Unreachable,
    Prohibited,
    TtlExceeded,
    TooBig { mtu: usize },
    Other,
}

/// Whom the quoted packet came from.
#[derive(Clone, Copy)]
enum Quoted {
    Flow(Flow),
    Echo { id: u16 },
}

impl Icmp {
    /// `None` when the packet is neither an ICMP error nor an echo reply (an echo request, another protocol).
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let protocol = match packet.first()? >> 4 {
            4 => *packet.get(9)?,
            _ => *packet.get(6)?,
        };
        // Nearly every packet ends here.
        if !matches!(Protocol(protocol), Protocol::ICMP | Protocol::ICMPV6) {
            return None;
        }
        let datagram = Datagram::parse(packet)?;
        let from = datagram.source;
        if let Some(id) = echo_reply(&datagram) {
            let ttl = packet[if from.is_ipv4() { 8 } else { 7 }];
            return Some(Self::Echoed { id, from, ttl });
        }
        let complaint = match datagram.protocol {
            Protocol::ICMP => v4_complaint(datagram.payload)?,
            Protocol::ICMPV6 => v6_complaint(datagram.payload)?,
            _ => return None,
        };
        let quote = Quote::parse(datagram.payload.get(8..).unwrap_or_default());
        let quoted = quote.and_then(|quote| quote.quoted());
        Some(quoted.map_or(Self::Ignored, |quoted| complaint.about(quoted, from)))
    }
}

impl Complaint {
    fn about(self, quoted: Quoted, from: IpAddr) -> Icmp {
        let (flow, id) = match quoted {
            Quoted::Flow(flow) => (Some(flow), 0),
            Quoted::Echo { id } => (None, id),
        };
        let (error, echo_error) = match self {
            Self::PortUnreachable => (SocketError::Refused, EchoError::PortUnreachable),
            Self::Unreachable => (SocketError::Unreachable, EchoError::Unreachable),
            Self::Prohibited => (SocketError::Unreachable, EchoError::Prohibited),
            Self::TtlExceeded => (SocketError::Unreachable, EchoError::TtlExceeded),
            Self::TooBig { mtu } => {
                let error = EchoError::TooBig;
                return match flow {
                    Some(flow) => Icmp::TooBig { flow, mtu },
                    None => Icmp::EchoFailed { id, from, error },
                };
            }
            Self::Other => return Icmp::Ignored,
        };
        match flow {
            Some(flow) => Icmp::Error { flow, error },
            None => {
                let error = echo_error;
                Icmp::EchoFailed { id, from, error }
            }
        }
    }
}

/// The identifier of an echo reply whose checksum is right.
fn echo_reply(datagram: &Datagram<'_>) -> Option<u16> {
    let message = datagram.payload;
    match (datagram.protocol, datagram.source, datagram.destination) {
        (Protocol::ICMP, IpAddr::V4(_), _) => {
            let packet = Icmpv4Packet::new_checked(message).ok()?;
            let is_reply = packet.msg_type() == Icmpv4Message::EchoReply;
            (is_reply && packet.verify_checksum()).then(|| packet.echo_ident())
        }
        (Protocol::ICMPV6, IpAddr::V6(from), IpAddr::V6(to)) => {
            let packet = Icmpv6Packet::new_checked(message).ok()?;
            let is_reply = packet.msg_type() == Icmpv6Message::EchoReply;
            (is_reply && packet.verify_checksum(&from, &to)).then(|| packet.echo_ident())
        }
        _ => None,
    }
}

/// What an ICMP message complains of, if it is a complaint.
pub(crate) fn v4_complaint(message: &[u8]) -> Option<Complaint> {
    const PORT_UNREACHABLE: u8 = 3;
    const FRAGMENTATION_NEEDED: u8 = 4;
    const PROHIBITED: [u8; 3] = [9, 10, 13];
    let packet = Icmpv4Packet::new_checked(message).ok()?;
    Some(match (packet.msg_type(), packet.msg_code()) {
        (Icmpv4Message::DstUnreachable, PORT_UNREACHABLE) => Complaint::PortUnreachable,
        (Icmpv4Message::DstUnreachable, FRAGMENTATION_NEEDED) => too_big(message),
        (Icmpv4Message::DstUnreachable, code) if PROHIBITED.contains(&code) => {
            Complaint::Prohibited
        }
        (Icmpv4Message::DstUnreachable, _) => Complaint::Unreachable,
        (Icmpv4Message::TimeExceeded, _) => Complaint::TtlExceeded,
        (Icmpv4Message::Redirect | Icmpv4Message::ParamProblem, _) => Complaint::Other,
        _ => return None,
    })
}

/// The same of ICMPv6.
pub(crate) fn v6_complaint(message: &[u8]) -> Option<Complaint> {
    const PROHIBITED: u8 = 1;
    const PORT_UNREACHABLE: u8 = 4;
    let packet = Icmpv6Packet::new_checked(message).ok()?;
    Some(match (packet.msg_type(), packet.msg_code()) {
        (Icmpv6Message::DstUnreachable, PORT_UNREACHABLE) => Complaint::PortUnreachable,
        (Icmpv6Message::DstUnreachable, PROHIBITED) => Complaint::Prohibited,
        (Icmpv6Message::DstUnreachable, _) => Complaint::Unreachable,
        (Icmpv6Message::TimeExceeded, _) => Complaint::TtlExceeded,
        (Icmpv6Message::PktTooBig, _) => too_big(message),
        (Icmpv6Message::ParamProblem, _) => Complaint::Other,
        _ => return None,
    })
}

/// Both versions end the second word of the header with the MTU; zero says that the router does not tell.
fn too_big(message: &[u8]) -> Complaint {
    match message.get(6..8) {
        Some([high, low]) if [*high, *low] != [0, 0] => Complaint::TooBig {
            mtu: usize::from(u16::from_be_bytes([*high, *low])),
        },
        _ => Complaint::Other,
    }
}

/// The headers of a quoted packet, of which only the first bytes need be there: the IP header and the ports (RFC 792). A
/// quote says a length that it need not have, so its header is read by hand.
#[derive(Clone, Copy)]
pub(crate) struct Quote<'a> {
    pub(crate) protocol: Protocol,
    source: IpAddr,
    pub(crate) destination: IpAddr,
    transport: &'a [u8],
}

impl<'a> Quote<'a> {
    pub(crate) fn parse(quote: &'a [u8]) -> Option<Self> {
        let (protocol, source, destination, transport) = match quote.first()? >> 4 {
            4 => {
                let header_len = usize::from(quote[0] & 0xf) * 4;
                let address =
                    |at: usize| Some(<[u8; 4]>::try_from(quote.get(at..at + 4)?).ok()?.into());
                let transport = quote.get(header_len.max(20)..)?;
                (*quote.get(9)?, address(12)?, address(16)?, transport)
            }
            6 => {
                let address =
                    |at: usize| Some(<[u8; 16]>::try_from(quote.get(at..at + 16)?).ok()?.into());
                (*quote.get(6)?, address(8)?, address(24)?, quote.get(40..)?)
            }
            _ => return None,
        };
        Some(Self {
            protocol: Protocol(protocol),
            source,
            destination,
            transport,
        })
    }

    /// Two bytes of the transport header.
    pub(crate) fn word(&self, at: usize) -> Option<u16> {
        let bytes = self.transport.get(at..at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    /// Whom the quoted packet came from.
    fn quoted(&self) -> Option<Quoted> {
        if self.protocol.has_ports() {
            return Some(Quoted::Flow(Flow {
                protocol: self.protocol,
                local: SocketAddr::new(self.source, self.word(0)?),
                remote: SocketAddr::new(self.destination, self.word(2)?),
            }));
        }
        match (self.protocol, self.transport.first()?) {
            (Protocol::ICMP, 8) | (Protocol::ICMPV6, 128) => {
                Some(Quoted::Echo { id: self.word(4)? })
            }
            _ => None,
        }
    }
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
            let expected = expected.map_or(Icmp::Ignored, |error| Icmp::Error { flow, error });
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
