//! What steps ask and what they see, in a few words.

use api::ObjectKey;
use base::format_duration;
use control::{Connection, Resolution, Tally};
use kubectl::{Get, Resources, Scope};
use ruleset::Protocol;
use serde_json::Value as Json;

use crate::judge;
use crate::reference::SourceRef;
use crate::step::{Action, Dial, Edit, ProbeFrom, Wait};

/// Names of a list that are spelled out.
const SHOWN_MAX: usize = 4;

/// What a step asks: `pod/client → web:80 ×60`. The verb stands elsewhere.
#[must_use]
pub fn asked(action: &Action, namespace: &str) -> String {
    match action {
        Action::Write { manifests, .. } => listed(manifests.iter().map(|given| match given {
            Ok(manifest) => key(&manifest.object.key(), namespace),
            Err(_) => "a malformed manifest".to_owned(),
        })),
        Action::Delete { targets, .. } => {
            listed(targets.iter().map(|target| key(target, namespace)))
        }
        Action::Change { target, change, .. } => match change {
            Edit::Scale(replicas) => format!("{} to {replicas}", key(target, namespace)),
            Edit::Merge(_) | Edit::Restart => key(target, namespace),
        },
        Action::Wait(Wait::For(span)) => format_duration(*span),
        Action::Wait(Wait::Converged) => "until converged".to_owned(),
        Action::Get { request, .. } | Action::Events { request, .. } => {
            requested(request, namespace)
        }
        Action::Resolve {
            from,
            name,
            record_type,
            protocol,
            ..
        } => {
            let shown_type = if record_type == "A" {
                ""
            } else {
                &format!(" {record_type}")
            };
            let over = if *protocol == Protocol::UDP {
                ""
            } else {
                &format!(" over {}", protocol.to_string().to_uppercase())
            };
            format!("{} → {name}{shown_type}{over}", source(from, namespace))
        }
        Action::Connect { from, dial, .. } => {
            format!("{} → {}", source(from, namespace), dialled(dial))
        }
        Action::Probe {
            node,
            from,
            to,
            protocol,
            ..
        } => {
            let from = match from {
                ProbeFrom::Source(from) => source(from, namespace),
                ProbeFrom::Address(address) => address.to_string(),
            };
            let protocol = transport(*protocol);
            let node = node
                .as_ref()
                .map_or_else(String::new, |node| format!(" on {node}"));
            format!("{from} → {to}{protocol}{node}")
        }
        Action::Rules { node, .. } => node.clone(),
        Action::Open { id, from, dial, .. } => {
            format!("{id}: {} → {}", source(from, namespace), dialled(dial))
        }
        Action::Send { on: id, .. } | Action::Close { id } | Action::Stop { id, .. } => id.clone(),
        Action::Traffic(start) => {
            let from = listed(start.from.iter().map(|from| source(from, namespace)));
            let span = start.span.map_or_else(String::new, |span| {
                format!(" for {}", format_duration(span))
            });
            let (id, dial, rate) = (&start.id, dialled(&start.dial), start.rate);
            format!("{id}: {from} → {dial}, {rate}{span}")
        }
        Action::Fault(step) => match step.lasts {
            Some(lasts) => format!("{}, for {}", step.trouble, format_duration(lasts)),
            None => step.trouble.to_string(),
        },
        Action::Heal(name) => name.clone(),
        Action::Proxy(step) => step.node.clone().unwrap_or_else(|| "all nodes".to_owned()),
        Action::Explain { asked, .. } => {
            let from = asked.from.as_ref();
            let from = from.map_or_else(String::new, |from| {
                format!(" from {}", source(from, namespace))
            });
            let port = asked
                .port
                .map_or_else(String::new, |port| format!(" port {port}"));
            let name = asked
                .name
                .as_ref()
                .map_or_else(String::new, |name| format!(" called {name}"));
            format!("{}{from}{port}{name}", key(&asked.service, namespace))
        }
        Action::Matrix => "who reaches what".to_owned(),
        Action::Await { what } => what.clone(),
    }
}

/// A key without the scenario's namespace: `pod/client`.
#[must_use]
pub fn key(key: &ObjectKey, namespace: &str) -> String {
    match &key.namespace {
        Some(own) if own == namespace => key.to_string().replacen(&format!("/{own}/"), "/", 1),
        _ => key.to_string(),
    }
}

