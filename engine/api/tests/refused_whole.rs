//! Random writes, valid and invalid, against a simple reference model.
//!
//! The model knows which objects there are and who holds which virtual IP and node port, from the answers alone.
//! What is refused must leave the server exactly as it was; what is accepted must not take what somebody else
//! holds; and what the allocators think is taken must be what Services hold, which is found out by asking for every
//! address and port of small ranges.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{
    ApiConfig, ApiServer, DeleteOptions, Kind, Object, ObjectKey, Service, Status, Verb, Written,
};
use base::{Seed, SimTime};
use proptest::prelude::*;
use serde_json::{Value, json};
use switchboard_api as api;

const RANGES: [&str; 2] = ["10.96.0.0/28", "fd00::/124"];
const PORTS: std::ops::RangeInclusive<u16> = 30_000..=30_011;

/// A write.
#[derive(Clone, Debug)]
struct Request {
    verb: Write,
    object: Object,
    /// Whether the object itself is invalid, whatever there is.
    flawed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Write {
    Create,
    Replace,
    Apply,
    Status,
    Delete,
}

/// What there is, as the answers tell.
#[derive(Default)]
struct Model {
    objects: BTreeMap<ObjectKey, Object>,
    addresses: BTreeMap<IpAddr, ObjectKey>,
    node_ports: BTreeMap<(String, i32), ObjectKey>,
}

impl Model {
    /// Whether the request cannot be granted, by the little that the model knows.
    fn must_refuse(&self, request: &Request) -> bool {
        let key = request.object.key();
        let exists = self.objects.contains_key(&key);
        let version = &request.object.meta().resource_version;
        let misplaced = match request.verb {
            Write::Create => exists || !version.is_empty(),
            // PUT creates a Service.
            Write::Replace => !exists && key.kind != Kind::Service,
            Write::Apply => false,
            Write::Status | Write::Delete => !exists,
        };
        let stored = self.objects.get(&key);
        let stale = request.verb != Write::Delete
            && !version.is_empty()
            && stored.is_some_and(|stored| stored.meta().resource_version != *version);
        misplaced || stale || self.written_spec_is_bad(request)
    }

    fn written_spec_is_bad(&self, request: &Request) -> bool {
        let key = request.object.key();
        let writes_spec = matches!(request.verb, Write::Create | Write::Replace | Write::Apply);
        let namespace = key
            .namespace
            .clone()
            .map(|name| ObjectKey::new(Kind::Namespace, "", &name));
        let homeless = namespace.is_some_and(|key| !self.objects.contains_key(&key));
        let asks_for = request.object.as_service().map(|service| &service.spec);
        let taken = asks_for.is_some_and(|spec| {
            let holder = spec
                .cluster_ip
                .parse()
                .ok()
                .and_then(|ip: IpAddr| self.addresses.get(&ip));
            holder.is_some_and(|holder| *holder != key)
        });
        let on_new = !self.objects.contains_key(&key);
        writes_spec && (request.flawed || on_new && (homeless || taken))
    }

    /// Whether nothing stands in the way: it is no Service, so nothing can run out.
    fn must_grant(&self, request: &Request) -> bool {
        let plain = matches!(request.object.key().kind, Kind::CUSTOM)
            || request.object.kind_name() == "ConfigMap";
        plain && !self.must_refuse(request)
    }

    fn note(&mut self, request: &Request, written: &Written, server: &ApiServer) {
        let key = written.object.key();
        self.addresses.retain(|_, holder| *holder != key);
        self.node_ports.retain(|_, holder| *holder != key);
        match server.get(&key) {
            // A deletion may take its time.
            Some(stored) => {
                assert!(request.verb != Write::Delete || stored.meta().is_terminating());
                assert_eq!(*stored, written.object);
                self.objects.insert(key, stored.clone());
                if let Some(service) = stored.as_service() {
                    self.hold(service);
                }
            }
            None => {
                assert_eq!(request.verb, Write::Delete);
                self.objects.remove(&key);
            }
        }
    }

    /// Notes what a Service holds: nobody else may.
    fn hold(&mut self, service: &Service) {
        let key = Object::from(service.clone()).key();
        for address in service.addresses() {
            let other = self.addresses.insert(address, key.clone());
            assert_eq!(other, None, "{address} has two holders");
        }
        // An ExternalName keeps the numbers of its manifest, but holds none.
        if !matches!(
            service.spec.service_type.as_str(),
            "NodePort" | "LoadBalancer"
        ) {
            return;
        }
        let mut own = BTreeMap::new();
        for port in service.spec.ports.iter().filter(|port| port.node_port != 0) {
            own.insert((port.protocol.clone(), port.node_port), key.clone());
        }
        let health = service.spec.health_check_node_port;
        if health != 0 {
            own.insert(("TCP".to_owned(), health), key);
        }
        for (port, key) in own {
            let other = self.node_ports.insert(port.clone(), key);
            assert_eq!(other, None, "{port:?} has two holders");
        }
    }

