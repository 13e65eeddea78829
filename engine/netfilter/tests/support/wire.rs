//! Making packets, and checking their checksums with smoltcp's own code.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};
use switchboard_netfilter::Packet;

pub fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An IP packet around a payload that `fill` writes.
fn packet(
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Packet {
    let header = IpRepr::new(source.into(), destination.into(), protocol, length, 64);
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut bytes[..], &ChecksumCapabilities::default());
    fill(&mut bytes[header.header_len()..]);
    Packet::new(bytes)
}

/// A TCP segment with sequence number 1000, and acknowledging 2000 where it has an ACK.
pub fn tcp(source: &str, destination: &str, control: TcpControl, ack: bool) -> Packet {
    tcp_with(socket(source), socket(destination), control, ack, b"")
}

pub fn tcp_with(
    source: SocketAddr,
    destination: SocketAddr,
    control: TcpControl,
    ack: bool,
    payload: &[u8],
) -> Packet {
    let repr = TcpRepr {
        src_port: source.port(),
        dst_port: destination.port(),
        control,
        seq_number: TcpSeqNumber(1000),
        ack_number: ack.then_some(TcpSeqNumber(2000)),
        window_len: 4096,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None, None, None],
        timestamp: None,
        payload,
    };
    packet(
        source.ip(),
        destination.ip(),
        IpProtocol::Tcp,
        repr.buffer_len(),
        |bytes| {
            repr.emit(
                &mut TcpPacket::new_unchecked(bytes),
                &source.ip().into(),
                &destination.ip().into(),
                &ChecksumCapabilities::default(),
            );
        },
    )
}

pub fn syn(source: &str, destination: &str) -> Packet {
    tcp(source, destination, TcpControl::Syn, false)
}

pub fn syn_ack(source: &str, destination: &str) -> Packet {
    tcp(source, destination, TcpControl::Syn, true)
}

pub fn ack(source: &str, destination: &str) -> Packet {
    tcp(source, destination, TcpControl::None, true)
}

pub fn udp(source: &str, destination: &str) -> Packet {
    udp_with(socket(source), socket(destination), b"question")
}

pub fn udp_with(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Packet {
    let repr = UdpRepr {
        src_port: source.port(),
        dst_port: destination.port(),
    };
    let length = repr.header_len() + payload.len();
    packet(
        source.ip(),
        destination.ip(),
        IpProtocol::Udp,
        length,
        |bytes| {
            repr.emit(
                &mut UdpPacket::new_unchecked(bytes),
                &source.ip().into(),
                &destination.ip().into(),
                payload.len(),
                |target| target.copy_from_slice(payload),
                &ChecksumCapabilities::default(),
            );
        },
    )
}

/// An SCTP INIT-like packet with a checksum of its own making.
pub fn sctp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Packet {
    let length = 12 + payload.len();
    packet(
        source.ip(),
        destination.ip(),
        IpProtocol::Unknown(132),
        length,
        |bytes| {
            bytes[..2].copy_from_slice(&source.port().to_be_bytes());
            bytes[2..4].copy_from_slice(&destination.port().to_be_bytes());
            bytes[12..].copy_from_slice(payload);
            let checksum = crc32c(bytes);
            bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        },
    )
}

/// A packet of a protocol that has no ports.
pub fn bare(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Packet {
    let protocol = IpProtocol::Unknown(protocol);
    packet(source, destination, protocol, payload.len(), |bytes| {
        bytes.copy_from_slice(payload);
    })
}

/// An ICMP echo between two IPv6 addresses.
pub fn echo_v6(source: Ipv6Addr, destination: Ipv6Addr, id: u16, reply: bool) -> Packet {
    let (from, to) = (source.into(), destination.into());
    packet(from, to, IpProtocol::Icmpv6, 12, |bytes| {
        bytes[0] = 128 + u8::from(reply);
        bytes[4..6].copy_from_slice(&id.to_be_bytes());
        bytes[8..].copy_from_slice(b"ping");
        Icmpv6Packet::new_unchecked(bytes).fill_checksum(&source, &destination);
    })
}

/// An ICMP echo between two IPv4 addresses.
pub fn echo(source: &str, destination: &str, id: u16, reply: bool) -> Packet {
    let (ident, seq_no, data) = (id, 1, b"ping".as_slice());
    let repr = match reply {
        false => Icmpv4Repr::EchoRequest {
            ident,
            seq_no,
            data,
        },
        true => Icmpv4Repr::EchoReply {
            ident,
            seq_no,
            data,
        },
    };
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    packet(
        source,
        destination,
        IpProtocol::Icmp,
        repr.buffer_len(),
        |bytes| {
            let mut icmp = Icmpv4Packet::new_unchecked(bytes);
            repr.emit(&mut icmp, &ChecksumCapabilities::default());
        },
    )
}

/// A "port unreachable" from `source` about a packet that it received.
pub fn port_unreachable(source: &str, about: &Packet) -> Packet {
    let source: IpAddr = source.parse().unwrap();
    let quoted = about.bytes();
    let length = 8 + quoted.len();
    let destination: IpAddr = match quoted[0] >> 4 {
        4 => Ipv4Packet::new_unchecked(quoted).src_addr().into(),
        _ => Ipv6Packet::new_unchecked(quoted).src_addr().into(),
    };
    match (source, destination) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet(source, destination, IpProtocol::Icmpv6, length, |bytes| {
                bytes[..2].copy_from_slice(&[1, 4]);
                bytes[8..].copy_from_slice(quoted);
                Icmpv6Packet::new_unchecked(bytes).fill_checksum(&from, &to);
            })
        }
        _ => packet(source, destination, IpProtocol::Icmp, length, |bytes| {
            bytes[..2].copy_from_slice(&[3, 3]);
            bytes[8..].copy_from_slice(quoted);
            Icmpv4Packet::new_unchecked(bytes).fill_checksum();
        }),
    }
}

