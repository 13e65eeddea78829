//! Making packets, answering them, and what of them can be compared.

use std::net::{IpAddr, SocketAddr};

use netfilter::{Packet, Tuple};
use ruleset::{Family, Protocol};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket,
    TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

const PAYLOAD: &[u8] = b"question";

/// The first packet of a connection.
pub(crate) fn syn(from: &str, to: &str) -> Packet {
    tcp(socket(from), socket(to), TcpControl::Syn, 1000, None)
}

/// A packet that only acknowledges: in the middle of a connection.
pub(crate) fn ack(from: &str, to: &str) -> Packet {
    tcp(socket(from), socket(to), TcpControl::None, 1001, Some(5001))
}

pub(crate) fn udp(from: &str, to: &str) -> Packet {
    datagram(socket(from), socket(to), PAYLOAD)
}

/// An ICMP echo request of the family of its addresses.
pub(crate) fn ping(from: &str, to: &str) -> Packet {
    echo(address(from), address(to), 7, false)
}

pub(crate) fn pong(from: &str, to: &str) -> Packet {
    echo(address(from), address(to), 7, true)
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("tests write addresses with ports")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("tests write addresses")
}

/// The first packet of a flow.
pub(crate) fn first(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Packet {
    match protocol {
        Protocol::TCP => tcp(from, to, TcpControl::Syn, 1000, None),
        Protocol::UDP => datagram(from, to, PAYLOAD),
        _ => panic!("nobody opens flows of {protocol} here"),
    }
}

/// A TCP segment without payload and options.
pub(crate) fn tcp(
    from: SocketAddr,
    to: SocketAddr,
    control: TcpControl,
    sequence: u32,
    acknowledged: Option<u32>,
) -> Packet {
    let repr = TcpRepr {
        src_port: from.port(),
        dst_port: to.port(),
        control,
        seq_number: number(sequence),
        ack_number: acknowledged.map(number),
        window_len: if control == TcpControl::Rst { 0 } else { 4096 },
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"",
    };
    around(
        from.ip(),
        to.ip(),
        IpProtocol::Tcp,
        repr.buffer_len(),
        |bytes| {
            let mut packet = TcpPacket::new_unchecked(bytes);
            let (from, to) = (from.ip().into(), to.ip().into());
            repr.emit(&mut packet, &from, &to, &ChecksumCapabilities::default());
        },
    )
}

/// Sequence numbers wrap; smoltcp counts them with a sign.
const fn number(sequence: u32) -> TcpSeqNumber {
    TcpSeqNumber(sequence.cast_signed())
}

/// A UDP datagram.
pub(crate) fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Packet {
    let repr = UdpRepr {
        src_port: from.port(),
        dst_port: to.port(),
    };
    let length = repr.header_len() + payload.len();
    around(from.ip(), to.ip(), IpProtocol::Udp, length, |bytes| {
        let mut packet = UdpPacket::new_unchecked(bytes);
        let (from, to) = (from.ip().into(), to.ip().into());
        let fill = |target: &mut [u8]| target.copy_from_slice(payload);
        let checksums = ChecksumCapabilities::default();
        repr.emit(&mut packet, &from, &to, payload.len(), fill, &checksums);
    })
}

/// An ICMP echo request or reply.
pub(crate) fn echo(from: IpAddr, to: IpAddr, id: u16, reply: bool) -> Packet {
    let kind = match (Family::of(from), reply) {
        (Family::V4, false) => 8,
        (Family::V4, true) => 0,
        (Family::V6, false) => 128,
        (Family::V6, true) => 129,
    };
    let [high, low] = id.to_be_bytes();
    icmp(from, to, [kind, 0], [high, low, 0, 1], PAYLOAD)
}

/// A "port unreachable" from `from` about a packet that it received.
pub(crate) fn port_unreachable(from: IpAddr, about: &Packet) -> Packet {
    let kind = match Family::of(from) {
        Family::V4 => [3, 3],
        Family::V6 => [1, 4],
    };
    icmp(from, source(about), kind, [0; 4], about.bytes())
}

fn icmp(from: IpAddr, to: IpAddr, kind: [u8; 2], rest: [u8; 4], data: &[u8]) -> Packet {
    let protocol = match Family::of(from) {
        Family::V4 => IpProtocol::Icmp,
        Family::V6 => IpProtocol::Icmpv6,
    };
    around(from, to, protocol, 8 + data.len(), |bytes| {
        bytes[..2].copy_from_slice(&kind);
        bytes[4..8].copy_from_slice(&rest);
        bytes[8..].copy_from_slice(data);
        match (from, to) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                Icmpv6Packet::new_unchecked(bytes).fill_checksum(&from, &to);
            }
            _ => Icmpv4Packet::new_unchecked(bytes).fill_checksum(),
        }
    })
}

