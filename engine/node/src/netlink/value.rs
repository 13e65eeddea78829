//! Values, as registers and elements hold them.
//!
//! Source: `src/datatype.c` of nftables 1.0.6. What comes from a packet's headers has the network's byte order, what the
//! kernel keeps for itself the machine's.

use std::net::IpAddr;

use ipnet::IpNet;
use ruleset::Family;
use ruleset::nft::{AddressType, CtState, DataType, Direction, Ident, PacketType, Scalar, Verdict};

use super::uapi::{self, data, verdict};
use super::writer::Writer;
use super::{Encoded, Unknown};

/// Interface names, `IFNAMSIZ`.
pub(super) const NAME_LENGTH: usize = 16;

/// Values in the machine's byte order compare wrongly as bytes, so nothing is done with them but tests for equality.
pub(super) const fn is_ordered(scalar: &Scalar) -> bool {
    matches!(
        scalar,
        Scalar::V4(_)
            | Scalar::V6(_)
            | Scalar::Net(_)
            | Scalar::AddressRange(_)
            | Scalar::Proto(_)
            | Scalar::Port(_)
            | Scalar::PortRange(..)
            | Scalar::IcmpType(_)
            | Scalar::Icmpv6Type(_)
    )
}

/// What values are appended to.
pub(super) trait Bytes {
    /// Appends some.
    fn add<const N: usize>(&mut self, bytes: [u8; N]);
}

impl Bytes for Vec<u8> {
    fn add<const N: usize>(&mut self, bytes: [u8; N]) {
        self.extend_from_slice(&bytes);
    }
}

/// Appends a value.
#[inline]
pub(super) fn put(out: &mut impl Bytes, scalar: &Scalar) -> Encoded {
    match scalar {
        Scalar::V4(address) => out.add(address.octets()),
        Scalar::V6(address) => out.add(address.octets()),
        Scalar::Proto(protocol) => out.add([protocol.0]),
        Scalar::Port(port) => out.add(port.to_be_bytes()),
        Scalar::Mark(number) | Scalar::Number(number) => out.add(number.to_ne_bytes()),
        Scalar::Ifname(name) => {
            let name = name.as_str();
            if name.ends_with('*') {
                return Err(Unknown("the start of an interface's name as a value"));
            }
            let mut bytes = [0; NAME_LENGTH];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            out.add(bytes);
        }
        Scalar::NfProto(of) => out.add([family(*of)]),
        Scalar::IcmpType(kind) | Scalar::Icmpv6Type(kind) => out.add([*kind]),
        Scalar::TcpFlags(flags) => out.add([flags.0]),
        Scalar::CtState(states) => {
            const BITS: [(CtState, u32); 5] = [
                (CtState::Invalid, 1),
                (CtState::Established, 2),
                (CtState::Related, 4),
                (CtState::New, 8),
                (CtState::Untracked, 64),
            ];
            let set = BITS.iter().filter(|(state, _)| states.contains(*state));
            let bits = set.fold(0, |bits, (_, bit)| bits | bit);
            out.add(bits.to_ne_bytes());
        }
        Scalar::CtStatus(status) => out.add(status.0.to_ne_bytes()),
        Scalar::Direction(direction) => out.add(match direction {
            Direction::Original => [0],
            Direction::Reply => [1],
        }),
        Scalar::AddressType(kind) => out.add(address_type(*kind).to_ne_bytes()),
        Scalar::PacketType(kind) => out.add(match kind {
            PacketType::Host => [0],
            PacketType::Broadcast => [1],
            PacketType::Multicast => [2],
            PacketType::Other => [3],
        }),
        Scalar::Net(_)
        | Scalar::AddressRange(_)
        | Scalar::PortRange(..)
        | Scalar::MarkRange(..) => return Err(Unknown("a range as a value")),
    }
    Ok(())
}

/// `RTN_…` of `linux/rtnetlink.h`
const fn address_type(kind: AddressType) -> u32 {
    match kind {
        AddressType::Unicast => 1,
        AddressType::Local => 2,
        AddressType::Broadcast => 3,
        AddressType::Multicast => 5,
    }
}

