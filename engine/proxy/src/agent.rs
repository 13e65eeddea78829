//! One node's agent: when to sync, and what.
//!
//! A state machine over time. It is told of views as they reach its node ([`Agent::deliver`]) and run when it is
//! due ([`Agent::run`]). A sync takes the view as of its start and takes effect at its end, for `iptables-restore`
//! is atomic per table and its time is spent before the commit (PROXY-46). Events that arrive meanwhile, or
//! within the minimum period, are merged into the next sync (PROXY-65).
//!
//! Deviation: kube-proxy's periodic full resync and its retries are not simulated yet: a simulated sink does not
//! fail.

use std::sync::Arc;
use std::time::Duration;

use base::SimTime;
use rules::{ClusterView, NodeFacts};

/// Takes compiled rules, or what they are to be compiled from.
pub trait RuleSink {
    /// Makes the node's rules those of a view. Atomic: they are the old ones before and the new ones after.
    fn commit(&mut self, node: &Arc<NodeFacts>, view: &ClusterView);
}

/// How an agent times its syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// The least time from the end of one sync to the start of the next.
    pub min_sync_period: Duration,
}

/// Whether a sync writes everything or what has changed (PROXY-66).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// The first one.
    Full,
    /// Every later one.
    Partial,
}

/// A sync that has taken effect.
#[derive(Clone, Debug)]
pub struct SyncReport {
    /// When it began.
    pub started: SimTime,
    /// Full or partial.
    pub kind: SyncKind,
    /// The view that was in force before.
    pub before: ClusterView,
    /// The view that is in force now.
    pub after: ClusterView,
}

/// One node's proxy.
#[derive(Clone, Debug)]
pub struct Agent {
    facts: Arc<NodeFacts>,
    settings: AgentSettings,
    seen: Option<ClusterView>,
    programmed: Option<ClusterView>,
    dirty: bool,
    running: Option<Sync>,
    earliest_sync: SimTime,
}

#[derive(Clone, Debug)]
struct Sync {
    started: SimTime,
    ends: SimTime,
    view: ClusterView,
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
            dirty: false,
            running: None,
            earliest_sync: SimTime::ZERO,
        }
    }

    /// What the node knows about itself.
    #[must_use]
    pub const fn facts(&self) -> &Arc<NodeFacts> {
        &self.facts
    }

    /// The view that the node's rules were made from; `None` before the first sync.
    #[must_use]
    pub const fn programmed(&self) -> Option<&ClusterView> {
        self.programmed.as_ref()
    }

    /// A view has reached the node. `changed` says whether it differs from the last one in what rules are made
    /// of; the first view is the complete list (PROXY-6) and always counts.
    pub fn deliver(&mut self, view: ClusterView, changed: bool) {
        self.dirty |= changed || self.seen.is_none();
        self.seen = Some(view);
    }

    /// Takes a view as seen and programmed, without a sync: a node that has been up for a while.
    pub fn adopt(&mut self, view: ClusterView, sink: &mut dyn RuleSink) {
        sink.commit(&self.facts, &view);
        self.seen = Some(view.clone());
        self.programmed = Some(view);
        self.dirty = false;
    }

    /// When to call [`Agent::run`] next; `None` while there is nothing to do.
    #[must_use]
    pub fn next_due(&self, now: SimTime) -> Option<SimTime> {
        match &self.running {
            Some(sync) => Some(sync.ends),
            None => self.dirty.then(|| self.earliest_sync.max(now)),
        }
    }

    /// Does what is due: ends a sync by committing it, or starts one, whose duration `cost` tells.
    pub fn run(
        &mut self,
        now: SimTime,
        cost: &mut dyn FnMut(SyncKind, &ClusterView) -> Duration,
        sink: &mut dyn RuleSink,
    ) -> Option<SyncReport> {
        let ended = self.running.take_if(|sync| sync.ends <= now);
        let ended = ended.map(|sync| self.finish(sync, sink));
        if self.running.is_none() && self.dirty && self.earliest_sync <= now {
            self.start(now, cost);
        }
        ended
    }

    fn kind(&self) -> SyncKind {
        if self.programmed.is_none() {
            SyncKind::Full
        } else {
            SyncKind::Partial
        }
    }

    fn start(&mut self, now: SimTime, cost: &mut dyn FnMut(SyncKind, &ClusterView) -> Duration) {
        let view = self
            .seen
            .clone()
            .expect("only a delivered view makes it dirty");
        let ends = now + cost(self.kind(), &view);
        self.dirty = false;
        self.running = Some(Sync {
            started: now,
            ends,
            view,
        });
    }

    fn finish(&mut self, sync: Sync, sink: &mut dyn RuleSink) -> SyncReport {
        let kind = self.kind();
        sink.commit(&self.facts, &sync.view);
        self.earliest_sync = sync.ends + self.settings.min_sync_period;
        let before = self
            .programmed
            .replace(sync.view.clone())
            .unwrap_or_default();
        SyncReport {
            started: sync.started,
            kind,
            before,
            after: sync.view,
        }
    }
}