/// What is left of an IPv4 packet after the first bytes behind its header, when its header states a length.
pub fn cut(about: &Packet, left: usize, stated: u16) -> Packet {
    let mut bytes = about.bytes()[..20 + left].to_vec();
    let mut header = Ipv4Packet::new_unchecked(&mut bytes);
    header.set_total_len(20 + stated);
    header.fill_checksum();
    Packet::new(bytes)
}

/// The transport header and payload.
pub fn transport(packet: &Packet) -> &[u8] {
    match packet.bytes()[0] >> 4 {
        4 => &packet.bytes()[20..],
        _ => &packet.bytes()[40..],
    }
}

pub fn ttl(packet: &Packet) -> u8 {
    match packet.bytes()[0] >> 4 {
        4 => packet.bytes()[8],
        _ => packet.bytes()[7],
    }
}

/// Checks every checksum of a packet, and of the packet it quotes (as a whole) if it is an ICMP error.
#[track_caller]
pub fn assert_checksums(packet: &Packet) {
    let bytes = packet.bytes();
    let (source, destination, protocol): (IpAddr, IpAddr, IpProtocol) = match bytes[0] >> 4 {
        4 => {
            let header = Ipv4Packet::new_checked(bytes).unwrap();
            assert!(header.verify_checksum(), "IP header of {packet:?}");
            (
                header.src_addr().into(),
                header.dst_addr().into(),
                header.next_header(),
            )
        }
        _ => {
            let header = Ipv6Packet::new_checked(bytes).unwrap();
            (
                header.src_addr().into(),
                header.dst_addr().into(),
                header.next_header(),
            )
        }
    };
    let payload = transport(packet);
    let right = match protocol {
        IpProtocol::Tcp => TcpPacket::new_checked(payload)
            .unwrap()
            .verify_checksum(&source.into(), &destination.into()),
        IpProtocol::Udp => UdpPacket::new_checked(payload)
            .unwrap()
            .verify_checksum(&source.into(), &destination.into()),
        IpProtocol::Icmp => Icmpv4Packet::new_checked(payload)
            .unwrap()
            .verify_checksum(),
        IpProtocol::Icmpv6 => match (source, destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Icmpv6Packet::new_unchecked(payload).verify_checksum(&source, &destination)
            }
            _ => panic!("ICMPv6 within IPv4"),
        },
        IpProtocol::Unknown(132) => {
            let mut blank = payload.to_vec();
            blank[8..12].fill(0);
            payload[8..12] == crc32c(&blank).to_le_bytes()
        }
        _ => true,
    };
    assert!(right, "{protocol} checksum of {packet:?}");
    if packet.quoted_tuple().is_some() {
        let quote = Packet::new(payload[8..].to_vec());
        if quote.tuple().is_some() {
            assert_checksums(&quote);
        }
    }
}

/// CRC-32C one bit at a time, most significant first on reflected bytes: not the code under test.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        for bit in 0..8 {
            let feedback = (crc >> 31) ^ u32::from(byte >> bit & 1);
            crc = (crc << 1) ^ (0x1edc_6f41 * feedback);
        }
    }
    !crc.reverse_bits()
}
