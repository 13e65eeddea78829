//! The simulated cluster as a [`World`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{DeleteOptions, Kind, Object, ObjectKey, Status, Written};
use base::SimTime;
use control::{
    ConnectRequest, Connection, Control, Fault, FaultId, Happening, Host, NodeRules, Outcome,
    Probe, ProbeRequest, ProxyConfig, ReferenceError, Resolution, ResolveRequest, Source,
    TrafficReport, TrafficRequest, World, WorldFigures, WriteVerb,
};
use dns::{RecordType, Transport};
use plane::HostId;
use ruleset::Protocol;
use serde_json::{Map, Value as Json};

use crate::app;
use crate::client::{ADDRESS_TYPES, Client, Errand};
use crate::clients::Asker;
use crate::resolver::Wanted;
use crate::sim::Sim;
use crate::trace::TraceError;

impl World for Sim {
    fn plane(&self) -> &'static str {
        "sim"
    }

    fn now(&self) -> SimTime {
        self.control.now()
    }

    fn advance_to(&mut self, at: SimTime) {
        if at >= self.now() {
            self.run_to(at);
        }
    }

    fn next_event_at(&self) -> Option<SimTime> {
        self.next_pending()
    }

    fn next_change_at(&self) -> Option<SimTime> {
        self.control.next_pending_at()
    }

    fn write(&mut self, verb: WriteVerb, object: Object) -> Result<Written, Status> {
        app::check(&object, &self.control.config().dns_domain)?;
        let warnings = app::warnings(&object);
        let mut written = self.control.write(verb, object)?;
        written.warnings.extend(warnings);
        Ok(written)
    }

    fn patch(&mut self, key: &ObjectKey, patch: &Map<String, Json>) -> Result<Written, Status> {
        self.control.check_reachable()?;
        let object = self.control.api().merged(key, patch)?;
        app::check(&object, &self.control.config().dns_domain)?;
        let mut written = self.control.patch(key, patch)?;
        written.warnings.extend(app::warnings(&object));
        Ok(written)
    }

    fn delete_with(&mut self, key: &ObjectKey, options: &DeleteOptions) -> Result<(), Status> {
        self.control.delete_with(key, options)
    }

    fn get(&self, key: &ObjectKey) -> Result<Object, Status> {
        let found = self.control.api().get(key);
        found.cloned().ok_or_else(|| Status::not_found(key))
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Object> {
        self.control.list(kind, namespace)
    }

    fn connect(&mut self, request: &ConnectRequest) -> Result<Vec<Connection>, ReferenceError> {
        let host = self.source_host(&request.from)?;
        self.collect_evidence(true);
        let errand = Self::errand(host, request, false);
        let mut clients = Vec::new();
        for _ in 0..request.count {
            let client = self.start_client(&request.from, &errand);
            clients.push(self.clients.push(client, Asker::Step, &self.plane));
        }
        self.run_clients();
        let mut connections = Vec::new();
        for client in clients.into_iter().filter_map(|id| self.clients.remove(id)) {
            let sources = client.decisive_addresses();
            let decisions = self.evidence.of(sources, client.refused_at());
            connections.push(client.connection(decisions));
        }
        self.collect_evidence(false);
        Ok(connections)
    }

    fn open(&mut self, id: &str, request: &ConnectRequest) -> Result<Connection, ReferenceError> {
        self.open_held(id, request)
    }

    fn send(
        &mut self,
        id: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Connection, ReferenceError> {
        self.send_held(id, payload, timeout)
    }

    fn close(&mut self, id: &str) -> Result<Option<Outcome>, ReferenceError> {
        self.close_held(id)
    }

    fn start_traffic(&mut self, request: &TrafficRequest) -> Result<(), ReferenceError> {
        self.begin_traffic(request)
    }

    fn stop_traffic(&mut self, id: &str) -> Result<TrafficReport, ReferenceError> {
        self.end_traffic(id)
    }

    fn figures(&self) -> WorldFigures {
        let rules = self.nodes.keys().filter_map(|node| {
            let counts = self.control.compiled_rules(node);
            let count = counts.map(NodeRules::count).reduce(|a, b| a + b)?;
            Some((node.clone(), count))
        });
        WorldFigures {
            syncs: self.control.sync_figures().clone(),
            rules: rules.collect(),
            dns_cache: (self.control.config().node_local_dns).then_some(self.caches.figures),
        }
    }

    fn resolve(&mut self, request: &ResolveRequest) -> Result<Resolution, ReferenceError> {
        let host = self.source_host(&request.from)?;
        let lookup = self.start_query(&request.from, host, &wanted(request));
        let client = Client::resolving(&mut self.plane, None, lookup);
        let client = self.clients.push(client, Asker::Step, &self.plane);
        self.run_clients();
        let client = self.clients.remove(client);
        let resolution = client.and_then(|client| client.resolution().cloned());
        Ok(resolution.expect("the one client ran until its lookup was done"))
    }

    fn address_of(&self, from: &Source, name: &str) -> Result<IpAddr, String> {
        let found = self
            .source_host(from)
            .map_err(TraceError::from)
            .and_then(|_| self.look_up(from, name, &mut Vec::new()));
        found.map_err(|error| error.to_string())
    }

    fn probe(&mut self, request: &ProbeRequest) -> Result<Probe, ReferenceError> {
        self.explore(request)
    }

    fn rules(&mut self, node: &str) -> Result<String, ReferenceError> {
        self.control.agent(node)?;
        Ok(self.rule_text(node))
    }

    fn fault(&mut self, fault: Fault, lasts: Option<Duration>) -> Result<FaultId, ReferenceError> {
        let id = self.control.fault(fault, lasts)?;
        self.obey_signals();
        Ok(id)
    }

    fn heal(&mut self, fault: FaultId) -> Option<Fault> {
        let healed = self.control.heal(fault);
        self.obey_signals();
        healed
    }

    fn check_reachable(&self) -> Result<(), Status> {
        self.control.check_reachable()
    }

    fn proxy_config(&self, node: &str) -> Result<ProxyConfig, ReferenceError> {
        self.control.proxy_config(node).cloned()
    }

    fn configure_proxy(&mut self, node: &str, config: ProxyConfig) -> Result<(), ReferenceError> {
        self.control.configure_proxy(node, config)
    }

    fn restart_proxy(&mut self, node: &str) -> Result<bool, ReferenceError> {
        let started = self.control.restart_proxy(node)?;
        self.obey_signals();
        Ok(started)
    }

    fn happenings(&mut self) -> Vec<Happening> {
        self.control.happenings()
    }

    fn control(&self) -> Option<&Control> {
        Some(&self.control)
    }
}

impl Sim {
    /// Decisions are logged while somebody wants to know; what was collected before is forgotten.
    pub(crate) fn collect_evidence(&mut self, wanted: bool) {
        self.plane.log_decisions(wanted);
        self.evidence.clear();
    }

    /// What a request has its clients do.
    pub(crate) fn errand(host: HostId, request: &ConnectRequest, keeps: bool) -> Arc<Errand> {
        Arc::new(Errand {
            host,
            to: request.to.clone(),
            protocol: request.protocol,
            timeout: request.timeout,
            payload: request.payload.clone(),
            keeps,
        })
    }

    /// A client sets out.
    pub(crate) fn start_client(&mut self, from: &Source, errand: &Arc<Errand>) -> Client {
        match &errand.to.host {
            Host::Address(address) => Client::dialling(&mut self.plane, errand, *address),
            Host::Name(name) => {
                let lookup = self.start_lookup(from, errand.host, name, &ADDRESS_TYPES);
                Client::resolving(&mut self.plane, Some(Arc::clone(errand)), lookup)
            }
        }
    }
}

/// What a request asks for. The name of an address is asked for by the address's own name (RFC 1035 section 3.5).
fn wanted(request: &ResolveRequest) -> Wanted {
    let types: Vec<RecordType> = request
        .record_types
        .iter()
        .filter_map(|name| RecordType::parse(name))
        .collect();
    let address = match types.as_slice() {
        [RecordType::PTR] => request.name.parse().ok(),
        _ => None,
    };
    Wanted {
        name: address.map_or_else(
            || request.name.clone(),
            |address| format!("{}.", dns::reverse_name(address)),
        ),
        types,
        transport: match request.protocol {
            Protocol::TCP => Transport::Tcp,
            _ => Transport::Udp,
        },
    }
}
