//! A set or map, indexed.
//!
//! **What.** [`SetIndex`] finds the element that a packed key belongs to. **Why.** Ten thousand Services are one
//! lookup: single values are hashed; networks are hashed once per prefix length in use; only other ranges are
//! compared one by one. **Source of the semantics.** Linux `nft_lookup.c`; the kernel has its own indexes
//! (`nft_set_hash.c`, `nft_set_pipapo.c`), which give the same answers.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use ruleset::Protocol;
use ruleset::nft::{DataType, Ident, Ifname, Key, NftMap, NftSet, Scalar, SetOptions, Value};

use super::code::Code;
use super::error::NftError;
use super::pattern::{Pattern, pack};
use crate::TracedElement;
use crate::elements::SetName;
use crate::packed::Packed;

/// A set or map of one table. What packets read comes first, and is small: there is one in every Service's chain.
#[derive(Clone, Debug)]
pub(crate) struct SetIndex {
    lookup: Lookup,
    pub(crate) data: Data,
    /// For one that rules may change.
    pub(crate) dynamic: Option<Box<Dynamic>>,
    pub(crate) origin: Box<SetOrigin>,
}

/// What packets do not read.
#[derive(Clone, Debug)]
pub(crate) struct SetOrigin {
    pub(crate) source: SetSource,
    /// Bytes of a key.
    pub(crate) width: usize,
}

/// What a set was made from.
#[derive(Clone, Debug)]
pub(crate) enum SetSource {
    Set(Ident, Arc<NftSet>),
    Map(Ident, Arc<NftMap>),
    /// It stands in a rule.
    Anonymous(Box<[(Key, Option<Value>)]>),
}

/// What rules must know to change a set.
#[derive(Clone, Debug)]
pub(crate) struct Dynamic {
    pub(crate) name: SetName,
    pub(crate) timeout: Option<Duration>,
    pub(crate) size: Option<u32>,
}

/// What the elements of a map lead to, by element.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// It is a set.
    None,
    Verdicts(Box<[Code]>),
    /// So many bytes each.
    Values(u32, Box<[u8]>),
}

impl Data {
    pub(crate) fn values(values: &[Packed], width: usize) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.bytes().iter().copied());
        let width = u32::try_from(width).expect("at most 64 bytes");
        Self::Values(width, bytes.collect())
    }

    pub(crate) fn verdict(&self, element: u32) -> Option<Code> {
        match self {
            Self::Verdicts(verdicts) => verdicts.get(element as usize).copied(),
            Self::None | Self::Values(..) => None,
        }
    }

    pub(crate) fn value(&self, element: u32) -> Option<&[u8]> {
        match self {
            Self::Values(width, bytes) => {
                let width = *width as usize;
                let start = element as usize * width;
                bytes.get(start..start + width)
            }
            Self::None | Self::Verdicts(_) => None,
        }
    }

    /// Bytes of a value; `None` for a map to verdicts.
    pub(crate) const fn width(&self) -> Option<usize> {
        match self {
            Self::Values(width, _) => Some(*width as usize),
            Self::None | Self::Verdicts(_) => None,
        }
    }
}

/// Single keys of one width, hashed. The table holds numbers and the keys lie close together, so that the keys of
/// ten thousand Services fit a processor's cache.
#[derive(Clone, Debug)]
struct Hashed {
    keys: PackedKeys,
    /// The element of each key; empty when they have the same numbers.
    elements: Vec<u32>,
    table: HashTable<u32>,
    hasher: FixedState,
}

/// Keys one after the other.
#[derive(Clone, Debug)]
enum PackedKeys {
    /// Of less than sixteen bytes, as numbers: no part of them is an IPv6 address or a name.
    Short(Vec<u128>),
    Long(Vec<Packed>),
}

impl Hashed {
    fn of(keys: impl Iterator<Item = (Packed, u32)>, width: usize) -> Self {
        let mut hashed = Self {
            keys: match width {
                ..16 => PackedKeys::Short(Vec::new()),
                _ => PackedKeys::Long(Vec::new()),
            },
            elements: Vec::new(),
            table: HashTable::new(),
            hasher: FixedState::default(),
        };
        for (key, element) in keys {
            hashed.insert(&key, element);
        }
        hashed
    }

    fn insert(&mut self, key: &Packed, element: u32) {
        let place = u32::try_from(self.table.len()).expect("elements are counted in 32 bits");
        if self.elements.is_empty() && element != place {
            self.elements.extend(0..place);
        }
        if element != place || !self.elements.is_empty() {
            self.elements.push(element);
        }
        let hasher = &self.hasher;
        match &mut self.keys {
            PackedKeys::Short(keys) => {
                keys.push(key.to_number());
                let hash = |place: &u32| hasher.hash_one(keys[*place as usize]);
                self.table.insert_unique(hash(&place), place, hash);
            }
            PackedKeys::Long(keys) => {
                keys.push(*key);
                let hash = |place: &u32| hasher.hash_one(keys[*place as usize]);
                self.table.insert_unique(hash(&place), place, hash);
            }
        }
    }

