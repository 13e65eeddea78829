//! Tables as text, in the two flavours of [`list_text`] and [`script_text`].
//!
//! No text from outside can change the shape of a line: names, comments and interface names come through
//! checked types that have no `"` and no line break in them.
//!
//! Source: `src/rule.c` (`table_print`, `set_print_declaration`, `chain_print_declaration`, `prio2str`) and
//! `src/expression.c` (`calculate_delim`) of nftables 1.0.6.
//!
//! Deviation: a protocol without a name of its own in [`Protocol`](crate::Protocol) is a number, where nft asks
//! `/etc/protocols`; elements of hash sets stand sorted, where nft has the kernel's order.

mod expr;
mod statement;
mod transaction;

use std::fmt::{self, Display, Formatter, Write};
use std::net::IpAddr;
use std::time::Duration;

use super::words::{
    CHAIN_KINDS, DATA_TYPES, HOOKS, PRIORITIES, TYPE_SAMPLES, priority_has_name, word_of,
};
use super::{
    BaseChain, DataType, ElementAttrs, Ident, Key, NftChain, NftFamily, NftMap, NftRule, NftSet,
    NftTable, NftTables, Policy, Scalar, SetFlags, SetOptions, SetOrMap, TableKey, Value,
};
use crate::verbatim::write_on_one_line;

/// What `nft list ruleset` prints for these tables, one table after the other.
#[must_use]
pub fn list_text(tables: &NftTables) -> String {
    let mut text = String::new();
    for (key, table) in &tables.tables {
        write_table(&mut text, key, table).expect("a String takes everything");
    }
    text
}

/// A script for `nft -f` that makes these tables on a node what they are here, in one transaction: whatever
/// stood in tables of these names is gone. Elements that rules added are so, too.
#[must_use]
pub fn script_text(tables: &NftTables) -> String {
    let mut text = String::new();
    for (key, table) in &tables.tables {
        // Adding first makes the deletion work on a node that has no such table.
        let all = writeln!(text, "add table {key}\ndelete table {key}")
            .and_then(|()| write_table(&mut text, key, table));
        all.expect("a String takes everything");
    }
    text
}

impl NftRule {
    /// The rule as `nft list` prints it in a table of this family, without indentation and line break.
    pub fn line(&self, family: NftFamily) -> impl Display + '_ {
        RuleLine { rule: self, family }
    }
}

struct RuleLine<'a> {
    rule: &'a NftRule,
    family: NftFamily,
}

/// What a rule's text depends on besides the rule.
#[derive(Clone, Copy)]
struct Place<'a> {
    family: NftFamily,
    /// Not known for a rule on its own.
    table: Option<&'a NftTable>,
}

impl Place<'_> {
    /// Whether a map leads to addresses with ports; one that is not known does, as kube-proxy's do.
    fn has_pairs(self, map: &Ident) -> bool {
        let map = self.table.and_then(|table| table.map(map));
        let data = map.and_then(|map| map.data.as_ref());
        data.is_none_or(|parts| parts.len() > 1)
    }
}

impl Display for RuleLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let place = Place {
            family: self.family,
            table: None,
        };
        let mut text = String::new();
        write_rule(&mut text, self.rule, place)?;
        write_on_one_line(f, &text)
    }
}

/// `10.96.0.1`
impl Display for Scalar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        expr::write_scalar(f, self)
    }
}

/// `10.96.0.1 . tcp . 443`
impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        expr::write_key(f, self)
    }
}

/// `ipv4_addr`
impl Display for DataType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(word_of(DATA_TYPES, self))
    }
}

/// `goto reject-chain`, or the parts of the data.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(verdict) => write!(f, "{verdict}"),
            Self::Data(data) => write!(f, "{data}"),
        }
    }
}

fn write_table(out: &mut String, key: &TableKey, table: &NftTable) -> fmt::Result {
    writeln!(out, "table {key} {{")?;
    if let Some(comment) = &table.comment {
        writeln!(out, "\tcomment \"{}\"", comment.as_str())?;
    }
    let mut separator = "";
    for (name, one) in table.sets.iter() {
        out.push_str(separator);
        match one {
            SetOrMap::Set(set) => write_set(out, name, set, Indent::Listed)?,
            SetOrMap::Map(map) => write_map(out, name, map, Indent::Listed)?,
        }
        separator = "\n";
    }
    let place = Place {
        family: key.family,
        table: Some(table),
    };
    for (name, chain) in table.chains.iter() {
        out.push_str(separator);
        write_chain(out, name, chain, place)?;
        separator = "\n";
    }
    out.push_str("}\n");
    Ok(())
}

