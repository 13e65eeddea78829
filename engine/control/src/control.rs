//! The event loop.
//!
//! Every reader of the API (a controller, cluster DNS, a node's proxy) holds a position in its log and sees an
//! event its own latency after it was written. What is due first runs first; at one instant, the API server comes
//! before the controllers, these before DNS and DNS before the proxies, in the order of the nodes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::{
    ApiConfig, ApiServer, DeleteOptions, Kind, Object, ObjectKey, Status, WatchEvent, Written,
};
use base::SimTime;
use controllers::{Controller, Effect, PodSignal};
use dns::ClusterZone;
use proxy::{Agent, AgentSettings, StaleUdp, ViewBuilder};
use rules::{Capabilities, ClusterView, Compiler, LocalDetection, NodeFacts};
use serde_json::{Map, Value as Json};

use crate::rule_book::{NodeRules, RuleBook};
use crate::schedule::Schedule;
use crate::{
    Balanced, ClusterConfig, DetectLocal, Happening, NodeConfig, ProxyMode, ReferenceError,
    WriteVerb, balance, bootstrap, narrate, roster,
};

/// The control plane of one cluster.
pub struct Control {
    config: ClusterConfig,
    now: SimTime,
    api: ApiServer,
    controllers: Vec<Informed<Box<dyn Controller>>>,
    zone: Informed<ClusterZone>,
    views: Views,
    agents: Vec<Informed<Agent>>,
    /// What is pending.
    schedule: Schedule,
    /// What is done from time to time, though nothing is pending: the proxies' full syncs, the server's repairs.
    periodic: Schedule,
    book: RuleBook,
    told: usize,
    happenings: Vec<Happening>,
    signals: Vec<(SimTime, PodSignal)>,
    stale: Vec<(Arc<str>, StaleUdp)>,
    balanced: Vec<Balanced>,
}

/// A reader of the API's log.
struct Informed<T> {
    reader: T,
    /// How many events of the log it has seen.
    position: usize,
    latency: Duration,
}

/// The compiler's view after each change of what rules are made of, shared by all agents. An agent is woken by
/// such changes only, and holds a position among them.
struct Views {
    builder: ViewBuilder,
    /// How many events of the log are in the builder.
    position: usize,
    /// The changes that some agent has yet to see, oldest first: when each was written, and the view after it.
    changes: VecDeque<(SimTime, ClusterView)>,
    /// How many changes were dropped from the front because everybody has seen them.
    dropped: usize,
}

impl Control {
    /// Builds a cluster that has been up for a while: nodes, namespaces and cluster DNS exist, every controller
    /// has done its work and every node is programmed.
    ///
    /// # Errors
    /// When the API server refuses one of the objects that the configuration calls for: a node name that is no
    /// DNS name, say, or a Service range too small for cluster DNS.
    pub fn new(config: ClusterConfig) -> Result<Self, Status> {
        let now = SimTime::ZERO;
        let api_config = ApiConfig {
            service_cidrs: config.service_cidrs.clone(),
            node_port_range: config.node_port_range.clone(),
            dns_domain: config.dns_domain.clone(),
            api_servers: Vec::new(),
            seed: config.seed,
        };
        let mut api = ApiServer::new(api_config, now);
        bootstrap::populate(&mut api, &config)?;
        let watch = config.timing.watch;
        let informed = |reader| Informed {
            reader,
            position: 0,
            latency: watch,
        };
        let agents = config.nodes.iter().map(|node| Informed {
            reader: Agent::new(Arc::new(facts_of(node, &config)), agent_settings(&config)),
            position: 0,
            latency: node.watch.unwrap_or(watch),
        });
        let mut control = Self {
            now,
            api,
            controllers: roster::controllers(&config)
                .into_iter()
                .map(informed)
                .collect(),
            zone: Informed {
                reader: ClusterZone::new(&config.dns_domain),
                position: 0,
                latency: config.timing.dns_watch,
            },
            views: Views {
                builder: ViewBuilder::new(config.service_cidrs.clone().into()),
                position: 0,
                changes: VecDeque::new(),
                dropped: 0,
            },
            agents: agents.collect(),
            schedule: Schedule::default(),
            periodic: Schedule::default(),
            book: RuleBook::new(
                config.mode,
                Capabilities {
                    nfacct: false,
                    random_fully: true,
                },
                config.proxy.scheduler,
            ),
            told: 0,
            happenings: Vec::new(),
            signals: Vec::new(),
            stale: Vec::new(),
            balanced: Vec::new(),
            config,
        };
        control.settle();
        Ok(control)
    }

