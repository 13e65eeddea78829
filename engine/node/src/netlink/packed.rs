//! An element of a set or map, put together before it is appended to messages.
//!
//! **Why.** A load has a hundred thousand elements of a few bytes in several layers: each layer by itself costs more than all
//! that is in it.

use ruleset::nft::{Key, Scalar};

use super::uapi::{self, data};
use super::value::{self, Bytes, is_range};
use super::{Encoded, Unknown};

/// Attributes of at most so many bytes that the kernel takes a key and data in them.
pub(super) struct Packed {
    bytes: [u8; Self::MAX],
    /// How long it is, or would be if there was room.
    length: usize,
}

/// Where an attribute begins that is not finished yet.
#[must_use]
struct Open(usize);

impl Packed {
    /// An element's header, and two values of `NFT_DATA_VALUE_MAXLEN` bytes with theirs.
    const MAX: usize = 4 + 2 * (8 + 64);

    /// A key alone, or data.
    pub(super) fn value(kind: u16, key: &Key) -> Encoded<Self> {
        let mut packed = Self::new();
        packed.put(kind, key)?;
        Ok(packed)
    }

    /// A list's item that holds a key, and data.
    pub(super) fn item(key: (u16, &Key), data: Option<(u16, &Key)>) -> Encoded<Self> {
        let mut packed = Self::new();
        let item = packed.open(uapi::LIST_ITEM | uapi::NESTED);
        packed.put(key.0, key.1)?;
        if let Some((kind, data)) = data {
            packed.put(kind, data)?;
        }
        packed.close(&item);
        Ok(packed)
    }

    pub(super) fn as_slice(&self) -> Encoded<&[u8]> {
        let bytes = self.bytes.get(..self.length);
        bytes.ok_or(Unknown("a value that is too long"))
    }

    const fn new() -> Self {
        Self {
            bytes: [0; Self::MAX],
            length: 0,
        }
    }

    /// The parts of several are padded, a single one is not.
    fn put(&mut self, kind: u16, key: &Key) -> Encoded {
        let nest = self.open(kind | uapi::NESTED);
        let value = self.open(data::VALUE);
        if let Some(part) = key.only() {
            self.put_part(&part)?;
        } else {
            for part in key.parts() {
                self.put_part(&part)?;
                self.pad();
            }
        }
        self.close(&value);
        self.close(&nest);
        Ok(())
    }

    #[inline]
    fn put_part(&mut self, part: &Scalar) -> Encoded {
        if is_range(part) {
            return Err(Unknown("a range in a set of single values"));
        }
        value::put(self, part)
    }

    fn open(&mut self, kind: u16) -> Open {
        let start = self.length;
        let [low, high] = kind.to_ne_bytes();
        self.add([0, 0, low, high]);
        Open(start)
    }

    fn close(&mut self, attribute: &Open) {
        // What is longer has no room.
        let length = (self.length - attribute.0) as u16;
        let start = self.bytes.get_mut(attribute.0..);
        if let Some(place) = start.and_then(<[u8]>::first_chunk_mut) {
            *place = length.to_ne_bytes();
        }
        self.pad();
    }

    /// Has what comes next begin at a multiple of four bytes: zeros are there.
    const fn pad(&mut self) {
        self.length = self.length.next_multiple_of(4);
    }
}

impl Bytes for Packed {
    #[inline]
    fn add<const N: usize>(&mut self, bytes: [u8; N]) {
        let rest = self.bytes.get_mut(self.length..);
        if let Some(place) = rest.and_then(<[u8]>::first_chunk_mut) {
            *place = bytes;
        }
        self.length += N;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_refused() {
        let long = |parts| -> Key {
            let address = "fd00::1".parse().expect("it is an address");
            std::iter::repeat_n(Scalar::V6(address), parts).collect()
        };
        let four = long(4);
        let packed = Packed::item((1, &four), Some((2, &four))).unwrap();
        assert_eq!(packed.as_slice().unwrap().len(), Packed::MAX);
        let packed = Packed::item((1, &four), Some((2, &long(5)))).unwrap();
        packed.as_slice().unwrap_err();
        let packed = Packed::value(1, &long(5000)).unwrap();
        packed.as_slice().unwrap_err();
    }
}
