//! First packets as bytes.

use std::net::SocketAddr;

use api::Protocol;
use netfilter::Packet;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Message, Icmpv6Message, IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    UdpPacket, UdpRepr,
};
use switchboard_conformance::{FirstPacket, PacketKind};

pub fn first(packet: &FirstPacket, client: SocketAddr) -> Packet {
    match packet.kind {
        PacketKind::Open(Protocol::Tcp) => syn(client, packet.destination),
        PacketKind::Open(Protocol::Udp) => datagram(client, packet.destination),
        PacketKind::Open(Protocol::Sctp) => init(client, packet.destination),
        PacketKind::Ping => echo(client, packet.destination),
    }
}

fn syn(from: SocketAddr, to: SocketAddr) -> Packet {
    let repr = TcpRepr {
        src_port: from.port(),
        dst_port: to.port(),
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1000),
        ack_number: None,
        window_len: 4096,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"",
    };
    around(from, to, IpProtocol::Tcp, repr.buffer_len(), |bytes| {
        let mut packet = TcpPacket::new_unchecked(bytes);
        let (from, to) = (from.ip().into(), to.ip().into());
        repr.emit(&mut packet, &from, &to, &ChecksumCapabilities::default());
    })
}

pub fn datagram(from: SocketAddr, to: SocketAddr) -> Packet {
    let repr = UdpRepr {
        src_port: from.port(),
        dst_port: to.port(),
    };
    let payload = b"question";
    around(
        from,
        to,
        IpProtocol::Udp,
        repr.header_len() + payload.len(),
        |bytes| {
            let mut packet = UdpPacket::new_unchecked(bytes);
            let (from, to) = (from.ip().into(), to.ip().into());
            let fill = |target: &mut [u8]| target.copy_from_slice(payload);
            let checksums = ChecksumCapabilities::default();
            repr.emit(&mut packet, &from, &to, payload.len(), fill, &checksums);
        },
    )
}

fn around(
    from: SocketAddr,
    to: SocketAddr,
    protocol: IpProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Packet {
    let header = IpRepr::new(from.ip().into(), to.ip().into(), protocol, length, 64);
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut bytes[..], &ChecksumCapabilities::default());
    fill(&mut bytes[header.header_len()..]);
    Packet::new(bytes)
}

/// The beginning of an SCTP packet that asks for an association: ports, tag, the head of an INIT chunk, and a checksum
/// that nobody here looks at.
fn init(from: SocketAddr, to: SocketAddr) -> Packet {
    around(from, to, IpProtocol::Unknown(132), 16, |bytes| {
        bytes[..2].copy_from_slice(&from.port().to_be_bytes());
        bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
        bytes[12..].copy_from_slice(&[1, 0, 0, 4]);
    })
}

/// An echo request without content; nobody here looks at its checksum.
fn echo(from: SocketAddr, to: SocketAddr) -> Packet {
    let (protocol, kind) = if to.is_ipv4() {
        (IpProtocol::Icmp, Icmpv4Message::EchoRequest.into())
    } else {
        (IpProtocol::Icmpv6, Icmpv6Message::EchoRequest.into())
    };
    around(from, to, protocol, 8, |bytes| {
        bytes[0] = kind;
        bytes[4..6].copy_from_slice(&from.port().to_be_bytes());
    })
}
