//! What a set holds, and what a map leads to.
//!
//! **What.** A [`Key`] is one or more values as one run of bytes: of each the number of its sort, and then the value itself,
//! its highest byte first. So bytes sort as lists of values do, and no value needs to be looked at to compare two keys.
//! **Why.** A node's tables hold hundreds of thousands, and to make them costs first of all the memory that they touch.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{AddressType, CtStates, CtStatus, Direction, Ifname, PacketType, Scalar, TcpFlags};
use crate::{Family, Protocol};

/// A value of one or more parts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Bytes);

/// Those of all parts, one after the other.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Bytes {
    /// As many as there is room for, and zeros behind them.
    Inline { len: u8, bytes: [u8; INLINE] },
    /// More than that.
    Outside(Vec<u8>),
}

/// As much as a key of 32 bytes has room for. An IPv6 address, a port and a number take 25.
const INLINE: usize = 30;

/// The sorts of values, in the order of [`Scalar`]'s. None is zero, so zeros behind a key sort as its end does.
mod sort {
    pub(super) const V4: u8 = 1;
    pub(super) const V6: u8 = 2;
    pub(super) const NET: u8 = 3;
    pub(super) const ADDRESS_RANGE: u8 = 4;
    pub(super) const PROTO: u8 = 5;
    pub(super) const PORT: u8 = 6;
    pub(super) const PORT_RANGE: u8 = 7;
    pub(super) const MARK: u8 = 8;
    pub(super) const MARK_RANGE: u8 = 9;
    pub(super) const NUMBER: u8 = 10;
    pub(super) const IFNAME: u8 = 11;
    pub(super) const NF_PROTO: u8 = 12;
    pub(super) const ICMP_TYPE: u8 = 13;
    pub(super) const ICMPV6_TYPE: u8 = 14;
    pub(super) const TCP_FLAGS: u8 = 15;
    pub(super) const CT_STATE: u8 = 16;
    pub(super) const CT_STATUS: u8 = 17;
    pub(super) const DIRECTION: u8 = 18;
    pub(super) const ADDRESS_TYPE: u8 = 19;
    pub(super) const PACKET_TYPE: u8 = 20;
}

