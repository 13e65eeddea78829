//! The nodes' proxies: when they run, and what follows from what they do.

use std::sync::Arc;
use std::time::Duration;

use proxy::{Basis, StaleUdp, SyncKind, SyncReport};
use rules::ClusterView;

use super::{Control, Reader};
use crate::faults::Hindrance;
use crate::node_proxy::Turn;
use crate::{Happening, ProxyConfig, ProxyMode, ReferenceError, Source, balance, narrate};

impl Control {
    /// What the configuration file of a node's proxy says.
    ///
    /// # Errors
    /// When there is no such node; the error names those that exist.
    pub fn proxy_config(&self, node: &str) -> Result<&ProxyConfig, ReferenceError> {
        Ok(&self.proxies[self.node_index(node)?].config)
    }

    /// The mode that a node's proxy runs in: that of its last start.
    ///
    /// # Errors
    /// When there is no such node; the error names those that exist.
    pub fn proxy_mode(&self, node: &str) -> Result<ProxyMode, ReferenceError> {
        Ok(self.proxies[self.node_index(node)?].mode())
    }

    /// How long a change may take to become a node's rules: until then, old ones are no sign that its proxy is in trouble
    /// (PROXY-66). The change reaches the node, where a sync may just have begun; when that has ended, the next one waits,
    /// and takes its time. Zero where there is no such node.
    #[must_use]
    pub fn patience_with(&self, node: &str) -> Duration {
        let Ok(index) = self.node_index(node) else {
            return Duration::ZERO;
        };
        let (timing, own) = (&self.config.timing, &self.config.nodes[index]);
        let proxy = &self.proxies[index];
        let services = self.views.latest().services.count();
        let sync = timing.sync_cost;
        let sync = sync.of(proxy.mode(), SyncKind::Full, services);
        let pause = proxy.config.settings.of(proxy.mode()).min_sync_period;
        own.watch.unwrap_or(timing.watch) + sync + pause + sync
    }

    /// The node that a source is on; `None` for an outside host, and for a Pod that is bound to none.
    #[must_use]
    pub fn node_of<'a>(&'a self, source: &'a Source) -> Option<&'a str> {
        match source {
            Source::Pod(key) => {
                let namespace = key.namespace.as_deref().unwrap_or("default");
                let pod = self.api.pod(namespace, &key.name)?;
                Some(pod.spec.node_name.as_str()).filter(|node| !node.is_empty())
            }
            Source::Node(node) => Some(node),
            Source::Outside(_) => None,
        }
    }

    /// The mode of the proxy whose rules a source's packets meet: that of its node, or else the cluster's.
    #[must_use]
    pub fn proxy_mode_at(&self, source: &Source) -> ProxyMode {
        let own = self.node_of(source).map(|node| self.proxy_mode(node));
        own.and_then(Result::ok).unwrap_or(self.config.mode)
    }

