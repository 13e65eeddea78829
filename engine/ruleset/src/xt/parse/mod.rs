//! Rule text back to typed tables.
//!
//! Takes what `iptables-save` prints and what kube-proxy feeds `iptables-restore`, foreign rules included as
//! far as the types reach. Whatever is not understood is an error with its place, or stays in its rule as text
//! when a dump is read: nothing is skipped, because a rule that is left out changes what happens to packets.
//!
//! Counters are read over; they are no part of a rule.
//!
//! Source: `iptables/iptables-restore.c`, `iptables/xshared.c` (`add_param_to_argv`), iptables 1.8.9.

mod error;
mod matches;
mod nat;
mod recent;
mod rule;
mod target;
mod tokens;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::{ParseError, ParseErrorKind};
use imbl::OrdMap;
use tokens::{Cursor, Token, tokenize};

use super::{ChainName, Policy, TableName, XtChain, XtTable, XtTables};
use crate::Family;
use crate::TextPlace;
use crate::dump::{Dump, RulePlaces};
use crate::verbatim::Reading;

/// Tables that `iptables-save` printed.
pub type XtDump = Dump<XtTables, (TableName, ChainName)>;

/// Reads the text of one family's tables.
///
/// A built-in chain that has rules but is not declared, or is declared with policy `-`, has the kernel's first
/// policy, ACCEPT. Reading back what [`restore_text`](super::restore_text) or
/// [`save_text`](super::save_text) printed gives the same tables; only built-in chains that are empty and accept
/// are missing from the former.
///
/// # Errors
/// The first thing that is not understood, with its line and column (both counted from 1).
pub fn parse(text: &str, family: Family) -> Result<XtTables, ParseError> {
    read(text, family, Reading::Strict).map(|dump| dump.tables)
}

/// Reads what `iptables-save` printed on a node, or what was fed to `iptables-restore` there.
///
/// A match or target that is not understood is kept as text ([`XtMatch::Unknown`](super::XtMatch::Unknown),
/// [`XtTarget::Unknown`](super::XtTarget::Unknown)), and so is a jump to a chain that is not declared.
///
/// # Errors
/// The first line that is no rule and not understood.
pub fn parse_dump(text: &str, family: Family) -> Result<XtDump, ParseError> {
    read(text.trim_start_matches('\u{feff}'), family, Reading::Dump)
}

/// The same for a node whose sets are read beside it: matches that look into sets are understood.
///
/// # Errors
/// As [`parse_dump`].
pub fn parse_node(text: &str, family: Family) -> Result<XtDump, ParseError> {
    read(text, family, Reading::Node)
}

fn read(text: &str, family: Family, reading: Reading) -> Result<XtDump, ParseError> {
    let mut parser = TextParser {
        dump: Dump {
            tables: XtTables::new(family),
            places: RulePlaces::new(),
            warnings: Vec::new(),
        },
        reading,
        open: None,
    };
    let mut lines = 0;
    for line in text.lines() {
        lines += 1;
        let read = parser.line(line, lines);
        read.map_err(|error| error.on_line(lines))?;
    }
    match parser.open {
        None => Ok(parser.dump),
        Some(_) => Err(ParseErrorKind::MissingCommit.at(1).on_line(lines)),
    }
}

struct TextParser {
    dump: XtDump,
    reading: Reading,
    open: Option<OpenTable>,
}

/// A table under construction: its chains are shared only when it is complete.
struct OpenTable {
    name: TableName,
    family: Family,
    reading: Reading,
    chains: BTreeMap<ChainName, OpenChain>,
}

struct OpenChain {
    chain: XtChain,
    /// Of each rule.
    places: Vec<TextPlace>,
}

impl TextParser {
    fn line(&mut self, line: &str, number: usize) -> Result<(), ParseError> {
        let is_dump = self.reading != Reading::Strict;
        if is_dump && line.starts_with('#') {
            self.dump.warnings.extend(warning(line));
            return Ok(());
        }
        let tokens = tokenize(line)?;
        let mut cursor = Cursor::new(&tokens, line);
        let Some(first) = cursor.peek() else {
            return Ok(());
        };
        if first.text.starts_with('#') && !first.quoted {
            return Ok(());
        }
        match (first.text.chars().next(), &mut self.open) {
            (Some('*'), None) => self.begin_table(&mut cursor),
            (Some('*'), Some(_)) => Err(ParseErrorKind::MissingCommit.at(first.column)),
            (_, None) => Err(ParseErrorKind::OutsideTable.at(first.column)),
            (Some(':'), Some(table)) => table.declare_chain(&mut cursor),
            (_, Some(_)) if first.text == "COMMIT" => self.commit(&mut cursor),
            (_, Some(table)) => table.command(&mut cursor, number),
        }
    }

