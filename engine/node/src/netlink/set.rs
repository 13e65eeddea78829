//! Sets and maps: their declarations, named or anonymous, and the elements that come with them.
//!
//! Source: `mnl_nft_set_add` and `set_evaluate` of nftables 1.0.6.

use std::collections::BTreeMap;

use ruleset::nft::{
    DataType, Ident, Key, MapRef, NftTables, SetFlags, SetOptions, SetOrMap, TableKey, Value,
    Verdict,
};

use super::element::{self, Content, Elements, Owner, Shape};
use super::uapi::{self, set, set_flag};
use super::user_data::{self, UserData};
use super::value::{ends, is_range, milliseconds, type_of};
use super::writer::{Head, Writer};
use super::{Encoded, Unknown};

/// What an operation must know of the sets that it names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    pub(super) shape: Shape,
    /// nft puts intervals together before it sends them.
    pub(super) is_merged: bool,
    /// How many parts a map's data has; none in a set or a map to verdicts.
    pub(super) data_parts: usize,
}

impl Declared {
    fn of(one: &SetOrMap) -> Self {
        let (key, data, options) = match one {
            SetOrMap::Set(set) => (&set.key, None, &set.options),
            SetOrMap::Map(map) => (&map.key, map.data.as_ref(), &map.options),
        };
        Self {
            shape: Shape::of(options.flags.interval, key.len()),
            is_merged: options.auto_merge,
            data_parts: data.map_or(0, Vec::len),
        }
    }
}

/// The sets and maps that are there, and those that come with the batch.
pub(super) struct Sets<'a> {
    present: &'a NftTables,
    new: BTreeMap<(&'a TableKey, &'a Ident), Declared>,
    /// Of the set declared last: each has its own, for elements and rules of the same batch to name it by.
    id: u32,
}

impl<'a> Sets<'a> {
    pub(super) const fn new(present: &'a NftTables) -> Self {
        Self {
            present,
            new: BTreeMap::new(),
            id: 0,
        }
    }

    pub(super) fn named(&self, table: &TableKey, name: &Ident) -> Encoded<Declared> {
        if let Some(new) = self.new.get(&(table, name)) {
            return Ok(*new);
        }
        let present = self.present.tables.get(table);
        let present = present.and_then(|table| table.sets.get(name));
        let present = present.ok_or(Unknown("a set that nobody has declared"))?;
        Ok(Declared::of(present))
    }

