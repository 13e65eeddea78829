//! Values as the bytes that nftables compares.
//!
//! **What.** A [`Packed`] is an address, a port, or a concatenation of such, in network byte order, one after the
//! other. **Why.** All comparisons become comparisons of bytes: equality, order, prefixes; and a set's key is
//! hashed without a look at its parts. **Source of the semantics.** The registers of Linux
//! `net/netfilter/nf_tables_api.c`. (There every part is padded to four bytes; here none is, so whatever fits the
//! kernel's 64 bytes fits here.)

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// At most 64 bytes (`NFT_DATA_VALUE_MAXLEN`), held inline.
#[derive(Clone, Copy)]
pub(crate) struct Packed {
    length: u8,
    bytes: [u8; Self::MAX],
}

impl Packed {
    pub(crate) const MAX: usize = 64;

    /// Nothing yet.
    pub(crate) const EMPTY: Self = Self {
        length: 0,
        bytes: [0; Self::MAX],
    };

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    pub(crate) const fn len(&self) -> usize {
        self.length as usize
    }

    /// Appends a part; `None` when it does not fit.
    #[must_use]
    pub(crate) fn push(&mut self, part: &[u8]) -> Option<()> {
        let start = self.len();
        let end = start + part.len();
        self.bytes.get_mut(start..end)?.copy_from_slice(part);
        self.length = u8::try_from(end).expect("at most 64");
        Some(())
    }

    /// Appends the last `width` (at most four) bytes of a number.
    #[must_use]
    #[inline]
    pub(crate) fn push_number(&mut self, number: u32, width: usize) -> Option<()> {
        let start = self.len();
        if width == 0 || width > 4 || start + width > Self::MAX {
            return None;
        }
        let shifted = number << (8 * (4 - width));
        // Four bytes at once where they fit, for that is one store; those behind the end are zero and stay so.
        match self.bytes.get_mut(start..start + 4) {
            Some(place) => place.copy_from_slice(&shifted.to_be_bytes()),
            None => {
                self.bytes[start..start + width].copy_from_slice(&shifted.to_be_bytes()[..width]);
            }
        }
        self.length = u8::try_from(start + width).expect("at most 64");
        Some(())
    }

    /// The number that the bytes are, when there are at most eight; else that of the last eight.
    pub(crate) fn to_u64(self) -> u64 {
        let bytes = self.bytes().iter();
        bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The same for sixteen.
    pub(crate) fn to_u128(self) -> u128 {
        let bytes = self.bytes().iter();
        bytes.fold(0, |number, byte| number << 8 | u128::from(*byte))
    }

    #[must_use]
    pub(crate) fn push_address(&mut self, address: IpAddr) -> Option<()> {
        match address {
            IpAddr::V4(address) => self.push_number(address.to_bits(), 4),
            IpAddr::V6(address) => self.push(&address.octets()),
        }
    }

    pub(crate) fn of(part: &[u8]) -> Option<Self> {
        let mut packed = Self::EMPTY;
        packed.push(part)?;
        Some(packed)
    }

    /// The four bytes of a number: a mark, a state, a random number.
    pub(crate) fn of_u32(number: u32) -> Self {
        Self::of(&number.to_be_bytes()).expect("four bytes fit")
    }

    /// The number that the bytes are, when there are at most four.
    pub(crate) fn to_u32(self) -> Option<u32> {
        (self.len() <= 4).then(|| {
            self.bytes()
                .iter()
                .fold(0, |number, byte| number << 8 | u32::from(*byte))
        })
    }

    /// Only the bits that are set in `mask`, which is as long.
    pub(crate) fn masked(&self, mask: &Self) -> Self {
        let mut masked = *self;
        for (byte, mask) in masked.bytes.iter_mut().zip(mask.bytes()) {
            *byte &= mask;
        }
        masked
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Packed {}

impl PartialOrd for Packed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packed {
    /// Of values of one length, by number.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Hash for Packed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.bytes());
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.bytes())
    }
}
