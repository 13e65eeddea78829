//! The legacy Endpoints of Services: EP-63 … EP-70, their side of EP-74 … EP-89, and what was recorded of a real
//! controller.

mod cluster;

use std::sync::Arc;
use std::time::Duration;

use api::{Change, DeleteOptions, Endpoints, Kind, Object, ObjectKey, Status, WatchEvent};
use base::SimTime;
use cluster::recorded::Recording;
use cluster::{Cluster, NODES};
use serde_json::Value;
use switchboard_controllers::{Controller, Effect, EndpointsController};

const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

fn controller() -> EndpointsController {
    EndpointsController::new(Duration::ZERO)
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(vec![Box::new(controller())]);
    cluster.apply(NODES);
    cluster
}

fn service(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {spec}}}")
}

const WEB: &str = "{selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}";

/// The start of section 12: Service `web` with two ready Pods.
fn start_with(spec: &str) -> Cluster {
    let mut cluster = cluster();
    cluster.apply(&service(spec));
    cluster.pod("p1", "n1", "10.244.1.5", true);
    cluster.pod("p2", "n2", "10.244.2.7", true);
    cluster.drain();
    cluster
}

fn start() -> Cluster {
    start_with(WEB)
}

fn check(cluster: &mut Cluster, expected: &[&str]) {
    cluster.drain();
    assert_eq!(cluster.subsets(), expected);
}

fn only(cluster: &Cluster) -> Arc<Endpoints> {
    let endpoints = cluster.endpoints();
    assert_eq!(endpoints.len(), 1);
    Arc::clone(&endpoints[0])
}

#[test]
fn ep_74_one_subset_with_both_pods() {
    let cluster = start();
    assert_eq!(
        cluster.subsets(),
        ["web http:8080 | 10.244.1.5, 10.244.2.7 | "]
    );
    let endpoints = only(&cluster);
    let address = &endpoints.subsets[0].addresses[0];
    assert_eq!(address.node_name.as_deref(), Some("n1"));
    let target = address.target_ref.as_ref().unwrap();
    assert_eq!((target.kind.as_str(), target.name.as_str()), ("Pod", "p1"));
    let uid = &cluster.api.pod("default", "p1").unwrap().metadata.uid;
    assert_eq!(&target.uid, uid);
    assert_eq!(endpoints.subsets[0].ports[0].protocol, "TCP");
}

/// What happens to p2 and what the Endpoints are then, with and without `publishNotReadyAddresses`.
#[test]
fn ep_64_66_75_76_83_and_89_what_becomes_of_a_pod() {
    let ready = "web http:8080 | 10.244.1.5, 10.244.2.7 | ";
    let not_ready = "web http:8080 | 10.244.1.5 | 10.244.2.7";
    let gone = "web http:8080 | 10.244.1.5 | ";
    type Fate = fn(&mut Cluster);
    let table: [(&str, Fate, &str, &str); 7] = [
        (
            "not ready",
            |cluster| cluster.report("p2", "Running", "10.244.2.7", Some(false)),
            not_ready,
            ready,
        ),
        (
            "terminating",
            |cluster| cluster.delete(Kind::Pod, "p2"),
            gone,
            ready,
        ),
        (
            "pending",
            |cluster| cluster.report("p2", "Pending", "10.244.2.7", None),
            not_ready,
            ready,
        ),
        (
            "unknown",
            |cluster| cluster.report("p2", "Unknown", "10.244.2.7", Some(true)),
            ready,
            ready,
        ),
        (
            "without address",
            |cluster| cluster.report("p2", "Running", "", Some(true)),
            gone,
            gone,
        ),
        (
            "succeeded",
            |cluster| cluster.report("p2", "Succeeded", "10.244.2.7", Some(false)),
            gone,
            gone,
        ),
        (
            "failed",
            |cluster| cluster.report("p2", "Failed", "10.244.2.7", Some(false)),
            gone,
            gone,
        ),
    ];
    let publishing = WEB.replace("{selector", "{publishNotReadyAddresses: true, selector");
    for (name, change, expected, published) in table {
        for (spec, expected) in [(WEB, expected), (publishing.as_str(), published)] {
            let mut cluster = start_with(spec);
            change(&mut cluster);
            cluster.drain();
            assert_eq!(cluster.subsets(), [expected], "{name} under {spec}");
        }
    }
}

