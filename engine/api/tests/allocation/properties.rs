//! No address and no port is ever given out twice, whatever is asked for in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use api::{ApiServer, Kind, Object, Service};
use proptest::prelude::*;
use switchboard_api as api;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Create or replace a Service of this number and specification.
    Service {
        number: u8,
        spec: String,
        replace: bool,
    },
    Delete(u8),
    Finalizers {
        number: u8,
        kept: bool,
    },
    AddRange(u8),
    RemoveRange(u8),
    /// A user's own IPAddress.
    Block {
        host: u8,
        managed: bool,
    },
    Unblock(u8),
    /// So many seconds pass.
    Pass(u16),
}

fn spec() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        4 => Just(String::new()),
        1 => (0..8_u8).prop_map(|host| format!("clusterIP: 10.70.0.{host}, ")),
        1 => (0..4_u8).prop_map(|host| format!("clusterIP: 10.71.0.{host}, ")),
    ];
    let policy = prop::sample::select(vec![
        "",
        "ipFamilyPolicy: PreferDualStack, ",
        "ipFamilyPolicy: SingleStack, ",
    ]);
    let port = prop_oneof![
        2 => Just(String::new()),
        1 => (29_999..30_006_i32).prop_map(|port| format!(", nodePort: {port}")),
    ];
    (address, policy, port, 0..5_u8).prop_map(|(address, policy, port, kind)| match kind {
        0 => format!("{{{address}{policy}ports: [{{port: 80}}]}}"),
        1 => format!("{{type: NodePort, {address}{policy}ports: [{{port: 80{port}}}]}}"),
        2 => format!(
            "{{type: LoadBalancer, externalTrafficPolicy: Local, {address}{policy}ports: [{{port: 80{port}}}, {{name: b, port: 81}}]}}"
        ),
        3 => "{type: ExternalName, externalName: e.com}".to_owned(),
        _ => "{clusterIP: None, ports: [{port: 80}]}".to_owned(),
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..8_u8, spec(), any::<bool>())
            .prop_map(|(number, spec, replace)| Step::Service { number, spec, replace }),
        3 => (0..8_u8).prop_map(Step::Delete),
        2 => (0..8_u8, any::<bool>()).prop_map(|(number, kept)| Step::Finalizers { number, kept }),
        1 => (0..2_u8).prop_map(Step::AddRange),
        1 => (0..2_u8).prop_map(Step::RemoveRange),
        1 => (0..8_u8, any::<bool>()).prop_map(|(host, managed)| Step::Block { host, managed }),
        1 => (0..8_u8).prop_map(Step::Unblock),
        2 => (0..200_u16).prop_map(Step::Pass),
    ]
}

fn take(server: &mut ApiServer, step: Step, now: &mut SimTime) {
    // What is refused changes nothing.
    match step {
        Step::Service {
            number,
            spec,
            replace,
        } => {
            let object = service(&format!("s{number}"), &spec);
            let _ = if replace {
                server.replace(object, *now)
            } else {
                server.create(object, *now)
            };
        }
        Step::Delete(number) => {
            let key = service_key(&format!("s{number}"));
            let _ = server.delete(&key, &DeleteOptions::default(), *now);
        }
        Step::Finalizers { number, kept } => {
            let key = service_key(&format!("s{number}"));
            if let Some(object) = server.get(&key) {
                let mut object = object.clone();
                let finalizers = &mut object.meta_mut().finalizers;
                finalizers.clear();
                finalizers.extend(kept.then(|| "example.com/keep".to_owned()));
                let _ = server.replace(object, *now);
            }
        }
        Step::AddRange(number) => {
            let ranges = ["[10.71.0.0/30]", "[10.70.0.0/30, \"fd00:1::/126\"]"];
            let object = cidr(&format!("c{number}"), ranges[usize::from(number)]);
            let _ = server.create(object, *now);
        }
        Step::RemoveRange(number) => {
            let key = cidr_key(&format!("c{number}"));
            let _ = server.delete(&key, &DeleteOptions::default(), *now);
        }
        Step::Block { host, managed } => {
            let labels = if managed { MANAGED } else { "" };
            let name = format!("10.70.0.{host}");
            let _ = server.create(ip_address(&name, labels, &parent("s0")), *now);
        }
        Step::Unblock(host) => {
            // Not one of a Service: a comparison would have to repair that.
            let key = address_key(&format!("10.70.0.{host}"));
            if !holders(server).contains_key(&key.name) {
                let _ = server.delete(&key, &DeleteOptions::default(), *now);
            }
        }
        Step::Pass(seconds) => {
            *now += Duration::from_secs(seconds.into());
            server.run(*now);
        }
    }
}

