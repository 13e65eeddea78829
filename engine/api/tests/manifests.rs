//! Manifests: nothing is lost between YAML and objects, and complaints know their place.

use api::{Kind, Object, decode, yaml};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Map, Value, json};
use switchboard_api as api;

fn failure(text: &str) -> api::DecodeFailure {
    let documents = yaml::split(&yaml::Source::new("web.yaml", text)).unwrap();
    documents
        .iter()
        .find_map(|document| decode(document).err())
        .expect("it must be refused")
}

/// `text` must be refused with one problem at that place and with that help.
fn check(text: &str, line: u32, column: u32, path: &str, message: &str, help: Option<&str>) {
    let failure = failure(text);
    let [problem] = failure.problems() else {
        panic!("{:?}", failure.problems())
    };
    assert_eq!((problem.line, problem.column), (line, column), "{problem}");
    assert_eq!(
        (problem.path.as_str(), problem.message.as_str()),
        (path, message)
    );
    assert_eq!(problem.help.as_deref(), help);
}

#[test]
fn complaints_know_their_place() {
    let service = |spec: &str| {
        format!("# mine\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n{spec}")
    };
    check(
        &service("  prots:\n  - port: 80\n"),
        7,
        3,
        "spec.prots",
        "unknown field \"spec.prots\"",
        Some("did you mean `ports`?"),
    );
    check(
        &service("  ports:\n  - port: 80\n    targtPort: 1\n"),
        9,
        5,
        "spec.ports[0].targtPort",
        "unknown field \"spec.ports[0].targtPort\"",
        Some("did you mean `targetPort`?"),
    );
    check(
        &service("  ports:\n  - port: http\n"),
        8,
        11,
        "spec.ports[0].port",
        "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32",
        None,
    );
    check(
        "apiVersion: v1\nkind: Servce\n",
        2,
        7,
        "kind",
        "no matches for kind \"Servce\" in version \"v1\"",
        Some("did you mean Service?"),
    );
    check(
        "apiVersion: extensions/v1beta1\nkind: Deployment\n",
        1,
        13,
        "apiVersion",
        "no matches for kind \"Deployment\" in version \"extensions/v1beta1\"",
        Some("Deployment is in apps/v1"),
    );
    check("a: 1\n", 1, 1, "apiVersion", "apiVersion not set", None);
    check("apiVersion: v1\n", 1, 1, "kind", "kind not set", None);
}

#[test]
fn lists_are_expanded_and_places_go_on_counting() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n";
    let documents = yaml::split(&yaml::Source::new("list.yaml", text)).unwrap();
    let manifests = decode(&documents[0]).unwrap();
    let keys: Vec<_> = manifests
        .iter()
        .map(|manifest| manifest.object.key().to_string())
        .collect();
    assert_eq!(keys, ["namespace/a", "configmap//b"]);
    assert_eq!(
        manifests
            .iter()
            .map(|m| m.location.line)
            .collect::<Vec<_>>(),
        [4, 7]
    );
    assert_eq!((manifests[0].index, manifests[1].index), (0, 1));
    assert!(manifests[1].object.is_inert() && !manifests[0].object.is_inert());
    let bad =
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  spec: {prt: 1}\n";
    assert_eq!(failure(bad).problems()[0].line, 6);
    assert!(
        failure("{apiVersion: v1, kind: List, items: 3}").problems()[0]
            .message
            .contains("list")
    );
}

/// Objects of a text, as keys.
fn keys(text: &str) -> Vec<String> {
    let documents = yaml::split(&yaml::Source::new("x.yaml", text)).unwrap();
    let manifests = documents
        .iter()
        .flat_map(|document| decode(document).unwrap());
    manifests
        .map(|manifest| manifest.object.key().to_string())
        .collect()
}

