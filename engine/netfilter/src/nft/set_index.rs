//! A set or map, indexed.
//!
//! **What.** [`SetIndex`] finds the element that a packed key belongs to. **Why.** Ten thousand Services are one
//! lookup: single values are hashed; networks are hashed once per prefix length in use; only other ranges are
//! compared one by one. **Source of the semantics.** Linux `nft_lookup.c`; the kernel has its own indexes
//! (`nft_set_hash.c`, `nft_set_pipapo.c`), which give the same answers.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use ruleset::Protocol;
use ruleset::nft::{DataType, Ident, Ifname, Key, NftMap, NftSet, Scalar, SetOptions, Value};

use super::code::DataPlace;
use super::error::NftError;
use super::pattern::{Pattern, pack};
use super::shortcut::Lead;
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

impl SetSource {
    /// All keys.
    pub(crate) fn keys(&self) -> Vec<&Key> {
        match self {
            Self::Set(_, set) => set.elements.keys().collect(),
            Self::Map(_, map) => map.elements.keys().collect(),
            Self::Anonymous(elements) => elements.iter().map(|(key, _)| key).collect(),
        }
    }
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
    Verdicts(Box<[Lead]>),
    /// Those of its table, from here on.
    Values(DataPlace),
}

impl Data {
    pub(crate) fn lead(&self, element: u32) -> Option<&Lead> {
        match self {
            Self::Verdicts(leads) => leads.get(element as usize),
            Self::None | Self::Values(_) => None,
        }
    }

    pub(super) fn leads_mut(&mut self) -> &mut [Lead] {
        match self {
            Self::Verdicts(leads) => leads,
            Self::None | Self::Values(_) => &mut [],
        }
    }

    /// Where the data begin; `None` for a set, and for a map to verdicts.
    pub(crate) const fn place(&self) -> Option<DataPlace> {
        match self {
            Self::Values(place) => Some(*place),
            Self::None | Self::Verdicts(_) => None,
        }
    }
}

/// Single keys of one width, hashed; each with its element.
#[derive(Clone, Debug)]
enum Hashed {
    /// Of at most eight bytes, as numbers: the ports and addresses of IPv4.
    Short(HashTable<(u64, u32)>),
    /// Of at most sixteen bytes, as numbers: no part of them is an IPv6 address or a name.
    Wide(HashTable<(u128, u32)>),
    Long(HashTable<(Packed, u32)>),
}

/// The same in every run.
const HASHER: FixedState = FixedState::with_seed(0);

impl Hashed {
    const fn of_width(width: usize) -> Self {
        match width {
            ..=8 => Self::Short(HashTable::new()),
            9..=16 => Self::Wide(HashTable::new()),
            _ => Self::Long(HashTable::new()),
        }
    }

    fn insert(&mut self, key: &Packed, element: u32) {
        fn insert<K: Hash>(table: &mut HashTable<(K, u32)>, key: K, element: u32) {
            let hash = |(key, _): &(K, u32)| HASHER.hash_one(key);
            table.insert_unique(HASHER.hash_one(&key), (key, element), hash);
        }
        match self {
            Self::Short(table) => insert(table, key.to_u64(), element),
            Self::Wide(table) => insert(table, key.to_u128(), element),
            Self::Long(table) => insert(table, *key, element),
        }
    }

    fn get(&self, key: &Packed) -> Option<u32> {
        match self {
            Self::Short(table) => find(table, &key.to_u64()),
            Self::Wide(table) => find(table, &key.to_u128()),
            Self::Long(table) => find(table, key),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Short(table) => table.is_empty(),
            Self::Wide(table) => table.is_empty(),
            Self::Long(table) => table.is_empty(),
        }
    }
}

#[inline]
fn find<K: Hash + Eq>(table: &HashTable<(K, u32)>, key: &K) -> Option<u32> {
    if table.is_empty() {
        return None;
    }
    let found = table.find(HASHER.hash_one(key), |(one, _)| one == key);
    found.map(|(_, element)| *element)
}

/// The forms of a key; the first two are the quick ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// A number of at most eight bytes.
    Short,
    /// A number of at most sixteen bytes.
    Wide,
    Packed,
}

#[derive(Clone, Debug)]
enum Lookup {
    /// The keys are the numbers from 0 up to this: what `numgen` asks for.
    Dense(u32),
    /// All keys are single values.
    Single(Hashed),
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
            Lookup::Dense(count) => key.to_u32().filter(|number| number < count),
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

    /// What a key is best given as.
    #[inline]
    pub(crate) const fn key_form(&self) -> KeyForm {
        match &self.lookup {
            Lookup::Single(Hashed::Short(_)) if self.dynamic.is_none() => KeyForm::Short,
            Lookup::Single(Hashed::Wide(_)) if self.dynamic.is_none() => KeyForm::Wide,
            _ => KeyForm::Packed,
        }
    }

    /// As [`Self::find`], for a set of short keys.
    #[inline]
    pub(crate) fn find_short(&self, key: u64) -> Option<u32> {
        match &self.lookup {
            Lookup::Single(Hashed::Short(table)) => find(table, &key),
            _ => None,
        }
    }

    /// As [`Self::find`], for a set of wide keys.
    #[inline]
    pub(crate) fn find_wide(&self, key: u128) -> Option<u32> {
        match &self.lookup {
            Lookup::Single(Hashed::Wide(table)) => find(table, &key),
            _ => None,
        }
    }

    /// The number of elements, if the keys are the numbers below it.
    pub(crate) const fn dense_len(&self) -> Option<u32> {
        match &self.lookup {
            Lookup::Dense(count) => Some(*count),
            Lookup::Single(_) | Lookup::Ranges(_) => None,
        }
    }

    /// Whether keys that differ in their last part only have every number below `count` there, and no other.
    pub(crate) fn has_all_numbers(&self, count: u32) -> bool {
        let mut found: HashMap<Key, u32, FixedState> = HashMap::default();
        for key in self.origin.source.keys() {
            match key.split_last() {
                Some((before, Scalar::Number(number))) if number < count => {
                    *found.entry(before).or_default() += 1;
                }
                _ => return false,
            }
        }
        found.values().all(|numbers| *numbers == count)
    }

    /// Whether nothing is in it, and no rule puts anything there.
    pub(crate) fn stays_empty(&self) -> bool {
        let is_empty = match &self.lookup {
            Lookup::Dense(count) => *count == 0,
            Lookup::Single(elements) => elements.is_empty(),
            Lookup::Ranges(_) => false,
        };
        is_empty && self.dynamic.is_none()
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
        let mut hashed = Hashed::of_width(width);
        for (key, element) in singles.iter().zip(0..) {
            hashed.insert(key, element);
        }
        Self::Single(hashed)
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
                shapes.push((pattern.mask, Hashed::of_width(width)));
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
pub(crate) fn pack_data(value: &Key, wanted: usize) -> Result<Packed, NftError> {
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
