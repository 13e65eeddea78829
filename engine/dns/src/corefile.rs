//! The part of a Corefile that decides about answers: `kube-system/coredns`, key `Corefile`, as kubeadm writes it.
//!
//! Source of the semantics: DNS-2, DNS-36 … DNS-38, DNS-43, DNS-45, DNS-72; the README of CoreDNS's plugin `kubernetes`;
//! the grammar is Caddy's: a line per directive, `{ … }` around what belongs to one, `#` before a comment.
//!
//! Deviation: a change counts as soon as the server's watch sees it; a real one waits for the kubelet's volume and the
//! plugin `reload`, a minute or two. Like a real one, the server keeps its settings when it cannot read the new ones.

use api::Object;

use crate::{PodsMode, ServerOptions};

/// Where the Corefile is: name and namespace of its ConfigMap.
const CONFIG_MAP: (&str, &str) = ("coredns", "kube-system");
/// Plugins that change no answer, or only those that a simulated cluster does not have.
const WITHOUT_EFFECT: [&str; 9] = [
    "errors",
    "health",
    "ready",
    "prometheus",
    "cache",
    "loop",
    "reload",
    "loadbalance",
    "log",
];

/// What a Corefile says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corefile {
    /// How the plugin `kubernetes` is set.
    pub options: ServerOptions,
    /// Whether other names are asked for elsewhere (plugin `forward`).
    pub forwards: bool,
}

/// What cannot be carried out of a Corefile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct CorefileError {
    /// From 1.
    pub line: usize,
    /// Why.
    pub message: String,
}

impl Corefile {
    /// The text of the Corefile that an object holds; `None` for any other object than its ConfigMap.
    #[must_use]
    pub fn text_of(object: &Object) -> Option<&str> {
        let Object::Other(map) = object else {
            return None;
        };
        let place = (map.metadata.name.as_str(), map.metadata.namespace.as_str());
        if object.kind().name() != "ConfigMap" || place != CONFIG_MAP {
            return None;
        }
        map.rest.get("data")?.get("Corefile")?.as_str()
    }

    /// Reads a Corefile for a cluster of a domain.
    ///
    /// # Errors
    /// At the first line that asks for what cannot be carried out.
    pub fn parse(text: &str, domain: &str) -> Result<Self, CorefileError> {
        let mut reader = Reader {
            domain,
            blocks: Vec::new(),
            options: None,
            forwards: false,
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line);
            let words: Vec<&str> = line.split_whitespace().collect();
            let read = reader.line(&words);
            read.map_err(|message| CorefileError {
                line: index + 1,
                message,
            })?;
        }
        let end = |message: &str| CorefileError {
            line: text.lines().count(),
            message: message.to_owned(),
        };
        if !reader.blocks.is_empty() {
            return Err(end("a closing brace is missing"));
        }
        Ok(Self {
            options: reader
                .options
                .ok_or_else(|| end("the plugin kubernetes is missing"))?,
            forwards: reader.forwards,
        })
    }
}

/// A Corefile under way.
struct Reader<'a> {
    domain: &'a str,
    /// The first words of the blocks around the present line.
    blocks: Vec<String>,
    options: Option<ServerOptions>,
    forwards: bool,
}

