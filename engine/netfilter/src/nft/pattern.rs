//! What a value is compared with: itself, a network, a range.

use std::net::IpAddr;

use ruleset::Family;
use ruleset::nft::{CtState, CtStates, Direction, Key, PacketType, Scalar};
use ruleset::xt::{AddressType, NatTarget};

use super::code::Test;
use super::error::NftError;
use crate::packed::Packed;

/// Bytes of an interface's name, padded with zeros (`IFNAMSIZ`).
pub(crate) const IFNAME: usize = 16;

/// A set of packed values of one length.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// The bits that are compared with `value`: all of them for a single value.
    pub(crate) mask: Packed,
    pub(crate) value: Packed,
    /// Parts that lie in a range that is no network; `mask` leaves them out.
    pub(crate) ranges: Vec<PartRange>,
}

/// A range of one part of a concatenation.
#[derive(Clone, Debug)]
pub(crate) struct PartRange {
    offset: usize,
    first: Packed,
    last: Packed,
}

impl Pattern {
    /// Of no parts.
    const EMPTY: Self = Self {
        mask: Packed::EMPTY,
        value: Packed::EMPTY,
        ranges: Vec::new(),
    };

    /// The values that a key, whose parts may be ranges, stands for.
    pub(crate) fn of(key: &Key) -> Result<Self, NftError> {
        let mut pattern = Self::EMPTY;
        for part in key.parts() {
            pattern.push(&part).ok_or(NftError::TooLong)?;
        }
        Ok(pattern)
    }

    /// The same for one part.
    pub(crate) fn of_part(part: &Scalar) -> Result<Self, NftError> {
        let mut pattern = Self::EMPTY;
        pattern.push(part).ok_or(NftError::TooLong)?;
        Ok(pattern)
    }

    pub(crate) const fn len(&self) -> usize {
        self.value.len()
    }

    /// The only value, if there is only one.
    pub(crate) fn single(&self) -> Option<Packed> {
        let is_single =
            self.ranges.is_empty() && self.mask.bytes().iter().all(|byte| *byte == 0xff);
        is_single.then_some(self.value)
    }

    /// The test for it, in its cheapest form.
    pub(crate) fn into_test(self) -> Test {
        let numbers = (self.mask.to_u32(), self.value.to_u32());
        match (numbers, &self.ranges[..]) {
            ((Some(mask), Some(value)), []) => Test::Masked { mask, value },
            ((Some(_), Some(_)), [range]) if range.first.len() == self.len() => {
                match (range.first.to_u32(), range.last.to_u32()) {
                    (Some(first), Some(last)) => Test::Between(first, last),
                    _ => Test::Pattern(Box::new(self)),
                }
            }
            _ => Test::Pattern(Box::new(self)),
        }
    }

    pub(crate) fn contains(&self, value: &Packed) -> bool {
        value.masked(&self.mask) == self.value
            && self.ranges.iter().all(|range| {
                let end = range.offset + range.first.len();
                let part = value.bytes().get(range.offset..end);
                part.is_some_and(|part| range.first.bytes() <= part && part <= range.last.bytes())
            })
    }

    fn push(&mut self, part: &Scalar) -> Option<()> {
        match part {
            Scalar::Net(net) => {
                self.mask.push_address(net.netmask())?;
                self.value.push_address(net.network())
            }
            Scalar::AddressRange(range) => {
                let mut bounds = [Packed::EMPTY; 2];
                bounds[0].push_address(range.0)?;
                bounds[1].push_address(range.1)?;
                self.push_range(bounds)
            }
            Scalar::PortRange(first, last) => {
                let bounds = [first, last].map(|port| Packed::of(&port.to_be_bytes()));
                self.push_range([bounds[0]?, bounds[1]?])
            }
            Scalar::MarkRange(first, last) => {
                self.push_range([Packed::of_u32(*first), Packed::of_u32(*last)])
            }
            Scalar::Ifname(name) => {
                let (start, counts) = match name.as_str().strip_suffix('*') {
                    Some(start) => (start, start.len()),
                    None => (name.as_str(), IFNAME),
                };
                let mut mask = [0; IFNAME];
                mask.get_mut(..counts)?.fill(0xff);
                self.mask.push(&mask)?;
                self.value.push(&padded(start))
            }
            single => {
                let value = scalar(single)?;
                self.mask.push(&[0xff; Packed::MAX][..value.len()])?;
                self.value.push(value.bytes())
            }
        }
    }