#[test]
fn ep_65_and_77_to_81_ports_that_the_same_pods_offer_share_a_subset() {
    let mut cluster = start();
    let other = "[{name: http, containerPort: 9090}]";
    cluster.pod_with("p3", "n3", "10.244.3.9", true, other);
    let unnamed = "[{name: other, containerPort: 1}]";
    cluster.pod_with("p4", "n3", "10.244.3.4", true, unnamed);
    let metrics = "[{name: http, containerPort: 8080}, {name: metrics, containerPort: 9100}]";
    cluster.pod_with("p5", "n3", "10.244.3.5", false, metrics);
    check(
        &mut cluster,
        &[
            "web http:8080 | 10.244.1.5, 10.244.2.7 | 10.244.3.5",
            "web http:9090 | 10.244.3.9 | ",
        ],
    );
    cluster.apply(&service(&WEB.replace("name: http,", "name: web,")));
    check(
        &mut cluster,
        &[
            "web web:8080 | 10.244.1.5, 10.244.2.7 | 10.244.3.5",
            "web web:9090 | 10.244.3.9 | ",
        ],
    );
    let two = "{name: http, port: 80, targetPort: http}, {name: m, port: 91, targetPort: metrics}";
    cluster.apply(&service(&format!(
        "{{selector: {{app: web}}, ports: [{two}]}}"
    )));
    check(
        &mut cluster,
        &[
            "web http:8080 | 10.244.1.5, 10.244.2.7 | 10.244.3.5",
            "web http:9090 | 10.244.3.9 | ",
            "web m:9100 |  | 10.244.3.5",
        ],
    );
    let numbers = two
        .replace("targetPort: http", "targetPort: 1")
        .replace("metrics", "2");
    cluster.apply(&service(&format!(
        "{{selector: {{app: web}}, ports: [{numbers}]}}"
    )));
    check(
        &mut cluster,
        &["web http:1,m:2 | 10.244.1.5, 10.244.2.7, 10.244.3.4, 10.244.3.9 | 10.244.3.5"],
    );
}

/// As texts: 10.244.1.10 comes before 10.244.1.5.
#[test]
fn ep_64_addresses_are_sorted() {
    let mut cluster = start();
    cluster.pod("p0", "n1", "10.244.1.10", true);
    check(
        &mut cluster,
        &["web http:8080 | 10.244.1.10, 10.244.1.5, 10.244.2.7 | "],
    );
}

#[test]
fn ep_68_and_82_without_pods_there_are_no_subsets() {
    let mut cluster = cluster();
    cluster.apply(&service(WEB));
    check(&mut cluster, &["web <none>"]);
    cluster.pod("p1", "n1", "10.244.1.5", false);
    check(&mut cluster, &["web http:8080 |  | 10.244.1.5"]);
    cluster.remove_pod("p1");
    check(&mut cluster, &["web <none>"]);
}

#[test]
fn ep_85_and_88_labels_decide() {
    let mut cluster = start();
    let pod = Arc::clone(cluster.api.pod("default", "p2").unwrap());
    let mut moved = api::Pod::clone(&pod);
    moved
        .metadata
        .labels
        .insert("app".to_owned(), "api".to_owned());
    cluster.api.replace(moved.into(), cluster.now).unwrap();
    check(&mut cluster, &["web http:8080 | 10.244.1.5 | "]);
    let before = only(&cluster).metadata.uid.clone();
    cluster.apply(&service(&WEB.replace("app: web", "app: api")));
    check(&mut cluster, &["web http:8080 | 10.244.2.7 | "]);
    assert_eq!(only(&cluster).metadata.uid, before, "updated in place");
}

