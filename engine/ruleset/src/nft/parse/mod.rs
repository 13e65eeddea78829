//! nft text back to typed tables.
//!
//! Takes what `nft list` prints, what `nft -f` takes in block form, and the commands that kube-proxy and CNIs
//! write, applied one after the other to no tables at all. Whatever is not understood is an error with its place:
//! nothing is skipped, because a rule that is left out changes what happens to packets. Handles stand in comments
//! and are read over.
//!
//! Source: `src/parser_bison.y` and `src/scanner.l` of nftables 1.0.6.
//!
//! Deviation: service names (`tcp dport http`) are not read; nft prints numbers. References to chains and sets
//! that do not exist are not refused here: a script may be meant for a node that has them.

mod cursor;
mod error;
mod expr;
mod object;
mod statement;
mod tokens;
mod value;

use std::sync::Arc;

use cursor::Cursor;
pub use error::{ParseError, ParseErrorKind};
use tokens::{Kind, Token, tokenize};

use super::{Ident, NftChain, NftFamily, NftTable, NftTables, Ordered, SetOrMap, TableKey};

/// Reads tables, or a script that makes them.
///
/// Reading back what [`list_text`](super::list_text) or [`script_text`](super::script_text) printed gives the same
/// tables.
///
/// # Errors
/// The first thing that is not understood, with its line and column (both counted from 1).
pub fn parse(text: &str) -> Result<NftTables, ParseError> {
    let mut script = Script {
        cursor: Cursor::new(tokenize(text)?),
        tables: NftTables::new(),
    };
    loop {
        script.cursor.skip_separators();
        if script.cursor.peek().kind == Kind::End {
            return Ok(script.tables);
        }
        script.command()?;
        let token = script.cursor.peek();
        if !matches!(token.kind, Kind::Separator | Kind::End) {
            return Err(token.unexpected("the end of the line"));
        }
    }
}

struct Script<'a> {
    cursor: Cursor<'a>,
    tables: NftTables,
}

/// What a command does to its object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    /// Refuses what is there.
    Create,
    /// Before the other rules.
    Insert,
    Delete,
    /// Does not mind what is not there.
    Destroy,
    Flush,
}

impl<'a> Script<'a> {
    fn command(&mut self) -> Result<(), ParseError> {
        let token = self.cursor.word("a command")?;
        let verb = match token.text {
            "table" => return self.table(Verb::Add),
            "add" => Verb::Add,
            "create" => Verb::Create,
            "insert" => Verb::Insert,
            "delete" => Verb::Delete,
            "destroy" => Verb::Destroy,
            "flush" => Verb::Flush,
            _ => return Err(token.unsupported(format!("command {:?}", token.text))),
        };
        let object = self.cursor.word("an object")?;
        match (object.text, verb) {
            ("ruleset", Verb::Flush) => {
                self.tables.tables.clear();
                Ok(())
            }
            ("rule", Verb::Add | Verb::Insert) => self.rule(verb),
            (_, Verb::Insert) => Err(object.unexpected("rule")),
            ("table", _) => self.table(verb),
            ("chain", _) => self.chain_command(verb),
            ("set" | "map", _) => self.set_command(object, verb),
            ("element", Verb::Add | Verb::Create | Verb::Delete | Verb::Destroy) => {
                self.element(verb)
            }
            _ => Err(token.unsupported(format!("command \"{} {}\"", token.text, object.text))),
        }
    }

    /// `[family] name`; `ip` goes without saying.
    fn table_key(&mut self) -> Result<TableKey, ParseError> {
        let token = self.cursor.peek();
        let family = match token.text {
            "ip" => Some(NftFamily::Ip),
            "ip6" => Some(NftFamily::Ip6),
            "inet" => Some(NftFamily::Inet),
            "arp" | "bridge" | "netdev" => {
                return Err(token.unsupported(format!("family {:?}", token.text)));
            }
            _ => None,
        };
        if family.is_some() {
            self.cursor.next();
        }
        Ok(TableKey {
            family: family.unwrap_or(NftFamily::Ip),
            name: self.cursor.ident("the name of a table")?,
        })
    }

