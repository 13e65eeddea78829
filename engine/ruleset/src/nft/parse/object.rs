//! Sets, maps and chains: their declarations and elements.

use super::cursor::{Cursor, number};
use super::expr::{braced, expr};
use super::statement::{rule, verdict};
use super::tokens::Token;
use super::value::{self, ValueType, key};
use super::{ParseError, ParseErrorKind};
use crate::TextPlace;
use crate::nft::words::{CHAIN_KINDS, DATA_TYPES, HOOKS, PRIORITIES, priority_fits, value_of};
use crate::nft::{
    BaseChain, Carried, DataType, Element, ElementAttrs, Hook, NftChain, NftFamily, NftMap, NftSet,
    Policy, SetFlags, SetOptions, Value,
};

/// What a block of a set or map says, before it is known which of the two it is.
#[derive(Default)]
struct SetDraft {
    key: Option<Vec<DataType>>,
    data: Option<MapData>,
    options: SetOptions,
}

enum MapData {
    Verdict,
    Data(Vec<DataType>),
}

/// `{ type …; … }` of a set.
pub(super) fn set(cursor: &mut Cursor<'_>, name: Token<'_>) -> Result<NftSet, ParseError> {
    let mut set = NftSet::default();
    let draft = block(cursor, |cursor, draft| {
        let types = draft.key_types(name)?;
        braced(cursor, |cursor| set_element(cursor, &types, &mut set))
    })?;
    if draft.data.is_some() {
        return Err(name.unexpected("a map, as its type has data"));
    }
    set.key = draft.key.ok_or_else(|| missing_type(name))?;
    set.options = draft.options;
    Ok(set)
}

/// `{ type … : …; … }` of a map.
pub(super) fn map(cursor: &mut Cursor<'_>, name: Token<'_>) -> Result<NftMap, ParseError> {
    let mut map = NftMap {
        key: Vec::new(),
        data: None,
        options: SetOptions::default(),
        elements: crate::Sorted::new(),
    };
    let draft = block(cursor, |cursor, draft| {
        map.key = draft.key.clone().ok_or_else(|| missing_type(name))?;
        map.data = draft.map_data(name)?;
        braced(cursor, |cursor| map_element(cursor, &mut map))
    })?;
    map.data = draft.map_data(name)?;
    map.key = draft.key.ok_or_else(|| missing_type(name))?;
    map.options = draft.options;
    Ok(map)
}

impl SetDraft {
    fn key_types(&self, name: Token<'_>) -> Result<Vec<ValueType>, ParseError> {
        let key = self.key.as_ref().ok_or_else(|| missing_type(name))?;
        Ok(value_types(key))
    }

    fn map_data(&self, name: Token<'_>) -> Result<Option<Vec<DataType>>, ParseError> {
        match &self.data {
            None => Err(missing_type(name)),
            Some(MapData::Verdict) => Ok(None),
            Some(MapData::Data(types)) => Ok(Some(types.clone())),
        }
    }
}

fn missing_type(name: Token<'_>) -> ParseError {
    name.error(ParseErrorKind::MissingType {
        what: name.text.to_owned(),
    })
}

fn value_types(types: &[DataType]) -> Vec<ValueType> {
    types.iter().copied().map(ValueType::Data).collect()
}

fn block<'a>(
    cursor: &mut Cursor<'a>,
    mut read_elements: impl FnMut(&mut Cursor<'a>, &SetDraft) -> Result<(), ParseError>,
) -> Result<SetDraft, ParseError> {
    let mut draft = SetDraft::default();
    cursor.expect("{")?;
    cursor.skip_separators();
    while cursor.take("}").is_none() {
        if cursor.take("elements").is_some() {
            cursor.expect("=")?;
            read_elements(cursor, &draft)?;
        } else {
            option(cursor, &mut draft)?;
        }
        cursor.end()?;
        cursor.skip_separators();
    }
    Ok(draft)
}

fn option(cursor: &mut Cursor<'_>, draft: &mut SetDraft) -> Result<(), ParseError> {
    let token = cursor.word("`}` or an option")?;
    let options = &mut draft.options;
    match token.text {
        "type" => {
            Cursor::set(&mut draft.key, data_types(cursor)?, token)?;
            if cursor.take(":").is_some() {
                draft.data = Some(match cursor.take("verdict") {
                    Some(_) => MapData::Verdict,
                    None => MapData::Data(data_types(cursor)?),
                });
            }
            Ok(())
        }
        "typeof" => {
            Cursor::set(&mut draft.key, types_of(cursor)?, token)?;
            if cursor.take(":").is_some() {
                draft.data = Some(match cursor.take("verdict") {
                    Some(_) => MapData::Verdict,
                    None => MapData::Data(types_of(cursor)?),
                });
            }
            Ok(())
        }
        "counter" if cursor.reads_dump() => Ok(()),
        "flags" => flags(cursor, &mut options.flags),
        "timeout" => {
            options.flags.timeout = true;
            Cursor::set(&mut options.timeout, value::time(cursor)?, token)
        }
        "gc-interval" => Cursor::set(&mut options.gc_interval, value::time(cursor)?, token),
        "size" => Cursor::set(&mut options.size, cursor.number("a size")?, token),
        "auto-merge" => {
            options.auto_merge = true;
            Ok(())
        }
        "comment" => Cursor::set(&mut options.comment, cursor.comment()?, token),
        _ => Err(token.unsupported(format!("{:?} of a set", token.text))),
    }
}

