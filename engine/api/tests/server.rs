//! The API server's verbs: what they store, what they refuse, and that a refusal leaves no trace.

use api::{
    ApiConfig, ApiServer, Change, DeleteOptions, Kind, Manifest, Object, ObjectKey, Pod,
    Propagation, Reason, Status, Verb, Written, decode, yaml,
};
use base::{Seed, SimTime};
use switchboard_api as api;

const NOW: SimTime = SimTime::ZERO;

fn server(ranges: &[&str]) -> ApiServer {
    let config = ApiConfig {
        service_cidrs: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, NOW)
}

fn manifests(text: &str) -> Vec<Manifest> {
    let documents = yaml::split(&yaml::Source::new("test.yaml", text)).unwrap();
    documents
        .iter()
        .flat_map(|document| decode(document).unwrap())
        .collect()
}

fn object(text: &str) -> Object {
    manifests(text).remove(0).object
}

fn service(name: &str, spec: &str) -> Object {
    object(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {spec}}}"
    ))
}

fn pod(name: &str, more: &str) -> Object {
    object(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: i}}]{more}}}}}"
    ))
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey::new(kind, "default", name)
}

fn address(written: &Written) -> &str {
    &written.object.as_service().unwrap().spec.cluster_ip
}

/// The request must be refused with `text`, and nothing may have changed.
fn check_refused(
    server: &mut ApiServer,
    text: &str,
    request: impl FnOnce(&mut ApiServer) -> Result<Written, Status>,
) {
    let before = (
        server.revision(),
        server
            .list(Kind::Service, None)
            .cloned()
            .collect::<Vec<_>>(),
    );
    let status = request(server).unwrap_err();
    assert_eq!(status.kubectl_text(), text);
    let after = (
        server.revision(),
        server
            .list(Kind::Service, None)
            .cloned()
            .collect::<Vec<_>>(),
    );
    assert_eq!(before, after);
}

#[test]
fn alloc_5_a_new_cluster_has_its_namespaces_and_the_kubernetes_service() {
    let server = server(&["10.96.0.0/12"]);
    let namespaces: Vec<_> = server
        .list(Kind::Namespace, None)
        .map(|ns| &ns.meta().name)
        .collect();
    assert_eq!(
        namespaces,
        ["default", "kube-node-lease", "kube-public", "kube-system"]
    );
    let kubernetes = server.service("default", "kubernetes").unwrap();
    assert_eq!(kubernetes.spec.cluster_ips, ["10.96.0.1"]);
    assert_eq!(kubernetes.spec.ports[0].port, 443);
    assert_eq!(kubernetes.metadata.labels["component"], "apiserver");
    assert_eq!(server.namespace("default").unwrap().status.phase, "Active");
}

#[test]
fn clusters_without_usable_ranges_start_too() {
    for ranges in [&[][..], &["10.0.0.0/32"], &["10.0.0.0/31"]] {
        let mut server = server(ranges);
        assert!(server.service("default", "kubernetes").is_none());
        let refused = server
            .create(service("web", "{ports: [{port: 80}]}"), NOW)
            .unwrap_err();
        assert_eq!(refused.reason, Reason::NotSupported);
        let headless = service("db", "{clusterIP: None, selector: {app: db}}");
        assert!(server.create(headless, NOW).is_ok());
    }
}

#[test]
fn alloc_60_a_full_range_says_so_and_a_freed_address_comes_back() {
    let mut server = server(&["10.60.0.0/28"]);
    for index in 0..13 {
        server
            .create(service(&format!("a{index}"), "{ports: [{port: 80}]}"), NOW)
            .unwrap();
    }
    let full = "Error from server (InternalError): error when creating \"STDIN\": Internal error occurred: failed to allocate a serviceIP for Service \"b\": range is full";
    check_refused(&mut server, full, |server| {
        server.create(service("b", "{ports: [{port: 80}]}"), NOW)
    });
    let gone = server
        .delete(&key(Kind::Service, "a5"), &DeleteOptions::default(), NOW)
        .unwrap();
    assert_eq!(gone.to_string(), "service \"a5\" deleted");
    let written = server
        .create(service("b", "{ports: [{port: 80}]}"), NOW)
        .unwrap();
    assert_eq!(address(&written), address(&gone));
}

