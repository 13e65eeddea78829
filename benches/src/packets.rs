//! A node's routes, and the packets of TCP connections.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netfilter::{Hop, InterfaceName, Packet, Routing};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

/// The node's own address.
pub const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1));

/// Every address but the node's own lies behind one interface.
#[derive(Clone, Debug)]
pub struct OneWay {
    interface: InterfaceName,
}

impl OneWay {
    /// Routes through `interface`.
    #[must_use]
    pub const fn through(interface: &'static str) -> Self {
        Self {
            interface: InterfaceName::literal(interface),
        }
    }
}

impl Routing for OneWay {
    fn is_local(&self, address: IpAddr) -> bool {
        address == NODE
    }

    fn route(&self, _: IpAddr) -> Option<Hop> {
        Some(Hop {
            interface: self.interface,
            source_address: NODE,
        })
    }

    fn has_narrow_ways(&self) -> bool {
        false
    }
}

/// A SYN.
#[must_use]
pub fn syn(source: SocketAddr, destination: SocketAddr) -> Packet {
    segment(source, destination, TcpControl::Syn, None, 0)
}

/// The answer to a SYN.
#[must_use]
pub fn syn_ack(source: SocketAddr, destination: SocketAddr) -> Packet {
    segment(
        source,
        destination,
        TcpControl::Syn,
        Some(TcpSeqNumber(1)),
        0,
    )
}

/// A segment of 100 bytes within a connection.
#[must_use]
pub fn data(source: SocketAddr, destination: SocketAddr) -> Packet {
    segment(
        source,
        destination,
        TcpControl::Psh,
        Some(TcpSeqNumber(1)),
        100,
    )
}

fn segment(
    source: SocketAddr,
    destination: SocketAddr,
    control: TcpControl,
    ack_number: Option<TcpSeqNumber>,
    length: usize,
) -> Packet {
    let payload = vec![0; length];
    let tcp = TcpRepr {
        src_port: source.port(),
        dst_port: destination.port(),
        control,
        seq_number: TcpSeqNumber(0),
        ack_number,
        window_len: u16::MAX,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &payload,
    };
    let (from, to) = (source.ip().into(), destination.ip().into());
    let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), 64);
    let mut bytes = vec![0; ip.buffer_len()];
    let checksums = ChecksumCapabilities::default();
    ip.emit(&mut bytes[..], &checksums);
    let rest = &mut bytes[ip.header_len()..];
    tcp.emit(&mut TcpPacket::new_unchecked(rest), &from, &to, &checksums);
    Packet::new(bytes)
}
