//! A cluster without a network: the API server and controllers that follow its log.
#![allow(dead_code, reason = "every test file uses its own part")]

pub(crate) mod recorded;

use std::sync::Arc;
use std::time::Duration;

use api::{
    ApiConfig, ApiServer, Condition, DeleteOptions, EndpointAddress, EndpointSlice, EndpointSubset,
    Endpoints, Event, Kind, Object, ObjectKey, Pod, PodIp, decode, timestamp, yaml,
};
use base::{Seed, SimTime};
use switchboard_controllers::{Controller, Effect, Incident, KubeletConfig, PodSignal};

/// How long a Pod takes to start.
pub(crate) const START: Duration = Duration::from_secs(2);

/// The kubelets of n1, n2 and n3, whose Pods are in 10.244.1.0/24 and so on.
pub(crate) fn three_kubelets() -> KubeletConfig {
    let node = |number: u8| {
        let range = format!("10.244.{number}.0/24").parse().unwrap();
        let addresses = vec![[192, 168, 1, number].into()];
        (format!("n{number}"), addresses, vec![range])
    };
    KubeletConfig {
        pod_start: START,
        nodes: (1..=3).map(node).collect(),
    }
}

pub(crate) struct Cluster {
    pub(crate) api: ApiServer,
    pub(crate) now: SimTime,
    pub(crate) signals: Vec<(SimTime, PodSignal)>,
    /// How many writes the controllers have made, Events aside.
    pub(crate) writes: usize,
    controllers: Vec<(Box<dyn Controller>, u64)>,
}

impl Cluster {
    pub(crate) fn new(controllers: Vec<Box<dyn Controller>>) -> Self {
        let config = ApiConfig {
            service_cidrs: vec![
                "10.96.0.0/16".parse().unwrap(),
                "fd00:10:96::/112".parse().unwrap(),
            ],
            node_port_range: 30_000..=32_767,
            dns_domain: "cluster.local".to_owned(),
            api_servers: Vec::new(),
            seed: Seed::new(7),
        };
        Self {
            api: ApiServer::new(config, SimTime::ZERO),
            now: SimTime::ZERO,
            signals: Vec::new(),
            writes: 0,
            controllers: controllers
                .into_iter()
                .map(|controller| (controller, 0))
                .collect(),
        }
    }

    /// Delivers up to `count` events to one controller and lets it work.
    pub(crate) fn run(&mut self, index: usize, count: usize) {
        let (controller, position) = &mut self.controllers[index];
        for event in self.api.events_after(*position).iter().take(count) {
            controller.observe(event, self.now);
            *position = event.revision;
        }
        let due = [controller.next_due(), controller.next_periodic()];
        if due
            .into_iter()
            .flatten()
            .min()
            .is_none_or(|due| due > self.now)
        {
            return;
        }
        for effect in controller.reconcile(self.now) {
            self.writes += usize::from(!is_event(&effect));
            let now = self.now;
            let revision = self.api.revision();
            let result = match effect.clone() {
                Effect::Create(object) => self.api.create(object, now).map(drop),
                Effect::Update(object) => self.api.replace(object, now).map(drop),
                Effect::UpdateStatus(object) => self.api.update_status(object, now).map(drop),
                Effect::Delete(key, options) => self.api.delete(&key, &options, now).map(drop),
                Effect::DeleteContent(namespace) => {
                    self.api.delete_content(&namespace, now);
                    Ok(())
                }
                Effect::Finalize(key) => self.api.finalize(&key, now).map(drop),
                Effect::Signal(signal) => {
                    self.signals.push((now, signal));
                    continue;
                }
            };
            match result {
                Err(status) => controller.refused(&effect, &status, now),
                Ok(()) if self.api.revision() == revision => controller.unchanged(&effect, now),
                Ok(()) => {}
            }
        }
    }