fn services(server: &ApiServer) -> impl Iterator<Item = &Service> {
    let services = server.list(Kind::Service, None);
    services
        .filter_map(Object::as_service)
        .map(|service| &**service)
}

/// Who has which address; twice in the list is twice given out.
fn holders(server: &ApiServer) -> BTreeMap<String, Vec<String>> {
    let mut holders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for service in services(server) {
        for address in service.addresses() {
            let holders = holders.entry(address.to_string()).or_default();
            holders.push(service.metadata.name.clone());
        }
    }
    holders
}

fn check(server: &ApiServer) -> Result<(), TestCaseError> {
    for (address, holders) in holders(server) {
        prop_assert_eq!(holders.len(), 1, "{} is held by {:?}", address, holders);
        let object = server
            .get(&address_key(&address))
            .and_then(Object::as_ip_address);
        let parent = object
            .and_then(|object| object.spec.parent_ref.clone())
            .unwrap();
        prop_assert_eq!(&parent.name, &holders[0], "{}", address);
    }
    let mut ports = BTreeSet::new();
    for service in services(server) {
        let mut own: BTreeSet<i32> = service
            .spec
            .ports
            .iter()
            .map(|port| port.node_port)
            .collect();
        own.insert(service.spec.health_check_node_port);
        own.remove(&0);
        for port in own {
            prop_assert!(ports.insert(port), "{port} is given out twice");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_is_given_out_twice(seed: u64, steps in prop::collection::vec(step(), 0..80)) {
        let mut config = config(&["10.70.0.0/29", "fd00::/125"]);
        config.node_port_range = 30_000..=30_005;
        config.seed = Seed::new(seed);
        let mut server = ApiServer::new(config, NOW);
        let mut now = NOW;
        for step in steps {
            take(&mut server, step, &mut now);
            check(&server)?;
        }
        // Requests alone leave nothing to repair; what users have done to IPAddresses takes a minute.
        server.repair(now + Duration::from_secs(61));
        server.repair(now + Duration::from_secs(122));
        let told = server.list(Kind::Event, None).filter_map(Object::as_event);
        let about_services: Vec<_> = told
            .filter(|event| event.involved_object.kind == "Service")
            .filter(|event| event.reason != "ClusterIPOutOfRange")
            .map(|event| event.message.clone())
            .collect();
        prop_assert_eq!(about_services, Vec::<String>::new());
        // Whatever is left is free again when the Services are gone.
        for number in 0..8 {
            let key = service_key(&format!("s{number}"));
            if server.get(&key).is_some() {
                set_finalizers(&mut server, &key, &[], now);
            }
            let _ = server.delete(&key, &DeleteOptions::default(), now);
        }
        let left = services(&server).count();
        prop_assert_eq!(left, 1);
        for port in 30_000..=30_005 {
            let spec = format!("{{type: NodePort, ipFamilies: [IPv6], ports: [{{port: 80, nodePort: {port}}}]}}");
            let given = create(&mut server, &format!("p{port}"), &spec);
            prop_assert!(given.is_ok(), "{:?}", given);
        }
    }
}
