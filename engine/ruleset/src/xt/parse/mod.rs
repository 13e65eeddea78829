//! Rule text back to typed tables.
//!
//! Takes what `iptables-save` prints and what kube-proxy feeds `iptables-restore`, foreign rules included as
//! far as the types reach. Whatever is not understood is an error with its place: nothing is skipped, because
//! a rule that is left out changes what happens to packets.
//!
//! Counters are read over; they are no part of a rule.
//!
//! Source: `iptables/iptables-restore.c`, `iptables/xshared.c` (`add_param_to_argv`), iptables 1.8.9.

mod error;
mod matches;
mod recent;
mod rule;
mod target;
mod tokens;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::{ParseError, ParseErrorKind};
use tokens::{Cursor, tokenize};

use super::{ChainName, Policy, TableName, XtChain, XtTable, XtTables};
use crate::Family;

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
    let mut parser = TextParser {
        tables: XtTables::new(family),
        open: None,
    };
    let mut lines = 0;
    for line in text.lines() {
        lines += 1;
        parser.line(line).map_err(|error| error.on_line(lines))?;
    }
    match parser.open {
        None => Ok(parser.tables),
        Some(_) => Err(ParseErrorKind::MissingCommit.at(1).on_line(lines)),
    }
}

/// Chains under construction: shared only when their table is complete.
type OpenChains = BTreeMap<ChainName, XtChain>;

struct TextParser {
    tables: XtTables,
    open: Option<(TableName, OpenChains)>,
}

impl TextParser {
    fn line(&mut self, line: &str) -> Result<(), ParseError> {
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
            (Some(':'), Some((table, chains))) => declare_chain(*table, chains, &mut cursor),
            (_, Some(_)) if first.text == "COMMIT" => self.commit(&mut cursor),
            (_, Some((table, chains))) => {
                append_rule(*table, self.tables.family, chains, &mut cursor)
            }
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
        if self.tables.tables.contains_key(&table) {
            return Err(ParseErrorKind::DuplicateTable { table }.at(token.column));
        }
        self.open = Some((table, OpenChains::new()));
        cursor.end()
    }

    fn commit(&mut self, cursor: &mut Cursor<'_>) -> Result<(), ParseError> {
        cursor.value("COMMIT")?;
        let (name, chains) = self.open.take().expect("called inside a table");
        let chains = chains
            .into_iter()
            .map(|(name, chain)| (name, Arc::new(chain)))
            .collect();
        self.tables.tables.insert(name, XtTable { chains });
        cursor.end()
    }
}

/// `:NAME POLICY [packets:bytes]`
fn declare_chain(
    table: TableName,
    chains: &mut OpenChains,
    cursor: &mut Cursor<'_>,
) -> Result<(), ParseError> {
    let token = cursor.value(":")?;
    let name = values::chain_name(&token.text[1..], token.column)?;
    let word = cursor.value("chain policy")?;
    let is_built_in = table.built_in_chains().contains(&name.as_str());
    let policy = match (word.text.as_str(), is_built_in) {
        ("-", false) => None,
        ("ACCEPT" | "-", true) => Some(Policy::Accept),
        ("DROP", true) => Some(Policy::Drop),
        _ => {
            return Err(ParseErrorKind::BadPolicy {
                chain: name,
                policy: word.text.clone(),
            }
            .at(word.column));
        }
    };
    if let Some(counters) = cursor.next() {
        values::counters(counters)?;
    }
    let chain = XtChain {
        policy,
        rules: Vec::new(),
    };
    if chains.insert(name, chain).is_some() {
        return Err(ParseErrorKind::DuplicateChain { chain: name }.at(token.column));
    }
    cursor.end()
}

/// `[packets:bytes] -A NAME …`
fn append_rule(
    table: TableName,
    family: Family,
    chains: &mut OpenChains,
    cursor: &mut Cursor<'_>,
) -> Result<(), ParseError> {
    if cursor
        .peek()
        .is_some_and(|token| token.text.starts_with('['))
    {
        values::counters(cursor.value("counters")?)?;
    }
    let command = cursor.value("command")?;
    if !matches!(command.text.as_str(), "-A" | "--append") {
        return Err(ParseErrorKind::UnsupportedCommand {
            command: command.text.clone(),
        }
        .at(command.column));
    }
    let token = cursor.value("-A")?;
    let name = values::chain_name(&token.text, token.column)?;
    let is_declared = |chain: ChainName| chains.contains_key(&chain);
    if !is_declared(name) && !table.built_in_chains().contains(&name.as_str()) {
        return Err(ParseErrorKind::UndeclaredChain { chain: name }.at(token.column));
    }
    let rule = rule::parse(cursor, table, family, &is_declared)?;
    let chain = chains.entry(name).or_insert_with(|| XtChain {
        policy: Some(Policy::Accept),
        rules: Vec::new(),
    });
    chain.rules.push(rule);
    Ok(())
}

#[cfg(test)]
mod tests;