/// An IP packet around a payload that `fill` writes.
fn around(
    from: IpAddr,
    to: IpAddr,
    protocol: IpProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Packet {
    let header = IpRepr::new(from.into(), to.into(), protocol, length, 64);
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut bytes[..], &ChecksumCapabilities::default());
    fill(&mut bytes[header.header_len()..]);
    Packet::new(bytes)
}

/// The same packet with so many hops left.
pub(crate) fn with_ttl(packet: Packet, ttl: u8) -> Packet {
    let mut bytes = packet.into_bytes();
    match bytes[0] >> 4 {
        4 => {
            let mut header = Ipv4Packet::new_unchecked(&mut bytes);
            header.set_hop_limit(ttl);
            header.fill_checksum();
        }
        _ => Ipv6Packet::new_unchecked(&mut bytes).set_hop_limit(ttl),
    }
    Packet::new(bytes)
}

/// What whoever receives a packet of a flow answers, if a process waits for it (`open`) or not.
pub(crate) fn answer(packet: &Packet, open: bool) -> Option<Packet> {
    let tuple = packet.tuple()?;
    let (from, to) = (tuple.destination_socket(), tuple.source_socket());
    match tuple.protocol() {
        Protocol::TCP => {
            let segment = TcpPacket::new_unchecked(transport(packet));
            let next = (segment.seq_number() + segment.segment_len())
                .0
                .cast_unsigned();
            match (segment.syn(), segment.ack(), segment.rst(), open) {
                (_, _, true, _) => None,
                (true, false, _, true) => Some(tcp(from, to, TcpControl::Syn, 5000, Some(next))),
                (true, false, _, false) => Some(tcp(from, to, TcpControl::Rst, 0, Some(next))),
                (true, true, ..) => {
                    let own = segment.ack_number().0.cast_unsigned();
                    Some(tcp(from, to, TcpControl::None, own, Some(next)))
                }
                _ => None,
            }
        }
        Protocol::UDP if open => Some(datagram(from, to, b"answer")),
        Protocol::UDP => Some(port_unreachable(from.ip(), packet)),
        _ => {
            let id = tuple.echo_id().filter(|_| !tuple.is_echo_reply())?;
            Some(echo(from.ip(), to.ip(), id, true))
        }
    }
}

/// Gives a connection up, as its client.
pub(crate) fn reset(client: SocketAddr, server: SocketAddr) -> Packet {
    tcp(client, server, TcpControl::Rst, 1001, None)
}

/// The transport header and what follows.
pub(crate) fn transport(packet: &Packet) -> &[u8] {
    match packet.bytes()[0] >> 4 {
        4 => &packet.bytes()[20..],
        _ => &packet.bytes()[40..],
    }
}

pub(crate) fn source(packet: &Packet) -> IpAddr {
    match packet.bytes()[0] >> 4 {
        4 => Ipv4Packet::new_unchecked(packet.bytes()).src_addr().into(),
        _ => Ipv6Packet::new_unchecked(packet.bytes()).src_addr().into(),
    }
}

pub(crate) fn destination(packet: &Packet) -> IpAddr {
    match packet.bytes()[0] >> 4 {
        4 => Ipv4Packet::new_unchecked(packet.bytes()).dst_addr().into(),
        _ => Ipv6Packet::new_unchecked(packet.bytes()).dst_addr().into(),
    }
}

/// A source port or echo identifier: what a masquerade may have chosen.
pub(crate) fn chosen_port(tuple: &Tuple) -> Option<u16> {
    tuple.source_port().or(tuple.echo_id())
}

/// A packet but for what a sender sets as it likes: identification and type of service, the fragment flags and
/// the flow label. Checksums over what is left out are checked, not compared.
pub(crate) fn comparable(packet: &Packet) -> Vec<u8> {
    assert!(is_intact(packet), "wrong checksum: {:02x?}", packet.bytes());
    let mut bytes = packet.bytes().to_vec();
    let header = bytes.len() - transport(packet).len();
    blank_header(&mut bytes);
    if packet.quoted_tuple().is_some() {
        bytes[header + 2..header + 4].fill(0);
    }
    bytes
}

fn blank_header(bytes: &mut [u8]) {
    match bytes[0] >> 4 {
        4 => {
            bytes[1] = 0;
            bytes[4..8].fill(0);
            bytes[10..12].fill(0);
        }
        _ => {
            bytes[0] = 0x60;
            bytes[1..4].fill(0);
        }
    }
}

/// Whether the checksums of the IP header and of an ICMP message are right.
fn is_intact(packet: &Packet) -> bool {
    let (bytes, message) = (packet.bytes(), transport(packet));
    match (source(packet), destination(packet)) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            bytes[6] != u8::from(IpProtocol::Icmpv6)
                || Icmpv6Packet::new_unchecked(message).verify_checksum(&from, &to)
        }
        _ => {
            let header = Ipv4Packet::new_unchecked(bytes);
            header.verify_checksum()
                && (header.next_header() != IpProtocol::Icmp
                    || Icmpv4Packet::new_unchecked(message).verify_checksum())
        }
    }
}
