//! DBG-33, DBG-45, DBG-46, DBG-47, DBG-59: the API server refused the Service, and so it is not there, or not as wanted.
//!
//! **Source of the semantics.** ALLOC-20 … ALLOC-22, ALLOC-50, ALLOC-51 for the words of refusals.

use std::net::IpAddr;

use api::{ApiServer, Kind, Object, ObjectKey, Service};
use ipnet::IpNet;

use crate::finding::Check;
use crate::page::page_of_refusal;
use crate::pods::{counted, list, spoken};
use crate::{Certainty, Finding, Severity};

/// What `refusal` means, if its words are known. A Service that is there works on as it was before.
pub(crate) fn refused(
    api: &ApiServer,
    service: &ObjectKey,
    refusal: Option<&str>,
) -> Option<Finding> {
    let refusal = refusal?;
    let page = page_of_refusal(refusal)?;
    let (why, fix, look) = match page.id {
        "DBG-45" => address(api, refusal),
        "DBG-46" => full(api, refusal),
        "DBG-47" => node_port(api, refusal),
        "DBG-59" => told(
            "targetPort is written in quotes, so it is the name of a port, and a name has a letter",
            "remove the quotes",
        ),
        _ => told(
            "a Service of several ports tells them apart by name, and they have none",
            "give every port a name of its own",
        ),
    };
    let (severity, done) = match api.get(service) {
        Some(_) => (Severity::Pitfall, "is as it was before"),
        None => (
            Severity::Fault,
            "is not there, and its name does not resolve",
        ),
    };
    Some(Finding {
        id: page.id,
        certainty: Certainty::Certain,
        severity,
        subject: service.clone(),
        field: field(refusal),
        sees: format!(
            "The API server refuses the Service, so {} {done}",
            spoken(service)
        ),
        why,
        fix,
        confirm: look,
    })
}

/// Why, what helps, and where to look.
type Told = (String, String, Vec<Check>);

fn told(why: &str, fix: &str) -> Told {
    (why.to_owned(), fix.to_owned(), Vec::new())
}

/// `spec.clusterIPs` of `The Service "web" is invalid: spec.clusterIPs: Invalid value: …`
fn field(refusal: &str) -> Option<String> {
    let (_, rest) = refusal.split_once(" is invalid: ")?;
    let path = rest
        .trim_start_matches(['*', ' ', '\n'])
        .split(": ")
        .next()?;
    path.starts_with("spec").then(|| path.to_owned())
}

/// DBG-45: whose the address is, or where there are any.
fn address(api: &ApiServer, refusal: &str) -> Told {
    let is_taken = |address: &&IpAddr| {
        refusal.contains(&format!(
            "allocate IP {address}: provided IP is already allocated"
        ))
    };
    let owner = services(api).find_map(|service| {
        let address = service.addresses().collect::<Vec<_>>();
        let address = *address.iter().find(is_taken)?;
        Some((address, service))
    });
    let look = vec![Check::run("kubectl get services -A")];
    if let Some((address, service)) = owner {
        let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
        return (
            format!(
                "{address} is the ClusterIP of service/{namespace}/{name}, and an address has one owner"
            ),
            format!("leave spec.clusterIP out, or delete service/{namespace}/{name} first"),
            vec![Check::prints(
                format!("kubectl get service {name} -n {namespace}"),
                address.to_string(),
            )],
        );
    }
    if refusal.contains("may not change once set") {
        let why = "a Service keeps its ClusterIP for life";
        let fix = "leave spec.clusterIP as it is, or delete the Service and create it anew";
        return (why.to_owned(), fix.to_owned(), look);
    }
    let ranges: Vec<String> = ranges(api).iter().map(ToString::to_string).collect();
    (
        format!("ClusterIPs come out of {}", list(&ranges)),
        "leave spec.clusterIP out, or take an address of that range that nobody has".to_owned(),
        vec![Check::prints("kubectl get servicecidrs", &ranges[0])],
    )
}

/// DBG-46: how many addresses there are, and how many Services have one; or of node ports.
fn full(api: &ApiServer, refusal: &str) -> Told {
    if !refusal.contains("serviceIP") {
        let range = &api.config().node_port_range;
        return (
            format!(
                "every node port of {}-{} is taken",
                range.start(),
                range.end()
            ),
            "delete Services of type NodePort or LoadBalancer, or widen --service-node-port-range"
                .to_owned(),
            vec![Check::run("kubectl get services -A")],
        );
    }
    let used = |net: &IpNet| {
        let addresses = services(api).flat_map(Service::addresses);
        addresses.filter(|address| net.contains(address)).count()
    };
    let ranges = ranges(api);
    let told: Vec<String> = ranges
        .iter()
        .map(|net| format!("{net} has {}", counted(used(net), "Service")))
        .collect();
    (
        format!(
            "every address of the cluster's ServiceCIDRs is taken: {}",
            told.join(", ")
        ),
        "add a ServiceCIDR with another range, or delete Services that nobody needs".to_owned(),
        vec![
            Check::prints("kubectl get servicecidrs", ranges[0].to_string()),
            Check::run("kubectl get services -A"),
        ],
    )
}

/// DBG-47: whose the port is, or which there are.
fn node_port(api: &ApiServer, refusal: &str) -> Told {
    let is_taken =
        |port: i32| refusal.contains(&format!(" {port}: provided port is already allocated"));
    let owner = services(api).find_map(|service| {
        let ports = service.spec.ports.iter().map(|port| port.node_port);
        let mut ports = ports.chain([service.spec.health_check_node_port]);
        let port = ports.find(|port| *port > 0 && is_taken(*port))?;
        Some((port, service))
    });
    if let Some((port, service)) = owner {
        let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
        return (
            format!(
                "node port {port} is that of service/{namespace}/{name}, and a node port has one owner in the cluster"
            ),
            "leave nodePort out, or choose another one".to_owned(),
            vec![Check::prints(
                format!("kubectl get service {name} -n {namespace}"),
                port.to_string(),
            )],
        );
    }
    let range = &api.config().node_port_range;
    (
        format!("node ports are from {} to {}", range.start(), range.end()),
        "leave nodePort out, or choose one of that range".to_owned(),
        vec![Check::run("kubectl get services -A")],
    )
}

fn services(api: &ApiServer) -> impl Iterator<Item = &Service> {
    let services = api.list(Kind::Service, None).filter_map(Object::as_service);
    services.map(|service| &**service)
}

/// The ranges of all ServiceCIDRs; those that the cluster was configured with are among them.
fn ranges(api: &ApiServer) -> Vec<IpNet> {
    let objects = api.list(Kind::ServiceCidr, None);
    let objects = objects.filter_map(Object::as_service_cidr);
    let ranges = objects.flat_map(|range| &range.spec.cidrs);
    let mut ranges: Vec<IpNet> = ranges.filter_map(|text| text.parse().ok()).collect();
    if ranges.is_empty() {
        ranges.clone_from(&api.config().service_cidrs);
    }
    ranges
}
