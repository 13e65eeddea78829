//! Why tables cannot be loaded.

use std::net::SocketAddr;

use ruleset::Family;
use ruleset::ipvs::{self, Scheduler, ServerKey};
use ruleset::nft::{Ident, TableKey};
use ruleset::xt::{ChainName, TableName};

use crate::{ChainPlace, NftError, RulePlace};

/// Why tables cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TablesError {
    /// A rule jumps or goes to a chain that does not exist.
    #[error("{family} {table}/{chain} rule {}: no chain {target}", index + 1)]
    MissingChain {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
        /// The chain that is missing.
        target: ChainName,
    },
    /// A rule jumps or goes to a chain that only the kernel may call.
    #[error("{family} {table}/{chain} rule {}: {target} is a built-in chain", index + 1)]
    BuiltInTarget {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
        /// The built-in chain.
        target: ChainName,
    },
    /// A rule's target does not work in its table, or in a hook that reaches its chain.
    #[error("{family} {table}/{chain} rule {}: {target} is valid only in {allowed}", index + 1)]
    MisplacedTarget {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
        /// The target.
        target: &'static str,
        /// Where it would work.
        allowed: &'static str,
    },
    /// A rule translates to an address of the other family.
    #[error("{family} {table}/{chain} rule {}: translates to an address of another family", index + 1)]
    OtherFamily {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
    },
    /// Chains call each other in a circle.
    #[error("{family} {table}: chain {chain} is reached from itself")]
    Loop {
        /// The family.
        family: Family,
        /// The table.
        table: TableName,
        /// A chain of the circle.
        chain: ChainName,
    },
    /// A set or map of nftables cannot be loaded.
    #[error("{table}: set {set}: {error}")]
    NftSet {
        /// The table.
        table: TableKey,
        /// The set or map.
        set: Ident,
        /// What is wrong with it.
        #[source]
        error: NftError,
    },
    /// A rule of nftables cannot be loaded.
    #[error("{table}/{chain} rule {}: {error}", index + 1)]
    Nft {
        /// The rule's table.
        table: TableKey,
        /// The rule's chain.
        chain: Ident,
        /// Its position, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        error: NftError,
    },
    /// A rule looks into a set that does not exist.
    #[error("{family} {table}/{chain} rule {}: no set {set}", index + 1)]
    MissingSet {
        /// The family.
        family: Family,
        /// The rule's table.
        table: TableName,
        /// The rule's chain.
        chain: ChainName,
        /// Its position, from 0.
        index: usize,
        /// The set that is missing.
        set: ipvs::SetName,
    },
    /// A virtual server shares connections out in a way that is not evaluated.
    #[error(
        "virtual server {server}: scheduler {scheduler} is not supported (supported: rr, wrr, lc, wlc, sh, dh, sed, nq)"
    )]
    Scheduler {
        /// The virtual server.
        server: ServerKey,
        /// Its scheduler.
        scheduler: Scheduler,
    },
    /// A real server is reached in a way that is not evaluated.
    #[error(
        "virtual server {server}: real server {real} is not reached by masquerading (-m), which alone is supported"
    )]
    Forwarding {
        /// The virtual server.
        server: ServerKey,
        /// The real server.
        real: SocketAddr,
    },
    /// A virtual server, or a real one of it, has an address of another family than its owner's tables.
    #[error("virtual server {server}: addresses of two families")]
    VirtualServerFamily {
        /// The virtual server.
        server: ServerKey,
    },
    /// Two owners have different virtual servers.
    #[error("{family}: two owners have virtual servers")]
    VirtualServersConflict {
        /// The family.
        family: Family,
    },
    /// Two owners wrote different tables of nftables under one name.
    #[error("two owners fill table {0} differently")]
    TableConflict(TableKey),
    /// Two owners wrote different rules into one chain of their own.
    #[error("{family} {table}: two owners fill chain {chain} differently")]
    Conflict {
        /// The family.
        family: Family,
        /// The table.
        table: TableName,
        /// The chain.
        chain: ChainName,
    },
}

impl TablesError {
    /// The rule that it is about, if it is about one.
    #[must_use]
    pub fn place(&self) -> Option<RulePlace> {
        let (chain, index) = match self {
            Self::MissingChain {
                table,
                chain,
                index,
                ..
            }
            | Self::BuiltInTarget {
                table,
                chain,
                index,
                ..
            }
            | Self::MisplacedTarget {
                table,
                chain,
                index,
                ..
            }
            | Self::OtherFamily {
                table,
                chain,
                index,
                ..
            }
            | Self::MissingSet {
                table,
                chain,
                index,
                ..
            } => {
                let (table, chain) = (*table, *chain);
                (ChainPlace::Xt { table, chain }, *index)
            }
            Self::Nft {
                table,
                chain,
                index,
                ..
            } => {
                let (table, chain) = (table.clone(), chain.clone());
                (ChainPlace::Nft { table, chain }, *index)
            }
            Self::Loop { .. }
            | Self::Scheduler { .. }
            | Self::Forwarding { .. }
            | Self::VirtualServerFamily { .. }
            | Self::VirtualServersConflict { .. }
            | Self::NftSet { .. }
            | Self::TableConflict(_)
            | Self::Conflict { .. } => return None,
        };
        Some(RulePlace { chain, index })
    }
}
