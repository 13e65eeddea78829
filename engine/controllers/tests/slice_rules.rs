//! Single rules of the EndpointSlice controller, which the worked scenarios do not show.

mod cluster;

use std::time::Duration;

use api::{Kind, Object, ObjectKey, Pod};
use base::Seed;
use cluster::{Cluster, NODES};
use switchboard_controllers::EndpointSliceController;

const WEB: &str = "{selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}";

fn cluster() -> Cluster {
    let controller = EndpointSliceController::new(Duration::ZERO, Seed::new(1));
    let mut cluster = Cluster::new(vec![Box::new(controller)]);
    cluster.apply(NODES);
    cluster
}

fn service(spec: &str) -> String {
    format!("{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {spec}}}")
}

/// A running Pod of the Service on node n1 with this in its spec.
fn put(cluster: &mut Cluster, name: &str, address: &str, spec: &str) {
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: web}}}}, spec: {{nodeName: n1, {spec}}}}}"
    ));
    cluster.report(name, "Running", address, Some(true));
}

/// EP-17: regular containers come first, then sidecars; an ordinary init container does not count, nor does a port of
/// another protocol.
#[test]
fn ep_17_whose_ports_a_name_means() {
    let port = |number: u16| format!("ports: [{{name: http, containerPort: {number}}}]");
    let table = [
        (
            format!("containers: [{{name: a, image: i, {}}}, {{name: b, image: i, {}}}]", port(1), port(2)),
            "http:1",
        ),
        (
            format!(
                "initContainers: [{{name: s, image: i, restartPolicy: Always, {}}}], containers: [{{name: c, image: i}}]",
                port(3)
            ),
            "http:3",
        ),
        (
            format!(
                "initContainers: [{{name: s, image: i, restartPolicy: Always, {}}}], containers: [{{name: c, image: i, {}}}]",
                port(3),
                port(4)
            ),
            "http:4",
        ),
        (
            format!("initContainers: [{{name: s, image: i, {}}}], containers: [{{name: c, image: i}}]", port(3)),
            "",
        ),
        (
            "containers: [{name: c, image: i, ports: [{name: http, containerPort: 5, protocol: UDP}, \
             {name: other, containerPort: 6}]}]"
                .to_owned(),
            "",
        ),
    ];
    for (spec, ports) in table {
        let mut cluster = cluster();
        cluster.apply(&service(WEB));
        put(&mut cluster, "p", "10.244.1.5", &spec);
        cluster.drain();
        assert_eq!(
            cluster.told(),
            [format!("IPv4 {ports} | 10.244.1.5 rs")],
            "{spec}"
        );
    }
}

/// EP-4, EP-7: a Pod that is Pending and has an address counts, and one on its node's network has the node's.
#[test]
fn ep_4_and_7_phases_and_host_networks() {
    let mut cluster = cluster();
    cluster.apply(&service(WEB));
    let container = "containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]";
    put(&mut cluster, "p", "10.244.1.5", container);
    cluster.report("p", "Pending", "10.244.1.5", Some(false));
    let on_node = format!("hostNetwork: true, {container}");
    put(&mut cluster, "q", "192.168.1.1", &on_node);
    put(&mut cluster, "r", "", container);
    cluster.drain();
    assert_eq!(
        cluster.told(),
        ["IPv4 http:8080 | 10.244.1.5 , 192.168.1.1 rs"]
    );
}

/// EP-39: an annotation of a Pod is no reason for a write; EP-29: what else changes, changes in place.
#[test]
fn ep_29_and_39_what_matters_of_a_change() {
    let mut cluster = cluster();
    cluster.apply(&service(WEB));
    cluster.pod("p", "n1", "10.244.1.5", true);
    cluster.drain();
    let name = cluster.slices()[0].metadata.name.clone();
    let writes = cluster.writes;
    let change = |cluster: &mut Cluster, what: &dyn Fn(&mut Pod)| {
        let key = ObjectKey::new(Kind::Pod, "default", "p");
        let stored = cluster.api.get(&key).unwrap();
        let mut pod = Pod::clone(stored.as_pod().unwrap());
        what(&mut pod);
        cluster.put(Object::from(pod));
        cluster.drain();
    };
    change(&mut cluster, &|pod| {
        let annotations = &mut pod.metadata.annotations;
        annotations.insert("note".to_owned(), "x".to_owned());
    });
    assert_eq!(cluster.writes, writes);
    cluster.report("p", "Running", "10.244.1.6", Some(true));
    cluster.drain();
    assert_eq!(cluster.writes, writes + 1);
    assert_eq!(
        cluster.slices()[0].metadata.name,
        name,
        "another endpoint in the same slice"
    );
    assert_eq!(cluster.told(), ["IPv4 http:8080 | 10.244.1.6 rs"]);
}

/// EP-31: what is left goes into slices that are written anyway, the fullest first; EP-32: else all of it into the one that
/// it fills best, if it fits.
#[test]
fn ep_31_and_32_where_new_endpoints_go() {
    let mut cluster = cluster();
    cluster.apply(&service(WEB));
    let add = |cluster: &mut Cluster, from: usize, to: usize| {
        for index in from..to {
            let address = format!("10.244.{}.{}", index / 200, index % 200 + 1);
            cluster.pod(&format!("p{index:03}"), "n1", &address, true);
        }
    };
    let sizes = |cluster: &Cluster| {
        let mut sizes: Vec<usize> = cluster
            .slices()
            .iter()
            .map(|slice| slice.endpoints.len())
            .collect();
        sizes.sort_unstable();
        sizes
    };
    add(&mut cluster, 0, 250);
    cluster.drain();
    assert_eq!(sizes(&cluster), [50, 100, 100]);
    // One leaves a full slice, which is written for that, and takes the one that comes.
    let writes = cluster.writes;
    cluster.remove_pod("p000");
    add(&mut cluster, 250, 251);
    cluster.drain();
    assert_eq!(
        (sizes(&cluster), cluster.writes - writes),
        (vec![50, 100, 100], 1)
    );
    // Thirty leave a full slice; ten that come later fill the fuller of the two that have room.
    for index in 100..130 {
        cluster.remove_pod(&format!("p{index:03}"));
    }
    cluster.drain();
    assert_eq!(sizes(&cluster), [50, 70, 100]);
    let writes = cluster.writes;
    add(&mut cluster, 251, 261);
    cluster.drain();
    assert_eq!(
        (sizes(&cluster), cluster.writes - writes),
        (vec![50, 80, 100], 1)
    );
}

/// EP-50: each family has hints of its own endpoints.
#[test]
fn ep_50_families_are_hinted_apart() {
    let mut cluster = cluster();
    cluster.apply(&service(&WEB.replace(
        "{selector",
        "{trafficDistribution: PreferSameZone, ipFamilyPolicy: PreferDualStack, selector",
    )));
    cluster.pod("p1", "n1", "10.244.1.5", true);
    cluster.pod("p2", "n2", "10.244.2.7,fd00::2", true);
    cluster.drain();
    let hints = cluster.slices().into_iter().map(|slice| {
        let zones = slice.endpoints.iter().map(|endpoint| {
            let hints = endpoint.hints.as_ref().unwrap();
            hints.for_zones[0].name.clone()
        });
        (slice.address_type.clone(), zones.collect::<Vec<_>>())
    });
    let mut hints: Vec<_> = hints.collect();
    hints.sort();
    let zones = |zones: &[&str]| {
        zones
            .iter()
            .map(|zone| (*zone).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        hints,
        [
            ("IPv4".to_owned(), zones(&["a", "b"])),
            ("IPv6".to_owned(), zones(&["b"])),
        ]
    );
}