#[test]
fn ep_63_labels_and_the_first_family() {
    let dual = "ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4]";
    let mut cluster = cluster();
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, labels: {{team: a}}}}, spec: {{{dual}, selector: {{app: web}}, ports: [{{port: 80}}]}}}}"
    ));
    cluster.pod("p1", "n1", "10.244.1.5,fd00::5", true);
    cluster.pod("p2", "n2", "10.244.2.7", true);
    check(&mut cluster, &["web :80 | fd00::5 | "]);
    let labels = |cluster: &Cluster| -> Vec<String> {
        let labels = only(cluster).metadata.labels.clone();
        labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    };
    let managed = "endpoints.kubernetes.io/managed-by=endpoint-controller";
    assert_eq!(labels(&cluster), [managed, "team=a"]);
    let mut stored = api::Service::clone(cluster.api.service("default", "web").unwrap());
    stored
        .metadata
        .labels
        .insert("team".to_owned(), "b".to_owned());
    cluster.api.replace(stored.into(), cluster.now).unwrap();
    cluster.drain();
    assert_eq!(labels(&cluster), [managed, "team=b"]);
}

#[test]
fn ep_15_63_and_70_headless_services_need_no_ports() {
    let mut cluster = cluster();
    cluster.apply(&service("{clusterIP: None, selector: {app: web}}"));
    for (name, subdomain, ip) in [("p1", "web", "10.0.0.1"), ("p2", "db", "10.0.0.2")] {
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: web}}}}, spec: {{nodeName: n1, hostname: h, subdomain: {subdomain}, containers: [{{name: c, image: i}}]}}}}"
        ));
        cluster.report(name, "Running", ip, Some(true));
    }
    check(&mut cluster, &["web  | 10.0.0.1, 10.0.0.2 | "]);
    let endpoints = only(&cluster);
    let addresses = endpoints.subsets[0].addresses.iter();
    let hostnames: Vec<&str> = addresses.map(|address| address.hostname.as_str()).collect();
    assert_eq!(hostnames, ["h", ""]);
    let headless = endpoints
        .metadata
        .labels
        .get("service.kubernetes.io/headless");
    assert_eq!(headless.map(String::as_str), Some(""));
}

#[test]
fn ep_1_and_48_services_without_selector_are_left_alone() {
    let mut cluster = cluster();
    cluster.apply(&service(
        "{type: ExternalName, externalName: example.com, selector: {app: web}}",
    ));
    cluster.pod("p1", "n1", "10.244.1.5", true);
    check(&mut cluster, &[]);
    cluster.apply(&service("{ports: [{port: 80}]}").replace("name: web", "name: db"));
    check(&mut cluster, &[]);
    let mut cluster = start();
    cluster.apply(&service("{ports: [{name: http, port: 80}]}"));
    cluster.pod("p3", "n3", "10.244.3.9", true);
    check(&mut cluster, &["web http:8080 | 10.244.1.5, 10.244.2.7 | "]);
}

#[test]
fn ep_86_a_service_made_anew_has_endpoints_anew() {
    let mut cluster = start();
    let before = only(&cluster).metadata.uid.clone();
    cluster.delete(Kind::Service, "web");
    check(&mut cluster, &[]);
    cluster.apply(&service(WEB));
    check(&mut cluster, &["web http:8080 | 10.244.1.5, 10.244.2.7 | "]);
    cluster.delete(Kind::Service, "web");
    cluster.apply(&service(WEB));
    check(&mut cluster, &["web http:8080 | 10.244.1.5, 10.244.2.7 | "]);
    assert_ne!(only(&cluster).metadata.uid, before);
}