fn data_types(cursor: &mut Cursor<'_>) -> Result<Vec<DataType>, ParseError> {
    let mut types = Vec::new();
    loop {
        let token = cursor.word("a type")?;
        let one = value_of(DATA_TYPES, token.text).filter(|one| *one != DataType::Integer);
        types.push(one.ok_or_else(|| token.unsupported(format!("type {:?}", token.text)))?);
        if cursor.take(".").is_none() {
            return Ok(types);
        }
    }
}

/// `ip daddr . tcp dport`: the types of what would be looked up.
fn types_of(cursor: &mut Cursor<'_>) -> Result<Vec<DataType>, ParseError> {
    let token = cursor.peek();
    let types = value::types(&expr(cursor, None)?).into_iter();
    let types = types.map(|one| match one {
        ValueType::Data(data) => Ok(data),
        ValueType::TcpFlags | ValueType::CtStatus | ValueType::Direction => {
            Err(token.unsupported("a set of such values"))
        }
    });
    types.collect()
}

fn flags(cursor: &mut Cursor<'_>, flags: &mut SetFlags) -> Result<(), ParseError> {
    loop {
        let token = cursor.word("a flag")?;
        match token.text {
            "constant" => flags.constant = true,
            "interval" => flags.interval = true,
            "timeout" => flags.timeout = true,
            "dynamic" => flags.dynamic = true,
            _ => return Err(token.unsupported(format!("flag {:?} of a set", token.text))),
        }
        if cursor.take(",").is_none() {
            return Ok(());
        }
    }
}

/// What a command does with elements.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Delete,
    /// Does not mind what is not there.
    Destroy,
}

/// `{ a, b }` onto or off a set that is there.
pub(super) fn set_elements(
    cursor: &mut Cursor<'_>,
    set: &mut NftSet,
    change: Change,
) -> Result<(), ParseError> {
    let types = value_types(&set.key);
    braced(cursor, |cursor| {
        if change == Change::Add {
            return set_element(cursor, &types, set);
        }
        let token = cursor.peek();
        let key = key(cursor, &types)?;
        attrs(cursor)?;
        match set.elements.remove(&key) {
            None if change == Change::Delete => Err(no_element(token)),
            _ => Ok(()),
        }
    })
}

/// `{ a : x, b : y }` onto or off a map that is there; off it, values need not be said.
pub(super) fn map_elements(
    cursor: &mut Cursor<'_>,
    map: &mut NftMap,
    change: Change,
) -> Result<(), ParseError> {
    braced(cursor, |cursor| {
        if change == Change::Add {
            return map_element(cursor, map);
        }
        let token = cursor.peek();
        let key = key(cursor, &value_types(&map.key))?;
        attrs(cursor)?;
        if cursor.take(":").is_some() {
            map_value(cursor, map.data.as_deref())?;
        }
        match map.elements.remove(&key) {
            None if change == Change::Delete => Err(no_element(token)),
            _ => Ok(()),
        }
    })
}

fn no_element(token: Token<'_>) -> ParseError {
    token.error(ParseErrorKind::NoSuch {
        kind: "element",
        name: token.text.to_owned(),
    })
}

fn set_element(
    cursor: &mut Cursor<'_>,
    types: &[ValueType],
    set: &mut NftSet,
) -> Result<(), ParseError> {
    let key = key(cursor, types)?;
    let attrs = attrs(cursor)?;
    set.elements.insert(key, attrs);
    Ok(())
}

fn map_element(cursor: &mut Cursor<'_>, map: &mut NftMap) -> Result<(), ParseError> {
    let token = cursor.peek();
    let key = key(cursor, &value_types(&map.key))?;
    let attrs = attrs(cursor)?;
    cursor.expect(":")?;
    let value = map_value(cursor, map.data.as_deref())?;
    let element = Element { value, attrs };
    match map.elements.get(&key) {
        Some(present) if present.value != element.value => {
            Err(token.error(ParseErrorKind::Duplicate {
                what: format!("element {}", token.text),
            }))
        }
        _ => {
            map.elements.insert(key, element);
            Ok(())
        }
    }
}

fn map_value(cursor: &mut Cursor<'_>, data: Option<&[DataType]>) -> Result<Value, ParseError> {
    match data {
        None => verdict(cursor).map(Value::Verdict),
        Some(types) => key(cursor, &value_types(types)).map(Value::Data),
    }
}

