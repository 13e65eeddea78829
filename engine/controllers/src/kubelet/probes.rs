//! When a Pod's containers have started, are ready, and fail, by their probes.
//!
//! **Source of the semantics.** API-77; S: `pkg/kubelet/prober` (worker, manager, prober), `pkg/probe`.
//!
//! A container without a startup probe has started when it runs; one without a readiness probe is ready once it has
//! started. An attempt is made when the container starts and every `periodSeconds` after; those before
//! `initialDelaySeconds` are left out, and readiness and liveness are not asked for before the container has started. A
//! container whose startup or liveness probe fails `failureThreshold` times in a row is ended. What an attempt
//! finds follows from what the simulated application does ([`Application`]): it fails before the application listens,
//! and either always or never afterwards.
//!
//! Deviation: an attempt takes no time and no packets. A command (`exec`) succeeds once the
//! application has started. A probe of another host than the Pod's own is taken to succeed.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use api::{Container, IntOrString, Pod, Probe};
use base::SimTime;

use crate::Application;
use crate::application::Manners;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    pub(super) fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_deref(),
            Self::Liveness => container.liveness_probe.as_deref(),
            Self::Readiness => container.readiness_probe.as_deref(),
        }
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        })
    }
}

/// When a container comes to be what its probes ask for; `None`: it never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Health {
    started: Option<SimTime>,
    ready: Option<SimTime>,
    /// When it is to be ended, and by which probe.
    fails: Option<(SimTime, ProbeKind)>,
    /// The first attempt of each probe, if it fails.
    complaints: [Option<SimTime>; 3],
}

impl Health {
    /// Of each container and sidecar of `pod`, which runs since `since`.
    pub(super) fn of(pod: &Pod, since: SimTime) -> Vec<Self> {
        let application = Application::of(pod);
        pod.serving_containers()
            .map(|container| {
                Asked {
                    pod,
                    container,
                    application: &application,
                    since,
                }
                .health()
            })
            .collect()
    }

    /// Of one container of `pod`, which runs since `since`.
    pub(super) fn of_container(pod: &Pod, container: &Container, since: SimTime) -> Self {
        let application = &Application::of(pod);
        Asked {
            pod,
            container,
            application,
            since,
        }
        .health()
    }

    /// Of each container and sidecar of a `pod` that has been running for long at `now`: what its status says, or else what its
    /// probes would have come to. It has come to terms with its probes: it is not ended by them.
    pub(super) fn of_old(pod: &Pod, now: SimTime) -> Vec<Self> {
        let containers = pod.serving_containers().zip(Self::of(pod, now));
        let health = containers.map(|(container, probed)| {
            let (started, ready) = match pod.container_status(&container.name) {
                Some(status) => {
                    let started = status.rest.typed("started").unwrap_or(status.ready);
                    (started, status.ready)
                }
                None => (probed.started.is_some(), probed.ready.is_some()),
            };
            Self {
                started: started.then_some(now),
                ready: ready.then_some(now),
                fails: None,
                complaints: [None; 3],
            }
        });
        health.collect()
    }

    pub(super) fn has_started(self, now: SimTime) -> bool {
        self.started.is_some_and(|at| at <= now)
    }

    pub(super) fn is_ready(self, now: SimTime) -> bool {
        self.ready.is_some_and(|at| at <= now)
    }

    /// The probe that has failed often enough, if one has.
    pub(super) fn failed(self, now: SimTime) -> Option<ProbeKind> {
        self.fails
            .filter(|(at, _)| *at <= now)
            .map(|(_, kind)| kind)
    }

    /// The probes that have begun to fail since this was last asked.
    pub(super) fn take_complaints(&mut self, now: SimTime) -> Vec<ProbeKind> {
        let complaints = self.complaints.iter_mut().zip(ProbeKind::ALL);
        let new = complaints
            .filter_map(|(complaint, kind)| complaint.take_if(|at| *at <= now).map(|_| kind));
        new.collect()
    }

    /// When it changes after `now`.
    pub(super) fn next_change(self, now: SimTime) -> Option<SimTime> {
        let fails = self.fails.map(|(at, _)| at);
        let changes = [self.started, self.ready, fails].into_iter();
        let changes = changes.chain(self.complaints).flatten();
        changes.filter(|at| *at > now).min()
    }
}

