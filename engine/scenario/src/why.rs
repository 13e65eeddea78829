//! From what a world observed to sentences that explain it.
//!
//! **What.** The lines under a failed step: first what the client saw, then one plain sentence why, then by
//! which rule on which node. **Why.** Worlds record decisions as data; how they are told is decided here alone,
//! so that every front end tells them alike.

use std::collections::BTreeSet;

use control::{Connection, Decision, Host, Outcome, Resolution, Target};

/// Connections that are explained when some are not as expected.
const SAMPLES_MAX: usize = 4;

/// Of connections that are not as expected, one for each fate: how it ended, where, and why there.
#[must_use]
pub fn samples<'a>(connections: impl Iterator<Item = &'a Connection>) -> Vec<&'a Connection> {
    let mut fates = BTreeSet::new();
    let is_new = |connection: &&'a Connection| {
        // Which DNS server said so does not matter.
        let is_dialled = connection.outcome != Outcome::Unresolved;
        let last = connection.decisions.last().filter(|_| is_dialled);
        let last = last.map(|decision| (decision.place.as_str(), decision.meaning.as_str()));
        fates.insert((connection.outcome, last))
    };
    connections.filter(is_new).take(SAMPLES_MAX).collect()
}

/// Explains one connection.
#[must_use]
pub fn connection(to: &Target, seen: &Connection) -> Vec<String> {
    attempt(&format!("connect to {to}"), to, seen)
}

/// Explains what became of something that a client did.
#[must_use]
pub fn attempt(what: &str, to: &Target, seen: &Connection) -> Vec<String> {
    let mut lines = vec![format!("{what}: {}", client_words(seen))];
    if let (Outcome::Unresolved, Host::Name(name), Some(lookup)) =
        (seen.outcome, &to.host, &seen.resolution)
    {
        lines.extend(resolution(name, lookup));
        return lines;
    }
    match seen.decisions.split_last() {
        None if seen.outcome == Outcome::Connected => {}
        None => lines.push("no rule decided anything about its first packet".to_owned()),
        Some((last, earlier)) => {
            lines.push(sentence(&last.meaning));
            let decided = last
                .rule
                .as_ref()
                .map(|rule| format!("decided on {} by {rule}", last.place));
            lines.extend(decided);
            if seen.outcome == Outcome::Timeout && is_sent_on(last) {
                lines.push("no answer came back from there in time".to_owned());
            }
            lines.extend(
                earlier
                    .iter()
                    .map(|one| format!("before that, {}", decision(one))),
            );
        }
    }
    lines
}

/// Explains a lookup.
#[must_use]
pub fn resolution(name: &str, seen: &Resolution) -> Vec<String> {
    let said = match seen.rcode.as_str() {
        "NOERROR" if seen.answers.is_empty() => "the name exists, but has no such record",
        "NOERROR" => "answered",
        "NXDOMAIN" => "there is no such name",
        "SERVFAIL" => "the DNS server failed",
        "REFUSED" => "the DNS server refused to answer",
        "TIMEOUT" => "no DNS server answered in time",
        other => other,
    };
    let mut lines = vec![format!("resolve {name}: {said}")];
    let asked = seen.attempts.iter().map(|attempt| {
        format!(
            "asked {} for {} {}: {}",
            attempt.server, attempt.record_type, attempt.name, attempt.result
        )
    });
    lines.extend(asked);
    lines
}

/// One decision: `on node-a: sent to backend-1 (rule: nat -A KUBE-SEP-… -j DNAT …)`.
#[must_use]
pub fn decision(decision: &Decision) -> String {
    let Decision {
        place,
        meaning,
        rule,
        ..
    } = decision;
    match rule {
        Some(rule) => format!("on {place}: {meaning} (rule: {rule})"),
        None => format!("on {place}: {meaning}"),
    }
}

