//! The simulated cluster as a [`World`].

use api::{Kind, Object, ObjectKey, Status, Written};
use base::SimTime;
use control::{
    ConnectRequest, Connection, Control, Happening, Host, Probe, ProbeRequest, ReferenceError,
    Resolution, ResolveRequest, World, WriteVerb,
};
use dns::RecordType;
use plane::HostId;
use serde_json::{Map, Value as Json};

use crate::app;
use crate::client::{ADDRESS_TYPES, Client, Errand};
use crate::clients::Clients;
use crate::sim::Sim;

impl World for Sim {
    fn plane(&self) -> &'static str {
        "sim"
    }

    fn now(&self) -> SimTime {
        self.control.now()
    }

    fn advance_to(&mut self, at: SimTime) {
        if at >= self.now() {
            self.run_to(at, &mut Clients::default());
        }
    }

    fn next_event_at(&self) -> Option<SimTime> {
        self.next_pending()
    }

    fn next_change_at(&self) -> Option<SimTime> {
        self.control.next_pending_at()
    }

    fn write(&mut self, verb: WriteVerb, object: Object) -> Result<Written, Status> {
        app::check(&object)?;
        let warnings = app::warnings(&object);
        let mut written = self.control.write(verb, object)?;
        written.warnings.extend(warnings);
        Ok(written)
    }

    fn patch(&mut self, key: &ObjectKey, patch: &Map<String, Json>) -> Result<Written, Status> {
        let object = self.control.api().merged(key, patch)?;
        app::check(&object)?;
        let mut written = self.control.patch(key, patch)?;
        written.warnings.extend(app::warnings(&object));
        Ok(written)
    }

    fn delete(&mut self, key: &ObjectKey) -> Result<(), Status> {
        self.control.delete(key)
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
        let mut clients = Clients::default();
        for _ in 0..request.count {
            let client = self.start_client(host, request);
            clients.push(client, &self.plane);
        }
        self.run_clients(&mut clients);
        let story = |client: Client| {
            let decisions = self
                .evidence
                .of(client.decisive_addresses(), client.refused_at());
            client.into_connection(decisions)
        };
        let connections = clients.into_inner().into_iter().map(story).collect();
        self.collect_evidence(false);
        Ok(connections)
    }

    fn resolve(&mut self, request: &ResolveRequest) -> Result<Resolution, ReferenceError> {
        let host = self.source_host(&request.from)?;
        let record_type = RecordType::parse(&request.record_type).unwrap_or(RecordType::A);
        let lookup = self.start_lookup(&request.from, host, &request.name, &[record_type]);
        let mut clients = Clients::default();
        clients.push(
            Client::resolving(&mut self.plane, None, lookup),
            &self.plane,
        );
        self.run_clients(&mut clients);
        let resolution = clients.into_inner().pop().and_then(Client::into_resolution);
        Ok(resolution.expect("the one client ran until its lookup was done"))
    }

    fn probe(&mut self, request: &ProbeRequest) -> Result<Probe, ReferenceError> {
        self.explore(request)
    }

    fn rules(&mut self, node: &str) -> Result<String, ReferenceError> {
        self.control.agent(node)?;
        Ok(self.rule_text(node))
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
    fn collect_evidence(&mut self, wanted: bool) {
        self.plane.log_decisions(wanted);
        self.evidence.clear();
    }

    fn start_client(&mut self, host: HostId, request: &ConnectRequest) -> Client {
        let errand = Errand {
            host,
            to: request.to.clone(),
            protocol: request.protocol,
            timeout: request.timeout,
            payload: request.payload.clone(),
        };
        match &request.to.host {
            Host::Address(address) => Client::dialling(&mut self.plane, &errand, *address),
            Host::Name(name) => {
                let lookup = self.start_lookup(&request.from, host, name, &ADDRESS_TYPES);
                Client::resolving(&mut self.plane, Some(errand), lookup)
            }
        }
    }
}
