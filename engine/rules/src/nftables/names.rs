//! Names of chains and sets (PROXY-53).

use std::net::SocketAddr;

use data_encoding::BASE32;
use ruleset::nft::Ident;
use sha2::{Digest as _, Sha256};

use crate::{ServicePortId, TrafficPolicy};

/// The names of one service port's chains and sets.
pub(super) struct PortNames {
    /// `ns/svc/proto/port`
    base: String,
    /// The same after its hash.
    hashed: String,
}

/// The names that an endpoint gives to its chain and its set.
pub(super) struct EndpointNames {
    /// `endpoint-…`: goes there.
    pub(super) chain: Ident,
    /// `affinity-…`: clients that went there.
    pub(super) affinity: Ident,
}

impl PortNames {
    pub(super) fn of(id: &ServicePortId) -> Self {
        let base = format!(
            "{}/{}/{}/{}",
            id.service.namespace, id.service.name, id.protocol, id.port_name
        );
        let hashed = hash_and_truncate(&base);
        Self { base, hashed }
    }

    /// `service-…` or `local-…`: chooses from a policy's endpoints.
    pub(super) fn policy(&self, policy: TrafficPolicy) -> Ident {
        match policy {
            TrafficPolicy::Cluster => name("service-", &self.hashed),
            TrafficPolicy::Local => name("local-", &self.hashed),
        }
    }

    /// `external-…`: where external traffic enters.
    pub(super) fn external(&self) -> Ident {
        name("external-", &self.hashed)
    }

    /// `firewall-…`: compares sources with the ranges of a load balancer.
    pub(super) fn firewall(&self) -> Ident {
        name("firewall-", &self.hashed)
    }

    pub(super) fn endpoint(&self, endpoint: SocketAddr) -> EndpointNames {
        // Colons are not allowed in names.
        let ip = endpoint.ip().to_string().replace(':', ".");
        let hashed = hash_and_truncate(&format!("{}__{ip}/{}", self.base, endpoint.port()));
        EndpointNames {
            chain: name("endpoint-", &hashed),
            affinity: name("affinity-", &hashed),
        }
    }
}

/// What is left of the kernel's 256 bytes after the longest prefix (`chainNameBaseLengthMax`).
const BASE_LEN_MAX: usize = 240;

/// A hash goes first, so that names which are cut off, or differ in a digit only, are easy to tell apart.
fn hash_and_truncate(base: &str) -> String {
    let hash = BASE32.encode(&Sha256::digest(base.as_bytes())[..5]);
    let mut hashed = format!("{hash}-{base}");
    if hashed.len() > BASE_LEN_MAX {
        hashed.truncate(hashed.floor_char_boundary(BASE_LEN_MAX - 3));
        hashed.push_str("...");
    }
    hashed
}

fn name(prefix: &str, hashed: &str) -> Ident {
    let mut text = String::with_capacity(prefix.len() + hashed.len());
    text.push_str(prefix);
    // Names of API objects have no other characters; a view that was made by hand may.
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    text.extend(hashed.chars().map(|c| if is_fine(c) { c } else { '.' }));
    Ident::new(&text).expect("a prefix, and at most 240 characters that nft takes")
}

#[cfg(test)]
mod tests {
    use ruleset::Protocol;

    use super::*;
    use crate::ServiceName;

    fn names(namespace: &str, name: &str, port: &str) -> PortNames {
        PortNames::of(&ServicePortId {
            service: ServiceName {
                namespace: namespace.into(),
                name: name.into(),
            },
            port_name: port.into(),
            protocol: Protocol::TCP,
        })
    }

    #[test]
    fn check_values_of_proxy_53() {
        let names = names("ns1", "svc1", "p80");
        assert_eq!(
            names.policy(TrafficPolicy::Cluster).as_str(),
            "service-ULMVA6XW-ns1/svc1/tcp/p80"
        );
        assert_eq!(
            names.endpoint(([10, 180, 0, 1], 80).into()).chain.as_str(),
            "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
        );
        let v6 = names.endpoint("[fd00::1]:80".parse().unwrap());
        assert!(v6.affinity.as_str().ends_with("__fd00..1/80"));
    }

    #[test]
    fn names_are_cut_and_stay_apart() {
        let long = "n".repeat(63);
        let names = names(&long, &long, &long);
        let endpoint = |last: u16| {
            let ip = std::net::Ipv6Addr::from([
                0x2001, 0x1db8, 0x1111, 0x1111, 0x1111, 0x1111, 0x1111, last,
            ]);
            names.endpoint((ip, 65_535).into()).chain
        };
        let [a, b] = [0x1111, 0x1112].map(endpoint);
        assert_eq!(a.as_str().len(), "endpoint-".len() + 240);
        assert!(a.as_str().ends_with("..."));
        assert_ne!(a, b);
    }

    #[test]
    fn no_name_leaves_its_place() {
        let names = names("a b", "x\" }\n", "; flush ruleset");
        assert!(
            names
                .external()
                .as_str()
                .ends_with("-a.b/x..../tcp/..flush.ruleset")
        );
    }
}
