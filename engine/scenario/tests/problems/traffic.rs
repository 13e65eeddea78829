//! Connections that are held, and traffic.

use crate::{HEAD, check, check_step};

#[test]
fn held_connections() {
    check_step(
        "open: {from: pod/a, to: \"web:80\"}",
        &["13:11: `id` is missing"],
    );
    check_step(
        "open: {id: c, from: pod/a, to: \"web:80\", count: 2}",
        &["13:46: unknown key `count` (known here: id, from, to, protocol, timeout, send)"],
    );
    check_step(
        "open: {id: c, from: pod/a, to: \"web:80\", send: \"a\\nb\"}",
        &["13:11: `send` has more than one line, and each is a request on this connection"],
    );
    check_step(
        "{open: {id: c, from: pod/a, to: \"web:80\"}, expect: {outcome: connected, within: 5s}}",
        &["13:77: what this step does is not repeated: `connect` and `get` look again"],
    );
    check_step(
        "{close: c, expect: {outcome: reset}}",
        &["13:16: a `close` expects nothing (give the `send` before it the expectation)"],
    );
}

#[test]
fn traffic() {
    let traffic = |rest: &str| format!("traffic: {{id: t, from: pod/a, to: \"web:80\"{rest}}}");
    check_step(&traffic(""), &["13:14: `rate` is missing"]);
    check_step(
        &traffic(", rate: fast"),
        &[
            "13:55: \"fast\" is no rate: expected a whole number per span of time, such as 200/s, 30/m or 1/500ms, of at most 1000000/s",
        ],
    );
    check_step(
        &traffic(", rate: 1/s, for: 0s, reuse: often"),
        &[
            "13:65: traffic for no time at all is none",
            "13:76: \"often\" is not one of none, keepalive",
        ],
    );
    check_step(
        &format!("{{{}, expect: {{failed: 0}}}}", traffic(", rate: 1/s")),
        &["13:62: `traffic` goes on while later steps run (its `stop` has the expectation)"],
    );
}

/// Two steps, of which the second one, in line 14, is refused.
fn check_second(first: &str, second: &str, message: &str) {
    let text = format!("{HEAD}  - {first}\n  - {second}\n");
    check(&text, &[&format!("14:5: {message}")]);
}

#[test]
fn ids_are_checked_step_by_step() {
    let open = "open: {id: x, from: pod/a, to: \"web:80\"}";
    let traffic = "traffic: {id: x, from: [pod/a, node/node-a], to: \"web:80\", rate: 5/s}";
    let used = "the id \"x\" is used already: another one is needed";
    check_second(open, open, used);
    check_second(open, traffic, used);
    check_second(traffic, traffic, used);
    check_second(
        "wait: 1s",
        "send: {on: x}",
        "no step before this one opens \"x\"",
    );
    check_second(
        "wait: 1s",
        "close: x",
        "no step before this one opens \"x\"",
    );
    check_second(
        "wait: 1s",
        "stop: x",
        "no traffic before this step is called \"x\"",
    );
    check_second(traffic, "close: x", "\"x\" is traffic: `stop` ends it");
    check_second(open, "stop: x", "\"x\" is a connection: `close` ends it");
    let text = format!("{HEAD}  - {open}\n  - close: x\n  - send: {{on: x}}\n");
    check(&text, &["15:5: \"x\" was closed by an earlier step"]);
    let text = format!("{HEAD}  - {traffic}\n  - stop: x\n  - stop: x\n");
    check(&text, &["15:5: \"x\" was stopped by an earlier step"]);
}

#[test]
fn expectations_of_stop() {
    let with = |expect: &str| {
        let start = "traffic: {id: x, from: pod/a, to: \"web:80\", rate: 5/s}";
        format!("{HEAD}  - {start}\n  - {{stop: x, expect: {expect}}}\n")
    };
    for good in [
        "{failed: 0}",
        "{refused: 0..3, timeout: 0, reset: 0, connected: 100..}",
        "{new: {failed: 0}, established: {reset: ..2}}",
        "{backends: {within: [deployment/web]}, latency: {p99: ..5ms}}",
        "{failed: 0, byMode: {flat: {failed: 1..}}}",
    ] {
        check(&with(good), &[]);
    }
    check(&with("{}"), &["14:23: this expects nothing"]);
    check(
        &with("{failed: x}"),
        &[
            "14:32: \"x\" is no range of counts: expected one value, or a range with both ends included, such as 30, 28..30, ..5 or 5..",
        ],
    );
}