/// Whether a decision only sent the packet on to an endpoint, so that it says nothing of why there was no answer.
fn is_sent_on(decision: &Decision) -> bool {
    let rule = decision.rule.as_deref().unwrap_or_default();
    rule.contains("-j DNAT") || rule.contains("dnat")
}

/// What the program that dialled would print.
fn client_words(seen: &Connection) -> String {
    match seen.outcome {
        Outcome::Connected => match (&seen.backend, seen.remote) {
            (Some(peer), _) => format!("answered by {} at {}", peer.name, peer.address),
            (None, Some(remote)) => format!("connected to {remote}"),
            (None, None) => "connected".to_owned(),
        },
        Outcome::Refused => "connection refused".to_owned(),
        Outcome::Timeout => "connection timed out".to_owned(),
        Outcome::Unreachable => "network is unreachable".to_owned(),
        Outcome::Reset => "connection reset by peer".to_owned(),
        Outcome::Unresolved => "could not resolve the name".to_owned(),
    }
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    match letters.next() {
        None => String::new(),
        Some(first) => {
            let end = if words.ends_with(['.', '!', '?']) {
                ""
            } else {
                "."
            };
            format!("{}{}{end}", first.to_uppercase(), letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use base::SimTime;

    use super::*;

    fn ended(outcome: Outcome, place: &str, rule: Option<&str>, meaning: &str) -> Connection {
        Connection {
            outcome,
            backend: None,
            remote: None,
            peer_seen: None,
            started: SimTime::ZERO,
            finished: SimTime::ZERO,
            latency: None,
            resolution: None,
            decisions: vec![Decision {
                at: SimTime::ZERO,
                place: place.to_owned(),
                rule: rule.map(str::to_owned),
                meaning: meaning.to_owned(),
            }],
        }
    }

    fn sent_on(outcome: Outcome) -> Connection {
        let rule = "nat -A KUBE-SEP-X -j DNAT --to-destination 10.244.1.2:80";
        ended(outcome, "node-a", Some(rule), "pick 10.244.1.2:80")
    }

    #[test]
    fn an_endpoint_that_does_not_answer_is_said_not_to() {
        let to = "10.96.0.42:80".parse().unwrap();
        let silent = "no answer came back from there in time";
        assert_eq!(
            connection(&to, &sent_on(Outcome::Timeout)),
            [
                "connect to 10.96.0.42:80: connection timed out",
                "Pick 10.244.1.2:80.",
                "decided on node-a by nat -A KUBE-SEP-X -j DNAT --to-destination 10.244.1.2:80",
                silent,
            ]
        );
        let says_so = |one: &Connection| connection(&to, one).iter().any(|line| line == silent);
        assert!(!says_so(&sent_on(Outcome::Refused)));
        let lost = ended(Outcome::Timeout, "node-b", None, "the packet is lost");
        assert!(!says_so(&lost), "it never got there");
    }

    #[test]
    fn one_sample_for_each_fate() {
        let lost = |node: &str| ended(Outcome::Timeout, node, None, "the packet is lost");
        let seen = [
            lost("a"),
            lost("b"),
            lost("a"),
            sent_on(Outcome::Timeout),
            sent_on(Outcome::Refused),
            lost("c"),
        ];
        let places = |seen: &[Connection]| -> Vec<(Outcome, String)> {
            let fate = |one: &&Connection| (one.outcome, one.decisions[0].place.clone());
            samples(seen.iter()).iter().map(fate).collect()
        };
        assert_eq!(
            places(&seen),
            [
                (Outcome::Timeout, "a".to_owned()),
                (Outcome::Timeout, "b".to_owned()),
                (Outcome::Timeout, "node-a".to_owned()),
                (Outcome::Refused, "node-a".to_owned()),
            ]
        );
    }
    #[test]
    fn a_name_is_unresolved_whichever_server_says_so() {
        let said = |server| ended(Outcome::Unresolved, server, None, "asked");
        assert_eq!(samples([said("dns-1"), said("dns-2")].iter()).len(), 1);
    }
}
