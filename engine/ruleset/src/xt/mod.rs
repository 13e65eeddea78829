//! The iptables dialect.
//!
//! A rule has the shape the kernel gives it: a header that every packet is compared with first (addresses,
//! interfaces, protocol), then extension matches in order, then one target. The order of the printed options
//! follows from that shape, as `iptables-save` does it.

mod apply;
mod chain;
mod name;
mod parse;
mod print;
mod rule;
mod transaction;
pub(crate) mod words;

pub use chain::{Policy, TableName, XtChain, XtTable, XtTables};
pub use name::{ChainName, Comment, NameError};
pub use parse::{ParseError, ParseErrorKind, XtDump, parse, parse_dump, parse_node};
pub use print::{restore_text, save_text};
pub use rule::{
    AddressMatch, AddressSide, AddressType, ConnMarkAction, CtState, CtStates, InterfaceMatch,
    IpRangeMatch, MultiportSide, PortRange, Probability, RecentAction, RecentMatch, RecentWindow,
    RejectWith, SetMatch, TcpFlags, XtMatch, XtRule, XtTarget,
};
pub use transaction::{XtCommand, XtTransaction, XtUnit};

pub use crate::nat::NatTarget;
pub(crate) use words::INERT_TARGETS;
