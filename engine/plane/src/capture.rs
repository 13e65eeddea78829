//! Packet captures, for Wireshark and `tcpdump -r`.
//!
//! One pcapng section per interface: a section header, one interface description, one enhanced packet block
//! for each packet. Source: draft-ietf-opsawg-pcapng, sections 4.1 to 4.3. Little-endian on every machine, and
//! nothing in it but what the simulation decided, so that equal runs give equal bytes.

use std::collections::BTreeMap;

use base::SimTime;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Packets start at their IP header.
const LINKTYPE_RAW: u16 = 101;
const OPTION_END: u16 = 0;
const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_TSRESOL: u16 = 9;
/// Timestamps count 10⁻⁹ seconds.
const NANOSECONDS: u8 = 9;

/// A packet that was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured<'a> {
    /// When it passed.
    pub at: SimTime,
    /// The interface that it passed.
    pub interface: &'a str,
    /// From its IP header on.
    pub packet: &'a [u8],
}

/// The captures of a network, by the name of the machine and its interface.
#[derive(Debug, Default)]
pub(crate) struct Captures {
    by_interface: BTreeMap<(String, String), Tape>,
    /// How many packets were captured.
    count: u64,
}

/// The packets of one interface, one after the other.
#[derive(Debug, Default)]
struct Tape {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

/// Where a packet ends in a tape, when it passed, and its number among all.
#[derive(Clone, Copy, Debug)]
struct Mark {
    number: u64,
    at: SimTime,
    end: usize,
}

impl Tape {
    fn packets(&self) -> impl Iterator<Item = (Mark, &[u8])> {
        let starts = std::iter::once(0).chain(self.marks.iter().map(|mark| mark.end));
        let marks = self.marks.iter().zip(starts);
        marks.map(|(mark, start)| (*mark, &self.bytes[start..mark.end]))
    }
}

impl Captures {
    pub(crate) fn record(&mut self, machine: &str, interface: &str, at: SimTime, packet: &[u8]) {
        let tape = self
            .by_interface
            .entry((machine.to_owned(), interface.to_owned()))
            .or_default();
        tape.bytes.extend_from_slice(packet);
        tape.marks.push(Mark {
            number: self.count,
            at,
            end: tape.bytes.len(),
        });
        self.count += 1;
    }

    /// What passed the interfaces of one machine, in order.
    pub(crate) fn of(&self, machine: &str) -> Vec<Captured<'_>> {
        let own = self
            .by_interface
            .iter()
            .filter(|((known, _), _)| known == machine);
        let mut packets: Vec<(u64, Captured<'_>)> = own
            .flat_map(|((_, interface), tape)| {
                tape.packets().map(move |(mark, packet)| {
                    let at = mark.at;
                    let captured = Captured {
                        at,
                        interface,
                        packet,
                    };
                    (mark.number, captured)
                })
            })
            .collect();
        packets.sort_unstable_by_key(|(number, _)| *number);
        packets.into_iter().map(|(_, captured)| captured).collect()
    }

    /// The files, by a name that every file system takes: `<machine>-<interface>.pcapng`, with `_` for every
    /// character that is no letter, digit, `-` or `.`.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.by_interface
            .iter()
            .map(|((machine, interface), tape)| {
                let mut section = section_start(interface);
                for (mark, packet) in tape.packets() {
                    append_packet(&mut section, mark.at, packet);
                }
                (file_name(machine, interface), section)
            })
            .collect()
    }
}

fn file_name(machine: &str, interface: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let machine: String = machine.chars().map(plain).collect();
    format!("{machine}-{interface}.pcapng")
}

fn section_start(interface: &str) -> Vec<u8> {
    let mut section = Vec::new();
    let mut header = Vec::new();
    header.extend(BYTE_ORDER_MAGIC.to_le_bytes());
    header.extend(1_u16.to_le_bytes());
    header.extend(0_u16.to_le_bytes());
    // The section's length is not known beforehand.
    header.extend(u64::MAX.to_le_bytes());
    append_block(&mut section, SECTION_HEADER, &header);

    let mut description = Vec::new();
    description.extend(LINKTYPE_RAW.to_le_bytes());
    description.extend(0_u16.to_le_bytes());
    // No limit on what is kept of a packet.
    description.extend(0_u32.to_le_bytes());
    append_option(&mut description, OPTION_IF_NAME, interface.as_bytes());
    append_option(&mut description, OPTION_IF_TSRESOL, &[NANOSECONDS]);
    append_option(&mut description, OPTION_END, &[]);
    append_block(&mut section, INTERFACE_DESCRIPTION, &description);
    section
}

