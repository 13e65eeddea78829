//! Tables of iptables, prepared for evaluation.

mod dice;
mod index;
mod matches;
mod quiet;
mod run;
mod table;

pub(crate) use table::{Merged, Table};
