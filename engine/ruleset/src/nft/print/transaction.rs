//! Transactions as scripts for `nft -f`.

use std::fmt::{self, Write as _};

use super::super::{NftAction, NftChain, NftOperation, NftTransaction, SetOrMap};
use super::{Indent, Place, expr, write_chain, write_element, write_map, write_rule, write_set};

impl NftTransaction {
    /// As `nft -f` takes it: one file is one transaction.
    #[must_use]
    pub fn script(&self) -> String {
        let mut text = String::new();
        for operation in self.operations() {
            write_operation(&mut text, operation).expect("a String takes everything");
        }
        text
    }
}

fn write_operation(out: &mut String, operation: &NftOperation) -> fmt::Result {
    let NftOperation { table, action } = operation;
    match action {
        NftAction::AddTable { comment: None } => writeln!(out, "add table {table}"),
        NftAction::AddTable {
            comment: Some(comment),
        } => writeln!(
            out,
            "add table {table} {{ comment \"{}\"; }}",
            comment.as_str()
        ),
        NftAction::DeleteTable => writeln!(out, "delete table {table}"),
        NftAction::AddSet(name, set) => {
            writeln!(out, "table {table} {{")?;
            match set {
                SetOrMap::Set(set) => write_set(out, name, set, Indent::None)?,
                SetOrMap::Map(map) => write_map(out, name, map, Indent::None)?,
            }
            out.write_str("}\n")
        }
        NftAction::DeleteSet(name) => writeln!(out, "delete set {table} {name}"),
        NftAction::DeleteMap(name) => writeln!(out, "delete map {table} {name}"),
        NftAction::AddChain {
            chain,
            base: None,
            comment: None,
        } => writeln!(out, "add chain {table} {chain}"),
        NftAction::AddChain {
            chain,
            base,
            comment,
        } => {
            writeln!(out, "table {table} {{")?;
            let empty = NftChain {
                base: *base,
                comment: comment.clone(),
                rules: Vec::new(),
            };
            write_chain(out, chain, &empty, place(operation))?;
            out.write_str("}\n")
        }
        NftAction::FlushChain(name) => writeln!(out, "flush chain {table} {name}"),
        NftAction::DeleteChain(name) => writeln!(out, "delete chain {table} {name}"),
        NftAction::AddRule(chain, rule) => {
            write!(out, "add rule {table} {chain} ")?;
            write_rule(out, rule, place(operation))?;
            out.write_str("\n")
        }
        NftAction::AddSetElement { set, key, attrs } => {
            write!(out, "add element {table} {set} {{ ")?;
            write_element(out, key, attrs)?;
            out.write_str(" }\n")
        }
        NftAction::AddMapElement { map, key, element } => {
            write!(out, "add element {table} {map} {{ ")?;
            write_element(out, key, &element.attrs)?;
            writeln!(out, " : {} }}", element.value)
        }
        NftAction::DeleteElement(set, key) => {
            write!(out, "delete element {table} {set} {{ ")?;
            expr::write_key(out, key)?;
            out.write_str(" }\n")
        }
    }
}

/// A map that is not in the rule itself is one that leads to addresses with ports.
const fn place(operation: &NftOperation) -> Place<'static> {
    Place {
        family: operation.table.family,
        table: None,
    }
}