    /// Lets everybody work until nothing is left to do at this instant.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1000 {
            for index in 0..self.controllers.len() {
                self.run(index, usize::MAX);
            }
            let last = self.api.revision();
            let idle = |(controller, position): &(Box<dyn Controller>, u64)| {
                *position == last && controller.next_due().is_none_or(|due| due > self.now)
            };
            if self.controllers.iter().all(idle) {
                return;
            }
        }
        panic!("the controllers do not come to rest");
    }

    /// Lets time pass, stopping wherever a controller is due.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        self.settle();
        let next = |cluster: &Self| {
            let periodic = cluster.controllers.iter();
            let periodic = periodic.filter_map(|(controller, _)| controller.next_periodic());
            periodic.chain(cluster.next_due()).min()
        };
        while let Some(due) = next(self).filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.settle();
        }
        self.now = end;
    }

    /// Puts another controller in the place of one. It learns all that has been written before it does anything.
    pub(crate) fn restart(&mut self, index: usize, mut controller: Box<dyn Controller>) {
        for event in self.api.events_after(0) {
            controller.observe(event, self.now);
        }
        self.controllers[index] = (controller, self.api.revision());
    }

    /// Tells every controller of something that no object tells.
    pub(crate) fn happen(&mut self, incident: &Incident) {
        for (controller, _) in &mut self.controllers {
            controller.happen(incident, self.now);
        }
    }

    /// How a node fares from now on.
    pub(crate) fn set_node(&mut self, node: &str, is_up: bool, is_connected: bool) {
        let node = node.to_owned();
        self.happen(&Incident::Node {
            node,
            is_up,
            is_connected,
        });
    }

    /// Lets time pass until no controller has anything to do but what goes round and round.
    pub(crate) fn drain(&mut self) {
        self.settle();
        for _ in 0..10_000 {
            let Some(due) = self.next_due() else { return };
            self.now = due;
            self.settle();
        }
        panic!("the controllers are never done");
    }

    fn next_due(&self) -> Option<SimTime> {
        self.controllers
            .iter()
            .filter_map(|(controller, _)| controller.next_due())
            .min()
    }

    pub(crate) fn apply(&mut self, text: &str) {
        for object in objects(text) {
            self.put(object);
        }
    }

    pub(crate) fn put(&mut self, object: Object) {
        self.api.apply(object, self.now).unwrap();
    }

    pub(crate) fn delete(&mut self, kind: Kind, name: &str) {
        self.api
            .delete(
                &ObjectKey::new(kind, "default", name),
                &Default::default(),
                self.now,
            )
            .unwrap();
    }

    /// Removes a Pod at once, if there is one.
    pub(crate) fn remove_pod(&mut self, name: &str) {
        let key = ObjectKey::new(Kind::Pod, "default", name);
        let at_once = DeleteOptions {
            grace: Some(0),
            ..DeleteOptions::default()
        };
        let _ = self.api.delete(&key, &at_once, self.now);
    }

    /// A Pod that runs, with these addresses.
    pub(crate) fn pod(&mut self, name: &str, node: &str, ips: &str, ready: bool) {
        let ports = "[{name: http, containerPort: 8080}]";
        self.pod_with(name, node, ips, ready, ports);
    }

    pub(crate) fn pod_with(&mut self, name: &str, node: &str, ips: &str, ready: bool, ports: &str) {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: web}}}}, spec: {{nodeName: {node}, containers: [{{name: c, image: i, ports: {ports}}}]}}}}"
        ));
        self.report(name, "Running", ips, Some(ready));
    }

    /// Writes a Pod's status as a kubelet would.
    pub(crate) fn report(&mut self, name: &str, phase: &str, ips: &str, ready: Option<bool>) {
        let stored = self.api.list(Kind::Pod, None).filter_map(Object::as_pod);
        let mut pod = Pod::clone(
            stored
                .into_iter()
                .find(|pod| pod.metadata.name == name)
                .unwrap(),
        );
        phase.clone_into(&mut pod.status.phase);
        let ips = ips.split(',').filter(|ip| !ip.is_empty());
        pod.status.pod_ips = ips.map(|ip| PodIp { ip: ip.to_owned() }).collect();
        pod.status.pod_ip = pod
            .status
            .pod_ips
            .first()
            .map(|ip| ip.ip.clone())
            .unwrap_or_default();
        let condition = |ready| Condition {
            condition_type: "Ready".to_owned(),
            status: if ready { "True" } else { "False" }.to_owned(),
            last_transition_time: Some(timestamp(self.now)),
            ..Condition::default()
        };
        pod.status.conditions = ready.map(condition).into_iter().collect();
        self.api.update_status(pod.into(), self.now).unwrap();
    }

    pub(crate) fn slices(&self) -> Vec<EndpointSlice> {
        let slices = self
            .api
            .list(Kind::EndpointSlice, None)
            .filter_map(Object::as_endpoint_slice);
        slices.map(|slice| EndpointSlice::clone(slice)).collect()
    }

    pub(crate) fn endpoints(&self) -> Vec<Arc<Endpoints>> {
        let endpoints = self.api.list(Kind::Endpoints, None);
        endpoints
            .filter_map(Object::as_endpoints)
            .cloned()
            .collect()
    }

    /// Every subset of every Endpoints object in short.
    pub(crate) fn subsets(&self) -> Vec<String> {
        let endpoints = self.endpoints();
        let lines = endpoints.iter().flat_map(|endpoints| {
            let name = &endpoints.metadata.name;
            let none = endpoints
                .subsets
                .is_empty()
                .then(|| format!("{name} <none>"));
            let subsets = endpoints.subsets.iter();
            none.into_iter()
                .chain(subsets.map(move |subset| format!("{name} {}", short_subset(subset))))
        });
        lines.collect()
    }

    /// Every Event in short: what it is about, how often, why.
    pub(crate) fn told_events(&self) -> Vec<String> {
        let events = self
            .api
            .list(Kind::Event, None)
            .filter_map(Object::as_event);
        let short = |event: &Arc<Event>| {
            let (about, count) = (&event.involved_object, event.count.unwrap_or_default());
            let (kind, name) = (&about.kind, &about.name);
            format!("{kind}/{name} {count}x {}: {}", event.reason, event.message)
        };
        events.map(short).collect()
    }

    /// Every slice in short: family, ports, endpoints with the conditions that hold (r s t), sorted.
    pub(crate) fn told(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.slices().iter().map(short).collect();
        lines.sort();
        lines
    }
}