/// 1005 ready Pods and 5 that are not: as recorded of a real cluster.
#[test]
fn ep_67_a_thousand_addresses_and_no_more() {
    let mut cluster = cluster();
    cluster.apply(&service(WEB));
    let ip = |index: usize| format!("10.244.{}.{}", index / 250, index % 250 + 1);
    for index in 0..1010 {
        cluster.pod(&format!("p{index}"), "n1", &ip(index), index >= 5);
    }
    cluster.drain();
    let endpoints = only(&cluster);
    let subset = &endpoints.subsets[0];
    let counts = (subset.addresses.len(), subset.not_ready_addresses.len());
    assert_eq!(counts, (1000, 0));
    let annotation =
        |endpoints: &Endpoints| endpoints.metadata.annotations.get(OVER_CAPACITY).cloned();
    assert_eq!(annotation(&endpoints).as_deref(), Some("truncated"));
    for index in 1000..1010 {
        cluster.remove_pod(&format!("p{index}"));
    }
    cluster.drain();
    let endpoints = only(&cluster);
    let subset = &endpoints.subsets[0];
    let counts = (subset.addresses.len(), subset.not_ready_addresses.len());
    assert_eq!((counts, annotation(&endpoints)), ((995, 5), None));
}

#[test]
fn ep_26_the_trigger_is_the_change_that_the_write_is_for() {
    let trigger = |cluster: &Cluster| only(cluster).metadata.annotations.get(TRIGGER).cloned();
    let mut cluster = cluster();
    cluster.pass(Duration::from_secs(5));
    cluster.apply(&service(WEB));
    cluster.drain();
    assert_eq!(trigger(&cluster).as_deref(), Some("2026-01-01T00:00:05Z"));
    cluster.pass(Duration::from_secs(5));
    cluster.pod("p1", "n1", "10.244.1.5", true);
    cluster.drain();
    assert_eq!(trigger(&cluster).as_deref(), Some("2026-01-01T00:00:10Z"));
    cluster.remove_pod("p1");
    cluster.drain();
    assert_eq!(trigger(&cluster), None, "a deletion has no time of its own");
}

#[test]
fn nothing_is_written_for_what_makes_no_difference() {
    let mut cluster = start();
    let writes = cluster.writes;
    let mut pod = api::Pod::clone(cluster.api.pod("default", "p1").unwrap());
    pod.metadata
        .annotations
        .insert("note".to_owned(), "x".to_owned());
    cluster.api.replace(pod.into(), cluster.now).unwrap();
    cluster.apply(&service(&WEB.replace("port: 80", "port: 81")));
    cluster.drain();
    assert_eq!(cluster.writes, writes);
}

/// A real controller orders ports and subsets otherwise: what a dump of a real cluster holds is not written again.
#[test]
fn the_order_of_ports_and_subsets_makes_no_difference() {
    let ports =
        "[{name: a, port: 1}, {name: b, port: 2}, {name: http, port: 80, targetPort: http}]";
    let mut cluster = start_with(&format!("{{selector: {{app: web}}, ports: {ports}}}"));
    cluster.pod_with("p3", "n3", "10.244.3.9", true, "[]");
    let ordered = [
        "web a:1,b:2 | 10.244.1.5, 10.244.2.7, 10.244.3.9 | ",
        "web http:8080 | 10.244.1.5, 10.244.2.7 | ",
    ];
    check(&mut cluster, &ordered);
    let mut changed = Endpoints::clone(&only(&cluster));
    changed.subsets[0].ports.reverse();
    changed.subsets.reverse();
    cluster.api.replace(changed.into(), cluster.now).unwrap();
    let writes = cluster.writes;
    cluster.pass(Duration::from_secs(1));
    // The Pod has a new time of becoming ready.
    cluster.report("p3", "Running", "10.244.3.9", Some(true));
    cluster.drain();
    assert_eq!(cluster.writes, writes);
    cluster.report("p3", "Running", "10.244.3.9", Some(false));
    let left = "web a:1,b:2 | 10.244.1.5, 10.244.2.7 | 10.244.3.9";
    check(&mut cluster, &[left, ordered[1]]);
}