/// What stands before the elements on further lines.
#[derive(Clone, Copy)]
enum Indent {
    /// As nft lists them.
    Listed,
    /// Nothing: nft reads large sets a twentieth faster.
    None,
}

fn write_set(out: &mut String, name: &Ident, set: &NftSet, indent: Indent) -> fmt::Result {
    writeln!(out, "\tset {name} {{")?;
    write_types(out, &set.key, None)?;
    write_options(out, &set.options)?;
    let mut elements: Vec<_> = set.elements.iter().collect();
    sort_for_listing(&mut elements, &set.options);
    let elements = elements.into_iter();
    write_elements(out, &set.key, indent, elements, |out, (key, attrs)| {
        write_element(out, key, attrs)
    })?;
    out.push_str("\t}\n");
    Ok(())
}

fn write_map(out: &mut String, name: &Ident, map: &NftMap, indent: Indent) -> fmt::Result {
    writeln!(out, "\tmap {name} {{")?;
    let value = match &map.data {
        None => MapValue::Verdict,
        Some(data) => MapValue::Data(data),
    };
    write_types(out, &map.key, Some(value))?;
    write_options(out, &map.options)?;
    let mut elements: Vec<_> = map.elements.iter().collect();
    sort_for_listing(&mut elements, &map.options);
    let elements = elements.into_iter();
    write_elements(out, &map.key, indent, elements, |out, (key, one)| {
        write_element(out, key, &one.attrs)?;
        write!(out, " : {}", one.value)
    })?;
    out.push_str("\t}\n");
    Ok(())
}

/// What a map leads to.
#[derive(Clone, Copy)]
enum MapValue<'a> {
    Verdict,
    Data(&'a [DataType]),
}

/// A type that has no name makes all of the declaration one by example.
fn write_types(out: &mut String, key: &[DataType], value: Option<MapValue<'_>>) -> fmt::Result {
    let data = match value {
        Some(MapValue::Data(data)) => data,
        Some(MapValue::Verdict) | None => &[],
    };
    let (word, words) = match key.iter().chain(data).any(|one| *one == DataType::Integer) {
        true => ("typeof", TYPE_SAMPLES),
        false => ("type", DATA_TYPES),
    };
    let parts = |types: &[DataType]| -> String {
        let words: Vec<_> = types.iter().map(|one| word_of(words, one)).collect();
        words.join(" . ")
    };
    write!(out, "\t\t{word} {}", parts(key))?;
    match value {
        None => out.push('\n'),
        Some(MapValue::Verdict) => out.push_str(" : verdict\n"),
        Some(MapValue::Data(data)) => writeln!(out, " : {}", parts(data))?,
    }
    Ok(())
}

fn write_options(out: &mut String, options: &SetOptions) -> fmt::Result {
    if let Some(size) = options.size {
        writeln!(out, "\t\tsize {size}")?;
    }
    write_flags(out, options)?;
    if options.auto_merge {
        out.push_str("\t\tauto-merge\n");
    }
    if let Some(timeout) = options.timeout {
        writeln!(out, "\t\ttimeout {}", Time(timeout))?;
    }
    if let Some(interval) = options.gc_interval {
        writeln!(out, "\t\tgc-interval {}", Time(interval))?;
    }
    if let Some(comment) = &options.comment {
        writeln!(out, "\t\tcomment \"{}\"", comment.as_str())?;
    }
    Ok(())
}

/// The flag `timeout` goes without saying when it is alone and a default is given.
fn write_flags(out: &mut String, options: &SetOptions) -> fmt::Result {
    let flags = options.flags;
    let only_timeout = SetFlags {
        timeout: true,
        ..SetFlags::default()
    };
    if flags == only_timeout && options.timeout.is_some() {
        return Ok(());
    }
    let words = [
        (flags.constant, "constant"),
        (flags.interval, "interval"),
        (flags.dynamic, "dynamic"),
        (flags.timeout, "timeout"),
    ];
    let mut separator = "\t\tflags ";
    for (_, word) in words.into_iter().filter(|(is_set, _)| *is_set) {
        write!(out, "{separator}{word}")?;
        separator = ",";
    }
    if separator == "," {
        out.push('\n');
    }
    Ok(())
}

/// Interval sets are trees in the kernel and come back sorted by where their elements start.
fn sort_for_listing<T>(elements: &mut [(&Key, T)], options: &SetOptions) {
    if options.flags.interval {
        elements.sort_by_cached_key(|(key, _)| key.parts().map(start).collect::<Key>());
    }
}

