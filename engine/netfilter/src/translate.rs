//! Rewriting headers, and keeping their checksums right.
//!
//! **What.** [`Datagram::rewrite`] changes one side of a packet, [`Datagram::rewrite_error`] one side of an ICMP
//! error and of the packet it quotes. **Why.** Checksums are adjusted by the difference, so that a packet that
//! was damaged before stays damaged. **Source of the semantics.** RFC 1624, RFC 9260 (SCTP's CRC covers its
//! ports), Linux `nf_nat_proto.c`.

use std::net::IpAddr;

use ruleset::{Family, Protocol};
use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet};

use crate::packet::{Content, Datagram, Headers};
use crate::tuple::Side;

impl Datagram {
    /// Writes an address, and a port (or an echo's identifier) if there is one, into one side of the header.
    /// The address is of the packet's family.
    pub(crate) fn rewrite(&mut self, side: Side, address: IpAddr, port: Option<u16>) {
        write_side(&mut self.bytes, &self.headers, side, address, port);
        set_address(&mut self.headers, side, address);
        if let Content::Flow(tuple) = &mut self.content {
            *tuple = match side {
                Side::Source => tuple.with_source(address, port),
                Side::Destination => {
                    let moved = tuple.with_destination(address, port);
                    match tuple.echo_id() {
                        Some(_) => moved.with_source(tuple.source(), port),
                        None => moved,
                    }
                }
            };
        }
    }

    /// For an ICMP error: writes an address into one side of its header, and address and port into the other
    /// side of the packet it quotes. Does nothing to other packets.
    pub(crate) fn rewrite_error(
        &mut self,
        side: Side,
        address: IpAddr,
        quoted_address: IpAddr,
        quoted_port: Option<u16>,
    ) {
        let (Content::Error { quote }, Some((quoted, _))) = (self.content, self.quoted()) else {
            return;
        };
        let inner = &mut self.bytes[quote..];
        write_side(inner, &quoted, side.other(), quoted_address, quoted_port);
        write_side(&mut self.bytes, &self.headers, side, address, None);
        set_address(&mut self.headers, side, address);
        self.fill_icmp_checksum();
    }

    fn fill_icmp_checksum(&mut self) {
        let message = &mut self.bytes[self.headers.transport..];
        match (self.headers.source, self.headers.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Icmpv6Packet::new_unchecked(message).fill_checksum(&source, &destination);
            }
            _ => Icmpv4Packet::new_unchecked(message).fill_checksum(),
        }
    }

    /// Writes the TTL or hop limit.
    pub(crate) fn set_ttl(&mut self, ttl: u8) {
        match self.headers.family() {
            Family::V4 => {
                // TTL and protocol share a 16-bit word of the sum.
                let (old, new) = ([self.bytes[8], self.bytes[9]], [ttl, self.bytes[9]]);
                self.bytes[8] = ttl;
                let mut difference = Difference::default();
                difference.add(&old, &new);
                difference.apply(&mut self.bytes, 10);
            }
            Family::V6 => self.bytes[7] = ttl,
        }
        self.headers.ttl = ttl;
    }
}

const fn set_address(headers: &mut Headers, side: Side, address: IpAddr) {
    match side {
        Side::Source => headers.source = address,
        Side::Destination => headers.destination = address,
    }
}

/// Writes one side of a packet that starts at `bytes[0]` and may be cut off, as quoted ones are.
fn write_side(bytes: &mut [u8], headers: &Headers, side: Side, address: IpAddr, port: Option<u16>) {
    let mut difference = write_address(bytes, headers, side, address);
    let at = match (headers.protocol, side) {
        (Protocol::ICMP | Protocol::ICMPV6, _) => 4,
        (_, Side::Source) => 0,
        (_, Side::Destination) => 2,
    };
    let at = headers.transport + at;
    let mut is_port_new = false;
    if let (Some(port), Some(field)) = (port, bytes.get_mut(at..at + 2)) {
        let (old, new) = ([field[0], field[1]], port.to_be_bytes());
        is_port_new = old != new;
        field.copy_from_slice(&new);
        difference.add(&old, &new);
    }
    if headers.protocol != Protocol::SCTP {
        adjust_transport(bytes, headers, difference);
    } else if is_port_new && let Some(packet) = bytes.get_mut(headers.transport..headers.end) {
        fill_sctp_checksum(packet);
    }
}

/// Writes the address, adjusts the IP header's checksum, and tells what that changes of the transport header's, which
/// covers both addresses in all protocols but ICMP.
fn write_address(bytes: &mut [u8], headers: &Headers, side: Side, address: IpAddr) -> Difference {
    let old = match side {
        Side::Source => headers.source,
        Side::Destination => headers.destination,
    };
    let mut difference = Difference::default();
    if old == address {
        return difference;
    }
    match (old, address) {
        (IpAddr::V4(old), IpAddr::V4(new)) => {
            let at = if side == Side::Source { 12 } else { 16 };
            bytes[at..at + 4].copy_from_slice(&new.octets());
            difference.add(&old.octets(), &new.octets());
            difference.apply(bytes, 10);
        }
        (IpAddr::V6(old), IpAddr::V6(new)) => {
            let at = if side == Side::Source { 8 } else { 24 };
            bytes[at..at + 16].copy_from_slice(&new.octets());
            difference.add(&old.octets(), &new.octets());
        }
        _ => unreachable!("tables and routes were checked to stay in the packet's family"),
    }
    match headers.protocol {
        Protocol::TCP | Protocol::UDP | Protocol::ICMPV6 => difference,
        _ => Difference::default(),
    }
}

