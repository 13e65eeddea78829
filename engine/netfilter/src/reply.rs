//! The answers that a node itself gives: ICMP errors and TCP resets.
//!
//! **Source of the semantics.** RFC 1812 (section 4.3.2: when not to send an error), RFC 4443 (2.4), RFC 9293
//! (3.10.7.1: the numbers of a reset); Linux `icmp_send`, `nf_reject_ipv4.c`, `nf_reject_ipv6.c`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ruleset::xt::RejectWith;
use ruleset::{Family, Protocol};
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TCP_HEADER_LEN, TcpPacket,
    TcpSeqNumber,
};

use crate::Packet;
use crate::packet::{Content, Datagram};

/// TTL of what the node itself sends (`net.ipv4.ip_default_ttl`).
const TTL: u8 = 64;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;

/// Why a sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A rule rejected the packet.
    Reject(RejectWith),
    /// Its TTL ran out.
    TtlExpired,
    /// It does not fit the link.
    TooBig { mtu: usize },
}

/// The ICMP "fragmentation needed" or "packet too big" that the sender of a packet gives itself when its own link does
/// not take it. `None` when the packet may not be answered, or is none.
#[must_use]
pub fn packet_too_big(packet: Packet, mtu: usize) -> Option<Packet> {
    let received = Datagram::parse(packet).ok()?;
    let source = received.headers.source;
    refuse(&received, Some(source), Refusal::TooBig { mtu })
}

/// Builds the answer to a packet, as it was received. ICMP errors come from `source`, a reset from whom the
/// packet was for. `None` when the packet may not be answered.
pub(crate) fn refuse(
    received: &Datagram,
    source: Option<IpAddr>,
    refusal: Refusal,
) -> Option<Packet> {
    if matches!(received.content, Content::Error { .. })
        || received.headers.source.is_unspecified()
        || !is_unicast(received.headers.source)
        || !is_unicast(received.headers.destination)
    {
        return None;
    }
    if refusal == Refusal::Reject(RejectWith::TcpReset) {
        return reset(received);
    }
    let message = message(received.headers.family(), refusal)?;
    match (source?, received.headers.source) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Some(error_v4(source, destination, message, &received.bytes))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Some(error_v6(source, destination, message, &received.bytes))
        }
        _ => None,
    }
}

/// What an ICMP error says.
#[derive(Clone, Copy)]
struct Message {
    kind: u8,
    code: u8,
    /// The next hop's MTU, or zero: the last half of the header's second word (RFC 1191; RFC 4443, 3.2).
    mtu: u16,
}

/// Neither a group nor everybody.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// A reset has none.
fn message(family: Family, refusal: Refusal) -> Option<Message> {
    let mtu = match refusal {
        Refusal::TooBig { mtu } => u16::try_from(mtu).unwrap_or(u16::MAX),
        Refusal::Reject(_) | Refusal::TtlExpired => 0,
    };
    let (v4, v6) = match refusal {
        Refusal::TtlExpired => ((11, 0), (3, 0)),
        Refusal::TooBig { .. } => ((3, 4), (2, 0)),
        Refusal::Reject(RejectWith::NetUnreachable) => ((3, 0), (1, 0)),
        Refusal::Reject(RejectWith::HostUnreachable) => ((3, 1), (1, 3)),
        Refusal::Reject(RejectWith::PortUnreachable) => ((3, 3), (1, 4)),
        Refusal::Reject(RejectWith::AdminProhibited) => ((3, 13), (1, 1)),
        Refusal::Reject(RejectWith::HostProhibited) => ((3, 10), (1, 1)),
        Refusal::Reject(RejectWith::NetProhibited) => ((3, 9), (1, 1)),
        Refusal::Reject(RejectWith::ProtoUnreachable) => ((3, 2), (1, 4)),
        Refusal::Reject(RejectWith::TcpReset) => return None,
    };
    let (kind, code) = match family {
        Family::V4 => v4,
        Family::V6 => v6,
    };
    Some(Message { kind, code, mtu })
}