    pub(super) fn declare(
        &mut self,
        out: &mut Writer,
        head: Head,
        table: &'a TableKey,
        (name, one): (&'a Ident, &SetOrMap),
    ) -> Encoded {
        let declared = Declared::of(one);
        self.new.insert((table, name), declared);
        let (key, data, options, count) = match one {
            SetOrMap::Set(set) => (&set.key, None, &set.options, set.elements.len()),
            SetOrMap::Map(map) => {
                let data = Some(map.data.as_deref().unwrap_or_default());
                (&map.key, data, &map.options, map.elements.len())
            }
        };
        if options.auto_merge && count > 0 {
            return Err(Unknown("elements of a set with auto-merge"));
        }
        let declaration = Declaration {
            table: &table.name,
            name: name.as_str(),
            flags: flags_of(options),
            key,
            data,
            size: options.size,
            user_data: user_data::declaration(key, data, options),
        };
        self.id += 1;
        declaration.write(out, head, self.id, Some(options))?;
        let owner = Owner {
            table: &table.name,
            set: name.as_str(),
            id: None,
            shape: declared.shape,
        };
        let elements = Elements::new(out, add(head), owner);
        match one {
            SetOrMap::Set(set) => {
                let elements_of = set.elements.iter();
                let contents = elements_of.map(|(key, attrs)| (key, Content::of_set(attrs)));
                fill(elements, contents, Ends::Always)
            }
            SetOrMap::Map(map) => {
                let elements_of = map.elements.iter();
                let contents = elements_of.map(|(key, one)| (key, Content::of_map(one)));
                fill(elements, contents, Ends::Always)
            }
        }
    }

    /// Declares a set of a rule's own; its number.
    pub(super) fn anonymous_set(
        &mut self,
        out: &mut Writer,
        head: Head,
        table: &Ident,
        keys: &[Key],
    ) -> Encoded<u32> {
        let elements = keys.iter().map(|key| (key, None));
        self.anonymous(out, head, (table, SET_NAME), elements.collect(), None)
    }

    /// Declares a map of a rule's own to verdicts; its number.
    pub(super) fn anonymous_verdicts(
        &mut self,
        out: &mut Writer,
        head: Head,
        table: &Ident,
        entries: &[(Key, Verdict)],
    ) -> Encoded<u32> {
        let value = |verdict: &Verdict| Value::Verdict(verdict.clone());
        let elements = entries
            .iter()
            .map(|(key, verdict)| (key, Some(value(verdict))));
        let elements = elements.collect();
        self.anonymous(out, head, (table, MAP_NAME), elements, Some(&[]))
    }

    /// Declares a map of a rule's own to data; its number.
    pub(super) fn anonymous_map(
        &mut self,
        out: &mut Writer,
        head: Head,
        table: &Ident,
        entries: &[(Key, Key)],
    ) -> Encoded<u32> {
        let elements = entries.iter();
        let elements = elements.map(|(key, data)| (key, Some(Value::Data(data.clone()))));
        let (_, first) = entries.first().ok_or(Unknown("an empty map"))?;
        let types = types_of(first)?;
        let elements = elements.collect();
        self.anonymous(out, head, (table, MAP_NAME), elements, Some(&types))
    }

    fn anonymous(
        &mut self,
        out: &mut Writer,
        head: Head,
        (table, name): (&Ident, &str),
        mut elements: Vec<(&Key, Option<Value>)>,
        data: Option<&[DataType]>,
    ) -> Encoded<u32> {
        let (first, _) = elements.first().ok_or(Unknown("an empty set"))?;
        let key = types_of(first)?;
        let is_interval = elements
            .iter()
            .any(|(key, _)| key.parts().any(|part| is_range(&part)));
        let options = SetOptions {
            flags: SetFlags {
                constant: true,
                interval: is_interval,
                ..SetFlags::default()
            },
            ..SetOptions::default()
        };
        let declaration = Declaration {
            table,
            name,
            flags: flags_of(&options) | set_flag::ANONYMOUS,
            key: &key,
            data,
            size: Some(u32::try_from(elements.len()).map_err(|_| Unknown("a set this big"))?),
            user_data: user_data::anonymous(&key, data),
        };
        self.id += 1;
        declaration.write(out, head, self.id, None)?;
        let owner = Owner {
            table,
            set: name,
            id: Some(self.id),
            shape: Shape::of(is_interval, key.len()),
        };
        if owner.shape == Shape::Intervals {
            let start = |key: &Key| key.parts().map(|part| ends(&part).0).collect::<Key>();
            elements.sort_by_cached_key(|(key, _)| start(key));
        }
        let contents = elements.iter().map(|(key, value)| {
            let content = Content {
                value: value.as_ref(),
                ..Content::default()
            };
            (*key, content)
        });
        let elements = Elements::new(out, add(head), owner);
        fill(elements, contents, Ends::UnlessAdjoined)?;
        Ok(self.id)
    }
}

/// The kernel finds a name that is free.
pub(super) const SET_NAME: &str = "__set%d";
pub(super) const MAP_NAME: &str = "__map%d";

/// By which name a rule calls a map.
pub(super) fn map_name<V>(map: &MapRef<V>) -> &str {
    match map {
        MapRef::Named(name) => name.as_str(),
        MapRef::Anonymous(_) => MAP_NAME,
    }
}

/// The head of the message that adds elements of a set which this one declares.
fn add(head: Head) -> Head {
    Head {
        kind: super::kind(element::ADD),
        ..head
    }
}

/// When the end of an interval is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// So that each can be deleted by itself.
    Always,
    /// Unless the next one begins there.
    UnlessAdjoined,
}

fn fill<'e>(
    mut out: Elements<'_>,
    elements: impl Iterator<Item = (&'e Key, Content<'e>)>,
    said: Ends,
) -> Encoded {
    let mut elements = elements.peekable();
    if out.is_tree()
        && let Some((key, _)) = elements.peek()
    {
        out.put_origin(key)?;
    }
    while let Some((key, content)) = elements.next() {
        let next = elements.peek().filter(|_| said == Ends::UnlessAdjoined);
        out.put(key, content, next.map(|(next, _)| *next))?;
    }
    out.finish();
    Ok(())
}

fn types_of(key: &Key) -> Encoded<Vec<DataType>> {
    key.parts().map(|part| type_of(&part)).collect()
}

