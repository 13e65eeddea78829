//! Names of chains (PROXY-37).

use std::net::SocketAddr;

use data_encoding::BASE32;
use ruleset::xt::ChainName;
use sha2::{Digest as _, Sha256};

use crate::{ServicePortId, TrafficPolicy};

/// `KUBE-SVC-…` or `KUBE-SVL-…`: the chain that chooses from a policy's endpoints.
pub(super) fn policy_chain(id: &ServicePortId, policy: TrafficPolicy) -> ChainName {
    let prefix = match policy {
        TrafficPolicy::Cluster => "KUBE-SVC-",
        TrafficPolicy::Local => "KUBE-SVL-",
    };
    hashed(prefix, &service_port_text(id))
}

/// `KUBE-SEP-…`: the chain of one endpoint.
pub(super) fn endpoint_chain(id: &ServicePortId, endpoint: SocketAddr) -> ChainName {
    hashed("KUBE-SEP-", &format!("{}{endpoint}", service_port_text(id)))
}

fn service_port_text(id: &ServicePortId) -> String {
    format!("{id}{}", id.protocol)
}

fn hashed(prefix: &str, text: &str) -> ChainName {
    let hash = BASE32.encode(&Sha256::digest(text.as_bytes()));
    ChainName::new(&format!("{prefix}{}", &hash[..16]))
        .expect("a short prefix and 16 base32 characters are a valid name")
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
            let svc = policy_chain(&id, TrafficPolicy::Cluster);
            assert_eq!(svc.as_str(), format!("KUBE-SVC-{expected}"), "{id}");
            let svl = policy_chain(&id, TrafficPolicy::Local);
            assert_eq!(svl.as_str(), format!("KUBE-SVL-{expected}"), "{id}");
        }
        let web = id("default", "web", "http", Protocol::TCP);
        assert_eq!(
            endpoint_chain(&web, ([10, 244, 1, 5], 8080).into()).as_str(),
            "KUBE-SEP-AFGSLHOD2HFNCBX4"
        );
    }
}