    /// Writes the configuration file of a node's proxy. The proxy reads it when it starts next.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn configure_proxy(
        &mut self,
        node: &str,
        config: ProxyConfig,
    ) -> Result<(), ReferenceError> {
        let index = self.node_index(node)?;
        self.proxies[index].config = config;
        Ok(())
    }

    /// Ends the process of a node's proxy and starts it anew: it knows nothing then, and its rules are there as before.
    /// One that cannot run at present starts when it can; tells whether this one did at once.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn restart_proxy(&mut self, node: &str) -> Result<bool, ReferenceError> {
        let index = self.node_index(node)?;
        let is_alive = self.proxies[index].is_alive();
        if is_alive {
            self.start_proxy(index);
        }
        Ok(is_alive)
    }

    /// The place of a node among all.
    pub(super) fn node_index(&self, node: &str) -> Result<usize, ReferenceError> {
        let found = self.node_places.get(node).copied();
        found.ok_or_else(|| ReferenceError {
            wanted: format!("node/{node}"),
            existing: self
                .config
                .nodes
                .iter()
                .map(|node| format!("node/{}", node.name))
                .collect(),
        })
    }

    /// Lets proxies know how their Nodes were written since that place in the log; gives those whose zone is another.
    pub(super) fn label_zones(&mut self, from: usize) -> Vec<usize> {
        let mut moved = Vec::new();
        for event in &self.api.events_after(0)[from..] {
            let Some(node) = event.object.as_node() else {
                continue;
            };
            let Some(index) = self.node_places.get(&node.metadata.name).copied() else {
                continue;
            };
            if self.proxies[index].label_zone(node.zone(), event.at) {
                moved.push(index);
            }
        }
        moved
    }

    /// Every proxy takes the present view as seen and programmed, as if long ago.
    pub(super) fn adopt_views(&mut self) {
        for index in 0..self.proxies.len() {
            let proxy = &mut self.proxies[index];
            let view = self.views.latest().clone();
            let mut writer = self.book.in_mode(proxy.mode(), proxy.scheduler());
            proxy.list_zone(self.now);
            let Ok(()) = proxy.agent.adopt(view, self.now, &mut writer);
            proxy.skip_to_end(&self.views);
            let adopted = proxy.agent.programmed().expect("it has just been adopted");
            let adopted = adopted.clone();
            self.put_in_force(index, adopted);
            self.place_proxy(index);
        }
    }

    pub(super) fn run_proxy(&mut self, index: usize) {
        let now = self.now;
        let proxy = &mut self.proxies[index];
        let heard = proxy.hear(&self.views, now);
        let name = Arc::clone(&proxy.agent.facts().name);
        self.syncs.reached(&name, now, self.views.written(heard));
        if proxy.works() {
            let (cost, mode) = (self.config.timing.sync_cost, proxy.mode());
            let mut cost = |kind, view: &ClusterView| cost.of(mode, kind, view.services.count());
            let mut writer = self.book.in_mode(mode, proxy.scheduler());
            if let Some(report) = proxy.agent.run(now, &mut cost, &mut writer) {
                self.finish_sync(index, report);
            }
        }
        self.place_proxy(index);
    }

    /// A proxy is kept from its work, or not any more: its process may die or start.
    pub(super) fn hinder_proxy(&mut self, index: usize, hindrance: Hindrance) {
        match self.proxies[index].endure(hindrance, self.now) {
            Turn::Starts => self.start_proxy(index),
            Turn::Died => self.tell_of_proxy(index, "stopped".to_owned()),
            Turn::None => {}
        }
        // A machine without power has lost its rules.
        if hindrance.is_down && self.book.forget(&self.config.nodes[index].name) {
            self.put_in_force(index, self.nothing_on(index));
        }
        self.reschedule_proxy(index);
    }

    fn start_proxy(&mut self, index: usize) {
        let proxy = &mut self.proxies[index];
        proxy.start(&self.config.nodes[index], &self.config, self.now);
        let mode = proxy.mode();
        let mut what = format!("starts in mode {mode}");
        if mode.cleans_up_first() && self.clean_up(index) {
            what.push_str(", and takes away what another mode has left");
        }
        self.tell_of_proxy(index, what);
        self.reschedule_proxy(index);
    }

    /// Takes away what the modes before have left on a node; tells whether there was anything.
    fn clean_up(&mut self, index: usize) -> bool {
        let (name, mode) = (&self.config.nodes[index].name, self.proxies[index].mode());
        let cleaned = self.book.clean_up_for(name, mode);
        if cleaned && !self.book.has_rules(name) {
            self.put_in_force(index, self.nothing_on(index));
        }
        cleaned
    }

    fn finish_sync<E>(&mut self, index: usize, report: SyncReport<E>) {
        let facts = Arc::clone(&report.after.facts);
        self.syncs.synced(&facts.name, &report);
        // What the process itself had before counts: one that starts looks at all connections.
        let stale = StaleUdp::between(&report.before.view, &report.after.view);
        if let Some(stale) = stale.filter(|stale| !stale.is_empty()) {
            self.stale.push((Arc::clone(&facts.name), stale));
        }
        let before = self.put_in_force(index, report.after.clone());
        let report = SyncReport { before, ..report };
        // From time to time all is written that is there already: nothing has happened then.
        if !report.periodic {
            let mode = self.proxies[index].mode();
            self.tell_of_proxy(index, narrate::sync(&report, mode));
        }
        if !self.proxies[index].mode().cleans_up_first() {
            self.clean_up(index);
        }
    }

    /// What the rules of a node are made from that has none.
    fn nothing_on(&self, index: usize) -> Basis {
        Basis::empty(Arc::clone(self.proxies[index].agent.facts()))
    }

    /// The rules on a node are made from something else now; gives what they were made from before.
    fn put_in_force(&mut self, index: usize, basis: Basis) -> Basis {
        let proxy = &mut self.proxies[index];
        let pool = &self.config.load_balancer_pool;
        let (was, is) = (&proxy.in_force.view, &basis.view);
        let changes = balance::changes(was, is, &basis.facts, pool);
        self.balanced.extend(changes);
        std::mem::replace(&mut proxy.in_force, basis)
    }

    fn place_proxy(&mut self, index: usize) {
        self.views.place(index, self.proxies[index].position());
    }

    fn reschedule_proxy(&mut self, index: usize) {
        self.place_proxy(index);
        self.reschedule(Reader::proxy(index, self.controllers.len()));
    }

    fn tell_of_proxy(&mut self, index: usize, what: String) {
        let who = format!("{}/proxy", self.config.nodes[index].name);
        let at = self.now;
        self.happenings.push(Happening { at, who, what });
    }
}
