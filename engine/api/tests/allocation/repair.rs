//! What does not fit together is repaired or told: states that come from a dump or from a user's edits.

use std::sync::Arc;

use api::{ApiServer, Event, Kind, Object};
use switchboard_api as api;

use super::*;

/// A Service as another server has stored it.
fn stored(name: &str, spec: &str) -> Object {
    let mut service = service(name, spec);
    service.meta_mut().uid = format!("uid-of-{name}");
    service
}

fn cluster_ip(name: &str, address: &str) -> Object {
    let spec = format!(
        "{{type: ClusterIP, clusterIP: \"{address}\", clusterIPs: [\"{address}\"], ports: [{{port: 80}}]}}"
    );
    stored(name, &spec)
}

fn node_port(name: &str, address: &str, port: i32) -> Object {
    let spec = format!(
        "{{type: NodePort, clusterIP: {address}, clusterIPs: [{address}], ports: [{{port: 80, nodePort: {port}}}]}}"
    );
    stored(name, &spec)
}

fn events(server: &ApiServer) -> Vec<&Arc<Event>> {
    server
        .list(Kind::Event, None)
        .filter_map(Object::as_event)
        .collect()
}

/// Everything told: `<kind>/<name> <reason>: <message>`, in the order of the objects' names.
fn told(server: &ApiServer) -> Vec<String> {
    let line = |event: &&Arc<Event>| {
        let about = &event.involved_object;
        format!(
            "{}/{} {}: {}",
            about.kind, about.name, event.reason, event.message
        )
    };
    events(server).iter().map(line).collect()
}

fn holder(server: &ApiServer, address: &str) -> Option<String> {
    let object = server.get(&address_key(address))?.as_ip_address()?;
    Some(object.spec.parent_ref.as_ref()?.name.clone())
}

#[test]
fn alloc_30_31_a_restored_service_gets_its_address() {
    let mut server = server(&["10.96.0.0/12"]);
    server.restore(cluster_ip("web", "10.96.0.7"), at(5));
    server.repair(at(5));
    assert_eq!(
        told(&server),
        [
            "Service/web ClusterIPNotAllocated: Cluster IP [IPv4]: 10.96.0.7 is not allocated; repairing"
        ]
    );
    assert_eq!(holder(&server, "10.96.0.7").unwrap(), "web");
    assert!(
        server
            .get(&address_key("10.96.0.7"))
            .unwrap()
            .as_ip_address()
            .unwrap()
            .is_labelled()
    );
    assert_eq!(
        server.next_periodic(),
        Some(at(180)),
        "it is looked at once more"
    );
    server.run(at(180));
    assert_eq!((told(&server).len(), server.next_periodic()), (1, None));
}

#[test]
fn alloc_31_the_event_is_what_the_repair_of_addresses_writes() {
    let mut server = server(&["10.96.0.0/12"]);
    server.restore(cluster_ip("web", "10.96.0.7"), at(5));
    server.repair(at(5));
    let event = Object::Event(Arc::clone(events(&server)[0])).to_fields();
    let nanos = (api::EPOCH_UNIX_SECONDS + 5) * 1_000_000_000;
    let name = format!("web.{nanos:x}");
    assert_eq!(event["metadata"]["name"], name.as_str());
    assert_eq!(event["metadata"]["namespace"], "default");
    let about = &event["involvedObject"];
    assert_eq!(
        (&about["kind"], &about["uid"]),
        (&"Service".into(), &"uid-of-web".into())
    );
    assert_eq!(
        (&event["type"], &event["action"]),
        (&"Warning".into(), &"ClusterIPAllocation".into())
    );
    assert_eq!(event["reportingComponent"], "ipallocator-repair-controller");
    assert_eq!(event["eventTime"], "2026-01-01T00:00:05.000000Z");
    assert!(!event.contains_key("count") && !event.contains_key("firstTimestamp"));
}

