//! However late and in whatever pieces the controllers hear of changes, Endpoints and their mirrors end as what
//! follows from the objects as they are.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::{
    DeleteOptions, Endpoints, EndpointsPort, IntOrString, IpFamily, Kind, Object, ObjectKey, Pod,
    Service, matches,
};
use base::Seed;
use cluster::Cluster;
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use switchboard_controllers::{
    Controller, EndpointSliceController, EndpointSliceMirroringController, EndpointsController,
};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";

/// One thing that happens; numbers choose among few names, so that things meet.
#[derive(Clone, Debug)]
enum Step {
    Pod {
        name: u8,
        app: u8,
        ports: usize,
        ready: bool,
    },
    Finish(u8),
    DeletePod {
        name: u8,
        at_once: bool,
    },
    Service {
        name: u8,
        selector: usize,
        ports: usize,
        family: usize,
        publish: bool,
    },
    DeleteService(u8),
    DeleteEndpoints(u8),
    Run {
        controller: usize,
        events: usize,
    },
    Pass(u64),
}

const POD_PORTS: [&str; 3] = [
    "[{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]",
    "[{name: http, containerPort: 8081}]",
    "[]",
];

const SERVICE_PORTS: [&str; 4] = [
    "[{name: http, port: 80, targetPort: http}]",
    "[{name: http, port: 80, targetPort: http}, {name: dns, port: 53, protocol: UDP, targetPort: dns}]",
    "[{port: 80}]",
    "[{name: a, port: 80, targetPort: 1}, {name: b, port: 81, appProtocol: example.com/x, targetPort: http}]",
];

/// The last of them selects nothing.
const SELECTORS: [&str; 3] = ["selector: {app: a0}, ", "selector: {app: a1}, ", ""];

const FAMILIES: [&str; 3] = [
    "ipFamilyPolicy: SingleStack, ipFamilies: [IPv4]",
    "ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6]",
    "ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4]",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, 0..2_u8, 0..POD_PORTS.len(), any::<bool>())
            .prop_map(|(name, app, ports, ready)| Step::Pod { name, app, ports, ready }),
        1 => (0..6_u8).prop_map(Step::Finish),
        2 => (0..6_u8, any::<bool>()).prop_map(|(name, at_once)| Step::DeletePod { name, at_once }),
        4 => (0..2_u8, 0..SELECTORS.len(), 0..SERVICE_PORTS.len(), 0..FAMILIES.len(), any::<bool>())
            .prop_map(|(name, selector, ports, family, publish)| Step::Service { name, selector, ports, family, publish }),
        1 => (0..2_u8).prop_map(Step::DeleteService),
        1 => (0..2_u8).prop_map(Step::DeleteEndpoints),
        6 => (0..3_usize, 0..6_usize).prop_map(|(controller, events)| Step::Run { controller, events }),
        1 => (0..3000_u64).prop_map(Step::Pass),
    ]
}

fn play(cluster: &mut Cluster, step: &Step) {
    let delete = |cluster: &mut Cluster, kind, name: &str, grace| {
        let key = ObjectKey::new(kind, "default", name);
        let options = DeleteOptions {
            grace,
            ..DeleteOptions::default()
        };
        // There may be none.
        let _ = cluster.api.delete(&key, &options, cluster.now);
    };
    match *step {
        Step::Pod {
            name,
            app,
            ports,
            ready,
        } => put_pod(cluster, name, app, ports, ready),
        Step::Finish(name) => {
            if cluster.api.pod("default", &format!("p{name}")).is_some() {
                cluster.report(&format!("p{name}"), "Failed", "10.0.0.99", Some(false));
            }
        }
        Step::DeletePod { name, at_once } => {
            delete(
                cluster,
                Kind::Pod,
                &format!("p{name}"),
                at_once.then_some(0),
            );
        }
        Step::Service {
            name,
            selector,
            ports,
            family,
            publish,
        } => {
            let (selector, ports) = (SELECTORS[selector], SERVICE_PORTS[ports]);
            let text = format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: s{name}, labels: {{team: t{family}}}}}, spec: {{{}, publishNotReadyAddresses: {publish}, {selector}ports: {ports}}}}}",
                FAMILIES[family]
            );
            // The first family cannot be changed.
            let service = cluster::objects(&text).remove(0);
            let _ = cluster.api.apply(service, cluster.now);
        }
        Step::DeleteService(name) => delete(cluster, Kind::Service, &format!("s{name}"), None),
        Step::DeleteEndpoints(name) => delete(cluster, Kind::Endpoints, &format!("s{name}"), None),
        Step::Run { controller, events } => cluster.run(controller, events),
        // Time passes, but nobody hears of anything.
        Step::Pass(millis) => cluster.now += Duration::from_millis(millis),
    }
}

fn put_pod(cluster: &mut Cluster, name: u8, app: u8, ports: usize, ready: bool) {
    // A Pod's ports are fixed: another one takes its place.
    cluster.remove_pod(&format!("p{name}"));
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p{name}, labels: {{app: a{app}}}}}, spec: {{nodeName: n1, containers: [{{name: c, image: i, ports: {}}}]}}}}",
        POD_PORTS[ports]
    ));
    // Some have IPv4 only.
    let ips = match name % 3 {
        0 => format!("10.244.0.{name}"),
        _ => format!("10.244.0.{name},fd00::{name}"),
    };
    cluster.report(&format!("p{name}"), "Running", &ips, Some(ready));
}

/// A port, and an address that offers it: IP, uid, whether it is ready.
type Offers = BTreeMap<EndpointsPort, BTreeSet<(String, String, bool)>>;