    fn push_range(&mut self, [first, last]: [Packed; 2]) -> Option<()> {
        let zeros = [0; Packed::MAX];
        self.ranges.push(PartRange {
            offset: self.len(),
            first,
            last,
        });
        self.mask.push(&zeros[..first.len()])?;
        self.value.push(&zeros[..first.len()])
    }
}

/// A key without ranges.
pub(crate) fn pack(key: &Key) -> Result<Packed, NftError> {
    Pattern::of(key)?.single().ok_or(NftError::Range)
}

/// A part that is no range.
pub(crate) fn pack_part(part: &Scalar) -> Result<Packed, NftError> {
    Pattern::of_part(part)?.single().ok_or(NftError::Range)
}

/// An interface's name as the kernel keeps it.
pub(crate) fn padded(name: &str) -> [u8; IFNAME] {
    let mut bytes = [0; IFNAME];
    let kept = name.len().min(IFNAME - 1);
    bytes[..kept].copy_from_slice(&name.as_bytes()[..kept]);
    bytes
}

/// The bit that `ct state` shows (`NF_CT_STATE_BIT`); a translation is no state here.
pub(crate) const fn state_bit(state: CtState) -> u32 {
    match state {
        CtState::Invalid => 1,
        CtState::Established => 2,
        CtState::Related => 4,
        CtState::New => 8,
        CtState::Untracked => 64,
        CtState::Snat | CtState::Dnat => 0,
    }
}

/// What `meta nfproto` shows (`NFPROTO_IPV4`, `NFPROTO_IPV6`).
pub(crate) const fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// What `fib … type` shows: the kernel's `RTN_…` numbers.
pub(crate) const fn address_type_number(kind: AddressType) -> u32 {
    match kind {
        AddressType::Unicast => 1,
        AddressType::Local => 2,
        AddressType::Broadcast => 3,
        AddressType::Multicast => 5,
    }
}

/// A single value; `None` for a range.
fn scalar(value: &Scalar) -> Option<Packed> {
    match value {
        Scalar::V4(address) => Packed::of(&address.octets()),
        Scalar::V6(address) => Packed::of(&address.octets()),
        Scalar::Proto(protocol) => Packed::of(&[protocol.0]),
        Scalar::Port(port) => Packed::of(&port.to_be_bytes()),
        Scalar::Mark(number) | Scalar::Number(number) => Some(Packed::of_u32(*number)),
        Scalar::NfProto(family) => Packed::of(&[family_number(*family)]),
        Scalar::IcmpType(kind) | Scalar::Icmpv6Type(kind) => Packed::of(&[*kind]),
        Scalar::TcpFlags(flags) => Packed::of(&[flags.0]),
        Scalar::CtState(states) => Some(Packed::of_u32(state_bits(*states))),
        Scalar::CtStatus(status) => Some(Packed::of_u32(status.0)),
        Scalar::Direction(direction) => Packed::of(&[match direction {
            Direction::Original => 0,
            Direction::Reply => 1,
        }]),
        Scalar::AddressType(kind) => Some(Packed::of_u32(address_type_number(*kind))),
        Scalar::PacketType(kind) => Packed::of(&[packet_type_number(*kind)]),
        Scalar::Net(_)
        | Scalar::AddressRange(_)
        | Scalar::PortRange(..)
        | Scalar::MarkRange(..)
        | Scalar::Ifname(_) => None,
    }
}

/// `PACKET_HOST` and its kin.
pub(crate) const fn packet_type_number(kind: PacketType) -> u8 {
    match kind {
        PacketType::Host => 0,
        PacketType::Broadcast => 1,
        PacketType::Multicast => 2,
        PacketType::Other => 3,
    }
}

fn state_bits(states: CtStates) -> u32 {
    let all = CtState::OF_PACKETS.into_iter();
    let members = all.filter(|state| states.contains(*state));
    members.fold(0, |bits, state| bits | state_bit(state))
}

/// The address, and the port if there is one, that bytes are: what a map for `dnat` leads to.
pub(crate) fn socket(bytes: &[u8]) -> Option<NatTarget> {
    let (address, rest) = match bytes.len() {
        4 | 6 => {
            let (octets, rest) = bytes.split_first_chunk::<4>()?;
            (IpAddr::from(*octets), rest)
        }
        _ => {
            let (octets, rest) = bytes.split_first_chunk::<16>()?;
            (IpAddr::from(*octets), rest)
        }
    };
    let port = match rest {
        [] => None,
        [high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => return None,
    };
    Some(NatTarget { address, port })
}
