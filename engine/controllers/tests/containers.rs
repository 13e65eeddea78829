//! Containers that end and start again: crashes, probes that fail, and a readiness that is taken away.

mod cluster;

use std::time::Duration;

use api::{Condition, Kind, ObjectKey, Pod};
use base::SimTime;
use cluster::{Cluster, NODES, START};
use serde_json::Value as Json;
use switchboard_controllers::{GarbageCollector, Incident, Kubelet, PodSignal, Scheduler};

fn cluster() -> Cluster {
    let mut cluster = Cluster::new(vec![
        Box::new(Scheduler::new()),
        Box::new(Kubelet::new(cluster::three_kubelets())),
        Box::new(GarbageCollector::new()),
    ]);
    cluster.apply(NODES);
    cluster
}

/// A Pod `web` on n1 that runs since second 2: its container's and its spec's fields.
fn running(container: &str, spec: &str, annotations: &str) -> Cluster {
    let mut cluster = cluster();
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web, annotations: {{{annotations}}}}}, \
         spec: {{nodeName: n1, containers: [{{name: c, image: i, ports: [{{containerPort: 80}}]{container}}}]{spec}}}}}"
    ));
    cluster.pass(START);
    cluster
}

fn web() -> ObjectKey {
    ObjectKey::new(Kind::Pod, "default", "web")
}

fn pod(cluster: &Cluster) -> &Pod {
    cluster.api.pod("default", "web").unwrap()
}

fn crash(cluster: &mut Cluster) {
    cluster.happen(&Incident::PodCrash(web()));
    cluster.settle();
}

/// `Running 1 restarts, ready; terminated Error 1 after CrashLoopBackOff`
fn told(cluster: &Cluster) -> String {
    let pod = pod(cluster);
    let status = &pod.status.container_statuses[0];
    let state = |field: &str| {
        let state = status.rest.get(field).and_then(Json::as_object);
        let (name, state) = state?.iter().next()?;
        let reason = state.get("reason").and_then(Json::as_str);
        let code = state.get("exitCode").map(|code| format!(" {code}"));
        let parts = [
            Some(name.clone()),
            reason.map(|reason| format!(" {reason}")),
            code,
        ];
        Some(parts.into_iter().flatten().collect::<String>())
    };
    let ready = if pod.is_ready() { "ready" } else { "unready" };
    assert_eq!(pod.is_ready(), status.ready);
    let phase = &pod.status.phase;
    let (now, before) = (state("state").unwrap(), state("lastState"));
    let before = before
        .map(|before| format!(" after {before}"))
        .unwrap_or_default();
    format!("{phase} {}x, {ready}: {now}{before}", status.restart_count)
}

/// What has been told to the network since second 2: seconds and words.
fn signals(cluster: &Cluster) -> Vec<String> {
    let word = |(at, signal): &(SimTime, PodSignal)| {
        let word = match signal {
            PodSignal::Started { .. } => "started",
            PodSignal::Serving { .. } => "serving",
            PodSignal::Terminating { .. } => "terminating",
            PodSignal::Crashed { .. } => "crashed",
            PodSignal::Removed { .. } => "removed",
        };
        format!("{}s {word}", at.since(SimTime::ZERO).as_secs())
    };
    cluster.signals.iter().map(word).collect()
}

fn condition<'a>(pod: &'a Pod, name: &str) -> &'a Condition {
    let mut conditions = pod.status.conditions.iter();
    conditions
        .find(|found| found.condition_type == name)
        .unwrap()
}

#[test]
fn a_container_that_crashes_starts_again_with_a_back_off() {
    let mut cluster = running("", "", "");
    assert_eq!(told(&cluster), "Running 0x, ready: running");
    crash(&mut cluster);
    assert_eq!(told(&cluster), "Running 0x, unready: terminated Error 1");
    cluster.pass(Duration::from_secs(1));
    let again = "Running 1x, ready: running after terminated Error 1";
    assert_eq!(told(&cluster), again, "the first time at once");
    crash(&mut cluster);
    let waits = "Running 1x, unready: waiting CrashLoopBackOff after terminated Error 1";
    assert_eq!(told(&cluster), waits);
    let uid = pod(&cluster).metadata.uid.clone();
    let state = pod(&cluster).status.container_statuses[0]
        .rest
        .get("state")
        .unwrap();
    assert_eq!(
        state["waiting"]["message"],
        format!("back-off 10s restarting failed container=c pod=web_default({uid})")
    );
    cluster.pass(Duration::from_nanos(9_999_999_999));
    assert_eq!(told(&cluster), waits);
    cluster.pass(Duration::from_nanos(1));
    assert_eq!(
        told(&cluster),
        "Running 2x, ready: running after terminated Error 1"
    );
    assert_eq!(
        signals(&cluster),
        [
            "2s started",
            "2s serving",
            "2s crashed",
            "3s serving",
            "3s crashed",
            "13s serving"
        ]
    );
    assert_eq!(
        cluster.told_events(),
        [format!(
            "Pod/web 1x BackOff: Back-off restarting failed container c in pod web_default({uid})"
        )]
    );
}