    /// What is stored is what the answers told.
    fn compare(&self, server: &ApiServer) {
        let kinds = [
            Kind::Namespace,
            Kind::Pod,
            Kind::Service,
            Kind::EndpointSlice,
            Kind::CUSTOM,
        ];
        let config_map = Kind::of_resource("configmap");
        for kind in kinds.into_iter().chain(config_map) {
            let stored: Vec<_> = server.list(kind, None).collect();
            let known = self.objects.values();
            let known: Vec<_> = known.filter(|object| object.kind() == kind).collect();
            assert_eq!(stored, known, "{kind}");
        }
    }

    /// What the allocators take for free is what no Service holds.
    fn compare_allocators(&self, server: &ApiServer) {
        for range in RANGES {
            let range: ipnet::IpNet = range.parse().unwrap();
            for address in range.hosts().skip(usize::from(range.addr().is_ipv6())) {
                let free = !self.addresses.contains_key(&address);
                let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
                let spec = json!({"clusterIP": address.to_string(), "ipFamilies": [family], "ports": [{"port": 80}]});
                let granted = server
                    .clone()
                    .create(object("v1", "Service", "probe", &spec), NOW);
                assert_eq!(granted.is_ok(), free, "{address}: {granted:?}");
            }
        }
        let held = self.addresses.keys().filter(|held| held.is_ipv4());
        if held.count() == 14 {
            return;
        }
        for port in PORTS {
            let port = i32::from(port);
            let held = |protocol: &str| self.node_ports.contains_key(&(protocol.to_owned(), port));
            let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
            let granted = server
                .clone()
                .create(object("v1", "Service", "probe", &spec), NOW);
            // Another protocol at the same number may stand in the way or not.
            if held("TCP") || !held("UDP") {
                assert_eq!(granted.is_ok(), !held("TCP"), "{port}: {granted:?}");
            }
        }
    }
}

const NOW: SimTime = SimTime::ZERO;

fn server() -> ApiServer {
    let config = ApiConfig {
        service_cidrs: RANGES.map(|range| range.parse().unwrap()).to_vec(),
        node_port_range: PORTS,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, NOW)
}

fn object(version: &str, kind: &str, name: &str, spec: &Value) -> Object {
    let fields = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec});
    let known = Kind::of_manifest(version, kind).unwrap_or(Kind::CUSTOM);
    Object::from_fields(known, fields.as_object().unwrap().clone()).unwrap()
}

fn send(server: &mut ApiServer, request: &Request) -> Result<Written, Status> {
    let object = request.object.clone();
    match request.verb {
        Write::Create => server.create(object, NOW),
        Write::Replace => server.replace(object, NOW),
        Write::Apply => server.apply(object, NOW),
        Write::Status => server.update_status(object, NOW),
        Write::Delete => server.delete(&object.key(), &DeleteOptions::default(), NOW),
    }
}

fn step(server: &mut ApiServer, model: &mut Model, request: &Request) {
    let before = format!("{server:?}");
    let revision = server.revision();
    match send(server, request) {
        Err(status) => {
            assert!(!model.must_grant(request), "{request:?} refused: {status}");
            assert_eq!(
                format!("{server:?}"),
                before,
                "{request:?} refused: {status}"
            );
        }
        Ok(written) => {
            assert!(
                !model.must_refuse(request),
                "{request:?} granted: {written:?}"
            );
            let key = written.object.key();
            let logged = server
                .events_after(revision)
                .iter()
                .any(|event| event.object.key() == key);
            assert!(
                logged || written.verb != Verb::Created,
                "{request:?} was not logged"
            );
            model.note(request, &written, server);
        }
    }
    model.compare(server);
}