/// By the definition: every port of the Service at every Pod that counts.
fn expected(service: &Service, pods: &[&Pod]) -> Offers {
    let mut offers = Offers::new();
    let publish = service.spec.publish_not_ready_addresses;
    for pod in pods {
        let counts = !matches!(pod.status.phase.as_str(), "Failed" | "Succeeded")
            && (publish || pod.metadata.deletion_timestamp.is_none());
        let of_first =
            |ip: &&std::net::IpAddr| IpFamily::of(**ip).name() == service.spec.ip_families[0];
        let addresses = pod.addresses();
        let Some(ip) = addresses.iter().find(of_first).filter(|_| counts) else {
            continue;
        };
        if !matches(&service.spec.selector, &pod.metadata.labels) {
            continue;
        }
        for port in &service.spec.ports {
            let declared = &pod.spec.containers[0].ports;
            let number = match port.target_port.as_ref().unwrap() {
                IntOrString::Int(number) => Some(*number),
                IntOrString::String(name) => declared
                    .iter()
                    .find(|declared| declared.name == *name)
                    .map(|declared| declared.container_port),
            };
            let Some(number) = number else { continue };
            let port = EndpointsPort {
                name: port.name.clone(),
                port: number,
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            };
            let uid = pod.metadata.uid.clone();
            let offer = (ip.to_string(), uid, publish || pod.is_ready());
            offers.entry(port).or_default().insert(offer);
        }
    }
    offers
}

/// What an Endpoints object lists; each port is in one subset, and each subset has other addresses.
fn listed(endpoints: &Endpoints) -> Offers {
    let mut offers = Offers::new();
    let mut groups = BTreeSet::new();
    for subset in &endpoints.subsets {
        let mut group = BTreeSet::new();
        for (ready, list) in [
            (true, &subset.addresses),
            (false, &subset.not_ready_addresses),
        ] {
            assert!(list.is_sorted_by_key(|address| &address.ip));
            for address in list {
                let uid = address.target_ref.as_ref().unwrap().uid.clone();
                assert!(group.insert((address.ip.clone(), uid, ready)));
            }
        }
        assert!(subset.ports.is_sorted() && !subset.ports.is_empty());
        for port in &subset.ports {
            let before = offers.insert(port.clone(), group.clone());
            assert_eq!(before, None, "a port is in two subsets");
        }
        assert!(groups.insert(group), "two subsets have the same addresses");
    }
    offers
}

/// What slices list, in the same words.
fn mirrored(cluster: &Cluster, service: &str) -> Offers {
    let mut offers = Offers::new();
    for slice in cluster.slices() {
        let manager = slice
            .metadata
            .labels
            .get(SLICE_MANAGED_BY)
            .map(String::as_str);
        if manager != Some(MIRRORING) || slice.service_name() != Some(service) {
            continue;
        }
        for port in &slice.ports {
            let port = EndpointsPort {
                name: port.name.clone().unwrap_or_default(),
                port: port.port.unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_default(),
                app_protocol: port.app_protocol.clone(),
            };
            let entry = offers.entry(port).or_default();
            for endpoint in &slice.endpoints {
                let uid = endpoint.target_ref.as_ref().unwrap().uid.clone();
                let (ip, ready) = (
                    endpoint.addresses[0].clone(),
                    endpoint.conditions.is_ready(),
                );
                assert!(
                    entry.insert((ip, uid, ready)),
                    "an endpoint is mirrored twice"
                );
            }
        }
    }
    offers
}

fn check(cluster: &Cluster) {
    let pods = cluster.api.list(Kind::Pod, None).filter_map(Object::as_pod);
    let pods: Vec<&Pod> = pods.map(|pod| &**pod).collect();
    let endpoints = cluster.endpoints();
    let mut endpoints: BTreeMap<&str, &Endpoints> = endpoints
        .iter()
        .map(|endpoints| (endpoints.metadata.name.as_str(), &**endpoints))
        .collect();
    let services = cluster.api.list(Kind::Service, None);
    for service in services.filter_map(Object::as_service) {
        let name = service.metadata.name.as_str();
        let own = endpoints.remove(name);
        let mirrored = mirrored(cluster, name);
        if service.spec.selector.is_empty() {
            // EP-48: what is left of a time with a selector is mirrored.
            let left = own.map(listed).unwrap_or_default();
            assert_eq!(mirrored, left, "{name}");
            continue;
        }
        let own = own.unwrap();
        assert_eq!(listed(own), expected(service, &pods), "{name}");
        assert_eq!(mirrored, Offers::new(), "{name}");
        let mut labels = service.metadata.labels.clone();
        labels.insert(MANAGED_BY.to_owned(), "endpoint-controller".to_owned());
        assert_eq!(own.metadata.labels, labels, "{name}");
    }
    for name in ["s0", "s1"] {
        if cluster.api.service("default", name).is_none() {
            assert_eq!(mirrored(cluster, name), Offers::new(), "{name} is gone");
        }
    }
    assert!(
        endpoints.is_empty(),
        "of Services that are gone: {endpoints:?}"
    );
}

proptest! {
    #[test]
    fn any_interleaving_ends_in_the_same_endpoints(steps in prop::collection::vec(step(), 0..60), batch in 0..2_u64) {
        let batch = Duration::from_millis(batch * 700);
        let controllers: Vec<Box<dyn Controller>> = vec![
            Box::new(EndpointsController::new(batch)),
            Box::new(EndpointSliceMirroringController::new(Seed::new(7))),
            Box::new(EndpointSliceController::new(batch, Seed::new(7))),
        ];
        let mut cluster = Cluster::new(controllers);
        for step in &steps {
            play(&mut cluster, step);
        }
        cluster.drain();
        check(&cluster);
        let revision = cluster.api.revision();
        cluster.pass(Duration::from_secs(5));
        prop_assert_eq!(cluster.api.revision(), revision, "they are at rest");
    }
}
