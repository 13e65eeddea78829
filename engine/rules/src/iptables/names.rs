//! Names of chains (PROXY-37).

use std::fmt::{self, Write as _};

use data_encoding::BASE32;
use ruleset::xt::ChainName;
use sha2::{Digest as _, Sha256};

use crate::socket_text::SocketText;
use crate::{ServicePortId, TrafficPolicy};

/// The names of one service port's chains.
pub(super) struct PortNames {
    /// Has taken in `ns/name:port` and the protocol.
    hasher: Hasher,
}

/// What a chain that serves a whole service port is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// `KUBE-SVC-…`: chooses from the cluster set.
    Cluster,
    /// `KUBE-SVL-…`: chooses from the local set.
    Local,
    /// `KUBE-EXT-…`: where external traffic enters.
    External,
    /// `KUBE-FW-…`: compares sources with the ranges of a load balancer.
    Firewall,
}

impl PortNames {
    pub(super) fn of(id: &ServicePortId) -> Self {
        Self {
            hasher: Hasher::default().with(format_args!("{id}{}", id.protocol)),
        }
    }

    pub(super) fn of_role(&self, role: Role) -> ChainName {
        let hasher = self.hasher.clone();
        hasher.name(match role {
            Role::Cluster => "KUBE-SVC-",
            Role::Local => "KUBE-SVL-",
            Role::External => "KUBE-EXT-",
            Role::Firewall => "KUBE-FW-",
        })
    }

    /// The chain that chooses from a policy's endpoints.
    pub(super) fn policy(&self, policy: TrafficPolicy) -> ChainName {
        self.of_role(match policy {
            TrafficPolicy::Cluster => Role::Cluster,
            TrafficPolicy::Local => Role::Local,
        })
    }

    /// `KUBE-SEP-…`: the chain of one endpoint.
    pub(super) fn endpoint(&self, endpoint: &SocketText) -> ChainName {
        let mut hasher = self.hasher.clone();
        hasher.0.update(endpoint.as_bytes());
        hasher.name("KUBE-SEP-")
    }
}

/// Whether a chain is called like one of a service port or endpoint.
pub(super) fn is_of_service_port(chain: ChainName) -> bool {
    const PREFIXES: [&str; 5] = [
        "KUBE-SVC-",
        "KUBE-SVL-",
        "KUBE-EXT-",
        "KUBE-FW-",
        "KUBE-SEP-",
    ];
    let name = chain.as_str();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Takes text in piece by piece: a cluster has hundreds of thousands of names.
#[derive(Clone, Default)]
struct Hasher(Sha256);

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl Hasher {
    fn with(mut self, text: fmt::Arguments<'_>) -> Self {
        self.write_fmt(text).expect("a hash takes everything");
        self
    }

    /// The prefix and sixteen characters of base32, which are ten bytes.
    fn name(self, prefix: &str) -> ChainName {
        const HASH_LEN: usize = 16;
        let digest = self.0.finalize();
        let mut bytes = [0; 28];
        let name = &mut bytes[..prefix.len() + HASH_LEN];
        name[..prefix.len()].copy_from_slice(prefix.as_bytes());
        BASE32.encode_mut(&digest[..HASH_LEN * 5 / 8], &mut name[prefix.len()..]);
        let name = std::str::from_utf8(name).expect("base32 is ASCII");
        ChainName::new(name).expect("a short prefix and 16 base32 characters are a valid name")
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Protocol;

    use super::*;
    use crate::ServiceName;

    fn id(namespace: &str, name: &str, port_name: &str, protocol: Protocol) -> ServicePortId {
        ServicePortId {
            service: ServiceName {
                namespace: namespace.into(),
                name: name.into(),
            },
            port_name: port_name.into(),
            protocol,
        }
    }

    #[test]
    fn check_values_of_proxy_38() {
        for (namespace, name, port, protocol, expected) in [
            (
                "default",
                "kubernetes",
                "https",
                Protocol::TCP,
                "NPX46M4PTMTKRN6Y",
            ),
            (
                "kube-system",
                "kube-dns",
                "dns",
                Protocol::UDP,
                "TCOU7JCQXEZGVUNU",
            ),
            (
                "kube-system",
                "kube-dns",
                "dns-tcp",
                Protocol::TCP,
                "ERIFXISQEP7F7OF4",
            ),
            (
                "kube-system",
                "kube-dns",
                "metrics",
                Protocol::TCP,
                "JD5MR3NA4I4DYORP",
            ),
            ("default", "web", "", Protocol::TCP, "LOLE4ISW44XBNF3G"),
            ("default", "web", "http", Protocol::TCP, "CDGGSHYLG3RE2FKL"),
        ] {
            let id = id(namespace, name, port, protocol);
            let names = PortNames::of(&id);
            for (role, prefix) in [
                (Role::Cluster, "KUBE-SVC"),
                (Role::Local, "KUBE-SVL"),
                (Role::External, "KUBE-EXT"),
                (Role::Firewall, "KUBE-FW"),
            ] {
                let name = names.of_role(role);
                assert_eq!(name.as_str(), format!("{prefix}-{expected}"), "{id}");
            }
        }
        let web = PortNames::of(&id("default", "web", "http", Protocol::TCP));
        assert_eq!(
            web.endpoint(&SocketText::of(([10, 244, 1, 5], 8080).into()))
                .as_str(),
            "KUBE-SEP-AFGSLHOD2HFNCBX4"
        );
    }
}
