//! Endpoints that somebody writes, as slices: EP-44 … EP-48.

mod cluster;

use std::time::Duration;

use api::{
    Change, EndpointAddress, EndpointSlice, EndpointSubset, Endpoints, EndpointsPort, Kind, Object,
    ObjectKey, ObjectMeta, Status, WatchEvent,
};
use base::{Seed, SimTime};
use cluster::{Cluster, NODES, objects};
use switchboard_controllers::{
    Controller, Effect, EndpointSliceController, EndpointSliceMirroringController,
    EndpointsController,
};

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{name: sql, port: 5432}]}}";

const SUBSETS: &str = "[{addresses: [{ip: 192.0.2.10}, {ip: 'fd00::10'}], notReadyAddresses: [{ip: 192.0.2.11}], ports: [{name: sql, port: 5432}]}]";

fn controller() -> EndpointSliceMirroringController {
    EndpointSliceMirroringController::new(Seed::new(7))
}

fn cluster() -> Cluster {
    Cluster::new(vec![Box::new(controller())])
}

fn endpoints(metadata: &str, subsets: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Endpoints, metadata: {{name: db{metadata}}}, subsets: {subsets}}}"
    )
}

/// Service `db` without a selector, and Endpoints that somebody has written.
fn start() -> Cluster {
    let mut cluster = cluster();
    cluster.apply(SERVICE);
    cluster.apply(&endpoints("", SUBSETS));
    cluster.drain();
    cluster
}

fn check(cluster: &mut Cluster, expected: &[&str]) {
    cluster.drain();
    assert_eq!(cluster.told(), expected);
}

const MIRRORED: [&str; 2] = [
    "IPv4 sql:5432 | 192.0.2.10 rs, 192.0.2.11 s",
    "IPv6 sql:5432 | fd00::10 rs",
];

#[test]
fn ep_45_and_47_slices_of_each_family_with_everything_in_them() {
    let mut cluster = cluster();
    cluster.apply(SERVICE);
    let address = "{ip: 192.0.2.10, hostname: a, nodeName: n1, targetRef: {kind: Pod, name: p1, namespace: default}}";
    let subsets = format!(
        "[{{addresses: [{address}], ports: [{{name: sql, port: 5432, appProtocol: example.com/x}}]}}]"
    );
    let metadata = ", labels: {team: a}, annotations: {note: x, endpoints.kubernetes.io/last-change-trigger-time: '2026-01-01T00:00:00Z'}";
    cluster.apply(&endpoints(metadata, &subsets));
    check(&mut cluster, &["IPv4 sql:5432 | 192.0.2.10 rs"]);
    let slice = cluster.slices().remove(0);
    let meta = &slice.metadata;
    assert!(meta.name.starts_with("db-") && meta.name.len() == 8);
    let pairs = |map: &api::StringMap| -> Vec<String> {
        map.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    };
    let managed = format!("{MANAGED_BY}={MIRRORING}");
    assert_eq!(
        pairs(&meta.labels),
        [managed.as_str(), "kubernetes.io/service-name=db", "team=a"]
    );
    assert_eq!(pairs(&meta.annotations), ["note=x"]);
    let key = ObjectKey::new(Kind::Endpoints, "default", "db");
    let owner = &meta.owner_references[0];
    assert_eq!(
        (owner.kind.as_str(), owner.controller),
        ("Endpoints", Some(true))
    );
    assert_eq!(owner.uid, cluster.api.get(&key).unwrap().meta().uid);
    let endpoint = &slice.endpoints[0];
    assert_eq!(endpoint.hostname.as_deref(), Some("a"));
    assert_eq!(endpoint.node_name.as_deref(), Some("n1"));
    assert_eq!(endpoint.target_ref.as_ref().unwrap().name, "p1");
    let conditions = endpoint.conditions;
    assert_eq!((conditions.ready, conditions.serving), (Some(true), None));
    assert_eq!(
        slice.ports[0].app_protocol.as_deref(),
        Some("example.com/x")
    );
}

