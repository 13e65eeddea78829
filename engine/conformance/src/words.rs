//! Objects in the few words that matter to a packet.

use std::fmt;

use api::{Endpoint, EndpointSlice, LABEL_SERVICE_NAME, Named, Node, Object, Service};

/// Prints an object; further lines are indented by as many blanks.
pub(crate) struct Words<'o> {
    pub(crate) object: &'o Object,
    pub(crate) indent: usize,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object.key())?;
        let labels = &self.object.meta().labels;
        match self.object {
            Object::Node(node) => write_node(node, f)?,
            Object::Service(service) => write_service(service, f)?,
            Object::EndpointSlice(slice) => write_slice(slice, self.indent, f)?,
            _ => return Ok(()),
        }
        let others = labels
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), LABEL_SERVICE_NAME | api::LABEL_ZONE));
        for (key, value) in others {
            write!(
                f,
                "\n{:indent$}label {key}={value}",
                "",
                indent = self.indent
            )?;
        }
        Ok(())
    }
}

fn write_node(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match node.zone() {
        Some(zone) => write!(f, " in {zone}:")?,
        None => write!(f, " in no zone:")?,
    }
    for address in node.internal_addresses() {
        write!(f, " {address}")?;
    }
    Ok(())
}

fn write_service(service: &Service, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let spec = &service.spec;
    let policy = spec.internal_traffic_policy.as_deref().unwrap_or("Cluster");
    write!(
        f,
        " at {}, internalTrafficPolicy {policy}, ports",
        spec.cluster_ips.join(", ")
    )?;
    for port in &spec.ports {
        let name = or_unnamed(Some(&port.name));
        write!(f, " [{name} {}/{}", port.port, port.transport())?;
        if port.node_port > 0 {
            write!(f, " node port {}", port.node_port)?;
        }
        f.write_str("]")?;
    }
    for (what, list) in [
        ("externalIPs", &spec.external_ips),
        ("source ranges", &spec.load_balancer_source_ranges),
    ] {
        if !list.is_empty() {
            write!(f, ", {what} {}", list.join(", "))?;
        }
    }
    for ingress in &service.status.load_balancer.ingress {
        let mode = ingress.ip_mode.as_deref().unwrap_or("VIP");
        write!(
            f,
            ", load balancer {}{} ({mode})",
            ingress.ip, ingress.hostname
        )?;
    }
    if !spec.external_traffic_policy.is_empty() {
        write!(
            f,
            ", externalTrafficPolicy {}",
            spec.external_traffic_policy
        )?;
    }
    if spec.session_affinity == "ClientIP" {
        f.write_str(", affinity")?;
    }
    Ok(())
}

fn write_slice(slice: &EndpointSlice, indent: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let owner = slice.service_name().unwrap_or("nobody");
    write!(f, " of Service {owner}, {}, ports", slice.address_type)?;
    for port in &slice.ports {
        let name = or_unnamed(port.name.as_ref());
        let number = port
            .port
            .map_or("no number".to_owned(), |number| number.to_string());
        write!(f, " [{name} {number}/{}]", port.transport())?;
    }
    for endpoint in &slice.endpoints {
        write!(f, "\n{:indent$}", "")?;
        write_endpoint(endpoint, f)?;
    }
    Ok(())
}

fn write_endpoint(endpoint: &Endpoint, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let node = endpoint.node_name.as_deref().unwrap_or("no node");
    write!(f, "{} on {node}:", endpoint.addresses.join(", "))?;
    let conditions = endpoint.conditions;
    for (name, value) in [
        ("ready", conditions.ready),
        ("serving", conditions.serving),
        ("terminating", conditions.terminating),
    ] {
        match value {
            Some(value) => write!(f, " {name}={value}")?,
            None => write!(f, " {name}=nil")?,
        }
    }
    if let Some(hints) = &endpoint.hints {
        write_hints("zones", &hints.for_zones, f)?;
        write_hints("nodes", &hints.for_nodes, f)?;
    }
    Ok(())
}

fn write_hints(of: &str, named: &[Named], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if named.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = named.iter().map(|hint| hint.name.as_str()).collect();
    write!(f, " hint for {of} {}", names.join("+"))
}

fn or_unnamed(name: Option<&String>) -> &str {
    match name.map(String::as_str) {
        None => "nil",
        Some("") => "unnamed",
        Some(name) => name,
    }
}
