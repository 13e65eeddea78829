//! nft text back to typed tables.
//!
//! Takes what `nft list` prints, what `nft -f` takes in block form, and the commands that kube-proxy and CNIs
//! write, applied one after the other to no tables at all. Whatever is not understood is an error with its place,
//! or stays in its rule as text when a dump is read: nothing is skipped that a packet can meet, because a rule that is
//! left out changes what happens to it. Handles stand in comments and are read over.
//!
//! Source: `src/parser_bison.y` and `src/scanner.l` of nftables 1.0.6.
//!
//! Deviation: service names (`tcp dport http`) are not read; nft prints numbers. References to chains and sets
//! that do not exist are not refused here: a script may be meant for a node that has them.

mod cursor;
mod error;
mod expr;
mod keep;
mod object;
mod statement;
mod tokens;
mod value;

use std::sync::Arc;

use cursor::Cursor;
pub use error::{ParseError, ParseErrorKind};
use tokens::{Kind, Token};

use crate::dump::{Dump, RulePlaces};
use crate::verbatim::Reading;

use super::{Ident, NftChain, NftFamily, NftTable, NftTables, Ordered, SetOrMap, TableKey};

/// Tables that `nft list ruleset` printed.
pub type NftDump = Dump<NftTables, (TableKey, Ident)>;

/// Reads tables, or a script that makes them.
///
/// Reading back what [`list_text`](super::list_text) or [`script_text`](super::script_text) printed gives the same
/// tables.
///
/// # Errors
/// The first thing that is not understood, with its line and column (both counted from 1).
pub fn parse(text: &str) -> Result<NftTables, ParseError> {
    read(text, Reading::Strict).map(|dump| dump.tables)
}

/// Reads what `nft list ruleset` printed on a node.
///
/// A statement that is not understood is kept as text ([`Statement::Unknown`](super::Statement::Unknown) and its
/// like). Tables of other families and chains of other hooks are read over, with a warning; so are, without one, the
/// chains of a dormant table and objects that rules name. A set that is not understood is left out; whoever asks for it will miss
/// it.
///
/// # Errors
/// The first thing outside of rules and sets that is not understood.
pub fn parse_dump(text: &str) -> Result<NftDump, ParseError> {
    read(text.trim_start_matches('\u{feff}'), Reading::Dump)
}

