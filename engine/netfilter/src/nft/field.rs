//! What expressions read from a packet.
//!
//! **Source of the semantics.** Linux `nft_payload.c`, `nft_meta.c`, `nft_ct.c`; the tests that nft adds to the
//! fields of a particular protocol (nft(8), "payload expressions").

use std::net::IpAddr;

use ruleset::nft::{CtKey, Field, MetaKey, PacketType};
use ruleset::{Family, Protocol};

use super::compile::field_width;
use super::pattern::packet_type_number;
use super::register::Register;
use crate::connection::{Connection, Tracking};
use crate::entry::Direction;
use crate::eval::Flight;
use crate::packed::Packed;
use crate::packet::Datagram;
use crate::{Chooser, Routing, Tracer};

/// A field of at most four bytes; `None` when the packet has no such field, or it is longer.
#[inline]
pub(super) fn field_number(datagram: &Datagram, field: Field) -> Option<u32> {
    let headers = &datagram.headers;
    match field {
        Field::IpSaddr => v4(headers.source),
        Field::IpDaddr => v4(headers.destination),
        Field::IpProtocol => {
            let is_v4 = headers.family() == Family::V4;
            is_v4.then_some(headers.protocol.0.into())
        }
        Field::Ip6Nexthdr => {
            let is_v6 = headers.family() == Family::V6;
            is_v6
                .then(|| datagram.bytes.get(6).copied())?
                .map(u32::from)
        }
        Field::ThSport => word(datagram, 0),
        Field::ThDport => word(datagram, 2),
        Field::TcpSport => of(datagram, Protocol::TCP, word(datagram, 0)),
        Field::TcpDport => of(datagram, Protocol::TCP, word(datagram, 2)),
        Field::TcpFlags => of(datagram, Protocol::TCP, byte(datagram, 13)),
        Field::UdpSport => of(datagram, Protocol::UDP, word(datagram, 0)),
        Field::UdpDport => of(datagram, Protocol::UDP, word(datagram, 2)),
        Field::SctpSport => of(datagram, Protocol::SCTP, word(datagram, 0)),
        Field::SctpDport => of(datagram, Protocol::SCTP, word(datagram, 2)),
        Field::IcmpType => of(datagram, Protocol::ICMP, byte(datagram, 0)),
        Field::Icmpv6Type => of(datagram, Protocol::ICMPV6, byte(datagram, 0)),
        Field::Ip6Saddr | Field::Ip6Daddr => None,
    }
}

/// Appends a field; `None` when the packet has no such field.
pub(super) fn push_field(datagram: &Datagram, field: Field, into: &mut Packed) -> Option<()> {
    let address = match field {
        Field::Ip6Saddr => datagram.headers.source,
        Field::Ip6Daddr => datagram.headers.destination,
        _ => return into.push_number(field_number(datagram, field)?, field_width(field)),
    };
    match address {
        IpAddr::V6(_) => into.push_address(address),
        IpAddr::V4(_) => None,
    }
}

const fn v4(address: IpAddr) -> Option<u32> {
    match address {
        IpAddr::V4(address) => Some(address.to_bits()),
        IpAddr::V6(_) => None,
    }
}

/// Of the transport header, whatever protocol it is of.
fn word(datagram: &Datagram, at: usize) -> Option<u32> {
    let bytes = datagram.transport().get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]).into())
}

fn byte(datagram: &Datagram, at: usize) -> Option<u32> {
    datagram.transport().get(at).copied().map(u32::from)
}

fn of(datagram: &Datagram, protocol: Protocol, value: Option<u32>) -> Option<u32> {
    value.filter(|_| datagram.headers.protocol == protocol)
}

impl<R: Routing, C: Chooser, T: Tracer> Flight<'_, R, C, T> {
    /// What kind of packet it is to the link (`meta pkttype`).
    ///
    /// Deviation: links are not modelled below IP, so it follows from the destination.
    pub(crate) fn packet_type(&self) -> u32 {
        let kind = match self.datagram.headers.destination {
            address if address.is_multicast() => PacketType::Multicast,
            IpAddr::V4(address) if address.is_broadcast() => PacketType::Broadcast,
            _ => PacketType::Host,
        };
        packet_type_number(kind).into()
    }

    /// The name of an interface that `meta` knows: empty at hooks that have none.
    pub(super) fn meta_name(&self, key: MetaKey) -> Option<&str> {
        match key {
            MetaKey::Iifname | MetaKey::Iif => Some(self.in_interface),
            MetaKey::Oifname | MetaKey::Oif => Some(self.out_interface()),
            MetaKey::L4proto
            | MetaKey::Mark
            | MetaKey::Nfproto
            | MetaKey::Pkttype
            | MetaKey::Random => None,
        }
    }

    /// What `ct` knows; `None` when the packet has no connection.
    pub(super) fn ct_number(&self, key: CtKey) -> Option<u32> {
        let connection = || match &self.tracking {
            Tracking::Connection(connection) => Some(connection),
            Tracking::Unseen | Tracking::Invalid | Tracking::Untracked => None,
        };
        match key {
            CtKey::State => self.registers.get(Register::CtState),
            CtKey::Status => connection().map(Connection::status),
            CtKey::Mark => connection().map(|connection| connection.progress.mark),
            CtKey::Direction => connection().map(|connection| match connection.direction {
                Direction::Original => 0,
                Direction::Reply => 1,
            }),
        }
    }
}
