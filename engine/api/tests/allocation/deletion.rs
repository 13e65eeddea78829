//! Finalizers, and the end of namespaces.

use api::{ApiServer, Kind, Reason};
use switchboard_api as api;

use super::*;

const KEEP: &str = "example.com/keep";

fn kept(name: &str, spec: &str) -> Object {
    let mut service = service(name, spec);
    service.meta_mut().finalizers = vec![KEEP.to_owned()];
    service
}

fn namespace_key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Namespace, "", name)
}

fn shop(server: &mut ApiServer) {
    let shop = object("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}");
    server.create(shop, NOW).unwrap();
}

fn in_shop(kind: &str, name: &str, more: &str) -> Object {
    object(&format!(
        "{{apiVersion: v1, kind: {kind}, metadata: {{name: {name}, namespace: shop}}{more}}}"
    ))
}

#[test]
fn alloc_25_a_service_with_a_finalizer_keeps_what_it_has() {
    let mut server = server(&["10.96.0.0/12"]);
    let spec = "{type: NodePort, clusterIP: 10.96.0.7, ports: [{port: 80, nodePort: 30080}]}";
    server.create(kept("web", spec), NOW).unwrap();
    let key = service_key("web");
    delete(&mut server, &key, at(5));
    let meta = server.get(&key).unwrap().meta();
    assert_eq!(
        meta.deletion_timestamp.as_deref(),
        Some("2026-01-01T00:00:05Z")
    );
    assert_eq!(meta.deletion_grace_period_seconds, Some(0));
    for (spec, text) in [
        (
            "{clusterIP: 10.96.0.7, ports: [{port: 80}]}",
            "provided IP is already allocated",
        ),
        (
            "{type: NodePort, ports: [{port: 80, nodePort: 30080}]}",
            "provided port is already allocated",
        ),
    ] {
        let refused = create(&mut server, "other", spec).unwrap_err();
        assert!(refused.message.ends_with(text), "{refused}");
    }
    set_finalizers(&mut server, &key, &[], at(6));
    assert!(server.get(&key).is_none());
    assert!(create(&mut server, "other", spec).is_ok());
}

#[test]
fn api_92_a_second_deletion_changes_nothing() {
    let mut server = server(&["10.96.0.0/12"]);
    server
        .create(kept("web", "{ports: [{port: 80}]}"), NOW)
        .unwrap();
    delete(&mut server, &service_key("web"), at(5));
    let revision = server.revision();
    delete(&mut server, &service_key("web"), at(9));
    assert_eq!(server.revision(), revision);
}

#[test]
fn api_92_the_last_finalizer_ends_a_deletion_and_no_other_write_does() {
    let mut server = server(&["10.96.0.0/12"]);
    server
        .create(kept("web", "{ports: [{port: 80}]}"), NOW)
        .unwrap();
    let key = service_key("web");
    set_finalizers(&mut server, &key, &[KEEP, "example.com/too"], NOW);
    set_finalizers(&mut server, &key, &[KEEP], NOW);
    delete(&mut server, &key, NOW);
    let labelled = service("web", "{selector: {a: b}, ports: [{port: 80}]}");
    let mut labelled = labelled;
    labelled.meta_mut().finalizers = vec![KEEP.to_owned()];
    server.replace(labelled, NOW).unwrap();
    assert!(server.get(&key).is_some());
    let before = server.revision();
    set_finalizers(&mut server, &key, &[], NOW);
    let log = server.events_after(before);
    let deleted: Vec<_> = log
        .iter()
        .map(|event| (event.change, event.object.kind()))
        .collect();
    let both = [
        (api::Change::Deleted, Kind::Service),
        (api::Change::Deleted, Kind::IpAddress),
    ];
    assert_eq!(
        deleted, both,
        "API-89: the last state, without another update"
    );
    // Without a deletion, finalizers come and go.
    server
        .create(kept("db", "{ports: [{port: 80}]}"), NOW)
        .unwrap();
    set_finalizers(&mut server, &service_key("db"), &[], NOW);
    assert!(server.get(&service_key("db")).is_some());
}

#[test]
fn api_85_no_finalizer_is_added_to_what_is_being_deleted() {
    let mut server = server(&["10.96.0.0/12"]);
    server
        .create(kept("web", "{ports: [{port: 80}]}"), NOW)
        .unwrap();
    delete(&mut server, &service_key("web"), NOW);
    let mut object = server.get(&service_key("web")).unwrap().clone();
    let late = ["example.com/late".to_owned(), "example.com/also".to_owned()];
    object.meta_mut().finalizers.extend(late);
    let refused = server.replace(object, NOW).unwrap_err();
    assert_eq!(
        refused.message,
        "Service \"web\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/also\", \"example.com/late\"}"
    );
}

#[test]
fn api_92_a_pod_waits_for_its_kubelet_and_for_its_finalizers() {
    let mut server = server(&["10.96.0.0/12"]);
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, finalizers: [example.com/keep]}, spec: {nodeName: n, containers: [{name: c, image: i}]}}";
    server.create(object(pod), NOW).unwrap();
    let key = ObjectKey::new(Kind::Pod, "default", "p");
    delete(&mut server, &key, NOW);
    assert_eq!(
        server
            .get(&key)
            .unwrap()
            .meta()
            .deletion_grace_period_seconds,
        Some(30)
    );
    set_finalizers(&mut server, &key, &[], NOW);
    assert!(server.get(&key).is_some(), "its kubelet has not agreed");
    let now = DeleteOptions {
        grace: Some(0),
        ..DeleteOptions::default()
    };
    server.delete(&key, &now, at(1)).unwrap();
    assert!(server.get(&key).is_none());
    server.create(object(pod), NOW).unwrap();
    server.delete(&key, &now, at(2)).unwrap();
    let meta = server.get(&key).unwrap().meta();
    assert_eq!(
        (meta.deletion_grace_period_seconds, meta.generation),
        (Some(0), Some(2))
    );
    set_finalizers(&mut server, &key, &[], at(3));
    assert!(server.get(&key).is_none());
}