#[test]
fn documents_json_and_lists_within_lists_are_read() {
    let config_map =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let (a, b) = (config_map("a"), config_map("b"));
    let list = |items: Value| json!({"apiVersion": "v1", "kind": "List", "items": items});
    assert_eq!(keys(&a.to_string()), ["configmap//a"]);
    assert_eq!(
        keys(&format!("---\n{a}\n---\n# nothing\n---\n{b}\n")),
        ["configmap//a", "configmap//b"]
    );
    assert_eq!(
        keys(&list(json!([a, list(json!([b]))])).to_string()),
        ["configmap//a", "configmap//b"]
    );
    assert_eq!(keys(&list(json!([])).to_string()), Vec::<String>::new());
}

#[test]
fn items_of_typed_lists_need_not_say_what_they_are() {
    let typed = "{apiVersion: v1, kind: ServiceList, items: [{metadata: {name: a}}, {apiVersion: v1, kind: Pod, metadata: {name: b}}]}";
    assert_eq!(keys(typed), ["service//a", "pod//b"]);
    let slices = "{apiVersion: discovery.k8s.io/v1, kind: EndpointSliceList, metadata: {resourceVersion: '7'}, items: [{metadata: {name: a}}]}";
    assert_eq!(keys(slices), ["endpointslice//a"]);
    let custom =
        "{apiVersion: cert-manager.io/v1, kind: CertificateList, items: [{metadata: {name: a}}]}";
    assert_eq!(keys(custom), ["certificate.cert-manager.io//a"]);
    check(
        "apiVersion: v1\nkind: PodList\nitems:\n- spec: {contaners: []}\n",
        4,
        10,
        "items[0].spec.contaners",
        "unknown field \"spec.contaners\"",
        Some("did you mean `containers`?"),
    );
}

/// `spec` of a kind, in one line; the message, and the beginning of what kubectl prints.
fn check_spec(kind: Kind, spec: &str, message: &str) {
    let text = format!(
        "apiVersion: {}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n",
        kind.api_version()
    );
    let failure = failure(&text);
    assert_eq!(failure.problems()[0].message, message);
    assert_eq!(failure.problems()[0].line, 4);
    let version = kind.api_version().rsplit('/').next().unwrap();
    let head = format!(
        "Error from server (BadRequest): error when creating \"STDIN\": {kind} in version \"{version}\" cannot be handled as a {kind}: "
    );
    assert!(
        failure.kubectl_text().starts_with(&head),
        "{}",
        failure.kubectl_text()
    );
}