#[test]
fn ep_44_which_endpoints_are_mirrored() {
    let table: [(&str, &str, bool); 6] = [
        (SERVICE, "", true),
        ("", "", false),
        (
            SERVICE,
            ", labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}",
            false,
        ),
        (
            SERVICE,
            ", labels: {endpointslice.kubernetes.io/skip-mirror: 'yes'}",
            true,
        ),
        (
            SERVICE,
            ", annotations: {control-plane.alpha.kubernetes.io/leader: '{}'}",
            false,
        ),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {selector: {app: db}, ports: [{port: 1}]}}",
            "",
            false,
        ),
    ];
    for (service, metadata, mirrored) in table {
        let mut cluster = cluster();
        cluster.apply(service);
        cluster.apply(&endpoints(metadata, SUBSETS));
        let expected: &[&str] = if mirrored { &MIRRORED } else { &[] };
        check(&mut cluster, expected);
    }
}

#[test]
fn ep_44_slices_come_and_go_with_what_they_need() {
    let with_selector = SERVICE.replace("spec: {", "spec: {selector: {app: db}, ");
    let skipped = endpoints(
        ", labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}",
        SUBSETS,
    );
    let mut cluster = start();
    check(&mut cluster, &MIRRORED);
    cluster.apply(&with_selector);
    check(&mut cluster, &[]);
    cluster.apply(SERVICE);
    check(&mut cluster, &MIRRORED);
    cluster.apply(&skipped);
    check(&mut cluster, &[]);
    cluster.apply(&endpoints("", SUBSETS));
    check(&mut cluster, &MIRRORED);
    cluster.delete(Kind::Endpoints, "db");
    check(&mut cluster, &[]);
    cluster.apply(&endpoints("", SUBSETS));
    check(&mut cluster, &MIRRORED);
    // The API server removes the Endpoints with their Service.
    cluster.delete(Kind::Service, "db");
    check(&mut cluster, &[]);
    assert!(cluster.endpoints().is_empty());
    cluster.apply(&endpoints("", SUBSETS));
    check(&mut cluster, &[]);
    cluster.apply(SERVICE);
    check(&mut cluster, &MIRRORED);
}

#[test]
fn changes_are_written_into_the_slices_that_are_there() {
    let mut cluster = start();
    let names = |cluster: &Cluster| -> Vec<String> {
        let slices = cluster.slices().into_iter();
        slices.map(|slice| slice.metadata.name).collect()
    };
    let (before, writes) = (names(&cluster), cluster.writes);
    cluster.apply(&endpoints("", &SUBSETS.replace("192.0.2.11", "192.0.2.12")));
    check(
        &mut cluster,
        &["IPv4 sql:5432 | 192.0.2.10 rs, 192.0.2.12 s", MIRRORED[1]],
    );
    assert_eq!(cluster.writes - writes, 1);
    // Other ports: the slices of each family take them over.
    cluster.apply(&endpoints("", &SUBSETS.replace("5432", "5433")));
    check(
        &mut cluster,
        &[
            "IPv4 sql:5433 | 192.0.2.10 rs, 192.0.2.11 s",
            "IPv6 sql:5433 | fd00::10 rs",
        ],
    );
    assert_eq!((names(&cluster), cluster.writes - writes), (before, 3));
    cluster.apply(&endpoints(
        ", labels: {team: a}",
        &SUBSETS.replace("5432", "5433"),
    ));
    cluster.drain();
    assert_eq!(cluster.writes - writes, 5);
    let labels = |slice: &EndpointSlice| slice.metadata.labels["team"] == "a";
    assert!(cluster.slices().iter().all(labels));
    cluster.apply(&endpoints("", "[]"));
    check(&mut cluster, &[]);
}