#[test]
fn alloc_62_reserved_addresses_cannot_be_requested() {
    let mut server = server(&["10.50.0.0/24"]);
    for (ip, why) in [
        (
            "10.50.0.0",
            "the provided network does not match the current range",
        ),
        (
            "10.50.0.255",
            "the provided network does not match the current range",
        ),
        ("10.50.0.1", "provided IP is already allocated"),
    ] {
        let text = format!(
            "The Service \"web\" is invalid: spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: {why}"
        );
        let spec = format!("{{clusterIP: {ip}, ports: [{{port: 80}}]}}");
        check_refused(&mut server, &text, |server| {
            server.create(service("web", &spec), NOW)
        });
    }
}

#[test]
fn alloc_63_a_refused_service_gives_its_address_back() {
    let mut server = server(&["10.60.0.0/30"]);
    let text = "The Service \"web\" is invalid: \n* spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive\n* spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive";
    check_refused(&mut server, text, |server| {
        server.create(service("web", "{ports: [{port: 0}]}"), NOW)
    });
    let written = server
        .create(service("web", "{ports: [{port: 80}]}"), NOW)
        .unwrap();
    assert_eq!(address(&written), "10.60.0.2");
}

#[test]
fn dual_stack_updates_take_and_release_the_second_address() {
    let mut server = server(&["10.96.0.0/29", "fd00::/112"]);
    let apply = |server: &mut ApiServer, policy: &str| {
        let spec = format!("{{ipFamilyPolicy: {policy}, ports: [{{port: 80}}]}}");
        let written = server.apply(service("web", &spec), NOW).unwrap();
        written.object.as_service().unwrap().spec.clone()
    };
    let single = apply(&mut server, "SingleStack");
    let both = apply(&mut server, "PreferDualStack");
    assert_eq!(both.cluster_ips[0], single.cluster_ip);
    assert_eq!(both.ip_families, ["IPv4", "IPv6"]);
    let back = apply(&mut server, "SingleStack");
    assert_eq!((back.cluster_ips.len(), back.ip_families.len()), (1, 1));
    let wanted = both.cluster_ips[1].clone();
    let spec = format!("{{clusterIP: \"{wanted}\", ports: [{{port: 80}}]}}");
    assert!(
        server.create(service("next", &spec), NOW).is_ok(),
        "{wanted} is free again"
    );
}

#[test]
fn api_83_an_update_without_a_change_is_none() {
    let mut server = server(&["10.96.0.0/12"]);
    let manifest = || {
        service(
            "web",
            "{selector: {app: web}, ports: [{port: 80, name: http}]}",
        )
    };
    let created = server.apply(manifest(), NOW).unwrap();
    assert_eq!(created.verb, Verb::Created);
    let revision = server.revision();
    let again = server.apply(manifest(), NOW).unwrap();
    assert_eq!(again.to_string(), "service/web unchanged");
    assert_eq!(server.revision(), revision);
    let version = &created.object.meta().resource_version;
    assert_eq!(&again.object.meta().resource_version, version);
}

#[test]
fn apply_removes_what_it_has_set_before_and_keeps_the_rest() {
    let mut server = server(&["10.96.0.0/12"]);
    let first =
        "{selector: {app: web, tier: a}, internalTrafficPolicy: Local, ports: [{port: 80}]}";
    server.apply(service("web", first), NOW).unwrap();
    let mut labelled = Object::clone(server.get(&key(Kind::Service, "web")).unwrap());
    labelled
        .meta_mut()
        .labels
        .insert("by".to_owned(), "hand".to_owned());
    server.replace(labelled, NOW).unwrap();
    let second = "{selector: {app: web}, ports: [{port: 81}]}";
    let written = server.apply(service("web", second), NOW).unwrap();
    assert_eq!(
        (written.verb, written.warnings.len()),
        (Verb::Configured, 0)
    );
    let stored = server.service("default", "web").unwrap();
    assert_eq!(stored.spec.selector.len(), 1);
    assert_eq!(
        stored.spec.internal_traffic_policy.as_deref(),
        Some("Cluster")
    );
    assert_eq!(stored.spec.ports[0].port, 81);
    assert_eq!(stored.metadata.labels["by"], "hand");
    let annotation = &stored.metadata.annotations[api::LAST_APPLIED];
    assert_eq!(
        annotation,
        "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"annotations\":{},\"name\":\"web\",\"namespace\":\"default\"},\"spec\":{\"ports\":[{\"port\":81}],\"selector\":{\"app\":\"web\"}}}\n"
    );
}

