//! One node's agent: when to sync, and what.
//!
//! A state machine over time. It is told of views as they reach its node ([`Agent::deliver`]) and run when it is
//! due ([`Agent::run`]). A sync takes the view as of its start and takes effect at its end, for `iptables-restore`
//! is atomic per table and its time is spent before the commit (PROXY-46). Events that arrive meanwhile, or
//! within the minimum period, are merged into the next sync (PROXY-65).
//!
//! A sync that failed is tried again a sync period after its end, and in full; whatever else asks for a sync may do so
//! sooner. Without any reason, there is one a full-sync period after the last. That is kube-proxy's
//! `BoundedFrequencyRunner` (`pkg/proxy/runner`, 1.36), which has had no bursts since 1.34.

use std::sync::Arc;
use std::time::Duration;

use base::SimTime;
use rules::{ClusterSizes, ClusterView, NodeFacts};

use crate::{Basis, ProxyHealth, RuleSink, SyncKind};

/// How an agent times its syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// `minSyncPeriod`: the least time from the end of one sync to the start of the next.
    pub min_sync_period: Duration,
    /// `syncPeriod`: how long after a failed sync it is tried again. An update that is pending for twice as long
    /// makes the proxy unhealthy (PROXY-71).
    pub sync_period: Duration,
    /// How long after a full sync the next one is full again, and how long there may be none at all.
    pub full_sync_period: Duration,
    /// Whether large clusters do without these full syncs, as in kube-proxy's iptables mode (PROXY-45).
    pub spares_large_clusters: bool,
}

impl AgentSettings {
    /// kube-proxy's `minSyncPeriod` of modes iptables and nftables.
    pub const MIN_SYNC_PERIOD: Duration = Duration::from_secs(1);
    /// kube-proxy's `syncPeriod`.
    pub const SYNC_PERIOD: Duration = Duration::from_secs(30);
    /// kube-proxy's `FullSyncPeriod`, which is no setting there.
    pub const FULL_SYNC_PERIOD: Duration = Duration::from_secs(3600);
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            min_sync_period: Self::MIN_SYNC_PERIOD,
            sync_period: Self::SYNC_PERIOD,
            full_sync_period: Self::FULL_SYNC_PERIOD,
            spares_large_clusters: false,
        }
    }
}

/// A sync that has ended.
#[derive(Clone, Debug)]
pub struct SyncReport<E> {
    /// When it began.
    pub started: SimTime,
    /// When it ended.
    pub ended: SimTime,
    /// Full or partial.
    pub kind: SyncKind,
    /// Whether nothing asked for it but the time that had passed.
    pub periodic: bool,
    /// What the rules before were made from.
    pub before: Basis,
    /// What the rules that were committed are made from. They are in force now, unless that failed.
    pub after: Basis,
    /// Whether the sink took it.
    pub result: Result<(), E>,
}

/// One node's proxy.
#[derive(Clone, Debug)]
pub struct Agent {
    facts: Arc<NodeFacts>,
    settings: AgentSettings,
    seen: Option<ClusterView>,
    programmed: Option<Basis>,
    /// As the last sync has taken them.
    sizes: ClusterSizes,
    running: Option<Sync>,
    /// Whether something asks for a sync.
    wanted: bool,
    /// Since when there has been a change that no sync has begun with.
    pending_since: Option<SimTime>,
    needs_full: bool,
    full_at: Option<SimTime>,
    updated_at: Option<SimTime>,
    earliest_sync: SimTime,
    retry_at: Option<SimTime>,
    resync_at: Option<SimTime>,
}

#[derive(Clone, Debug)]
struct Sync {
    started: SimTime,
    ends: SimTime,
    kind: SyncKind,
    periodic: bool,
    pending_since: Option<SimTime>,
    /// As it was when it began.
    basis: Basis,
    sizes: ClusterSizes,
}

