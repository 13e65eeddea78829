//! The numbers of a packet that most rules ask about.
//!
//! **Why.** They are read once, and again when the packet was translated; a rule then takes them by number. Within a base
//! chain none but mark and state change: translations happen behind it. **Source of the semantics.** Linux `nft_payload.c`,
//! `nft_meta.c`, `nft_ct.c`.

use ruleset::nft::{CtState, Field};

use super::code::KeyPart;
use super::field::field_number;
use super::pattern::{family_number, state_bit};
use crate::packet::Datagram;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Register {
    /// `ip saddr`
    Ipv4Source,
    /// `ip daddr`
    Ipv4Destination,
    /// `th sport`
    SourcePort,
    /// `th dport`
    DestinationPort,
    /// `meta l4proto`
    L4Protocol,
    /// `meta nfproto`
    Family,
    /// `meta mark`
    Mark,
    /// `ct state`
    CtState,
}

impl Register {
    const COUNT: usize = 8;

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Bytes of a value.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::Ipv4Source | Self::Ipv4Destination | Self::Mark | Self::CtState => 4,
            Self::SourcePort | Self::DestinationPort => 2,
            Self::L4Protocol | Self::Family => 1,
        }
    }
}

/// All of them, for one packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Registers {
    values: [u32; Register::COUNT],
    /// A bit for each that the packet has.
    present: u8,
}

impl Registers {
    /// Takes what the base chain asked next finds. The packet's own are read only where there are none.
    pub(crate) fn prepare(&mut self, datagram: &Datagram, mark: u32, state: CtState) {
        if self.present == 0 {
            self.read(datagram);
        }
        self.set(Register::Mark, mark);
        self.set(Register::CtState, state_bit(state));
    }

    fn read(&mut self, datagram: &Datagram) {
        for (register, field) in [
            (Register::Ipv4Source, Field::IpSaddr),
            (Register::Ipv4Destination, Field::IpDaddr),
            (Register::SourcePort, Field::ThSport),
            (Register::DestinationPort, Field::ThDport),
        ] {
            if let Some(number) = field_number(datagram, field) {
                self.set(register, number);
            }
        }
        let headers = &datagram.headers;
        self.set(Register::L4Protocol, headers.protocol.0.into());
        self.set(Register::Family, family_number(headers.family()).into());
    }

    /// `None` when the packet has no such number.
    #[inline]
    pub(crate) const fn get(&self, register: Register) -> Option<u32> {
        if self.present & register.bit() == 0 {
            return None;
        }
        Some(self.values[register as usize])
    }

    pub(crate) const fn set(&mut self, register: Register, value: u32) {
        self.values[register as usize] = value;
        self.present |= register.bit();
    }

    /// A key of at most eight bytes; `None` when the packet lacks a part.
    #[inline]
    pub(crate) fn short_key(&self, parts: &[KeyPart]) -> Option<u64> {
        parts.iter().try_fold(0, |key, part| {
            Some(key << part.bits | u64::from(self.get(part.register)?))
        })
    }

    /// A key of at most sixteen bytes; `None` when the packet lacks a part.
    #[inline]
    pub(crate) fn wide_key(&self, parts: &[KeyPart]) -> Option<u128> {
        parts.iter().try_fold(0, |key, part| {
            Some(key << part.bits | u128::from(self.get(part.register)?))
        })
    }
}