/// A container that runs since some time, to be asked how it is.
#[derive(Clone, Copy)]
struct Asked<'a> {
    pod: &'a Pod,
    container: &'a Container,
    application: &'a Application,
    since: SimTime,
}

/// What becomes of a probe.
#[derive(Default)]
struct Outcome {
    passes: Option<SimTime>,
    fails: Option<SimTime>,
    complains: Option<SimTime>,
}

impl Asked<'_> {
    fn health(self) -> Health {
        let [startup, liveness, readiness] = ProbeKind::ALL.map(|kind| kind.of(self.container));
        let startup = self.outcome(startup, Some(self.since));
        let started = startup.passes;
        let liveness = self.outcome(liveness, started);
        let readiness = self.outcome(readiness, started);
        let complaints = [startup.complains, liveness.complains, readiness.complains];
        let killed = |at: Option<SimTime>, by| at.map(|at| (at, by));
        let fails = killed(startup.fails, ProbeKind::Startup)
            .or(killed(liveness.fails, ProbeKind::Liveness));
        // How a Pod of a pinned status fares is the user's business.
        let is_pinned = self.pod.metadata.has_pinned_status();
        Health {
            started,
            ready: readiness.passes,
            fails: fails.filter(|_| !is_pinned),
            complaints: if is_pinned { [None; 3] } else { complaints },
        }
    }

    /// What becomes of a probe whose attempts count from `from` on, if ever; without a probe all is well at once.
    fn outcome(self, probe: Option<&Probe>, from: Option<SimTime>) -> Outcome {
        let (Some(probe), Some(from)) = (probe, from) else {
            return Outcome {
                passes: from,
                ..Outcome::default()
            };
        };
        let listens = self.since + self.application.start_delay;
        let first = self.attempt(probe, from);
        let finding = finding(self.pod, self.container, self.application, probe);
        let more = |count: i32| period(probe).saturating_mul(count.max(1).unsigned_abs() - 1);
        let last = first + more(probe.failure_threshold);
        let is_well = finding == Finding::Success;
        Outcome {
            passes: is_well
                .then(|| self.attempt(probe, from.max(listens)) + more(probe.success_threshold)),
            // What cannot be asked does not fail.
            fails: (finding != Finding::Error && !(is_well && listens <= last)).then_some(last),
            complains: (!is_well || listens > first).then_some(first),
        }
    }

    /// The first attempt from `from` on.
    fn attempt(self, probe: &Probe, from: SimTime) -> SimTime {
        let first = from.max(self.since + seconds(probe.initial_delay_seconds));
        let periods = first
            .since(self.since)
            .as_nanos()
            .div_ceil(period(probe).as_nanos());
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.since + period(probe).saturating_mul(periods)
    }
}

fn seconds(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds.max(1))
}

/// What an attempt finds once the application listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Success,
    Failure,
    /// The probe itself makes no sense.
    Error,
}

fn finding(pod: &Pod, container: &Container, application: &Application, probe: &Probe) -> Finding {
    let is_own = |host: &str| host.is_empty() || pod.status.pod_ips.iter().any(|ip| ip.ip == host);
    let of = |answers: bool| {
        if answers {
            Finding::Success
        } else {
            Finding::Failure
        }
    };
    let Some((host, port)) = asked_port(probe) else {
        let grpc = probe.grpc.as_ref();
        return grpc.map_or(Finding::Success, |grpc| of(application.answers(grpc.port)));
    };
    match number(container, port) {
        None => Finding::Error,
        Some(number) => of(!is_own(host) || application.answers(number)),
    }
}

/// The host and the port that a probe by HTTP or TCP names.
fn asked_port(probe: &Probe) -> Option<(&str, &IntOrString)> {
    let http = probe
        .http_get
        .as_ref()
        .map(|get| (get.host.as_str(), &get.port));
    http.or_else(|| {
        probe
            .tcp_socket
            .as_ref()
            .map(|socket| (socket.host.as_str(), &socket.port))
    })
}

/// The port that a probe of `container` means.
fn number(container: &Container, port: &IntOrString) -> Option<i32> {
    match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter();
            let named = ports.find(|port| port.name == *name);
            named.map_or_else(|| name.parse().ok(), |port| Some(port.container_port))
        }
    }
}

