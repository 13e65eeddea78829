//! Merge patches.

use api::{ApiConfig, ApiServer, Kind, ObjectKey, Reason, Status, Verb, Written, decode, yaml};
use base::{Seed, SimTime};
use serde_json::{Value, json};
use switchboard_api as api;

fn server() -> ApiServer {
    let config = ApiConfig {
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    let mut server = ApiServer::new(config, SimTime::ZERO);
    let text = "{apiVersion: v1, kind: Service, metadata: {name: web, labels: {a: b}}, spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}}";
    let documents = yaml::split(&yaml::Source::new("web.yaml", text)).unwrap();
    let object = decode(&documents[0]).unwrap().remove(0).object;
    server.create(object, SimTime::ZERO).unwrap();
    server
}

fn patch(server: &mut ApiServer, patch: &Value) -> Result<Written, Status> {
    let key = ObjectKey::new(Kind::Service, "default", "web");
    server.patch(&key, patch.as_object().unwrap(), SimTime::ZERO)
}

#[test]
fn null_removes_objects_merge_and_lists_are_replaced() {
    let mut server = server();
    let change = json!({"metadata": {"labels": {"a": null, "c": "d"}}, "spec": {"selector": {"tier": "front"}, "ports": [{"port": 81}]}});
    let written = patch(&mut server, &change).unwrap();
    assert_eq!(written.to_string(), "service/web patched");
    let service = written.object.as_service().unwrap();
    assert_eq!(
        service.metadata.labels.iter().collect::<Vec<_>>(),
        [(&"c".to_owned(), &"d".to_owned())]
    );
    assert_eq!(service.spec.selector.len(), 2);
    assert_eq!(service.spec.ports.len(), 1);
    assert_eq!(service.spec.ports[0].port, 81);
    let again = patch(&mut server, &change).unwrap();
    assert_eq!(again.verb, Verb::NotPatched);
    assert_eq!(again.to_string(), "service/web patched (no change)");
}

/// Recorded in allocation.md: a patch of the type alone releases the node port, and one of the address too gives
/// up the address.
#[test]
fn api_64_type_transitions_by_patch() {
    let mut server = server();
    let written = patch(&mut server, &json!({"spec": {"type": "ClusterIP"}})).unwrap();
    let service = written.object.as_service().unwrap();
    assert_eq!(service.spec.ports[0].node_port, 0);
    let external = json!({"spec": {"type": "ExternalName", "externalName": "e.com", "clusterIP": null, "clusterIPs": null}});
    let written = patch(&mut server, &external).unwrap();
    let service = written.object.as_service().unwrap();
    assert!(service.spec.cluster_ip.is_empty() && service.spec.cluster_ips.is_empty());
}

#[test]
fn a_refused_patch_changes_nothing() {
    let mut server = server();
    let before = server.revision();
    let mut refused = |change: Value| {
        let status = patch(&mut server, &change).unwrap_err();
        assert_eq!(server.revision(), before);
        status
    };
    let status = refused(json!({"spec": {"ports": "no"}}));
    assert_eq!((status.code, status.reason), (422, Reason::Invalid));
    let text = status.kubectl_text();
    assert!(
        text.starts_with("The request is invalid: patch: Invalid value: \"{"),
        "{text}"
    );
    assert!(
        text.contains("json: cannot unmarshal string into Go struct field"),
        "{text}"
    );
    let status = refused(json!({"metadata": {"name": "other"}}));
    assert_eq!(
        status.message,
        "the name of the object (other) does not match the name on the URL (web)"
    );
    let status = refused(json!({"metadata": {"namespace": "other"}}));
    assert_eq!(
        status.message,
        "the namespace of the object (other) does not match the namespace on the request (default)"
    );
    let status = refused(json!({"kind": "Gateway"}));
    assert_eq!(
        status.message,
        "the kind in the data (Gateway) does not match the expected kind (Service)"
    );
    let status = refused(json!({"apiVersion": "example.com/v1"}));
    assert_eq!(status.reason, Reason::BadRequest);
    let status = refused(json!({"metadata": {"resourceVersion": "1"}}));
    assert_eq!(status.reason, Reason::Conflict);
    let status = refused(json!({"spec": {"ports": [{"port": 0}]}}));
    assert!(
        status
            .kubectl_text()
            .starts_with("The Service \"web\" is invalid:")
    );
    let key = ObjectKey::new(Kind::Service, "default", "none");
    let nothing = json!({});
    let status = server.patch(&key, nothing.as_object().unwrap(), SimTime::ZERO);
    assert_eq!(status.unwrap_err().reason, Reason::NotFound);
}

#[test]
fn fields_that_do_not_exist_are_dropped_with_a_warning() {
    let mut server = server();
    let written = patch(
        &mut server,
        &json!({"spec": {"prts": 1, "ports": [{"port": 80, "name": "a", "x": {}}]}}),
    );
    let written = written.unwrap();
    assert_eq!(
        written.warnings,
        [
            "unknown field \"spec.ports[0].x\"",
            "unknown field \"spec.prts\""
        ]
    );
    assert_eq!(written.object.as_service().unwrap().spec.ports[0].name, "a");
}
