//! What can go wrong with a cluster, on purpose.
//!
//! **What.** A [`Fault`] says what is wrong and with whom; [`World::fault`](crate::World::fault) begins one and
//! [`World::heal`](crate::World::heal) ends it. **Why.** What is wrong follows from the faults that are there, never from
//! their history: two faults of one node must both be healed, in whatever order.
//! **Source of the semantics.** PROXY-68 (rules outlive a proxy), PROXY-72 and -75 (conntrack); tc-netem(8) for links.

use std::fmt;
use std::time::Duration;

use api::ObjectKey;
use base::format_duration;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `partition-api`: a node's proxy and kubelet neither see the API server nor write to it.
    PartitionApi {
        /// The node.
        node: String,
    },
    /// `watch-delay`: proxies see every event so much later.
    WatchDelay {
        /// Whose.
        place: Place,
        /// How much later.
        by: Duration,
    },
    /// `proxy-crash`: a node's proxy does not run; its rules stay.
    ProxyCrash {
        /// The node.
        node: String,
    },
    /// `proxy-stall`: a node's proxy sees what changes and writes nothing.
    ProxyStall {
        /// The node.
        node: String,
    },
    /// `node-down`, `zone-down`: nodes without power.
    Down {
        /// Which.
        place: Place,
    },
    /// `link`: a link that does not carry packets as it should.
    Link {
        /// One end.
        a: LinkEnd,
        /// The other.
        b: LinkEnd,
        /// What is wrong with it.
        impairment: Impairment,
    },
    /// `link` with a Pod as an end: Pods' links to their nodes do not carry packets as they should. The next Pod of a
    /// name has such a link, too.
    PodLink {
        /// The Pods.
        pods: Vec<ObjectKey>,
        /// What is wrong with each link.
        impairment: Impairment,
    },
    /// `pod-crash`: the containers of Pods end, once.
    PodCrash {
        /// The Pods.
        pods: Vec<ObjectKey>,
    },
    /// `pod-unready`: Pods fail their readiness probes.
    PodUnready {
        /// The Pods.
        pods: Vec<ObjectKey>,
    },
    /// `conntrack-full`: a node tracks at most so many connections (`nf_conntrack_max`).
    ConntrackFull {
        /// The node.
        node: String,
        /// How many.
        max: usize,
    },
    /// `api-down`: nobody reaches the API server.
    ApiDown,
    /// `dns-down`: cluster DNS takes queries and does not answer.
    DnsDown,
}

/// One node, or all of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The node called so.
    Node(String),
    /// The nodes of the zone called so.
    Zone(String),
}

/// An end of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkEnd {
    /// `node/…`, with its Pods behind it.
    Node(String),
    /// `zone/…`: all its nodes.
    Zone(String),
    /// `outside/…`
    Outside(String),
}

/// A fraction in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMillion(u32);

impl PerMillion {
    const WHOLE: u32 = 1_000_000;

    /// So many millionths; `None` for more than the whole.
    #[must_use]
    pub const fn new(millionths: u32) -> Option<Self> {
        match millionths > Self::WHOLE {
            true => None,
            false => Some(Self(millionths)),
        }
    }

    /// How many millionths.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// What two independent chances come to together, rounded down.
    fn or(self, other: Self) -> Self {
        let whole = u64::from(Self::WHOLE);
        let neither = (whole - u64::from(self.0)) * (whole - u64::from(other.0));
        let either = whole - neither.div_ceil(whole);
        Self(u32::try_from(either).expect("at most the whole"))
    }
}

impl fmt::Display for PerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, rest) = (self.0 / 10_000, self.0 % 10_000);
        let digits = format!("{percent}.{rest:04}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{digits}%")
    }
}

/// What a link does to packets, either way; the words are those of tc-netem(8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Packets take so much longer.
    pub delay: Duration,
    /// By how much the delay varies.
    pub jitter: Duration,
    /// Packets that are lost.
    pub loss: PerMillion,
    /// Packets that arrive twice.
    pub duplicate: PerMillion,
    /// Packets that overtake those before them.
    pub reorder: PerMillion,
    /// Bits per second.
    pub rate: Option<u64>,
    /// The largest packet.
    pub mtu: Option<usize>,
    /// Nothing passes.
    pub cut: bool,
}