    fn begin_table(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        let token = cursor.value("*")?;
        let name = &token.text[1..];
        let table = TableName::ALL
            .into_iter()
            .find(|table| table.as_str() == name)
            .ok_or_else(|| {
                ParseErrorKind::UnknownTable {
                    name: name.to_owned(),
                }
                .at(token.column)
            })?;
        if self.reading == Reading::Strict && self.dump.tables.tables.contains_key(&table) {
            return Err(ParseErrorKind::DuplicateTable { table }.at(token.column));
        }
        self.open = Some(OpenTable {
            name: table,
            family: self.dump.tables.family,
            reading: self.reading,
            chains: BTreeMap::new(),
        });
        cursor.end()
    }

    /// A dump may hold a table twice (both kinds of iptables have one), but only one of them can be followed: the
    /// other one must be the same or do nothing.
    fn commit(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        let token = cursor.value("COMMIT")?;
        let open = self.open.take().expect("called inside a table");
        let table = open.name;
        let mut chains = OrdMap::new();
        let mut places = RulePlaces::new();
        for (name, one) in open.chains {
            chains.insert(name, Arc::new(one.chain));
            places.insert((table, name), one.places);
        }
        let new = XtTable { chains };
        match self.dump.tables.tables.get(&table) {
            Some(present) if does_nothing(&new) || *present == new => {}
            Some(present) if !does_nothing(present) => {
                return Err(ParseErrorKind::DuplicateTable { table }.at(token.column));
            }
            _ => {
                self.dump.tables.tables.insert(table, new);
                self.dump.places.retain(|(of, _), _| *of != table);
                self.dump.places.extend(places);
            }
        }
        cursor.end()
    }
}

/// Neither a rule nor a policy to drop.
fn does_nothing(table: &XtTable) -> bool {
    let mut chains = table.chains.values();
    chains.all(|chain| chain.rules.is_empty() && chain.policy != Some(Policy::Drop))
}

/// What `iptables-save` says about tables that it does not print.
fn warning(comment: &str) -> Option<String> {
    if comment.contains("iptables-legacy tables present")
        || comment.contains("ip6tables-legacy tables present")
    {
        return Some(
            "this is half of the node: it has rules of iptables-legacy, too, which iptables-legacy-save prints"
                .to_owned(),
        );
    }
    let (_, rest) = comment.split_once("Table `")?;
    let (table, _) = rest.split_once("' is incompatible")?;
    let printable: String = table.chars().filter(|c| !c.is_control()).collect();
    Some(format!(
        "table {printable} is not in this dump, because iptables cannot show it; nft list ruleset prints it"
    ))
}

impl OpenTable {
    fn is_built_in(&self, name: ChainName) -> bool {
        self.name.built_in_chains().contains(&name.as_str())
    }

    /// `:NAME POLICY [packets:bytes]`
    fn declare_chain(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        let token = cursor.value(":")?;
        let name = values::chain_name(&token.text[1..], token.column)?;
        let policy = self.policy(name, cursor)?;
        if let Some(counters) = cursor.next() {
            values::counters(counters)?;
        }
        self.create(name, policy, token)?;
        cursor.end()
    }

    fn policy(
        &self,
        name: ChainName,
        cursor: &mut Cursor<'_>,
    ) -> Result<Option<Policy>, ParseError> {
        let word = cursor.value("chain policy")?;
        match (word.text.as_str(), self.is_built_in(name)) {
            ("-", false) => Ok(None),
            ("ACCEPT" | "-", true) => Ok(Some(Policy::Accept)),
            ("DROP", true) => Ok(Some(Policy::Drop)),
            _ => Err(ParseErrorKind::BadPolicy {
                chain: name,
                policy: word.text.clone(),
            }
            .at(word.column)),
        }
    }