    /// What the cluster was built from.
    #[must_use]
    pub const fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// The present instant.
    #[must_use]
    pub const fn now(&self) -> SimTime {
        self.now
    }

    /// The API server, to be read.
    #[must_use]
    pub const fn api(&self) -> &ApiServer {
        &self.api
    }

    /// The names as cluster DNS knows them at this instant.
    #[must_use]
    pub const fn zone(&self) -> &ClusterZone {
        &self.zone.reader
    }

    /// The address of cluster DNS, if the cluster has any.
    #[must_use]
    pub fn dns_address(&self) -> Option<std::net::IpAddr> {
        self.config
            .dns
            .then(|| bootstrap::dns_address(&self.config))
            .flatten()
    }

    /// The compiler, to resolve where rules come from.
    #[must_use]
    pub const fn compiler(&self) -> &Compiler {
        self.book.compiler()
    }

    /// A node's rules and the number of the sync that wrote them; `None` before its first sync.
    pub fn rules(&mut self, node: &str) -> Option<(u64, &NodeRules)> {
        self.book.rules(node)
    }

    /// A node's rules, if somebody has looked at them since its last sync: a packet has, for one.
    #[must_use]
    pub fn compiled_rules(&self, node: &str) -> Option<&NodeRules> {
        self.book.compiled(node)
    }

    /// The number of the sync that wrote a node's rules (counted over all nodes); 0 before its first. Costs
    /// nothing: compare it to know whether [`Control::rules`] would give something new.
    #[must_use]
    pub fn rules_number(&self, node: &str) -> u64 {
        self.book.commit_number(node)
    }

    /// A node's agent.
    ///
    /// # Errors
    /// When there is no such node; the error names those that exist.
    pub fn agent(&self, node: &str) -> Result<&Agent, ReferenceError> {
        let found = self
            .agents
            .iter()
            .find(|agent| &*agent.reader.facts().name == node);
        found
            .map(|agent| &agent.reader)
            .ok_or_else(|| ReferenceError {
                wanted: format!("node/{node}"),
                existing: self
                    .config
                    .nodes
                    .iter()
                    .map(|node| format!("node/{}", node.name))
                    .collect(),
            })
    }

