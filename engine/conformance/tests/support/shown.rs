//! Outcomes in the short words of tables.

use std::collections::BTreeMap;

use switchboard_conformance::{Allowed, AllowedOutcome, Share, SourceNat};

/// One line per alternative: `reject`, `drop`, `untouched`, or endpoints with `+` for a hidden client, `?` for one
/// that may be hidden.
pub fn shown(allowed: &Allowed) -> Vec<String> {
    let outcome = |outcome: &AllowedOutcome| match outcome {
        AllowedOutcome::Endpoint {
            address,
            source_nat,
        } => match source_nat {
            SourceNat::No => address.to_string(),
            SourceNat::Yes => format!("{address}+"),
            SourceNat::Either => format!("{address}?"),
        },
        AllowedOutcome::Reject => "reject".to_owned(),
        AllowedOutcome::Drop => "drop".to_owned(),
        AllowedOutcome::Untouched => "untouched".to_owned(),
    };
    let line = |outcomes: &BTreeMap<AllowedOutcome, Share>| {
        outcomes.keys().map(outcome).collect::<Vec<_>>().join(" ")
    };
    allowed
        .alternatives()
        .map(|alternative| line(&alternative.outcomes))
        .collect()
}
