//! What a host has to know of a packet before its stack sees it, and the packets that a trace sends.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use netfilter::{Tuple, fill_sctp_checksum};
use ruleset::Protocol;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpAddress, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

/// Both ends of a conversation, seen from one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) protocol: Protocol,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Hash for Flow {
    /// As a tuple does it, in few words: every segment is looked up by its flow.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        Tuple::new(self.protocol, self.local, self.remote).hash(state);
    }
}

/// The flags of a TCP segment that decide who gets it and what its arrival means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) rst: bool,
}

/// A TCP segment or UDP datagram as the receiving host sees it: the destination is `flow.local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) flow: Flow,
    /// All unset for UDP.
    pub(crate) flags: Flags,
}

impl Segment {
    /// Reads the headers; `None` for other protocols and for what is cut off.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let datagram = Datagram::parse(packet)?;
        let (ports, flags) = match datagram.protocol {
            Protocol::TCP => {
                let segment = TcpPacket::new_checked(datagram.payload).ok()?;
                let flags = Flags {
                    syn: segment.syn(),
                    ack: segment.ack(),
                    rst: segment.rst(),
                };
                ((segment.src_port(), segment.dst_port()), flags)
            }
            Protocol::UDP => {
                let datagram = UdpPacket::new_checked(datagram.payload).ok()?;
                ((datagram.src_port(), datagram.dst_port()), Flags::default())
            }
            _ => return None,
        };
        let flow = Flow {
            protocol: datagram.protocol,
            local: SocketAddr::new(datagram.destination, ports.1),
            remote: SocketAddr::new(datagram.source, ports.0),
        };
        Some(Self { flow, flags })
    }

    /// Whether it asks for a connection.
    pub(crate) fn is_opening(&self) -> bool {
        let Flags { syn, ack, rst } = self.flags;
        syn && !ack && !rst
    }
}

/// How many nodes have forwarded a packet that a host has sent.
pub(crate) fn hops(packet: &[u8]) -> Option<usize> {
    // What smoltcp and Linux begin with.
    const FIRST: u8 = 64;
    let left = match packet.first()? >> 4 {
        4 => packet.get(8)?,
        _ => packet.get(7)?,
    };
    FIRST.checked_sub(*left).map(usize::from)
}

/// An IP packet without its header. IPv6 extension headers are not looked behind.
pub(crate) struct Datagram<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    pub(crate) fn parse(packet: &'a [u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => {
                let packet = Ipv4Packet::new_checked(packet).ok()?;
                Some(Self {
                    source: packet.src_addr().into(),
                    destination: packet.dst_addr().into(),
                    protocol: Protocol(packet.next_header().into()),
                    payload: packet.payload(),
                })
            }
            6 => {
                let packet = Ipv6Packet::new_checked(packet).ok()?;
                Some(Self {
                    source: packet.src_addr().into(),
                    destination: packet.dst_addr().into(),
                    protocol: Protocol(packet.next_header().into()),
                    payload: packet.payload(),
                })
            }
            _ => None,
        }
    }
}

/// Two ends of different address families cannot exchange packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_end} and {destination} are of different address families")]
pub struct FamilyMismatch {
    /// The sender.
    pub source_end: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
}

/// The first packet of a TCP connection, as bytes from the IP header on.
///
/// # Errors
/// When the two ends are of different families.
pub fn tcp_syn(source: SocketAddr, destination: SocketAddr) -> Result<Vec<u8>, FamilyMismatch> {
    tcp_segment(source, destination, TcpControl::Syn, 0, None)
}