fn read(text: &str, reading: Reading) -> Result<NftDump, ParseError> {
    let mut script = Script {
        cursor: Cursor::new(text, reading)?,
        tables: NftTables::new(),
        places: RulePlaces::new(),
    };
    loop {
        script.cursor.skip_separators();
        if script.cursor.peek().kind == Kind::End {
            return Ok(Dump {
                tables: script.tables,
                places: script.places,
                warnings: script.cursor.into_warnings(),
            });
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
    places: Places,
}

type Places = RulePlaces<(TableKey, Ident)>;

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

/// A table that a command is about, and all that is needed to change it.
struct Present<'a, 's> {
    key: TableKey,
    table: &'s mut NftTable,
    cursor: &'s mut Cursor<'a>,
    places: &'s mut Places,
}

/// Families whose tables no packet meets at the five hooks of IP.
const FOREIGN: [&str; 3] = ["arp", "bridge", "netdev"];

/// Objects of a table that rules name, and that decide nothing by themselves.
const OBJECTS: [&str; 7] = [
    "counter",
    "quota",
    "limit",
    "ct",
    "flowtable",
    "secmark",
    "synproxy",
];

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
                self.places.clear();
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
        if self.cursor.reads_dump() && FOREIGN.contains(&token.text) {
            let what = format!("a table of the family {}", token.text);
            self.cursor.read_over(&what);
            return Ok(());
        }
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
                self.places.retain(|(table, _), _| *table != key);
                return Ok(());
            }
            Verb::Flush => {
                self.places.retain(|(table, _), _| *table != key);
                let table = self.tables.tables.get_mut(&key);
                flush_rules(&mut table.expect("it is there").chains);
                return Ok(());
            }
            Verb::Add | Verb::Create | Verb::Insert => {}
        }
        let table = self.tables.tables.entry(key.clone()).or_default();
        match self.cursor.peek().is("{") {
            true => table_block(&mut self.cursor, table, &key, &mut self.places),
            false => Ok(()),
        }
    }

    fn chain_command(&mut self, verb: Verb) -> Result<(), ParseError> {
        let Present {
            key,
            table,
            cursor,
            places,
        } = self.present_table()?;
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
                places.remove(&(key, name));
                Ok(())
            }
            Verb::Flush => {
                let chain = table.chains.get_mut(&name).expect("it is there");
                places.remove(&(key, name));
                Arc::make_mut(chain).rules.clear();
                Ok(())
            }
            Verb::Add | Verb::Create | Verb::Insert => {
                let chain = chain_entry(&mut table.chains, &name);
                if cursor.peek().is("{") {
                    let family = key.family;
                    let places = places.entry((key, name)).or_default();
                    object::chain(cursor, chain, family, places)?;
                }
                Ok(())
            }
        }
    }

    fn rule(&mut self, verb: Verb) -> Result<(), ParseError> {
        let Present {
            key,
            table,
            cursor,
            places,
        } = self.present_table()?;
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
        let at = match verb {
            Verb::Insert => 0,
            _ => rules.len(),
        };
        rules.insert(at, rule);
        places
            .entry((key, name))
            .or_default()
            .insert(at, place.place());
        Ok(())
    }

    fn set_command(&mut self, object: Token<'_>, verb: Verb) -> Result<(), ParseError> {
        let Present { table, cursor, .. } = self.present_table()?;
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
        let Present { table, cursor, .. } = self.present_table()?;
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
    fn present_table(&mut self) -> Result<Present<'a, '_>, ParseError> {
        let token = self.cursor.peek();
        let key = self.table_key()?;
        match self.tables.tables.get_mut(&key) {
            Some(table) => Ok(Present {
                key,
                table,
                cursor: &mut self.cursor,
                places: &mut self.places,
            }),
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
    chains.for_each_mut(|chain| Arc::make_mut(chain).rules.clear());
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
    key: &TableKey,
    places: &mut Places,
) -> Result<(), ParseError> {
    let mut is_dormant = false;
    cursor.expect("{")?;
    cursor.skip_separators();
    while cursor.take("}").is_none() {
        let object = cursor.word("`}` or an object")?;
        match object.text {
            "comment" => table.comment = Some(cursor.comment()?),
            "chain" => {
                let name = cursor.ident("the name of a chain")?;
                if cursor.reads_dump()
                    && let Some(hook) = object::other_hook(cursor)
                {
                    cursor.read_over(&format!("chain {name} at the hook {hook}"));
                } else {
                    let chain = chain_entry(&mut table.chains, &name);
                    let places = places.entry((key.clone(), name)).or_default();
                    object::chain(cursor, chain, key.family, places)?;
                }
            }
            "set" | "map" => {
                let token = cursor.peek();
                let name = cursor.ident("the name of a set or map")?;
                let start = cursor.position();
                let read = set_block(cursor, table, object, token, name);
                if cursor.reads_dump() && read.is_err() {
                    cursor.go_to(start);
                    cursor.skip_object();
                } else {
                    read?;
                }
            }
            "flags" if cursor.reads_dump() => {
                while !cursor.is_at_end() {
                    is_dormant |= cursor.next().is("dormant");
                }
            }
            word if cursor.reads_dump() && OBJECTS.contains(&word) => cursor.skip_object(),
            _ => return Err(object.unsupported(format!("{:?} of a table", object.text))),
        }
        cursor.end()?;
        cursor.skip_separators();
    }
    if is_dormant {
        table.chains = Ordered::default();
        places.retain(|(of, _), _| of != key);
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
                if new.elements.get(key).is_none() {
                    new.elements.insert(key.clone(), attrs.clone());
                }
            }
        }
        (Some(SetOrMap::Map(old)), SetOrMap::Map(new))
            if (&old.key, &old.data) == (&new.key, &new.data) =>
        {
            let new = Arc::make_mut(new);
            for (key, one) in &old.elements {
                if new.elements.get(key).is_none() {
                    new.elements.insert(key.clone(), one.clone());
                }
            }
        }
        _ => return Err(duplicate(token)),
    }
    table.sets.insert(name, new);
    Ok(())
}

#[cfg(test)]
mod tests;
