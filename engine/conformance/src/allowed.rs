//! What may become of a packet: the oracle's answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use crate::Outcome;

/// Every way of dealing with a packet that Kubernetes' promises leave open; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    alternatives: BTreeSet<Alternative>,
}

/// One way of dealing with a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alternative {
    /// Why it is allowed.
    pub ruling: Ruling,
    /// All that may become of the packet, with the share of each; the shares sum to 1.
    pub outcomes: BTreeMap<AllowedOutcome, Share>,
}

/// An outcome as the oracle knows it beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AllowedOutcome {
    /// The packet goes to an endpoint.
    Endpoint {
        /// Which one.
        address: SocketAddr,
        /// Whether the endpoint sees another source address than the client's.
        source_nat: SourceNat,
    },
    /// It is refused, and the client is told at once.
    Reject,
    /// It is dropped, and the client waits until it gives up.
    Drop,
    /// No Service concerns it: it goes wherever it would go without any.
    Untouched,
}

/// Whether an endpoint sees another source address than the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceNat {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That depends on the node's network, not on its proxy.
    Either,
}

/// How binding an outcome is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obligation {
    /// Every data plane shows it.
    Required,
    /// A data plane may show it or not.
    ImplementationDefined,
}

/// Why the oracle allows what it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ruling {
    /// No Service has this address, port and protocol.
    NoService,
    /// It is a ClusterIP, but not at this port and protocol, and nftables mode says so; or any address of a Service, and
    /// IPVS mode does.
    WrongPort,
    /// It lies in a Service range, but no Service has it, and nftables mode lets nothing out.
    UnusedAddress,
    /// The load balancer is closed to the sender.
    SourceRanges,
    /// No node has an endpoint that could be used.
    NoEndpoint,
    /// Policy Local, and endpoints that could be used are on other nodes only.
    NoLocalEndpoint,
    /// Policy Local, endpoints that could be used are on other nodes only, and nothing else of the Service uses those:
    /// in IPVS mode its virtual server is empty.
    EmptyServer,
    /// It comes from elsewhere with an address that in IPVS mode is the node's own.
    ForeignSource,
    /// There is no endpoint for it, but nobody looks.
    NotChecked,
    /// A node port is not at this address of the node.
    NotServed,
    /// Some endpoints may be used.
    Balance,
    /// The client stays with the endpoint that it had (PROXY-32).
    Affinity,
}

/// An exact share of all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    numerator: u128,
    denominator: u128,
}

impl Share {
    /// All connections.
    pub const ALL: Self = Self {
        numerator: 1,
        denominator: 1,
    };
    /// How far two shares may be apart and still count as equal: kernels keep 1/n as a multiple of 2⁻³¹
    /// (PROXY-42).
    pub const SLACK: f64 = 1e-6;

    /// A fraction; `None` unless it lies between 0 and 1.
    #[must_use]
    pub const fn new(numerator: u128, denominator: u128) -> Option<Self> {
        if denominator == 0 || numerator > denominator {
            return None;
        }
        Some(Self {
            numerator,
            denominator,
        })
    }

    /// As a floating-point number.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shares are compared with slack")]
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            _ => write!(f, "{}/{}", self.numerator, self.denominator),
        }
    }
}

impl Alternative {
    /// One outcome, always.
    pub(crate) fn always(ruling: Ruling, outcome: AllowedOutcome) -> Self {
        Self {
            ruling,
            outcomes: BTreeMap::from([(outcome, Share::ALL)]),
        }
    }

    /// Several outcomes, each as likely as the others (PROXY-42).
    pub(crate) fn evenly(ruling: Ruling, outcomes: &BTreeSet<AllowedOutcome>) -> Self {
        let share = Share {
            numerator: 1,
            denominator: outcomes.len() as u128,
        };
        Self {
            ruling,
            outcomes: outcomes.iter().map(|outcome| (*outcome, share)).collect(),
        }
    }

    fn permits(&self, observed: &[(Share, Outcome)]) -> bool {
        let shown = || observed.iter().filter(|(share, _)| share.numerator > 0);
        let share_of = |allowed: &AllowedOutcome| -> f64 {
            let alike = shown().filter(|(_, outcome)| allowed.admits(outcome));
            alike.map(|(share, _)| share.as_f64()).sum()
        };
        let expected = |outcome: &Outcome| self.outcomes.keys().any(|one| one.admits(outcome));
        shown().all(|(_, outcome)| expected(outcome))
            && self
                .outcomes
                .iter()
                .all(|(outcome, share)| (share_of(outcome) - share.as_f64()).abs() <= Share::SLACK)
    }
}

