//! Packets as bytes, and the little of their headers that the hooks look at.
//!
//! **What.** A [`Packet`] is an IPv4 or IPv6 packet as it is on the wire. [`Datagram`] is one whose headers were
//! checked once. **Why.** Everything downstream of the check indexes without fear: hostile bytes end here, as
//! [`Malformed`]. **Source of the semantics.** RFC 791, RFC 8200, `ip_rcv`, `ipv6_rcv`, and which ICMP messages
//! are tracked: `nf_conntrack_proto_icmp.c`, `nf_conntrack_proto_icmpv6.c`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ruleset::{Family, Protocol};
use smoltcp::wire::{Ipv6Packet, UdpPacket};

use crate::Tuple;

/// An IP packet: header and everything after it.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet(Vec<u8>);

impl Packet {
    /// Takes any bytes. Whether they are a packet shows when they are evaluated.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, from the first of the IP header.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Its flow, when it is well-formed and of a kind that conntrack follows (no ICMP error, for one).
    #[must_use]
    pub fn tuple(&self) -> Option<Tuple> {
        parse(&self.0, Extent::Whole).ok()?.1.flow()
    }

    /// The flow of the packet that this one, an ICMP error, quotes.
    #[must_use]
    pub fn quoted_tuple(&self) -> Option<Tuple> {
        match parse(&self.0, Extent::Whole).ok()?.1 {
            Content::Error { quote } => parse(&self.0[quote..], Extent::Quote).ok()?.1.flow(),
            Content::Flow(_) | Content::Untracked | Content::Other => None,
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tuple(), self.quoted_tuple()) {
            (Some(tuple), _) => write!(f, "Packet({tuple}, {} bytes)", self.0.len()),
            (None, Some(quoted)) => write!(f, "Packet(error about {quoted})"),
            (None, None) => write!(f, "Packet({:02x?})", self.0),
        }
    }
}

/// Why bytes are no packet that a node takes.
///
/// Deviation: Linux lets a packet with a broken transport header pass conntrack as INVALID; here it ends at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither version 4 nor version 6.
    #[error("unknown IP version")]
    Version,
    /// Shorter than its headers say.
    #[error("truncated or inconsistent header")]
    Truncated,
    /// The IPv4 header's checksum is wrong.
    #[error("wrong IP header checksum")]
    Checksum,
    /// Deviation: Linux reassembles before the hooks; the hosts of this network never fragment.
    #[error("fragments are not supported")]
    Fragment,
}

/// The parts of the headers that the hooks look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: Protocol,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// Offset of the transport header.
    pub(crate) transport: usize,
    /// Offset of the first byte after the packet, as the IP header states it.
    pub(crate) end: usize,
}

impl Headers {
    pub(crate) const fn family(&self) -> Family {
        Family::of(self.source)
    }
}

/// What a packet is to conntrack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// A packet of a flow.
    Flow(Tuple),
    /// An ICMP error; the packet it quotes starts at this offset.
    Error { quote: usize },
    /// Neighbour discovery and listener reports, which Linux exempts from tracking.
    Untracked,
    /// Anything else: no connection can be found for it.
    Other,
}

impl Content {
    pub(crate) const fn flow(&self) -> Option<Tuple> {
        match self {
            Self::Flow(tuple) => Some(*tuple),
            Self::Error { .. } | Self::Untracked | Self::Other => None,
        }
    }
}

/// A packet whose headers have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) bytes: Vec<u8>,
    pub(crate) headers: Headers,
    pub(crate) content: Content,
}

impl Datagram {
    /// Checks a packet, and cuts off what lies behind its end.
    pub(crate) fn parse(packet: Packet) -> Result<Self, Malformed> {
        let mut bytes = packet.0;
        let (headers, content) = parse(&bytes, Extent::Whole)?;
        bytes.truncate(headers.end);
        Ok(Self {
            bytes,
            headers,
            content,
        })
    }

    /// Gives the packet away; none is left.
    pub(crate) fn take_packet(&mut self) -> Packet {
        Packet(std::mem::take(&mut self.bytes))
    }

    /// The packet's flow, or that of the packet it quotes: what a trace shows.
    pub(crate) fn shown_flow(&self) -> Option<Tuple> {
        let quoted = || self.quoted().map(|(_, tuple)| tuple);
        self.content.flow().or_else(quoted)
    }