fn flags_of(options: &SetOptions) -> u32 {
    let flags = options.flags;
    let bits = [
        (flags.constant, set_flag::CONSTANT),
        (flags.interval, set_flag::INTERVAL),
        (
            flags.timeout || options.timeout.is_some(),
            set_flag::TIMEOUT,
        ),
        (flags.dynamic, set_flag::EVAL),
    ];
    let set = bits.iter().filter(|(is_set, _)| *is_set);
    set.fold(0, |bits, (_, bit)| bits | bit)
}

struct Declaration<'a> {
    table: &'a Ident,
    name: &'a str,
    flags: u32,
    key: &'a [DataType],
    /// Of a map; without parts in one to verdicts.
    data: Option<&'a [DataType]>,
    size: Option<u32>,
    user_data: UserData,
}

impl Declaration<'_> {
    fn write(
        &self,
        out: &mut Writer,
        head: Head,
        id: u32,
        options: Option<&SetOptions>,
    ) -> Encoded {
        let is_concatenation = self.flags & set_flag::INTERVAL != 0 && self.key.len() > 1;
        let mut flags = self.flags;
        if self.data.is_some() {
            flags |= set_flag::MAP;
        }
        if is_concatenation {
            flags |= set_flag::CONCAT;
        }
        let message = out.begin(head);
        out.text(set::TABLE, self.table.as_str());
        out.text(set::NAME, self.name);
        out.u32(set::FLAGS, flags);
        out.u32(set::KEY_TYPE, type_id(self.key));
        out.u32(set::KEY_LENGTH, length(self.key));
        match self.data {
            None => {}
            Some([]) => out.u32(set::DATA_TYPE, set::VERDICT_TYPE),
            Some(data) => {
                out.u32(set::DATA_TYPE, type_id(data));
                out.u32(set::DATA_LENGTH, length(data));
            }
        }
        out.u32(set::ID, id);
        if self.size.is_some() || is_concatenation {
            let nest = out.open_nest(set::DESCRIPTION);
            if let Some(size) = self.size {
                out.u32(set::DESCRIPTION_SIZE, size);
            }
            if is_concatenation {
                put_parts(out, self.key);
            }
            out.close(nest);
        }
        if let Some(timeout) = options.and_then(|options| options.timeout) {
            out.u64(set::TIMEOUT, milliseconds(timeout));
        }
        if let Some(interval) = options.and_then(|options| options.gc_interval) {
            let interval = u32::try_from(milliseconds(interval)).unwrap_or(u32::MAX);
            out.u32(set::GC_INTERVAL, interval);
        }
        self.user_data.write(out, set::USER_DATA)?;
        out.end(message);
        Ok(())
    }
}

fn put_parts(out: &mut Writer, key: &[DataType]) {
    let parts = out.open_nest(set::DESCRIPTION_PARTS);
    for part in key {
        let item = out.open_nest(uapi::LIST_ITEM);
        out.u32(set::PART_LENGTH, width(*part));
        out.close(item);
    }
    out.close(parts);
}

/// nft's number of a type (`enum datatypes`); that of a concatenation has six bits for each of its parts. A kernel does not
/// look into it.
fn type_id(types: &[DataType]) -> u32 {
    let id = |of: &DataType| match of {
        DataType::NfProto => 2,
        DataType::Integer => 4,
        DataType::Ipv4Addr => 7,
        DataType::Ipv6Addr => 8,
        DataType::InetProto => 12,
        DataType::InetService => 13,
        DataType::IcmpType => 14,
        DataType::Mark => 19,
        DataType::CtState => 26,
        DataType::Icmpv6Type => 29,
        DataType::PktType => 31,
        DataType::FibAddrType => 38,
        DataType::Ifname => 41,
    };
    types.iter().fold(0, |all, of| all << 6 | id(of))
}

/// The bytes of one part.
const fn width(of: DataType) -> u32 {
    match of {
        DataType::InetProto
        | DataType::NfProto
        | DataType::IcmpType
        | DataType::Icmpv6Type
        | DataType::PktType => 1,
        DataType::InetService => 2,
        DataType::Ipv4Addr
        | DataType::Mark
        | DataType::CtState
        | DataType::FibAddrType
        | DataType::Integer => 4,
        DataType::Ipv6Addr | DataType::Ifname => 16,
    }
}

/// The bytes of all parts.
fn length(types: &[DataType]) -> u32 {
    match types {
        [one] => width(*one),
        parts => parts
            .iter()
            .map(|part| width(*part).next_multiple_of(4))
            .sum(),
    }
}