    fn create(
        &mut self,
        name: ChainName,
        policy: Option<Policy>,
        token: &Token,
    ) -> Result<(), ParseError> {
        let new = OpenChain::new(policy);
        match self.chains.insert(name, new) {
            None => Ok(()),
            Some(_) => Err(ParseErrorKind::DuplicateChain { chain: name }.at(token.column)),
        }
    }

    /// `[packets:bytes] -A NAME …`, and in a dump the other commands that a restore may hold.
    fn command(&mut self, cursor: &mut Cursor<'_>, line: usize) -> Result<(), ParseError> {
        if cursor
            .peek()
            .is_some_and(|token| token.text.starts_with('['))
        {
            values::counters(cursor.value("counters")?)?;
        }
        let command = cursor.value("command")?;
        let start = TextPlace {
            line,
            column: command.column,
        };
        match (command.text.as_str(), self.reading) {
            ("-A" | "--append", _) => self.rule(None, cursor, start),
            ("-I" | "--insert", Reading::Dump) => self.rule(Some(0), cursor, start),
            ("-N" | "--new-chain", Reading::Dump) => {
                let token = cursor.value("-N")?;
                let name = values::chain_name(&token.text, token.column)?;
                self.create(name, None, token)?;
                cursor.end()
            }
            ("-P" | "--policy", Reading::Dump) => {
                let token = cursor.value("-P")?;
                let name = values::chain_name(&token.text, token.column)?;
                let policy = self.policy(name, cursor)?;
                self.chain(name).chain.policy = policy;
                cursor.end()
            }
            ("-F" | "--flush" | "-X" | "--delete-chain", Reading::Dump) => self.clear(
                cursor,
                matches!(command.text.as_str(), "-X" | "--delete-chain"),
            ),
            ("-Z" | "--zero", Reading::Dump) => Ok(()),
            _ => Err(ParseErrorKind::UnsupportedCommand {
                command: command.text.clone(),
            }
            .at(command.column)),
        }
    }

    /// Empties a chain or all of them, and deletes those that are not built in.
    fn clear(&mut self, cursor: &mut Cursor<'_>, delete: bool) -> Result<(), ParseError> {
        let only = match cursor.next() {
            None => None,
            Some(token) => Some(values::chain_name(&token.text, token.column)?),
        };
        let table = self.name;
        let is_meant = |name: ChainName| only.is_none_or(|only| only == name);
        self.chains.retain(|name, one| {
            if !is_meant(*name) {
                return true;
            }
            let is_built_in = table.built_in_chains().contains(&name.as_str());
            if !delete {
                one.chain.rules.clear();
                one.places.clear();
            }
            is_built_in || !delete
        });
        cursor.end()
    }

    fn chain(&mut self, name: ChainName) -> &mut OpenChain {
        let new = || OpenChain::new(Some(Policy::Accept));
        self.chains.entry(name).or_insert_with(new)
    }

    /// Puts a rule in at an index, or last.
    fn rule(
        &mut self,
        index: Option<usize>,
        cursor: &mut Cursor<'_>,
        place: TextPlace,
    ) -> Result<(), ParseError> {
        let token = cursor.value("-A")?;
        let name = values::chain_name(&token.text, token.column)?;
        let is_declared = |chain: ChainName| self.chains.contains_key(&chain);
        if !is_declared(name) && !self.is_built_in(name) {
            return Err(ParseErrorKind::UndeclaredChain { chain: name }.at(token.column));
        }
        let number = cursor.peek().filter(|_| index.is_some());
        let number = number.and_then(|token| token.text.parse::<usize>().ok());
        if number.is_some() {
            cursor.next();
        }
        let site = rule::Site {
            table: self.name,
            family: self.family,
            line: place.line,
            reading: self.reading,
            is_declared: &is_declared,
        };
        let rules = rule::parse(cursor, site)?;
        let chain = self.chain(name);
        let at = match (index, number) {
            (None, _) => chain.places.len(),
            (Some(first), None) => first,
            (Some(_), Some(number)) => number.saturating_sub(1).min(chain.places.len()),
        };
        let places = std::iter::repeat_n(place, rules.len());
        chain.places.splice(at..at, places);
        chain.chain.rules.splice(at..at, rules);
        Ok(())
    }
}

impl OpenChain {
    const fn new(policy: Option<Policy>) -> Self {
        Self {
            chain: XtChain {
                policy,
                rules: Vec::new(),
            },
            places: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
