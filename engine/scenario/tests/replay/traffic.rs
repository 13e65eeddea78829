//! Connections that are held, and traffic.

use super::*;

#[test]
fn held_connections_are_judged_like_others() {
    let report = replay(&format!(
        "{PUBLISH}
  - {{open: {{id: c1, from: pod/client, to: \"web:80\"}}, expect: {{outcome: connected, backends: {{within: [pod/web-1, pod/web-2]}}}}}}
  - {{send: {{on: c1, send: again}}, expect: {{outcome: connected}}}}
  - delete: service/web
  - wait: 5ms
  - {{send: {{on: c1}}, expect: {{outcome: connected}}}}
  - close: c1
"
    ));
    let outcomes: Vec<Outcome> = report.steps[2..].iter().map(|step| step.outcome).collect();
    let (passed, failed) = (Outcome::Passed, Outcome::Failed);
    assert_eq!(outcomes, [passed, passed, passed, passed, failed, passed]);
    let why = &report.steps[6].why;
    assert_eq!(why[0], "send on c1 to web:80: connection reset by peer");
    assert_eq!(why.last().unwrap(), "it ended as reset");
    assert_eq!(report.steps[7].seen, ["it was over already: reset"]);
    assert_eq!(
        report.metrics.connections,
        [(control::Outcome::Connected, 1)].into(),
        "one connection, however often it is used"
    );
}

#[test]
fn what_was_never_opened_is_not_there() {
    let report = replay(&format!(
        "{PUBLISH}
  - {{open: {{id: c1, from: pod/nobody, to: \"web:80\"}}}}
  - send: {{on: c1}}
  - {{open: {{id: c2, from: pod/client, to: \"web:80\"}}, only: {{modes: flat}}}}
  - close: c2
"
    ));
    let why = |index: usize| report.steps[index].why.join("\n");
    assert!(why(2).starts_with("there is no pod/default/nobody at this instant"));
    assert!(why(3).starts_with("there is no open connection \"c1\" at this instant"));
    assert_eq!(report.steps[4].outcome, Outcome::Skipped);
    assert!(why(5).starts_with("there is no open connection \"c2\" at this instant"));
}

fn load_of(rest: &str) -> String {
    format!(
        "{PUBLISH}  - traffic: {{id: load, from: pod/client, to: \"web:80\", rate: 10/s{rest}}}\n  - wait: 2s\n"
    )
}

#[test]
fn traffic_is_judged_when_it_stops() {
    let with = |rest: &str, expect: &str| {
        let report = replay(&format!(
            "{}  - {{stop: load, expect: {expect}}}\n",
            load_of(rest)
        ));
        report.steps.last().unwrap().clone()
    };
    for (rest, good) in [
        ("", "{failed: 0, connected: 20, latency: {p99: 1ms}}"),
        (", for: 1s", "{connected: 10}"),
        (
            ", reuse: keepalive",
            "{new: {connected: 1}, established: {connected: 19, failed: 0}}",
        ),
        ("", "{backends: {exactly: [pod/web-1, pod/web-2]}}"),
    ] {
        assert_eq!(with(rest, good).why, texts(&[]), "{good}");
    }
    let step = with(
        "",
        "{failed: 1.., connected: ..5, backends: {exactly: [pod/web-1]}}",
    );
    assert_eq!(
        step.why,
        texts(&[
            "0 of 20 requests failed, expected 1..",
            "20 of 20 requests ended as connected, expected ..5",
            "pod/default/web-2 answered 10 times and is not expected to",
        ])
    );
    assert_eq!(step.seen, ["20 connected · p99 1ms · web-1 10, web-2 10"]);
    assert_eq!(step.observed["all"]["zones"]["zone-1"]["zone-1"], 20);
}

#[test]
fn failures_of_traffic_are_told_with_their_reason() {
    let steps = load_of("").replace("web:80", "10.0.0.9:80");
    let report = replay(&format!(
        "{steps}  - {{stop: load, expect: {{failed: 0}}}}\n"
    ));
    let step = report.steps.last().unwrap();
    assert_eq!(step.why.len(), 5, "the count and the first four");
    assert_eq!(step.why[0], "20 of 20 requests failed, expected 0");
    assert_eq!(
        step.why[1],
        "timeout at 2.005s, pod/default/client: no route leads to it"
    );
    assert_eq!(report.metrics.connections[&control::Outcome::Timeout], 20);
}

#[test]
fn traffic_that_nobody_stops_is_ended_and_said() {
    let report = replay(&load_of(""));
    let warned = report.timeline.iter().any(|entry| {
        matches!(entry, switchboard_scenario::Entry::Warning(text)
            if text == "traffic load was never stopped: 20 connected · p99 1ms · web-1 10, web-2 10")
    });
    assert!(warned, "{:?}", report.timeline);
    assert_eq!(report.metrics.connections[&control::Outcome::Connected], 20);
    assert_eq!(report.metrics.zones["zone-1"]["zone-1"], 20);
    assert_eq!(report.metrics.rules["node-a"], 1);
}

/// PROXY-1: a zone is what the Node's label says at the time.
#[test]
fn connections_are_counted_by_the_labels_of_nodes() {
    let node = "apply: [{apiVersion: v1, kind: Node, metadata: {name: node-a, labels: {topology.kubernetes.io/zone: z9}}}]";
    let report = replay(&format!(
        "{PUBLISH}  - {TWENTY}\n  - {node}\n  - {TWENTY}\n"
    ));
    let zones = &report.metrics.zones["no zone"];
    assert_eq!((zones["zone-1"], zones["z9"]), (20, 20));
}
