//! A container's runs, one after the other.
//!
//! **Source of the semantics.** S: `pkg/kubelet/kuberuntime/kuberuntime_manager.go` (computePodActions),
//! `pkg/kubelet/container/helpers.go` (ShouldContainerBeRestarted).

use std::net::IpAddr;
use std::time::Duration;

use api::{Container, Pod};
use base::SimTime;

use super::backoff::Backoff;
use super::probes::{Health, ProbeKind, complaint};
use super::sandbox::pre_stop_sleep;
use crate::application::{Application, OnTerm};

/// From the end of a container to the next start, at least: our own number; a kubelet looks at its containers once a
/// second (PLEG).
const RESTART: Duration = Duration::from_secs(1);

/// A container of a Pod on a node.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) run: Run,
    pub(super) restarts: i32,
    /// How its run before the present one ended.
    pub(super) last: Option<End>,
    backoff: Backoff,
    /// Whether it ran before the scenario began: what its Pod's status says of it counts.
    pub(super) is_old: bool,
    ended_by_probe: bool,
}

/// What a kubelet tells of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A probe has begun to fail, with this to say.
    Unhealthy(String),
    /// A probe has failed often enough: it is to end.
    Failed(ProbeKind),
    /// It has ended, and has to wait.
    BacksOff,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// It runs.
    Running { since: SimTime, health: Health },
    /// It is about to end.
    Dying {
        since: SimTime,
        health: Health,
        until: SimTime,
        code: i32,
    },
    /// It has ended.
    Ended {
        end: End,
        /// When it starts again, if it does.
        next: Option<SimTime>,
        /// The back-off, if it has to wait.
        wait: Option<Duration>,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) started: SimTime,
    pub(super) finished: SimTime,
    pub(super) code: i32,
}

impl End {
    /// What became of a container that ends by itself, with an error.
    pub(super) const ERROR: i32 = 1;
    /// What becomes of a container that gets SIGTERM and minds it: 128 + 15.
    pub(super) const TERMINATED: i32 = 143;
    /// What becomes of a container that has to be killed: 128 + 9.
    pub(super) const KILLED: i32 = 137;
    /// What a runtime says of a container that was running when its node lost its power.
    pub(super) const LOST: i32 = 255;
}

impl Process {
    /// A container that begins to run, with what its probes will find.
    pub(super) const fn new(since: SimTime, health: Health) -> Self {
        Self {
            run: Run::Running { since, health },
            restarts: 0,
            last: None,
            backoff: Backoff { next: None },
            is_old: false,
            ended_by_probe: false,
        }
    }

    /// Its probes' findings, while it runs.
    pub(super) const fn health(&self) -> Option<Health> {
        match self.run {
            Run::Running { health, .. } | Run::Dying { health, .. } => Some(health),
            Run::Ended { .. } => None,
        }
    }

    /// Whether its processes are there.
    pub(super) const fn is_alive(&self) -> bool {
        !matches!(self.run, Run::Ended { .. })
    }

