//! What a step expects to see: one type per verb, so that no verb can carry another's expectation.
//!
//! **Source of the semantics.** The scenario language's contract. Where it leaves a choice the type's
//! documentation says what was chosen.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use control::{Outcome, ProxyMode};
use regex::Regex;
use serde_json::Value as Json;

use crate::range::Range;
use crate::reference::PodsRef;

/// An expectation of a verb, possibly another one for some modes.
#[derive(Clone, Debug)]
pub struct Expect<T> {
    /// For every mode that `by_mode` does not name.
    pub default: Option<Expectation<T>>,
    /// `byMode`
    pub by_mode: BTreeMap<ProxyMode, Expectation<T>>,
}

impl<T> Expect<T> {
    /// Whatever comes is right.
    #[must_use]
    pub(crate) const fn nothing() -> Self {
        Self {
            default: None,
            by_mode: BTreeMap::new(),
        }
    }

    /// What is expected in `mode`.
    #[must_use]
    pub fn in_mode(&self, mode: ProxyMode) -> Option<&Expectation<T>> {
        self.by_mode.get(&mode).or(self.default.as_ref())
    }

    /// The same as the scenario spells it.
    #[must_use]
    pub fn given(&self, mode: ProxyMode) -> Option<&Json> {
        self.in_mode(mode).map(|expectation| &expectation.given)
    }
}

/// What is expected, and when.
#[derive(Clone, Debug)]
pub struct Expectation<T> {
    /// What.
    pub check: T,
    /// When.
    pub hold: Hold,
    /// As the scenario spells it, for the report.
    pub given: Json,
}

/// At which instants an expectation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// When the step runs.
    Now,
    /// `within`: at some instant up to this long after the step began.
    Within(Duration),
    /// `throughout`: at every instant up to this long after the step began.
    Throughout(Duration),
}

/// Of a text that kubectl prints.
#[derive(Clone, Debug)]
pub enum TextCheck {
    /// It is exactly this, white space at the ends aside.
    Exactly(String),
    /// Each of these is a part of it.
    Contains(Vec<String>),
    /// This matches somewhere in it, white space at the ends aside.
    Matches(Regex),
}

/// Of `apply`, `create`, `replace` and `delete`: the first refusal.
#[derive(Clone, Debug)]
pub struct WriteCheck {
    /// Its text.
    pub error: TextCheck,
}

/// Of `get`. The printed text is what kubectl writes to standard output, or, where that is nothing, to standard error
/// (`No resources found in default namespace.`).
#[derive(Clone, Debug)]
pub enum GetCheck {
    /// The printed text.
    Output(TextCheck),
    /// Every field given is equal; lists have the same length and their items are compared alike.
    Object(Json),
    /// The object cannot be read, and kubectl says so.
    Error(TextCheck),
}

/// Of `resolve`. What is absent is not judged.
#[derive(Clone, Debug)]
pub struct ResolveCheck {
    /// One of these.
    pub rcode: Vec<String>,
    /// RDATA of all answers in presentation form, in any order.
    pub answers: Option<Vec<String>>,
    /// How many queries it took.
    pub queries: Option<Range<u64>>,
}

/// Of `connect`. What is absent is not judged.
#[derive(Clone, Debug)]
pub struct ConnectCheck {
    /// How the connections ended.
    pub outcomes: Option<Outcomes>,
    /// Who answered.
    pub backends: Option<Backends>,
    /// `spread: uniform`, see [`crate::judge`] for the criterion.
    pub uniform: bool,
    /// The source address that every answering server saw.
    pub peer_seen: Option<IpAddr>,
    /// From dialling to being connected, of those that were.
    pub latency: Vec<(Percentile, Range<Duration>)>,
}

/// Of `stop`. What is absent is not judged.
#[derive(Clone, Debug, Default)]
pub struct StopCheck {
    /// Of all requests.
    pub all: TallyCheck,
    /// Of those that were their connections' first.
    pub new: TallyCheck,
    /// Of those on connections that stood.
    pub established: TallyCheck,
    /// Who answered.
    pub backends: Option<Backends>,
    /// From dialling to being connected, and from a later request to its answer.
    pub latency: Vec<(Percentile, Range<Duration>)>,
}

/// How many requests ended in which way. Ways that are not named are not judged.
#[derive(Clone, Debug, Default)]
pub struct TallyCheck {
    /// Those that did not end as `connected`.
    pub failed: Option<Range<u64>>,
    /// Those that ended so.
    pub outcomes: BTreeMap<Outcome, Range<u64>>,
}

/// How connections ended.
#[derive(Clone, Debug)]
pub enum Outcomes {
    /// Every one ended in one of these ways.
    AnyOf(Vec<Outcome>),
    /// This many ended in each way. Ways that are not named must not occur.
    Counts(BTreeMap<Outcome, Range<u64>>),
}

/// Which Pods answered.
#[derive(Clone, Debug)]
pub enum Backends {
    /// All of these and no others.
    Exactly(Vec<PodsRef>),
    /// No others than these.
    Within(Vec<PodsRef>),
    /// This many different ones.
    Count(Range<u64>),
}