fn append_packet(section: &mut Vec<u8>, at: SimTime, packet: &[u8]) {
    let nanos = at.as_nanos();
    let [high, low] = [nanos >> 32, nanos & u64::from(u32::MAX)]
        .map(|half| u32::try_from(half).expect("half of 64 bits"));
    let len = u32::try_from(packet.len()).expect("an IP packet has at most 65,575 bytes");
    let mut body = Vec::with_capacity(20 + packet.len());
    for field in [0, high, low, len, len] {
        body.extend(field.to_le_bytes());
    }
    body.extend(packet);
    append_block(section, ENHANCED_PACKET, &body);
}

fn append_option(options: &mut Vec<u8>, code: u16, value: &[u8]) {
    let len = u16::try_from(value.len()).expect("an interface's name is short");
    options.extend(code.to_le_bytes());
    options.extend(len.to_le_bytes());
    options.extend(value);
    options.resize(options.len().next_multiple_of(4), 0);
}

fn append_block(section: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let padded = body.len().next_multiple_of(4);
    let total = u32::try_from(12 + padded).expect("a block holds one packet");
    section.extend(kind.to_le_bytes());
    section.extend(total.to_le_bytes());
    section.extend(body);
    section.resize(section.len() + padded - body.len(), 0);
    section.extend(total.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type and body of every block; both lengths of each are checked.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word =
            |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut blocks = Vec::new();
        while !bytes.is_empty() {
            let total = usize::try_from(word(bytes, 4)).unwrap();
            assert_eq!(total % 4, 0);
            assert_eq!(word(bytes, total - 4), word(bytes, 4));
            blocks.push((word(bytes, 0), bytes[8..total - 4].to_vec()));
            bytes = &bytes[total..];
        }
        blocks
    }

    #[test]
    fn blocks_parse_back() {
        let mut captures = Captures::default();
        captures.record("shop/web", "eth0", SimTime::from_nanos(7), b"abcde");
        captures.record(
            "shop/web",
            "eth0",
            SimTime::from_nanos((1 << 32) + 9),
            b"abcd",
        );
        let files = captures.files();
        let (name, bytes) = files.first_key_value().unwrap();
        assert_eq!(name, "shop_web-eth0.pcapng");
        let blocks = blocks(bytes);
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(
            kinds,
            [
                SECTION_HEADER,
                INTERFACE_DESCRIPTION,
                ENHANCED_PACKET,
                ENHANCED_PACKET
            ]
        );
        assert_eq!(blocks[0].1[..4], BYTE_ORDER_MAGIC.to_le_bytes());
        let description = &blocks[1].1;
        assert_eq!(description[..2], LINKTYPE_RAW.to_le_bytes());
        assert_eq!(
            description[8..],
            *b"\x02\0\x04\0eth0\x09\0\x01\0\x09\0\0\0\0\0\0\0"
        );
        assert_eq!(
            blocks[2].1[..20],
            [[0_u32, 0, 7, 5, 5].map(u32::to_le_bytes)]
                .concat()
                .concat()
        );
        assert_eq!(blocks[2].1[20..], *b"abcde\0\0\0");
        assert_eq!(
            blocks[3].1[4..12],
            [1_u32.to_le_bytes(), 9_u32.to_le_bytes()].concat()
        );
    }

    #[test]
    fn one_machines_packets_come_in_order() {
        let mut captures = Captures::default();
        let at = SimTime::from_nanos(7);
        for (machine, interface, packet) in [
            ("node-a", "veth1", b"one"),
            ("pod/default/web", "eth0", b"not"),
            ("node-a", "eth0", b"two"),
            ("node-a", "veth1", b"end"),
        ] {
            captures.record(machine, interface, at, packet);
        }
        let seen: Vec<_> = captures
            .of("node-a")
            .iter()
            .map(|one| (one.interface, one.packet))
            .collect();
        let expected: [(&str, &[u8]); 3] = [("veth1", b"one"), ("eth0", b"two"), ("veth1", b"end")];
        assert_eq!(seen, expected);
    }
}
