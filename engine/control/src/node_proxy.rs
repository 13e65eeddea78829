//! One node's proxy as a process: it starts, hears of changes, works, and may be kept from each of these.
//!
//! **What.** A [`NodeProxy`] holds the agent, its place in the stream of changes, and what its configuration file says.
//! **Why.** What a process knows is lost with it, and the rules that it has written are not (PROXY-68).
//! **Source of the semantics.** PROXY-6; a proxy that starts lists everything and writes everything once. Of kube-proxy
//! 1.36 was recorded that its first sync ends 1.5 s to 2.4 s after its start, less the time of the sync itself.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base::SimTime;
use proxy::{Agent, Basis};
use rules::NodeFacts;
use ruleset::ipvs::Scheduler;

use crate::faults::Hindrance;
use crate::own_zone::OwnZone;
use crate::views::Views;
use crate::{ClusterConfig, NodeConfig, ProxyConfig, ProxyMode};

/// From a process's start to its having listed what it watches.
pub(crate) const START: Duration = Duration::from_millis(1_700);

/// The proxy of one node.
pub(crate) struct NodeProxy {
    pub(crate) agent: Agent,
    /// What the rules on the node are made from, whichever process has written them.
    pub(crate) in_force: Basis,
    zone: OwnZone,
    /// What its configuration file says.
    pub(crate) config: ProxyConfig,
    /// The mode that the process was started in.
    mode: ProxyMode,
    /// The scheduler that it was started with.
    scheduler: Scheduler,
    process: Process,
    hindrance: Hindrance,
    latency: Duration,
    /// How many changes of the views it has seen.
    position: usize,
    /// When the first news can arrive since it reaches the API server again.
    hears_from: SimTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    /// It does not run.
    Dead,
    /// It runs, and will have listed everything at this instant.
    Starting(SimTime),
    /// It watches.
    Running,
}

/// What becomes of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It runs, or not, as before.
    None,
    /// It has died.
    Died,
    /// It starts.
    Starts,
}

impl NodeProxy {
    /// That of a node that has been up for a while.
    pub(crate) fn new(node: &NodeConfig, cluster: &ClusterConfig) -> Self {
        let config = ProxyConfig::of(node, cluster);
        let agent = agent(&config, node, None, cluster);
        Self {
            in_force: Basis::empty(Arc::clone(agent.facts())),
            agent,
            zone: OwnZone::default(),
            mode: config.mode,
            scheduler: config.settings.scheduler,
            config,
            process: Process::Running,
            hindrance: Hindrance::default(),
            latency: node.watch.unwrap_or(cluster.timing.watch),
            position: 0,
            hears_from: SimTime::ZERO,
        }
    }

    /// The mode of the process, or of the last one.
    pub(crate) const fn mode(&self) -> ProxyMode {
        self.mode
    }

    /// What its virtual servers have, in mode ipvs.
    pub(crate) const fn scheduler(&self) -> Scheduler {
        self.scheduler
    }