    fn get(&self, key: &Packed) -> Option<u32> {
        let PackedKeys::Long(keys) = &self.keys else {
            return self.get_short(key.to_number());
        };
        let hash = self.hasher.hash_one(key);
        let place = self
            .table
            .find(hash, |place| keys[*place as usize] == *key)?;
        Some(self.element(*place))
    }

    #[inline]
    fn get_short(&self, key: u128) -> Option<u32> {
        let PackedKeys::Short(keys) = &self.keys else {
            return None;
        };
        if keys.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let place = self
            .table
            .find(hash, |place| keys[*place as usize] == key)?;
        Some(self.element(*place))
    }

    fn element(&self, place: u32) -> u32 {
        self.elements.get(place as usize).copied().unwrap_or(place)
    }
}

#[derive(Clone, Debug)]
enum Lookup {
    /// The keys are the numbers from 0 up to this: what `numgen` asks for.
    Dense(u32),
    /// All keys are single values.
    Single(Box<Hashed>),
    Ranges(Box<Ranges>),
}

#[derive(Clone, Debug)]
struct Ranges {
    /// Single values and networks, by the bits that count.
    shapes: Vec<(Packed, Hashed)>,
    /// All others.
    others: Vec<(Pattern, u32)>,
}

/// The keys of a set in the making.
#[derive(Debug)]
pub(crate) struct Keys {
    patterns: Vec<Pattern>,
    width: usize,
}

impl Keys {
    /// Takes keys of `width` bytes each.
    pub(crate) fn of<'k>(
        keys: impl Iterator<Item = &'k Key>,
        width: usize,
    ) -> Result<Self, NftError> {
        let patterns = keys.map(|key| {
            let pattern = Pattern::of(key)?;
            match pattern.len() {
                found if found == width => Ok(pattern),
                found => Err(NftError::Width {
                    found,
                    wanted: width,
                }),
            }
        });
        let patterns = patterns.collect::<Result<_, _>>()?;
        Ok(Self { patterns, width })
    }
}

impl SetIndex {
    pub(crate) fn new(
        source: SetSource,
        keys: Keys,
        data: Data,
        dynamic: Option<Box<Dynamic>>,
    ) -> Self {
        let width = keys.width;
        Self {
            lookup: Lookup::of(keys),
            data,
            dynamic,
            origin: Box::new(SetOrigin { source, width }),
        }
    }

    /// The element, by its number, that a key belongs to.
    pub(crate) fn find(&self, key: &Packed) -> Option<u32> {
        match &self.lookup {
            Lookup::Dense(_) => self.find_number(key.to_number()),
            Lookup::Single(elements) => elements.get(key),
            Lookup::Ranges(ranges) => {
                let shaped = ranges
                    .shapes
                    .iter()
                    .find_map(|(mask, elements)| elements.get(&key.masked(mask)));
                shaped.or_else(|| {
                    let found = ranges
                        .others
                        .iter()
                        .find(|(pattern, _)| pattern.contains(key));
                    found.map(|(_, element)| *element)
                })
            }
        }
    }

    /// Whether keys may be looked up as numbers, which is quicker.
    #[inline]
    pub(crate) fn takes_numbers(&self) -> bool {
        let is_short = match &self.lookup {
            Lookup::Dense(_) => true,
            Lookup::Single(elements) => matches!(elements.keys, PackedKeys::Short(_)),
            Lookup::Ranges(_) => false,
        };
        is_short && self.dynamic.is_none()
    }

    /// As [`Self::find`], for a set that takes numbers.
    #[inline]
    pub(crate) fn find_number(&self, key: u128) -> Option<u32> {
        match &self.lookup {
            Lookup::Dense(count) => u32::try_from(key).ok().filter(|number| number < count),
            Lookup::Single(elements) => elements.get_short(key),
            Lookup::Ranges(_) => None,
        }
    }

    /// The number of elements that the ruleset states.
    pub(crate) fn len(&self) -> usize {
        match &self.origin.source {
            SetSource::Set(_, set) => set.elements.len(),
            SetSource::Map(_, map) => map.elements.len(),
            SetSource::Anonymous(elements) => elements.len(),
        }
    }
}

impl Lookup {
    fn of(keys: Keys) -> Self {
        let Keys { patterns, width } = keys;
        let singles: Option<Vec<Packed>> = patterns.iter().map(Pattern::single).collect();
        let Some(singles) = singles else {
            return Self::Ranges(Box::new(Ranges::of(patterns, width)));
        };
        let numbers = singles.iter().map(|single| single.to_u32());
        let is_dense = !singles.is_empty() && numbers.eq((0..).map(Some).take(singles.len()));
        if is_dense {
            return Self::Dense(u32::try_from(singles.len()).expect("counted in 32 bits"));
        }
        Self::Single(Box::new(Hashed::of(singles.into_iter().zip(0..), width)))
    }
}

