//! The event loop.
//!
//! Every reader of the API (a controller, cluster DNS, a node's proxy) holds a position in its log and sees an
//! event its own latency after it was written. What is due first runs first; at one instant, the API server comes
//! before the controllers, these before DNS and DNS before the proxies, in the order of the nodes. Faults end before all
//! of them.

mod faults;
mod incidents;
mod proxies;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{
    ApiConfig, ApiServer, DeleteOptions, Kind, Object, ObjectKey, Status, WatchEvent, Written,
};
use base::SimTime;
use controllers::{Controller, Effect, PodSignal};
use dns::ClusterZone;
use proxy::{Agent, StaleUdp};
use rules::{Capabilities, Compiler, ServiceName};
use serde_json::{Map, Value as Json};

use self::incidents::Troubles;
use crate::faults::Faults;
use crate::node_proxy::NodeProxy;
use crate::rule_book::{NodeRules, RuleBook};
use crate::schedule::Schedule;
use crate::sync_log::SyncLog;
use crate::views::Views;
use crate::{
    Balanced, ClusterConfig, Happening, ReferenceError, SyncFigures, WriteVerb, bootstrap, narrate,
    roster,
};

/// The control plane of one cluster.
pub struct Control {
    config: ClusterConfig,
    now: SimTime,
    api: ApiServer,
    controllers: Vec<Informed<Box<dyn Controller>>>,
    zone: Informed<ClusterZone>,
    views: Views,
    /// One per node, in their order.
    proxies: Vec<NodeProxy>,
    /// The places of nodes in their order, by name.
    node_places: BTreeMap<String, usize>,
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
    /// The nodes that are in trouble.
    troubles: Troubles,
    faults: Faults,
    syncs: SyncLog,
}

/// A reader of the API's log.
struct Informed<T> {
    reader: T,
    /// How many events of the log it has seen.
    position: usize,
    latency: Duration,
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
        let proxies = config.nodes.iter();
        let proxies = proxies.map(|node| NodeProxy::new(node, &config)).collect();
        let names = config.nodes.iter().map(|node| node.name.clone());
        let mut control = Self {
            node_places: names.zip(0..).collect(),
            now,
            api,
            controllers: roster::controllers(&config)
                .into_iter()
                .map(informed)
                .collect(),
            zone: Informed {
                reader: bootstrap::dns_zone(&config),
                position: 0,
                latency: config.timing.dns_watch,
            },
            views: Views::new(config.service_cidrs.clone()),
            proxies,
            schedule: Schedule::default(),
            periodic: Schedule::default(),
            book: RuleBook::new(Capabilities {
                nfacct: false,
                random_fully: true,
            }),
            told: 0,
            happenings: Vec::new(),
            signals: Vec::new(),
            stale: Vec::new(),
            balanced: Vec::new(),
            troubles: Troubles::default(),
            faults: Faults::default(),
            syncs: SyncLog::default(),
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

    /// The server that kubelets write into the resolvers of Pods (`clusterDNS`).
    #[must_use]
    pub fn resolver_address(&self) -> Option<std::net::IpAddr> {
        let server = self.dns_address()?;
        Some(match self.config.node_local_dns {
            true => crate::NODE_LOCAL_DNS,
            false => server,
        })
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

    /// What is left on a node of proxies in other modes: packets meet it all.
    pub fn leftover_rules(&mut self, node: &str) -> Vec<NodeRules> {
        self.book.leftovers(node)
    }

    /// The rules that are on a node, as far as somebody has looked at them since they were written: a packet has, for one.
    pub fn compiled_rules(&self, node: &str) -> impl Iterator<Item = &NodeRules> {
        self.book.compiled(node)
    }

    /// The number of the sync that wrote a node's rules, or of their being taken away (counted over all nodes); 0 before
    /// its first. Costs nothing: compare it to know whether [`Control::rules`] and [`Control::leftover_rules`] would give
    /// something new.
    #[must_use]
    pub fn rules_number(&self, node: &str) -> u64 {
        self.book.commit_number(node)
    }

    /// How many syncs have written rules, of all nodes: while this stays, no node's rules change.
    #[must_use]
    pub const fn rules_written(&self) -> u64 {
        self.book.commits()
    }

    /// A node's agent.
    ///
    /// # Errors
    /// When there is no such node; the error names those that exist.
    pub fn agent(&self, node: &str) -> Result<&Agent, ReferenceError> {
        let index = self.node_index(node)?;
        Ok(&self.proxies[index].agent)
    }

    /// The name of a node's zone, as its label says; `no zone` where it has none, or there is no such node.
    #[must_use]
    pub fn zone_of(&self, node: &str) -> Arc<str> {
        let index = self.node_index(node).ok();
        let zone = index.and_then(|index| self.proxies[index].zone().cloned());
        zone.unwrap_or_else(|| "no zone".into())
    }

    /// Writes an object at the present instant.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    pub fn write(&mut self, verb: WriteVerb, object: Object) -> Result<Written, Status> {
        self.check_reachable()?;
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
        self.check_reachable()?;
        let written = self.api.patch(key, patch, self.now)?;
        self.wrote("api");
        Ok(written)
    }

    /// Deletes an object at the present instant, as kubectl does: gracefully.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    pub fn delete(&mut self, key: &ObjectKey) -> Result<(), Status> {
        self.delete_with(key, &DeleteOptions::default())
    }