/// The first and the last value of a range; of a single value, twice that.
pub(super) fn ends(scalar: &Scalar) -> (Scalar, Scalar) {
    match scalar {
        Scalar::Net(net) => {
            let (first, last): (IpAddr, IpAddr) = match net {
                IpNet::V4(net) => (net.network().into(), net.broadcast().into()),
                IpNet::V6(net) => (net.network().into(), net.broadcast().into()),
            };
            (first.into(), last.into())
        }
        Scalar::AddressRange(range) => (range.0.into(), range.1.into()),
        Scalar::PortRange(first, last) => (Scalar::Port(*first), Scalar::Port(*last)),
        Scalar::MarkRange(first, last) => (Scalar::Mark(*first), Scalar::Mark(*last)),
        other => (other.clone(), other.clone()),
    }
}

/// Whether it stands for more than one value.
pub(super) const fn is_range(scalar: &Scalar) -> bool {
    matches!(
        scalar,
        Scalar::Net(_) | Scalar::AddressRange(_) | Scalar::PortRange(..) | Scalar::MarkRange(..)
    )
}

/// The type of a value that a set can hold.
pub(super) const fn type_of(scalar: &Scalar) -> Encoded<DataType> {
    Ok(match scalar {
        Scalar::V4(_) | Scalar::Net(IpNet::V4(_)) => DataType::Ipv4Addr,
        Scalar::V6(_) | Scalar::Net(IpNet::V6(_)) => DataType::Ipv6Addr,
        Scalar::AddressRange(range) => match range.0 {
            IpAddr::V4(_) => DataType::Ipv4Addr,
            IpAddr::V6(_) => DataType::Ipv6Addr,
        },
        Scalar::Proto(_) => DataType::InetProto,
        Scalar::Port(_) | Scalar::PortRange(..) => DataType::InetService,
        Scalar::Mark(_) | Scalar::MarkRange(..) => DataType::Mark,
        Scalar::Number(_) => DataType::Integer,
        Scalar::Ifname(_) => DataType::Ifname,
        Scalar::NfProto(_) => DataType::NfProto,
        Scalar::IcmpType(_) => DataType::IcmpType,
        Scalar::Icmpv6Type(_) => DataType::Icmpv6Type,
        Scalar::CtState(_) => DataType::CtState,
        Scalar::AddressType(_) => DataType::FibAddrType,
        Scalar::PacketType(_) => DataType::PktType,
        Scalar::TcpFlags(_) | Scalar::CtStatus(_) | Scalar::Direction(_) => {
            return Err(Unknown("flags or directions in a set"));
        }
    })
}

/// `NFPROTO_…`
pub(super) const fn family(family: Family) -> u8 {
    match family {
        Family::V4 => uapi::family::IPV4,
        Family::V6 => uapi::family::IPV6,
    }
}

/// `struct nft_data` of a value that is written by `put`.
pub(super) fn value(
    out: &mut Writer,
    kind: u16,
    put: impl FnOnce(&mut Vec<u8>) -> Encoded,
) -> Encoded {
    let nest = out.open_nest(kind);
    let value = out.open(data::VALUE);
    put(out.content())?;
    out.close(value);
    out.close(nest);
    Ok(())
}

/// `struct nft_data` of a verdict.
pub(super) fn verdict(out: &mut Writer, kind: u16, verdict: &Verdict) {
    let (code, chain): (i32, Option<&Ident>) = match verdict {
        Verdict::Accept => (verdict::ACCEPT, None),
        Verdict::Drop => (verdict::DROP, None),
        Verdict::Continue => (verdict::CONTINUE, None),
        Verdict::Return => (verdict::RETURN, None),
        Verdict::Jump(chain) => (verdict::JUMP, Some(chain)),
        Verdict::Goto(chain) => (verdict::GOTO, Some(chain)),
    };
    let nest = out.open_nest(kind);
    let content = out.open_nest(data::VERDICT);
    out.bytes(data::VERDICT_CODE, &code.to_be_bytes());
    if let Some(chain) = chain {
        out.text(data::VERDICT_CHAIN, chain.as_str());
    }
    out.close(content);
    out.close(nest);
}

/// Times are milliseconds.
pub(super) fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