    /// Writes an object at the present instant.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    pub fn write(&mut self, verb: WriteVerb, object: Object) -> Result<Written, Status> {
        let written = match verb {
            WriteVerb::Apply => self.api.apply(object, self.now),
            WriteVerb::Create => self.api.create(object, self.now),
            WriteVerb::Replace => self.api.replace(object, self.now),
        }?;
        self.wrote("api");
        Ok(written)
    }

    /// Merges a patch into one object at the present instant, as `kubectl patch --type merge` does.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    pub fn patch(&mut self, key: &ObjectKey, patch: &Map<String, Json>) -> Result<Written, Status> {
        let written = self.api.patch(key, patch, self.now)?;
        self.wrote("api");
        Ok(written)
    }

    /// Deletes an object at the present instant, as kubectl does: gracefully.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    pub fn delete(&mut self, key: &ObjectKey) -> Result<(), Status> {
        self.api.delete(key, &DeleteOptions::default(), self.now)?;
        self.wrote("api");
        Ok(())
    }

    /// All objects of a kind, by namespace and name.
    #[must_use]
    pub fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Object> {
        self.api.list(kind, namespace).cloned().collect()
    }

    /// When something is due next; `None` only if there are no nodes and the cluster is at rest.
    #[must_use]
    pub fn next_event_at(&self) -> Option<SimTime> {
        self.next_due().map(|(at, _)| at)
    }

    /// When something is due next that is not merely periodic; `None` when the cluster is at rest.
    #[must_use]
    pub fn next_pending_at(&self) -> Option<SimTime> {
        self.schedule.first().map(|(at, _)| at)
    }

    fn next_due(&self) -> Option<(SimTime, usize)> {
        let first = [self.schedule.first(), self.periodic.first()];
        first.into_iter().flatten().min()
    }

    /// Moves the clock. Nothing may be due before `at`.
    pub fn advance_clock(&mut self, at: SimTime) {
        debug_assert!(
            self.next_event_at().is_none_or(|due| due >= at),
            "events would be skipped"
        );
        self.now = self.now.max(at);
    }

    /// Runs whoever is due first.
    pub fn step(&mut self) {
        let Some((at, reader)) = self.next_due() else {
            return;
        };
        self.now = self.now.max(at);
        match Reader::of(reader, self.controllers.len()) {
            Reader::Server => self.run_server(),
            Reader::Controller(index) => self.run_controller(index),
            Reader::Zone => self.run_zone(),
            Reader::Agent(index) => self.run_agent(index),
        }
        self.reschedule(reader);
    }

    /// Which connections of which nodes their proxies want deleted, since this was last asked (PROXY-73).
    pub fn stale_connections(&mut self) -> Vec<(Arc<str>, StaleUdp)> {
        std::mem::take(&mut self.stale)
    }

    /// Which nodes begin or cease to take connections from the load balancer, since this was last asked, in order.
    pub fn balanced(&mut self) -> Vec<Balanced> {
        std::mem::take(&mut self.balanced)
    }

    /// What Pods' containers are to do, since this was last asked.
    pub fn signals(&mut self) -> Vec<(SimTime, PodSignal)> {
        std::mem::take(&mut self.signals)
    }

    /// What has happened since this was last asked.
    pub fn happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.happenings)
    }

    /// Lets everybody see and do everything at once, as if long ago.
    fn settle(&mut self) {
        let horizon = self.now + self.config.timing.endpoint_slice_batch;
        loop {
            let written = self.api.events_after(0).len();
            for index in 0..self.controllers.len() {
                let informed = &mut self.controllers[index];
                for event in &self.api.events_after(0)[informed.position..] {
                    informed.reader.observe(event, self.now);
                }
                informed.position = self.api.events_after(0).len();
                let due = informed.reader.next_due().filter(|due| *due <= horizon);
                if let Some(due) = due {
                    self.reconcile(index, due.max(self.now));
                }
            }
            if self.api.events_after(0).len() == written {
                break;
            }
        }
        let log = self.api.events_after(0);
        log.iter().for_each(|event| self.zone.reader.observe(event));
        self.zone.position = log.len();
        self.views.catch_up(log);
        let nothing = ViewBuilder::new(self.config.service_cidrs.clone().into());
        for agent in &mut self.agents {
            let view = self.views.builder.view().clone();
            let pool = &self.config.load_balancer_pool;
            let taken = balance::changes(nothing.view(), &view, agent.reader.facts(), pool);
            self.balanced.extend(taken);
            let Ok(()) = agent.reader.adopt(view, self.now, &mut self.book);
            agent.position = self.views.end();
        }
        self.views.forget(Some(self.views.end()));
        self.happenings.clear();
        self.reschedule_all();
    }

    fn run_server(&mut self) {
        self.api.run(self.now);
        self.wrote("api");
    }

    fn run_controller(&mut self, index: usize) {
        let now = self.now;
        let informed = &mut self.controllers[index];
        let log = self.api.events_after(0);
        while let Some(event) = informed.next(log, now) {
            informed.reader.observe(event, now);
        }
        if informed.reader.next_due().is_some_and(|due| due <= now) {
            self.reconcile(index, now);
        }
    }

    fn reconcile(&mut self, index: usize, at: SimTime) {
        let controller = &mut self.controllers[index].reader;
        let who = controller.name();
        for effect in controller.reconcile(at) {
            self.carry_out(index, who, &effect);
        }
    }

    fn carry_out(&mut self, index: usize, who: &str, effect: &Effect) {
        let (now, revision) = (self.now, self.api.revision());
        let result = match effect {
            Effect::Create(object) => self.api.create(object.clone(), now).map(drop),
            Effect::Update(object) => self.api.replace(object.clone(), now).map(drop),
            Effect::UpdateStatus(object) => self.api.update_status(object.clone(), now).map(drop),
            Effect::Delete(key, options) => self.api.delete(key, options, now).map(drop),
            Effect::DeleteContent(namespace) => {
                self.api.delete_content(namespace, now);
                Ok(())
            }
            Effect::Finalize(key) => self.api.finalize(key, now).map(drop),
            Effect::Signal(signal) => {
                self.signals.push((now, signal.clone()));
                return;
            }
        };
        let controller = &mut self.controllers[index].reader;
        match result {
            Err(status) => controller.refused(effect, &status, now),
            Ok(()) if self.api.revision() == revision => controller.unchanged(effect, now),
            Ok(()) => {}
        }
        self.wrote(who);
    }

    fn run_zone(&mut self) {
        let log = self.api.events_after(0);
        while let Some(event) = self.zone.next(log, self.now) {
            self.zone.reader.observe(event);
        }
    }

    fn run_agent(&mut self, index: usize) {
        let now = self.now;
        let agent = &mut self.agents[index];
        if let Some((position, view)) = self.views.arrived(agent.position, agent.latency, now) {
            agent.reader.deliver(view.clone(), true, now);
            agent.position = position;
        }
        let (cost, mode) = (self.config.timing.sync_cost, self.config.mode);
        let mut cost = |kind, view: &ClusterView| cost.of(mode, kind, view.services.len());
        if let Some(report) = agent.reader.run(now, &mut cost, &mut self.book) {
            let node = &agent.reader.facts().name;
            let stale = StaleUdp::between(&report.before, &report.after);
            if let Some(stale) = stale.filter(|stale| !stale.is_empty()) {
                self.stale.push((Arc::clone(node), stale));
            }
            let pool = &self.config.load_balancer_pool;
            let facts = agent.reader.facts();
            let changes = balance::changes(&report.before, &report.after, facts, pool);
            self.balanced.extend(changes);
            // From time to time all is written that is there already: nothing has happened then.
            if !report.periodic {
                let who = format!("{}/proxy", agent.reader.facts().name);
                let what = narrate::sync(&report, agent.reader.facts());
                self.happenings.push(Happening { at: now, who, what });
            }
        }
        self.views
            .forget(self.agents.iter().map(|agent| agent.position).min());
    }

    /// After a write: tells what it was, and lets everybody know when they will see it.
    fn wrote(&mut self, who: &str) {
        let log = self.api.events_after(0);
        for event in &log[self.told..] {
            if let Some(what) = narrate::write(event) {
                self.happenings.push(Happening {
                    at: event.at,
                    who: who.to_owned(),
                    what,
                });
            }
        }
        if self.told == log.len() {
            return;
        }
        self.told = log.len();
        let news_for_agents = self.views.catch_up(log);
        let without_agents = Reader::count(self.controllers.len(), 0);
        let awake = if news_for_agents {
            without_agents + self.agents.len()
        } else {
            without_agents
        };
        for reader in 0..awake {
            self.reschedule(reader);
        }
    }

    fn reschedule_all(&mut self) {
        for reader in 0..Reader::count(self.controllers.len(), self.agents.len()) {
            self.reschedule(reader);
        }
    }

    fn reschedule(&mut self, reader: usize) {
        let log = self.api.events_after(0);
        let due = match Reader::of(reader, self.controllers.len()) {
            Reader::Server => {
                self.periodic.set(reader, self.api.next_periodic());
                self.api.next_pending()
            }
            Reader::Controller(index) => {
                let informed = &self.controllers[index];
                earliest(informed.next_arrival(log), informed.reader.next_due())
            }
            Reader::Zone => self.zone.next_arrival(log),
            Reader::Agent(index) => {
                let informed = &self.agents[index];
                let periodic = informed.reader.next_periodic();
                self.periodic.set(reader, periodic);
                let arrival = self.views.next_arrival(informed.position, informed.latency);
                earliest(arrival, informed.reader.next_pending(self.now))
            }
        };
        self.schedule.set(reader, due.map(|at| at.max(self.now)));
    }
}