impl Key {
    /// One without parts yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Bytes::Inline {
            len: 0,
            bytes: [0; INLINE],
        })
    }

    /// An address alone.
    #[must_use]
    #[inline]
    pub fn of_address(address: IpAddr) -> Self {
        Self::new().then_address(address)
    }

    /// With an address behind it.
    #[must_use]
    #[inline]
    pub fn then_address(mut self, address: IpAddr) -> Self {
        self.push_address(address);
        self
    }

    /// With a protocol behind it.
    #[must_use]
    #[inline]
    pub fn then_protocol(mut self, protocol: Protocol) -> Self {
        self.append(&[sort::PROTO, protocol.0]);
        self
    }

    /// With a port behind it.
    #[must_use]
    #[inline]
    pub fn then_port(mut self, port: u16) -> Self {
        self.push_port(port);
        self
    }

    /// With a number behind it.
    #[must_use]
    #[inline]
    pub fn then_number(mut self, number: u32) -> Self {
        self.push_number(sort::NUMBER, number);
        self
    }

    /// Puts a part behind the others.
    pub fn push(&mut self, part: &Scalar) {
        match part {
            Scalar::V4(address) => self.push_address((*address).into()),
            Scalar::V6(address) => self.push_address((*address).into()),
            Scalar::Net(net) => {
                self.append(&[sort::NET]);
                self.push_address(net.addr());
                self.append(&[net.prefix_len()]);
            }
            Scalar::AddressRange(range) => {
                self.append(&[sort::ADDRESS_RANGE]);
                self.push_address(range.0);
                self.push_address(range.1);
            }
            Scalar::Proto(protocol) => self.append(&[sort::PROTO, protocol.0]),
            Scalar::Port(port) => self.push_port(*port),
            Scalar::PortRange(first, last) => {
                self.append(&[sort::PORT_RANGE]);
                self.append(&first.to_be_bytes());
                self.append(&last.to_be_bytes());
            }
            Scalar::Mark(mark) => self.push_number(sort::MARK, *mark),
            Scalar::MarkRange(first, last) => {
                self.push_number(sort::MARK_RANGE, *first);
                self.append(&last.to_be_bytes());
            }
            Scalar::Number(number) => self.push_number(sort::NUMBER, *number),
            Scalar::Ifname(name) => {
                self.append(&[sort::IFNAME]);
                self.append(name.as_str().as_bytes());
                // No name has it.
                self.append(&[0]);
            }
            Scalar::NfProto(family) => self.append(&[sort::NF_PROTO, *family as u8]),
            Scalar::IcmpType(kind) => self.append(&[sort::ICMP_TYPE, *kind]),
            Scalar::Icmpv6Type(kind) => self.append(&[sort::ICMPV6_TYPE, *kind]),
            Scalar::TcpFlags(flags) => self.append(&[sort::TCP_FLAGS, flags.0]),
            Scalar::CtState(states) => self.append(&[sort::CT_STATE, states.0]),
            Scalar::CtStatus(status) => self.push_number(sort::CT_STATUS, status.0),
            Scalar::Direction(direction) => self.append(&[sort::DIRECTION, *direction as u8]),
            Scalar::AddressType(kind) => self.append(&[sort::ADDRESS_TYPE, *kind as u8]),
            Scalar::PacketType(kind) => self.append(&[sort::PACKET_TYPE, *kind as u8]),
        }
    }

    /// Its parts, in order.
    #[must_use]
    #[inline]
    pub fn parts(&self) -> Parts<'_> {
        Parts { rest: self.bytes() }
    }

    /// Its only part; `None` when there are more or none.
    #[must_use]
    #[inline]
    pub fn only(&self) -> Option<Scalar> {
        let mut parts = self.parts();
        let part = parts.next()?;
        parts.rest.is_empty().then_some(part)
    }

    /// What stands before the last part, and that.
    #[must_use]
    pub fn split_last(&self) -> Option<(Self, Scalar)> {
        let mut parts = self.parts();
        loop {
            let from = parts.rest.len();
            let part = parts.next()?;
            if parts.rest.is_empty() {
                let bytes = self.bytes();
                let mut before = Self::new();
                before.append(&bytes[..bytes.len() - from]);
                return Some((before, part));
            }
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Outside(bytes) => bytes,
        }
    }

    #[inline]
    fn push_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.push_number(sort::V4, address.to_bits()),
            IpAddr::V6(address) => {
                self.append(&[sort::V6]);
                self.append(&address.octets());
            }
        }
    }

    #[inline]
    fn push_port(&mut self, port: u16) {
        let [high, low] = port.to_be_bytes();
        self.append(&[sort::PORT, high, low]);
    }

    #[inline]
    fn push_number(&mut self, sort: u8, number: u32) {
        let [first, second, third, fourth] = number.to_be_bytes();
        self.append(&[sort, first, second, third, fourth]);
    }

    /// Always inlined, for it is a store or two where it is known how many bytes there are.
    #[inline(always)]
    fn append(&mut self, more: &[u8]) {
        if let Bytes::Inline { len, bytes } = &mut self.0 {
            let end = usize::from(*len) + more.len();
            if let Some(place) = bytes.get_mut(usize::from(*len)..end) {
                place.copy_from_slice(more);
                *len = end as u8;
                return;
            }
        }
        self.append_outside(more);
    }

    #[cold]
    fn append_outside(&mut self, more: &[u8]) {
        match &mut self.0 {
            Bytes::Outside(bytes) => bytes.extend_from_slice(more),
            Bytes::Inline { .. } => self.0 = Bytes::Outside([self.bytes(), more].concat()),
        }
    }
}

/// Two numbers that sort as the bytes do: the second one matters where the first ones are equal, and so it does not matter
/// that it begins with the last bytes of the first one.
#[inline]
fn numbers(bytes: &[u8; INLINE]) -> [u128; 2] {
    let ends = [bytes.first_chunk(), bytes.last_chunk()];
    ends.map(|end| u128::from_be_bytes(*end.expect("there are more")))
}