fn start(scalar: Scalar) -> Scalar {
    match scalar {
        Scalar::Net(net) => Scalar::address(net.addr()),
        Scalar::AddressRange(range) => Scalar::address(range.0),
        Scalar::PortRange(first, _) => Scalar::Port(first),
        Scalar::MarkRange(first, _) => Scalar::Mark(first),
        other => other,
    }
}

fn write_elements<T>(
    out: &mut String,
    key: &[DataType],
    indent: Indent,
    elements: impl ExactSizeIterator<Item = T>,
    mut write_one: impl FnMut(&mut String, T) -> fmt::Result,
) -> fmt::Result {
    if elements.len() == 0 {
        return Ok(());
    }
    out.push_str("\t\telements = { ");
    let per_line = elements_per_line(key);
    let next_line = match indent {
        Indent::Listed => ",\n\t\t\t     ",
        Indent::None => ",\n",
    };
    for (index, one) in elements.enumerate() {
        match index {
            0 => {}
            _ if index.is_multiple_of(per_line) => out.push_str(next_line),
            _ => out.push_str(", "),
        }
        write_one(out, one)?;
    }
    out.push_str(" }\n");
    Ok(())
}

/// `calculate_delim`
const fn elements_per_line(key: &[DataType]) -> usize {
    match key {
        [
            DataType::InetProto
            | DataType::InetService
            | DataType::Mark
            | DataType::NfProto
            | DataType::Integer,
        ] => 5,
        [DataType::Ipv4Addr | DataType::CtState | DataType::PktType] => 2,
        _ => 1,
    }
}

fn write_element(out: &mut String, key: &Key, attrs: &ElementAttrs) -> fmt::Result {
    expr::write_key(out, key)?;
    if let Some(timeout) = attrs.timeout {
        write!(out, " timeout {}", Time(timeout))?;
    }
    if let Some(expires) = attrs.expires {
        write!(out, " expires {}", Time(expires))?;
    }
    if let Some(comment) = &attrs.comment {
        write!(out, " comment \"{}\"", comment.as_str())?;
    }
    Ok(())
}

fn write_chain(out: &mut String, name: &Ident, chain: &NftChain, place: Place<'_>) -> fmt::Result {
    writeln!(out, "\tchain {name} {{")?;
    if let Some(comment) = &chain.comment {
        writeln!(out, "\t\tcomment \"{}\"", comment.as_str())?;
    }
    if let Some(base) = chain.base {
        write_base(out, base)?;
    }
    for rule in &chain.rules {
        out.push_str("\t\t");
        write_rule(out, rule, place)?;
        out.push('\n');
    }
    out.push_str("\t}\n");
    Ok(())
}

fn write_base(out: &mut String, base: BaseChain) -> fmt::Result {
    let kind = word_of(CHAIN_KINDS, &base.kind);
    let hook = word_of(HOOKS, &base.hook);
    write!(out, "\t\ttype {kind} hook {hook} priority ")?;
    let near = PRIORITIES.iter().find(|(named, _)| {
        priority_has_name(*named, base.hook) && base.priority.abs_diff(*named) <= 10
    });
    match near {
        None => write!(out, "{}", base.priority)?,
        Some((named, word)) => match base.priority - named {
            0 => out.push_str(word),
            above @ 1.. => write!(out, "{word} + {above}")?,
            below => write!(out, "{word} - {}", -below)?,
        },
    }
    let policy = match base.policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
    };
    writeln!(out, "; policy {policy};")
}

fn write_rule(out: &mut impl Write, rule: &NftRule, place: Place<'_>) -> fmt::Result {
    for (index, one) in rule.statements.iter().enumerate() {
        if index > 0 {
            out.write_char(' ')?;
        }
        statement::write_statement(out, one, place)?;
    }
    match &rule.comment {
        Some(comment) => write!(out, " comment \"{}\"", comment.as_str()),
        None => Ok(()),
    }
}

/// `1d2h3m4s500ms`, the parts that are not zero; finer than a millisecond is cut off, as nft does.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        let seconds = milliseconds / 1000;
        let parts = [
            (seconds / 86_400, "d"),
            (seconds / 3600 % 24, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (milliseconds % 1000, "ms"),
        ];
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{count}{unit}")?;
        }
        Ok(())
    }
}

/// An address before a port: IPv6 stands in brackets.
fn bracketed(address: IpAddr) -> impl Display {
    fmt::from_fn(move |f| match address {
        IpAddr::V4(address) => write!(f, "{address}"),
        IpAddr::V6(address) => write!(f, "[{address}]"),
    })
}
