//! A proxy that runs on a real node: the agent on the clock on the wall, before a real kernel.
//!
//! **What.** [`NodeProxy`] asks a [`Watch`] what has changed, lets the [`Agent`] decide when to sync, programs the kernel,
//! deletes the UDP connections that a sync has left behind, and answers over HTTP. **Why.** Everything that decides is the
//! same as in the simulator; what is here only waits, starts programs and listens. **Source of the semantics.** PROXY-65 …
//! PROXY-71, PROXY-73, PROXY-76. When it ends, the rules stay, as kube-proxy's do (PROXY-68).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use api::{Object, WatchEvent, parse_timestamp};
use base::SimTime;
use control::ProxyMode;
use ipnet::IpNet;
use proxy::{
    Agent, AgentSettings, ChangeOf, Dialect, HealthCheck, Metrics, StaleUdp, SyncReport,
    ViewBuilder,
};
use rules::NodeFacts;
use ruleset::Family;

use crate::health_ports::{HealthPorts, PortFailure};
use crate::http_server::HttpServer;
use crate::status::{SharedStatus, Status};
use crate::{CommitError, ConntrackTools, KernelSink, LoadError, Notice, ToolError, WallClock};

/// When the change was made that a slice was last written for (EP-37).
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// How often it is looked whether whoever is to go has connections: `rsCheckDeleteInterval` (PROXY-61).
const DRAIN_PERIOD: Duration = Duration::from_secs(60);

/// Where a proxy learns of its cluster and its node.
pub trait Watch {
    /// What has changed since this was asked last; at first, all there is.
    fn poll(&mut self) -> Vec<WatchEvent>;

    /// What the node knows about itself at present.
    fn facts(&self) -> Arc<NodeFacts>;

    /// Whether load balancers may send connections to the node, for all that is known of it (PROXY-71).
    fn is_eligible(&self) -> bool;
}

/// How a proxy runs.
#[derive(Clone, Debug)]
pub struct NodeProxyConfig {
    /// The mode, which the sink is of as well.
    pub mode: ProxyMode,
    /// How syncs are timed.
    pub settings: AgentSettings,
    /// How often the watch is asked.
    pub poll_period: Duration,
    /// `healthzBindAddress`: where `/healthz` and `/livez` are answered.
    pub healthz_address: Option<SocketAddr>,
    /// `metricsBindAddress`: where `/metrics` and `/proxyMode` are answered.
    pub metrics_address: Option<SocketAddr>,
    /// The Service ranges of the cluster.
    pub service_cidrs: Arc<[IpNet]>,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// A proxy.
pub struct NodeProxy<W, T> {
    config: NodeProxyConfig,
    clock: WallClock,
    started_at: SimTime,
    watch: W,
    builder: ViewBuilder,
    agent: Agent,
    sink: KernelSink,
    conntrack: ConntrackTools,
    lacks_conntrack: bool,
    /// Why nothing was cleaned up, as far as that was told.
    told_leftover: Option<LoadError>,
    told_unencodable: bool,
    /// When the changes were made that are not programmed yet, as far as slices tell.
    triggers: Vec<SimTime>,
    status: SharedStatus,
    health_ports: HealthPorts,
    tell: T,
}

impl<W: Watch, T: FnMut(Notice)> NodeProxy<W, T> {
    /// A proxy that has not looked at anything yet. It says by `tell` what happens.
    #[must_use]
    pub fn new(
        config: NodeProxyConfig,
        watch: W,
        sink: KernelSink,
        conntrack: ConntrackTools,
        tell: T,
    ) -> Self {
        let clock = WallClock::start();
        let facts = watch.facts();
        let agent = Agent::new(Arc::clone(&facts), config.settings);
        let status = Status {
            health: agent.health(),
            node_eligible: watch.is_eligible(),
            families: families(&facts),
            metrics: Metrics::new(sink.dialect()),
            checks: Default::default(),
        };
        Self {
            clock,
            started_at: clock.now(),
            builder: ViewBuilder::new(Arc::clone(&config.service_cidrs)),
            status: SharedStatus::new(clock, config.mode, status),
            config,
            watch,
            agent,
            sink,
            conntrack,
            lacks_conntrack: false,
            told_leftover: None,
            told_unencodable: false,
            triggers: Vec::new(),
            health_ports: HealthPorts::default(),
            tell,
        }
    }

    /// Runs until `end` says so, or its other end is gone.
    ///
    /// # Errors
    /// When nobody can listen at one of the addresses; nothing has been done then.
    pub fn run(mut self, end: &Receiver<()>) -> Result<(), ListenError> {
        let _servers = self.listen()?;
        let (mut look_at, mut check_at) = (self.clock.now(), self.clock.now());
        let mut drain_at = self.clock.now() + DRAIN_PERIOD;
        loop {
            let now = self.clock.now();
            if look_at <= now {
                self.look(now);
                look_at = now + self.config.poll_period;
            }
            if check_at <= now {
                self.check();
                check_at = now + self.config.settings.sync_period;
            }
            if drain_at <= now {
                self.drain();
                drain_at = now + DRAIN_PERIOD;
            }
            self.sync();
            let now = self.clock.now();
            let due = [self.agent.next_pending(now), self.agent.next_periodic()];
            let due = due.into_iter().flatten();
            let wake = due.fold(look_at.min(check_at).min(drain_at), SimTime::min);
            if end.recv_timeout(wake.since(now)) != Err(RecvTimeoutError::Timeout) {
                return Ok(());
            }
        }
    }

