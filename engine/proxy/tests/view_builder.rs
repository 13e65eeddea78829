//! What a proxy sees of the API: PROXY-2, PROXY-4, EP-13, EP-40.

use api::yaml::{Source, split};
use api::{ApiConfig, ApiServer, DeleteOptions, ObjectKey, decode};
use base::{Seed, SimTime};
use rules::{ClusterView, EndpointCounts};
use switchboard_proxy::ViewBuilder;

struct World {
    server: ApiServer,
    builder: ViewBuilder,
    view: ClusterView,
    seen: usize,
}

impl World {
    fn new() -> Self {
        let config = ApiConfig {
            service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
            node_port_range: 30000..=32767,
            dns_domain: "cluster.local".to_owned(),
            api_servers: Vec::new(),
            seed: Seed::new(1),
        };
        let server = ApiServer::new(config, SimTime::ZERO);
        let mut world = Self {
            server,
            builder: ViewBuilder::new(Vec::new().into()),
            view: ClusterView::default(),
            seen: 0,
        };
        world.catch_up();
        world
    }

    /// Applies manifests; tells whether anything that rules are made of has changed.
    fn apply(&mut self, manifests: &str) -> bool {
        for document in split(&Source::new("objects", manifests)).unwrap() {
            for manifest in decode(&document).unwrap() {
                self.server.apply(manifest.object, SimTime::ZERO).unwrap();
            }
        }
        self.catch_up()
    }

    fn delete(&mut self, kind: api::Kind, name: &str) -> bool {
        let key = ObjectKey::new(kind, "default", name);
        self.server
            .delete(&key, &DeleteOptions::default(), SimTime::ZERO)
            .unwrap();
        self.catch_up()
    }

    fn catch_up(&mut self) -> bool {
        let log = self.server.events_after(0);
        let changed = log[self.seen..].iter().fold(false, |changed, event| {
            let this = self.builder.observe(event);
            changed | this
        });
        self.seen = log.len();
        self.view = self.builder.view().clone();
        let mut counted_anew = self.view.clone();
        counted_anew.recount();
        assert_eq!(self.view.endpoints, counted_anew.endpoints);
        changed
    }

    fn services(&self) -> Vec<String> {
        let existing = self.view.services.existing();
        existing.map(|(name, ..)| name.to_string()).collect()
    }

    fn slices(&self) -> Vec<String> {
        let entries = self.view.services.entries();
        let slices = entries.flat_map(|(service, entry)| {
            let names = entry.slices.keys();
            names.map(move |name| format!("{service}:{name}"))
        });
        slices.collect()
    }
}

const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.40, selector: {app: web}, ports: [{name: http, port: 80}]}
";

fn slice(name: &str, service: &str, more_labels: &str) -> String {
    format!(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {service}{more_labels}}}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}, {{name: unnumbered}}]
endpoints: [{{addresses: [10.244.1.5]}}]
"
    )
}

#[test]
fn proxy_2_headless_and_foreign_services_are_not_seen() {
    let mut world = World::new();
    assert_eq!(world.services(), ["default/kubernetes"]);
    assert!(world.apply(WEB));
    let headless = WEB
        .replace("10.96.0.40", "None")
        .replace("name: web", "name: bare");
    assert!(!world.apply(&headless));
    let foreign = WEB.replace("10.96.0.40", "10.96.0.41").replace(
        "name: web",
        "name: other, labels: {service.kubernetes.io/service-proxy-name: else}",
    );
    assert!(!world.apply(&foreign));
    assert_eq!(world.services(), ["default/kubernetes", "default/web"]);
}

#[test]
fn proxy_2_slices_of_headless_and_foreign_services_are_not_seen() {
    let mut world = World::new();
    assert!(!world.apply(&slice("a", "web", ", service.kubernetes.io/headless: \"\"")));
    assert!(!world.apply(&slice(
        "b",
        "web",
        ", service.kubernetes.io/service-proxy-name: else"
    )));
    assert!(world.slices().is_empty());
}

#[test]
fn ep_40_a_slice_follows_its_label() {
    let mut world = World::new();
    assert!(world.apply(&slice("a", "web", "")));
    assert_eq!(world.slices(), ["default/web:a"]);
    assert!(world.apply(&slice("a", "shop", "")));
    assert_eq!(world.slices(), ["default/shop:a"]);
    assert!(world.delete(api::Kind::EndpointSlice, "a"));
    assert!(world.slices().is_empty());
}

#[test]
fn proxy_4_ports_without_a_number_and_ep_13_absent_conditions() {
    let mut world = World::new();
    world.apply(&slice("a", "web", ""));
    let mut entries = world.view.services.entries();
    let slice = entries
        .find_map(|(_, entry)| entry.slices.get("a"))
        .unwrap();
    assert_eq!(slice.ports.len(), 1);
    let endpoint = &slice.endpoints[0];
    assert!(endpoint.ready && endpoint.serving && !endpoint.terminating);
}

#[test]
fn proxy_45_endpoints_are_counted() {
    let mut world = World::new();
    let mut check = |step: fn(&mut World) -> bool, count| {
        assert!(step(&mut world), "a proxy looks at it");
        assert_eq!(world.view.endpoints, EndpointCounts { v4: count, v6: 0 });
    };
    check(|world| world.apply(&slice("a", "web", "")), 0);
    check(|world| world.apply(WEB), 1);
    check(|world| world.apply(&slice("b", "web", "")), 2);
    check(|world| world.apply(&slice("b", "shop", "")), 1);
    check(|world| world.apply(&slice("b", "web", "")), 2);
    check(|world| world.delete(api::Kind::Service, "web"), 0);
    check(|world| world.apply(WEB), 2);
    check(|world| world.delete(api::Kind::EndpointSlice, "a"), 1);
}

#[test]
fn what_does_not_concern_rules_changes_nothing() {
    let mut world = World::new();
    world.apply(WEB);
    let labelled = WEB.replace("name: web", "name: web, labels: {a: b}");
    assert!(!world.apply(&labelled), "a label is no reason to sync");
    assert!(!world.apply(WEB), "nor is taking it away");
    assert!(world.delete(api::Kind::Service, "web"));
}

#[test]
fn proxy_52_alloc_44_the_service_ranges_are_those_of_the_service_cidrs() {
    let mut world = World::new();
    let ranges = |world: &World| -> Vec<String> {
        let ranges = world.view.service_cidrs.iter();
        ranges.map(ToString::to_string).collect()
    };
    assert_eq!(ranges(&world), ["10.96.0.0/12"]);
    let more = "{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: [10.90.0.0/24]}}";
    assert!(world.apply(more));
    assert_eq!(ranges(&world), ["10.96.0.0/12", "10.90.0.0/24"]);
    let labelled = more.replace("name: more", "name: more, labels: {a: b}");
    assert!(!world.apply(&labelled), "its ranges are the same");
    assert!(world.delete(api::Kind::ServiceCidr, "more"));
    assert_eq!(ranges(&world), ["10.96.0.0/12"]);
}

#[test]
fn ep_16_the_first_address_of_an_endpoint_counts() {
    let mut world = World::new();
    world.apply(WEB);
    let slice = slice("web-1", "web", "").replace("[10.244.1.5]", "[10.244.1.9, 10.244.1.5]");
    assert!(world.apply(&slice));
    let entries = world.view.services.entries();
    let slices = entries.flat_map(|(_, entry)| entry.slices.values());
    let endpoints = slices.flat_map(|slice| slice.endpoints.iter());
    let addresses: Vec<String> = endpoints.map(|one| one.address.to_string()).collect();
    assert_eq!(addresses, ["10.244.1.9"]);
}