#[test]
fn subsets_with_the_same_ports_share_a_slice() {
    let subsets = "[
        {addresses: [{ip: 192.0.2.1}, {ip: 192.0.2.2}], ports: [{name: a, port: 1}, {name: b, port: 2}]},
        {notReadyAddresses: [{ip: 192.0.2.2}], ports: [{name: b, port: 2}, {name: a, port: 1}]},
        {addresses: [{ip: 192.0.2.3}], ports: [{name: a, port: 1}]},
        {addresses: [{ip: 192.0.2.4}]}
    ]";
    let mut cluster = cluster();
    cluster.apply(SERVICE);
    cluster.apply(&endpoints("", subsets));
    check(
        &mut cluster,
        &[
            "IPv4  | 192.0.2.4 rs",
            "IPv4 a:1 | 192.0.2.3 rs",
            "IPv4 b:2,a:1 | 192.0.2.1 rs, 192.0.2.2 s",
        ],
    );
    let writes = cluster.writes;
    cluster.apply(&endpoints(
        ", annotations: {endpoints.kubernetes.io/last-change-trigger-time: '2026-01-01T00:00:00Z'}",
        subsets,
    ));
    cluster.drain();
    assert_eq!(cluster.writes, writes, "nothing that is copied has changed");
}

/// Slices that somebody else changes are put right at once; those of others are none of its business.
#[test]
fn slices_are_watched_over() {
    let mut cluster = start();
    let mut changed = cluster.slices().remove(0);
    changed.endpoints.clear();
    cluster.api.replace(changed.into(), cluster.now).unwrap();
    check(&mut cluster, &MIRRORED);
    let mut removed = cluster.slices().remove(0);
    cluster.delete(Kind::EndpointSlice, &removed.metadata.name);
    check(&mut cluster, &MIRRORED);
    removed.metadata = ObjectMeta {
        labels: removed.metadata.labels,
        ..ObjectMeta::named("default", "mine")
    };
    removed
        .metadata
        .labels
        .insert(MANAGED_BY.to_owned(), "staff".to_owned());
    let line = cluster::short(&removed);
    cluster.put(removed.into());
    let mut expected = MIRRORED.to_vec();
    expected.push(&line);
    expected.sort_unstable();
    check(&mut cluster, &expected);
}

/// Endpoints with so many ready and not ready addresses.
fn crowd(ready: usize, not_ready: usize) -> Endpoints {
    let address = |index: usize| EndpointAddress {
        ip: format!("192.168.{}.{}", index / 250, index % 250 + 1),
        ..EndpointAddress::default()
    };
    let port = EndpointsPort {
        name: "sql".to_owned(),
        port: 5432,
        protocol: "TCP".to_owned(),
        ..EndpointsPort::default()
    };
    Endpoints {
        metadata: ObjectMeta::named("default", "db"),
        subsets: vec![EndpointSubset {
            addresses: (0..ready).map(address).collect(),
            not_ready_addresses: (ready..ready + not_ready).map(address).collect(),
            ports: vec![port],
        }],
    }
}

#[test]
fn ep_46_a_thousand_addresses_of_each_subset() {
    let mut cluster = cluster();
    cluster.apply(SERVICE);
    cluster.put(crowd(998, 5).into());
    cluster.drain();
    let slice = cluster.slices().remove(0);
    let not_ready = slice
        .endpoints
        .iter()
        .filter(|endpoint| !endpoint.conditions.is_ready());
    assert_eq!((slice.endpoints.len(), not_ready.count()), (1000, 2));
    let text = |count: usize, times: usize| {
        format!(
            "Endpoints/db {times}x TooManyAddressesToMirror: A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. {count} addresses were skipped"
        )
    };
    assert_eq!(cluster.told_events(), [text(3, 1)]);
    let event = cluster.api.list(Kind::Event, None).next().unwrap();
    let event = event.as_event().unwrap();
    assert_eq!(
        event.source.component,
        "endpoint-slice-mirroring-controller"
    );
    assert!(event.metadata.name.starts_with("db."));
    // Told again whenever the Endpoints change.
    cluster.pass(Duration::from_secs(1));
    let mut changed = crowd(998, 5);
    changed
        .metadata
        .labels
        .insert("team".to_owned(), "a".to_owned());
    cluster.put(changed.into());
    cluster.drain();
    assert_eq!(cluster.told_events(), [text(3, 2)]);
    cluster.put(crowd(1001, 0).into());
    cluster.drain();
    assert_eq!(cluster.told_events(), [text(3, 2), text(1, 1)]);
}

