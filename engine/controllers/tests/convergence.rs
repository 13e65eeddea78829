//! However late and in whatever pieces the controller hears of changes, it ends in the slices that follow from
//! the objects as they are.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::{
    DeleteOptions, Endpoint, EndpointSlice, IpFamily, Kind, Named, Object, ObjectKey, Pod, Service,
    matches,
};
use base::Seed;
use cluster::{Cluster, NODES};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use switchboard_controllers::{EndpointSliceController, GarbageCollector};

/// One thing that happens; numbers choose among few names, so that things meet.
#[derive(Clone, Debug)]
enum Step {
    Pod {
        name: u8,
        app: u8,
        port: u16,
        ready: bool,
    },
    Finish(u8),
    DeletePod {
        name: u8,
        at_once: bool,
    },
    Service {
        name: u8,
        app: u8,
        port: u16,
        dual: bool,
        publish: bool,
        hinting: usize,
    },
    Node {
        name: u8,
        cpu: u8,
    },
    DeleteService(u8),
    Run {
        controller: usize,
        events: usize,
    },
    Pass(u64),
}

/// Annotation and field that say how endpoints are hinted.
const HINTING: [(&str, &str); 4] = [
    ("", ""),
    ("", "trafficDistribution: PreferSameZone, "),
    ("", "trafficDistribution: PreferSameNode, "),
    ("service.kubernetes.io/topology-mode: Auto", ""),
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, 0..2_u8, 8080..8082_u16, any::<bool>())
            .prop_map(|(name, app, port, ready)| Step::Pod { name, app, port, ready }),
        1 => (0..6_u8).prop_map(Step::Finish),
        2 => (0..6_u8, any::<bool>()).prop_map(|(name, at_once)| Step::DeletePod { name, at_once }),
        3 => (0..2_u8, 0..2_u8, 80..82_u16, any::<bool>(), any::<bool>(), 0..HINTING.len())
            .prop_map(|(name, app, port, dual, publish, hinting)| Step::Service { name, app, port, dual, publish, hinting }),
        1 => (1..4_u8, 0..3_u8).prop_map(|(name, cpu)| Step::Node { name, cpu }),
        1 => (0..2_u8).prop_map(Step::DeleteService),
        6 => (0..2_usize, 0..6_usize).prop_map(|(controller, events)| Step::Run { controller, events }),
        1 => (0..3000_u64).prop_map(Step::Pass),
    ]
}

fn play(cluster: &mut Cluster, step: &Step) {
    match *step {
        Step::Pod {
            name,
            app,
            port,
            ready,
        } => put_pod(cluster, name, app, port, ready),
        Step::Finish(name) => {
            if cluster.api.pod("default", &format!("p{name}")).is_some() {
                cluster.report(&format!("p{name}"), "Succeeded", "10.0.0.99", Some(false));
            }
        }
        Step::DeletePod { name, at_once } => {
            let key = ObjectKey::new(Kind::Pod, "default", &format!("p{name}"));
            let grace = at_once.then_some(0);
            let options = DeleteOptions {
                grace,
                ..DeleteOptions::default()
            };
            let _ = cluster.api.delete(&key, &options, cluster.now);
        }
        Step::Service {
            name,
            app,
            port,
            dual,
            publish,
            hinting,
        } => {
            let policy = if dual {
                "PreferDualStack"
            } else {
                "SingleStack"
            };
            let (annotation, field) = HINTING[hinting];
            cluster.apply(&format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: s{name}, annotations: {{{annotation}}}}}, spec: {{{field}ipFamilyPolicy: {policy}, publishNotReadyAddresses: {publish}, selector: {{app: a{app}}}, ports: [{{name: http, port: {port}, targetPort: http}}]}}}}"
            ));
        }
        Step::Node { name, cpu } => {
            let line = NODES
                .lines()
                .find(|line| line.contains(&format!("n{name}")));
            let node = line.unwrap().replace("cpu: 4", &format!("cpu: {cpu}"));
            let node = cluster::objects(&node).remove(0);
            cluster.api.update_status(node, cluster.now).unwrap();
        }
        Step::DeleteService(name) => {
            let key = ObjectKey::new(Kind::Service, "default", &format!("s{name}"));
            let _ = cluster
                .api
                .delete(&key, &DeleteOptions::default(), cluster.now);
        }
        Step::Run { controller, events } => {
            cluster.run(controller, events);
            check_no_endpoint_twice(cluster);
        }
        Step::Pass(millis) => {
            // Time passes, but nobody hears of anything.
            cluster.now += Duration::from_millis(millis);
        }
    }
}

/// Nobody else writes slices here, so no move of an endpoint is ever half done (compare EP-36).
fn check_no_endpoint_twice(cluster: &Cluster) {
    let mut seen = BTreeSet::new();
    for slice in cluster.slices() {
        let owner = &slice.metadata.owner_references[0].uid;
        for endpoint in &slice.endpoints {
            let target = endpoint
                .target_ref
                .as_ref()
                .map(|target| target.uid.clone());
            let entry = (owner.clone(), slice.address_type.clone(), target);
            assert!(seen.insert(entry), "an endpoint is in two slices");
        }
    }
}

fn put_pod(cluster: &mut Cluster, name: u8, app: u8, port: u16, ready: bool) {
    let node = name % 3 + 1;
    let before = cluster.api.pod("default", &format!("p{name}"));
    // A Pod's ports are fixed: another one takes its place.
    if before.is_some_and(|pod| pod.spec.containers[0].ports[0].container_port != i32::from(port)) {
        cluster.remove_pod(&format!("p{name}"));
    }
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p{name}, labels: {{app: a{app}}}}}, spec: {{nodeName: n{node}, containers: [{{name: c, image: i, ports: [{{name: http, containerPort: {port}}}]}}]}}}}"
    ));
    let ips = format!("10.244.0.{name},fd00::{name}");
    cluster.report(&format!("p{name}"), "Running", &ips, Some(ready));
}