/// Whom a number of the schedule stands for.
enum Reader {
    /// The API server, which looks after some of its objects.
    Server,
    Controller(usize),
    Zone,
    Agent(usize),
}

impl Reader {
    const fn of(number: usize, controllers: usize) -> Self {
        match number.checked_sub(1) {
            None => Self::Server,
            Some(index) if index < controllers => Self::Controller(index),
            Some(index) if index == controllers => Self::Zone,
            Some(index) => Self::Agent(index - controllers - 1),
        }
    }

    const fn count(controllers: usize, agents: usize) -> usize {
        1 + controllers + 1 + agents
    }
}

impl<T> Informed<T> {
    /// When the next event that it has not seen arrives.
    fn next_arrival(&self, log: &[WatchEvent]) -> Option<SimTime> {
        log.get(self.position).map(|event| event.at + self.latency)
    }

    /// The next event, if it has arrived.
    fn next<'a>(&mut self, log: &'a [WatchEvent], now: SimTime) -> Option<&'a WatchEvent> {
        let event = log
            .get(self.position)
            .filter(|event| event.at + self.latency <= now)?;
        self.position += 1;
        Some(event)
    }
}

impl Views {
    /// Takes what was written; tells whether any of it concerns rules.
    fn catch_up(&mut self, log: &[WatchEvent]) -> bool {
        let before = self.end();
        for event in &log[self.position..] {
            if self.builder.observe(event) {
                self.changes
                    .push_back((event.at, self.builder.view().clone()));
            }
        }
        self.position = log.len();
        self.end() > before
    }

