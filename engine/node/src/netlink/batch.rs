//! A transaction as one batch: what is between its first and its last message happens all at once.

use std::fmt;

use ruleset::nft::{
    BaseChain, ChainKind, Comment, Hook, Ident, Key, NftAction, NftFamily, NftOperation, NftTables,
    NftTransaction, Policy, TableKey,
};

use super::element::{self, Content, Elements, Owner};
use super::set::Sets;
use super::uapi::{
    BATCH_BEGIN, BATCH_END, BATCH_GENERATION, CREATE, SUBSYSTEM, chain, family, message, rule, set,
    table, verdict,
};
use super::user_data::comment;
use super::writer::{Head, Writer};
use super::{Encoded, Generation, Unknown, kind};

/// A transaction has something in it that only `nft` can put into messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {} has no netlink form: {what}", index + 1)]
pub struct Unencodable {
    /// The operation's place in the transaction, from 0.
    pub index: usize,
    /// What has none.
    pub what: &'static str,
}

/// Messages that are sent at once.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// The sequence number of the message whose acknowledgement says that all is well.
    pub(super) last: u32,
}

/// The sequence number of a batch's first message. Those of an operation have its place above that.
pub(super) const BEGIN: u32 = 0;

/// The batch that does a transaction to the tables that are `present`, if these are of that generation.
///
/// # Errors
/// When an operation holds what has no form here.
pub(crate) fn encode(
    transaction: &NftTransaction,
    present: &NftTables,
    generation: Generation,
) -> Result<Batch, Unencodable> {
    let mut out = Writer::default();
    let begin = out.begin(frame(BATCH_BEGIN, BEGIN));
    out.u32(BATCH_GENERATION, generation.0);
    out.end(begin);
    let mut sets = Sets::new(present);
    let mut sequence = BEGIN;
    for (index, operation) in transaction.operations().iter().enumerate() {
        sequence += 1;
        let done = Encoder {
            out: &mut out,
            sets: &mut sets,
            table: &operation.table,
            sequence,
        }
        .action(&operation.action);
        let fits = done.and_then(|()| match out.has_overflown() {
            true => Err(Unknown("what is too long for a message")),
            false => Ok(()),
        });
        fits.map_err(|Unknown(what)| Unencodable { index, what })?;
    }
    out.acknowledge();
    let end = out.begin(frame(BATCH_END, sequence + 1));
    out.end(end);
    Ok(Batch {
        bytes: out.into_bytes(),
        last: sequence,
    })
}

/// The bytes that a kernel is sent for a transaction to the tables that are `present`: what a load takes before a kernel is
/// asked can be measured by this.
///
/// # Errors
/// When an operation holds what has no form here.
pub fn message_bytes(
    transaction: &NftTransaction,
    present: &NftTables,
) -> Result<usize, Unencodable> {
    let batch = encode(transaction, present, Generation(0))?;
    Ok(batch.bytes.len())
}

const fn frame(kind: u16, sequence: u32) -> Head {
    Head {
        kind,
        flags: 0,
        sequence,
        family: family::ANY,
        resource: SUBSYSTEM as u16,
    }
}

/// An operation, for who reads that it failed.
pub(super) fn describe(operation: &NftOperation) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| {
        write!(f, "table {}: ", operation.table)?;
        match &operation.action {
            NftAction::AddTable { .. } => f.write_str("add it"),
            NftAction::DeleteTable => f.write_str("delete it"),
            NftAction::AddSet(name, _) => write!(f, "add {name}"),
            NftAction::DeleteSet(name) | NftAction::DeleteMap(name) => write!(f, "delete {name}"),
            NftAction::AddChain { chain, .. } => write!(f, "add chain {chain}"),
            NftAction::FlushChain(chain) => write!(f, "flush chain {chain}"),
            NftAction::DeleteChain(chain) => write!(f, "delete chain {chain}"),
            NftAction::AddRule(chain, rule) => {
                let line = rule.line(operation.table.family);
                write!(f, "add to chain {chain}: {line}")
            }
            NftAction::AddSetElement { set, key, .. }
            | NftAction::AddMapElement { map: set, key, .. } => {
                write!(f, "add to {set}: {key}")
            }
            NftAction::DeleteElement(set, key) => write!(f, "delete from {set}: {key}"),
        }
    })
}

/// One operation on its way.
struct Encoder<'o, 't> {
    out: &'o mut Writer,
    sets: &'o mut Sets<'t>,
    table: &'t TableKey,
    sequence: u32,
}

