//! From what a world observed to sentences that explain it.
//!
//! **What.** The lines under a failed step: first what the client saw, then one plain sentence why, then by
//! which rule on which node. **Why.** Worlds record decisions as data; how they are told is decided here alone,
//! so that every front end tells them alike.

use control::{Connection, Decision, Host, Outcome, Resolution, Target};

/// Explains one connection.
#[must_use]
pub fn connection(to: &Target, seen: &Connection) -> Vec<String> {
    let mut lines = vec![format!("connect to {to}: {}", client_words(seen))];
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