    /// Whether it has ended for good.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.run, Run::Ended { next: None, .. })
    }

    /// Whether it has ended well.
    pub(super) const fn has_succeeded(&self) -> bool {
        matches!(self.run, Run::Ended { end, .. } if end.code == 0)
    }

    /// It ends by itself, with an error.
    pub(super) const fn crash(&mut self, now: SimTime) {
        if let Run::Running { since, health } | Run::Dying { since, health, .. } = self.run {
            self.run = Run::Dying {
                since,
                health,
                until: now,
                code: End::ERROR,
            };
        }
    }

    /// Its node has lost its power, and the kubelet with it its memory of back-offs.
    pub(super) fn lose(&mut self, pod: &Pod, container: &Container, now: SimTime) {
        self.end(End::LOST, policy(pod, container), now);
        self.backoff = Backoff::default();
    }

    /// It runs again, after whatever has ended it.
    pub(super) fn restart(&mut self, pod: &Pod, container: &Container, now: SimTime) {
        if let Run::Ended { end, .. } = self.run {
            self.last = Some(end);
            self.restarts = self.restarts.saturating_add(1);
            self.is_old = false;
            let health = Health::of_container(pod, container, now);
            self.run = Run::Running { since: now, health };
        }
    }

    /// Lets it come to `now`, and says what the kubelet has to tell of it. `own` is the Pod's address.
    pub(super) fn advance(
        &mut self,
        pod: &Pod,
        container: &Container,
        own: Option<IpAddr>,
        now: SimTime,
    ) -> Vec<News> {
        let mut news = Vec::new();
        if matches!(self.run, Run::Ended { next: Some(next), .. } if next <= now) {
            self.restart(pod, container, now);
        }
        if let Run::Running { since, mut health } = self.run {
            let complaints = health.take_complaints(now).into_iter();
            let complaints = complaints.filter_map(|kind| complaint(pod, container, kind, own));
            news.extend(complaints.map(News::Unhealthy));
            self.run = Run::Running { since, health };
            if let Some(kind) = health.failed(now) {
                self.ended_by_probe = true;
                let (rest, code) = killing(pod, container, kind);
                let until = now + rest;
                self.run = Run::Dying {
                    since,
                    health,
                    until,
                    code,
                };
                news.push(News::Failed(kind));
            }
        }
        if let Run::Dying { until, code, .. } = self.run
            && until <= now
        {
            self.end(code, policy(pod, container), now);
            if matches!(self.run, Run::Ended { wait: Some(_), .. }) {
                news.push(News::BacksOff);
            }
        }
        news
    }

    /// It is told to end for good, as a sidecar is when the other containers have ended.
    pub(super) fn finish(&mut self, now: SimTime) {
        self.end(End::TERMINATED, "Never", now);
    }

    /// It has ended, if it was alive; its `policy` says whether it starts again.
    fn end(&mut self, code: i32, policy: &str, now: SimTime) {
        let (Run::Running { since: started, .. } | Run::Dying { since: started, .. }) = self.run
        else {
            return;
        };
        let is_restarted = match policy {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => true,
        };
        let wait = is_restarted.then(|| self.backoff.after(now));
        self.run = Run::Ended {
            end: End {
                started,
                finished: now,
                code,
            },
            next: wait.map(|wait| now + wait.max(RESTART)),
            wait: wait.filter(|wait| !wait.is_zero()),
        };
    }

    /// Whether it goes round and round: a probe that has ended it once will do so for ever.
    pub(super) const fn is_looping(&self) -> bool {
        self.restarts > 0 && self.ended_by_probe
    }

    /// When it changes next, after `now`.
    pub(super) fn next_change(&self, now: SimTime) -> Option<SimTime> {
        match self.run {
            Run::Running { health, .. } => health.next_change(now),
            Run::Dying { until, .. } => Some(until),
            Run::Ended { next, .. } => next,
        }
    }

    /// The state of the containers of a `pod` that has been running for long at `now`.
    pub(super) fn all_old(pod: &Pod, now: SimTime) -> Vec<Self> {
        let containers = pod.serving_containers().zip(Health::of_old(pod, now));
        let old = containers.map(|(container, health)| {
            let stated = pod.container_status(&container.name);
            Self {
                restarts: stated.map_or(0, |status| status.restart_count),
                is_old: true,
                ..Self::new(now, health)
            }
        });
        old.collect()
    }

    /// Those of a `pod` whose containers start now.
    pub(super) fn all_new(pod: &Pod, now: SimTime) -> Vec<Self> {
        let health = Health::of(pod, now).into_iter();
        health.map(|health| Self::new(now, health)).collect()
    }
}

/// Whether a container starts again that has ended: as it says itself, or else as its Pod says.
fn policy<'a>(pod: &'a Pod, container: &'a Container) -> &'a str {
    let own = container.restart_policy.as_deref();
    own.unwrap_or(&pod.spec.restart_policy)
}

/// How long a container takes to end that a probe has failed, and with which code: it minds SIGTERM, after its hook, or
/// has to be killed.
fn killing(pod: &Pod, container: &Container, by: ProbeKind) -> (Duration, i32) {
    let own = by
        .of(container)
        .and_then(|probe| probe.termination_grace_period_seconds);
    let grace = own.or(pod.spec.termination_grace_period_seconds);
    let grace = Duration::from_secs(u64::try_from(grace.unwrap_or(30)).unwrap_or(0));
    match Application::of(pod).on_term {
        OnTerm::Close => (pre_stop_sleep(container).min(grace), End::TERMINATED),
        OnTerm::Drain => (grace, End::KILLED),
    }
}