/// Adjusts the transport checksum, if there is one and it is there.
fn adjust_transport(bytes: &mut [u8], headers: &Headers, difference: Difference) {
    let at = match headers.protocol {
        Protocol::TCP => 16,
        Protocol::UDP => 6,
        Protocol::ICMP | Protocol::ICMPV6 => 2,
        _ => return,
    };
    let at = headers.transport + at;
    if headers.protocol != Protocol::UDP {
        difference.apply(bytes, at);
        return;
    }
    // A UDP checksum of zero says that there is none, so a computed zero is written as its other form.
    let stated = bytes
        .get(at..at + 2)
        .is_some_and(|checksum| checksum != [0, 0]);
    if stated && !difference.is_none() {
        difference.apply(bytes, at);
        if bytes[at..at + 2] == [0, 0] {
            bytes[at..at + 2].copy_from_slice(&[0xff, 0xff]);
        }
    }
}

/// What a change of words adds to a checksum: RFC 1624, equation 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Difference {
    /// Of the old words' complements and the new words.
    sum: u32,
    is_some: bool,
}

impl Difference {
    /// Adds a change of words: both of one even length, and at most 32 bytes for one checksum.
    fn add<const N: usize>(&mut self, old: &[u8; N], new: &[u8; N]) {
        if old == new {
            return;
        }
        self.is_some = true;
        let (old, _) = old.as_chunks();
        let (new, _) = new.as_chunks();
        for (old, new) in old.iter().zip(new) {
            self.sum += u32::from(!u16::from_be_bytes(*old));
            self.sum += u32::from(u16::from_be_bytes(*new));
        }
    }

    const fn is_none(self) -> bool {
        !self.is_some
    }

    /// Updates the checksum at `at`, if it is there and anything changes.
    fn apply(self, bytes: &mut [u8], at: usize) {
        let Some(field) = bytes.get_mut(at..at + 2) else {
            return;
        };
        if self.is_none() {
            return;
        }
        let mut sum = u32::from(!u16::from_be_bytes([field[0], field[1]])) + self.sum;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let checksum = !u16::try_from(sum).expect("carries were folded in");
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Writes the CRC-32C of a whole SCTP packet, given from its common header on (RFC 9260, appendix A). Does nothing to
/// one that ends before its checksum: a quoted header may state such a length.
pub fn fill_sctp_checksum(packet: &mut [u8]) {
    const FIELD: std::ops::Range<usize> = 8..12;
    let Some(field) = packet.get_mut(FIELD) else {
        return;
    };
    field.fill(0);
    let checksum = crc32c(packet);
    packet[FIELD].copy_from_slice(&checksum.to_le_bytes());
}

fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn crc32c_gives_the_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    /// Writes the change from `old` to `new` into the checksum at `at`.
    fn adjust<const N: usize>(bytes: &mut [u8], at: usize, old: [u8; N], new: [u8; N]) {
        difference(old, new).apply(bytes, at);
    }

    fn difference<const N: usize>(old: [u8; N], new: [u8; N]) -> Difference {
        let mut difference = Difference::default();
        difference.add(&old, &new);
        difference
    }

    proptest! {
        /// Several changes at once give what they give one after the other, in whatever order.
        #[test]
        fn changes_add_up(
            start in any::<[u8; 2]>(),
            address in any::<([u8; 16], [u8; 16])>(),
            port in prop::sample::select(vec![[0, 0], [0xff, 0xff], [0x12, 0x34]]),
            new_port in prop::sample::select(vec![[0, 0], [0xff, 0xff], [0x12, 0x35]]),
        ) {
            let [mut one, mut other, mut at_once] = [start; 3];
            adjust(&mut one, 0, address.0, address.1);
            adjust(&mut one, 0, port, new_port);
            adjust(&mut other, 0, port, new_port);
            adjust(&mut other, 0, address.0, address.1);
            let mut both = difference(address.0, address.1);
            both.add(&port, &new_port);
            both.apply(&mut at_once, 0);
            prop_assert_eq!(one, at_once);
            prop_assert_eq!(other, at_once);
        }
    }

    #[test]
    fn adjusting_there_and_back_changes_nothing() {
        for start in [[0x12, 0x34], [0xff, 0xfe], [0x00, 0x01]] {
            let mut bytes = start;
            adjust(&mut bytes, 0, [10, 96, 0, 40], [10, 244, 2, 11]);
            assert_ne!(bytes, start);
            adjust(&mut bytes, 0, [10, 244, 2, 11], [10, 96, 0, 40]);
            assert_eq!(bytes, start);
        }
    }

    #[test]
    fn a_missing_checksum_is_left_alone() {
        let mut bytes = [1, 2, 3];
        adjust(&mut bytes, 2, [0, 1], [0, 2]);
        assert_eq!(bytes, [1, 2, 3]);
    }

    /// RFC 768: zero says that there is no checksum, so a sum of zero is sent as all ones.
    #[test]
    fn udp_checksums_of_zero_are_special() {
        let headers = Headers {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            protocol: Protocol::UDP,
            ttl: 64,
            transport: 0,
            end: 8,
        };
        let mut absent = [0; 8];
        adjust_transport(&mut absent, &headers, difference([0, 1], [0, 2]));
        assert_eq!(absent, [0; 8]);
        let mut present = [0, 0, 0, 0, 0, 0, 0, 1];
        adjust_transport(&mut present, &headers, difference([0, 1], [0, 2]));
        assert_eq!(present[6..], [0xff, 0xff]);
    }
}
