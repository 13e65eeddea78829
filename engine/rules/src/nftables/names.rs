//! Names of chains and sets (PROXY-53).

use std::cell::OnceCell;
use std::net::SocketAddr;

use data_encoding::BASE32;
use ruleset::nft::Ident;
use sha2::{Digest as _, Sha256};

use crate::{ServicePortId, TrafficPolicy};

/// The names of one service port's chains and sets, made when somebody asks for one: in the layout of our own, most
/// service ports have none.
pub(super) struct PortNames<'i> {
    id: &'i ServicePortId,
    base: OnceCell<Base>,
    /// By [`TrafficPolicy`].
    policies: [OnceCell<Ident>; 2],
}

/// What all of a service port's names are made of.
struct Base {
    /// `ns/svc/proto/port`
    text: String,
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

impl<'i> PortNames<'i> {
    pub(super) const fn of(id: &'i ServicePortId) -> Self {
        Self {
            id,
            base: OnceCell::new(),
            policies: [const { OnceCell::new() }; 2],
        }
    }

    fn base(&self) -> &Base {
        self.base.get_or_init(|| {
            let ServicePortId {
                service,
                port_name,
                protocol,
            } = self.id;
            let text = format!(
                "{}/{}/{protocol}/{port_name}",
                service.namespace, service.name
            );
            let hashed = hash_and_truncate(&text);
            Base { text, hashed }
        })
    }

    /// `service-…` or `local-…`: chooses from a policy's endpoints.
    pub(super) fn policy(&self, policy: TrafficPolicy) -> Ident {
        let prefix = match policy {
            TrafficPolicy::Cluster => "service-",
            TrafficPolicy::Local => "local-",
        };
        let made = &self.policies[policy as usize];
        made.get_or_init(|| self.prefixed(prefix)).clone()
    }

    /// `external-…`: where external traffic enters.
    pub(super) fn external(&self) -> Ident {
        self.prefixed("external-")
    }

    /// `firewall-…`: compares sources with the ranges of a load balancer.
    pub(super) fn firewall(&self) -> Ident {
        self.prefixed("firewall-")
    }

    fn prefixed(&self, prefix: &str) -> Ident {
        name(prefix, &self.base().hashed)
    }

    pub(super) fn endpoint(&self, endpoint: SocketAddr) -> EndpointNames {
        // Colons are not allowed in names.
        let ip = endpoint.ip().to_string().replace(':', ".");
        let base = &self.base().text;
        let hashed = hash_and_truncate(&format!("{base}__{ip}/{}", endpoint.port()));
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

    fn id(namespace: &str, name: &str, port: &str) -> ServicePortId {
        ServicePortId {
            service: ServiceName {
                namespace: namespace.into(),
                name: name.into(),
            },
            port_name: port.into(),
            protocol: Protocol::TCP,
        }
    }

    #[test]
    fn check_values_of_proxy_53() {
        let id = id("ns1", "svc1", "p80");
        let names = PortNames::of(&id);
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
        let id = id(&long, &long, &long);
        let names = PortNames::of(&id);
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
        let id = id("a b", "x\" }\n", "; flush ruleset");
        let names = PortNames::of(&id);
        assert!(
            names
                .external()
                .as_str()
                .ends_with("-a.b/x..../tcp/..flush.ruleset")
        );
    }
}