/// `IPv4 http:8080 | 10.0.0.1 rs, 10.0.0.2 t`
pub(crate) fn short(slice: &EndpointSlice) -> String {
    let port = |port: &api::EndpointPort| {
        format!(
            "{}:{}",
            port.name.as_deref().unwrap_or_default(),
            port.port.unwrap_or_default()
        )
    };
    let ports: Vec<String> = slice.ports.iter().map(port).collect();
    let mut endpoints: Vec<String> = slice
        .endpoints
        .iter()
        .map(|endpoint| {
            let conditions = endpoint.conditions;
            let flags = [
                (conditions.is_ready(), 'r'),
                (conditions.is_serving(), 's'),
                (conditions.is_terminating(), 't'),
            ];
            let flags: String = flags
                .iter()
                .filter(|(holds, _)| *holds)
                .map(|(_, flag)| flag)
                .collect();
            format!("{} {flags}", endpoint.addresses.join("+"))
        })
        .collect();
    endpoints.sort();
    format!(
        "{} {} | {}",
        slice.address_type,
        ports.join(","),
        endpoints.join(", ")
    )
}

/// `http:8080 | 10.0.0.1, 10.0.0.2 | 10.0.0.3`: ports, ready addresses, others.
fn short_subset(subset: &EndpointSubset) -> String {
    let port = |port: &api::EndpointsPort| format!("{}:{}", port.name, port.port);
    let ports: Vec<String> = subset.ports.iter().map(port).collect();
    let list = |addresses: &[EndpointAddress]| {
        let addresses: Vec<&str> = addresses.iter().map(|entry| entry.ip.as_str()).collect();
        addresses.join(", ")
    };
    let (ready, others) = (list(&subset.addresses), list(&subset.not_ready_addresses));
    format!("{} | {ready} | {others}", ports.join(","))
}

pub(crate) fn objects(text: &str) -> Vec<Object> {
    let documents = yaml::split(&yaml::Source::new("test.yaml", text)).unwrap();
    let manifests = documents
        .iter()
        .flat_map(|document| decode(document).unwrap());
    manifests.map(|manifest| manifest.object).collect()
}

/// Nodes n1, n2, n3 in zones a, b, c, of equal size.
pub(crate) const NODES: &str = "
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/zone: a}}, status: {allocatable: {cpu: 4}, conditions: [{type: Ready, status: 'True'}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {topology.kubernetes.io/zone: b}}, status: {allocatable: {cpu: 4}, conditions: [{type: Ready, status: 'True'}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n3, labels: {topology.kubernetes.io/zone: c}}, status: {allocatable: {cpu: 4}, conditions: [{type: Ready, status: 'True'}]}}
";

fn is_event(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Create(Object::Event(_)) | Effect::Update(Object::Event(_))
    )
}
