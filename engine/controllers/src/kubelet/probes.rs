//! When a Pod's containers have started and are ready, by their probes.
//!
//! **Source of the semantics.** API-77; S: `pkg/kubelet/prober` (worker, manager).
//!
//! A container without a startup probe has started when it runs; one without a readiness probe is ready once it has
//! started. An attempt is made when the container starts and every `periodSeconds` after; those before
//! `initialDelaySeconds` are left out, and readiness is not asked for before the container has started. What an attempt
//! finds follows from what the simulated application does ([`Application`]).
//!
//! Deviation: an attempt takes no time and no packets. A command (`exec`) succeeds once the
//! application has started. A probe of another host than the
//! Pod's own is taken to succeed. A container whose startup or liveness probe fails is not restarted.

use std::time::Duration;

use api::{Container, IntOrString, Pod, Probe};
use base::SimTime;

use crate::Application;

/// When a container comes to be what its probes ask for; `None`: it never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) started: Option<SimTime>,
    pub(super) ready: Option<SimTime>,
}

impl Health {
    /// Of each container of `pod`, which runs since `since`.
    pub(super) fn of(pod: &Pod, since: SimTime) -> Vec<Self> {
        let application = Application::of(pod);
        let containers = pod.spec.containers.iter();
        containers
            .map(|container| Self::of_container(pod, container, &application, since))
            .collect()
    }

    /// Of each container of a `pod` that has been running for long at `now`: what its status says, or else what its
    /// probes would have come to.
    pub(super) fn of_old(pod: &Pod, now: SimTime) -> Vec<Self> {
        let containers = pod.spec.containers.iter().zip(Self::of(pod, now));
        let health = containers.map(|(container, probed)| {
            let mut statuses = pod.status.container_statuses.iter();
            let stated = statuses.find(|status| status.name == container.name);
            let (started, ready) = match stated {
                Some(status) => {
                    let started = status.rest.typed("started").unwrap_or(status.ready);
                    (started, status.ready)
                }
                None => (probed.started.is_some(), probed.ready.is_some()),
            };
            Self {
                started: started.then_some(now),
                ready: ready.then_some(now),
            }
        });
        health.collect()
    }

    fn of_container(
        pod: &Pod,
        container: &Container,
        application: &Application,
        since: SimTime,
    ) -> Self {
        let listens = since + application.start_delay;
        let passes = |probe: Option<&Probe>, from: SimTime| match probe {
            None => Some(from),
            Some(probe) if answers(pod, container, application, probe) => {
                Some(passed_at(probe, since, from.max(listens)))
            }
            Some(_) => None,
        };
        let started = passes(container.startup_probe.as_deref(), since);
        let readiness = container.readiness_probe.as_deref();
        Self {
            started,
            ready: started.and_then(|from| passes(readiness, from)),
        }
    }

    pub(super) fn has_started(self, now: SimTime) -> bool {
        self.started.is_some_and(|at| at <= now)
    }

    pub(super) fn is_ready(self, now: SimTime) -> bool {
        self.ready.is_some_and(|at| at <= now)
    }

    /// When it changes after `now`.
    pub(super) fn next_change(self, now: SimTime) -> Option<SimTime> {
        let changes = [self.started, self.ready].into_iter().flatten();
        changes.filter(|at| *at > now).min()
    }
}

/// When a probe that always succeeds has succeeded often enough: attempts are made each period from `since` on, and
/// count from `from` on.
fn passed_at(probe: &Probe, since: SimTime, from: SimTime) -> SimTime {
    let seconds = |count: i32| Duration::from_secs(u64::try_from(count).unwrap_or(0));
    let period = seconds(probe.period_seconds.max(1));
    let first = from.max(since + seconds(probe.initial_delay_seconds));
    let periods = first.since(since).as_nanos().div_ceil(period.as_nanos());
    let more = u128::from(probe.success_threshold.max(1).unsigned_abs() - 1);
    let periods = u32::try_from(periods + more).unwrap_or(u32::MAX);
    since + period.saturating_mul(periods)
}

/// Whether the simulated application answers this probe.
fn answers(pod: &Pod, container: &Container, application: &Application, probe: &Probe) -> bool {
    let is_own = |host: &str| host.is_empty() || pod.status.pod_ips.iter().any(|ip| ip.ip == host);
    let listens = |port: &IntOrString| {
        number(container, port).is_some_and(|number| application.answers(number))
    };
    if let Some(get) = &probe.http_get {
        return !is_own(&get.host) || listens(&get.port);
    }
    if let Some(socket) = &probe.tcp_socket {
        return !is_own(&socket.host) || listens(&socket.port);
    }
    if let Some(grpc) = &probe.grpc {
        return application.answers(grpc.port);
    }
    true
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