/// Changes of somebody else last until something happens; what is deleted comes back.
#[test]
fn endpoints_are_not_watched_over() {
    let mut cluster = start();
    let mut changed = Endpoints::clone(&only(&cluster));
    changed.subsets.clear();
    cluster.api.replace(changed.into(), cluster.now).unwrap();
    check(&mut cluster, &["web <none>"]);
    cluster.pod("p3", "n3", "10.244.3.9", false);
    let all = "web http:8080 | 10.244.1.5, 10.244.2.7 | 10.244.3.9";
    check(&mut cluster, &[all]);
    cluster.delete(Kind::Endpoints, "web");
    check(&mut cluster, &[all]);
}

/// The controller hears late that somebody has changed the Endpoints.
#[test]
fn ep_69_a_conflict_is_told_and_tried_again() {
    let mut cluster = start();
    let mut changed = Endpoints::clone(&only(&cluster));
    changed
        .metadata
        .annotations
        .insert("note".to_owned(), "x".to_owned());
    cluster.remove_pod("p2");
    cluster.api.replace(changed.into(), cluster.now).unwrap();
    // One event: the Pod is gone. The other is not delivered yet.
    cluster.run(0, 1);
    assert_eq!(
        cluster.subsets(),
        ["web http:8080 | 10.244.1.5, 10.244.2.7 | "]
    );
    check(&mut cluster, &["web http:8080 | 10.244.1.5 | "]);
    let message = "Failed to update endpoint default/web: Operation cannot be fulfilled on endpoints \"web\": the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(
        cluster.told_events(),
        [format!(
            "Endpoints/web 1x FailedToUpdateEndpoint: {message}"
        )]
    );
}

