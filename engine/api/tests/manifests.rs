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
