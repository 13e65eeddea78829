//! The nftables dialect.
//!
//! **What.** Tables of sets, maps and chains, as the kernel holds them: a rule is a list of statements that are
//! run in order until a match fails or a verdict ends it. [`list_text`] prints what `nft list table` prints,
//! [`script_text`] what `nft -f` takes to make a node's tables what they are here; [`parse`] reads both, and the
//! commands in between that kube-proxy, CNIs and people write.
//! **Why.** Expressions are typed as far as the kernel types them, so that the evaluator need not guess; what the
//! types do not reach is an error with its place, never skipped.
//! **Source of the semantics.** nft(8) and `src/parser_bison.y` of nftables 1.0.6, kube-proxy's
//! `pkg/proxy/nftables/proxier.go` (PROXY-47 to PROXY-56).

mod chain;
mod compat;
mod expr;
mod implied;
mod key;
mod name;
mod ordered;
mod parse;
mod print;
mod scalar;
mod set;
mod statement;
mod table;
mod transaction;
mod uses;
mod words;

pub use chain::{BaseChain, ChainKind, Hook, NftChain, NftRule};
pub use expr::{
    BinaryOp, CtKey, Expr, Fib, FibAddress, Field, MapRef, MetaKey, Numgen, NumgenMode, SetRef,
};
pub use key::{Key, Parts};
pub use name::{Comment, Ident, IdentError};
pub use ordered::{Ordered, Place};
pub use parse::{NftDump, ParseError, ParseErrorKind, parse, parse_dump};
pub use print::{list_text, script_text};
pub use scalar::{CtStatus, DataType, Direction, Ifname, PacketType, Scalar};
pub use set::{Carried, Element, ElementAttrs, NftMap, NftSet, SetFlags, SetOptions, Value};
pub use statement::{
    MatchOp, NatFlags, NatTo, Reject, Right, SetOp, Statement, Unreachable, Verdict,
};
pub use table::{NftFamily, NftTable, NftTables, SetOrMap, TableKey};
pub use transaction::{ApplyError, ApplyErrorKind, NftAction, NftOperation, NftTransaction};

pub use crate::xt::{AddressType, CtState, CtStates, NatTarget, Policy, RejectWith, TcpFlags};