impl Default for Key {
    fn default() -> Self {
        Self::new()
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Bytes::Inline { bytes: one, .. }, Bytes::Inline { bytes: other, .. }) => {
                numbers(one).cmp(&numbers(other))
            }
            _ => self.bytes().cmp(other.bytes()),
        }
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromIterator<Scalar> for Key {
    fn from_iter<I: IntoIterator<Item = Scalar>>(parts: I) -> Self {
        let mut key = Self::new();
        for part in parts {
            key.push(&part);
        }
        key
    }
}

impl<const N: usize> From<[Scalar; N]> for Key {
    fn from(parts: [Scalar; N]) -> Self {
        Self::from_iter(parts)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts()).finish()
    }
}

/// The parts of a key.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// Whole parts.
    rest: &'a [u8],
}

impl Iterator for Parts<'_> {
    type Item = Scalar;

    #[inline]
    fn next(&mut self) -> Option<Scalar> {
        let [sort] = self.take()?;
        Some(match sort {
            sort::V4 => Scalar::V4(self.take::<4>()?.into()),
            sort::V6 => Scalar::V6(self.take::<16>()?.into()),
            sort::PROTO => Scalar::Proto(Protocol(self.byte()?)),
            sort::PORT => Scalar::Port(self.short()?),
            sort::NUMBER => Scalar::Number(self.number()?),
            rare => return self.rare(rare),
        })
    }
}

