//! Judging what may become of a first packet.

use control::{Probe, ProbeAnswer, ProbeOutcome};

use super::Mismatch;
use crate::expect::{EndpointCheck, Fraction, ProbeCheck, Verdict};

/// Judges what may become of a first packet.
#[must_use]
pub fn probe(check: &ProbeCheck, seen: &Probe) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let shares = probe_shares(seen);
    if let Some(backends) = &check.backends {
        let wanted = backends.iter().map(|to| EndpointCheck {
            to: *to,
            snat: None,
            share: None,
        });
        judge_endpoints(&wanted.collect::<Vec<_>>(), &shares, &mut mismatches);
    }
    if let Some(endpoints) = &check.endpoints {
        judge_endpoints(endpoints, &shares, &mut mismatches);
    }
    if let Some(wanted) = check.snat {
        for (outcome, _) in &shares {
            match outcome {
                ProbeOutcome::Endpoint { snat, .. } if *snat == wanted => {}
                ProbeOutcome::Endpoint { to, snat: true } => {
                    mismatches.push(format!("the source is translated on the way to {to}").into());
                }
                ProbeOutcome::Endpoint { to, snat: false } => {
                    mismatches
                        .push(format!("the source is not translated on the way to {to}").into());
                }
                // Said above already.
                _ if check.backends.is_some() || check.endpoints.is_some() => {}
                other => {
                    mismatches.push(format!("the packet is {} instead", probe_words(other)).into());
                }
            }
        }
    }
    if let Some(verdicts) = &check.verdicts {
        for (outcome, share) in &shares {
            if !verdict_of(outcome).is_some_and(|verdict| verdicts.contains(&verdict)) {
                mismatches.push(
                    format!(
                        "the packet is {} ({})",
                        probe_words(outcome),
                        percent(*share)
                    )
                    .into(),
                );
            }
        }
    }
    if let Some(wanted) = check.answered {
        let outcomes = shares.iter().map(|(outcome, _)| outcome);
        mismatches.extend(outcomes.filter_map(|outcome| judge_answer(wanted, outcome, seen)));
    }
    mismatches
}

/// Every outcome once, with the sum of its shares, in the order of first appearance.
#[must_use]
pub fn probe_shares(seen: &Probe) -> Vec<(ProbeOutcome, f64)> {
    let mut shares: Vec<(ProbeOutcome, f64)> = Vec::new();
    for (share, outcome) in &seen.outcomes {
        match shares.iter_mut().find(|(known, _)| known == outcome) {
            Some((_, sum)) => *sum += share.as_f64(),
            None => shares.push((outcome.clone(), share.as_f64())),
        }
    }
    shares
}

/// What becomes of a packet: `sent to 10.244.1.2:8080`.
#[must_use]
pub fn probe_words(outcome: &ProbeOutcome) -> String {
    match outcome {
        ProbeOutcome::Endpoint { to, snat: false } => format!("sent to {to}"),
        ProbeOutcome::Endpoint { to, snat: true } => {
            format!("sent to {to} with a translated source")
        }
        ProbeOutcome::Reject => "refused by a rule".to_owned(),
        ProbeOutcome::Drop => "dropped by a rule".to_owned(),
        ProbeOutcome::Untouched => "left untouched by every Service's rules".to_owned(),
    }
}

/// A share for people: `33.3%`.
#[must_use]
pub fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{}%", text.strip_suffix(".0").unwrap_or(&text))
}

/// The verdict that an outcome is, unless the packet is sent on.
#[must_use]
pub fn verdict_of(outcome: &ProbeOutcome) -> Option<Verdict> {
    match outcome {
        ProbeOutcome::Endpoint { .. } => None,
        ProbeOutcome::Reject => Some(Verdict::Reject),
        ProbeOutcome::Drop => Some(Verdict::Drop),
        ProbeOutcome::Untouched => Some(Verdict::Untouched),
    }
}

