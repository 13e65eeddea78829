//! A `resolv.conf`: what stands in it, and which names a lookup tries because of it.
//!
//! Source of the semantics: resolv.conf(5), glibc `resolv/res_init.c`, `resolv/res_query.c`
//! (`__res_context_search`); DNS-59 … DNS-66, DNS-68.
//!
//! Deviation: glibc asks 127.0.0.1 where no server is named; here nobody is asked then.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A resolver's configuration (resolv.conf(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Servers, in order.
    pub nameservers: Vec<SocketAddr>,
    /// Suffixes to try, in order, without dots around them; `.` is the name as it is.
    pub search: Vec<String>,
    /// As they are written: `ndots:5`, `rotate`. Of two of one name the later one counts.
    pub options: Vec<String>,
}

/// An option that glibc does not know or that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resolver option {name:?} has no effect; options with one: {}", ResolvConf::OPTIONS.join(", "))]
pub struct UnknownOption {
    /// Its name.
    pub name: String,
}

impl ResolvConf {
    /// The options that change what a lookup does.
    pub const OPTIONS: [&str; 10] = [
        "ndots",
        "timeout",
        "attempts",
        "rotate",
        "use-vc",
        "edns0",
        "single-request",
        "single-request-reopen",
        "no-tld-query",
        "no-aaaa",
    ];

    /// What the kubelet writes for `dnsPolicy: ClusterFirst` (DNS-53) on a node without search domains of its own.
    #[must_use]
    pub fn cluster_first(nameserver: IpAddr, namespace: &str, zone: &str) -> Self {
        Self {
            nameservers: vec![SocketAddr::new(nameserver, 53)],
            search: vec![
                format!("{namespace}.svc.{zone}"),
                format!("svc.{zone}"),
                zone.to_owned(),
            ],
            options: vec!["ndots:5".to_owned()],
        }
    }

    /// A resolver with a server but without a search list, as on a node.
    #[must_use]
    pub fn plain(nameserver: IpAddr) -> Self {
        Self {
            nameservers: vec![SocketAddr::new(nameserver, 53)],
            ..Self::default()
        }
    }

    /// `ndots`: a name with at least so many dots is tried as it is first.
    #[must_use]
    pub fn ndots(&self) -> usize {
        usize::try_from(self.number("ndots", 1).min(15)).expect("at most 15")
    }

    /// `attempts`: how often to ask all servers.
    #[must_use]
    pub fn attempts(&self) -> usize {
        usize::try_from(self.number("attempts", 2).clamp(1, 5)).expect("at most 5")
    }

    /// How long to wait for the answer of the server at a place of the list: `timeout`, doubled for each server before
    /// it and shared by all servers (glibc: `resolv/res_send.c`).
    #[must_use]
    pub fn timeout(&self, place: usize) -> Duration {
        let first = self.number("timeout", 5).min(30);
        let servers = self.nameservers.len().max(1) as u64;
        let seconds = match place {
            0 => first,
            place => (first << place.min(8)) / servers,
        };
        Duration::from_secs(seconds.max(1))
    }

    /// Whether an option is among [`Self::OPTIONS`] set.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|option| split(option).0 == name)
    }

    /// The options that have no effect.
    pub fn unknown_options(&self) -> impl Iterator<Item = UnknownOption> {
        let names = self.options.iter().map(|option| split(option).0);
        let unknown = names.filter(|name| !Self::OPTIONS.contains(name));
        unknown.map(|name| UnknownOption {
            name: name.to_owned(),
        })
    }

    /// The fully qualified names (with their final dots) that a lookup of `name` tries in turn: DNS-59 … DNS-64.
    pub fn candidates(&self, name: &str) -> impl Iterator<Item = String> {
        let as_is = format!("{}.", name.trim_end_matches('.'));
        if name.ends_with('.') {
            return vec![as_is].into_iter();
        }
        let searched = self.search.iter().map(|suffix| match suffix.as_str() {
            "." => as_is.clone(),
            suffix => format!("{name}.{}.", suffix.trim_end_matches('.')),
        });
        let mut names: Vec<String> = searched.collect();
        let dots = name.matches('.').count();
        if self.is_tried_first(name) {
            names.insert(0, as_is);
        } else if !names.contains(&as_is)
            && (dots > 0 || names.is_empty() || !self.has("no-tld-query"))
        {
            names.push(as_is);
        }
        names.into_iter()
    }

    /// Whether a name is tried as it is before the search list.
    pub(crate) fn is_tried_first(&self, name: &str) -> bool {
        name.matches('.').count() >= self.ndots()
    }

    /// The number of an option; what is none is 0, as to C's `atoi`.
    fn number(&self, name: &str, default: u64) -> u64 {
        let mut values = self.options.iter().rev().map(|option| split(option));
        let value = values.find(|(option, _)| *option == name);
        value.map_or(default, |(_, value)| value.parse().unwrap_or(0))
    }
}

