//! Sets of `ipset`, of the types that kube-proxy uses (PROXY-59).

use std::fmt;
use std::net::IpAddr;

use imbl::OrdSet;
use ipnet::IpNet;

use crate::{Family, Protocol};

/// A set's name: 1 to 31 bytes (`IPSET_MAXNAMELEN`), of characters that no tool reads as something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName(Box<str>);

impl SetName {
    /// The longest name a kernel takes, in bytes.
    pub const MAX: usize = 31;

    /// Takes a name; `None` when it cannot be one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@+".contains(&byte);
        let fits = !name.is_empty() && name.len() <= Self::MAX && !name.starts_with('-');
        (fits && name.bytes().all(is_allowed)).then(|| Self(name.into()))
    }

    /// The name of one of kube-proxy's sets: those of IPv6 begin otherwise, and are cut to what fits (PROXY-59).
    ///
    /// # Panics
    /// When the text is not a name that begins with `KUBE-`.
    #[must_use]
    pub fn of_family(name: &'static str, family: Family) -> Self {
        let name = match family {
            Family::V4 => name.to_owned(),
            Family::V6 => {
                let rest = name.strip_prefix("KUBE-");
                let rest = rest.expect("names of kube-proxy's sets begin so");
                let mut name = format!("KUBE-6-{rest}");
                name.truncate(Self::MAX);
                name
            }
        };
        Self::new(&name).expect("a name written in the source is valid")
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the entries of a set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    /// `hash:ip`
    Address,
    /// `hash:net`
    Net,
    /// `hash:ip,port`
    AddressPort,
    /// `hash:ip,port,ip`
    AddressPortAddress,
    /// `hash:ip,port,net`
    AddressPortNet,
    /// `bitmap:port`, for all ports
    Port,
}

impl SetKind {
    pub(super) const NAMES: [(Self, &'static str); 6] = [
        (Self::Address, "hash:ip"),
        (Self::Net, "hash:net"),
        (Self::AddressPort, "hash:ip,port"),
        (Self::AddressPortAddress, "hash:ip,port,ip"),
        (Self::AddressPortNet, "hash:ip,port,net"),
        (Self::Port, "bitmap:port"),
    ];

    /// How many parts of a packet are looked up: `dst`, `dst,dst`, `dst,dst,src`.
    #[must_use]
    pub const fn dimensions(self) -> usize {
        match self {
            Self::Address | Self::Net | Self::Port => 1,
            Self::AddressPort => 2,
            Self::AddressPortAddress | Self::AddressPortNet => 3,
        }
    }
}

impl fmt::Display for SetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES.iter();
        let name = names.find(|(kind, _)| kind == self);
        f.pad(name.expect("every kind has a name").1)
    }
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetEntry {
    /// Of `hash:ip`.
    Address(IpAddr),
    /// Of `hash:net`.
    Net(IpNet),
    /// Of `hash:ip,port`.
    AddressPort(IpAddr, Protocol, u16),
    /// Of `hash:ip,port,ip`.
    AddressPortAddress(IpAddr, Protocol, u16, IpAddr),
    /// Of `hash:ip,port,net`.
    AddressPortNet(IpAddr, Protocol, u16, IpNet),
    /// Of `bitmap:port`.
    Port(u16),
}

impl SetEntry {
    /// The kind of set that it can be in.
    #[must_use]
    pub const fn kind(self) -> SetKind {
        match self {
            Self::Address(_) => SetKind::Address,
            Self::Net(_) => SetKind::Net,
            Self::AddressPort(..) => SetKind::AddressPort,
            Self::AddressPortAddress(..) => SetKind::AddressPortAddress,
            Self::AddressPortNet(..) => SetKind::AddressPortNet,
            Self::Port(_) => SetKind::Port,
        }
    }

    /// Whether its addresses are of a family, and its networks no wider than a set takes.
    #[must_use]
    pub fn fits(self, family: Family) -> bool {
        let is_of = |address: IpAddr| Family::of(address) == family;
        let is_net = |net: IpNet| is_of(net.addr()) && net.prefix_len() > 0;
        match self {
            Self::Address(address) | Self::AddressPort(address, ..) => is_of(address),
            Self::Net(net) => is_net(net),
            Self::AddressPortAddress(address, _, _, other) => is_of(address) && is_of(other),
            Self::AddressPortNet(address, _, _, net) => is_of(address) && is_net(net),
            Self::Port(_) => true,
        }
    }
}

/// `10.96.0.40,tcp:80,10.0.0.0/8`
impl fmt::Display for SetEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Net(net) => write!(f, "{}", ShortNet(net)),
            Self::AddressPort(address, protocol, port) => write!(f, "{address},{protocol}:{port}"),
            Self::AddressPortAddress(address, protocol, port, other) => {
                write!(f, "{address},{protocol}:{port},{other}")
            }
            Self::AddressPortNet(address, protocol, port, net) => {
                write!(f, "{address},{protocol}:{port},{}", ShortNet(net))
            }
            Self::Port(port) => write!(f, "{port}"),
        }
    }
}

/// A network as `ipset` prints it: without the length when it is one address.
struct ShortNet<'n>(&'n IpNet);

impl fmt::Display for ShortNet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => write!(f, "{}", self.0.addr()),
            false => write!(f, "{}", self.0),
        }
    }
}

/// A set. Copies share what is equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What its entries are.
    pub kind: SetKind,
    /// All of this kind.
    pub entries: OrdSet<SetEntry>,
}

impl Set {
    /// An empty set.
    #[must_use]
    pub fn new(kind: SetKind) -> Self {
        Self {
            kind,
            entries: OrdSet::new(),
        }
    }

    /// Whether an entry is what a packet has.
    #[must_use]
    pub fn holds(&self, parts: &SetParts) -> bool {
        let SetParts { first, port, third } = *parts;
        let has = |entry: SetEntry| self.entries.contains(&entry);
        let within = |address: IpAddr, entry: &dyn Fn(IpNet) -> SetEntry| {
            let lengths = 1..=Family::of(address).address_bits();
            let mut nets = lengths.filter_map(|length| IpNet::new(address, length).ok());
            nets.any(|net| has(entry(net.trunc())))
        };
        match self.kind {
            SetKind::Address => has(SetEntry::Address(first)),
            SetKind::Net => within(first, &SetEntry::Net),
            SetKind::Port => port.is_some_and(|(protocol, port)| {
                // `ip_set_get_ip_port` knows no other protocol.
                matches!(protocol, Protocol::TCP | Protocol::UDP) && has(SetEntry::Port(port))
            }),
            SetKind::AddressPort => port
                .is_some_and(|(protocol, port)| has(SetEntry::AddressPort(first, protocol, port))),
            SetKind::AddressPortAddress => {
                let known = port.zip(third);
                known.is_some_and(|((protocol, port), third)| {
                    has(SetEntry::AddressPortAddress(first, protocol, port, third))
                })
            }
            SetKind::AddressPortNet => {
                let known = port.zip(third);
                known.is_some_and(|((protocol, port), third)| {
                    within(third, &|net| {
                        SetEntry::AddressPortNet(first, protocol, port, net)
                    })
                })
            }
        }
    }
}

/// What a set is asked about: parts of a packet. A set looks at as many as its kind has.
#[derive(Clone, Copy, Debug)]
pub struct SetParts {
    /// An address.
    pub first: IpAddr,
    /// A port, where the packet has one.
    pub port: Option<(Protocol, u16)>,
    /// Another address.
    pub third: Option<IpAddr>,
}