#[test]
fn alloc_31_two_services_with_one_address() {
    let mut server = server(&["10.96.0.0/12"]);
    let [first, second] = ["first", "second"].map(|name| cluster_ip(name, "10.96.0.7"));
    server.restore(ip_address("10.96.0.7", MANAGED, &parent("second")), NOW);
    server.restore(first, NOW);
    server.restore(second, NOW);
    server.repair(NOW);
    let text = "Service/first ClusterIPAlreadyAllocated: Cluster IP [IPv4]:10.96.0.7 was assigned to multiple services; please recreate service";
    assert_eq!(told(&server), [text]);
    assert_eq!(holder(&server, "10.96.0.7").unwrap(), "second");
    for minutes in [3, 6] {
        assert_eq!(server.next_periodic(), Some(at(minutes * 60)));
        server.run(at(minutes * 60));
    }
    assert_eq!(told(&server), [text], "it is counted");
    assert_eq!(events(&server)[0].rest.get("series").unwrap()["count"], 3);
    // The other Service's address is not given out when the first goes.
    delete(&mut server, &service_key("first"), at(400));
    assert_eq!(holder(&server, "10.96.0.7").unwrap(), "second");
    server.run(at(540));
    assert_eq!(server.next_periodic(), None);
}

#[test]
fn alloc_31_an_address_out_of_every_range() {
    let mut server = server(&["10.96.0.0/12"]);
    server.restore(cluster_ip("web", "172.30.0.7"), NOW);
    server.repair(NOW);
    let text = "Service/web ClusterIPOutOfRange: Cluster IP [IPv4]: 172.30.0.7 is not within any configured Service CIDR; please recreate service";
    assert_eq!(told(&server), [text]);
    assert_eq!(holder(&server, "172.30.0.7"), None);
    server
        .create(cidr("more", "[172.30.0.0/24]"), at(1))
        .unwrap();
    server.run(at(180));
    assert_eq!(holder(&server, "172.30.0.7").unwrap(), "web");
}

#[test]
fn alloc_31_an_address_that_is_none() {
    let mut server = server(&["10.96.0.0/12"]);
    server.restore(cluster_ip("web", "nonsense"), NOW);
    server.repair(NOW);
    assert_eq!(
        told(&server),
        [
            "Service/web ClusterIPNotValid: Cluster IP <nil> is not a valid IP; please recreate Service"
        ]
    );
}

#[test]
fn alloc_31_an_address_of_somebody_else() {
    for other in [
        "{group: gateway.example.com, resource: gateways, name: g}",
        &parent("gone"),
    ] {
        let mut server = server(&["10.96.0.0/12"]);
        server.restore(cluster_ip("web", "10.96.0.7"), NOW);
        server.restore(ip_address("10.96.0.7", "", other), NOW);
        server.repair(NOW);
        assert_eq!(
            told(&server),
            [
                "Service/web ClusterIPNotAllocated: the ClusterIP [IPv4]: 10.96.0.7 for Service default/web has a wrong reference; repairing"
            ]
        );
        assert_eq!(holder(&server, "10.96.0.7").unwrap(), "web");
    }
}

#[test]
fn alloc_31_labels_are_made_right_without_a_word() {
    let mut server = server(&["10.96.0.0/12"]);
    let given = address(&mut server, "web").unwrap();
    server
        .replace(ip_address(&given, "", &parent("web")), at(1))
        .unwrap();
    server.run(at(180));
    assert!(
        server
            .get(&address_key(&given))
            .unwrap()
            .as_ip_address()
            .unwrap()
            .is_labelled()
    );
    assert!(told(&server).is_empty());
}

#[test]
fn alloc_31_a_deleted_ip_address_comes_back_at_the_next_comparison() {
    let mut server = server(&["10.96.0.0/12"]);
    let given = address(&mut server, "web").unwrap();
    delete(&mut server, &address_key(&given), at(1));
    server.run(at(1));
    assert_eq!(
        (server.next_pending(), server.next_periodic()),
        (None, Some(at(180)))
    );
    server.run(at(180));
    assert_eq!(holder(&server, &given).unwrap(), "web");
}