    /// Headers (offsets from the quote's start) and flow of the packet that an ICMP error quotes.
    pub(crate) fn quoted(&self) -> Option<(Headers, Tuple)> {
        let Content::Error { quote } = self.content else {
            return None;
        };
        let (headers, content) = parse(&self.bytes[quote..], Extent::Quote).ok()?;
        Some((headers, content.flow()?))
    }

    /// The transport header and its payload.
    pub(crate) fn transport(&self) -> &[u8] {
        &self.bytes[self.headers.transport..]
    }
}

/// How much of a packet must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All that the IP header promises.
    Whole,
    /// The IP header and eight bytes, as ICMP errors quote at least (RFC 792).
    Quote,
}

/// Reads the headers of a packet.
pub(crate) fn parse(bytes: &[u8], extent: Extent) -> Result<(Headers, Content), Malformed> {
    let headers = match bytes.first().map(|first| first >> 4) {
        Some(4) => parse_v4(bytes, extent)?,
        Some(6) => parse_v6(bytes, extent)?,
        Some(_) => return Err(Malformed::Version),
        None => return Err(Malformed::Truncated),
    };
    let end = headers.end.min(bytes.len());
    let transport = bytes
        .get(headers.transport..end)
        .ok_or(Malformed::Truncated)?;
    let content = classify(&headers, transport, extent)?;
    Ok((headers, content))
}

fn parse_v4(bytes: &[u8], extent: Extent) -> Result<Headers, Malformed> {
    const HEADER: usize = 20;
    const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
    let header = bytes.first_chunk::<HEADER>();
    let header = header.ok_or(Malformed::Truncated)?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let address = |at: usize| {
        let octets = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        IpAddr::from(octets)
    };
    let transport = usize::from(header[0] & 0xf) * 4;
    let end = usize::from(word(2));
    let missing = end > bytes.len() && extent == Extent::Whole;
    if transport < HEADER || transport > end || transport > bytes.len() || missing {
        return Err(Malformed::Truncated);
    }
    if word(6) & MORE_FRAGMENTS_AND_OFFSET != 0 {
        return Err(Malformed::Fragment);
    }
    if !has_right_checksum(&bytes[..transport]) {
        return Err(Malformed::Checksum);
    }
    Ok(Headers {
        source: address(12),
        destination: address(16),
        protocol: Protocol(header[9]),
        ttl: header[8],
        transport,
        end,
    })
}

/// Whether the words of an IPv4 header add up to ones (RFC 791). Their order does not matter, nor that of their bytes
/// (RFC 1071).
fn has_right_checksum(header: &[u8]) -> bool {
    let (words, _) = header.as_chunks();
    let words = words.iter().map(|word| u32::from_ne_bytes(*word));
    let mut sum: u64 = words.map(u64::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum == 0xffff
}

fn parse_v6(bytes: &[u8], extent: Extent) -> Result<Headers, Malformed> {
    const HEADER: usize = 40;
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION_OPTIONS: u8 = 60;
    if bytes.len() < HEADER {
        return Err(Malformed::Truncated);
    }
    let packet = Ipv6Packet::new_unchecked(bytes);
    let end = packet.total_len();
    if end > bytes.len() && extent == Extent::Whole {
        return Err(Malformed::Truncated);
    }
    let mut protocol: u8 = packet.next_header().into();
    let mut transport = HEADER;
    while matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS) {
        let header = bytes
            .get(transport..transport + 2)
            .ok_or(Malformed::Truncated)?;
        protocol = header[0];
        transport += 8 + usize::from(header[1]) * 8;
    }
    if protocol == FRAGMENT {
        return Err(Malformed::Fragment);
    }
    if transport > end {
        return Err(Malformed::Truncated);
    }
    Ok(Headers {
        source: packet.src_addr().into(),
        destination: packet.dst_addr().into(),
        protocol: Protocol(protocol),
        ttl: packet.hop_limit(),
        transport,
        end,
    })
}