/// A UDP datagram, as bytes from the IP header on.
///
/// # Errors
/// When the two ends are of different families.
pub fn udp_datagram(
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) -> Result<Vec<u8>, FamilyMismatch> {
    let header = UdpRepr {
        src_port: source.port(),
        dst_port: destination.port(),
    };
    let length = header.header_len() + payload.len();
    let (ip, mut packet) = ip_packet(source, destination, IpProtocol::Udp, length)?;
    let body = &mut packet[ip.header_len()..];
    header.emit(
        &mut UdpPacket::new_unchecked(body),
        &ip.src_addr(),
        &ip.dst_addr(),
        payload.len(),
        |buffer| buffer.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    Ok(packet)
}

/// The first packet of an SCTP association (RFC 9260, section 3.3.2), as bytes from the IP header on.
///
/// # Errors
/// When the two ends are of different families.
pub fn sctp_init(source: SocketAddr, destination: SocketAddr) -> Result<Vec<u8>, FamilyMismatch> {
    const VERIFICATION_TAG_AND_CHECKSUM: [u8; 8] = [0; 8];
    /// Type, flags and length; tag; window; streams each way; first sequence number.
    const CHUNK: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 16, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    let ports = [
        source.port().to_be_bytes(),
        destination.port().to_be_bytes(),
    ];
    let body = [&ports.concat()[..], &VERIFICATION_TAG_AND_CHECKSUM, &CHUNK].concat();
    let sctp = IpProtocol::Unknown(Protocol::SCTP.0);
    let (ip, mut packet) = ip_packet(source, destination, sctp, body.len())?;
    let place = &mut packet[ip.header_len()..];
    place.copy_from_slice(&body);
    fill_sctp_checksum(place);
    Ok(packet)
}

/// An ICMP echo request, as bytes from the IP header on.
///
/// # Errors
/// When the two ends are of different families.
pub fn echo_request(
    source: IpAddr,
    destination: IpAddr,
    id: u16,
    ttl: u8,
    payload_len: usize,
) -> Result<Vec<u8>, FamilyMismatch> {
    const SEQUENCE: [u8; 2] = [0, 1];
    let (protocol, kind) = match source {
        IpAddr::V4(_) => (IpProtocol::Icmp, 8),
        IpAddr::V6(_) => (IpProtocol::Icmpv6, 128),
    };
    let ends = [source, destination].map(|address| SocketAddr::new(address, 0));
    let (ip, mut packet) = ip_packet(ends[0], ends[1], protocol, 8 + payload_len)?;
    let (header, message) = packet.split_at_mut(ip.header_len());
    message[0] = kind;
    message[4..6].copy_from_slice(&id.to_be_bytes());
    message[6..8].copy_from_slice(&SEQUENCE);
    match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Ipv6Packet::new_unchecked(header).set_hop_limit(ttl);
            Icmpv6Packet::new_unchecked(message).fill_checksum(&source, &destination);
        }
        _ => {
            let mut header = Ipv4Packet::new_unchecked(header);
            header.set_hop_limit(ttl);
            header.fill_checksum();
            Icmpv4Packet::new_unchecked(message).fill_checksum();
        }
    }
    Ok(packet)
}

/// A segment without data.
pub(crate) fn tcp_segment(
    source: SocketAddr,
    destination: SocketAddr,
    control: TcpControl,
    sequence: i32,
    acknowledged: Option<i32>,
) -> Result<Vec<u8>, FamilyMismatch> {
    let header = TcpRepr {
        src_port: source.port(),
        dst_port: destination.port(),
        control,
        seq_number: TcpSeqNumber(sequence),
        ack_number: acknowledged.map(TcpSeqNumber),
        window_len: 4096,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (ip, mut packet) = ip_packet(source, destination, IpProtocol::Tcp, header.buffer_len())?;
    header.emit(
        &mut TcpPacket::new_unchecked(&mut packet[ip.header_len()..]),
        &ip.src_addr(),
        &ip.dst_addr(),
        &ChecksumCapabilities::default(),
    );
    Ok(packet)
}

/// A packet with its IP header written and room for `payload_len` bytes.
fn ip_packet(
    source: SocketAddr,
    destination: SocketAddr,
    protocol: IpProtocol,
    payload_len: usize,
) -> Result<(IpRepr, Vec<u8>), FamilyMismatch> {
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(FamilyMismatch {
            source_end: source,
            destination,
        });
    }
    let [from, to] = [source, destination].map(|end| IpAddress::from(end.ip()));
    let ip = IpRepr::new(from, to, protocol, payload_len, 64);
    let mut packet = vec![0; ip.buffer_len()];
    ip.emit(&mut packet[..], &ChecksumCapabilities::default());
    Ok((ip, packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, destination: &str) {
        let [from, to]: [SocketAddr; 2] = [source, destination].map(|end| end.parse().unwrap());
        let syn = Segment::parse(&tcp_syn(from, to).unwrap()).unwrap();
        assert_eq!((syn.flow.remote, syn.flow.local), (from, to));
        assert_eq!(
            (syn.flags.syn, syn.flags.ack, syn.flags.rst),
            (true, false, false)
        );
        let datagram = udp_datagram(from, to, b"hello").unwrap();
        let segment = Segment::parse(&datagram).unwrap();
        assert_eq!(segment.flow.protocol, Protocol::UDP);
        assert_eq!((segment.flow.remote, segment.flow.local), (from, to));
        for cut in 0..datagram.len() {
            assert_eq!(Segment::parse(&datagram[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn reads_what_it_writes() {
        check("10.0.0.1:1000", "10.0.0.2:80");
        check("[fd00::1]:1000", "[fd00::2]:80");
    }

    #[test]
    fn an_sctp_init_is_a_flow() {
        let [from, to]: [SocketAddr; 2] =
            ["10.0.0.1:1000", "10.0.0.2:3868"].map(|end| end.parse().unwrap());
        let packet = netfilter::Packet::new(sctp_init(from, to).unwrap());
        let expected = netfilter::Tuple::new(Protocol::SCTP, from, to);
        assert_eq!(packet.tuple(), Some(expected));
    }

    #[test]
    fn families_do_not_mix() {
        let [from, to]: [SocketAddr; 2] =
            ["10.0.0.1:1", "[fd00::2]:80"].map(|end| end.parse().unwrap());
        assert!(tcp_syn(from, to).is_err());
    }
}
