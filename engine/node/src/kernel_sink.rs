//! The kernel as the sink of a proxy in one mode.
//!
//! **What.** [`KernelSink`] is the sink of a mode's dialect, and takes away what a proxy in another mode has left. **Why.**
//! A node's mode may change; connections are served all the time only if the old rules go when the new ones stand.
//! **Source of the semantics.** kube-proxy 1.36 `cmd/kube-proxy/app/server_linux.go` (`platformCleanup`), which cleans up
//! before its first sync.

use std::sync::Arc;

use control::ProxyMode;
use proxy::{Dialect, RuleSink, SyncKind};
use rules::{Capabilities, ClusterView, NodeFacts};
use ruleset::Family;

use crate::{
    CommitError, IptablesSink, IptablesTools, LoadError, NftLayout, NftTools, NftablesSink,
    ToolError,
};

/// Programs a kernel in one mode.
#[derive(Debug)]
pub struct KernelSink {
    dialect: Dialect,
    iptables: IptablesSink,
    nftables: NftablesSink,
    /// Whether nothing is left of another mode.
    is_alone: bool,
}

impl KernelSink {
    /// The sink of a mode, by these tools.
    ///
    /// # Errors
    /// When the tool of the mode cannot be asked what it can do.
    pub fn new(mode: ProxyMode, iptables: IptablesTools, nft: NftTools) -> Result<Self, ToolError> {
        let (dialect, layout) = match mode {
            ProxyMode::Iptables => (Dialect::Iptables, NftLayout::KubeProxy),
            ProxyMode::Nftables => (Dialect::Nftables, NftLayout::KubeProxy),
            ProxyMode::Flat => (Dialect::Nftables, NftLayout::Flat),
        };
        let capabilities = Capabilities {
            nfacct: false,
            random_fully: match dialect {
                Dialect::Iptables => iptables.has_random_fully()?,
                Dialect::Nftables => true,
            },
        };
        Ok(Self {
            dialect,
            iptables: IptablesSink::new(iptables, capabilities),
            nftables: NftablesSink::new(nft, capabilities).in_layout(layout),
            is_alone: false,
        })
    }

    /// What the mode's rules are written in.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The part that writes by `iptables-restore`.
    #[must_use]
    pub const fn iptables(&self) -> &IptablesSink {
        &self.iptables
    }

    /// Whether nobody has flushed the rules since they were committed (PROXY-67). In nftables, nobody looks.
    ///
    /// # Errors
    /// When the tool cannot be run.
    pub fn is_intact(&self) -> Result<bool, LoadError> {
        if self.dialect == Dialect::Nftables {
            return Ok(true);
        }
        for family in Family::ALL {
            if !self.iptables.is_intact(family)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn leave_other(&self) -> Result<(), LoadError> {
        match self.dialect {
            Dialect::Iptables => self.nftables.leave().map(drop),
            Dialect::Nftables => self.iptables.leave().map(drop),
        }
    }
}

impl RuleSink for KernelSink {
    type Error = CommitError;

    fn commit(
        &mut self,
        kind: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
    ) -> Result<(), CommitError> {
        match self.dialect {
            Dialect::Iptables => self.iptables.commit(kind, node, view)?,
            Dialect::Nftables => self.nftables.commit(kind, node, view)?,
        }
        if !self.is_alone {
            self.leave_other().map_err(|source| CommitError {
                node: Arc::clone(&node.name),
                source,
            })?;
            self.is_alone = true;
        }
        Ok(())
    }
}
