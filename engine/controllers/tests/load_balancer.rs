//! What Services of type LoadBalancer get out of a pool, and give back.

mod cluster;

use api::{Kind, ObjectKey};
use cluster::Cluster;
use switchboard_controllers::LoadBalancerController;

fn cluster(pool: &[&str]) -> Cluster {
    let pool = pool.iter().map(|net| net.parse().unwrap()).collect();
    Cluster::new(vec![Box::new(LoadBalancerController::new(pool))])
}

fn service(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, \
         spec: {{type: LoadBalancer, ports: [{{port: 80}}]{spec}}}}}"
    )
}

/// The addresses of a Service's load balancer, `-` for none, and whether the finalizer keeps it.
fn seen(cluster: &Cluster, name: &str) -> (String, bool) {
    let key = ObjectKey::new(Kind::Service, "default", name);
    let object = cluster.api.get(&key).expect("the Service is there");
    let service = object.as_service().unwrap();
    let ingress = &service.status.load_balancer.ingress;
    let modes = ingress.iter().map(|one| one.ip_mode.as_deref());
    assert!(modes.into_iter().all(|mode| mode == Some("VIP")));
    let addresses: Vec<&str> = ingress.iter().map(|one| one.ip.as_str()).collect();
    let addresses = match addresses[..] {
        [] => "-".to_owned(),
        _ => addresses.join(","),
    };
    let finalizers = &service.metadata.finalizers;
    let kept = finalizers
        .iter()
        .any(|one| one == "service.kubernetes.io/load-balancer-cleanup");
    (addresses, kept)
}

#[test]
fn services_get_addresses_and_give_them_back() {
    let mut cluster = cluster(&["203.0.113.0/30"]);
    for name in ["a", "b", "c"] {
        cluster.apply(&service(name, ""));
        cluster.drain();
    }
    assert_eq!(seen(&cluster, "a"), ("203.0.113.1".to_owned(), true));
    assert_eq!(seen(&cluster, "b"), ("203.0.113.2".to_owned(), true));
    assert_eq!(seen(&cluster, "c"), ("-".to_owned(), true), "none is left");
    cluster.delete(Kind::Service, "a");
    cluster.drain();
    let gone = ObjectKey::new(Kind::Service, "default", "a");
    assert!(
        cluster.api.get(&gone).is_none(),
        "the finalizer is taken away"
    );
    assert_eq!(seen(&cluster, "c").0, "203.0.113.1", "it has waited");
    cluster.apply(&service("b", "").replace("LoadBalancer", "ClusterIP"));
    cluster.drain();
    assert_eq!(seen(&cluster, "b"), ("-".to_owned(), false));
    cluster.apply(&service("d", ""));
    cluster.drain();
    assert_eq!(seen(&cluster, "d").0, "203.0.113.2");
}

#[test]
fn a_service_can_ask_for_an_address() {
    let mut cluster = cluster(&["203.0.113.0/28"]);
    cluster.apply(&service("first", ", loadBalancerIP: 203.0.113.9"));
    cluster.apply(&service("second", ", loadBalancerIP: 203.0.113.9"));
    cluster.apply(&service("elsewhere", ", loadBalancerIP: 192.0.2.1"));
    cluster.drain();
    assert_eq!(seen(&cluster, "first").0, "203.0.113.9");
    assert_eq!(seen(&cluster, "second").0, "-", "taken");
    assert_eq!(seen(&cluster, "elsewhere").0, "-", "not of the pool");
    cluster.delete(Kind::Service, "first");
    cluster.drain();
    assert_eq!(seen(&cluster, "second").0, "203.0.113.9");
}

#[test]
fn each_family_has_an_address() {
    let mut cluster = cluster(&["203.0.113.0/28", "2001:db8::/64"]);
    cluster.apply(&service("both", ", ipFamilyPolicy: RequireDualStack"));
    cluster.apply(&service("six", ", ipFamilies: [IPv6]"));
    cluster.drain();
    assert_eq!(seen(&cluster, "both").0, "203.0.113.1,2001:db8::1");
    assert_eq!(seen(&cluster, "six").0, "2001:db8::2");
}

#[test]
fn api_52_somebody_elses_services_are_left_alone() {
    let mut cluster = cluster(&["203.0.113.0/28"]);
    cluster.apply(&service("class", ", loadBalancerClass: example.com/other"));
    let pinned = service("pinned", "").replace(
        "name: pinned",
        "name: pinned, annotations: {switchboard.dev/status: pinned}",
    );
    cluster.apply(&pinned);
    cluster.drain();
    for name in ["class", "pinned"] {
        assert_eq!(seen(&cluster, name), ("-".to_owned(), false), "{name}");
    }
}

#[test]
fn addresses_that_are_there_already_are_not_given_out() {
    let mut cluster = cluster(&["203.0.113.0/29"]);
    let ingress = |text: String, address: &str| {
        text.replace(
            ", spec:",
            &format!(
                ", status: {{loadBalancer: {{ingress: [{{ip: {address}, ipMode: VIP}}]}}}}, spec:"
            ),
        )
    };
    let pinned = service("pinned", "").replace(
        "name: pinned",
        "name: pinned, annotations: {switchboard.dev/status: pinned}",
    );
    cluster.apply(&service("a", ""));
    cluster.apply(&ingress(pinned, "203.0.113.1"));
    cluster.apply(&ingress(service("z", ""), "203.0.113.2"));
    cluster.drain();
    assert_eq!(seen(&cluster, "pinned"), ("203.0.113.1".to_owned(), false));
    assert_eq!(seen(&cluster, "z").0, "203.0.113.2");
    assert_eq!(seen(&cluster, "a").0, "203.0.113.3");
    let now_pinned = service("a", "").replace(
        "name: a",
        "name: a, annotations: {switchboard.dev/status: pinned}",
    );
    cluster.apply(&now_pinned);
    cluster.drain();
    assert_eq!(seen(&cluster, "a").0, "203.0.113.3", "it keeps its status");
}

#[test]
fn without_a_pool_services_wait_and_what_others_left_goes() {
    let mut cluster = cluster(&[]);
    cluster.apply(&service("web", ""));
    let left = service("old", "").replace(
        "name: old",
        "name: old, finalizers: [service.kubernetes.io/load-balancer-cleanup]",
    );
    cluster.apply(&left);
    cluster.drain();
    assert_eq!(seen(&cluster, "web"), ("-".to_owned(), false));
    assert_eq!(seen(&cluster, "old"), ("-".to_owned(), true));
    cluster.delete(Kind::Service, "old");
    cluster.drain();
    let gone = ObjectKey::new(Kind::Service, "default", "old");
    assert!(cluster.api.get(&gone).is_none());
}