fn service() -> impl Strategy<Value = (Value, bool)> {
    let address = prop_oneof![
        4 => Just(None),
        2 => (2_u8..8).prop_map(|host| Some(format!("10.96.0.{host}"))),
        1 => (2_u8..8).prop_map(|host| Some(format!("fd00::{host}"))),
        1 => Just(Some("None".to_owned())),
        1 => Just(Some("9.9.9.9".to_owned())),
        1 => Just(Some("10.96.0.x".to_owned())),
    ];
    let ports = prop::collection::vec(
        (
            1_i32..4,
            prop_oneof![Just("TCP"), Just("UDP")],
            prop_oneof![3 => Just(0), 2 => 30_000..30_012, 1 => Just(80)],
        ),
        1..3,
    );
    let kind = prop_oneof![
        Just("ClusterIP"),
        Just("NodePort"),
        Just("LoadBalancer"),
        Just("ExternalName")
    ];
    let policy = prop_oneof![3 => Just(None), 1 => Just(Some("PreferDualStack")), 1 => Just(Some("RequireDualStack"))];
    let flaw = prop_oneof![
        5 => Just(None),
        1 => prop_oneof![Just(("port", json!(0))), Just(("protocol", json!("ICMP"))), Just(("name", json!("A_b")))].prop_map(Some),
    ];
    let traffic = prop_oneof![2 => Just(None), 1 => Just(Some("Local"))];
    (address, ports, kind, policy, flaw, traffic).prop_map(
        |(address, ports, kind, policy, flaw, traffic)| {
            let ports = ports.into_iter().enumerate().map(
                |(index, (port, protocol, node_port))| {
                    let mut entry =
                        json!({"name": format!("p{index}"), "port": port, "protocol": protocol});
                    if node_port != 0 && kind != "ClusterIP" {
                        entry["nodePort"] = node_port.into();
                    }
                    entry
                },
            );
            let mut ports: Vec<Value> = ports.collect();
            let flawed = flaw.is_some();
            if let Some((field, value)) = flaw {
                ports[0][field] = value;
            }
            let mut spec = json!({"type": kind, "ports": ports});
            for (field, value) in [
                ("clusterIP", address.as_deref()),
                ("ipFamilyPolicy", policy),
            ] {
                if let Some(value) = value {
                    spec[field] = value.into();
                }
            }
            if kind == "ExternalName" {
                spec["externalName"] = "a.example.com".into();
            }
            if kind == "LoadBalancer" {
                spec["externalTrafficPolicy"] = traffic.unwrap_or("Cluster").into();
            }
            (spec, flawed)
        },
    )
}

fn other() -> impl Strategy<Value = (&'static str, &'static str, Value, bool)> {
    prop_oneof![
        Just((
            "v1",
            "Pod",
            json!({"containers": [{"name": "c", "image": "i"}]}),
            false
        )),
        Just((
            "v1",
            "Pod",
            json!({"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 0}]}]}),
            true
        )),
        Just(("v1", "ConfigMap", json!({"x": 1}), false)),
        Just(("v1", "Namespace", json!({}), false)),
        Just((
            "gateway.networking.k8s.io/v1",
            "Gateway",
            json!({"x": [1]}),
            false
        )),
        Just((
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            json!({}),
            false
        )),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let content = prop_oneof![
        3 => service().prop_map(|(spec, flawed)| ("v1", "Service", spec, flawed)),
        1 => other(),
    ];
    let verb = prop_oneof![
        4 => Just(Write::Create),
        2 => Just(Write::Replace),
        3 => Just(Write::Apply),
        1 => Just(Write::Status),
        2 => Just(Write::Delete),
    ];
    let name = prop::sample::select(vec!["a", "b", "c", "d", "e", "f", "g", "h"]);
    let namespace = prop_oneof![6 => Just("default"), 1 => Just("a")];
    let version = prop_oneof![8 => Just(""), 1 => Just("1"), 1 => Just("7")];
    (content, verb, name, namespace, version)
        .prop_map(
            |((api_version, kind, spec, flawed), verb, name, namespace, version)| {
                let mut object = object(api_version, kind, name, &spec);
                let meta = object.meta_mut();
                meta.namespace = if kind == "Namespace" {
                    String::new()
                } else {
                    namespace.to_owned()
                };
                version.clone_into(&mut meta.resource_version);
                Request {
                    verb,
                    object,
                    flawed,
                }
            },
        )
        // What becomes of a namespace's content is another test's.
        .prop_filter("deletes no namespace", |request| {
            request.verb != Write::Delete || request.object.kind() != Kind::Namespace
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn api_65_alloc_20_whatever_is_refused_leaves_no_trace_and_nothing_is_held_twice(
        requests in prop::collection::vec(request(), 1..50),
    ) {
        let mut server = server();
        let mut model = Model::default();
        for kind in [Kind::Namespace, Kind::Service] {
            for object in server.list(kind, None) {
                model.objects.insert(object.key(), object.clone());
                if let Some(service) = object.as_service() {
                    model.hold(service);
                }
            }
        }
        for request in &requests {
            step(&mut server, &mut model, request);
        }
        model.compare_allocators(&server);
    }
}