#[test]
fn api_84_a_stale_write_conflicts() {
    let mut server = server(&["10.96.0.0/12"]);
    let stale = server
        .create(service("web", "{ports: [{port: 80}]}"), NOW)
        .unwrap()
        .object;
    let mut fresh = stale.clone();
    fresh
        .meta_mut()
        .labels
        .insert("a".to_owned(), "b".to_owned());
    server.replace(fresh, NOW).unwrap();
    let text = "Error from server (Conflict): error when replacing \"STDIN\": Operation cannot be fulfilled on services \"web\": the object has been modified; please apply your changes to the latest version and try again";
    check_refused(&mut server, text, |server| server.replace(stale, NOW));
    let options = DeleteOptions {
        uid: Some("other".to_owned()),
        ..DeleteOptions::default()
    };
    let refused = server
        .delete(&key(Kind::Service, "web"), &options, NOW)
        .unwrap_err();
    assert!(
        refused
            .message
            .contains("Precondition failed: UID in precondition: other, UID in object meta: ")
    );
    assert_eq!(refused.reason, Reason::Conflict);
}

#[test]
fn api_9_and_13_what_is_not_there() {
    let mut server = server(&["10.96.0.0/12"]);
    let text = "Error from server (NotFound): services \"web\" not found";
    check_refused(&mut server, text, |server| {
        server.delete(&key(Kind::Service, "web"), &DeleteOptions::default(), NOW)
    });
    let text = "Error from server (NotFound): error when creating \"STDIN\": namespaces \"nope\" not found";
    let mut lost = service("web", "{ports: [{port: 80}]}");
    "nope".clone_into(&mut lost.meta_mut().namespace);
    check_refused(&mut server, text, |server| server.create(lost, NOW));
    let slice = object(
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x}, addressType: IPv4}",
    );
    let text = "Error from server (NotFound): error when replacing \"STDIN\": endpointslices.discovery.k8s.io \"x\" not found";
    check_refused(&mut server, text, |server| server.replace(slice, NOW));
}

/// What becomes of dependents is kept as a finalizer, and a later deletion may say otherwise.
#[test]
fn api_92_an_object_waits_for_its_dependents() {
    let mut server = server(&["10.96.0.0/12"]);
    let web = key(Kind::Service, "web");
    let with = |propagation| DeleteOptions {
        propagation,
        ..DeleteOptions::default()
    };
    let mut check = |deletions: &[Option<Propagation>], expected: Option<&[&str]>| {
        let object = service("web", "{ports: [{port: 80}]}");
        server.create(object, NOW).unwrap();
        for propagation in deletions {
            server.delete(&web, &with(*propagation), NOW).unwrap();
        }
        let kept = server.get(&web).map(|object| object.meta().clone());
        let finalizers = kept.as_ref().map(|meta| &meta.finalizers[..]);
        assert_eq!(
            finalizers.map(|kept| kept.iter().map(String::as_str).collect::<Vec<_>>()),
            expected.map(<[&str]>::to_vec)
        );
        if let Some(meta) = kept {
            assert!(meta.is_terminating());
            assert_eq!(meta.deletion_grace_period_seconds, Some(0));
            let background = with(Some(Propagation::Background));
            server.delete(&web, &background, NOW).unwrap();
        }
        assert!(server.get(&web).is_none());
    };
    let (foreground, orphan) = (Some(Propagation::Foreground), Some(Propagation::Orphan));
    check(&[None], None);
    check(&[Some(Propagation::Background)], None);
    check(&[foreground], Some(&["foregroundDeletion"]));
    check(&[orphan], Some(&["orphan"]));
    check(&[orphan, None], Some(&["orphan"]));
    check(&[orphan, foreground], Some(&["foregroundDeletion"]));
}