/// The file.
impl fmt::Display for ResolvConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.nameservers {
            writeln!(f, "nameserver {}", server.ip())?;
        }
        let lines = [("search", &self.search), ("options", &self.options)];
        for (word, values) in lines.into_iter().filter(|(_, values)| !values.is_empty()) {
            writeln!(f, "{word} {}", values.join(" "))?;
        }
        Ok(())
    }
}

/// Name and value of an option as it is written.
fn split(option: &str) -> (&str, &str) {
    option.split_once(':').unwrap_or((option, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(options: &[&str]) -> ResolvConf {
        let conf = ResolvConf::cluster_first([10, 96, 0, 10].into(), "shop", "cluster.local");
        let options = options.iter().map(ToString::to_string);
        ResolvConf {
            options: conf.options.iter().cloned().chain(options).collect(),
            ..conf
        }
    }

    fn check(conf: &ResolvConf, name: &str, expected: &[&str]) {
        let names: Vec<String> = conf.candidates(name).collect();
        assert_eq!(names, expected, "{name}");
    }

    #[test]
    fn dns_59_to_62_names_within_the_cluster() {
        check(
            &conf(&[]),
            "cart",
            &[
                "cart.shop.svc.cluster.local.",
                "cart.svc.cluster.local.",
                "cart.cluster.local.",
                "cart.",
            ],
        );
        check(
            &conf(&[]),
            "cart.billing.svc.cluster.local",
            &[
                "cart.billing.svc.cluster.local.shop.svc.cluster.local.",
                "cart.billing.svc.cluster.local.svc.cluster.local.",
                "cart.billing.svc.cluster.local.cluster.local.",
                "cart.billing.svc.cluster.local.",
            ],
        );
        let absolute = "cart.billing.svc.cluster.local.";
        check(&conf(&[]), absolute, &[absolute]);
    }

    #[test]
    fn dns_64_and_65_names_with_enough_dots_go_as_they_are_first() {
        let first = |conf: &ResolvConf, name: &str| conf.candidates(name).next().unwrap();
        assert_eq!(first(&conf(&[]), "a.b.c.d.e.com"), "a.b.c.d.e.com.");
        let two = conf(&["ndots:2"]);
        assert_eq!(
            first(&two, "cart.billing"),
            "cart.billing.shop.svc.cluster.local."
        );
        assert_eq!(first(&two, "cart.billing.svc"), "cart.billing.svc.");
    }

    #[test]
    fn a_root_in_the_search_list_and_no_tld_query() {
        let mut with_root = conf(&[]);
        with_root.search = vec![".".to_owned(), "x".to_owned()];
        check(&with_root, "cart", &["cart.", "cart.x."]);
        let no_tld = ResolvConf {
            search: vec!["x".to_owned()],
            ..conf(&["no-tld-query"])
        };
        check(&no_tld, "cart", &["cart.x."]);
        check(&no_tld, "cart.de", &["cart.de.x.", "cart.de."]);
    }

    #[test]
    fn numbers_have_bounds_and_the_later_one_counts() {
        let conf = conf(&["ndots:99", "attempts:99", "timeout:x", "attempts:0"]);
        assert_eq!((conf.ndots(), conf.attempts()), (15, 1));
        assert_eq!(conf.timeout(0), Duration::from_secs(1));
    }

    #[test]
    fn dns_68_three_servers_share_the_time() {
        let mut conf = conf(&[]);
        conf.nameservers = vec![conf.nameservers[0]; 3];
        let seconds: Vec<u64> = (0..3).map(|place| conf.timeout(place).as_secs()).collect();
        assert_eq!(seconds, [5, 3, 6]);
    }
}
