//! The kernel as the sink of a proxy in one mode.
//!
//! **What.** [`KernelSink`] is the sink of a mode's dialect, and takes away what a proxy in another mode has left. **Why.**
//! A node's mode may change; connections are served all the time only if the old rules go when the new ones stand. If they
//! do not go, the new ones stand all the same. Only connections that IPVS serves end with its virtual servers.
//! **Source of the semantics.** kube-proxy 1.36 `cmd/kube-proxy/app/server_linux.go` (`platformCleanup`), which cleans up
//! before its first sync.

use std::sync::Arc;

use control::ProxyMode;
use proxy::{Dialect, RuleSink, SyncKind};
use rules::{Capabilities, ClusterSizes, ClusterView, NodeFacts};
use ruleset::Family;

use crate::{
    CommitError, IptablesSink, IptablesTools, IpvsSink, IpvsTools, LoadError, NftLayout, NftTools,
    NftablesSink, ToolError, Unencodable,
};

/// What programs a kernel in any mode.
#[derive(Clone, Debug)]
pub struct KernelTools {
    /// Of modes iptables and ipvs.
    pub iptables: IptablesTools,
    /// Of modes nftables and flat.
    pub nft: NftTools,
    /// Of mode ipvs.
    pub ipvs: IpvsTools,
}

/// Programs a kernel in one mode.
#[derive(Debug)]
pub struct KernelSink {
    dialect: Dialect,
    iptables: IptablesSink,
    nftables: NftablesSink,
    ipvs: IpvsSink,
    /// Whether nothing is left of another mode.
    is_alone: bool,
    leftover: Option<LoadError>,
}

impl KernelSink {
    /// The sink of a mode, by these tools. In mode ipvs, the machine is made ready for it.
    ///
    /// # Errors
    /// When the tool of the mode cannot be asked what it can do; in mode ipvs, when this machine cannot do it.
    pub fn new(mode: ProxyMode, tools: KernelTools) -> Result<Self, ToolError> {
        let (dialect, layout) = match mode {
            ProxyMode::Iptables => (Dialect::Iptables, NftLayout::KubeProxy),
            ProxyMode::Nftables => (Dialect::Nftables, NftLayout::KubeProxy),
            ProxyMode::Flat => (Dialect::Nftables, NftLayout::Flat),
            ProxyMode::Ipvs => (Dialect::Ipvs, NftLayout::KubeProxy),
        };
        let KernelTools {
            iptables,
            nft,
            ipvs,
        } = tools;
        let capabilities = Capabilities {
            nfacct: false,
            random_fully: match dialect {
                Dialect::Iptables | Dialect::Ipvs => iptables.has_random_fully()?,
                Dialect::Nftables => true,
            },
        };
        let ipvs = IpvsSink::new(ipvs, iptables.clone(), capabilities);
        if dialect == Dialect::Ipvs {
            ipvs.prepare()?;
        }
        Ok(Self {
            dialect,
            iptables: IptablesSink::new(iptables, capabilities),
            nftables: NftablesSink::new(nft, capabilities).in_layout(layout),
            ipvs,
            is_alone: false,
            leftover: None,
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

    /// Whether nobody has flushed the rules since they were committed (PROXY-67). In nftables and ipvs, nobody looks.
    ///
    /// # Errors
    /// When the tool cannot be run.
    pub fn is_intact(&self) -> Result<bool, LoadError> {
        if self.dialect != Dialect::Iptables {
            return Ok(true);
        }
        for family in Family::ALL {
            if !self.iptables.is_intact(family)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Why the last commit has not taken away what a proxy in another mode may have left, although its own rules are in
    /// force. The next commit tries again.
    #[must_use]
    pub const fn leftover(&self) -> Option<&LoadError> {
        self.leftover.as_ref()
    }

    /// What the last commit had `nft` do because netlink has no form for it here, if there was such a thing since this was
    /// asked last.
    #[must_use]
    pub const fn take_unencodable(&mut self) -> Option<Unencodable> {
        self.nftables.take_unencodable()
    }

    /// In mode ipvs, takes away whoever was to go and has no connections any more (PROXY-61).
    ///
    /// # Errors
    /// As [`IpvsSink::drain`].
    pub fn drain(&mut self) -> Result<(), LoadError> {
        self.ipvs.drain()
    }

    /// Modes iptables and ipvs take each other's rules away when they write theirs.
    fn leave_other(&self) -> Result<(), LoadError> {
        let rules = match self.dialect {
            Dialect::Iptables | Dialect::Ipvs => self.nftables.leave().map(drop),
            Dialect::Nftables => self.iptables.leave().map(drop),
        };
        let servers = match self.dialect {
            Dialect::Iptables | Dialect::Nftables => self.ipvs.leave_for_another().map(drop),
            Dialect::Ipvs => Ok(()),
        };
        rules.and(servers)
    }
}

impl RuleSink for KernelSink {
    type Error = CommitError;

    fn commit(
        &mut self,
        kind: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
        sizes: ClusterSizes,
    ) -> Result<(), CommitError> {
        match self.dialect {
            Dialect::Iptables => self.iptables.commit(kind, node, view, sizes)?,
            Dialect::Nftables => self.nftables.commit(kind, node, view, sizes)?,
            Dialect::Ipvs => self.ipvs.commit(kind, node, view, sizes)?,
        }
        if !self.is_alone {
            self.leftover = self.leave_other().err();
            self.is_alone = self.leftover.is_none();
        }
        Ok(())
    }
}