#[test]
fn api_92_a_running_pod_goes_in_two_steps() {
    let mut server = server(&["10.96.0.0/12"]);
    server
        .create(pod("web", ", nodeName: node-a"), NOW)
        .unwrap();
    let pods = key(Kind::Pod, "web");
    let at = SimTime::from_nanos(2_000_000_000);
    server.delete(&pods, &DeleteOptions::default(), at).unwrap();
    let meta = |server: &ApiServer| server.pod("default", "web").unwrap().metadata.clone();
    assert_eq!(
        meta(&server).deletion_timestamp.as_deref(),
        Some("2026-01-01T00:00:32Z")
    );
    assert_eq!(meta(&server).deletion_grace_period_seconds, Some(30));
    let revision = server.revision();
    server.delete(&pods, &DeleteOptions::default(), at).unwrap();
    assert_eq!(
        server.revision(),
        revision,
        "a second deletion changes nothing"
    );
    let sooner = DeleteOptions {
        grace: Some(5),
        ..DeleteOptions::default()
    };
    let later = SimTime::from_nanos(4_000_000_000);
    server.delete(&pods, &sooner, later).unwrap();
    assert_eq!(meta(&server).deletion_grace_period_seconds, Some(5));
    assert_eq!(
        meta(&server).deletion_timestamp.as_deref(),
        Some("2026-01-01T00:00:07Z"),
        "counted from the first deletion"
    );
    let at_once = DeleteOptions {
        grace: Some(0),
        ..DeleteOptions::default()
    };
    server.delete(&pods, &at_once, at).unwrap();
    assert!(server.pod("default", "web").is_none());
    assert_eq!(
        server.events_after(0).last().unwrap().change,
        Change::Deleted
    );
    server.create(pod("idle", ""), NOW).unwrap();
    server
        .delete(&key(Kind::Pod, "idle"), &DeleteOptions::default(), NOW)
        .unwrap();
    assert!(
        server.pod("default", "idle").is_none(),
        "what never ran goes at once"
    );
}

#[test]
fn api_34_status_and_the_rest_are_written_apart() {
    let mut server = server(&["10.96.0.0/12"]);
    let created = server
        .create(pod("web", ", nodeName: node-a"), NOW)
        .unwrap()
        .object;
    let mut running = Pod::clone(created.as_pod().unwrap());
    "Running".clone_into(&mut running.status.phase);
    "elsewhere".clone_into(&mut running.spec.node_name);
    server.update_status(running.clone().into(), NOW).unwrap();
    let stored = |server: &ApiServer| Pod::clone(server.pod("default", "web").unwrap());
    assert_eq!(stored(&server).status.phase, "Running");
    assert_eq!(stored(&server).spec.node_name, "node-a");
    let mut labelled = stored(&server);
    labelled
        .metadata
        .labels
        .insert("a".to_owned(), "b".to_owned());
    "Failed".clone_into(&mut labelled.status.phase);
    server.replace(labelled.into(), NOW).unwrap();
    assert_eq!(stored(&server).status.phase, "Running");
    assert_eq!(stored(&server).metadata.labels["a"], "b");
    running.metadata.uid = "another".to_owned();
    running.metadata.resource_version.clear();
    assert_eq!(
        server
            .update_status(running.into(), NOW)
            .unwrap_err()
            .reason,
        Reason::Conflict
    );
}

#[test]
fn api_36_generations_count_changes_of_the_spec() {
    let mut server = server(&["10.96.0.0/12"]);
    let text = |port: u16, label: &str| {
        object(&format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: x, annotations: {{a: {label}}}}}, addressType: IPv4, ports: [{{port: {port}}}]}}"
        ))
    };
    server.create(text(80, "b"), NOW).unwrap();
    let generation = |server: &ApiServer| {
        server
            .endpoint_slice("default", "x")
            .unwrap()
            .metadata
            .generation
    };
    assert_eq!(generation(&server), Some(1));
    server.replace(text(80, "c"), NOW).unwrap();
    assert_eq!(generation(&server), Some(1));
    server.replace(text(81, "c"), NOW).unwrap();
    assert_eq!(generation(&server), Some(2));
    assert_eq!(
        server
            .service("default", "kubernetes")
            .unwrap()
            .metadata
            .generation,
        None
    );
}

#[test]
fn alloc_16_two_runs_of_a_seed_are_equal() {
    let run = || {
        let mut server = server(&["10.96.0.0/12"]);
        for index in 0..5 {
            server
                .apply(service(&format!("a{index}"), "{ports: [{port: 80}]}"), NOW)
                .unwrap();
        }
        server.events_after(0).to_vec()
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let uids: std::collections::BTreeSet<_> = first
        .iter()
        .map(|event| event.object.meta().uid.clone())
        .collect();
    assert_eq!(uids.len(), first.len());
    assert!(uids.iter().all(|uid| uid.len() == 36), "{uids:?}");
}
