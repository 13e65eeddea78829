//! What is mirrored of an Endpoints object.
//!
//! **Source of the semantics.** EP-46, EP-47; S: `pkg/controller/endpointslicemirroring/{reconciler,utils}.go`
//! (reconcile, addressToEndpoint, epPortsToEpsPorts).

use std::collections::BTreeMap;
use std::mem;
use std::net::IpAddr;

use api::{
    Endpoint, EndpointAddress, EndpointConditions, EndpointPort, EndpointSubset, Endpoints,
    EndpointsPort, IpFamily,
};

use crate::slices::{Identity, identity};

/// `--mirroring-max-endpoints-per-subset`: of one subset, and in one slice.
pub(super) const ENDPOINTS_MAX: usize = 1000;

/// Family and sorted ports: what tells one slice from another.
pub(super) type GroupKey = (String, Vec<EndpointPort>);

/// The endpoints of an Endpoints object, and how many of its addresses are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Mirror {
    pub(super) groups: BTreeMap<GroupKey, Group>,
    /// Addresses that are none.
    pub(super) invalid: usize,
    /// Addresses that are left out, those that are none included.
    pub(super) skipped: usize,
}

/// What one slice holds. Subsets with the same ports share one.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// In the order of the last of these subsets.
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Mirror {
    pub(super) fn of(endpoints: &Endpoints) -> Self {
        let mut mirror = Self::default();
        for subset in &endpoints.subsets {
            mirror.add_subset(subset);
        }
        for group in mirror.groups.values_mut() {
            group.endpoints = distinct(mem::take(&mut group.endpoints));
            group.endpoints.truncate(ENDPOINTS_MAX);
        }
        mirror
    }

    /// Ready addresses come first, until there are enough.
    fn add_subset(&mut self, subset: &EndpointSubset) {
        let ports: Vec<EndpointPort> = subset.ports.iter().map(slice_port).collect();
        let ready = subset.addresses.iter().map(|address| (address, true));
        let not_ready = subset.not_ready_addresses.iter();
        let mut left = ENDPOINTS_MAX;
        for (address, is_ready) in ready.chain(not_ready.map(|address| (address, false))) {
            if left == 0 {
                self.skipped += 1;
                continue;
            }
            match parse_sloppy(&address.ip) {
                Some(ip) => {
                    let group = self.group(IpFamily::of(ip), &ports);
                    group.endpoints.push(endpoint(address, ip, is_ready));
                    left -= 1;
                }
                None => {
                    self.invalid += 1;
                    self.skipped += 1;
                }
            }
        }
    }

    fn group(&mut self, family: IpFamily, ports: &[EndpointPort]) -> &mut Group {
        let mut sorted = ports.to_vec();
        sorted.sort();
        let key = (family.to_string(), sorted);
        let group = self.groups.entry(key).or_default();
        if group.ports != ports {
            group.ports = ports.to_vec();
        }
        group
    }
}

/// An address that is listed twice is one endpoint, in its first place and with what was said last.
fn distinct(endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let mut places: BTreeMap<Identity<'_>, usize> = BTreeMap::new();
    let mut last: Vec<usize> = Vec::new();
    for (said, endpoint) in endpoints.iter().enumerate() {
        let place = *places.entry(identity(endpoint)).or_insert(last.len());
        match last.get_mut(place) {
            Some(known) => *known = said,
            None => last.push(said),
        }
    }
    let mut endpoints: Vec<Option<Endpoint>> = endpoints.into_iter().map(Some).collect();
    let kept = last.into_iter().filter_map(|said| endpoints[said].take());
    kept.collect()
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, is_ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: EndpointConditions {
            ready: Some(is_ready),
            ..EndpointConditions::default()
        },
        hostname: Some(address.hostname.clone()).filter(|name| !name.is_empty()),
        target_ref: address.target_ref.clone(),
        node_name: address.node_name.clone(),
        ..Endpoint::default()
    }
}

fn slice_port(port: &EndpointsPort) -> EndpointPort {
    EndpointPort {
        name: Some(port.name.clone()),
        protocol: Some(port.protocol.clone()),
        port: Some(port.port),
        app_protocol: port.app_protocol.clone(),
    }
}

/// An address as Go reads it, with leading zeros; an IPv4 address written as IPv6 is one of IPv4.
fn parse_sloppy(text: &str) -> Option<IpAddr> {
    let without_zeros = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let sloppy = || {
        let parts: Vec<String> = text.split('.').map(without_zeros).collect();
        parts.join(".").parse().ok()
    };
    let parsed: Option<IpAddr> = text.parse().ok().or_else(sloppy);
    parsed.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        let table = [
            ("10.0.0.1", Some("10.0.0.1")),
            ("010.000.0.01", Some("10.0.0.1")),
            ("FD00:0::1", Some("fd00::1")),
            ("::ffff:10.0.0.1", Some("10.0.0.1")),
            ("10..0.1", None),
            ("10.0.0.0256", None),
            ("web", None),
            ("", None),
        ];
        for (text, expected) in table {
            let found = parse_sloppy(text).map(|ip| ip.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