#[test]
fn restart_policy_says_who_starts_again() {
    for (policy, expected, last) in [
        ("Never", "Failed 0x, unready: terminated Error 1", "removed"),
        (
            "OnFailure",
            "Running 1x, ready: running after terminated Error 1",
            "serving",
        ),
    ] {
        let mut cluster = running("", &format!(", restartPolicy: {policy}"), "");
        crash(&mut cluster);
        cluster.drain();
        assert_eq!(told(&cluster), expected, "{policy}");
        assert!(
            signals(&cluster).last().unwrap().ends_with(last),
            "{policy}"
        );
        crash(&mut cluster);
        cluster.delete(Kind::Pod, "web");
        cluster.drain();
        assert!(cluster.api.pod("default", "web").is_none(), "{policy}");
        assert!(
            signals(&cluster).last().unwrap().ends_with("removed"),
            "{policy}"
        );
    }
    let mut cluster = running("", ", restartPolicy: Never", "");
    crash(&mut cluster);
    let ready = condition(pod(&cluster), "Ready");
    assert_eq!(ready.rest.get("reason").unwrap(), "PodFailed");
    assert_eq!(
        pod(&cluster).status.pod_ip,
        "10.244.1.2",
        "where it was stays known"
    );
}

#[test]
fn a_pod_that_is_over_gives_its_address_back_and_stays_over() {
    let mut cluster = running("", ", restartPolicy: Never", "");
    crash(&mut cluster);
    cluster.drain();
    let signals = cluster.signals.len();
    let mut stored = pod(&cluster).clone();
    stored
        .metadata
        .labels
        .insert("a".to_owned(), "b".to_owned());
    cluster.api.replace(stored.into(), cluster.now).unwrap();
    cluster.happen(&Incident::PodUnready {
        pod: web(),
        is_unready: true,
    });
    cluster.drain();
    assert_eq!(
        (told(&cluster).as_str(), cluster.signals.len()),
        ("Failed 0x, unready: terminated Error 1", signals)
    );
}

#[test]
fn a_crash_of_what_does_not_run_is_nothing() {
    let mut cluster = cluster();
    crash(&mut cluster);
    cluster.apply("{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {nodeName: n1, containers: [{name: c, image: i}]}}");
    crash(&mut cluster);
    cluster.drain();
    assert_eq!(told(&cluster), "Running 0x, ready: running");
    crash(&mut cluster);
    crash(&mut cluster);
    cluster.drain();
    assert_eq!(
        told(&cluster),
        "Running 1x, ready: running after terminated Error 1"
    );
}

/// Checks when the container of a Pod ends and starts again, in seconds after its first start, up to 200 s.
fn check_deaths(container: &str, annotations: &str, expected: &[&str]) -> Cluster {
    let mut cluster = running(container, "", annotations);
    cluster.pass(Duration::from_secs(200));
    let signals = signals(&cluster);
    let deaths = signals.iter().filter_map(|signal| {
        let (at, word) = signal.split_once("s ")?;
        let at = at.parse::<u64>().unwrap() - START.as_secs();
        matches!(word, "crashed" | "serving").then(|| format!("{word} {at}"))
    });
    assert_eq!(deaths.collect::<Vec<_>>(), expected, "{container}");
    cluster
}

#[test]
fn a_container_whose_liveness_fails_is_ended() {
    let cluster = check_deaths(
        ", livenessProbe: {httpGet: {path: /healthz, port: 81}, initialDelaySeconds: 5}",
        "",
        &[
            "serving 0",
            "crashed 30",
            "serving 31",
            "crashed 61",
            "serving 71",
            "crashed 101",
            "serving 121",
            "crashed 151",
            "serving 191",
        ],
    );
    assert_eq!(
        told(&cluster),
        "Running 4x, ready: running after terminated Error 143"
    );
    let uid = &pod(&cluster).metadata.uid;
    let mut events = cluster.told_events();
    events.sort();
    assert_eq!(
        events,
        [
            format!(
                "Pod/web 3x BackOff: Back-off restarting failed container c in pod web_default({uid})"
            ),
            "Pod/web 4x Killing: Container c failed liveness probe, will be restarted".to_owned(),
            "Pod/web 4x Unhealthy: Liveness probe failed: Get \"http://10.244.1.2:81/healthz\": \
             dial tcp 10.244.1.2:81: connect: connection refused"
                .to_owned(),
        ]
    );
}

#[test]
fn who_waits_for_a_cluster_to_rest_does_not_wait_for_a_loop() {
    let mut cluster = running(
        ", livenessProbe: {tcpSocket: {port: 81}, periodSeconds: 1}",
        "",
        "",
    );
    cluster.drain();
    assert_eq!(
        told(&cluster),
        "Running 1x, ready: running after terminated Error 143"
    );
    cluster.pass(Duration::from_secs(3600));
    let restarts = pod(&cluster).status.container_statuses[0].restart_count;
    assert!(
        (10..20).contains(&restarts),
        "{restarts}: every five minutes"
    );
}

