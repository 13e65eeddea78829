//! Replay over a world in miniature: every kind of expectation both ways, instants, report and timeline.

mod fake;
#[path = "replay/inert.rs"]
mod inert;
#[path = "replay/malformed.rs"]
mod malformed;
#[path = "replay/traffic.rs"]
mod traffic;

use std::time::Duration;

use api::yaml::Source;
use base::SimTime;
use control::{ProxyMode, World as _};
use fake::Fake;
use switchboard_scenario::{
    At, Outcome, Report, RunError, Scenario, ScenarioReport, human, junit, load, run, run_until,
};

const HEAD: &str = "\
apiVersion: switchboard.dev/v1alpha1
kind: Scenario
metadata: {name: mini, title: A small world}
spec:
  seed: 7
  cluster:
    modes: [iptables]
    nodes: [{name: node-a, zone: zone-1}, {name: node-b}]
    outside: [{name: laptop, address: 203.0.113.70}]
  manifests: [web.yaml]
  steps:
";
const MANIFESTS: &str = "\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {containers: [{name: c}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: web-1}, spec: {containers: [{name: c}]}}
- apiVersion: v1
  kind: Pod
  metadata:
    name: web-2
    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-rs, uid: u}]
  spec: {containers: [{name: c}]}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata:
    name: web-rs
    ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: v}]
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}
";
/// A step that publishes the Service, and the time until everybody knows.
const PUBLISH: &str = "  - name: publish
    apply: [{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}]
  - wait: 5ms
";

fn scenario(steps: &str) -> Scenario {
    let mut read = |_: &str| Ok(MANIFESTS.to_owned());
    let scenarios = load(
        &Source::new("mini.yaml", format!("{HEAD}{steps}")),
        &mut read,
    );
    scenarios
        .unwrap_or_else(|problems| panic!("{problems}"))
        .remove(0)
}

fn replay(steps: &str) -> ScenarioReport {
    run(
        &scenario(steps),
        ProxyMode::Iptables,
        &mut Fake::default(),
        &mut |_| (),
    )
    .unwrap()
}