impl AllowedOutcome {
    /// Whether what was observed is this outcome.
    #[must_use]
    pub fn admits(&self, observed: &Outcome) -> bool {
        match (self, observed) {
            (
                Self::Endpoint {
                    address,
                    source_nat,
                },
                Outcome::Endpoint {
                    address: seen,
                    source_nat: translated,
                },
            ) => {
                address == seen
                    && match source_nat {
                        SourceNat::Yes => *translated,
                        SourceNat::No => !translated,
                        SourceNat::Either => true,
                    }
            }
            (Self::Reject, Outcome::Reject)
            | (Self::Drop, Outcome::Drop)
            | (Self::Untouched, Outcome::Untouched) => true,
            _ => false,
        }
    }
}

impl Allowed {
    /// `None` without any alternative.
    pub(crate) fn new(alternatives: BTreeSet<Alternative>) -> Option<Self> {
        (!alternatives.is_empty()).then_some(Self { alternatives })
    }

    /// One alternative only: no implementation has a choice.
    pub(crate) fn only(alternative: Alternative) -> Self {
        Self {
            alternatives: BTreeSet::from([alternative]),
        }
    }

    /// The alternatives; an implementation has to keep to one of them.
    pub fn alternatives(&self) -> impl Iterator<Item = &Alternative> {
        self.alternatives.iter()
    }

    /// Every outcome of any alternative. Those of all alternatives are required.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<AllowedOutcome, Obligation> {
        let any = self
            .alternatives
            .iter()
            .flat_map(|alternative| alternative.outcomes.keys());
        let obligation = |outcome| {
            let in_all = self
                .alternatives
                .iter()
                .all(|one| one.outcomes.contains_key(outcome));
            if in_all {
                Obligation::Required
            } else {
                Obligation::ImplementationDefined
            }
        };
        any.map(|outcome| (*outcome, obligation(outcome))).collect()
    }

    /// Whether a single observation is one of the outcomes of any alternative.
    #[must_use]
    pub fn admits(&self, observed: &Outcome) -> bool {
        let mut outcomes = self.alternatives.iter().flat_map(|one| one.outcomes.keys());
        outcomes.any(|outcome| outcome.admits(observed))
    }

    /// Whether what was observed, with all shares, is one of the alternatives.
    #[must_use]
    pub fn permits(&self, observed: &[(Share, Outcome)]) -> bool {
        self.alternatives
            .iter()
            .any(|alternative| alternative.permits(observed))
    }
}

impl fmt::Display for AllowedOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint {
                address,
                source_nat,
            } => {
                write!(f, "goes to {address}, client {source_nat}")
            }
            Self::Reject => f.pad("rejected"),
            Self::Drop => f.pad("dropped"),
            Self::Untouched => f.pad("untouched"),
        }
    }
}

impl fmt::Display for SourceNat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Yes => "hidden behind the node",
            Self::No => "visible",
            Self::Either => "visible or hidden",
        })
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoService => {
                "no Service has this address, port and protocol, and what is not a Service's is \
                 left alone (PROXY-2, PROXY-16)"
            }
            Self::WrongPort => {
                "the address's Service has no such port and protocol, and the mode refuses those \
                 (PROXY-16, PROXY-17)"
            }
            Self::UnusedAddress => {
                "no Service has this address of a Service range, and nftables mode drops what is \
                 for such (PROXY-16)"
            }
            Self::SourceRanges => "loadBalancerSourceRanges do not contain the sender (PROXY-30)",
            Self::NoEndpoint => {
                "no endpoint anywhere is ready, or serving while it terminates (PROXY-14)"
            }
            Self::NoLocalEndpoint => {
                "the traffic policy is Local, and only other nodes have endpoints that could be \
                 used (PROXY-15)"
            }
            Self::EmptyServer => {
                "the traffic policy is Local, only other nodes have endpoints, and the virtual \
                 server is empty (PROXY-15)"
            }
            Self::ForeignSource => {
                "the sender has a Service's address, which is the node's own, and such packets \
                 come from nowhere else (PROXY-57)"
            }
            Self::NotChecked => {
                "there is no endpoint to use, but the node's proxy does not look at such packets \
                 (PROXY-33, PROXY-49)"
            }
            Self::NotServed => "node ports are not at this address of the node (PROXY-26)",
            Self::Affinity => "the client was with this endpoint a short while ago (PROXY-32)",
            Self::Balance => "these endpoints share the connections evenly (PROXY-13, PROXY-42)",
        })
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.ruling)?;
        for (outcome, share) in &self.outcomes {
            write!(f, "\n    {share}: {outcome}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Allowed {
    /// A line per outcome; several alternatives are set apart by "or".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, alternative) in self.alternatives.iter().enumerate() {
            if index > 0 {
                f.write_str("\n  or, as the implementation likes: ")?;
            }
            write!(f, "{alternative}")?;
        }
        Ok(())
    }
}