impl<'t> Encoder<'_, 't> {
    fn action(&mut self, action: &'t NftAction) -> Encoded {
        match action {
            NftAction::AddTable { comment } => self.add_table(comment.as_ref()),
            NftAction::DeleteTable => {
                self.names(message::DELETE_TABLE, &[(table::NAME, &self.table.name)]);
                Ok(())
            }
            NftAction::AddSet(name, one) => {
                let head = self.head(message::NEW_SET, CREATE);
                self.sets.declare(self.out, head, self.table, (name, one))
            }
            NftAction::DeleteSet(name) | NftAction::DeleteMap(name) => {
                let names = [(set::TABLE, &self.table.name), (set::NAME, name)];
                self.names(message::DELETE_SET, &names);
                Ok(())
            }
            NftAction::AddChain {
                chain,
                base,
                comment,
            } => self.add_chain(chain, *base, comment.as_ref()),
            NftAction::FlushChain(name) => {
                let names = [(rule::TABLE, &self.table.name), (rule::CHAIN, name)];
                self.names(message::DELETE_RULE, &names);
                Ok(())
            }
            NftAction::DeleteChain(name) => {
                let names = [(chain::TABLE, &self.table.name), (chain::NAME, name)];
                self.names(message::DELETE_CHAIN, &names);
                Ok(())
            }
            NftAction::AddRule(chain, rule) => {
                let head = self.head(message::NEW_RULE, CREATE);
                super::rule::put(self.out, head, self.sets, (self.table, chain), rule)
            }
            NftAction::AddSetElement { set, key, attrs } => {
                self.element(element::ADD, set, key, Content::of_set(attrs))
            }
            NftAction::AddMapElement { map, key, element } => {
                self.element(element::ADD, map, key, Content::of_map(element))
            }
            NftAction::DeleteElement(set, key) => {
                self.element(element::DELETE, set, key, Content::default())
            }
        }
    }

    fn head(&self, message: u8, flags: u16) -> Head {
        Head {
            kind: kind(message),
            flags,
            sequence: self.sequence,
            family: match self.table.family {
                NftFamily::Ip => family::IPV4,
                NftFamily::Ip6 => family::IPV6,
                NftFamily::Inet => family::INET,
            },
            resource: 0,
        }
    }

    /// A message that only names something.
    fn names(&mut self, message: u8, names: &[(u16, &Ident)]) {
        let message = self.out.begin(self.head(message, 0));
        for (kind, name) in names {
            self.out.text(*kind, name.as_str());
        }
        self.out.end(message);
    }

    fn add_table(&mut self, text: Option<&Comment>) -> Encoded {
        let message = self.out.begin(self.head(message::NEW_TABLE, CREATE));
        self.out.text(table::NAME, self.table.name.as_str());
        self.out.u32(table::FLAGS, 0);
        if let Some(text) = text {
            comment(text).write(self.out, table::USER_DATA)?;
        }
        self.out.end(message);
        Ok(())
    }

    fn add_chain(
        &mut self,
        name: &Ident,
        base: Option<BaseChain>,
        text: Option<&Comment>,
    ) -> Encoded {
        let message = self.out.begin(self.head(message::NEW_CHAIN, CREATE));
        self.out.text(chain::TABLE, self.table.name.as_str());
        self.out.text(chain::NAME, name.as_str());
        if let Some(base) = base {
            let nest = self.out.open_nest(chain::HOOK);
            self.out.u32(chain::HOOK_NUMBER, hook(base.hook));
            self.out
                .bytes(chain::HOOK_PRIORITY, &base.priority.to_be_bytes());
            self.out.close(nest);
            let policy = match base.policy {
                Policy::Accept => verdict::ACCEPT,
                Policy::Drop => verdict::DROP,
            };
            self.out.bytes(chain::POLICY, &policy.to_be_bytes());
            self.out.text(
                chain::TYPE,
                match base.kind {
                    ChainKind::Filter => "filter",
                    ChainKind::Nat => "nat",
                    ChainKind::Route => "route",
                },
            );
        }
        if let Some(text) = text {
            comment(text).write(self.out, chain::USER_DATA)?;
        }
        self.out.end(message);
        Ok(())
    }

    fn element(&mut self, message: u8, set: &Ident, key: &Key, content: Content<'_>) -> Encoded {
        let declared = self.sets.named(self.table, set)?;
        if declared.is_merged {
            return Err(Unknown("elements of a set with auto-merge"));
        }
        let flags = match message {
            element::ADD => CREATE,
            _ => 0,
        };
        let head = self.head(message, flags);
        let owner = Owner {
            table: &self.table.name,
            set: set.as_str(),
            id: None,
            shape: declared.shape,
        };
        let mut elements = Elements::new(self.out, head, owner);
        elements.put(key, content, None)?;
        elements.finish();
        Ok(())
    }
}