#[test]
fn types_are_those_of_gos_structs() {
    let container = |fields: &str| format!("{{containers: [{{name: c, {fields}}}]}}");
    check_spec(
        Kind::Pod,
        &container("ports: [{containerPort: 80, protocol: 6}]"),
        "json: cannot unmarshal number into Go struct field ContainerPort.spec.containers.ports.protocol of type v1.Protocol",
    );
    check_spec(
        Kind::Pod,
        &container("readinessProbe: {httpGet: {port: true}}"),
        "json: cannot unmarshal bool into Go struct field HTTPGetAction.spec.containers.readinessProbe.httpGet.port of type int32",
    );
    check_spec(
        Kind::Pod,
        &container("resources: {limits: {cpu: lots}}"),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
    check_spec(
        Kind::Pod,
        &container("resources: {limits: [cpu]}"),
        "json: cannot unmarshal array into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
    );
    check_spec(
        Kind::Pod,
        &container("command: run"),
        "json: cannot unmarshal string into Go struct field Container.spec.containers.command of type []string",
    );
    check_spec(
        Kind::Service,
        "{ports: [80]}",
        "json: cannot unmarshal number into Go struct field ServiceSpec.spec.ports of type v1.ServicePort",
    );
    check_spec(
        Kind::Deployment,
        "{replicas: two}",
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    check_spec(
        Kind::Deployment,
        "{template: {metadata: {creationTimestamp: now}}}",
        "parsing time \"now\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"now\" as \"2006\"",
    );
    check_spec(
        Kind::of_resource("ingress").unwrap(),
        "{rules: [{host: 3}]}",
        "json: cannot unmarshal number into Go struct field IngressRule.spec.rules.host of type string",
    );
}

#[test]
fn every_kind_refuses_unknown_fields() {
    for kind in Kind::all().filter(|kind| *kind != Kind::CUSTOM) {
        let text = format!(
            "apiVersion: {}\nkind: {kind}\nmetadata: {{name: a}}\nspce: 1\n",
            kind.api_version()
        );
        assert_eq!(
            failure(&text).problems()[0].message,
            "unknown field \"spce\"",
            "{kind}"
        );
    }
    check_spec(
        Kind::Pod,
        "{contaners: []}",
        "unknown field \"spec.contaners\"",
    );
}

/// The decoder stops at what reads itself, and goes on after a plain mismatch; the metadata comes before all.
#[test]
fn the_complaint_that_a_real_server_would_make_is_made() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  clusterIP: 5\n  ports: [{port: x, targetPort: []}]\n";
    assert_eq!(
        failure(text).problems()[0].message,
        "json: cannot unmarshal array into Go struct field ServicePort.spec.ports.targetPort of type int32"
    );
    let text =
        "apiVersion: v1\nkind: Service\nspec: {ports: [{port: x}], b: 1}\nmetadata: {labels: x}\n";
    assert_eq!(
        failure(text).kubectl_text(),
        "error: unable to decode \"STDIN\": json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string"
    );
    let text = "apiVersion: v1\nkind: Service\nmetadata: x\n";
    assert_eq!(
        failure(text).kubectl_text(),
        "error: unable to decode \"STDIN\": json: cannot unmarshal string into Go struct field metadataOnlyObject.metadata of type v1.ObjectMeta"
    );
    let text = "apiVersion: v1\nkind: Service\nzulu: 1\nalpha: 2\n";
    assert!(
        failure(text)
            .kubectl_text()
            .ends_with("strict decoding error: unknown field \"alpha\", unknown field \"zulu\"")
    );
}

#[test]
fn null_in_a_list_is_the_zero_of_its_type() {
    let text = "{apiVersion: v1, kind: Service, metadata: {name: a, labels: {x: null}}, spec: {externalIPs: [null], ports: [null, {port: 80.0}]}}";
    let documents = yaml::split(&yaml::Source::new("x.yaml", text)).unwrap();
    let object = decode(&documents[0]).unwrap().remove(0).object;
    let spec = &object.as_service().unwrap().spec;
    assert_eq!(spec.external_ips, [""]);
    assert_eq!(
        spec.ports.iter().map(|port| port.port).collect::<Vec<_>>(),
        [0, 80]
    );
    assert_eq!(object.meta().labels["x"], "");
}

#[test]
fn custom_resources_are_stored_as_what_they_are() {
    let now = base::SimTime::ZERO;
    let config = api::ApiConfig {
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: base::Seed::new(7),
    };
    let mut server = api::ApiServer::new(config, now);
    let text = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec: {listeners: [{port: 80, weight: 1.5, nothing: [null]}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: web, labels: {a: b}}
";
    let documents = yaml::split(&yaml::Source::new("x.yaml", text)).unwrap();
    let objects: Vec<Object> = documents
        .iter()
        .map(|document| decode(document).unwrap().remove(0).object)
        .collect();
    let lines = |server: &mut api::ApiServer, objects: &[Object]| -> Vec<String> {
        let written = objects
            .iter()
            .map(|object| server.apply(object.clone(), now).unwrap().to_string());
        written.collect()
    };
    let words = |word: &str| {
        [
            "gateway.gateway.networking.k8s.io",
            "gateway.networking.istio.io",
            "servicemonitor.monitoring.coreos.com",
        ]
        .map(|kind| format!("{kind}/web {word}"))
    };
    assert_eq!(lines(&mut server, &objects), words("created"));
    assert_eq!(lines(&mut server, &objects), words("unchanged"));
    assert_eq!(server.list(Kind::CUSTOM, Some("default")).count(), 3);
    let key =
        api::ObjectKey::of_resource("Gateway.gateway.networking.k8s.io", "default", "web").unwrap();
    assert_eq!(key, server.get(&key).unwrap().key());
    let stored = server.get(&key).unwrap().to_fields();
    assert_eq!(
        (&stored["apiVersion"], &stored["kind"]),
        (&json!("gateway.networking.k8s.io/v1"), &json!("Gateway"))
    );
    assert_eq!(
        stored["spec"],
        json!({"listeners": [{"port": 80, "weight": 1.5, "nothing": [null]}]})
    );
    let options = api::DeleteOptions::default();
    let deleted = server.delete(&key, &options, now).unwrap();
    assert_eq!(
        deleted.to_string(),
        "gateway.gateway.networking.k8s.io \"web\" deleted"
    );
    let missing = server.delete(&key, &options, now).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "gateways.gateway.networking.k8s.io \"web\" not found"
    );
    assert_eq!(
        server.list(Kind::CUSTOM, None).count(),
        2,
        "a Gateway of another group is another kind"
    );
    let bad = objects[0].clone();
    let mut bad = bad.to_fields();
    bad["metadata"] = json!({"name": "bad", "labels": {"a b": "c"}});
    let refused = server
        .create(Object::from_fields(Kind::CUSTOM, bad).unwrap(), now)
        .unwrap_err();
    assert!(
        refused
            .kubectl_text()
            .starts_with("The Gateway \"bad\" is invalid: metadata.labels"),
        "{refused}"
    );
}

#[test]
fn custom_resources_have_the_metadata_of_all_objects() {
    let head = "apiVersion: cert-manager.io/v1\nkind: Certificate\n";
    check(
        &format!("{head}metadata: {{nmae: a}}\nspec: {{anything: [1]}}\n"),
        3,
        12,
        "metadata.nmae",
        "unknown field \"metadata.nmae\"",
        Some("did you mean `name`?"),
    );
    check(
        "apiVersion: networking.k8s.io/v1\nkind: Ingres\n",
        2,
        7,
        "kind",
        "no matches for kind \"Ingres\" in version \"networking.k8s.io/v1\"",
        Some("did you mean Ingress?"),
    );
}

#[test]
fn kinds_without_an_effect_say_so() {
    let names = |effect: bool| -> Vec<&str> {
        let kinds = Kind::LIVE
            .into_iter()
            .filter(|kind| kind.has_effect() == effect);
        kinds.map(Kind::name).collect()
    };
    assert_eq!(names(false), ["StatefulSet", "DaemonSet", "NetworkPolicy"]);
    assert!(names(true).contains(&"Service"));
    assert!(!Kind::CUSTOM.has_effect());
}

#[test]
fn odd_yaml_is_refused_by_name() {
    assert!(
        failure("a: !mine 1\n").problems()[0]
            .message
            .contains("tag")
    );
    assert!(
        failure("a: .nan\n").problems()[0]
            .message
            .contains("finite")
    );
    assert!(failure("{[1]: 2}\n").problems()[0].message.contains("key"));
    assert!(
        failure("just text\n")
            .kubectl_text()
            .contains("invalid object to validate")
    );
}

#[test]
fn null_is_absent_and_numbers_are_good_keys() {
    let text = "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, labels: null, annotations: {1: a}}, addressType: IPv4, endpoints: null, ports: null}";
    let documents = yaml::split(&yaml::Source::new("x.yaml", text)).unwrap();
    let object = decode(&documents[0]).unwrap().remove(0).object;
    let fields = object.to_fields();
    assert_eq!(
        (&fields["endpoints"], &fields["ports"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(object.meta().annotations["1"], "a");
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,6}".prop_map(Value::from),
    ]
}

/// Any JSON without null, which is the same as absent.
fn anything() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 16, 4, |inner| {
        let fields = prop::collection::btree_map("x[a-zA-Z]{0,6}", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn complete_pod(extra: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "labels": {"app": "web"}, "finalizers": ["a/b"], "managedFields": [extra]},
        "spec": {
            "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}], "xprobe": extra}],
            "nodeName": "n", "dnsConfig": {"options": [{"name": "ndots"}]}, "tolerations": [extra],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "because"}],
            "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "image": "i", "state": extra}],
            "qosClass": extra,
        },
    })
}