impl Parts<'_> {
    fn rare(&mut self, sort: u8) -> Option<Scalar> {
        Some(match sort {
            sort::NET => {
                let address = self.address()?;
                Scalar::Net(IpNet::new(address, self.byte()?).ok()?)
            }
            sort::ADDRESS_RANGE => {
                Scalar::AddressRange(Box::new((self.address()?, self.address()?)))
            }
            sort::PORT_RANGE => Scalar::PortRange(self.short()?, self.short()?),
            sort::MARK => Scalar::Mark(self.number()?),
            sort::MARK_RANGE => Scalar::MarkRange(self.number()?, self.number()?),
            sort::IFNAME => Scalar::Ifname(self.ifname()?),
            sort::NF_PROTO => Scalar::NfProto(self.one_of(&Family::ALL)?),
            sort::ICMP_TYPE => Scalar::IcmpType(self.byte()?),
            sort::ICMPV6_TYPE => Scalar::Icmpv6Type(self.byte()?),
            sort::TCP_FLAGS => Scalar::TcpFlags(TcpFlags(self.byte()?)),
            sort::CT_STATE => Scalar::CtState(CtStates(self.byte()?)),
            sort::CT_STATUS => Scalar::CtStatus(CtStatus(self.number()?)),
            sort::DIRECTION => Scalar::Direction(self.one_of(&Direction::ALL)?),
            sort::ADDRESS_TYPE => Scalar::AddressType(self.one_of(&AddressType::ALL)?),
            sort::PACKET_TYPE => Scalar::PacketType(self.one_of(&PacketType::ALL)?),
            _ => return None,
        })
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*first)
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    #[inline]
    fn short(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    #[inline]
    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// One that stands within a part, as it would as one.
    fn address(&mut self) -> Option<IpAddr> {
        match self.byte()? {
            sort::V4 => Some(self.take::<4>()?.into()),
            _ => Some(self.take::<16>()?.into()),
        }
    }

    fn ifname(&mut self) -> Option<Ifname> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        Ifname::new(str::from_utf8(name).ok()?)
    }

    /// That of this number.
    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        all.get(usize::from(self.byte()?)).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::super::{CtState, Element};
    use super::*;

    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![0..3_u32, Just(255), Just(256), any::<u32>()]
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        let v6 = |(high, low)| Ipv6Addr::from(u128::from(high) << 64 | u128::from(low));
        prop_oneof![
            number().prop_map(|bits| Ipv4Addr::from(bits).into()),
            (number(), number()).prop_map(move |halves: (u32, u32)| v6(halves).into()),
        ]
    }

    fn net() -> impl Strategy<Value = IpNet> {
        (address(), 0..=128_u8).prop_map(|(address, length)| {
            let longest = Family::of(address).address_bits();
            IpNet::new(address, length.min(longest)).expect("so long it may be")
        })
    }

    fn scalar() -> impl Strategy<Value = Scalar> {
        prop_oneof![
            address().prop_map(Scalar::from),
            net().prop_map(Scalar::net),
            (address(), address()).prop_map(|range| Scalar::AddressRange(Box::new(range))),
            any::<u8>().prop_map(|number| Scalar::Proto(Protocol(number))),
            any::<u16>().prop_map(Scalar::Port),
            (0..3_u16, 0..300_u16).prop_map(|(first, last)| Scalar::PortRange(first, last)),
            number().prop_map(Scalar::Mark),
            (number(), number()).prop_map(|(first, last)| Scalar::MarkRange(first, last)),
            number().prop_map(Scalar::Number),
            "[a-zé]{1,7}[*]?".prop_map(|name| {
                Scalar::Ifname(Ifname::new(&name).expect("interfaces can have it"))
            }),
            any::<u8>().prop_map(Scalar::IcmpType),
            any::<u8>().prop_map(Scalar::Icmpv6Type),
            any::<u8>().prop_map(|bits| Scalar::TcpFlags(TcpFlags(bits))),
            number().prop_map(|bits| Scalar::CtStatus(CtStatus(bits))),
            proptest::sample::select(words()),
        ]
    }

    /// All values of the sorts that have few.
    fn words() -> Vec<Scalar> {
        let states = CtState::OF_PACKETS.map(|state| Scalar::CtState(CtStates::of(&[state])));
        let families = Family::ALL.map(Scalar::NfProto);
        let directions = Direction::ALL.map(Scalar::Direction);
        let address_types = AddressType::ALL.map(Scalar::AddressType);
        let packet_types = PacketType::ALL.map(Scalar::PacketType);
        let few = families.into_iter().chain(directions);
        let more = address_types.into_iter().chain(packet_types);
        few.chain(more).chain(states).collect()
    }

    fn parts() -> impl Strategy<Value = Vec<Scalar>> {
        proptest::collection::vec(scalar(), 0..4)
    }

    fn key(parts: &[Scalar]) -> Key {
        parts.iter().cloned().collect()
    }

    proptest! {
        #[test]
        fn parts_come_out_as_they_went_in(parts in parts()) {
            let key = key(&parts);
            prop_assert_eq!(key.parts().collect::<Vec<_>>(), parts.as_slice());
            prop_assert_eq!(format!("{key:?}"), format!("{parts:?}"));
            let only = <[Scalar; 1]>::try_from(parts.clone()).ok().map(|[only]| only);
            prop_assert_eq!(key.only(), only);
            let split = parts.split_last().map(|(last, before)| (self::key(before), last.clone()));
            prop_assert_eq!(key.split_last(), split);
        }

        #[test]
        fn keys_sort_as_lists_of_parts_do(
            start in parts(),
            one in parts(),
            other in parts(),
        ) {
            let whole = |rest: Vec<Scalar>| [start.clone(), rest].concat();
            let (one, other) = (whole(one), whole(other));
            let due = one.cmp(&other);
            let (one, other) = (key(&one), key(&other));
            prop_assert_eq!(one.cmp(&other), due);
            prop_assert_eq!(one == other, due.is_eq());
        }

        #[test]
        fn what_is_put_behind_is_a_part(address in address(), port: u16, number: u32) {
            let quick = Key::of_address(address).then_protocol(Protocol::UDP);
            let quick = quick.then_port(port).then_number(number).then_address(address);
            prop_assert_eq!(quick, Key::from([
                address.into(),
                Protocol::UDP.into(),
                Scalar::Port(port),
                Scalar::Number(number),
                address.into(),
            ]));
        }
    }

    #[test]
    fn keys_are_small() {
        assert_eq!(size_of::<Key>(), 32);
        assert!(size_of::<(Key, Element)>() <= 80);
        let address: IpAddr = Ipv6Addr::LOCALHOST.into();
        let longest_of_many = Key::of_address(address).then_port(80).then_number(u32::MAX);
        assert!(matches!(longest_of_many.0, Bytes::Inline { .. }));
        let longer = longest_of_many.then_address(address);
        assert!(matches!(longer.0, Bytes::Outside(_)));
    }
}
