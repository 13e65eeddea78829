//! `expect` of every verb.

use control::{Outcome, ProxyMode};
use serde_json::{Map, Value as Json, json};

use super::build::{
    any_of, boolean, closed, described, duration, list, one_or_list, open, range, text, words,
};
use crate::expect::{Percentile, Verdict};

/// What can be expected of a verb, by key.
type Checks = Vec<(&'static str, Json)>;

/// Every expectation, for the schema's `definitions`.
pub(super) fn definitions() -> Json {
    let all = [
        ("write", write()),
        ("get", repeated(get())),
        ("resolve", repeated(resolve())),
        ("connect", repeated(connect())),
        ("probe", repeated(probe())),
        ("rules", repeated(rules())),
        ("explain", repeated(explain())),
        ("request", connect()),
        ("stop", stop()),
    ];
    let definitions = all.into_iter().flat_map(|(verb, mut checks)| {
        let in_a_mode = closed(&checks, &[]);
        let modes = ProxyMode::ALL.into_iter().map(ProxyMode::as_str);
        let by_mode = modes.map(|mode| (mode, reference(&format!("{verb}-in-a-mode"))));
        let by_mode = closed(&by_mode.collect::<Vec<_>>(), &[]);
        let what = "In place of the others, in that mode";
        checks.push(("byMode", described(by_mode, what)));
        [
            (verb.to_owned(), closed(&checks, &[])),
            (format!("{verb}-in-a-mode"), in_a_mode),
        ]
    });
    definitions.collect::<Map<String, Json>>().into()
}

/// What is defined as `name` in [`definitions`].
pub(super) fn reference(name: &str) -> Json {
    json!({"$ref": format!("#/definitions/{name}")})
}

/// The same at some instant, or at all of a while.
fn repeated(mut checks: Checks) -> Checks {
    checks.push(("within", duration("It holds at some instant until then")));
    let throughout = duration("It holds at every instant until then");
    checks.push(("throughout", throughout));
    checks
}

fn write() -> Checks {
    vec![("error", printed("What kubectl says when it is refused"))]
}

fn get() -> Checks {
    let object = open("Every field given is equal; lists have as many items");
    vec![
        ("output", printed("What kubectl prints")),
        ("object", object),
        ("error", printed("What kubectl says when there is none")),
    ]
}

fn resolve() -> Checks {
    let rcodes = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "TIMEOUT",
    ];
    vec![
        ("rcode", one_or_list(&words(rcodes))),
        (
            "answers",
            described(texts("RDATA of an answer"), "All of them, in any order"),
        ),
        ("queries", range("How many queries it took")),
    ]
}

fn connect() -> Checks {
    let outcomes = Outcome::ALL.map(Outcome::as_str);
    let counts = outcomes.map(|outcome| (outcome, range("How many")));
    vec![
        (
            "outcome",
            described(
                one_or_list(&words(outcomes)),
                "How all of them end; a list: any of",
            ),
        ),
        (
            "outcomes",
            described(closed(&counts, &[]), "How many end how; no others"),
        ),
        ("backends", backends()),
        ("spread", words(["uniform"])),
        ("peerSeen", text("The source address that the servers see")),
        ("latency", latency()),
    ]
}

/// Who answers.
fn backends() -> Json {
    let pods = |what| described(list(text("pod/… or a workload such as deployment/…")), what);
    closed(
        &[
            ("exactly", pods("All of these answer and no others")),
            ("within", pods("No others than these answer")),
            ("count", range("How many different ones answer")),
        ],
        &[],
    )
}

fn latency() -> Json {
    let what = "A bound or a range such as ..5ms";
    closed(
        &Percentile::ALL.map(|(rank, _)| (rank, duration(what))),
        &[],
    )
}

/// How many requests ended in which way.
fn tally() -> Checks {
    let outcomes = Outcome::ALL.map(|outcome| (outcome.as_str(), range("How many ended so")));
    let mut checks = vec![("failed", range("How many did not end as connected"))];
    checks.extend(outcomes);
    checks
}

fn stop() -> Checks {
    let nested = |what| described(closed(&tally(), &[]), what);
    let mut checks = tally();
    checks.push(("new", nested("Of those that were their connections' first")));
    checks.push(("established", nested("Of those on connections that stood")));
    checks.push(("backends", backends()));
    checks.push(("latency", latency()));
    checks
}

fn probe() -> Checks {
    let socket = || text("address:port");
    let endpoint = closed(
        &[
            ("to", socket()),
            ("snat", boolean("Whether the source is translated")),
            (
                "p",
                json!({"type": ["string", "integer"], "description": "Its share: 1/3, or 1"}),
            ),
        ],
        &["to"],
    );
    let verdicts = words(Verdict::ALL.map(|(word, _)| word));
    vec![
        (
            "backends",
            described(list(socket()), "Exactly these can be chosen"),
        ),
        ("snat", boolean("Whether the source is translated")),
        (
            "endpoints",
            described(list(endpoint), "Exactly these can be chosen, each so"),
        ),
        (
            "verdict",
            described(one_or_list(&verdicts), "What becomes of it; a list: any of"),
        ),
        (
            "answered",
            boolean("Whether an answer gets back to who asked"),
        ),
    ]
}

fn explain() -> Checks {
    let ids = || list(text("An id such as DBG-21"));
    let some = closed(
        &[("contains", texts("An id such as DBG-21"))],
        &["contains"],
    );
    let findings = any_of(&[ids(), some]);
    vec![
        ("verdict", words(["healthy", "broken", "unknown"])),
        (
            "findings",
            described(findings, "Exactly these, or at least some"),
        ),
    ]
}

fn rules() -> Checks {
    vec![
        ("contains", texts("A part of the rules' text")),
        ("absent", texts("No part of the rules' text")),
    ]
}

/// A text to be met exactly, in parts, or by a regular expression.
fn printed(what: &str) -> Json {
    let parts = closed(
        &[
            ("contains", texts("A part of it")),
            (
                "matches",
                text("A regular expression that is met somewhere in it"),
            ),
        ],
        &[],
    );
    described(any_of(&[text("Exactly this"), parts]), what)
}

fn texts(what: &str) -> Json {
    one_or_list(&text(what))
}