fn added(object: Object) -> WatchEvent {
    WatchEvent {
        revision: 0,
        at: SimTime::ZERO,
        change: Change::Added,
        object,
        previous: None,
    }
}

fn stored_service() -> Object {
    let mut service = objects(SERVICE).remove(0);
    service.meta_mut().namespace = "default".to_owned();
    service
}

/// The API server takes no such addresses any more; old ones may be stored.
#[test]
fn ep_46_addresses_that_are_none_are_told() {
    let mut controller = controller();
    let now = SimTime::ZERO;
    controller.observe(&added(stored_service()), now);
    let mut endpoints = crowd(3, 0);
    for (address, ip) in endpoints.subsets[0]
        .addresses
        .iter_mut()
        .zip(["web", "010.0.0.1", ""])
    {
        ip.clone_into(&mut address.ip);
    }
    controller.observe(&added(endpoints.into()), now);
    let effects = controller.reconcile(now);
    let [Effect::Create(slice), Effect::Create(Object::Event(event))] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let slice = slice.as_endpoint_slice().unwrap();
    assert_eq!(cluster::short(slice), "IPv4 sql:5432 | 10.0.0.1 rs");
    assert_eq!(
        (event.reason.as_str(), event.message.as_str()),
        (
            "InvalidIPAddress",
            "Skipped 2 invalid IP addresses when mirroring to EndpointSlices"
        )
    );
}

#[test]
fn refused_writes_are_tried_again() {
    let mut controller = controller();
    let mut now = SimTime::ZERO;
    controller.observe(&added(stored_service()), now);
    controller.observe(&added(crowd(1, 0).into()), now);
    let status = Status::not_found(&ObjectKey::new(Kind::Namespace, "", "default"));
    for wait in [1, 2, 4, 8, 16, 32, 64, 100, 100] {
        let effects = controller.reconcile(now);
        assert!(matches!(effects.as_slice(), [Effect::Create(_)]));
        assert_eq!(controller.next_due(), None, "it waits to see its write");
        controller.refused(&effects[0], &status, now);
        let due = controller.next_due().unwrap();
        assert_eq!(due.since(now), Duration::from_secs(wait));
        now = due;
    }
}

/// EP-48: a Service loses its selector. What was made of its Pods stays, twice, and no Pod stands behind it any more.
#[test]
fn ep_48_left_behind_endpoints_are_mirrored() {
    let mut cluster = Cluster::new(vec![
        Box::new(EndpointSliceController::new(Duration::ZERO, Seed::new(7))),
        Box::new(EndpointsController::new(Duration::ZERO)),
        Box::new(controller()),
    ]);
    cluster.apply(NODES);
    let web = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}}";
    cluster.apply(web);
    cluster.pod("p1", "n1", "10.244.1.5", true);
    let line = "IPv4 http:8080 | 10.244.1.5 rs";
    check(&mut cluster, &[line]);
    cluster.apply(&web.replace("selector: {app: web}, ", ""));
    check(&mut cluster, &[line, line]);
    let slices = cluster.slices();
    let mut managers: Vec<&str> = slices
        .iter()
        .map(|slice| slice.metadata.labels[MANAGED_BY].as_str())
        .collect();
    managers.sort_unstable();
    assert_eq!(managers, ["endpointslice-controller.k8s.io", MIRRORING]);
    cluster.remove_pod("p1");
    check(&mut cluster, &[line, line]);
    // With a selector again, each controller sees to its own.
    cluster.apply(web);
    check(&mut cluster, &["IPv4  | "]);
    assert_eq!(cluster.subsets(), ["web <none>"]);
}
