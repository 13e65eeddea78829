//! What stands in a Pod's `/etc/resolv.conf`, and which names a lookup tries because of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A resolver's configuration (resolv.conf(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// Servers, in order.
    pub nameservers: Vec<SocketAddr>,
    /// Suffixes to try, in order, without dots around them.
    pub search: Vec<String>,
    /// A name with at least so many dots is tried as it is first.
    pub ndots: usize,
    /// How long to wait for one answer.
    pub timeout: Duration,
    /// How often to ask all servers.
    pub attempts: u32,
}

impl ResolvConf {
    /// What the kubelet writes for `dnsPolicy: ClusterFirst` (DNS-53), with glibc's timeout and attempts
    /// (DNS-68). The node's own search domains are empty here.
    #[must_use]
    pub fn cluster_first(nameserver: IpAddr, namespace: &str, zone: &str) -> Self {
        Self {
            nameservers: vec![SocketAddr::new(nameserver, 53)],
            search: vec![
                format!("{namespace}.svc.{zone}"),
                format!("svc.{zone}"),
                zone.to_owned(),
            ],
            ndots: 5,
            timeout: Duration::from_secs(5),
            attempts: 2,
        }
    }

    /// A resolver with a server but without a search list, as on a node.
    #[must_use]
    pub fn plain(nameserver: IpAddr) -> Self {
        Self {
            search: Vec::new(),
            ndots: 1,
            ..Self::cluster_first(nameserver, "", "")
        }
    }

    /// The fully qualified names (with their final dots) that a lookup of `name` tries in turn: DNS-59 … DNS-64.
    pub fn candidates(&self, name: &str) -> impl Iterator<Item = String> {
        let absolute = name.ends_with('.');
        let as_is = format!("{}.", name.trim_end_matches('.'));
        let as_is_first = absolute || name.matches('.').count() >= self.ndots;
        let searched: Vec<String> = match absolute {
            true => Vec::new(),
            false => self
                .search
                .iter()
                .map(|suffix| format!("{name}.{suffix}."))
                .collect(),
        };
        let (first, last) = if as_is_first {
            (Some(as_is), None)
        } else {
            (None, Some(as_is))
        };
        first.into_iter().chain(searched).chain(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &[&str]) {
        let conf = ResolvConf::cluster_first([10, 96, 0, 10].into(), "shop", "cluster.local");
        let names: Vec<String> = conf.candidates(name).collect();
        assert_eq!(names, expected, "{name}");
    }

    #[test]
    fn dns_59_to_62_names_within_the_cluster() {
        check(
            "cart",
            &[
                "cart.shop.svc.cluster.local.",
                "cart.svc.cluster.local.",
                "cart.cluster.local.",
                "cart.",
            ],
        );
        check(
            "cart.billing.svc.cluster.local",
            &[
                "cart.billing.svc.cluster.local.shop.svc.cluster.local.",
                "cart.billing.svc.cluster.local.svc.cluster.local.",
                "cart.billing.svc.cluster.local.cluster.local.",
                "cart.billing.svc.cluster.local.",
            ],
        );
        check(
            "cart.billing.svc.cluster.local.",
            &["cart.billing.svc.cluster.local."],
        );
    }

    #[test]
    fn dns_64_many_dots_go_as_they_are_first() {
        let conf = ResolvConf::cluster_first([10, 96, 0, 10].into(), "shop", "cluster.local");
        assert_eq!(
            conf.candidates("a.b.c.d.e.com").next().unwrap(),
            "a.b.c.d.e.com."
        );
    }
}