proptest! {
    #[test]
    fn no_field_is_lost(
        kind in prop_oneof![Just(Kind::Pod), Just(Kind::Node), Just(Kind::of_resource("ingress").unwrap())],
        extra in prop::collection::btree_map("x[a-z]{1,5}", anything(), 0..4),
    ) {
        let extra: Map<String, Value> = extra.into_iter().collect();
        let mut fields = Map::new();
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
        fields.insert("kind".to_owned(), kind.name().into());
        fields.insert("metadata".to_owned(), json!({"name": "a"}));
        fields.insert("spec".to_owned(), Value::Object(extra.clone()));
        fields.insert("status".to_owned(), Value::Object(extra));
        let object = Object::from_fields(kind, fields.clone()).unwrap();
        prop_assert_eq!(object.to_fields(), fields);
    }

    #[test]
    fn no_field_of_a_full_pod_is_lost(extra in anything()) {
        let Value::Object(fields) = complete_pod(&extra) else { unreachable!() };
        let object = Object::from_fields(Kind::Pod, fields.clone()).unwrap();
        prop_assert_eq!(object.to_fields(), fields);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a-z0-9:{}\\[\\]&*!|>'\" \t\n#,]{0,60}") {
        for document in yaml::split(&yaml::Source::new("x", text)).into_iter().flatten() {
            let _ = decode(&document);
        }
    }
}