/// A rank among sorted values (nearest rank).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Percentile {
    /// `p50`
    P50,
    /// `p90`
    P90,
    /// `p99`
    P99,
    /// `max`
    Max,
}

impl Percentile {
    /// Every one as scenarios spell it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p99", Self::P99),
        ("max", Self::Max),
    ];

    /// As scenarios spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::Max => "max",
        }
    }

    /// How many of a hundred are not greater.
    #[must_use]
    pub const fn hundredths(self) -> u8 {
        match self {
            Self::P50 => 50,
            Self::P90 => 90,
            Self::P99 => 99,
            Self::Max => 100,
        }
    }

    /// The value of this rank; `None` of nothing.
    #[must_use]
    pub fn of(self, sorted: &[Duration]) -> Option<Duration> {
        let rank = (sorted.len() * usize::from(self.hundredths())).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied()
    }
}

/// Of `probe`. What is absent is not judged.
#[derive(Clone, Debug, Default)]
pub struct ProbeCheck {
    /// Exactly these endpoints can be chosen, and nothing else can happen.
    pub backends: Option<Vec<SocketAddr>>,
    /// Whether the source is translated, whichever endpoint is chosen.
    pub snat: Option<bool>,
    /// Exactly these endpoints can be chosen, each so.
    pub endpoints: Option<Vec<EndpointCheck>>,
    /// Nothing but one of these can happen.
    pub verdicts: Option<Vec<Verdict>>,
    /// Whether an answer gets back as one of the address that was asked, whatever becomes of the packet. It has to be
    /// known.
    pub answered: Option<bool>,
}

/// One endpoint of a probe.
#[derive(Clone, Debug)]
pub struct EndpointCheck {
    /// Its address.
    pub to: SocketAddr,
    /// Whether the source is translated; absent: not judged.
    pub snat: Option<bool>,
    /// Its share; absent: not judged.
    pub share: Option<Fraction>,
}

/// What may become of a first packet beside being sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Refused by a rule.
    Reject,
    /// Dropped by a rule.
    Drop,
    /// No rule of any Service changed or refused it.
    Untouched,
}

impl Verdict {
    /// Every one as scenarios spell it.
    pub const ALL: [(&'static str, Self); 3] = [
        ("reject", Self::Reject),
        ("drop", Self::Drop),
        ("untouched", Self::Untouched),
    ];

    /// As scenarios spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Drop => "drop",
            Self::Untouched => "untouched",
        }
    }
}

/// A share as scenarios write it: `1/2` or `1`. Neither negative nor above one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    numerator: u32,
    denominator: u32,
}

/// Why a text is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no share: expected a fraction such as 1/3, or 1")]
pub struct FractionError {
    text: String,
}

impl Fraction {
    /// As a floating-point number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

impl std::str::FromStr for Fraction {
    type Err = FractionError;

    fn from_str(text: &str) -> Result<Self, FractionError> {
        let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
        let parsed = numerator
            .trim()
            .parse()
            .ok()
            .zip(denominator.trim().parse().ok());
        parsed
            .filter(|(numerator, denominator)| *denominator > 0 && numerator <= denominator)
            .map(|(numerator, denominator)| Self {
                numerator,
                denominator,
            })
            .ok_or_else(|| FractionError {
                text: text.to_owned(),
            })
    }
}

impl std::fmt::Display for Fraction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.denominator {
            1 => write!(f, "{}", self.numerator),
            denominator => write!(f, "{}/{denominator}", self.numerator),
        }
    }
}

/// Of `explain`. What is absent is not judged.
#[derive(Clone, Debug)]
pub struct ExplainCheck {
    /// Whether the Service works.
    pub verdict: Option<explain::Verdict>,
    /// What is found.
    pub findings: Option<Findings>,
}

/// Which findings there are, by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Findings {
    /// These and no others, in any order.
    Exactly(Vec<&'static str>),
    /// These, and perhaps others.
    Contain(Vec<&'static str>),
}

/// Of `rules`.
#[derive(Clone, Debug)]
pub struct RulesCheck {
    /// Each is a part of the text.
    pub contains: Vec<String>,
    /// None is a part of the text.
    pub absent: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<Duration> = (1..=10).map(Duration::from_millis).collect();
        let rank = |percentile: Percentile| percentile.of(&sorted).unwrap().as_millis();
        assert_eq!(
            Percentile::ALL.map(|(_, percentile)| rank(percentile)),
            [5, 9, 10, 10]
        );
        assert_eq!(Percentile::P50.of(&[]), None);
    }

    #[test]
    fn fractions() {
        let text = |text: &str| {
            text.parse::<Fraction>()
                .map(|fraction| fraction.to_string())
        };
        assert_eq!(text("1/2").unwrap(), "1/2");
        assert_eq!(text("1").unwrap(), "1");
        for bad in ["", "1/0", "2/1", "-1/2", "x", "0.5", "1/2/3"] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }
}