    /// Whether the process runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.process != Process::Dead
    }

    /// The position before which it needs no change any more: one that will list everything needs none at all.
    pub(crate) fn position(&self) -> Option<usize> {
        (self.process == Process::Running).then_some(self.position)
    }

    /// Takes everything as seen.
    pub(crate) fn skip_to_end(&mut self, views: &Views) {
        self.position = views.end();
    }

    /// The zone of its node as the label says, whether it has heard of that or not.
    pub(crate) fn zone(&self) -> Option<&Arc<str>> {
        self.zone.written().as_ref()
    }

    /// Its Node was written; tells whether there is something to hear.
    pub(crate) fn label_zone(&mut self, zone: Option<&str>, at: SimTime) -> bool {
        self.zone.write(zone, at)
    }

    /// Takes its node's zone from the label, as if it had known it since it was started.
    pub(crate) fn list_zone(&mut self, now: SimTime) {
        self.zone.list();
        self.relearn_zone(now);
    }

    fn relearn_zone(&mut self, now: SimTime) {
        let facts = self.agent.facts();
        if facts.zone != *self.zone.known() {
            let facts = NodeFacts {
                zone: self.zone.known().clone(),
                ..NodeFacts::clone(facts)
            };
            self.agent.relearn(Arc::new(facts), now);
        }
    }

    /// Starts the process, with what its configuration file says.
    pub(crate) fn start(&mut self, node: &NodeConfig, cluster: &ClusterConfig, now: SimTime) {
        let zone = self.zone.known().clone();
        self.agent = agent(&self.config, node, zone, cluster);
        self.mode = self.config.mode;
        self.scheduler = self.config.settings.scheduler;
        self.process = Process::Starting(now + START);
    }

    /// From now on this keeps it from its work. Who is told that it starts has to start it.
    pub(crate) fn endure(&mut self, hindrance: Hindrance, now: SimTime) -> Turn {
        let before = std::mem::replace(&mut self.hindrance, hindrance);
        if before.is_cut_off && !hindrance.is_cut_off {
            self.hears_from = now + self.latency();
        }
        if hindrance.is_stalled && !before.is_stalled {
            self.agent.interrupt();
        }
        match (before.kills(), hindrance.kills()) {
            (false, true) => {
                self.process = Process::Dead;
                Turn::Died
            }
            (true, false) => Turn::Starts,
            _ => Turn::None,
        }
    }

    /// When news reaches it next.
    pub(crate) fn next_news(&self, views: &Views) -> Option<SimTime> {
        let at = match self.process {
            _ if self.hindrance.is_cut_off => None,
            Process::Dead => None,
            Process::Starting(listed) => Some(listed),
            Process::Running => {
                let change = views.next_arrival(self.position, self.latency());
                let zone = self.zone.next_arrival(self.latency());
                change.into_iter().chain(zone).min()
            }
        };
        at.map(|at| at.max(self.hears_from))
    }

    /// Takes the news that have reached it, and tells which changes these are. To whom everything is listed, no change
    /// is news.
    pub(crate) fn hear(&mut self, views: &Views, now: SimTime) -> Range<usize> {
        let before = self.position;
        if self.next_news(views).is_none_or(|at| at > now) {
            return before..before;
        }
        if self.process != Process::Running {
            self.process = Process::Running;
            self.position = views.end();
            self.list_zone(now);
            self.agent.deliver(views.latest().clone(), true, now);
            return self.position..self.position;
        }
        if self.zone.hear(self.latency(), now) {
            self.relearn_zone(now);
        }
        if let Some((position, view)) = views.arrived(before, self.latency(), now) {
            self.agent.deliver(view.clone(), true, now);
            self.position = position;
        }
        before..self.position
    }

    /// Whether it may sync.
    pub(crate) fn works(&self) -> bool {
        self.process == Process::Running && !self.hindrance.is_stalled
    }

    /// When its agent is due for what is pending.
    pub(crate) fn next_pending(&self, now: SimTime) -> Option<SimTime> {
        self.works().then(|| self.agent.next_pending(now)).flatten()
    }

    /// When its agent is due if nothing happens.
    pub(crate) fn next_periodic(&self) -> Option<SimTime> {
        self.works().then(|| self.agent.next_periodic()).flatten()
    }

    fn latency(&self) -> Duration {
        self.latency.saturating_add(self.hindrance.delay)
    }
}

impl Hindrance {
    /// Whether a proxy cannot run at all.
    const fn kills(self) -> bool {
        self.is_down || self.is_crashed
    }
}

fn agent(
    config: &ProxyConfig,
    node: &NodeConfig,
    zone: Option<Arc<str>>,
    cluster: &ClusterConfig,
) -> Agent {
    let facts = Arc::new(config.facts(node, zone, cluster));
    Agent::new(facts, config.agent_settings())
}