#[test]
fn alloc_32_33_37_an_ip_address_without_a_service_leaks_for_a_minute() {
    let mut server = server(&["10.96.0.0/12"]);
    let leaked = ip_address("10.96.0.7", MANAGED, &parent("gone"));
    server.create(leaked, at(10)).unwrap();
    assert_eq!(server.next_pending(), Some(at(10)));
    server.run(at(10));
    assert!(server.next_pending() > Some(at(70)) && server.next_pending() < Some(at(71)));
    server.run(at(70));
    assert!(
        holder(&server, "10.96.0.7").is_some(),
        "not yet older than 60 s"
    );
    let due = server.next_pending().unwrap();
    server.run(due);
    assert_eq!(holder(&server, "10.96.0.7"), None);
    assert_eq!(
        told(&server),
        [
            "IPAddress/10.96.0.7 IPAddressNotAllocated: IPAddress: 10.96.0.7 for Service default/gone appears to have leaked: cleaning up"
        ]
    );
    assert_eq!(events(&server)[0].metadata.namespace, "default");
    assert_eq!(server.next_pending(), None);
}

#[test]
fn alloc_32_an_ip_address_that_its_service_does_not_have() {
    let mut server = server(&["10.96.0.0/12"]);
    address(&mut server, "web").unwrap();
    let wrong = ip_address("10.96.0.7", MANAGED, &parent("web"));
    server.create(wrong, at(1)).unwrap();
    server.run(at(1));
    assert_eq!(
        told(&server),
        [
            "IPAddress/10.96.0.7 IPAddressWrongReference: IPAddress: 10.96.0.7 for Service default/web has a wrong reference; cleaning up"
        ]
    );
    let edited = ip_address(
        "10.96.0.8",
        MANAGED,
        "{resource: gateways, namespace: a, name: g}",
    );
    server.create(edited, at(2)).unwrap();
    server.run(at(2));
    assert_eq!(
        told(&server)[1],
        "IPAddress/10.96.0.8 IPAddressNotAllocated: IPAddress 10.96.0.8 appears to have been modified, not referencing a Service &{ gateways a g}: cleaning up"
    );
    assert_eq!(server.list(Kind::IpAddress, None).count(), 2);
}

#[test]
fn alloc_37_an_ip_address_that_is_not_ours_stays() {
    let mut server = server(&["10.96.0.0/12"]);
    server
        .create(ip_address("10.96.0.7", "", &parent("gone")), NOW)
        .unwrap();
    for seconds in [0, 61, 180, 360] {
        server.run(at(seconds));
    }
    assert!(holder(&server, "10.96.0.7").is_some() && told(&server).is_empty());
    assert_eq!(
        (server.next_pending(), server.next_periodic()),
        (None, None)
    );
}

#[test]
fn alloc_35_node_ports_of_restored_services() {
    let mut server = server(&["10.96.0.0/12"]);
    for (name, address, port) in [
        ("a", "10.96.0.7", 30_080),
        ("b", "10.96.0.8", 30_080),
        ("c", "10.96.0.9", 40_000),
    ] {
        server.restore(ip_address(address, MANAGED, &parent(name)), NOW);
        server.restore(node_port(name, address, port), NOW);
    }
    server.repair(NOW);
    assert_eq!(
        told(&server),
        [
            "Service/b PortAlreadyAllocated: Port 30080 was assigned to multiple services; please recreate service",
            "Service/c PortOutOfRange: Port 40000 is not within the port range 30000-32767; please recreate service",
        ]
    );
    let event = events(&server)[0];
    assert_eq!(event.source.component, "portallocator-repair-controller");
    assert_eq!(
        (event.count, &event.first_timestamp),
        (Some(1), &event.last_timestamp)
    );
    // The first goes, and the port with it; the next comparison gives it to the second.
    delete(&mut server, &service_key("a"), at(1));
    server.run(at(180));
    assert!(told(&server).contains(
        &"Service/b PortNotAllocated: Port 30080 is not allocated; repairing".to_owned()
    ));
    let taken = create(
        &mut server,
        "d",
        "{type: NodePort, ports: [{port: 80, nodePort: 30080}]}",
    );
    assert!(
        taken
            .unwrap_err()
            .message
            .ends_with("provided port is already allocated")
    );
    server.run(at(360));
    let counts: Vec<_> = events(&server)
        .iter()
        .map(|event| (event.reason.as_str(), event.count))
        .collect();
    assert!(counts.contains(&("PortOutOfRange", Some(3))), "{counts:?}");
}