    fn table(&mut self, verb: Verb) -> Result<(), ParseError> {
        let token = self.cursor.peek();
        let key = self.table_key()?;
        let is_there = self.tables.tables.contains_key(&key);
        match verb {
            Verb::Create if is_there => {
                return Err(token.error(ParseErrorKind::Duplicate {
                    what: format!("table {key}"),
                }));
            }
            Verb::Delete | Verb::Flush if !is_there => {
                return Err(token.error(ParseErrorKind::NoTable { table: key }));
            }
            Verb::Delete | Verb::Destroy => {
                self.tables.tables.remove(&key);
                return Ok(());
            }
            Verb::Flush => {
                let table = self.tables.tables.get_mut(&key);
                flush_rules(&mut table.expect("it is there").chains);
                return Ok(());
            }
            Verb::Add | Verb::Create | Verb::Insert => {}
        }
        let table = self.tables.tables.entry(key.clone()).or_default();
        match self.cursor.peek().is("{") {
            true => table_block(&mut self.cursor, table, key.family),
            false => Ok(()),
        }
    }

    fn chain_command(&mut self, verb: Verb) -> Result<(), ParseError> {
        let (key, table, cursor) = self.present_table()?;
        let token = cursor.peek();
        if token.is("handle") {
            return Err(token.unsupported("a handle"));
        }
        let name = cursor.ident("the name of a chain")?;
        let is_there = table.chains.get(&name).is_some();
        match verb {
            Verb::Create if is_there => Err(duplicate(token)),
            Verb::Delete | Verb::Flush if !is_there => Err(no_such(token, "chain")),
            Verb::Delete | Verb::Destroy => {
                table.chains.remove(&name);
                Ok(())
            }
            Verb::Flush => {
                let chain = table.chains.get_mut(&name).expect("it is there");
                Arc::make_mut(chain).rules.clear();
                Ok(())
            }
            Verb::Add | Verb::Create | Verb::Insert => {
                let chain = chain_entry(&mut table.chains, &name);
                match cursor.peek().is("{") {
                    true => object::chain(cursor, chain, key.family),
                    false => Ok(()),
                }
            }
        }
    }

    fn rule(&mut self, verb: Verb) -> Result<(), ParseError> {
        let (key, table, cursor) = self.present_table()?;
        let token = cursor.peek();
        let name = cursor.ident("the name of a chain")?;
        let chain = table.chains.get_mut(&name);
        let chain = chain.ok_or_else(|| no_such(token, "chain"))?;
        let place = cursor.peek();
        if ["handle", "position", "index"].contains(&place.text) {
            return Err(place.unsupported("a place within a chain"));
        }
        let rule = statement::rule(cursor, key.family)?;
        let rules = &mut Arc::make_mut(chain).rules;
        match verb {
            Verb::Insert => rules.insert(0, rule),
            _ => rules.push(rule),
        }
        Ok(())
    }

    fn set_command(&mut self, object: Token<'_>, verb: Verb) -> Result<(), ParseError> {
        let (_, table, cursor) = self.present_table()?;
        let token = cursor.peek();
        if token.is("handle") {
            return Err(token.unsupported("a handle"));
        }
        let name = cursor.ident("the name of a set or map")?;
        let is_there = table.sets.get(&name).is_some();
        match verb {
            Verb::Create if is_there => Err(duplicate(token)),
            Verb::Delete | Verb::Flush if !is_there => Err(no_such(token, "set or map")),
            Verb::Delete | Verb::Destroy => {
                table.sets.remove(&name);
                Ok(())
            }
            Verb::Flush => {
                match table.sets.get_mut(&name).expect("it is there") {
                    SetOrMap::Set(set) => Arc::make_mut(set).elements.clear(),
                    SetOrMap::Map(map) => Arc::make_mut(map).elements.clear(),
                }
                Ok(())
            }
            Verb::Add | Verb::Create | Verb::Insert => {
                set_block(cursor, table, object, token, name)
            }
        }
    }