impl Reader<'_> {
    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        let (words, opens) = match words {
            [] => return Ok(()),
            ["}"] => {
                let closed = self.blocks.pop();
                return closed
                    .map(drop)
                    .ok_or_else(|| "a brace too many".to_owned());
            }
            [words @ .., "{"] => (words, true),
            words => (words, false),
        };
        let Some((&first, arguments)) = words.split_first() else {
            return Err("a block without a name".to_owned());
        };
        let blocks: Vec<&str> = self.blocks.iter().map(String::as_str).collect();
        match (blocks.as_slice(), first) {
            ([], address) => self.server(address, opens)?,
            ([_], "kubernetes") => self.kubernetes(arguments)?,
            ([_], "forward") => self.forwards = true,
            ([_], plugin) if WITHOUT_EFFECT.contains(&plugin) => {}
            ([_], plugin) => {
                return Err(format!(
                    "plugin {plugin} is not supported by this version of switchboard; supported: kubernetes, forward, {}",
                    WITHOUT_EFFECT.join(", ")
                ));
            }
            ([_, "kubernetes"], option) => self.option(option, arguments)?,
            _ => {}
        }
        if opens {
            self.blocks.push(first.to_owned());
        }
        Ok(())
    }

    /// `.:53 {`: the one server of all names.
    fn server(&self, address: &str, opens: bool) -> Result<(), String> {
        if !opens || !matches!(address, "." | ".:53") || self.options.is_some() {
            return Err(format!(
                "server {address} is not supported by this version of switchboard; supported: one server of .:53"
            ));
        }
        Ok(())
    }

    /// `kubernetes cluster.local in-addr.arpa ip6.arpa`
    fn kubernetes(&mut self, zones: &[&str]) -> Result<(), String> {
        let reverse = match zones {
            [zone] if *zone == self.domain => false,
            [zone, "in-addr.arpa", "ip6.arpa"] if *zone == self.domain => true,
            _ => {
                return Err(format!(
                    "the plugin kubernetes is for {} here, with in-addr.arpa and ip6.arpa behind it or without",
                    self.domain
                ));
            }
        };
        self.options = Some(ServerOptions {
            pods: PodsMode::Disabled,
            ttl: ServerOptions::TTL_DEFAULT,
            endpoint_pod_names: false,
            reverse,
            fallthrough: false,
        });
        Ok(())
    }

    fn option(&mut self, name: &str, arguments: &[&str]) -> Result<(), String> {
        let options = self.options.as_mut().expect("its block is open");
        match (name, arguments) {
            ("pods", [mode]) => {
                let known = PodsMode::ALL
                    .into_iter()
                    .find(|known| known.as_str() == *mode);
                let names = PodsMode::ALL.map(PodsMode::as_str).join(", ");
                options.pods = known.ok_or_else(|| format!("{mode} is not one of {names}"))?;
            }
            ("ttl", [seconds]) => {
                let known = seconds.parse().ok();
                let known = known.filter(|seconds| *seconds <= ServerOptions::TTL_MAX);
                options.ttl = known.ok_or_else(|| {
                    format!(
                        "ttl must be in range [0, {}]: {seconds}",
                        ServerOptions::TTL_MAX
                    )
                })?;
            }
            ("endpoint_pod_names", []) => options.endpoint_pod_names = true,
            ("fallthrough", ["in-addr.arpa", "ip6.arpa"]) => options.fallthrough = true,
            _ => {
                return Err(format!(
                    "`{name}` is not supported so by this version of switchboard; supported: pods MODE, ttl SECONDS, \
                     endpoint_pod_names, fallthrough in-addr.arpa ip6.arpa"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What kubeadm writes.
    const KUBEADM: &str = "\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
";

    fn parse(text: &str) -> Result<Corefile, String> {
        Corefile::parse(text, "cluster.local").map_err(|error| error.to_string())
    }

    #[test]
    fn dns_2_what_kubeadm_writes_is_what_is_taken_without_it() {
        let expected = Corefile {
            options: ServerOptions::KUBEADM,
            forwards: true,
        };
        assert_eq!(parse(KUBEADM), Ok(expected));
    }

    #[test]
    fn dns_45_and_72_options() {
        let kubernetes = |block: &str| {
            parse(&format!(
                ".:53 {{\nkubernetes cluster.local {{\n{block}\n}}\n}}\n"
            ))
        };
        let read = kubernetes("pods verified # checked\nendpoint_pod_names\nttl 0").unwrap();
        assert_eq!(
            read.options,
            ServerOptions {
                pods: PodsMode::Verified,
                ttl: 0,
                endpoint_pod_names: true,
                reverse: false,
                fallthrough: false,
            }
        );
        let plain = parse(".:53 {\n kubernetes cluster.local\n}").unwrap();
        assert_eq!(
            (plain.options.ttl, plain.options.pods),
            (5, PodsMode::Disabled)
        );
        assert!(!plain.forwards);
        let error = kubernetes("ttl 3601").unwrap_err();
        assert_eq!(error, "line 3: ttl must be in range [0, 3600]: 3601");
    }

    #[test]
    fn what_cannot_be_carried_out_is_said_with_its_line() {
        for (text, complaint) in [
            (".:53 {\n hosts\n}", "line 2: plugin hosts is not supported"),
            (
                "example.org {\n}",
                "line 1: server example.org is not supported",
            ),
            (
                ".:53 {\n kubernetes other.zone\n}",
                "line 2: the plugin kubernetes is for cluster.local",
            ),
            (
                ".:53 {\n kubernetes cluster.local {\n noendpoints\n }\n}",
                "line 3: `noendpoints` is not supported",
            ),
            (
                ".:53 {\n errors\n}",
                "line 3: the plugin kubernetes is missing",
            ),
            (
                ".:53 {\n kubernetes cluster.local",
                "line 2: a closing brace is missing",
            ),
            ("}", "line 1: a brace too many"),
            ("{", "line 1: a block without a name"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(complaint), "{error}");
        }
    }
}