#[test]
fn an_application_that_is_late_is_ended_if_it_is_too_late() {
    let late = "switchboard.dev/start-delay: 25s";
    let probe = |more: &str| format!(", livenessProbe: {{tcpSocket: {{port: 80}}{more}}}");
    check_deaths(
        &probe(""),
        "switchboard.dev/start-delay: 20s",
        &["serving 20"],
    );
    check_deaths(&probe(", initialDelaySeconds: 20"), late, &["serving 25"]);
    check_deaths(&probe(", failureThreshold: 4"), late, &["serving 25"]);
    check_deaths(
        &probe(", failureThreshold: 2"),
        late,
        &[
            "crashed 10",
            "crashed 21",
            "crashed 41",
            "crashed 71",
            "crashed 121",
        ],
    );
    let startup = |threshold: u32| {
        format!(
            ", startupProbe: {{tcpSocket: {{port: 80}}, failureThreshold: {threshold}, periodSeconds: 5}}{}",
            probe("")
        )
    };
    check_deaths(&startup(6), late, &["serving 25"]);
    let cluster = check_deaths(
        &startup(5),
        late,
        &[
            "crashed 20",
            "crashed 41",
            "crashed 71",
            "crashed 111",
            "crashed 171",
        ],
    );
    let events = cluster.told_events();
    assert!(
        events.contains(
            &"Pod/web 5x Killing: Container c failed startup probe, will be restarted".to_owned()
        ),
        "{events:?}"
    );
}

#[test]
fn a_container_that_does_not_mind_sigterm_is_killed_after_its_grace() {
    let drain = "switchboard.dev/on-term: drain";
    let probe = ", livenessProbe: {tcpSocket: {port: 81}, failureThreshold: 1, terminationGracePeriodSeconds: 7}";
    let mut cluster = running(probe, "", drain);
    cluster.pass(Duration::from_secs(7));
    assert_eq!(told(&cluster), "Running 0x, unready: terminated Error 137");
    assert_eq!(
        signals(&cluster),
        ["2s started", "2s serving", "9s crashed"]
    );
}

#[test]
fn a_probe_that_makes_no_sense_ends_nothing() {
    let cluster = check_deaths(
        ", livenessProbe: {tcpSocket: {port: htp}}",
        "",
        &["serving 0"],
    );
    assert_eq!(
        cluster.told_events(),
        [
            "Pod/web 1x Unhealthy: Liveness probe errored and resulted in unknown state: strconv.Atoi: parsing \"htp\": invalid syntax"
        ]
    );
}

#[test]
fn api_77_a_pod_that_is_taken_to_be_unready_runs_on() {
    let mut cluster = running("", "", "");
    let set = |cluster: &mut Cluster, is_unready| {
        cluster.happen(&Incident::PodUnready {
            pod: web(),
            is_unready,
        });
        cluster.settle();
    };
    set(&mut cluster, true);
    assert_eq!(told(&cluster), "Running 0x, unready: running");
    crash(&mut cluster);
    cluster.drain();
    assert_eq!(
        told(&cluster),
        "Running 1x, unready: running after terminated Error 1"
    );
    set(&mut cluster, false);
    assert_eq!(
        told(&cluster),
        "Running 1x, ready: running after terminated Error 1"
    );
}

#[test]
fn only_the_container_that_fails_is_started_again() {
    let mut cluster = cluster();
    cluster.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {nodeName: n1, containers: [
           {name: a, image: i, ports: [{containerPort: 80}]},
           {name: b, image: i, livenessProbe: {tcpSocket: {port: 81}, periodSeconds: 1}}]}}",
    );
    cluster.drain();
    let statuses = pod(&cluster).status.container_statuses.iter();
    let restarts: Vec<i32> = statuses.map(|status| status.restart_count).collect();
    assert_eq!(restarts, [0, 1]);
}

#[test]
fn what_a_status_says_of_containers_stays() {
    let mut cluster = cluster();
    cluster.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {nodeName: n1, containers: [
           {name: c, image: i, livenessProbe: {tcpSocket: {port: 81}}}]}, status: {phase: Running, podIP: 10.244.1.9,
         containerStatuses: [{name: c, ready: false, restartCount: 5, image: i, started: false,
           state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2, reason: Error}}}]}}",
    );
    cluster.pass(Duration::from_secs(1000));
    assert_eq!(
        told(&cluster),
        "Running 5x, unready: waiting CrashLoopBackOff after terminated Error 2"
    );
}

#[test]
fn a_pod_that_is_deleted_tells_of_each_container_that_stops() {
    let mut cluster = running("", "", "");
    cluster.delete(Kind::Pod, "web");
    cluster.drain();
    assert_eq!(
        cluster.told_events(),
        ["Pod/web 1x Killing: Stopping container c"]
    );
    let event = cluster
        .api
        .list(Kind::Event, None)
        .next()
        .unwrap()
        .as_event()
        .unwrap();
    assert_eq!(event.involved_object.field_path, "spec.containers{c}");
    assert_eq!(
        (event.source.component.as_str(), event.source.host.as_str()),
        ("kubelet", "n1")
    );
}
