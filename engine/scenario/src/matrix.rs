//! The step `matrix`: who reaches what, as reports and tables have it.

use control::{ReferenceError, World};
use explain::{Difference, Fate, Matrix, Place, Row, matrix};
use serde_json::{Value as Json, json};

use crate::act::Judged;

/// A matrix, as reports and the command line have it.
#[must_use]
pub fn matrix_json(matrix: &Matrix) -> Json {
    let rows = matrix.rows.iter().map(|row| {
        let mut json = place_json(&row.place);
        json["nodes"] = json!(row.nodes);
        json["local"] = json!(row.is_local);
        merged(json, &fate_json(&row.fate))
    });
    let without = matrix.without.iter();
    let without = without.map(|(service, why)| json!({"service": service.to_string(), "why": why}));
    json!({
        "rows": rows.collect::<Vec<_>>(),
        "without": without.collect::<Vec<_>>(),
    })
}

/// Where two matrices differ, as the command line has it.
#[must_use]
pub fn differences_json(differences: &[Difference]) -> Json {
    let side = |fate: &Option<Fate>| fate.as_ref().map(fate_json);
    let rows = differences.iter().map(|found| {
        let mut json = place_json(&found.place);
        json["nodes"] = json!(found.nodes);
        json["before"] = json!(side(&found.before));
        json["after"] = json!(side(&found.after));
        json
    });
    rows.collect()
}

/// A matrix for people: a block for each address, a line for each class of source.
#[must_use]
pub fn matrix_lines(matrix: &Matrix) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = None;
    let sources = matrix.rows.iter().map(source);
    let width = sources.map(|text| text.chars().count()).max().unwrap_or(0);
    for row in &matrix.rows {
        let head = head(&row.place);
        if last.as_ref() != Some(&head) {
            lines.push(head.clone());
            last = Some(head);
        }
        let source = source(row);
        lines.push(format!("  {source:<width$}  {}", fate_words(&row.fate)));
    }
    let without = matrix.without.iter();
    lines.extend(without.map(|(service, why)| format!("{service}: no rules, {why}")));
    lines
}

/// Differences for people, in the same shape.
#[must_use]
pub fn difference_lines(differences: &[Difference]) -> Vec<String> {
    let side = |fate: &Option<Fate>| match fate {
        Some(fate) => fate_words(fate),
        None => "not there".to_owned(),
    };
    let lines = differences.iter().flat_map(|found| {
        let from = from(found.place.source.as_str(), &found.nodes);
        [
            format!("{} from {from}", head(&found.place)),
            format!("  - {}", side(&found.before)),
            format!("  + {}", side(&found.after)),
        ]
    });
    lines.collect()
}

/// Asks every node's rules.
pub(crate) fn act(world: &mut dyn World) -> Result<Judged, ReferenceError> {
    let Some(seen) = matrix(world)? else {
        let why = "this cluster's control plane cannot be looked into, so there is no matrix of it";
        return Ok(Judged::failed(vec![why.to_owned()]));
    };
    Ok(Judged::by(&[], matrix_json(&seen), matrix_lines(&seen)))
}

fn place_json(place: &Place) -> Json {
    json!({
        "service": place.service.to_string(),
        "port": place.port,
        "protocol": place.protocol.to_string(),
        "frontend": place.frontend.to_string(),
        "source": place.source.as_str(),
    })
}

fn fate_json(fate: &Fate) -> Json {
    let unheard = fate.unheard();
    let unheard = unheard.into_iter().flat_map(|(why, endpoints)| {
        let of =
            move |to: std::net::SocketAddr| json!({"to": to.to_string(), "why": why.to_string()});
        endpoints.into_iter().map(of)
    });
    json!({
        "outcome": fate.outcome(),
        "backends": fate.backends(),
        "snat": fate.snat(),
        "unheard": unheard.collect::<Vec<_>>(),
    })
}

fn merged(mut json: Json, more: &Json) -> Json {
    if let (Some(into), Some(more)) = (json.as_object_mut(), more.as_object()) {
        into.extend(more.clone());
    }
    json
}

/// `service/default/web 80/TCP, ClusterIP 10.96.0.2:80`
fn head(place: &Place) -> String {
    format!(
        "{} {}/{}, {}",
        place.service, place.port, place.protocol, place.frontend
    )
}

/// `pod on node-a (local)`: with an endpoint there.
fn source(row: &Row) -> String {
    let from = from(row.place.source.as_str(), &row.nodes);
    match row.is_local {
        true => format!("{from} (local)"),
        false => from,
    }
}

/// `pod on node-a, node-b`
fn from(source: &str, nodes: &[String]) -> String {
    const SHOWN_MAX: usize = 3;
    let shown = nodes.iter().take(SHOWN_MAX).map(String::as_str);
    let shown = shown.collect::<Vec<_>>().join(", ");
    let by = match source {
        "pod" => "pod on",
        "outside" => "outside by",
        _ => source,
    };
    match nodes.len().saturating_sub(SHOWN_MAX) {
        0 => format!("{by} {shown}"),
        more => format!("{by} {shown} and {more} more"),
    }
}

/// `→ 10.244.1.2:8080, 10.244.2.2:8080, source hidden`, and what becomes of an answer that does not get back.
fn fate_words(fate: &Fate) -> String {
    let backends = fate.backends().join(", ");
    match fate {
        Fate::Sent(_) => {
            let source = match fate.snat() {
                Some("yes") => ", source hidden",
                Some("some") => ", source hidden on the way to some",
                _ => "",
            };
            format!("→ {backends}{source}{}", unheard_words(fate))
        }
        Fate::Refused => "refused by the node".to_owned(),
        Fate::Dropped => "no answer: dropped by the node".to_owned(),
        Fate::Untouched => "no rule is about it".to_owned(),
        Fate::Mixed(_) => format!("one of: {backends}"),
    }
}

/// `; the answer of 10.244.1.2:8080 is lost: it takes another way back, …`
fn unheard_words(fate: &Fate) -> String {
    let whys = fate.unheard();
    let words = whys.iter().map(|(why, endpoints)| {
        let of = match endpoints.len() == fate.backends().len() {
            true => String::new(),
            false => {
                let endpoints = endpoints.iter().map(ToString::to_string);
                format!(" of {}", endpoints.collect::<Vec<_>>().join(", "))
            }
        };
        format!("; the answer{of} is lost: {why}")
    });
    words.collect()
}
