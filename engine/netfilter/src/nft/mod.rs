//! Tables of nftables, prepared for evaluation.
//!
//! **What.** [`NftCode`] is one table with every name resolved: a chain is an index, a set an index that is hashed
//! once. **Why.** A packet then never compares names, and cannot meet one that is missing; the chains and sets
//! that it was made from stay beside it, for traces and for reading back. **Source of the semantics.** nft(8),
//! Linux `net/netfilter/nf_tables_core.c`.

mod check;
mod code;
mod compile;
mod doubt;
mod error;
mod field;
mod pattern;
mod register;
mod run;
mod set_index;
mod shortcut;

pub(crate) use check::DEPTH_MAX;
pub(crate) use code::{NftCode, Place};
pub use error::NftError;
pub(crate) use pattern::packet_type_number;
pub(crate) use register::Registers;
pub use set_index::FoundElement;