impl Impairment {
    /// What two impairments of one link come to.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self {
            delay: self.delay.saturating_add(other.delay),
            jitter: self.jitter.saturating_add(other.jitter),
            loss: self.loss.or(other.loss),
            duplicate: self.duplicate.or(other.duplicate),
            reorder: self.reorder.or(other.reorder),
            rate: least(self.rate, other.rate),
            mtu: self.mtu.into_iter().chain(other.mtu).min(),
            cut: self.cut || other.cut,
        }
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |name: &str, span: Duration| {
            (!span.is_zero()).then(|| format!("{name} {}", format_duration(span)))
        };
        let share = |name: &str, share: PerMillion| {
            (share != PerMillion::default()).then(|| format!("{name} {share}"))
        };
        let parts = [
            self.cut.then(|| "cut".to_owned()),
            span("delay", self.delay),
            span("jitter", self.jitter),
            share("loss", self.loss),
            share("duplicate", self.duplicate),
            share("reorder", self.reorder),
            self.rate.map(|rate| format!("rate {rate} bit/s")),
            self.mtu.map(|mtu| format!("mtu {mtu}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Zone(name) => write!(f, "zone/{name}"),
        }
    }
}

impl fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Zone(name) => write!(f, "zone/{name}"),
            Self::Outside(name) => write!(f, "outside/{name}"),
        }
    }
}

impl fmt::Display for Fault {
    /// What is wrong, as a sentence without its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = |pods: &[ObjectKey]| {
            let names: Vec<String> = pods.iter().map(ToString::to_string).collect();
            names.join(", ")
        };
        match self {
            Self::PartitionApi { node } => write!(f, "node/{node} cannot reach the API server"),
            Self::WatchDelay { place, by } => {
                let by = format_duration(*by);
                write!(f, "the proxy of {place} sees every change {by} later")
            }
            Self::ProxyCrash { node } => write!(f, "the proxy of node/{node} does not run"),
            Self::ProxyStall { node } => write!(f, "the proxy of node/{node} writes no rules"),
            Self::Down { place } => write!(f, "{place} has no power"),
            Self::Link { a, b, impairment } => {
                write!(f, "the link between {a} and {b} is impaired: {impairment}")
            }
            Self::PodLink {
                pods: keys,
                impairment,
            } => {
                let keys = pods(keys);
                write!(f, "the link to its node is impaired: {keys}: {impairment}")
            }
            Self::PodCrash { pods: keys } => write!(f, "crashed: {}", pods(keys)),
            Self::PodUnready { pods: keys } => write!(f, "not ready: {}", pods(keys)),
            Self::ConntrackFull { node, max } => {
                write!(f, "node/{node} tracks at most {max} connections")
            }
            Self::ApiDown => f.write_str("the API server is down"),
            Self::DnsDown => f.write_str("cluster DNS does not answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millionths(count: u32) -> PerMillion {
        PerMillion::new(count).unwrap()
    }

    #[test]
    fn chances_of_one_link_are_independent() {
        let check = |a, b, both| assert_eq!(millionths(a).or(millionths(b)), millionths(both));
        check(0, 0, 0);
        check(0, 250_000, 250_000);
        check(500_000, 500_000, 750_000);
        check(1_000_000, 3, 1_000_000);
        check(1, 1, 1);
        assert_eq!(PerMillion::new(1_000_001), None);
    }

    #[test]
    fn an_impairment_says_what_is_wrong_only() {
        let impairment = Impairment {
            delay: Duration::from_millis(20),
            loss: millionths(12_500),
            ..Impairment::default()
        };
        assert_eq!(impairment.to_string(), "delay 20ms, loss 1.25%");
        let cut = Impairment {
            cut: true,
            mtu: Some(1400),
            ..Impairment::default()
        };
        let both = impairment.and(&cut);
        assert_eq!(both.to_string(), "cut, delay 20ms, loss 1.25%, mtu 1400");
        assert_eq!(both, cut.and(&impairment));
    }
}