    fn listen(&self) -> Result<Vec<HttpServer>, ListenError> {
        let mut servers = Vec::new();
        if let Some(address) = self.config.healthz_address {
            let status = self.status.clone();
            let server = HttpServer::start(address, move |path| status.answer_health(path));
            servers.push(server.map_err(|source| ListenError { address, source })?);
        }
        if let Some(address) = self.config.metrics_address {
            let status = self.status.clone();
            let server = HttpServer::start(address, move |path| status.answer_metrics(path));
            servers.push(server.map_err(|source| ListenError { address, source })?);
        }
        Ok(servers)
    }

    /// Asks what has changed.
    fn look(&mut self, now: SimTime) {
        let mut changed = false;
        for event in self.watch.poll() {
            if self.builder.observe(&event) {
                changed = true;
                self.note(&event, now);
            }
        }
        self.agent
            .deliver(self.builder.view().clone(), changed, now);
        let facts = self.watch.facts();
        if facts != *self.agent.facts() {
            self.agent.relearn(Arc::clone(&facts), now);
        }
        let mut status = self.status.lock();
        status.health = self.agent.health();
        status.node_eligible = self.watch.is_eligible();
        status.families = families(&facts);
    }

    fn note(&mut self, event: &WatchEvent, now: SimTime) {
        let what = match &event.object {
            Object::EndpointSlice(slice) => {
                let trigger = slice.metadata.annotations.get(TRIGGER);
                let trigger = trigger.and_then(|text| parse_timestamp(text));
                // What is older has been programmed by whoever was here before, or should have been.
                self.triggers
                    .extend(trigger.filter(|at| *at >= self.started_at));
                ChangeOf::Endpoints
            }
            _ => ChangeOf::Service,
        };
        self.status.lock().metrics.changed(what, now);
    }

    /// Looks whether the rules are still there, as often as kube-proxy does, and whether ports are free by now that were
    /// not.
    fn check(&mut self) {
        // What still fails was told when it was wanted first.
        drop(self.listen_for_checks());
        // Where it cannot be told, the next sync will tell why.
        if let Ok(false) = self.sink.is_intact() {
            (self.tell)(Notice::Flushed);
            self.agent.demand_full_sync();
        }
    }

    fn drain(&mut self) {
        if let Err(error) = self.sink.drain() {
            (self.tell)(Notice::NotDrained(error));
        }
    }

    fn sync(&mut self) {
        let clock = self.clock;
        let Some(report) = self.agent.run_now(&mut || clock.now(), &mut self.sink) else {
            return;
        };
        {
            let mut status = self.status.lock();
            status.health = self.agent.health();
            status.metrics.synced(&report);
            if self.sink.dialect() == Dialect::Iptables {
                for (table, (owned, written)) in self.sink.iptables().rule_counts() {
                    status.metrics.count_iptables_rules(table, owned, written);
                }
            }
        }
        match &report.result {
            Ok(()) => self.follow_up(&report),
            Err(error) => (self.tell)(Notice::SyncFailed {
                error: error.clone(),
                retry: self.config.settings.sync_period,
            }),
        }
    }

    /// What is done when the rules are in force.
    fn follow_up(&mut self, report: &SyncReport<CommitError>) {
        for trigger in self.triggers.drain(..) {
            let delay = report.ended.since(trigger);
            self.status.lock().metrics.programmed_within(delay);
        }
        if !report.periodic {
            (self.tell)(Notice::Synced {
                kind: report.kind,
                services: report.after.view.services.count(),
                took: report.ended.since(report.started),
            });
        }
        self.tell_of_sink();
        self.forget_stale(report);
        let checks = HealthCheck::all(&report.after.view, &report.after.facts);
        self.status.lock().checks = checks;
        for failure in self.listen_for_checks() {
            (self.tell)(Notice::HealthCheckFailed {
                service: failure.service,
                port: failure.port,
                error: failure.error,
            });
        }
    }

    /// Says once what is not as it should be although the rules are in force.
    fn tell_of_sink(&mut self) {
        let leftover = self.sink.leftover();
        if leftover != self.told_leftover.as_ref() {
            self.told_leftover = leftover.cloned();
            if let Some(error) = self.told_leftover.clone() {
                (self.tell)(Notice::NotCleanedUp(error));
            }
        }
        if let Some(unencodable) = self.sink.take_unencodable()
            && !self.told_unencodable
        {
            self.told_unencodable = true;
            (self.tell)(Notice::WrittenByText(unencodable));
        }
    }

    /// Listens at the health-check node ports of the last sync.
    fn listen_for_checks(&mut self) -> Vec<PortFailure> {
        let checks = self.status.lock().checks.clone();
        let facts = self.agent.facts();
        self.health_ports.sync(&checks, facts, &self.status)
    }

    fn forget_stale(&mut self, report: &SyncReport<CommitError>) {
        let stale = StaleUdp::between(&report.before.view, &report.after.view);
        let Some(stale) = stale.filter(|stale| !stale.is_empty()) else {
            return;
        };
        let begun = self.clock.now();
        let deleted = Family::ALL.map(|family| self.conntrack.delete_stale(&stale, family));
        let took = self.clock.now().since(begun);
        let count = deleted.iter().map(|done| done.count).sum();
        self.status.lock().metrics.reconciled_conntrack(took, count);
        for error in deleted.into_iter().filter_map(|done| done.error) {
            // What is not installed now will not be there the next time, either: that is said once.
            let is_missing = matches!(error, ToolError::NotFound { .. });
            if !(is_missing && self.lacks_conntrack) {
                (self.tell)(Notice::ConntrackFailed(error));
            }
            self.lacks_conntrack |= is_missing;
        }
    }
}

/// Of a node's addresses.
fn families(facts: &NodeFacts) -> Vec<Family> {
    let has = |family: &Family| facts.primary_address(*family).is_some();
    Family::ALL.into_iter().filter(has).collect()
}