fn attrs(cursor: &mut Cursor<'_>) -> Result<ElementAttrs, ParseError> {
    let mut attrs = Carried::default();
    loop {
        let token = cursor.peek();
        match token.text {
            "timeout" => {
                cursor.next();
                Cursor::set(&mut attrs.timeout, value::time(cursor)?, token)?;
            }
            "expires" => {
                cursor.next();
                Cursor::set(&mut attrs.expires, value::time(cursor)?, token)?;
            }
            "comment" => {
                cursor.next();
                Cursor::set(&mut attrs.comment, cursor.comment()?, token)?;
            }
            "counter" if cursor.reads_dump() => {
                cursor.next();
                cursor.expect("packets")?;
                cursor.number::<u64>("a counter")?;
                cursor.expect("bytes")?;
                cursor.number::<u64>("a counter")?;
            }
            "counter" | "limit" | "quota" | "last" => {
                return Err(token.unsupported(format!("{:?} of an element", token.text)));
            }
            _ => return Ok(attrs.into()),
        }
    }
}

/// The hook of the chain whose block begins here, if a packet meets it on a link and not on the way of IP.
pub(super) fn other_hook<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    let start = cursor.position();
    cursor.next();
    cursor.skip_separators();
    let is_base = cursor.take("type").is_some();
    cursor.next();
    let hook = cursor.take("hook").map(|_| cursor.next().text);
    cursor.go_to(start);
    hook.filter(|hook| is_base && ["ingress", "egress"].contains(hook))
}

/// `{ type … hook … priority …; policy …; comment …; rules }`, onto a chain that may be there. The place of each
/// rule goes to `places`.
pub(super) fn chain(
    cursor: &mut Cursor<'_>,
    chain: &mut NftChain,
    family: NftFamily,
    places: &mut Vec<TextPlace>,
) -> Result<(), ParseError> {
    cursor.expect("{")?;
    cursor.skip_separators();
    while cursor.take("}").is_none() {
        let token = cursor.peek();
        match token.text {
            "type" => base(cursor, chain)?,
            "policy" => {
                cursor.next();
                let policy = policy(cursor)?;
                let base = chain.base.as_mut();
                base.ok_or_else(|| token.unexpected("a type before a policy"))?
                    .policy = policy;
            }
            "comment" => {
                cursor.next();
                chain.comment = Some(cursor.comment()?);
            }
            "flags" => return Err(token.unsupported("flags of a chain")),
            _ => {
                chain.rules.push(rule(cursor, family)?);
                places.push(token.place());
            }
        }
        cursor.end()?;
        cursor.skip_separators();
    }
    Ok(())
}

fn base(cursor: &mut Cursor<'_>, chain: &mut NftChain) -> Result<(), ParseError> {
    cursor.next();
    let kind = cursor.word("a chain type")?;
    let kind = value_of(CHAIN_KINDS, kind.text)
        .ok_or_else(|| kind.bad_value("one of filter, nat, route"))?;
    cursor.expect("hook")?;
    let token = cursor.word("a hook")?;
    let hook = value_of(HOOKS, token.text)
        .ok_or_else(|| token.unsupported(format!("hook {:?}", token.text)))?;
    if let Some(device) = cursor.take("device").or_else(|| cursor.take("devices")) {
        return Err(device.unsupported("a chain of one device"));
    }
    cursor.expect("priority")?;
    let priority = priority(cursor, hook)?;
    let policy = chain.base.map_or(Policy::Accept, |base| base.policy);
    chain.base = Some(BaseChain {
        kind,
        hook,
        priority,
        policy,
    });
    Ok(())
}

/// `-110`, `filter`, `dstnat - 10`.
fn priority(cursor: &mut Cursor<'_>, hook: Hook) -> Result<i32, ParseError> {
    let token = cursor.word("a priority")?;
    let named = value_of(PRIORITIES, token.text);
    if named.is_some_and(|priority| !priority_fits(priority, hook)) {
        return Err(token.bad_value("a priority of this hook"));
    }
    let start = match named {
        Some(priority) => priority,
        None if token.is("-") => 0,
        None => {
            let (sign, digits) = match token.text.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, token.text),
            };
            let value = number(digits).and_then(|value| i32::try_from(value).ok());
            return value
                .map(|value| sign * value)
                .ok_or_else(|| token.bad_value("a priority"));
        }
    };
    let sign = if token.is("-") || cursor.take("-").is_some() {
        -1
    } else if cursor.take("+").is_some() {
        1
    } else {
        return Ok(start);
    };
    let token = cursor.peek();
    let offset: i32 = cursor.number("a priority")?;
    start
        .checked_add(sign * offset)
        .ok_or_else(|| token.bad_value("a priority"))
}

fn policy(cursor: &mut Cursor<'_>) -> Result<Policy, ParseError> {
    let token = cursor.word("accept or drop")?;
    match token.text {
        "accept" => Ok(Policy::Accept),
        "drop" => Ok(Policy::Drop),
        _ => Err(token.unexpected("accept or drop")),
    }
}
