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
                adjust(&mut self.bytes, 10, old, new);
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
    write_address(bytes, headers, side, address);
    let at = match (headers.protocol, side) {
        (Protocol::ICMP | Protocol::ICMPV6, _) => 4,
        (_, Side::Source) => 0,
        (_, Side::Destination) => 2,
    };
    let at = headers.transport + at;
    let (Some(port), Some(field)) = (port, bytes.get_mut(at..at + 2)) else {
        return;
    };
    let new = port.to_be_bytes();
    let old = [field[0], field[1]];
    if old == new {
        return;
    }
    field.copy_from_slice(&new);
    if headers.protocol != Protocol::SCTP {
        adjust_transport(bytes, headers, old, new);
    } else if let Some(packet) = bytes.get_mut(headers.transport..headers.end) {
        fill_sctp_checksum(packet);
    }
}

fn write_address(bytes: &mut [u8], headers: &Headers, side: Side, address: IpAddr) {
    let old = match side {
        Side::Source => headers.source,
        Side::Destination => headers.destination,
    };
    if old == address {
        return;
    }
    let pseudo_header = matches!(
        headers.protocol,
        Protocol::TCP | Protocol::UDP | Protocol::ICMPV6
    );
    match (old, address) {
        (IpAddr::V4(old), IpAddr::V4(new)) => {
            let at = if side == Side::Source { 12 } else { 16 };
            bytes[at..at + 4].copy_from_slice(&new.octets());
            adjust(bytes, 10, old.octets(), new.octets());
            if pseudo_header {
                adjust_transport(bytes, headers, old.octets(), new.octets());
            }
        }
        (IpAddr::V6(old), IpAddr::V6(new)) => {
            let at = if side == Side::Source { 8 } else { 24 };
            bytes[at..at + 16].copy_from_slice(&new.octets());
            if pseudo_header {
                adjust_transport(bytes, headers, old.octets(), new.octets());
            }
        }
        _ => unreachable!("tables and routes were checked to stay in the packet's family"),
    }
}

/// Adjusts the transport checksum, if there is one and it is there.
fn adjust_transport<const N: usize>(
    bytes: &mut [u8],
    headers: &Headers,
    old: [u8; N],
    new: [u8; N],
) {
    let at = match headers.protocol {
        Protocol::TCP => 16,
        Protocol::UDP => 6,
        Protocol::ICMP | Protocol::ICMPV6 => 2,
        _ => return,
    };
    let at = headers.transport + at;
    if headers.protocol != Protocol::UDP {
        adjust(bytes, at, old, new);
        return;
    }
    // A UDP checksum of zero says that there is none, so a computed zero is written as its other form.
    let stated = bytes
        .get(at..at + 2)
        .is_some_and(|checksum| checksum != [0, 0]);
    if stated {
        adjust(bytes, at, old, new);
        if bytes[at..at + 2] == [0, 0] {
            bytes[at..at + 2].copy_from_slice(&[0xff, 0xff]);
        }
    }
}

/// Updates the checksum at `at`, if it is there, for a change from `old` to `new`: RFC 1624, equation 3. Both
/// are of one even length.
fn adjust<const N: usize>(bytes: &mut [u8], at: usize, old: [u8; N], new: [u8; N]) {
    let Some(field) = bytes.get_mut(at..at + 2) else {
        return;
    };
    let words = |bytes: &[u8], flip: u16| -> u32 {
        let (words, _) = bytes.as_chunks();
        let words = words.iter().map(|word| u16::from_be_bytes(*word) ^ flip);
        words.map(u32::from).sum()
    };
    let mut sum = words(field, 0xffff) + words(&old, 0xffff) + words(&new, 0);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).expect("carries were folded in");
    field.copy_from_slice(&checksum.to_be_bytes());
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
    use super::*;

    #[test]
    fn crc32c_gives_the_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
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
        adjust_transport(&mut absent, &headers, [0, 1], [0, 2]);
        assert_eq!(absent, [0; 8]);
        let mut present = [0, 0, 0, 0, 0, 0, 0, 1];
        adjust_transport(&mut present, &headers, [0, 1], [0, 2]);
        assert_eq!(present[6..], [0xff, 0xff]);
    }
}
