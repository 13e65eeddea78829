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
    service.spec.ports = vec![api::ServicePort::default()];
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
    slice.ports = vec![api::EndpointPort {
        name: Some(String::new()),
        port: Some(8080),
        ..api::EndpointPort::default()
    }];
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

/// Each Service of a view, the copies of names being those of the register.
fn check_registered(builder: &ViewBuilder) {
    let ViewBuilder { view, register, .. } = builder;
    let slices = view
        .services
        .entries()
        .map(|(_, entry)| entry.slices.iter().len());
    let counts = (view.services.entries().len(), slices.sum());
    assert_eq!(register.counts(), counts);
    for (name, entry) in view.services.entries() {
        assert!(!entry.is_empty(), "{name} is something");
        let number = register.find(&name.namespace, &name.name);
        let known = register.of(number.expect("it is known"));
        assert_eq!(&known.entry, entry);
        assert!(!known.is_noted);
        assert!(Arc::ptr_eq(&known.name.name, &name.name));
        for slice in entry.slices.keys() {
            assert_eq!(register.owner_of(&name.namespace, slice), number);
        }
    }
}

proptest! {
    #[test]
    fn whatever_happened_and_whoever_looked_the_view_is_of_what_is_there(
        history in history(),
        looks in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let mut builder = ViewBuilder::default();
        let mut before = ClusterView::default();
        let mut changed = false;
        let mut present = BTreeMap::new();
        for ((object, goes), looks) in history.into_iter().zip(looks) {
            let key = key(&object);
            let (change, object) = match (goes, present.contains_key(&key)) {
                (true, true) => (Change::Deleted, present.remove(&key).expect("it is there")),
                (true, false) => continue,
                (false, is_there) => {
                    present.insert(key, object.clone());
                    (if is_there { Change::Modified } else { Change::Added }, object)
                }
            };
            let has_changed = builder.observe(&event(change, object));
            changed |= has_changed;
            if !looks {
                continue;
            }
            let view = builder.view().clone();
            check_registered(&builder);
            let mut fresh = ViewBuilder::default();
            for object in present.values() {
                fresh.observe(&event(Change::Added, object.clone()));
            }
            let fresh = fresh.view();
            prop_assert_eq!(&view.services, &fresh.services);
            prop_assert_eq!(view.endpoints, fresh.endpoints);
            let mut counted = view.clone();
            counted.recount();
            prop_assert_eq!(view.endpoints, counted.endpoints);
            prop_assert!(changed || view.services == before.services);
            (before, changed) = (view, false);
        }
    }

    #[test]
    fn a_change_is_told_if_and_only_if_the_view_differs(history in history()) {
        let mut builder = ViewBuilder::default();
        for (object, goes) in history {
            let change = if goes { Change::Deleted } else { Change::Added };
            let before = builder.view().clone();
            let has_changed = builder.observe(&event(change, object));
            let after = builder.view();
            prop_assert_eq!(has_changed, before.services != after.services);
            prop_assert_eq!(has_changed, before.services.diff(&after.services).count() > 0);
        }
    }
}

/// What nobody has looked at in between is a reason for a sync all the same.
#[test]
fn a_change_that_is_taken_back_is_told_twice() {
    let mut builder = ViewBuilder::default();
    let web = |cluster_ip| event(Change::Modified, service("web", cluster_ip));
    assert!(builder.observe(&web("10.96.0.1")));
    let before = builder.view().clone();
    assert!(builder.observe(&web("10.96.0.2")));
    assert!(builder.observe(&web("10.96.0.1")));
    assert_eq!(builder.view().services, before.services);
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
        builder.view();
        check_registered(&builder);
    }
}