impl Ranges {
    fn of(patterns: Vec<Pattern>, width: usize) -> Self {
        let mut ranges = Self {
            shapes: Vec::new(),
            others: Vec::new(),
        };
        for (pattern, element) in patterns.into_iter().zip(0..) {
            if !pattern.ranges.is_empty() {
                ranges.others.push((pattern, element));
                continue;
            }
            let shapes = &mut ranges.shapes;
            let known = shapes.iter().position(|(mask, _)| *mask == pattern.mask);
            let place = known.unwrap_or_else(|| {
                shapes.push((pattern.mask, Hashed::of(std::iter::empty(), width)));
                shapes.len() - 1
            });
            shapes[place].1.insert(&pattern.value, element);
        }
        ranges
    }
}

/// An element of a set or map that a packet was looked up in, and found.
#[derive(Clone, Copy, Debug)]
pub struct FoundElement<'a> {
    pub(crate) set: &'a SetIndex,
    pub(crate) element: Found<'a>,
}

/// Which element.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// One that the ruleset states.
    Stated(u32),
    /// One that a rule made, and what it leads to.
    Made(&'a Packed, Option<Packed>),
}

impl FoundElement<'_> {
    /// The element to keep.
    #[must_use]
    pub fn to_traced(self) -> TracedElement {
        let (key, value) = match self.element {
            Found::Stated(number) => self.stated(number),
            Found::Made(key, data) => self.made(key, data),
        };
        let set = match &self.set.origin.source {
            SetSource::Set(name, _) | SetSource::Map(name, _) => Some(name.clone()),
            SetSource::Anonymous(_) => None,
        };
        TracedElement { set, key, value }
    }

    fn stated(&self, number: u32) -> (Key, Option<Value>) {
        let place = number as usize;
        let found = match &self.set.origin.source {
            SetSource::Set(_, set) => set
                .elements
                .keys()
                .nth(place)
                .map(|key| (key.clone(), None)),
            SetSource::Map(_, map) => {
                let element = map.elements.iter().nth(place);
                element.map(|(key, element)| (key.clone(), Some(element.value.clone())))
            }
            SetSource::Anonymous(elements) => elements.get(place).cloned(),
        };
        found.expect("an index names elements of its own set only")
    }

    fn made(&self, key: &Packed, data: Option<Packed>) -> (Key, Option<Value>) {
        let (types, data_types) = match &self.set.origin.source {
            SetSource::Set(_, set) => (&set.key, None),
            SetSource::Map(_, map) => (&map.key, map.data.as_ref()),
            SetSource::Anonymous(_) => return (Key::new(), None),
        };
        let value = data
            .zip(data_types)
            .map(|(data, types)| Value::Data(unpack(types, &data)));
        (unpack(types, key), value)
    }
}

/// Bytes of a value of these types.
pub(crate) fn width(types: &[DataType]) -> usize {
    types
        .iter()
        .map(|one| match one {
            DataType::Ipv4Addr
            | DataType::Mark
            | DataType::CtState
            | DataType::FibAddrType
            | DataType::Integer => 4,
            DataType::Ipv6Addr | DataType::Ifname => 16,
            DataType::InetService => 2,
            DataType::InetProto
            | DataType::NfProto
            | DataType::IcmpType
            | DataType::Icmpv6Type
            | DataType::PktType => 1,
        })
        .sum()
}

/// Data of a map, packed; each value is `width` bytes long.
pub(crate) fn pack_data(value: &[Scalar], wanted: usize) -> Result<Packed, NftError> {
    let packed = pack(value)?;
    match packed.len() {
        found if found == wanted => Ok(packed),
        found => Err(NftError::Width { found, wanted }),
    }
}

/// For a set that rules may change.
pub(crate) fn dynamic(name: SetName, options: &SetOptions) -> Option<Box<Dynamic>> {
    (!options.flags.constant).then(|| {
        Box::new(Dynamic {
            name,
            timeout: options.timeout,
            size: options.size,
        })
    })
}

/// The values that packed bytes of these types are.
fn unpack(types: &[DataType], packed: &Packed) -> Key {
    let mut rest = packed.bytes();
    let parts = types.iter().filter_map(|one| {
        let (part, after) = rest.split_at_checked(width(&[*one]))?;
        rest = after;
        let number = || part.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        Some(match one {
            DataType::Ipv4Addr => Scalar::V4(number().into()),
            DataType::Ipv6Addr => Scalar::V6(<[u8; 16]>::try_from(part).ok()?.into()),
            DataType::InetProto => Scalar::Proto(Protocol(part[0])),
            DataType::InetService => Scalar::Port(u16::from_be_bytes([part[0], part[1]])),
            DataType::Mark => Scalar::Mark(number()),
            DataType::Ifname => {
                let text = std::str::from_utf8(part).ok()?.trim_end_matches('\0');
                Scalar::Ifname(Ifname::new(text)?)
            }
            _ => Scalar::Number(number()),
        })
    });
    parts.collect()
}