/// What a kubelet tells of a failed attempt; `own` is the Pod's address.
pub(super) fn complaint(
    pod: &Pod,
    container: &Container,
    kind: ProbeKind,
    own: Option<IpAddr>,
) -> Option<String> {
    let probe = kind.of(container)?;
    if let Some((_, port @ IntOrString::String(name))) = asked_port(probe)
        && number(container, port).is_none()
    {
        return Some(format!(
            "{kind} probe errored and resulted in unknown state: strconv.Atoi: parsing {name:?}: invalid syntax"
        ));
    }
    let own = own.map(|own| own.to_string()).unwrap_or_default();
    let place = |host: &str, port: i32| match if host.is_empty() { &own } else { host } {
        host if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    };
    let is_deaf = Application::of(pod).manners == Manners::Blackhole;
    let output = if let Some(get) = &probe.http_get {
        let place = place(&get.host, number(container, &get.port)?);
        let why = match is_deaf {
            true => "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                .to_owned(),
            false => format!("dial tcp {place}: connect: connection refused"),
        };
        format!(
            "Get \"{}://{place}{}\": {why}",
            get.scheme.to_lowercase(),
            get.path
        )
    } else if let Some(socket) = &probe.tcp_socket {
        let why = if is_deaf {
            "i/o timeout"
        } else {
            "connect: connection refused"
        };
        format!(
            "dial tcp {}: {why}",
            place(&socket.host, number(container, &socket.port)?)
        )
    } else if let Some(grpc) = &probe.grpc {
        let span = probe.timeout_seconds.max(1);
        let place = place("", grpc.port);
        format!(
            "timeout: failed to connect service {place:?} within {span}s: context deadline exceeded"
        )
    } else {
        String::new()
    };
    Some(format!("{kind} probe failed: {output}"))
}

#[cfg(test)]
mod tests {
    use api::{ContainerPort, TcpSocketAction};
    use proptest::prelude::*;

    use super::*;

    fn probe(port: i32, [delay, period, successes, failures]: [i32; 4]) -> Box<Probe> {
        Box::new(Probe {
            tcp_socket: Some(TcpSocketAction {
                port: IntOrString::Int(port),
                ..TcpSocketAction::default()
            }),
            initial_delay_seconds: delay,
            period_seconds: period,
            success_threshold: successes,
            failure_threshold: failures,
            ..Probe::default()
        })
    }

    /// When so many attempts in a row, one each period, have ended so.
    fn tried(
        [delay, period, ..]: [i32; 4],
        listens: Option<i32>,
        wanted: bool,
        times: i32,
    ) -> Option<i32> {
        let mut row = 0;
        let attempts = (0..400).map(|number| number * period);
        attempts.filter(|at| *at >= delay).find(|at| {
            let succeeds = listens.is_some_and(|listens| *at >= listens);
            row = if succeeds == wanted { row + 1 } else { 0 };
            row == times
        })
    }

    proptest! {
        /// What is said of all attempts at once is what trying them one after the other comes to.
        #[test]
        fn probes_come_to_what_attempts_come_to(
            settings in [0..30_i32, 1..12_i32, 1..4_i32, 1..5_i32],
            late in 0..40_i32,
            answers in any::<bool>(),
        ) {
            let port = if answers { 80 } else { 81 };
            let [delay, period, successes, failures] = settings;
            let container = Container {
                ports: vec![ContainerPort { container_port: 80, ..ContainerPort::default() }],
                liveness_probe: Some(probe(port, [delay, period, 1, failures])),
                readiness_probe: Some(probe(port, settings)),
                ..Container::default()
            };
            let mut pod = Pod::default();
            let annotations = &mut pod.metadata.annotations;
            annotations.insert("switchboard.dev/start-delay".to_owned(), format!("{late}s"));
            pod.spec.containers.push(container);
            let since = SimTime::ZERO + Duration::from_secs(1000);
            let health = Health::of(&pod, since)[0];
            let at = |seconds: i32| since + Duration::from_secs(seconds.unsigned_abs().into());
            let listens = answers.then_some(late);
            let fails = tried(settings, listens, false, failures).map(at);
            prop_assert_eq!(health.fails, fails.map(|at| (at, ProbeKind::Liveness)));
            prop_assert_eq!(health.ready, tried(settings, listens, true, successes).map(at));
            let first = tried(settings, listens, false, 1).map(at);
            prop_assert_eq!(health.complaints, [None, first, first]);
            prop_assert_eq!(health.started, Some(since));
        }
    }
}