#[cfg(test)]
mod tests {
    use rules::LocalDetection;

    use super::*;

    #[derive(Default)]
    struct Log(Vec<u64>);

    impl RuleSink for Log {
        fn commit(&mut self, _: &Arc<NodeFacts>, view: &ClusterView) {
            self.0.push(view.revision);
        }
    }

    fn agent() -> Agent {
        let facts = NodeFacts {
            name: "node-a".into(),
            zone: None,
            addresses: Vec::new(),
            local_detection: LocalDetection::None,
            masquerade_all: false,
            node_port_addresses: rules::NodePortAddresses::All,
            localhost_node_ports: true,
            masquerade_mark: NodeFacts::DEFAULT_MASQUERADE_MARK,
        };
        let settings = AgentSettings {
            min_sync_period: Duration::from_secs(1),
        };
        Agent::new(Arc::new(facts), settings)
    }

    fn view(revision: u64) -> ClusterView {
        ClusterView {
            revision,
            ..ClusterView::default()
        }
    }

    fn at(millis: u64) -> SimTime {
        SimTime::from_nanos(millis * 1_000_000)
    }

    fn run(agent: &mut Agent, now: SimTime, sink: &mut Log) -> Option<SyncKind> {
        let mut cost = |_: SyncKind, _: &ClusterView| Duration::from_millis(50);
        agent.run(now, &mut cost, sink).map(|report| report.kind)
    }

    #[test]
    fn proxy_6_nothing_is_due_before_the_lists() {
        assert_eq!(agent().next_due(at(0)), None);
    }

    #[test]
    fn rules_take_effect_when_the_sync_ends() {
        let (mut agent, mut sink) = (agent(), Log::default());
        agent.deliver(view(3), true);
        assert_eq!(agent.next_due(at(5)), Some(at(5)));
        assert_eq!(run(&mut agent, at(5), &mut sink), None);
        assert_eq!(agent.next_due(at(5)), Some(at(55)));
        assert_eq!(run(&mut agent, at(55), &mut sink), Some(SyncKind::Full));
        assert_eq!(sink.0, [3]);
    }

    #[test]
    fn proxy_65_changes_within_the_period_are_merged() {
        let (mut agent, mut sink) = (agent(), Log::default());
        agent.deliver(view(1), true);
        run(&mut agent, at(0), &mut sink);
        agent.deliver(view(2), true);
        run(&mut agent, at(50), &mut sink);
        agent.deliver(view(3), true);
        assert_eq!(
            agent.next_due(at(60)),
            Some(at(1050)),
            "one second after the first sync ended"
        );
        run(&mut agent, at(1050), &mut sink);
        assert_eq!(
            run(&mut agent, at(1100), &mut sink),
            Some(SyncKind::Partial)
        );
        assert_eq!(sink.0, [1, 3]);
        assert_eq!(agent.next_due(at(1100)), None);
    }

    #[test]
    fn an_adopted_view_is_programmed_and_the_next_sync_is_partial() {
        let (mut agent, mut sink) = (agent(), Log::default());
        agent.adopt(view(4), &mut sink);
        assert_eq!((agent.next_due(at(0)), sink.0.as_slice()), (None, &[4][..]));
        agent.deliver(view(5), true);
        run(&mut agent, at(5), &mut sink);
        assert_eq!(run(&mut agent, at(55), &mut sink), Some(SyncKind::Partial));
    }

    #[test]
    fn a_view_without_a_change_is_no_reason_to_sync() {
        let (mut agent, mut sink) = (agent(), Log::default());
        agent.deliver(view(1), true);
        run(&mut agent, at(0), &mut sink);
        run(&mut agent, at(50), &mut sink);
        agent.deliver(view(2), false);
        assert_eq!(agent.next_due(at(60)), None);
    }
}
