//! `expect` of every verb.

use control::Outcome;
use serde_json::{Value as Json, json};

use super::build::{
    any_of, boolean, closed, described, duration, list, one_or_list, open, range, text, words,
};
use super::cluster;
use crate::expect::{Percentile, Verdict};
use crate::load::LATER_MODES;

/// A mode of the language, whether or not this version runs it: nothing that is said of the others can be wrong.
pub(super) fn mode_mentioned() -> Json {
    any_of(&[cluster::mode(), words(LATER_MODES)])
}

pub(super) fn write() -> Json {
    expectation(
        &[("error", printed("What kubectl says when it is refused"))],
        false,
    )
}

pub(super) fn get() -> Json {
    let object = open("Every field given is equal; lists have as many items");
    expectation(
        &[
            ("output", printed("What kubectl prints")),
            ("object", object),
            ("error", printed("What kubectl says when there is none")),
        ],
        true,
    )
}

pub(super) fn resolve() -> Json {
    let rcodes = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "TIMEOUT",
    ];
    expectation(
        &[
            ("rcode", one_or_list(&words(rcodes))),
            (
                "answers",
                described(texts("RDATA of an answer"), "All of them, in any order"),
            ),
            ("queries", range("How many queries it took")),
        ],
        true,
    )
}

pub(super) fn connect() -> Json {
    let outcomes = Outcome::ALL.map(Outcome::as_str);
    let counts = outcomes.map(|outcome| (outcome, range("How many")));
    let ranks =
        Percentile::ALL.map(|(rank, _)| (rank, duration("A bound or a range such as ..5ms")));
    let pods = || list(text("pod/… or a workload such as deployment/…"));
    let backends = [
        (
            "exactly",
            described(pods(), "All of these answer and no others"),
        ),
        ("within", described(pods(), "No others than these answer")),
        ("count", range("How many different ones answer")),
    ];
    expectation(
        &[
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
            ("backends", closed(&backends, &[])),
            ("spread", words(["uniform"])),
            ("peerSeen", text("The source address that the servers see")),
            ("latency", closed(&ranks, &[])),
        ],
        true,
    )
}

pub(super) fn probe() -> Json {
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
    expectation(
        &[
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
        ],
        true,
    )
}

pub(super) fn rules() -> Json {
    expectation(
        &[
            ("contains", texts("A part of the rules' text")),
            ("absent", texts("No part of the rules' text")),
        ],
        true,
    )
}

/// What can be expected, perhaps at another instant, and another thing in some modes.
fn expectation(checks: &[(&str, Json)], repeats: bool) -> Json {
    let hold = [
        ("within", duration("It holds at some instant until then")),
        (
            "throughout",
            duration("It holds at every instant until then"),
        ),
    ];
    let hold: &[(&str, Json)] = if repeats { &hold } else { &[] };
    let one = [checks, hold].concat();
    let by_mode: Vec<&str> = control::ProxyMode::ALL
        .into_iter()
        .map(control::ProxyMode::as_str)
        .chain(LATER_MODES)
        .collect();
    let by_mode: Vec<(&str, Json)> = by_mode
        .into_iter()
        .map(|mode| (mode, closed(&one, &[])))
        .collect();
    let by_mode = described(
        closed(&by_mode, &[]),
        "In place of the others, in that mode",
    );
    closed(&[&one[..], &[("byMode", by_mode)]].concat(), &[])
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