impl Agent {
    /// An agent that has seen and programmed nothing.
    #[must_use]
    pub const fn new(facts: Arc<NodeFacts>, settings: AgentSettings) -> Self {
        Self {
            facts,
            settings,
            seen: None,
            programmed: None,
            sizes: ClusterSizes::SMALL,
            running: None,
            wanted: false,
            pending_since: None,
            needs_full: false,
            full_at: None,
            updated_at: None,
            earliest_sync: SimTime::ZERO,
            retry_at: None,
            resync_at: None,
        }
    }

    /// What the node knows about itself.
    #[must_use]
    pub const fn facts(&self) -> &Arc<NodeFacts> {
        &self.facts
    }

    /// What the node's rules were made from; `None` before the first sync that went well.
    #[must_use]
    pub const fn programmed(&self) -> Option<&Basis> {
        self.programmed.as_ref()
    }

    /// Whether the proxy keeps up, from what it knows: see [`ProxyHealth::is_healthy`].
    #[must_use]
    pub fn health(&self) -> ProxyHealth {
        let running = self.running.as_ref().and_then(|sync| sync.pending_since);
        ProxyHealth {
            updated_at: self.updated_at,
            pending_since: earliest(running, self.pending_since),
            timeout: self.settings.sync_period * 2,
        }
    }

    /// A view has reached the node. `changed` says whether it differs from the last one in what rules are made
    /// of; the first view is the complete list (PROXY-6) and always counts.
    pub fn deliver(&mut self, view: ClusterView, changed: bool, now: SimTime) {
        if changed || self.seen.is_none() {
            self.wanted = true;
            self.pending_since.get_or_insert(now);
        }
        self.seen = Some(view);
    }

    /// What the node knows about itself has changed: all rules may be others now. That is pending like a change of
    /// the view.
    pub fn relearn(&mut self, facts: Arc<NodeFacts>, now: SimTime) {
        self.facts = facts;
        self.demand_full_sync();
        if self.wanted {
            self.pending_since.get_or_insert(now);
        }
    }

    /// The rules may have been damaged by somebody: the next sync is a full one, and soon (PROXY-67).
    pub const fn demand_full_sync(&mut self) {
        self.needs_full = true;
        self.wanted = self.seen.is_some();
    }

    /// A sync under way comes to nothing; it is done again, and in full.
    pub fn interrupt(&mut self) {
        let Some(sync) = self.running.take() else {
            return;
        };
        self.wanted = true;
        self.needs_full = true;
        self.pending_since = earliest(sync.pending_since, self.pending_since);
    }

    /// Takes a view as seen and programmed, without a sync: a node that has been up for a while.
    ///
    /// # Errors
    /// When the sink does not take it; the agent has not seen it then.
    pub fn adopt<S: RuleSink>(
        &mut self,
        view: ClusterView,
        now: SimTime,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let sizes = self.sizes.after(&view);
        sink.commit(SyncKind::Full, &self.facts, &view, sizes)?;
        self.sizes = sizes;
        self.seen = Some(view.clone());
        self.programmed = Some(Basis {
            facts: Arc::clone(&self.facts),
            view,
        });
        self.full_at = Some(now);
        self.updated_at = Some(now);
        self.resync_at = Some(now + self.settings.full_sync_period);
        self.wanted = false;
        self.needs_full = false;
        self.pending_since = None;
        Ok(())
    }

    /// When to call [`Agent::run`] next for what is pending: a change, a sync under way, or a failure; `None` while
    /// there is nothing.
    #[must_use]
    pub fn next_pending(&self, now: SimTime) -> Option<SimTime> {
        match &self.running {
            Some(sync) => (!sync.periodic || self.wanted).then_some(sync.ends),
            None => {
                let wanted = self.wanted.then_some(now);
                earliest(wanted, self.retry_at).map(|at| at.max(self.earliest_sync).max(now))
            }
        }
    }

    /// When to call [`Agent::run`] next if nothing happens: for what is done from time to time.
    #[must_use]
    pub fn next_periodic(&self) -> Option<SimTime> {
        match &self.running {
            Some(sync) => sync.periodic.then_some(sync.ends),
            None => self.resync_at.map(|at| at.max(self.earliest_sync)),
        }
    }

