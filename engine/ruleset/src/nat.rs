//! Where a translation leads, in both dialects.
//!
//! **Source of the semantics.** iptables-extensions(8) (DNAT, SNAT, MASQUERADE, REDIRECT); nft(8), "NAT STATEMENTS".

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::Family;

/// Where a translation leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatTarget {
    /// The new address.
    pub address: IpAddr,
    /// The new port; `None` keeps it.
    pub port: Option<u16>,
}

impl From<SocketAddr> for NatTarget {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: address.ip(),
            port: Some(address.port()),
        }
    }
}

/// `10.244.1.5:8080`, `[fd00::5]:8080`, or the address alone.
impl fmt::Display for NatTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.address, port)),
            None => write!(f, "{}", self.address),
        }
    }
}

/// A translation that the kernel has a choice in: onto ranges, or with a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatRange {
    /// Of which end, and where the address comes from.
    pub kind: NatKind,
    /// `--random`, `random`: a random port.
    pub random: bool,
    /// `--random-fully`, `fully-random`
    pub random_fully: bool,
    /// `--persistent`, `persistent`: the same address for all of a client's connections.
    pub persistent: bool,
    /// The new port is one of these, and the old one if it is among them; `None` keeps it.
    pub ports: Option<PortSpan>,
}

/// What a [`NatRange`] translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// The destination, to one of these addresses; `None` keeps it.
    Dnat(Option<AddressSpan>),
    /// The source.
    Snat(AddressSpan),
    /// The source, to the outgoing interface's address.
    Masquerade,
    /// The destination, to the node itself.
    Redirect,
}

impl NatKind {
    /// The addresses, where they are said.
    #[must_use]
    pub const fn addresses(self) -> Option<AddressSpan> {
        match self {
            Self::Dnat(addresses) => addresses,
            Self::Snat(addresses) => Some(addresses),
            Self::Masquerade | Self::Redirect => None,
        }
    }
}

/// Addresses of one family, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressSpan {
    first: IpAddr,
    last: IpAddr,
}

impl AddressSpan {
    /// `None` unless both are of one family, in order, and fewer than 2³².
    #[must_use]
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let span = Self { first, last };
        let is_ordered = Family::of(first) == Family::of(last) && first <= last;
        (is_ordered && u32::try_from(bits(last) - bits(first)).is_ok_and(|more| more < u32::MAX))
            .then_some(span)
    }

    /// The first and the last address.
    #[must_use]
    pub const fn ends(self) -> (IpAddr, IpAddr) {
        (self.first, self.last)
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> u32 {
        let more = u32::try_from(bits(self.last) - bits(self.first));
        more.expect("it was checked when made") + 1
    }

    /// One of them, counted from 0; the last one past the end.
    #[must_use]
    pub fn nth(self, index: u32) -> IpAddr {
        let index = index.min(self.count() - 1);
        match self.first {
            IpAddr::V4(first) => IpAddr::V4((first.to_bits() + index).into()),
            IpAddr::V6(first) => IpAddr::V6((first.to_bits() + u128::from(index)).into()),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Ports, inclusive; none of them is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSpan {
    first: u16,
    last: u16,
}

impl PortSpan {
    /// `None` when they are out of order, or the first is 0.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first == 0 || first > last {
            return None;
        }
        Some(Self { first, last })
    }

    /// `80` or `80-90`
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(first.parse().ok()?, last.parse().ok()?)
    }

    /// The first and the last port.
    #[must_use]
    pub const fn ends(self) -> (u16, u16) {
        (self.first, self.last)
    }

    /// The only port, if there is one only.
    #[must_use]
    pub const fn single(self) -> Option<u16> {
        if self.first == self.last {
            Some(self.first)
        } else {
            None
        }
    }
}

/// `80` or `80-90`
impl fmt::Display for PortSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(port) => write!(f, "{port}"),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// `10.0.0.1`, `10.0.0.1-10.0.0.9:80-90`, `[fd00::1]-[fd00::9]:80` or `:80`: what each dialect writes after `to`.
pub(crate) struct Spans {
    pub(crate) addresses: Option<AddressSpan>,
    pub(crate) ports: Option<PortSpan>,
}

impl Spans {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (addresses, ports) = match text.rsplit_once(':') {
            // One colon is that of a port, several are those of an IPv6 address, unless that stands in brackets.
            Some((before, ports)) if !before.contains(':') || before.ends_with(']') => {
                (before, Some(PortSpan::parse(ports)?))
            }
            _ => (text, None),
        };
        let addresses = match addresses {
            "" => None,
            text => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                Some(AddressSpan::new(address(first)?, address(last)?)?)
            }
        };
        let spans = Self { addresses, ports };
        (spans.addresses.is_some() || spans.ports.is_some()).then_some(spans)
    }

    /// The same as one address and at most one port, if it is no more than that.
    pub(crate) fn single(&self) -> Option<NatTarget> {
        let (first, last) = self.addresses?.ends();
        let port = match self.ports {
            None => None,
            Some(ports) => Some(ports.single()?),
        };
        let address = first;
        (first == last).then_some(NatTarget { address, port })
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let inside = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inside.unwrap_or(text).parse().ok()
}

/// The addresses and ports as each dialect writes them.
pub(crate) fn write_spans(
    f: &mut impl fmt::Write,
    addresses: Option<AddressSpan>,
    ports: Option<PortSpan>,
) -> fmt::Result {
    let in_brackets = ports.is_some();
    let one = |f: &mut dyn fmt::Write, address: IpAddr| match address {
        IpAddr::V6(address) if in_brackets => write!(f, "[{address}]"),
        address => write!(f, "{address}"),
    };
    if let Some((first, last)) = addresses.map(AddressSpan::ends) {
        one(f, first)?;
        if first != last {
            f.write_char('-')?;
            one(f, last)?;
        }
    }
    match ports {
        Some(ports) => write!(f, ":{ports}"),
        None => Ok(()),
    }
}
