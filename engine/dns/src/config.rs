//! How the cluster's DNS server is set up: the part of a Corefile that changes answers (DNS-2, DNS-45, DNS-72).

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Which Pods have names of the form `10-244-1-5.namespace.pod` (CoreDNS: `pods`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodsMode {
    /// None (DNS-36).
    Disabled,
    /// Every address in every namespace that exists, whoever has it (DNS-37).
    Insecure,
    /// Those that exist (DNS-38).
    Verified,
}

impl PodsMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Disabled, Self::Insecure, Self::Verified];

    /// As a Corefile spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Insecure => "insecure",
            Self::Verified => "verified",
        }
    }
}

/// What a server answers from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// `pods`
    pub pods: PodsMode,
    /// `ttl`: seconds a record may be kept, at most [`ServerOptions::TTL_MAX`] (DNS-45).
    pub ttl: u32,
    /// `endpoint_pod_names`: an endpoint without a hostname is called as its Pod (DNS-16).
    pub endpoint_pod_names: bool,
    /// Whether it answers for addresses (`in-addr.arpa ip6.arpa`).
    pub reverse: bool,
    /// `fallthrough`: whether addresses that it does not know are asked for elsewhere (DNS-43).
    pub fallthrough: bool,
}

impl ServerOptions {
    /// The longest time to live that CoreDNS takes.
    pub const TTL_MAX: u32 = 3600;

    /// What CoreDNS takes unless it is told.
    pub(crate) const TTL_DEFAULT: u32 = 5;

    /// What kubeadm sets up (DNS-2).
    pub const KUBEADM: Self = Self {
        pods: PodsMode::Insecure,
        ttl: 30,
        endpoint_pod_names: false,
        reverse: true,
        fallthrough: true,
    };
}

/// Whom the server asks about names that are not the cluster's (CoreDNS: `forward`).
///
/// Deviation: the other server is not a host of its own; what it says is known at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Nobody: SERVFAIL.
    Nobody,
    /// A server that knows these hosts, in lower case and without a final dot, and no other name.
    Hosts(BTreeMap<String, Vec<IpAddr>>),
}