fn judge_endpoints(
    wanted: &[EndpointCheck],
    shares: &[(ProbeOutcome, f64)],
    mismatches: &mut Vec<Mismatch>,
) {
    const SHARE_ERROR_MAX: f64 = 1e-6;
    for (outcome, share) in shares {
        let known = matches!(outcome, ProbeOutcome::Endpoint { to, .. } if wanted.iter().any(|one| one.to == *to));
        if !known {
            let text = format!(
                "the packet may be {} ({})",
                probe_words(outcome),
                percent(*share)
            );
            mismatches.push(text.into());
        }
    }
    for EndpointCheck { to, snat, share } in wanted {
        let reached = shares.iter().filter_map(|(outcome, share)| match outcome {
            ProbeOutcome::Endpoint { to: reached, snat } if reached == to => Some((*snat, *share)),
            _ => None,
        });
        let reached: Vec<(bool, f64)> = reached.collect();
        if reached.is_empty() {
            mismatches.push(format!("{to} is never chosen").into());
            continue;
        }
        if let Some(wanted) = snat
            && reached.iter().any(|(snat, _)| snat != wanted)
        {
            let is = if *wanted { "is not" } else { "is" };
            mismatches.push(format!("the source {is} translated on the way to {to}").into());
        }
        let sum: f64 = reached.iter().map(|(_, share)| share).sum();
        if let Some(wanted) = share.map(Fraction::as_f64)
            && (sum - wanted).abs() > SHARE_ERROR_MAX
        {
            mismatches.push(format!("{to} is chosen for {} of all", percent(sum)).into());
        }
    }
}

/// What is not known is as expected of neither.
fn judge_answer(wanted: bool, outcome: &ProbeOutcome, seen: &Probe) -> Option<Mismatch> {
    let text = match outcome {
        ProbeOutcome::Endpoint { to, .. } => match (wanted, seen.answers.get(to)) {
            (true, Some(ProbeAnswer::Heard)) | (false, Some(ProbeAnswer::Unheard(_))) => {
                return None;
            }
            (false, Some(ProbeAnswer::Heard)) => format!("the answer of {to} gets back"),
            (true, Some(ProbeAnswer::Unheard(why))) => {
                format!("the answer of {to} is lost: {why}")
            }
            (_, Some(ProbeAnswer::Unknown) | None) => {
                format!("whether {to} answers is not known: the packet reaches nobody there")
            }
        },
        ProbeOutcome::Reject | ProbeOutcome::Drop if !wanted => return None,
        ProbeOutcome::Reject | ProbeOutcome::Drop => {
            format!("the packet is {}: nobody answers", probe_words(outcome))
        }
        ProbeOutcome::Untouched => format!(
            "the packet is {}: whether anybody answers is not known",
            probe_words(outcome)
        ),
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use control::{Share, Unheard};

    use super::*;

    const TO: &str = "10.244.1.2:8080";

    fn answer_of(answer: ProbeAnswer) -> Probe {
        let to = TO.parse().unwrap();
        let outcome = ProbeOutcome::Endpoint { to, snat: false };
        Probe {
            answers: [(to, answer)].into(),
            ..ending(outcome)
        }
    }

    fn ending(outcome: ProbeOutcome) -> Probe {
        let whole = Share {
            numerator: 1,
            denominator: 1,
        };
        Probe {
            node: "node-a".to_owned(),
            outcomes: vec![(whole, outcome)],
            decisions: Vec::new(),
            answers: [].into(),
        }
    }

    /// Whether `answered: true` holds, and `answered: false`.
    fn check(seen: &Probe, expected: [bool; 2]) {
        let holds = [true, false].map(|wanted| {
            let check = ProbeCheck {
                answered: Some(wanted),
                ..ProbeCheck::default()
            };
            probe(&check, seen).is_empty()
        });
        assert_eq!(holds, expected, "{seen:?}");
    }

    #[test]
    fn an_answer_has_to_be_known() {
        check(&answer_of(ProbeAnswer::Heard), [true, false]);
        let stranger = ProbeAnswer::Unheard(Unheard::OfAStranger);
        check(&answer_of(stranger), [false, true]);
        check(&answer_of(ProbeAnswer::Unknown), [false, false]);
        check(&ending(ProbeOutcome::Reject), [false, true]);
        check(&ending(ProbeOutcome::Drop), [false, true]);
        check(&ending(ProbeOutcome::Untouched), [false, false]);
    }
}