    /// Does what is due on a virtual clock: ends a sync by committing it, or starts one, whose duration `cost` tells.
    pub fn run<S: RuleSink>(
        &mut self,
        now: SimTime,
        cost: &mut dyn FnMut(SyncKind, &ClusterView) -> Duration,
        sink: &mut S,
    ) -> Option<SyncReport<S::Error>> {
        let ended = self.running.take_if(|sync| sync.ends <= now);
        let ended = ended.map(|sync| {
            let result = sync.commit(sink);
            let end = sync.ends;
            self.finish(sync, end, result)
        });
        if let Some(sync) = self.start(now) {
            let ends = now + cost(sync.kind, &sync.basis.view);
            self.running = Some(Sync { ends, ..sync });
        }
        ended
    }

    /// Does what is due on a real clock: a sync takes as long as its commit does.
    pub fn run_now<S: RuleSink>(
        &mut self,
        clock: &mut dyn FnMut() -> SimTime,
        sink: &mut S,
    ) -> Option<SyncReport<S::Error>> {
        let sync = self.start(clock())?;
        let result = sync.commit(sink);
        Some(self.finish(sync, clock(), result))
    }

    /// A sync of what has been seen, if one is due.
    fn start(&mut self, now: SimTime) -> Option<Sync> {
        let is_due = |at: Option<SimTime>| at.is_some_and(|at| at <= now);
        let asked = self.wanted || is_due(self.retry_at);
        let due = asked || is_due(self.resync_at);
        if self.running.is_some() || !due || now < self.earliest_sync {
            return None;
        }
        let view = self.seen.clone()?;
        self.wanted = false;
        // A large cluster is spared by what it was.
        let kind = self.kind(now);
        self.sizes = self.sizes.after(&view);
        Some(Sync {
            started: now,
            ends: now,
            kind,
            periodic: !asked,
            pending_since: self.pending_since.take(),
            basis: Basis {
                facts: Arc::clone(&self.facts),
                view,
            },
            sizes: self.sizes,
        })
    }

    fn kind(&mut self, now: SimTime) -> SyncKind {
        // Whyever this one is full, nobody needs another.
        let needs_full = std::mem::take(&mut self.needs_full);
        let Some(at) = self.full_at.filter(|_| !needs_full) else {
            return SyncKind::Full;
        };
        let is_spared = self.settings.spares_large_clusters && self.sizes.any_large();
        match is_spared || now.since(at) < self.settings.full_sync_period {
            true => SyncKind::Partial,
            false => SyncKind::Full,
        }
    }

    fn finish<E>(&mut self, sync: Sync, ended: SimTime, result: Result<(), E>) -> SyncReport<E> {
        self.earliest_sync = ended + self.settings.min_sync_period;
        self.resync_at = Some(ended + self.settings.full_sync_period);
        let nothing = || Basis::empty(Arc::clone(&sync.basis.facts));
        let before = self.programmed.clone().unwrap_or_else(nothing);
        if result.is_ok() {
            self.retry_at = None;
            self.programmed = Some(sync.basis.clone());
            self.updated_at = Some(ended);
            if sync.kind == SyncKind::Full {
                self.full_at = Some(ended);
            }
        } else {
            self.retry_at = Some(ended + self.settings.sync_period);
            self.needs_full = true;
            self.pending_since = earliest(sync.pending_since, self.pending_since);
        }
        SyncReport {
            started: sync.started,
            ended,
            kind: sync.kind,
            periodic: sync.periodic,
            before,
            after: sync.basis,
            result,
        }
    }
}

impl Sync {
    fn commit<S: RuleSink>(&self, sink: &mut S) -> Result<(), S::Error> {
        let Basis { facts, view } = &self.basis;
        sink.commit(self.kind, facts, view, self.sizes)
    }
}

fn earliest(a: Option<SimTime>, b: Option<SimTime>) -> Option<SimTime> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests;