    fn element(&mut self, verb: Verb) -> Result<(), ParseError> {
        let (_, table, cursor) = self.present_table()?;
        let token = cursor.peek();
        let name = cursor.ident("the name of a set or map")?;
        let change = match verb {
            Verb::Delete => object::Change::Delete,
            Verb::Destroy => object::Change::Destroy,
            _ => object::Change::Add,
        };
        match table.sets.get_mut(&name) {
            None => Err(no_such(token, "set or map")),
            Some(SetOrMap::Set(set)) => object::set_elements(cursor, Arc::make_mut(set), change),
            Some(SetOrMap::Map(map)) => object::map_elements(cursor, Arc::make_mut(map), change),
        }
    }

    /// The table that a command names first, which has to be there.
    fn present_table(&mut self) -> Result<(TableKey, &mut NftTable, &mut Cursor<'a>), ParseError> {
        let token = self.cursor.peek();
        let key = self.table_key()?;
        match self.tables.tables.get_mut(&key) {
            Some(table) => Ok((key, table, &mut self.cursor)),
            None => Err(token.error(ParseErrorKind::NoTable { table: key })),
        }
    }
}

fn duplicate(token: Token<'_>) -> ParseError {
    token.error(ParseErrorKind::Duplicate {
        what: token.text.to_owned(),
    })
}

fn no_such(token: Token<'_>, kind: &'static str) -> ParseError {
    token.error(ParseErrorKind::NoSuch {
        kind,
        name: token.text.to_owned(),
    })
}

fn flush_rules(chains: &mut Ordered<Arc<NftChain>>) {
    for chain in chains.values_mut() {
        Arc::make_mut(chain).rules.clear();
    }
}

/// A chain to add to; chains are not shared while they are read.
fn chain_entry<'a>(chains: &'a mut Ordered<Arc<NftChain>>, name: &Ident) -> &'a mut NftChain {
    if chains.get(name).is_none() {
        chains.insert(name.clone(), Arc::default());
    }
    Arc::make_mut(
        chains
            .get_mut(name)
            .expect("it was put in if it was not there"),
    )
}

/// `{ comment …; set …; map …; chain … }`
fn table_block(
    cursor: &mut Cursor<'_>,
    table: &mut NftTable,
    family: NftFamily,
) -> Result<(), ParseError> {
    cursor.expect("{")?;
    cursor.skip_separators();
    while cursor.take("}").is_none() {
        let object = cursor.word("`}` or an object")?;
        match object.text {
            "comment" => table.comment = Some(cursor.comment()?),
            "chain" => {
                let name = cursor.ident("the name of a chain")?;
                let chain = chain_entry(&mut table.chains, &name);
                object::chain(cursor, chain, family)?;
            }
            "set" | "map" => {
                let token = cursor.peek();
                let name = cursor.ident("the name of a set or map")?;
                set_block(cursor, table, object, token, name)?;
            }
            _ => return Err(object.unsupported(format!("{:?} of a table", object.text))),
        }
        cursor.end()?;
        cursor.skip_separators();
    }
    Ok(())
}

/// A set or map; one that is there may be declared again as it is, and then gets more elements.
fn set_block(
    cursor: &mut Cursor<'_>,
    table: &mut NftTable,
    object: Token<'_>,
    token: Token<'_>,
    name: Ident,
) -> Result<(), ParseError> {
    let mut new = match object.text {
        "set" => SetOrMap::Set(Arc::new(object::set(cursor, token)?)),
        _ => SetOrMap::Map(Arc::new(object::map(cursor, token)?)),
    };
    match (table.sets.get(&name), &mut new) {
        (None, _) => {}
        (Some(SetOrMap::Set(old)), SetOrMap::Set(new)) if old.key == new.key => {
            let new = Arc::make_mut(new);
            for (key, attrs) in &old.elements {
                new.elements
                    .entry(key.clone())
                    .or_insert_with(|| attrs.clone());
            }
        }
        (Some(SetOrMap::Map(old)), SetOrMap::Map(new))
            if (&old.key, &old.data) == (&new.key, &new.data) =>
        {
            let new = Arc::make_mut(new);
            for (key, one) in &old.elements {
                new.elements
                    .entry(key.clone())
                    .or_insert_with(|| one.clone());
            }
        }
        _ => return Err(duplicate(token)),
    }
    table.sets.insert(name, new);
    Ok(())
}

#[cfg(test)]
mod tests;