fn classify(headers: &Headers, transport: &[u8], extent: Extent) -> Result<Content, Malformed> {
    let needed = match headers.protocol {
        Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6
            if extent == Extent::Quote =>
        {
            8
        }
        Protocol::TCP => 20,
        Protocol::SCTP if extent == Extent::Whole => 12,
        Protocol::UDP | Protocol::SCTP | Protocol::ICMP | Protocol::ICMPV6 => 8,
        _ => 0,
    };
    if transport.len() < needed {
        return Err(Malformed::Truncated);
    }
    let whole = extent == Extent::Whole;
    let consistent = match headers.protocol {
        Protocol::TCP if whole => (20..=transport.len()).contains(&tcp_header_len(transport)),
        Protocol::UDP if whole => UdpPacket::new_checked(transport).is_ok(),
        _ => true,
    };
    if !consistent {
        return Err(Malformed::Truncated);
    }
    Ok(match (headers.protocol, headers.family()) {
        (Protocol::ICMP, Family::V4) | (Protocol::ICMPV6, Family::V6) => {
            classify_icmp(headers, transport)
        }
        // The other version's ICMP is no protocol of this family.
        (Protocol::ICMP | Protocol::ICMPV6, _) => Content::Other,
        (protocol, _) => {
            let port = |offset: usize| match protocol.has_ports() {
                true => u16::from_be_bytes([transport[offset], transport[offset + 1]]),
                false => 0,
            };
            Content::Flow(Tuple::new(
                protocol,
                SocketAddr::new(headers.source, port(0)),
                SocketAddr::new(headers.destination, port(2)),
            ))
        }
    })
}

/// As a TCP header of at least 20 bytes states it.
fn tcp_header_len(transport: &[u8]) -> usize {
    usize::from(transport[12] >> 4) * 4
}

/// Deviation: of the ICMP queries only echo is tracked; Linux also follows timestamp, information and address
/// mask requests, which no modern host answers.
fn classify_icmp(headers: &Headers, transport: &[u8]) -> Content {
    let echo = |reply| {
        let id = u16::from_be_bytes([transport[4], transport[5]]);
        Content::Flow(Tuple::echo(headers.source, headers.destination, id, reply))
    };
    match (headers.family(), transport[0]) {
        (Family::V4, 8) | (Family::V6, 128) => echo(false),
        (Family::V4, 0) | (Family::V6, 129) => echo(true),
        // Destination unreachable, source quench, redirect, time exceeded, parameter problem.
        (Family::V4, 3 | 4 | 5 | 11 | 12) | (Family::V6, 1..=4) => Content::Error {
            quote: headers.transport + 8,
        },
        (Family::V6, 130..=137 | 143) => Content::Untracked,
        _ => Content::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smoltcp::wire::{Ipv4Packet, TcpPacket};

    use super::*;

    #[test]
    fn empty_and_strange_bytes_are_no_packet() {
        for bytes in [vec![], vec![0x45], vec![0x10; 64], vec![0x60; 39]] {
            assert!(Datagram::parse(Packet::new(bytes)).is_err());
        }
    }

    proptest! {
        /// What is read of a packet is what smoltcp reads, and nothing is read where that finds no packet.
        #[test]
        fn reads_what_smoltcp_reads(
            mut bytes in prop::collection::vec(any::<u8>(), 20..90),
            words in 4_u8..8,
            length in prop_oneof![Just(None), (0_u16..100).prop_map(Some)],
            fragment in prop_oneof![4 => Just(0_u16), 1 => any::<u16>()],
            is_tcp in any::<bool>(),
            offset in prop_oneof![Just(5_u8), 0_u8..16],
            is_right in prop::bool::weighted(0.8),
        ) {
            let stated = length.unwrap_or(bytes.len() as u16);
            bytes[0] = 0x40 | words;
            bytes[2..4].copy_from_slice(&stated.to_be_bytes());
            bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
            bytes[9] = if is_tcp { 6 } else { 200 };
            let start = usize::from(words) * 4;
            if let Some(place) = bytes.get_mut(start + 12) {
                *place = offset << 4;
            }
            if is_right && (20..=bytes.len()).contains(&start) {
                Ipv4Packet::new_unchecked(&mut bytes).fill_checksum();
            }
            let read = parse(&bytes, Extent::Whole);
            let packet = Ipv4Packet::new_checked(&bytes).ok().filter(|packet| {
                let whole = start >= 20 && packet.verify_checksum();
                whole && !packet.more_frags() && packet.frag_offset() == 0
            });
            let packet = packet.filter(|packet| {
                !is_tcp || TcpPacket::new_checked(packet.payload()).is_ok()
            });
            let seen = read.ok().map(|(headers, _)| (
                headers.source, headers.destination, headers.ttl, headers.transport, headers.end,
            ));
            let expected = packet.map(|packet| (
                IpAddr::from(packet.src_addr()), IpAddr::from(packet.dst_addr()), packet.hop_limit(),
                start, usize::from(packet.total_len()),
            ));
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn random_bytes_never_panic(version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()], mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            let packet = Packet::new(bytes);
            let _ = packet.tuple();
            let _ = packet.quoted_tuple();
            let _ = format!("{packet:?}");
        }
    }
}
