//! Netlink messages and their attributes, in bytes.
//!
//! Source: `linux/netlink.h`: a message and each of its attributes begin at a multiple of four bytes and say their length
//! without what is between them and the next.

use super::uapi;

/// `struct nlmsghdr` and `struct nfgenmsg`
const HEADER: usize = 20;

/// What a message is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) family: u8,
    /// `res_id`: which part of nfnetlink a batch is for.
    pub(super) resource: u16,
}

/// Where a message or an attribute begins that is not finished yet.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(super) struct Open(usize);

/// Messages, one after the other, that grow at their end.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Where the message begins that was finished last.
    last: Option<usize>,
    has_overflown: bool,
}

impl Writer {
    pub(super) fn begin(&mut self, head: Head) -> Open {
        let start = self.bytes.len();
        let flags = head.flags | uapi::REQUEST;
        self.bytes.extend([0; 4]);
        self.bytes.extend(head.kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(head.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([head.family, 0]);
        self.bytes.extend(head.resource.to_be_bytes());
        Open(start)
    }

    pub(super) fn end(&mut self, message: Open) {
        let length = self.bytes.len() - message.0;
        match u32::try_from(length) {
            Ok(length) => self.put(message.0, &length.to_ne_bytes()),
            Err(_) => self.has_overflown = true,
        }
        self.last = Some(message.0);
    }

    /// Has the kernel answer the last message also when all is well.
    pub(super) fn acknowledge(&mut self) {
        let Some(place) = self.last.map(|message| message + 6) else {
            return;
        };
        let flags = u16::from_ne_bytes([self.bytes[place], self.bytes[place + 1]]) | uapi::ACK;
        self.put(place, &flags.to_ne_bytes());
    }

    pub(super) fn open(&mut self, kind: u16) -> Open {
        let start = self.bytes.len();
        let [low, high] = kind.to_ne_bytes();
        self.bytes.extend_from_slice(&[0, 0, low, high]);
        Open(start)
    }

    /// An attribute that holds attributes.
    pub(super) fn open_nest(&mut self, kind: u16) -> Open {
        self.open(kind | uapi::NESTED)
    }

    pub(super) fn close(&mut self, attribute: Open) {
        match u16::try_from(self.length(attribute)) {
            Ok(length) => self.put(attribute.0, &length.to_ne_bytes()),
            Err(_) => self.has_overflown = true,
        }
        self.align();
    }

    /// How long it is by now.
    pub(super) const fn length(&self, open: Open) -> usize {
        self.bytes.len() - open.0
    }

    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let attribute = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(attribute);
    }

    /// Attributes that are finished.
    pub(super) fn append(&mut self, attributes: &[u8]) {
        self.bytes.extend_from_slice(attributes);
        self.align();
    }

    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        let attribute = self.open(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.close(attribute);
    }

    /// The end, where the content of an open attribute goes.
    pub(super) const fn content(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether a length did not fit its field: what is here is of no use then.
    pub(super) const fn has_overflown(&self) -> bool {
        self.has_overflown
    }

    fn align(&mut self) {
        pad(&mut self.bytes, 0);
    }

    fn put(&mut self, place: usize, value: &[u8]) {
        self.bytes[place..place + value.len()].copy_from_slice(value);
    }
}

/// Appends zeros until what is there from a place on has a multiple of four bytes.
pub(super) fn pad(bytes: &mut Vec<u8>, from: usize) {
    let excess = (bytes.len() - from) % 4;
    if excess > 0 {
        bytes.extend_from_slice(&[0; 3][excess - 1..]);
    }
}

/// A message, as it is read.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) sequence: u32,
    /// What follows `struct nlmsghdr`.
    pub(super) body: &'a [u8],
}

/// The messages in what was received; what is cut short is left out.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<Message<'_>> {
    let mut found = Vec::new();
    while let Some((header, _)) = bytes.split_first_chunk::<16>() {
        let number = |place: usize| {
            let bytes = [
                header[place],
                header[place + 1],
                header[place + 2],
                header[place + 3],
            ];
            u32::from_ne_bytes(bytes)
        };
        let length = usize::try_from(number(0)).unwrap_or(usize::MAX);
        if length < header.len() {
            break;
        }
        let end = length.min(bytes.len());
        found.push(Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            sequence: number(8),
            body: &bytes[header.len()..end],
        });
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    found
}

/// The value of an attribute of a message with a `struct nfgenmsg`.
pub(super) fn attribute<'a>(message: &Message<'a>, kind: u16) -> Option<&'a [u8]> {
    let mut bytes = message.body.get(HEADER - 16..)?;
    while let Some((header, _)) = bytes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = bytes.get(header.len()..length)?;
        if u16::from_ne_bytes([header[2], header[3]]) & !uapi::NESTED == kind {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_say_their_own_length() {
        let mut writer = Writer::default();
        let nest = writer.open_nest(3);
        writer.text(1, "ab");
        writer.u32(2, 0x0102_0304);
        writer.bytes(4, &[9]);
        writer.close(nest);
        let expected = [
            [28, 0, 3, 0x80],
            [7, 0, 1, 0],
            [b'a', b'b', 0, 0],
            [8, 0, 2, 0],
            [1, 2, 3, 4],
            [5, 0, 4, 0],
            [9, 0, 0, 0],
        ];
        assert_eq!(writer.as_slice(), expected.concat());
        assert!(!writer.has_overflown());
    }

    #[test]
    fn what_is_too_long_for_its_field_is_noticed() {
        let mut writer = Writer::default();
        writer.bytes(1, &vec![0; usize::from(u16::MAX)]);
        assert!(writer.has_overflown());
    }

    #[test]
    fn reads_what_it_writes() {
        let mut writer = Writer::default();
        for sequence in [7, 8] {
            let message = writer.begin(Head {
                kind: 5,
                flags: 0,
                sequence,
                family: 2,
                resource: 0,
            });
            writer.text(1, "name");
            writer.u32(2, sequence);
            writer.end(message);
            writer.acknowledge();
        }
        let read = messages(writer.as_slice());
        let sequences: Vec<u32> = read.iter().map(|message| message.sequence).collect();
        assert_eq!(sequences, [7, 8]);
        assert_eq!(attribute(&read[1], 2), Some([0, 0, 0, 8].as_slice()));
        assert_eq!(attribute(&read[1], 3), None);
        assert_eq!(read[0].kind, 5);
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        assert!(messages(&[1, 2, 3]).is_empty());
        assert!(messages(&[0; 16]).is_empty());
        let long = [[200, 0, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0], [0; 4], [255; 4]].concat();
        assert_eq!(messages(&long)[0].body, [255; 4]);
    }
}