/// The last step passes when what is expected is `good`, and fails with these reasons when it is `bad`.
fn check_published(step: &str, good: &str, bad: &str, why: &[&str]) {
    let with = |expect: &str| {
        let report = replay(&format!("{PUBLISH}  - {{{step}, expect: {expect}}}\n"));
        report.steps.last().unwrap().clone()
    };
    let step = with(good);
    assert_eq!(
        (step.outcome, step.why),
        (Outcome::Passed, Vec::new()),
        "{good}"
    );
    let step = with(bad);
    assert_eq!(
        (step.outcome, step.why),
        (Outcome::Failed, texts(why)),
        "{bad}"
    );
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

const TWENTY: &str = "connect: {from: pod/client, to: \"web:80\", count: 20}";

#[test]
fn outcome() {
    check_published(
        TWENTY,
        "{outcome: connected}",
        "{outcome: [refused, timeout]}",
        &[
            "connect to web:80: answered by pod/default/web-2 at 10.244.1.3:8080",
            "Sent to a backend.",
            "decided on node-a by nat -A KUBE-SEP-X -j DNAT",
            "20 of 20 ended as connected",
        ],
    );
}
#[test]
fn outcomes() {
    check_published(
        TWENTY,
        "{outcomes: {connected: 18..20, refused: ..2}}",
        "{outcomes: {connected: ..19}}",
        &["20 of 20 ended as connected, expected ..19"],
    );
}
#[test]
fn backends() {
    check_published(
        TWENTY,
        "{backends: {exactly: [pod/web-1, pod/web-2]}}",
        "{backends: {exactly: [pod/web-1, pod/client]}}",
        &[
            "connect to web:80: answered by pod/default/web-2 at 10.244.1.3:8080",
            "Sent to a backend.",
            "decided on node-a by nat -A KUBE-SEP-X -j DNAT",
            "pod/default/web-2 answered 10 times and is not expected to",
            "pod/default/client never answered",
        ],
    );
    check_published(
        TWENTY,
        "{backends: {within: [pod/web-1, pod/web-2, pod/client]}}",
        "{backends: {within: [deployment/web]}}",
        &[
            "connect to web:80: answered by pod/default/web-1 at 10.244.1.2:8080",
            "Sent to a backend.",
            "decided on node-a by nat -A KUBE-SEP-X -j DNAT",
            "pod/default/web-1 answered 10 times and is not expected to",
        ],
    );
}
#[test]
fn how_many_backends() {
    check_published(
        TWENTY,
        "{backends: {count: 2}}",
        "{backends: {count: ..1}}",
        &["2 backends answered, expected ..1"],
    );
    check_published(
        "connect: {from: pod/client, to: \"web:80\"}",
        "{backends: {count: 1}, spread: uniform}",
        "{backends: {count: 2..}}",
        &["1 backend answered, expected 2.."],
    );
}
#[test]
fn spread() {
    let with = |pods: &str| format!("{{backends: {{within: [{pods}]}}, spread: uniform}}");
    check_published(
        TWENTY,
        &with("pod/web-1, pod/web-2"),
        &with("pod/web-1, pod/web-2, pod/client"),
        &["pod/default/client answered 0 of 20: not a uniform spread over 3"],
    );
}
#[test]
fn peer_and_latency() {
    check_published(
        TWENTY,
        "{peerSeen: 10.244.1.9}",
        "{peerSeen: 10.244.1.1}",
        &[
            "connect to web:80: answered by pod/default/web-2 at 10.244.1.3:8080",
            "Sent to a backend.",
            "decided on node-a by nat -A KUBE-SEP-X -j DNAT",
            "a server saw the connection come from 10.244.1.9",
        ],
    );
    check_published(
        TWENTY,
        "{latency: {p50: 1ms, max: ..5ms}}",
        "{latency: {p99: ..900us}}",
        &["p99 of the latency is 1ms"],
    );
}
#[test]
fn lookups() {
    let step = "resolve: {from: pod/client, name: web}";
    check_published(
        step,
        "{rcode: [NXDOMAIN, NOERROR]}",
        "{rcode: [NXDOMAIN, SERVFAIL]}",
        &[
            "resolve web: answered",
            "asked 10.96.0.10:53 for A web.default.svc.cluster.local.: NOERROR",
            "the answer's code is NOERROR",
        ],
    );
    check_published(
        step,
        "{rcode: NOERROR, answers: [10.96.0.42], queries: 1}",
        "{rcode: NXDOMAIN, answers: [], queries: 2..}",
        &[
            "resolve web: answered",
            "asked 10.96.0.10:53 for A web.default.svc.cluster.local.: NOERROR",
            "the answer's code is NOERROR",
            "the answers are 10.96.0.42",
            "it took 1 query",
        ],
    );
}
#[test]
fn probes_of_a_name() {
    let step = "probe: {from: pod/client, to: \"web:80\"}";
    check_published(
        step,
        "{backends: [\"10.244.1.2:8080\", \"10.244.1.3:8080\"]}",
        "{backends: [\"10.244.1.2:8080\"]}",
        &["the packet may be sent to 10.244.1.3:8080 (50%)"],
    );
    let report = replay("  - probe: {from: pod/client, to: \"shop:80\"}\n");
    assert_eq!(report.steps[0].why, texts(&["shop has no address"]));
}

#[test]
fn probes() {
    let step = "probe: {node: node-a, from: {ip: 10.0.0.1}, to: \"10.96.0.42:80\"}";
    check_published(
        step,
        "{backends: [\"10.244.1.2:8080\", \"10.244.1.3:8080\"], snat: false}",
        "{backends: [\"10.244.1.2:8080\"], snat: true}",
        &[
            "the packet may be sent to 10.244.1.3:8080 (50%)",
            "the source is not translated on the way to 10.244.1.2:8080",
            "the source is not translated on the way to 10.244.1.3:8080",
        ],
    );
    check_published(
        step,
        "{endpoints: [{to: \"10.244.1.2:8080\", p: 1/2}, {to: \"10.244.1.3:8080\", snat: false}]}",
        "{endpoints: [{to: \"10.244.1.2:8080\", p: 1}, {to: \"10.244.1.3:8080\", snat: true}, {to: \"10.244.1.4:8080\"}]}",
        &[
            "10.244.1.2:8080 is chosen for 50% of all",
            "the source is not translated on the way to 10.244.1.3:8080",
            "10.244.1.4:8080 is never chosen",
        ],
    );
    check_published(
        step,
        "{answered: true}",
        "{answered: false}",
        &[
            "the answer of 10.244.1.2:8080 gets back",
            "the answer of 10.244.1.3:8080 gets back",
        ],
    );
    check_published(
        &step.replace(".42", ".43"),
        "{verdict: [drop, untouched]}",
        "{verdict: reject}",
        &["the packet is left untouched by every Service's rules (100%)"],
    );
}
#[test]
fn rules() {
    check_published(
        "rules: {node: node-a}",
        "{contains: \"default/web cluster IP\", absent: [nodePort]}",
        "{contains: [nodePort], absent: [KUBE-SERVICES]}",
        &[
            "the rules' text does not contain \"nodePort\"",
            "\"KUBE-SERVICES\" should be absent, but there is: -A KUBE-SERVICES -m comment --comment \"default/web cluster IP\"",
        ],
    );
}
#[test]
fn objects() {
    let step = "get: {resource: service/web}";
    check_published(
        step,
        "{object: {spec: {ports: [{port: 80}]}}}",
        "{object: {kind: Pod, spec: {ports: [], type: ClusterIP}}}",
        &[
            "kind is \"Service\", expected \"Pod\"",
            "spec.ports has 1 item, expected 0",
            "spec.type is absent, expected \"ClusterIP\"",
        ],
    );
    let step = "get: {resource: svc, output: name}";
    check_published(
        step,
        "{output: service/web}",
        "{output: {contains: [pod, web]}}",
        &["the output does not contain \"pod\""],
    );
    check_published(
        "get: {resource: \"svc,ep\", selector: app=nothing}",
        "{output: \"Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\\nNo resources found in default namespace.\"}",
        "{output: {contains: NAME}}",
        &["the output does not contain \"NAME\""],
    );
    check_published(
        step,
        "{output: {matches: '^service/w.b$'}}",
        "{output: {matches: '^web'}}",
        &["the output does not match \"^web\""],
    );
    check_published(
        "get: {resource: svc/wep}",
        "{error: {contains: NotFound}}",
        "{object: {kind: Service}}",
        &["Error from server (NotFound): services \"wep\" not found"],
    );
}
#[test]
fn refusals() {
    let step = "delete: [service/web, service/wep, service/wee]";
    check_published(
        step,
        "{error: 'Error from server (NotFound): services \"wep\" not found'}",
        "{error: {contains: [wep, wee]}}",
        &["the error does not contain \"wee\""],
    );
    check_published(
        "delete: service/wep",
        "{error: {contains: wep}}",
        "{error: x}",
        &["the error is another one"],
    );
    check_published(
        "delete: service/wep",
        "{error: {matches: '\\(NotFound\\).* \"wep\"'}}",
        "{error: {matches: 'Invalid|Conflict'}}",
        &["the error does not match \"Invalid|Conflict\""],
    );
}

/// Outcome and start of the last step, and why.
fn last(steps: &str) -> (Outcome, String, Vec<String>) {
    let report = replay(steps);
    let step = report.steps.last().unwrap();
    (
        step.outcome,
        format!("{} to {}", step.start, step.end),
        step.why.clone(),
    )
}

fn check_last(steps: &str, outcome: Outcome, span: &str, why: &[&str]) {
    assert_eq!(
        last(steps),
        (outcome, span.to_owned(), texts(why)),
        "{steps}"
    );
}

const LOOK: &str = "resolve: {from: pod/client, name: web}";

#[test]
fn within_looks_until_it_holds() {
    let publish = PUBLISH.replace("  - wait: 5ms\n", "");
    check_last(
        &format!("{publish}  - {{{LOOK}, expect: {{rcode: NOERROR, within: 1s}}}}"),
        Outcome::Passed,
        "0s to 5ms",
        &[],
    );
    check_last(
        &format!("{publish}  - {{{LOOK}, expect: {{rcode: NOERROR, within: 4ms}}}}"),
        Outcome::Failed,
        "0s to 4ms",
        &[
            "resolve web: there is no such name",
            "asked 10.96.0.10:53 for A web.default.svc.cluster.local.: NXDOMAIN",
            "the answer's code is NXDOMAIN",
            "this was still so after 4ms",
        ],
    );
}

#[test]
fn throughout_looks_until_it_does_not_hold() {
    let publish = PUBLISH.replace("  - wait: 5ms\n", "");
    check_last(
        &format!("{publish}  - {{{LOOK}, expect: {{rcode: NXDOMAIN, throughout: 4ms}}}}"),
        Outcome::Passed,
        "0s to 4ms",
        &[],
    );
    let (outcome, span, why) = last(&format!(
        "{publish}  - {{{LOOK}, expect: {{rcode: NXDOMAIN, throughout: 1s}}}}"
    ));
    assert_eq!((outcome, span.as_str()), (Outcome::Failed, "0s to 5ms"));
    assert_eq!(why.last().unwrap(), "this was at 5ms");
}

/// Each connection leaves packets behind, which must not make the step look again.
#[test]
fn the_packets_of_a_look_do_not_make_it_look_again() {
    let dial = "connect: {from: pod/client, to: \"web:80\"}";
    let looks = |expect: &str| {
        let report = replay(&format!("{PUBLISH}  - {{{dial}, expect: {expect}}}\n"));
        let step = report.steps.last().unwrap();
        assert_eq!(step.observed["connections"], 1, "the last look is reported");
        (
            report.metrics.connections.values().sum::<u64>(),
            step.outcome,
            step.why.last().cloned(),
        )
    };
    assert_eq!(
        looks("{outcome: connected, throughout: 60s}"),
        (2, Outcome::Passed, None),
        "at the beginning and at the end"
    );
    assert_eq!(
        looks("{outcome: refused, within: 60s}"),
        (
            2,
            Outcome::Failed,
            Some("this was still so after 60s".to_owned())
        )
    );
}

/// Runs steps in a world where something changes again and again; why the last one failed.
fn why_in_a_restless_world(period: Duration, steps: &str) -> Vec<String> {
    let mut world = Fake::default();
    world.restless = Some(period);
    let report = run(
        &scenario(steps),
        ProxyMode::Iptables,
        &mut world,
        &mut |_| (),
    )
    .unwrap();
    let step = report.steps.last().unwrap();
    assert_eq!(step.outcome, Outcome::Failed);
    assert_ne!(
        step.observed,
        serde_json::json!({}),
        "what was seen is kept"
    );
    step.why.clone()
}

#[test]
fn who_gives_up_says_what_was_seen_last() {
    let dial = "connect: {from: pod/client, to: \"10.96.0.43:80\", timeout: 1ms}";
    let why = why_in_a_restless_world(
        Duration::from_millis(1),
        &format!("  - {{{dial}, expect: {{outcome: connected, within: 60s}}}}\n"),
    );
    assert_eq!(
        why.last().unwrap(),
        "gave up after looking 10000 times, at 10s"
    );
    assert!(why.contains(&"it ended as timeout".to_owned()), "{why:?}");
    let why = why_in_a_restless_world(Duration::from_secs(7200), "  - wait: converged\n");
    assert_eq!(
        why,
        [
            "something is pending at 5ms that is due only at 7200.005s (a change of the cluster), more than 3600s after the wait began"
        ]
    );
}

/// The Service is known 5 ms after it was written, while the first look is still waiting for an answer.
#[test]
fn what_changes_during_a_look_is_looked_at_after_it() {
    let publish = PUBLISH.replace("  - wait: 5ms\n", "");
    check_last(
        &format!(
            "{publish}  - {{connect: {{from: pod/client, to: \"10.96.0.42:80\"}}, expect: {{outcome: connected, within: 1h}}}}"
        ),
        Outcome::Passed,
        "0s to 3.001s",
        &[],
    );
}

#[test]
fn steps_start_when_they_say() {
    check_last(
        "  - {wait: 2s, after: 1s}\n",
        Outcome::Passed,
        "1s to 3s",
        &[],
    );
    check_last(
        "  - {wait: 1s, at: 5s}\n  - {rules: {node: node-a}, after: 10ms}\n",
        Outcome::Passed,
        "6.01s to 6.01s",
        &[],
    );
    check_last("  - wait: converged\n", Outcome::Passed, "0s to 5ms", &[]);
    let late = "  - {connect: {from: pod/client, to: \"10.0.0.1:80\"}}\n  - {wait: 1s, at: 2s}\n";
    check_last(
        late,
        Outcome::Failed,
        "3s to 3s",
        &["this step was to start at 2s, but the one before ended at 3s"],
    );
}

#[test]
fn steps_for_other_planes_are_skipped() {
    check_last(
        "  - {wait: 2s, only: {planes: [kernel]}}\n",
        Outcome::Skipped,
        "0s to 0s",
        &[],
    );
    check_last(
        "  - {wait: 2s, only: {planes: sim, modes: [iptables]}}\n",
        Outcome::Passed,
        "0s to 2s",
        &[],
    );
}

#[test]
fn an_expectation_for_a_mode_replaces_the_other() {
    check_last(
        &format!(
            "  - {{{LOOK}, expect: {{rcode: NOERROR, byMode: {{iptables: {{rcode: NXDOMAIN}}}}}}}}\n"
        ),
        Outcome::Passed,
        "0s to 0s",
        &[],
    );
}

#[test]
fn references_are_judged_when_the_step_runs() {
    check_last(
        "  - {connect: {from: pod/clint, to: \"web:80\"}}\n",
        Outcome::Failed,
        "0s to 0s",
        &[
            "there is no pod/default/clint at this instant; what exists: pod/default/client, pod/default/web-1, pod/default/web-2",
        ],
    );
    check_last(
        "  - {connect: {from: deployment/web, to: \"web:80\"}}\n",
        Outcome::Failed,
        "0s to 0s",
        &[
            "there is no ready Pod of deployment/default/web at this instant; what exists: pod/default/web-2",
        ],
    );
    check_last(
        "  - {connect: {from: pod/client, to: \"web:80\"}, expect: {backends: {within: [deployment/wep]}}}\n",
        Outcome::Failed,
        "0s to 1ms",
        &[
            "there is no deployment/default/wep at this instant; what exists: deployment/default/web",
        ],
    );
}

#[test]
fn writes_that_are_refused() {
    let replace = "replace: [{apiVersion: v1, kind: Service, metadata: {name: wep}}]";
    let refused = "Error from server (NotFound): services \"wep\" not found";
    check_last(
        &format!("  - {replace}\n"),
        Outcome::Failed,
        "0s to 0s",
        &[refused],
    );
    check_last(
        &format!("  - {{{replace}, expect: {{error: {{contains: NotFound}}}}}}\n"),
        Outcome::Passed,
        "0s to 0s",
        &[],
    );
    check_last(
        &format!("{PUBLISH}  - {{delete: service/web, expect: {{error: x}}}}\n"),
        Outcome::Failed,
        "5ms to 5ms",
        &["nothing was refused"],
    );
}

#[test]
fn a_refused_manifest_of_the_start_is_an_input_error() {
    let mut world = Fake::default();
    world.refuses = true;
    let error = run(&scenario(""), ProxyMode::Iptables, &mut world, &mut |_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "web.yaml:4:3: Error from server (NotFound): pods \"client\" not found"
    );
}

fn check_until(at: &At, now: &str, steps: usize) {
    let steps_text = "  - {name: one, wait: 1s}\n  - {name: two, rules: {node: node-a}, after: 2s}\n  - {name: three, wait: 10s, at: 5s}\n";
    let mut world = Fake::default();
    let report = run_until(
        &scenario(steps_text),
        ProxyMode::Iptables,
        &mut world,
        at,
        &mut |_| (),
    )
    .unwrap();
    assert_eq!(
        (world.now().to_string().as_str(), report.steps.len()),
        (now, steps),
        "{at:?}"
    );
}

#[test]
fn a_run_stops_where_it_is_told() {
    check_until(&At::Step("one".to_owned()), "3s", 1);
    check_until(&At::Step("two".to_owned()), "5s", 2);
    check_until(&At::Step("three".to_owned()), "15s", 3);
    check_until(&At::Time(SimTime::ZERO), "0s", 1);
    check_until(&At::Time(SimTime::from_nanos(2_000_000_000)), "2s", 1);
    check_until(&At::Time(SimTime::from_nanos(3_000_000_000)), "3s", 2);
    check_until(&At::Time(SimTime::from_nanos(7_000_000_000)), "7s", 3);
    check_until(&At::Time(SimTime::from_nanos(20_000_000_000)), "20s", 3);
    check_until(&At::End, "15s", 3);
    let at = At::Step("four".to_owned());
    let error = run_until(
        &scenario("  - {name: one, wait: 1s}\n"),
        ProxyMode::Iptables,
        &mut Fake::default(),
        &at,
        &mut |_| (),
    );
    let existing = vec!["one".to_owned()];
    assert_eq!(
        error.unwrap_err(),
        RunError::UnknownStep {
            name: "four".to_owned(),
            existing
        }
    );
}

/// A run with something of everything.
fn story() -> Report {
    let steps = format!("{PUBLISH}  - name: reach
    after: 1s
    {TWENTY}
    expect: {{outcome: connected, backends: {{exactly: [pod/web-1, pod/web-2]}}}}
  - {{wait: 1s, only: {{planes: [kernel]}}}}
  - {{connect: {{from: outside/laptop, to: \"10.96.0.43:80\"}}, expect: {{outcome: connected}}}}
  - delete: [pod/web-1, pod/web-2]
  - wait: converged
  - {{connect: {{from: pod/client, to: \"web:80\"}}, expect: {{outcome: connected}}}}
  - {{connect: {{from: pod/client, to: \"wep:80\"}}, expect: {{outcome: connected}}}}
  - {{resolve: {{from: pod/client, name: web}}, expect: {{rcode: NOERROR}}}}
  - {{probe: {{node: node-a, from: {{ip: 10.0.0.1}}, to: \"10.96.0.42:80\"}}, expect: {{verdict: reject}}}}
  - {{get: {{resource: service/web, output: yaml}}}}
");
    Report {
        scenarios: vec![replay(&steps)],
    }
}

#[test]
fn report_as_json() {
    insta::assert_snapshot!(format!("{:#}", story().to_json()));
}

#[test]
fn report_as_junit() {
    insta::assert_snapshot!(junit::render(&story()));
}

#[test]
fn report_as_a_timeline() {
    insta::assert_snapshot!(human::render(&story(), false));
}

#[test]
fn colours_are_all_that_colour_adds() {
    let coloured = human::render(&story(), true);
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, human::render(&story(), false));
    assert_ne!(coloured, plain);
}

#[test]
fn two_runs_give_the_same_bytes() {
    assert_eq!(story().to_json().to_string(), story().to_json().to_string());
}

#[test]
fn faults_begin_and_are_healed_by_name() {
    let report = replay(
        "  - fault: {kind: api-down, id: outage, for: 10s}
  - apply: [{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}]
  - {get: {resource: svc/web}, expect: {error: {contains: \"The connection to the server 127.0.0.1:6443 was refused\"}}}
  - {get: {resource: svc/web}, expect: {output: web}}
  - heal: outage
  - get: {resource: pods}
  - heal: outage
  - fault: {kind: pod-unready, pod: deployment/web}
  - fault: {kind: pod-crash, pod: pod/web-9}
  - {fault: {kind: api-down, id: elsewhere}, only: {modes: [nftables]}}
  - heal: elsewhere
",
    );
    let passed = report
        .steps
        .iter()
        .map(|step| step.outcome == Outcome::Passed);
    assert_eq!(
        passed.collect::<Vec<_>>(),
        [
            true, false, true, false, true, true, true, true, false, false, false
        ]
    );
    let seen = |index: usize| report.steps[index].seen.join(" ");
    assert_eq!(seen(4), "no more: the API server is down");
    assert_eq!(seen(6), "it was over already");
    assert_eq!(
        report.steps[8].why,
        texts(&[
            "there is no pod/default/web-9 at this instant; what exists: pod/default/client, pod/default/web-1, pod/default/web-2"
        ])
    );
    assert_eq!(
        report.steps[10].why,
        texts(&["the fault elsewhere has not begun"])
    );
}

#[test]
fn proxies_are_changed_one_after_the_other() {
    let report = replay(
        "  - proxy: {node: node-b, set: {mode: nftables, nftables: {syncPeriod: 10s}}}
  - proxy: {set: {nftables: {minSyncPeriod: 20s, syncPeriod: 20s}}, restart: true}
  - proxy: {node: node-b, set: {nftables: {syncPeriod: 10s}}}
",
    );
    let seen = |index: usize| report.steps[index].seen.join(" ");
    assert_eq!(seen(0), "node-b: mode nftables, from its next start on");
    assert_eq!(
        seen(1),
        "node-a: mode iptables, restarted … node-b: mode nftables, restarted (2 nodes)"
    );
    assert_eq!(
        report.steps[2].why,
        texts(&["node-b: `syncPeriod` must not be below `minSyncPeriod`"])
    );
}

/// One that cannot run is not restarted, and of a change that goes wrong at one node nothing is done.
#[test]
fn proxies_are_changed_all_or_none() {
    let report = replay(
        "  - fault: {kind: proxy-crash, node: node-b}
  - proxy: {node: node-b, set: {nftables: {minSyncPeriod: 20s, syncPeriod: 20s}}, restart: true}
  - proxy: {set: {mode: nftables, nftables: {syncPeriod: 10s}}}
  - proxy: {node: node-a, restart: true}
",
    );
    let seen = |index: usize| report.steps[index].seen.join(" ");
    assert_eq!(
        seen(1),
        "node-b: mode iptables, which cannot run now: starts when it can"
    );
    assert_eq!(
        report.steps[2].why,
        texts(&["node-b: `syncPeriod` must not be below `minSyncPeriod`"])
    );
    assert_eq!(seen(3), "node-a: mode iptables, restarted");
}
