//! Frontends that are looked up alike, and what the layout of our own has for them.
//!
//! **Why.** A protocol that is part of a container instead of its keys is tested once, and is not there with every element:
//! nft spends a sixth of a load on it otherwise.

use ruleset::Protocol;
use ruleset::nft::{DataType, Expr, Field, Ident, Key, Place, Scalar};

use super::container::Container;

/// Frontends of one protocol that are looked up alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FlatKind {
    by: FlatKey,
    protocol: Protocol,
}

/// What they are looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum FlatKey {
    /// Address and port.
    Services,
    /// The port.
    NodePorts,
}

/// A set or map of one kind of frontends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FlatTable {
    /// Set: those of which each packet finds an endpoint.
    Guard,
    /// Set: those whose clients are hidden.
    Masquerade,
    /// Set: those that have more endpoints than are asked for one number after the other.
    Many,
    /// Set: those of these in whose number, less one, this bit is set.
    Bit(u32),
    /// Map: the endpoints of those that have so many.
    Endpoints(u32),
}

impl FlatKind {
    /// Whether frontends of a protocol are of any kind: nft has to have a field of its ports.
    pub(super) fn has(protocol: Protocol) -> bool {
        Field::dport(protocol).is_some()
    }

    /// The kind of a protocol's frontends that would be in this map.
    pub(super) fn of(protocol: Protocol, chained: Container) -> Option<Self> {
        let by = match chained {
            Container::ServiceNodePorts => FlatKey::NodePorts,
            _ => FlatKey::Services,
        };
        Self::has(protocol).then_some(Self { by, protocol })
    }

    pub(super) fn is_of_node_ports(self) -> bool {
        self.by == FlatKey::NodePorts
    }

    /// The map of those with chains.
    pub(super) const fn chained(self) -> Container {
        match self.by {
            FlatKey::Services => Container::ServiceIps,
            FlatKey::NodePorts => Container::ServiceNodePorts,
        }
    }

    /// The same as a decision names it.
    pub(super) const fn chained_name(self) -> &'static str {
        match self.by {
            FlatKey::Services => "@service-ips",
            FlatKey::NodePorts => "@service-nodeports",
        }
    }

    /// A key of that map without the protocol: a key of this kind.
    pub(super) fn without_protocol(key: &Key) -> Key {
        let parts = key.parts();
        parts
            .filter(|part| !matches!(part, Scalar::Proto(_)))
            .collect()
    }

    /// A key of this kind as it would be in that map.
    pub(super) fn with_protocol(self, key: &Key) -> Option<Key> {
        let (before, port) = key.split_last()?;
        let mut whole = before.then_protocol(self.protocol);
        whole.push(&port);
        Some(whole)
    }

    /// What a packet is looked up by: `ip daddr . tcp dport`, or `tcp dport`.
    pub(super) fn packet_key(self, daddr: Expr) -> Vec<Expr> {
        let dport = Field::dport(self.protocol).expect("a kind has such a protocol");
        let dport = Expr::Payload(dport);
        match self.by {
            FlatKey::Services => vec![daddr, dport],
            FlatKey::NodePorts => vec![dport],
        }
    }

    /// Where its sets, maps and chains stand in a table: behind those that are always there.
    pub(super) fn place(self, within: u32) -> Place {
        const OF_KINDS: u64 = 1 << 16;
        let by = match self.by {
            FlatKey::Services => 0,
            FlatKey::NodePorts => 1 << 8,
        };
        Place {
            within,
            ..Place::at(OF_KINDS + by + u64::from(self.protocol.0))
        }
    }

    /// The chain that finds endpoints.
    pub(super) fn chooses(self) -> Ident {
        name(&format!("{}-{}", self.chooses_name(), self.protocol))
    }

    /// What such chains are called.
    pub(super) const fn chooses_name(self) -> &'static str {
        match self.by {
            FlatKey::Services => "choose-service",
            FlatKey::NodePorts => "choose-nodeport",
        }
    }

    /// The chain that asks for a bit of numbers of endpoints in this range.
    pub(super) fn asks(self, (first, last): (u32, u32)) -> Ident {
        name(&format!("{}-{first}-to-{last}", self.chooses()))
    }

    /// The chain that draws from the map of so many endpoints. It is one of its own so that no other number of endpoints has
    /// it written anew: nft cannot name a map in a new rule without making it anew, too.
    pub(super) fn draws(self, count: u32) -> Ident {
        let map = FlatTable::Endpoints(count).ident(self);
        name(&format!("draw-{map}"))
    }
}

impl FlatTable {
    /// Its name as one word of a rule.
    pub(super) fn ident(self, kind: FlatKind) -> Ident {
        let (frontends, endpoints) = match kind.by {
            FlatKey::Services => ("services", "endpoints"),
            FlatKey::NodePorts => ("nodeports", "nodeport-endpoints"),
        };
        let protocol = kind.protocol;
        name(&match self {
            Self::Guard => format!("flat-{frontends}-{protocol}"),
            Self::Masquerade => format!("masquerade-{frontends}-{protocol}"),
            Self::Many => format!("many-{endpoints}-{protocol}"),
            Self::Bit(bit) => format!("many-{endpoints}-{protocol}-bit-{bit}"),
            Self::Endpoints(count) => format!("{endpoints}-{protocol}-{count}"),
        })
    }

    pub(super) const fn comment(self) -> &'static str {
        match self {
            Self::Guard => "guard: dropped if not translated",
            Self::Masquerade => "clients are hidden",
            Self::Many => "have many endpoints",
            Self::Bit(_) => "have this bit in their number less one",
            Self::Endpoints(_) => "endpoints by number",
        }
    }

    /// Where it stands among those of its kind.
    pub(super) const fn within(self) -> u32 {
        match self {
            Self::Guard => 0,
            Self::Masquerade => 1,
            Self::Many => 2,
            Self::Bit(bit) => 3 + bit,
            Self::Endpoints(count) => 64 + count,
        }
    }

    /// Types of keys, where those of addresses are these.
    pub(super) fn key(self, kind: FlatKind, address: DataType) -> Vec<DataType> {
        let address = (kind.by == FlatKey::Services).then_some(address);
        let number = self.is_map().then_some(DataType::Integer);
        let parts = address.into_iter().chain([DataType::InetService]);
        parts.chain(number).collect()
    }

    pub(super) const fn is_map(self) -> bool {
        matches!(self, Self::Endpoints(_))
    }
}

fn name(text: &str) -> Ident {
    Ident::new(text).expect("words and numbers are a name")
}