/// Family, port and endpoint with its conditions, of every endpoint of a Service.
type Told = BTreeSet<(String, Option<i32>, String, [bool; 3])>;

fn expected(service: &Service, pods: &[&Pod]) -> Told {
    let mut told = Told::new();
    for pod in pods {
        if !matches(&service.spec.selector, &pod.metadata.labels) || pod.status.phase == "Succeeded"
        {
            continue;
        }
        let (serving, terminating) = (pod.is_ready(), pod.metadata.deletion_timestamp.is_some());
        let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
        for address in pod.addresses() {
            let family = IpFamily::of(address).to_string();
            if service.spec.ip_families.contains(&family) {
                let port = pod.spec.containers[0].ports[0].container_port;
                told.insert((
                    family,
                    Some(port),
                    address.to_string(),
                    [ready, serving, terminating],
                ));
            }
        }
    }
    told
}

fn check(cluster: &Cluster) {
    let pods: Vec<&Pod> = cluster
        .api
        .list(Kind::Pod, None)
        .filter_map(Object::as_pod)
        .map(|pod| &**pod)
        .collect();
    let mut slices: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for slice in cluster.slices() {
        slices
            .entry(slice.service_name().unwrap().to_owned())
            .or_default()
            .push(slice);
    }
    for service in cluster
        .api
        .list(Kind::Service, None)
        .filter_map(Object::as_service)
    {
        if service.spec.selector.is_empty() {
            continue;
        }
        let own = slices.remove(&service.metadata.name).unwrap_or_default();
        let mut told = Told::new();
        for slice in &own {
            assert_eq!(slice.metadata.owner_references[0].uid, service.metadata.uid);
            for endpoint in &slice.endpoints {
                let conditions = endpoint.conditions;
                let flags = [
                    conditions.is_ready(),
                    conditions.is_serving(),
                    conditions.is_terminating(),
                ];
                let port = slice.ports.first().and_then(|port| port.port);
                let entry = (
                    slice.address_type.clone(),
                    port,
                    endpoint.addresses[0].clone(),
                    flags,
                );
                assert!(told.insert(entry), "an endpoint is in two slices");
            }
        }
        assert_eq!(told, expected(service, &pods));
        check_hints(service, &own);
        let families: BTreeSet<_> = own.iter().map(|slice| slice.address_type.clone()).collect();
        assert_eq!(
            families,
            service.spec.ip_families.iter().cloned().collect(),
            "EP-27, EP-28"
        );
        let alone = |family: &String| {
            own.iter()
                .filter(|slice| slice.address_type == *family)
                .count()
                == 1
        };
        for slice in own.iter().filter(|slice| slice.endpoints.is_empty()) {
            assert!(
                alone(&slice.address_type),
                "an empty slice is a placeholder"
            );
        }
    }
    assert!(
        slices.is_empty(),
        "slices of Services that are gone: {slices:?}"
    );
}

/// EP-49, EP-57, EP-60 … EP-62: ready endpoints are hinted as the Service asks; `Auto` hints all of a family or
/// none. A slice that nothing else changes keeps what it was hinted under another policy, nodes included, while its zones
/// fit (EP-57).
fn check_hints(service: &Service, slices: &[EndpointSlice]) {
    let auto = !service
        .metadata
        .annotations
        .keys()
        .all(|key| key == api::LAST_APPLIED);
    let mut hinted: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    for slice in slices {
        for endpoint in &slice.endpoints {
            let (zones, nodes) = names(endpoint);
            if auto {
                let seen = hinted.entry(&slice.address_type).or_default();
                if endpoint.conditions.is_ready() {
                    seen.insert(zones.len() == 1);
                }
                continue;
            }
            let own = |name: &Option<String>| name.iter().cloned().collect::<Vec<_>>();
            let (zone, node) = (own(&endpoint.zone), own(&endpoint.node_name));
            let expected = match service.spec.traffic_distribution.as_deref() {
                None => (Vec::new(), Vec::new()),
                Some(_) if !endpoint.conditions.is_ready() => continue,
                Some("PreferSameNode") => (zone, node),
                Some(_) => (zone, Vec::new()),
            };
            assert_eq!((zones, nodes), expected);
        }
    }
    assert!(hinted.values().all(|seen| seen.len() <= 1), "all or none");
}

fn names(endpoint: &Endpoint) -> (Vec<String>, Vec<String>) {
    let hints = endpoint.hints.clone().unwrap_or_default();
    let names = |hints: Vec<Named>| hints.into_iter().map(|hint| hint.name).collect();
    (names(hints.for_zones), names(hints.for_nodes))
}

proptest! {
    #[test]
    fn any_interleaving_ends_in_the_same_slices(steps in prop::collection::vec(step(), 0..60), batch in 0..2_u64) {
        let batch = Duration::from_millis(batch * 700);
        let controller = EndpointSliceController::new(batch, Seed::new(7));
        let mut cluster =
            Cluster::new(vec![Box::new(controller), Box::new(GarbageCollector::new())]);
        cluster.apply(NODES);
        for step in &steps {
            play(&mut cluster, step);
        }
        cluster.drain();
        check(&cluster);
        let revision = cluster.api.revision();
        cluster.pass(Duration::from_secs(5));
        prop_assert_eq!(cluster.api.revision(), revision, "it is at rest");
        prop_assert!(cluster.writes <= steps.len() * 12 + 8);
    }
}
