//! What a row expects, and how it is compared.

use std::fmt;
use std::net::SocketAddr;

use api::IpFamily;
use switchboard_conformance::{Allowed, AllowedOutcome, Outcome, Share, SourceNat};

use crate::fixture::endpoint_address;

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Reject,
    Drop,
    Untouched,
    /// Each of these endpoints, as likely as the others.
    Endpoints(Vec<(SocketAddr, SourceNat)>),
}

impl Expected {
    /// Reads `reject`, `drop`, `untouched`, or endpoints by name: `a b:5353+ c?`. The port is 8080 unless said;
    /// `+` is for a client that is hidden from the endpoint, `?` for one that may be.
    pub(crate) fn read(text: &str, family: IpFamily) -> Self {
        match text {
            "reject" => Self::Reject,
            "drop" => Self::Drop,
            "untouched" => Self::Untouched,
            names => Self::Endpoints(
                names
                    .split(' ')
                    .map(|name| read_one(name, family))
                    .collect(),
            ),
        }
    }

    /// Whether the oracle allows this and nothing else.
    pub(crate) fn is_all_of(&self, allowed: &Allowed) -> bool {
        let mut alternatives = allowed.alternatives();
        let (Some(only), None) = (alternatives.next(), alternatives.next()) else {
            return false;
        };
        let outcomes = self.outcomes();
        only.outcomes.len() == outcomes.len()
            && outcomes
                .iter()
                .all(|outcome| only.outcomes.contains_key(outcome))
    }

    /// Whether a data plane shows all of this in equal shares, and nothing else.
    pub(crate) fn is_shown_by(&self, observed: &[(Share, Outcome)]) -> bool {
        let outcomes = self.outcomes();
        let share = 1.0 / f64::from(u32::try_from(outcomes.len()).expect("rows are short"));
        let is_expected =
            |(_, seen): &(Share, Outcome)| outcomes.iter().any(|outcome| outcome.admits(seen));
        let is_complete = |outcome: &AllowedOutcome| {
            let alike = observed.iter().filter(|(_, seen)| outcome.admits(seen));
            let sum: f64 = alike.map(|(share, _)| share.as_f64()).sum();
            (sum - share).abs() <= Share::SLACK
        };
        observed.iter().all(is_expected) && outcomes.iter().all(is_complete)
    }

    fn outcomes(&self) -> Vec<AllowedOutcome> {
        match self {
            Self::Reject => vec![AllowedOutcome::Reject],
            Self::Drop => vec![AllowedOutcome::Drop],
            Self::Untouched => vec![AllowedOutcome::Untouched],
            Self::Endpoints(endpoints) => endpoints
                .iter()
                .map(|(address, source_nat)| AllowedOutcome::Endpoint {
                    address: *address,
                    source_nat: *source_nat,
                })
                .collect(),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.outcomes().iter().map(ToString::to_string).collect();
        f.write_str(&words.join(", "))
    }
}

/// What a data plane showed.
pub(crate) fn words(observed: &[(Share, Outcome)]) -> String {
    let words = observed
        .iter()
        .map(|(share, outcome)| format!("{share}: {outcome}"));
    words.collect::<Vec<_>>().join(", ")
}

fn read_one(text: &str, family: IpFamily) -> (SocketAddr, SourceNat) {
    let (name, source_nat) = match text.split_at(text.len() - 1) {
        (name, "+") => (name, SourceNat::Yes),
        (name, "?") => (name, SourceNat::Either),
        _ => (text, SourceNat::No),
    };
    let (name, port) = name.split_once(':').unwrap_or((name, "8080"));
    let port = port.parse().expect("a port is a number");
    (
        SocketAddr::new(endpoint_address(name, family), port),
        source_nat,
    )
}