/// `enum nf_inet_hooks`
const fn hook(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

#[cfg(test)]
mod tests {
    use ruleset::nft::parse;

    use super::super::uapi::{ACK, APPEND, REQUEST};
    use super::super::writer::{attribute, messages};
    use super::*;

    const GENERATION: Generation = Generation(7);

    fn tables(content: &str) -> NftTables {
        let text = format!("table ip t {{\n{content}\n}}\n");
        parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn load(content: &str) -> NftTransaction {
        NftTransaction::between(&NftTables::new(), &tables(content))
    }

    /// Type, flags and sequence number of each message.
    fn heads(batch: &Batch) -> Vec<(u16, u16, u32)> {
        let flags =
            |place: &usize| u16::from_ne_bytes([batch.bytes[place + 6], batch.bytes[place + 7]]);
        let mut place = 0;
        let mut heads = Vec::new();
        for message in messages(&batch.bytes) {
            heads.push((message.kind, flags(&place) & !REQUEST, message.sequence));
            place += 16 + message.body.len();
        }
        heads
    }

    #[test]
    fn a_batch_has_the_generation_and_asks_for_one_answer() {
        let transaction =
            load("set s { type inet_service; elements = { 1 }; }\nchain c { th dport @s drop; }");
        let batch = encode(&transaction, &NftTables::new(), GENERATION).unwrap();
        assert_eq!(
            heads(&batch),
            [
                (BATCH_BEGIN, 0, 0),
                (kind(message::NEW_TABLE), CREATE, 1),
                (kind(message::NEW_CHAIN), CREATE, 2),
                (kind(message::NEW_SET), CREATE, 3),
                (kind(message::NEW_ELEMENTS), CREATE, 3),
                (kind(message::NEW_RULE), CREATE | APPEND | ACK, 4),
                (BATCH_END, 0, 5),
            ]
        );
        assert_eq!(batch.last, 4);
        let begin = &messages(&batch.bytes)[0];
        assert_eq!(
            attribute(begin, BATCH_GENERATION),
            Some([0, 0, 0, 7].as_slice())
        );
    }

    #[test]
    fn a_change_is_a_message_for_each_element() {
        let map = |elements: &str| {
            tables(&format!(
                "map m {{ type inet_service : verdict; elements = {{ {elements} }}; }}"
            ))
        };
        let (before, after) = (map("1 : drop, 2 : drop"), map("2 : accept, 3 : drop"));
        let transaction = NftTransaction::between(&before, &after);
        let batch = encode(&transaction, &before, GENERATION).unwrap();
        let kinds: Vec<u16> = heads(&batch).iter().map(|(kind, ..)| *kind).collect();
        let [delete, add] = [message::DELETE_ELEMENTS, message::NEW_ELEMENTS].map(kind);
        assert_eq!(kinds, [BATCH_BEGIN, delete, delete, add, add, BATCH_END]);
        assert!(batch.bytes.len() < 512);
    }

    #[test]
    fn what_has_no_form_is_named() {
        for (content, operation, what) in [
            ("chain c { counter notrack; }", 3, "notrack"),
            (
                "chain c { icmp type 8 drop; }",
                3,
                "a field that implies a test for its protocol",
            ),
            (
                "chain c { meta mark > 5 drop; }",
                3,
                "a comparison of what has no order",
            ),
            (
                "set s { type ipv4_addr; flags interval; auto-merge; elements = { 10.0.0.0/8 }; }",
                2,
                "elements of a set with auto-merge",
            ),
        ] {
            let error = encode(&load(content), &NftTables::new(), GENERATION).unwrap_err();
            let said = format!("operation {operation} has no netlink form: {what}");
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn elements_of_a_set_that_nobody_knows() {
        let before = tables("set s { type inet_service; elements = { 1 }; }");
        let after = tables("set s { type inet_service; }");
        let transaction = NftTransaction::between(&before, &after);
        encode(&transaction, &before, GENERATION).unwrap();
        encode(&transaction, &NftTables::new(), GENERATION).unwrap_err();
    }

    #[test]
    fn operations_are_told() {
        let transaction =
            load("set s { type inet_service; elements = { 1 }; }\nchain c { th dport @s drop; }");
        let told = transaction
            .operations()
            .iter()
            .map(|one| describe(one).to_string());
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "table ip t: add it",
                "table ip t: add chain c",
                "table ip t: add s",
                "table ip t: add to chain c: th dport @s drop",
            ]
        );
    }
}