/// Quotes as much as fits 576 bytes in all (RFC 1812, 4.3.2.3): the whole of any packet that opens a connection.
fn error_v4(source: Ipv4Addr, destination: Ipv4Addr, message: Message, quoted: &[u8]) -> Packet {
    const WHOLE: usize = 576;
    let quote = &quoted[..quoted.len().min(WHOLE - IPV4_HEADER - ICMP_HEADER)];
    let mut bytes = header_v4(
        source,
        destination,
        IpProtocol::Icmp,
        ICMP_HEADER + quote.len(),
    );
    let mtu = IPV4_HEADER + 6..IPV4_HEADER + 8;
    bytes[mtu].copy_from_slice(&message.mtu.to_be_bytes());
    let mut icmp = Icmpv4Packet::new_unchecked(&mut bytes[IPV4_HEADER..]);
    icmp.set_msg_type(message.kind.into());
    icmp.set_msg_code(message.code);
    icmp.data_mut().copy_from_slice(quote);
    icmp.fill_checksum();
    Packet::new(bytes)
}

/// Quotes as much as fits the least MTU of IPv6 (RFC 4443, 2.4 c).
fn error_v6(source: Ipv6Addr, destination: Ipv6Addr, message: Message, quoted: &[u8]) -> Packet {
    const WHOLE: usize = 1280;
    let quote = &quoted[..quoted.len().min(WHOLE - IPV6_HEADER - ICMP_HEADER)];
    let mut bytes = header_v6(
        source,
        destination,
        IpProtocol::Icmpv6,
        ICMP_HEADER + quote.len(),
    );
    let mtu = IPV6_HEADER + 6..IPV6_HEADER + 8;
    bytes[mtu].copy_from_slice(&message.mtu.to_be_bytes());
    let mut icmp = Icmpv6Packet::new_unchecked(&mut bytes[IPV6_HEADER..]);
    icmp.set_msg_type(message.kind.into());
    icmp.set_msg_code(message.code);
    icmp.payload_mut().copy_from_slice(quote);
    icmp.fill_checksum(&source, &destination);
    Packet::new(bytes)
}

/// The reset that the receiver of a TCP packet would send. A reset is not answered.
fn reset(received: &Datagram) -> Option<Packet> {
    if received.headers.protocol != Protocol::TCP {
        return None;
    }
    let segment = TcpPacket::new_checked(received.transport()).ok()?;
    if segment.rst() {
        return None;
    }
    let (from, to) = (received.headers.destination, received.headers.source);
    let (mut bytes, header) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (
            header_v4(from, to, IpProtocol::Tcp, TCP_HEADER_LEN),
            IPV4_HEADER,
        ),
        (IpAddr::V6(from), IpAddr::V6(to)) => (
            header_v6(from, to, IpProtocol::Tcp, TCP_HEADER_LEN),
            IPV6_HEADER,
        ),
        _ => return None,
    };
    let mut answer = TcpPacket::new_unchecked(&mut bytes[header..]);
    answer.set_src_port(segment.dst_port());
    answer.set_dst_port(segment.src_port());
    answer.set_header_len(u8::try_from(TCP_HEADER_LEN).expect("twenty bytes"));
    answer.set_rst(true);
    if segment.ack() {
        answer.set_seq_number(segment.ack_number());
        answer.set_ack_number(TcpSeqNumber(0));
    } else {
        answer.set_ack(true);
        answer.set_ack_number(segment.seq_number() + segment.segment_len());
    }
    answer.fill_checksum(&from.into(), &to.into());
    Some(Packet::new(bytes))
}

/// An IPv4 header, followed by room for its payload.
fn header_v4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: IpProtocol,
    payload: usize,
) -> Vec<u8> {
    let mut bytes = vec![0; IPV4_HEADER + payload];
    let length = u16::try_from(bytes.len()).expect("answers are at most 1280 bytes long");
    let mut header = Ipv4Packet::new_unchecked(&mut bytes);
    header.set_version(4);
    header.set_header_len(u8::try_from(IPV4_HEADER).expect("twenty bytes"));
    header.set_total_len(length);
    header.set_dont_frag(true);
    header.set_hop_limit(TTL);
    header.set_next_header(protocol);
    header.set_src_addr(source);
    header.set_dst_addr(destination);
    header.fill_checksum();
    bytes
}

/// An IPv6 header, followed by room for its payload.
fn header_v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: IpProtocol,
    payload: usize,
) -> Vec<u8> {
    let mut bytes = vec![0; IPV6_HEADER + payload];
    let length = u16::try_from(payload).expect("answers are at most 1280 bytes long");
    let mut header = Ipv6Packet::new_unchecked(&mut bytes);
    header.set_version(6);
    header.set_payload_len(length);
    header.set_hop_limit(TTL);
    header.set_next_header(protocol);
    header.set_src_addr(source);
    header.set_dst_addr(destination);
    bytes
}
