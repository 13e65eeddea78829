//! ServiceCIDR and IPAddress as objects: what is refused, and what Services are given out of them.

use api::{ApiServer, Kind, Object};
use switchboard_api as api;

use super::*;

fn check_refused(server: &mut ApiServer, object: Object, message: &str) {
    let before = server.revision();
    let status = server.create(object, NOW).unwrap_err();
    assert_eq!(status.message, message);
    assert_eq!(server.revision(), before);
}

#[test]
fn alloc_38_ranges_of_a_service_cidr() {
    let mut server = server(&["10.96.0.0/12"]);
    let is_invalid =
        |text: &str| format!("ServiceCIDR.networking.k8s.io \"more\" is invalid: {text}");
    for (ranges, text) in [
        (
            "[]",
            "spec.cidrs: Required value: at least one CIDR required",
        ),
        (
            "[10.0.0.0/24, fd00::/64, 10.1.0.0/24]",
            "spec.cidrs: Invalid value: {\"CIDRs\":[\"10.0.0.0/24\",\"fd00::/64\",\"10.1.0.0/24\"]}: may only hold up to 2 values",
        ),
        (
            "[10.0.0.0/24, 10.1.0.0/24]",
            "spec.cidrs: Invalid value: [\"10.0.0.0/24\",\"10.1.0.0/24\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ),
        (
            "[10.0.0.0/24, 10.0.0.1/24]",
            "[spec.cidrs[1]: Invalid value: \"10.0.0.1/24\": must not have bits set beyond the prefix length, spec.cidrs: Invalid value: [\"10.0.0.0/24\",\"10.0.0.1/24\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64]",
        ),
        (
            "[10.0.0.0]",
            "spec.cidrs[0]: Invalid value: \"10.0.0.0\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ),
        (
            "[\"2001:DB8::/64\"]",
            "spec.cidrs[0]: Invalid value: \"2001:DB8::/64\": must be in canonical form (\"2001:db8::/64\")",
        ),
    ] {
        check_refused(&mut server, cidr("more", ranges), &is_invalid(text));
    }
}

#[test]
fn alloc_39_ranges_stay_but_for_a_second_family() {
    let mut server = server(&["10.96.0.0/12"]);
    server.create(cidr("more", "[10.0.0.0/24]"), NOW).unwrap();
    let mut change = |ranges: &str| {
        let changed = server.replace(cidr("more", ranges), NOW);
        changed.map(drop).map_err(|status| status.message)
    };
    let refused = |text: &str| {
        Err(format!(
            "ServiceCIDR.networking.k8s.io \"more\" is invalid: {text}"
        ))
    };
    assert_eq!(
        change("[10.0.1.0/24]"),
        refused("spec.cidrs[0]: Invalid value: \"10.0.1.0/24\": field is immutable")
    );
    assert_eq!(
        change("[10.0.1.0/24, fd00::/64]"),
        refused("spec.cidrs[0]: Invalid value: \"10.0.1.0/24\": field is immutable")
    );
    assert_eq!(
        change("[]"),
        refused("spec.cidrs: Invalid value: []: field is immutable")
    );
    assert_eq!(change("[10.0.0.0/24]"), Ok(()));
    assert_eq!(change("[10.0.0.0/24, fd00::/64]"), Ok(()));
    assert_eq!(
        change("[10.0.0.0/24]"),
        refused("spec.cidrs: Invalid value: [\"10.0.0.0/24\"]: field is immutable")
    );
}

#[test]
fn alloc_36_what_an_ip_address_must_say() {
    let mut server = server(&["10.96.0.0/12"]);
    let web = parent("web");
    for (name, parent, text) in [
        (
            "web",
            web.as_str(),
            "metadata.name: Invalid value: \"web\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            "2001:db8::0001",
            &web,
            "metadata.name: Invalid value: \"2001:db8::0001\": must be in canonical form (\"2001:db8::1\")",
        ),
        (
            "10.0.0.01",
            &web,
            "metadata.name: Invalid value: \"10.0.0.01\": must not have leading 0s",
        ),
        ("10.0.0.1", "null", "spec.parentRef: Required value"),
        (
            "10.0.0.1",
            "{namespace: a/b}",
            "[spec.parentRef.resource: Required value, spec.parentRef.name: Required value, spec.parentRef.namespace: Invalid value: \"a/b\": may not contain '/']",
        ),
    ] {
        let message = format!("IPAddress.networking.k8s.io \"{name}\" is invalid: {text}");
        check_refused(&mut server, ip_address(name, "", parent), &message);
    }
    server
        .create(ip_address("10.0.0.1", "", &web), NOW)
        .unwrap();
    let other = ip_address("10.0.0.1", "", &parent("other"));
    assert_eq!(
        server.replace(other, NOW).unwrap_err().message,
        "IPAddress.networking.k8s.io \"10.0.0.1\" is invalid: spec.parentRef: Invalid value: {\"Group\":\"\",\"Resource\":\"services\",\"Namespace\":\"default\",\"Name\":\"other\"}: field is immutable"
    );
    let labelled = ip_address("10.0.0.1", ", labels: {a: b}", &web);
    assert!(server.replace(labelled, NOW).is_ok());
}

#[test]
fn alloc_37_an_address_that_a_user_took_is_blocked() {
    let mut server = server(&["10.70.0.0/29"]);
    let blocked = ip_address("10.70.0.3", "", &parent("elsewhere"));
    server.create(blocked, NOW).unwrap();
    let refused = create(
        &mut server,
        "q",
        "{clusterIP: 10.70.0.3, ports: [{port: 80}]}",
    );
    assert_eq!(
        refused.unwrap_err().message,
        "Service \"q\" is invalid: spec.clusterIPs: Invalid value: [\"10.70.0.3\"]: failed to allocate IP 10.70.0.3: provided IP is already allocated"
    );
    let given: Vec<u8> = (0..4)
        .map(|index| host(&address(&mut server, &format!("a{index}")).unwrap()))
        .collect();
    assert!(!given.contains(&3), "{given:?}");
    assert!(address(&mut server, "a4").is_err());
    delete(&mut server, &address_key("10.70.0.3"), NOW);
    assert_eq!(address(&mut server, "a4").unwrap(), "10.70.0.3");
    // It can be made once only.
    let twice = ip_address("10.70.0.3", "", &parent("elsewhere"));
    assert_eq!(
        server.create(twice, NOW).unwrap_err().message,
        "ipaddresses.networking.k8s.io \"10.70.0.3\" already exists"
    );
}

#[test]
fn alloc_42_a_terminating_service_cidr_takes_back_only() {
    let mut server = server(&["10.70.0.0/29"]);
    let mut more = cidr("more", "[10.71.0.0/29]");
    more.meta_mut().finalizers = vec!["example.com/keep".to_owned()];
    server.create(more, NOW).unwrap();
    let wanted = "{clusterIP: 10.71.0.2, ports: [{port: 80}]}";
    create(&mut server, "a", wanted).unwrap();
    delete(&mut server, &cidr_key("more"), NOW);
    delete(&mut server, &service_key("a"), NOW);
    assert!(server.get(&address_key("10.71.0.2")).is_none());
    let refused = create(&mut server, "a", wanted).unwrap_err();
    assert!(
        refused
            .message
            .ends_with("the provided network does not match the current range")
    );
    for index in 0..5 {
        let given = address(&mut server, &format!("b{index}")).unwrap();
        assert!(given.starts_with("10.70."), "{given}");
    }
    assert!(address(&mut server, "b5").is_err());
    set_finalizers(&mut server, &cidr_key("more"), &[], NOW);
    assert!(server.get(&cidr_key("more")).is_none());
}

#[test]
fn alloc_41_a_service_cidr_that_is_not_ready_gives_nothing_out() {
    let mut server = server(&["10.70.0.0/29"]);
    let mut kubernetes = server.get(&cidr_key("kubernetes")).unwrap().clone();
    let Object::ServiceCidr(cidr) = &mut kubernetes else {
        panic!("{kubernetes:?}")
    };
    std::sync::Arc::make_mut(cidr).status.conditions[0].status = "False".to_owned();
    server.update_status(kubernetes.clone(), NOW).unwrap();
    let refused = address(&mut server, "a").unwrap_err();
    assert!(refused.message.ends_with("range is full"), "{refused}");
    let Object::ServiceCidr(cidr) = &mut kubernetes else {
        panic!("{kubernetes:?}")
    };
    let cidr = std::sync::Arc::make_mut(cidr);
    cidr.status.conditions.clear();
    cidr.metadata.resource_version.clear();
    server.update_status(kubernetes, NOW).unwrap();
    assert!(address(&mut server, "a").is_ok());
}

#[test]
fn alloc_43_each_range_has_its_own_band() {
    let mut server = server(&["10.70.0.0/30"]);
    address(&mut server, "fills-the-first").unwrap();
    server.create(cidr("more", "[10.71.0.0/27]"), NOW).unwrap();
    let given: Vec<u8> = (0..30)
        .map(|index| host(&address(&mut server, &format!("a{index}")).unwrap()))
        .collect();
    assert!(given[..14].iter().all(|host| *host > 16), "{given:?}");
    assert!(given[14..].iter().all(|host| *host <= 16), "{given:?}");
    // A range within another has the same addresses.
    server
        .create(cidr("inside", "[10.71.0.0/28]"), NOW)
        .unwrap();
    assert!(address(&mut server, "none").is_err());
}

#[test]
fn alloc_44_the_default_service_cidr_comes_back() {
    let mut server = server(&["10.70.0.0/29"]);
    set_finalizers(&mut server, &cidr_key("kubernetes"), &[], at(1));
    delete(&mut server, &cidr_key("kubernetes"), at(2));
    assert!(address(&mut server, "a").is_err());
    assert_eq!(
        (server.next_pending(), server.next_periodic()),
        (None, Some(at(10)))
    );
    server.run(at(10));
    let cidr = server.get(&cidr_key("kubernetes")).unwrap();
    assert_eq!(cidr.as_service_cidr().unwrap().spec.cidrs, ["10.70.0.0/29"]);
    assert!(address(&mut server, "a").is_ok());
}

#[test]
fn alloc_40_a_default_service_cidr_unlike_the_settings_is_told_once() {
    let mut server = server(&["10.70.0.0/29"]);
    server.restore(cidr("kubernetes", "[10.80.0.0/24]"), at(1));
    for now in [10, 20, 30] {
        server.run(at(now));
    }
    let told: Vec<_> = server
        .list(Kind::Event, None)
        .filter_map(Object::as_event)
        .collect();
    let [event] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(event.reason, "KubernetesDefaultServiceCIDRInconsistent");
    assert_eq!(
        event.message,
        "The default ServiceCIDR [10.80.0.0/24] does not match the controller flag configurations [10.70.0.0/29]"
    );
    assert_eq!(event.source.component, "kubernetes-service-cidr-controller");
    assert_eq!(
        (event.count, event.metadata.namespace.as_str()),
        (Some(1), "default")
    );
}

#[test]
fn alloc_40_a_single_stack_default_grows() {
    let mut server = server(&["10.70.0.0/29", "fd00::/112"]);
    let mut cidr = cidr("kubernetes", "[10.70.0.0/29]");
    cidr.meta_mut().uid = "u".to_owned();
    server.restore(cidr, at(1));
    server.run(at(10));
    let cidr = server.get(&cidr_key("kubernetes")).unwrap();
    let ranges = &cidr.as_service_cidr().unwrap().spec.cidrs;
    assert_eq!(*ranges, ["10.70.0.0/29", "fd00::/112"]);
}

#[test]
fn alloc_4_huge_ranges_cost_nothing() {
    let mut server = server(&["fd00::/64", "10.0.0.0/8"]);
    assert_eq!(
        server
            .service("default", "kubernetes")
            .unwrap()
            .spec
            .cluster_ip,
        "fd00::1"
    );
    let given = address(&mut server, "a").unwrap();
    assert!(given.starts_with("fd00::"), "{given}");
    // What is too large is stored, and nothing is given out of it.
    server
        .create(cidr("huge", "[\"2001:db8::/48\"]"), NOW)
        .unwrap();
    let refused = create(
        &mut server,
        "b",
        "{clusterIP: \"2001:db8::1\", ports: [{port: 80}]}",
    );
    assert!(
        refused
            .unwrap_err()
            .message
            .ends_with("does not match the current range")
    );
}

#[test]
fn alloc_28_a_second_family_without_an_address_leaves_the_first_alone() {
    let mut server = server(&["10.70.0.0/29", "fd00::/127"]);
    let both = "{ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]}";
    create(&mut server, "first", both).unwrap();
    let before = server.revision();
    let refused = create(&mut server, "second", both).unwrap_err();
    assert!(refused.message.ends_with("range is full"), "{refused}");
    assert_eq!(server.revision(), before);
    for index in 0..4 {
        address(&mut server, &format!("a{index}")).unwrap();
    }
    assert!(address(&mut server, "a4").is_err());
}

#[test]
fn further_ranges_of_a_family_are_service_cidrs_of_their_own() {
    let mut server = server(&["10.70.0.0/30", "fd00::/112", "10.71.0.0/30"]);
    let ranges = |name| {
        let cidr = server.get(&cidr_key(name)).unwrap();
        cidr.as_service_cidr().unwrap().spec.cidrs.clone()
    };
    assert_eq!(ranges("kubernetes"), ["10.70.0.0/30", "fd00::/112"]);
    assert_eq!(ranges("kubernetes-2"), ["10.71.0.0/30"]);
    let given: Vec<String> = (0..3)
        .map(|index| address(&mut server, &format!("a{index}")).unwrap())
        .collect();
    assert_eq!(given[0], "10.70.0.2");
    assert!(
        given[1..]
            .iter()
            .all(|address| address.starts_with("10.71.0.")),
        "{given:?}"
    );
}

#[test]
fn alloc_63_what_is_refused_takes_no_address() {
    let mut server = server(&["10.70.0.0/30"]);
    let before = server.revision();
    assert!(create(&mut server, "bad", "{ports: [{port: 0}]}").is_err());
    assert_eq!(server.revision(), before);
    assert_eq!(address(&mut server, "good").unwrap(), "10.70.0.2");
}

/// EP-71.
#[test]
fn alloc_5_the_kubernetes_service_comes_back() {
    let mut config = config(&["10.96.0.0/12"]);
    config.api_servers = vec![
        "192.168.10.5:6443".parse().unwrap(),
        "192.168.10.4:6443".parse().unwrap(),
    ];
    let mut server = ApiServer::new(config, NOW);
    let key = service_key("kubernetes");
    let uid = server.get(&key).unwrap().meta().uid.clone();
    delete(&mut server, &key, at(3));
    let endpoints = ObjectKey::new(Kind::Endpoints, "default", "kubernetes");
    assert!(
        server.get(&endpoints).is_none(),
        "API-65: they go with the Service"
    );
    let slice = ObjectKey::new(Kind::EndpointSlice, "default", "kubernetes");
    delete(&mut server, &slice, at(4));
    assert_eq!(server.next_periodic(), Some(at(10)));
    server.run(at(10));
    let service = server.service("default", "kubernetes").unwrap();
    assert_eq!(service.spec.cluster_ip, "10.96.0.1");
    assert_ne!(service.metadata.uid, uid);
    let slice = server.endpoint_slice("default", "kubernetes").unwrap();
    let addresses: Vec<&String> = slice.endpoints.iter().flat_map(|e| &e.addresses).collect();
    assert_eq!(addresses, ["192.168.10.4", "192.168.10.5"]);
    assert!(server.get(&endpoints).is_some());
    assert_eq!(server.next_periodic(), None);
    let mut changed = server.get(&endpoints).unwrap().clone();
    let Object::Endpoints(object) = &mut changed else {
        panic!("{changed:?}")
    };
    std::sync::Arc::make_mut(object).subsets.clear();
    changed
        .meta_mut()
        .labels
        .insert("mine".to_owned(), "kept".to_owned());
    server.replace(changed, at(11)).unwrap();
    server.run(at(20));
    let endpoints = server.get(&endpoints).unwrap().as_endpoints().unwrap();
    assert_eq!(endpoints.subsets[0].addresses.len(), 2);
    assert_eq!(endpoints.metadata.labels["mine"], "kept");
}