    /// Deletes an object as these options say.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    pub fn delete_with(&mut self, key: &ObjectKey, options: &DeleteOptions) -> Result<(), Status> {
        self.check_reachable()?;
        self.api.delete(key, options, self.now)?;
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
            Reader::Proxy(index) => self.run_proxy(index),
            Reader::Faults => self.end_faults(),
        }
        self.reschedule(reader);
    }

    /// Which connections of which nodes their proxies want deleted, since this was last asked (PROXY-73).
    pub fn stale_connections(&mut self) -> Vec<(Arc<str>, StaleUdp)> {
        std::mem::take(&mut self.stale)
    }

    /// What all proxies' syncs amount to.
    #[must_use]
    pub const fn sync_figures(&self) -> &SyncFigures {
        self.syncs.figures()
    }

    /// Which nodes' proxies have synced since this was last asked, in order.
    pub fn newly_synced(&mut self) -> Vec<Arc<str>> {
        self.syncs.news()
    }

    /// When a node's rules ceased to send to an endpoint of a Service: the end of the first sync from `since` on that
    /// wrote rules without it, as far as it is among the node's last few.
    #[must_use]
    pub fn rules_dropped(
        &self,
        node: &str,
        service: &ServiceName,
        endpoint: SocketAddr,
        since: SimTime,
    ) -> Option<SimTime> {
        self.syncs.dropped_at(node, service, endpoint, since)
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
        self.label_zones(0);
        self.adopt_views();
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
        let due = earliest(informed.reader.next_due(), informed.reader.next_periodic());
        if due.is_some_and(|due| due <= now) {
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
            Effect::Signal(signal) => {
                self.signals.push((now, signal.clone()));
                return;
            }
            _ if self.faults.is_api_down() => self.check_reachable(),
            Effect::Create(object) => self.api.create(object.clone(), now).map(drop),
            Effect::Update(object) => self.api.replace(object.clone(), now).map(drop),
            Effect::UpdateStatus(object) => self.api.update_status(object.clone(), now).map(drop),
            Effect::Delete(key, options) => self.api.delete(key, options, now).map(drop),
            Effect::DeleteContent(namespace) => {
                self.api.delete_content(namespace, now);
                Ok(())
            }
            Effect::Finalize(key) => self.api.finalize(key, now).map(drop),
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
        let told = std::mem::replace(&mut self.told, log.len());
        let news_for_proxies = self.views.catch_up(log);
        let without_proxies = Reader::count(self.controllers.len(), 0);
        let awake = if news_for_proxies {
            without_proxies + self.proxies.len()
        } else {
            without_proxies
        };
        for reader in 0..awake {
            self.reschedule(reader);
        }
        for index in self.label_zones(told) {
            self.reschedule(Reader::proxy(index, self.controllers.len()));
        }
    }

    fn reschedule_all(&mut self) {
        for reader in 0..Reader::count(self.controllers.len(), self.proxies.len()) {
            self.reschedule(reader);
        }
    }

    fn reschedule(&mut self, reader: usize) {
        let log = self.api.events_after(0);
        let reader_is = Reader::of(reader, self.controllers.len());
        let (due, periodic) = match reader_is {
            Reader::Faults => (self.faults.next_end().map(|(at, _)| at), None),
            Reader::Proxy(index) => {
                let proxy = &self.proxies[index];
                let pending = proxy.next_pending(self.now);
                let due = earliest(proxy.next_news(&self.views), pending);
                (due, proxy.next_periodic())
            }
            Reader::Server | Reader::Zone if self.faults.is_api_down() => (None, None),
            Reader::Controller(index)
                if self.faults.is_api_down() && !self.controllers[index].reader.works_alone() =>
            {
                (None, None)
            }
            Reader::Server => (self.api.next_pending(), self.api.next_periodic()),
            Reader::Controller(index) => {
                let informed = &self.controllers[index];
                let due = earliest(informed.next_arrival(log), informed.reader.next_due());
                (due, informed.reader.next_periodic())
            }
            Reader::Zone => (self.zone.next_arrival(log), None),
        };
        self.periodic.set(reader, periodic);
        self.schedule.set(reader, due.map(|at| at.max(self.now)));
    }
}

/// Whom a number of the schedule stands for.
enum Reader {
    /// The faults that last for a while.
    Faults,
    /// The API server, which looks after some of its objects.
    Server,
    Controller(usize),
    Zone,
    Proxy(usize),
}

impl Reader {
    /// The number of the faults.
    const FAULTS: usize = 0;
    /// The numbers before the first controller's.
    const BEFORE_CONTROLLERS: usize = 2;

    const fn of(number: usize, controllers: usize) -> Self {
        match (number, number.checked_sub(Self::BEFORE_CONTROLLERS)) {
            (Self::FAULTS, _) => Self::Faults,
            (_, None) => Self::Server,
            (_, Some(index)) if index < controllers => Self::Controller(index),
            (_, Some(index)) if index == controllers => Self::Zone,
            (_, Some(index)) => Self::Proxy(index - controllers - 1),
        }
    }

    /// The number of a controller.
    const fn controller(index: usize) -> usize {
        Self::BEFORE_CONTROLLERS + index
    }

    /// The number of a node's proxy.
    const fn proxy(index: usize, controllers: usize) -> usize {
        Self::BEFORE_CONTROLLERS + controllers + 1 + index
    }

    const fn count(controllers: usize, proxies: usize) -> usize {
        Self::proxy(proxies, controllers)
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

fn earliest(a: Option<SimTime>, b: Option<SimTime>) -> Option<SimTime> {
    a.into_iter().chain(b).min()
}