#[test]
fn api_65_endpoints_go_with_their_service() {
    let mut server = server(&["10.96.0.0/12"]);
    address(&mut server, "web").unwrap();
    let endpoints = "{apiVersion: v1, kind: Endpoints, metadata: {name: web}}";
    server.create(object(endpoints), NOW).unwrap();
    delete(&mut server, &service_key("web"), NOW);
    let key = ObjectKey::new(Kind::Endpoints, "default", "web");
    assert!(server.get(&key).is_none());
}

#[test]
fn api_79_every_namespace_has_its_name_as_a_label_and_a_finalizer() {
    let mut server = server(&["10.96.0.0/12"]);
    shop(&mut server);
    for name in [
        "default",
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "shop",
    ] {
        let namespace = server.namespace(name).unwrap();
        assert_eq!(
            namespace.metadata.labels["kubernetes.io/metadata.name"],
            name
        );
        assert_eq!(namespace.spec.finalizers, ["kubernetes"]);
        assert_eq!(namespace.status.phase, "Active");
    }
    let cleared =
        object("{apiVersion: v1, kind: Namespace, metadata: {name: shop}, spec: {finalizers: []}}");
    server.replace(cleared, NOW).unwrap();
    assert_eq!(
        server.namespace("shop").unwrap().spec.finalizers,
        ["kubernetes"]
    );
}

#[test]
fn api_13_nothing_is_created_in_a_terminating_namespace() {
    let mut server = server(&["10.96.0.0/12"]);
    shop(&mut server);
    server.create(in_shop("ConfigMap", "old", ""), NOW).unwrap();
    delete(&mut server, &namespace_key("shop"), at(2));
    let namespace = server.namespace("shop").unwrap();
    assert_eq!(namespace.status.phase, "Terminating");
    assert_eq!(
        namespace.metadata.deletion_timestamp.as_deref(),
        Some("2026-01-01T00:00:02Z")
    );
    let revision = server.revision();
    delete(&mut server, &namespace_key("shop"), at(3));
    assert_eq!(server.revision(), revision, "it is being deleted already");
    let web = in_shop("Service", "web", ", spec: {ports: [{port: 80}]}");
    let refused = server.create(web, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::Forbidden);
    assert_eq!(
        refused.kubectl_text(),
        "Error from server (Forbidden): error when creating \"STDIN\": services \"web\" is forbidden: unable to create new content in namespace shop because it is being terminated"
    );
    let [cause] = refused.causes.as_slice() else {
        panic!("{refused:?}")
    };
    assert_eq!(cause.message, "namespace shop is being terminated");
    assert_eq!(
        (cause.reason, cause.field.as_str()),
        ("NamespaceTerminating", "metadata.namespace")
    );
    assert!(refused.is_namespace_terminating());
    // What is there can still be changed and deleted.
    let old = ObjectKey::new(Kind::of_resource("configmap").unwrap(), "shop", "old");
    server
        .replace(in_shop("ConfigMap", "old", ", data: {a: b}"), NOW)
        .unwrap();
    delete(&mut server, &old, NOW);
}

#[test]
fn api_79_a_namespace_ends_when_it_is_finalized() {
    let mut server = server(&["10.96.0.0/12"]);
    shop(&mut server);
    let key = namespace_key("shop");
    server
        .create(
            in_shop(
                "Service",
                "web",
                ", spec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}",
            ),
            NOW,
        )
        .unwrap();
    let pod = ", spec: {nodeName: n, containers: [{name: c, image: i}]}";
    server.create(in_shop("Pod", "p", pod), NOW).unwrap();
    set_finalizers(&mut server, &key, &[KEEP], NOW);
    delete(&mut server, &key, NOW);
    server.delete_content("shop", NOW);
    assert!(server.service("shop", "web").is_none());
    assert!(server.get(&address_key("10.96.0.7")).is_none());
    assert!(server.pod("shop", "p").unwrap().metadata.is_terminating());
    server.finalize(&key, NOW).unwrap();
    assert!(server.namespace("shop").unwrap().spec.finalizers.is_empty());
    set_finalizers(&mut server, &key, &[], NOW);
    assert!(server.namespace("shop").is_none());
    assert_eq!(
        server.finalize(&key, NOW).unwrap_err().reason,
        Reason::NotFound
    );
}

#[test]
fn three_namespaces_may_not_go() {
    let mut server = server(&["10.96.0.0/12"]);
    for name in ["default", "kube-system", "kube-public"] {
        let refused = server.delete(&namespace_key(name), &DeleteOptions::default(), NOW);
        assert_eq!(
            refused.unwrap_err().kubectl_text(),
            format!(
                "Error from server (Forbidden): namespaces \"{name}\" is forbidden: this namespace may not be deleted"
            )
        );
    }
    delete(&mut server, &namespace_key("kube-node-lease"), NOW);
}