#[test]
fn ep_69_a_refused_write_is_tried_15_times() {
    let mut cluster = Cluster::new(Vec::new());
    cluster.apply(&service(WEB));
    let mut controller = controller();
    let mut now = cluster.now;
    for event in cluster.api.events_after(0) {
        controller.observe(event, now);
    }
    let status = Status::not_found(&ObjectKey::new(Kind::Namespace, "", "default"));
    let mut waits = Vec::new();
    let mut told = Vec::new();
    while let Some(due) = controller.next_due() {
        if due > now {
            waits.push(due.since(now).as_millis());
            now = due;
        }
        for effect in controller.reconcile(now) {
            match &effect {
                Effect::Create(Object::Endpoints(_)) => controller.refused(&effect, &status, now),
                Effect::Create(Object::Event(event)) | Effect::Update(Object::Event(event)) => {
                    told.push((event.reason.clone(), event.message.clone(), event.count));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let expected: Vec<u128> = (0..15).map(|failure| 5 << failure).collect();
    assert_eq!(waits, expected);
    assert_eq!(told.len(), 16);
    let message = format!(
        "Failed to create endpoint for service default/web: {}",
        status.message
    );
    let last = ("FailedToCreateEndpoint".to_owned(), message, Some(16));
    assert_eq!(told.last(), Some(&last));
}

#[test]
fn ep_69_endpoints_go_with_their_service() {
    let cluster = start();
    let mut controller = controller();
    let now = cluster.now;
    for event in cluster.api.events_after(0) {
        controller.observe(event, now);
    }
    assert_eq!(controller.reconcile(now), []);
    // The API server removes them itself; the controller does so where it has not.
    let service = Arc::clone(cluster.api.service("default", "web").unwrap());
    controller.observe(&deleted(Object::Service(service)), now);
    let key = ObjectKey::new(Kind::Endpoints, "default", "web");
    let effects = controller.reconcile(now);
    let delete = Effect::Delete(key.clone(), DeleteOptions::default());
    assert_eq!(effects, [delete]);
    controller.refused(&effects[0], &Status::not_found(&key), now);
    assert_eq!(controller.next_due(), None);
}

fn deleted(object: Object) -> WatchEvent {
    WatchEvent {
        revision: 0,
        at: SimTime::ZERO,
        change: Change::Deleted,
        object,
        previous: None,
    }
}

#[test]
fn changes_of_pods_are_collected_for_the_batch_period() {
    let controller = EndpointsController::new(Duration::from_millis(500));
    let mut cluster = Cluster::new(vec![Box::new(controller)]);
    cluster.apply(&service(WEB));
    cluster.drain();
    let writes = cluster.writes;
    cluster.pod("p1", "n1", "10.244.1.5", true);
    cluster.pass(Duration::from_millis(400));
    cluster.pod("p2", "n1", "10.244.1.6", true);
    assert_eq!(cluster.subsets(), ["web <none>"]);
    cluster.pass(Duration::from_millis(100));
    assert_eq!(
        cluster.subsets(),
        ["web http:8080 | 10.244.1.5, 10.244.1.6 | "]
    );
    assert_eq!(cluster.writes - writes, 1);
}

/// What is compared of recorded Endpoints: everything but identities, times, and the order of ports.
fn comparable(mut endpoints: Value) -> Value {
    let metadata = endpoints["metadata"].as_object_mut().unwrap();
    // When Pods come one after another, only timing decides whether the last write has a change with a time.
    for field in ["uid", "resourceVersion", "creationTimestamp", "annotations"] {
        metadata.shift_remove(field);
    }
    for subset in endpoints["subsets"].as_array_mut().into_iter().flatten() {
        for list in ["addresses", "notReadyAddresses"] {
            for address in subset
                .get_mut(list)
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                if let Some(target) = address.get_mut("targetRef").and_then(Value::as_object_mut) {
                    target.shift_remove("uid");
                }
            }
        }
        if let Some(ports) = subset.get_mut("ports").and_then(Value::as_array_mut) {
            ports.sort_by_key(ToString::to_string);
        }
    }
    if let Some(subsets) = endpoints["subsets"].as_array_mut() {
        subsets.sort_by_key(ToString::to_string);
    }
    endpoints
}

fn check_recorded(text: &str) {
    let recording = Recording::replay(text, vec![Box::new(controller())]);
    let found = recording.cluster.endpoints().into_iter();
    let found: Vec<Value> = found
        .map(|endpoints| comparable(Object::Endpoints(endpoints).to_fields().into()))
        .collect();
    let recorded: Vec<Value> = recording.endpoints.into_iter().map(comparable).collect();
    assert_eq!(found, recorded, "{}", recording.head);
}

macro_rules! recorded {
    ($($name:ident: $file:literal;)*) => {$(
        #[test]
        fn $name() {
            check_recorded(include_str!(concat!("recorded/", $file, ".yaml")));
        }
    )*};
}

recorded! {
    recorded_01: "01-basic-3-ready";
    recorded_03: "03-publish-not-ready";
    recorded_06: "06-named-port-partial";
    recorded_07: "07-named-port-protocol-mismatch";
    recorded_08: "08-two-ports-one-unresolved";
    recorded_09: "09-terminating-ready-and-not";
    recorded_17: "17-no-match";
    recorded_18: "18-multi-port";
    recorded_19: "19-phases";
    recorded_21: "21-external-name-with-selector";
    recorded_23: "23-prefer-same-node-hints";
    recorded_24: "24-prefer-close-hints";
    recorded_25: "25-service-labels-copied";
    recorded_29: "29-not-ready-never";
    recorded_31: "31-topology-mode-auto-ann";
    recorded_40: "40-dual-single-stack-v4";
    recorded_41: "41-dual-prefer";
    recorded_42: "42-dual-v6-only";
    recorded_44: "44-dual-headless-selectorless";
}