    /// The position after the last change.
    fn end(&self) -> usize {
        self.dropped + self.changes.len()
    }

    /// When the change at a position reaches a reader.
    fn next_arrival(&self, position: usize, latency: Duration) -> Option<SimTime> {
        self.changes
            .get(position - self.dropped)
            .map(|(at, _)| *at + latency)
    }

    /// The last view that has reached a reader since its position, and the position after it.
    fn arrived(
        &self,
        position: usize,
        latency: Duration,
        now: SimTime,
    ) -> Option<(usize, &ClusterView)> {
        let waiting = self.changes.range(position - self.dropped..);
        let (steps, (_, view)) = (1..)
            .zip(waiting)
            .take_while(|(_, (at, _))| *at + latency <= now)
            .last()?;
        Some((position + steps, view))
    }

    /// Forgets the changes before the least position of any reader.
    fn forget(&mut self, least: Option<usize>) {
        let seen = least.unwrap_or(self.dropped) - self.dropped;
        self.changes.drain(..seen);
        self.dropped += seen;
    }
}

fn earliest(a: Option<SimTime>, b: Option<SimTime>) -> Option<SimTime> {
    a.into_iter().chain(b).min()
}

const fn agent_settings(config: &ClusterConfig) -> AgentSettings {
    let settings = config.proxy.of(config.mode);
    AgentSettings {
        min_sync_period: settings.min_sync_period,
        sync_period: settings.sync_period,
        full_sync_period: AgentSettings::FULL_SYNC_PERIOD,
        spares_large_clusters: matches!(config.mode, ProxyMode::Iptables),
    }
}

fn facts_of(node: &NodeConfig, config: &ClusterConfig) -> NodeFacts {
    let settings = config.proxy.of(config.mode);
    NodeFacts {
        name: node.name.as_str().into(),
        zone: node.zone.as_deref().map(Arc::from),
        addresses: node.addresses.clone(),
        local_detection: local_detection(node, config),
        masquerade_all: settings.masquerade_all,
        node_port_addresses: config.proxy.node_ports_at(config.mode),
        localhost_node_ports: config.proxy.localhost_node_ports,
        masquerade_mark: 1 << settings.masquerade_bit,
    }
}

fn local_detection(node: &NodeConfig, config: &ClusterConfig) -> LocalDetection {
    match &config.proxy.detect_local {
        DetectLocal::ClusterCidr(ranges) => {
            let ranges = ranges.as_ref().unwrap_or(&config.pod_cidrs);
            LocalDetection::ClusterCidr(ranges.clone())
        }
        DetectLocal::NodeCidr => LocalDetection::NodeCidr(node.pod_cidrs.clone()),
        DetectLocal::BridgeInterface(name) => LocalDetection::BridgeInterface(name.as_str().into()),
        DetectLocal::InterfaceNamePrefix(prefix) => {
            LocalDetection::InterfaceNamePrefix(prefix.as_str().into())
        }
    }
}
