use api::LABEL_SERVICE_NAME;
use base::SimTime;
use proptest::prelude::*;

use super::*;

fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        ..ObjectMeta::default()
    }
}

fn service(name: &str, cluster_ip: &str) -> Object {
    let mut service = Service {
        metadata: metadata(name),
        ..Service::default()
    };
    service.spec.cluster_ips = vec![cluster_ip.to_owned()];
    Object::Service(Arc::new(service))
}

fn slice(name: &str, owner: &str, address_type: &str, address: &str) -> EndpointSlice {
    let mut slice = EndpointSlice {
        metadata: metadata(name),
        address_type: address_type.to_owned(),
        ..EndpointSlice::default()
    };
    let labels = &mut slice.metadata.labels;
    labels.insert(LABEL_SERVICE_NAME.to_owned(), owner.to_owned());
    slice.endpoints = vec![api::Endpoint {
        addresses: vec![address.to_owned()],
        ..api::Endpoint::default()
    }];
    slice
}

fn event(change: Change, object: Object) -> WatchEvent {
    WatchEvent {
        revision: 1,
        at: SimTime::ZERO,
        change,
        object,
        previous: None,
    }
}

fn any_service() -> impl Strategy<Value = Object> {
    let name = prop::sample::select(vec!["web", "shop"]);
    let cluster_ip = prop::sample::select(vec!["10.96.0.1", "10.96.0.2", "None"]);
    (name, cluster_ip).prop_map(|(name, cluster_ip)| service(name, cluster_ip))
}

fn any_slice() -> impl Strategy<Value = Object> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let owner = prop::sample::select(vec!["web", "shop", ""]);
    let address = prop::sample::select(vec![
        ("IPv4", "10.244.1.1"),
        ("IPv4", "10.244.1.2"),
        ("IPv6", "fd00::1"),
        ("FQDN", "web.example"),
    ]);
    (name, owner, address, prop::bool::weighted(0.2)).prop_map(
        |(name, owner, (kind, address), is_headless)| {
            let mut slice = slice(name, owner, kind, address);
            let labels = &mut slice.metadata.labels;
            if owner.is_empty() {
                labels.remove(LABEL_SERVICE_NAME);
            }
            if is_headless {
                labels.insert(LABEL_HEADLESS.to_owned(), String::new());
            }
            Object::EndpointSlice(Arc::new(slice))
        },
    )
}

/// Objects that come, or change, or go if they are there.
fn history() -> impl Strategy<Value = Vec<(Object, bool)>> {
    let object = prop_oneof![any_service(), any_slice()];
    proptest::collection::vec((object, prop::bool::weighted(0.3)), 0..40)
}

fn key(object: &Object) -> (bool, String) {
    match object {
        Object::Service(service) => (true, service.metadata.name.clone()),
        Object::EndpointSlice(slice) => (false, slice.metadata.name.clone()),
        _ => unreachable!("there are no others"),
    }
}

fn check_known(builder: &ViewBuilder) {
    let ViewBuilder { view, known, .. } = builder;
    let names: std::collections::BTreeSet<_> =
        view.services.keys().chain(view.slices.keys()).collect();
    assert_eq!(known.len(), names.len());
    for name in names {
        let known = &known[name];
        assert_eq!(known.service.as_ref(), view.services.get(name));
        assert_eq!(known.slices.as_ref(), view.slices.get(name));
        let is_empty = known.slices.as_ref().is_some_and(|all| all.is_empty());
        assert!(!is_empty, "{name} has slices or none");
    }
}

proptest! {
    #[test]
    fn whatever_happened_the_view_is_of_what_is_there(history in history()) {
        let mut builder = ViewBuilder::default();
        let mut present = BTreeMap::new();
        for (object, goes) in history {
            let key = key(&object);
            let (change, object) = match (goes, present.contains_key(&key)) {
                (true, true) => (Change::Deleted, present.remove(&key).expect("it is there")),
                (true, false) => continue,
                (false, is_there) => {
                    present.insert(key, object.clone());
                    (if is_there { Change::Modified } else { Change::Added }, object)
                }
            };
            builder.observe(&event(change, object));
            check_known(&builder);
            let mut fresh = ViewBuilder::default();
            for object in present.values() {
                fresh.observe(&event(Change::Added, object.clone()));
            }
            prop_assert_eq!(&builder.view.services, &fresh.view.services);
            prop_assert_eq!(&builder.view.slices, &fresh.view.slices);
            prop_assert_eq!(builder.view.endpoints, fresh.view.endpoints);
            prop_assert_eq!(&builder.owners, &fresh.owners);
        }
    }
}

#[test]
fn a_service_has_one_copy_of_its_name_whatever_happens_to_it() {
    let mut builder = ViewBuilder::default();
    let web = slice("a", "web", "IPv4", "10.244.1.1");
    let web = Object::EndpointSlice(Arc::new(web));
    builder.observe(&event(Change::Added, web));
    for (change, cluster_ip) in [
        (Change::Added, "10.96.0.1"),
        (Change::Modified, "10.96.0.2"),
    ] {
        builder.observe(&event(change, service("web", cluster_ip)));
        let (known, _) = builder.known.iter().next().expect("it is known");
        let (of_service, _) = builder.view.services.get_min().expect("it is seen");
        let (of_slices, _) = builder.view.slices.get_min().expect("it has one");
        let owner = builder.owners.values().next().expect("it is filed");
        for name in [&of_service.name, &of_slices.name, owner] {
            assert!(Arc::ptr_eq(&known.name, name));
        }
    }
}