#[test]
fn no_field_of_service_and_slice_is_lost() {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "a", "uid": "u", "resourceVersion": "3", "generation": 2},
        "spec": {
            "ports": [{"name": "a", "protocol": "UDP", "appProtocol": "x", "port": 1, "targetPort": "y", "nodePort": 30_000}],
            "selector": {"a": "b"}, "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "type": "LoadBalancer",
            "externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP", "loadBalancerIP": "1.2.3.5",
            "loadBalancerSourceRanges": ["10.0.0.0/8"], "externalName": "x.y", "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30_001, "publishNotReadyAddresses": true,
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}, "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "allocateLoadBalancerNodePorts": false, "loadBalancerClass": "c",
            "internalTrafficPolicy": "Local", "trafficDistribution": "PreferSameZone",
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1", "hostname": "h", "ipMode": "VIP", "ports": [{"port": 1}]}]}, "conditions": [{"type": "x"}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "s", "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "u", "controller": true, "blockOwnerDeletion": true}]},
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": false, "terminating": false}, "hostname": "h",
            "targetRef": {"kind": "Pod", "namespace": "a", "name": "p", "uid": "u", "apiVersion": "v1", "resourceVersion": "1", "fieldPath": "f"},
            "deprecatedTopology": {"a": "b"}, "nodeName": "n", "zone": "z",
            "hints": {"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]},
        }],
        "ports": [{"name": "a", "protocol": "TCP", "port": 1, "appProtocol": "x"}],
    });
    for (kind, value) in [(Kind::Service, service), (Kind::EndpointSlice, slice)] {
        let fields = value.as_object().unwrap().clone();
        assert_eq!(
            Object::from_fields(kind, fields.clone())
                .unwrap()
                .to_fields(),
            fields
        );
        let documents = yaml::split(&yaml::Source::new("x", value.to_string())).unwrap();
        assert_eq!(
            decode(&documents[0]).unwrap()[0].object.to_fields(),
            fields,
            "the schema knows all"
        );
    }
}