/// How connections ended and who answered: `60 connected · backend-1 21, backend-2 39`.
#[must_use]
pub fn connections(seen: &[Connection], namespace: &str) -> String {
    let outcomes = judge::outcome_counts(seen);
    let outcomes = match seen {
        [only] => only.outcome.to_string(),
        _ => outcomes
            .iter()
            .map(|(outcome, count)| format!("{count} {outcome}"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let prefix = format!("pod/{namespace}/");
    let backends = judge::backend_counts(seen)
        .into_iter()
        .map(|(name, count)| {
            let name = name.strip_prefix(&prefix).unwrap_or(name);
            if seen.len() == 1 {
                name.to_owned()
            } else {
                format!("{name} {count}")
            }
        });
    match listed(backends).as_str() {
        "" => outcomes,
        backends => format!("{outcomes} · {backends}"),
    }
}

/// How requests ended and who answered: `11998 connected, 2 refused · p99 1.2ms · web-1 4000, web-2 7998`.
#[must_use]
pub fn traffic(seen: &Tally, namespace: &str) -> String {
    let outcomes = seen.by(|fate| Some(fate.outcome));
    let outcomes = outcomes
        .iter()
        .map(|(outcome, count)| format!("{count} {outcome}"));
    let mut parts = vec![outcomes.collect::<Vec<_>>().join(", ")];
    if let Some(p99) = seen.latency.percentile(99) {
        parts.push(format!("p99 {}", format_duration(p99)));
    }
    let prefix = format!("pod/{namespace}/");
    let backends = seen.by(|fate| fate.backend.as_deref());
    let backends = backends
        .into_iter()
        .map(|(name, count)| format!("{} {count}", name.strip_prefix(&prefix).unwrap_or(name)));
    parts.push(listed(backends));
    parts.retain(|part| !part.is_empty());
    match parts.is_empty() {
        true => "no request".to_owned(),
        false => parts.join(" · "),
    }
}

/// How many queries a lookup took, unless it was one.
#[must_use]
pub fn queries(seen: &Resolution) -> String {
    match seen.attempts.len() {
        1 => String::new(),
        count => format!(" ({count} queries)"),
    }
}

/// An expectation as YAML in one line.
#[must_use]
pub fn flow(value: &Json) -> String {
    match value {
        Json::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{key}: {}", nested(value)))
                .collect();
            fields.join(", ")
        }
        other => nested(other),
    }
}

fn nested(value: &Json) -> String {
    match value {
        Json::Object(_) => format!("{{{}}}", flow(value)),
        Json::Array(items) => format!(
            "[{}]",
            items.iter().map(nested).collect::<Vec<_>>().join(", ")
        ),
        Json::String(text) if text.contains([' ', ',', ':', '\n', '{', '[']) || text.is_empty() => {
            format!("{text:?}")
        }
        Json::String(text) => text.clone(),
        scalar => scalar.to_string(),
    }
}

fn dialled(dial: &Dial) -> String {
    let count = if dial.count == 1 {
        String::new()
    } else {
        format!(" ×{}", dial.count)
    };
    format!("{}{}{count}", dial.to, transport(dial.protocol))
}

fn requested(request: &Get, namespace: &str) -> String {
    match &request.resources {
        Resources::Named(keys) => listed(keys.iter().map(|object| key(object, namespace))),
        Resources::Kinds(kinds) => {
            let names = listed(kinds.iter().map(|kind| kind.resource()));
            let of_a_namespace = kinds.iter().any(|kind| kind.is_namespaced());
            match &request.scope {
                Scope::Namespace(other) if of_a_namespace && other != namespace => {
                    format!("{names} in {other}")
                }
                _ => names,
            }
        }
    }
}

/// A protocol other than the one that everybody expects.
fn transport(protocol: Protocol) -> String {
    if protocol == Protocol::TCP {
        String::new()
    } else {
        format!(" {}", protocol.to_string().to_uppercase())
    }
}

fn source(source: &SourceRef, namespace: &str) -> String {
    match source {
        SourceRef::Pods(pods) => key(pods.key(), namespace),
        SourceRef::Node(name) => format!("node/{name}"),
        SourceRef::Outside(name) => format!("outside/{name}"),
    }
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(SHOWN_MAX);
    let shown = names.take(SHOWN_MAX).collect::<Vec<_>>().join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown} and {more} more")
    }
}
