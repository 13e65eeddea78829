//! Typed rule dialects: tables, chains, rules, matches, actions; their text; applying them to a copy.
//!
//! **What.** [`xt`] holds the iptables dialect: what `iptables-restore` takes and `iptables-save` prints. [`nft`]
//! holds the nftables dialect: what `nft -f` takes and `nft list` prints.
//! [`ipvs`] holds virtual servers and sets: what `ipvsadm` and `ipset` take and print.
//! **Why.** Matches and actions are enums, never strings, so that the simulator can evaluate the very tables
//! that a node would load. This crate knows no Service: a rule carries an opaque [`OriginId`] which whoever
//! made it can resolve.
//! **Source of the semantics.** iptables(8), iptables-extensions(8), `iptables/xshared.c` of iptables 1.8; nft(8),
//! `src/parser_bison.y` of nftables 1.0.6.
//!
//! ```
//! use switchboard_ruleset::{Family, xt};
//!
//! let text = "*nat\n:WEB - [0:0]\n-A WEB -m statistic --mode random --probability 0.3333333333 -j RETURN\nCOMMIT\n";
//! let tables = xt::parse(text, Family::V4)?;
//! assert_eq!(xt::restore_text(&tables), text);
//! // A kernel keeps 31 bits of the probability, and says so when asked.
//! assert!(xt::save_text(&tables).contains("--probability 0.33333333349"));
//! # Ok::<(), xt::ParseError>(())
//! ```
//!
//! ```
//! use switchboard_ruleset::nft;
//!
//! let script = "add table ip t\nadd chain ip t c\nadd rule ip t c mark and 0x4000 != 0 masquerade\n";
//! let tables = nft::parse(script)?;
//! assert!(nft::list_text(&tables).contains("\t\tmeta mark & 0x00004000 != 0x00000000 masquerade\n"));
//! # Ok::<(), nft::ParseError>(())
//! ```

mod dump;
mod family;
pub mod ipvs;
mod nat;
pub mod nft;
mod origin;
mod service;
mod sorted;
mod verbatim;
pub mod xt;

pub use dump::{Dump, TextPlace};
pub use family::{Family, Protocol};
pub use nat::{AddressSpan, NatKind, NatRange, NatTarget, PortSpan};
pub use origin::OriginId;
pub use sorted::{Change, Sorted, SortedBuilder};
pub use verbatim::Verbatim;
