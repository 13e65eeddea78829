//! A Pod on a node.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{Container, Pod};
use base::SimTime;

use super::POD_TEARDOWN;
use super::process::Process;
use crate::application::{Application, OnTerm};

/// A Pod on a node.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    pub(super) pod: Arc<Pod>,
    pub(super) seen: SimTime,
    /// Its addresses, as far as they are known; they are held in its node's pool unless it uses the node's.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) stage: Stage,
    /// Its containers, then its sidecars; none before they have run.
    pub(super) processes: Vec<Process>,
    /// When its application begins to listen; `None` once it does, and while it cannot.
    pub(super) listens_at: Option<SimTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no network, and nothing runs; before the first start, or after the loss of its node's power.
    Starting,
    /// Its node has its power again: it is to be told that nothing runs, and started.
    Booting,
    /// Its containers run, or will again.
    Running,
    /// It is to stop, and its `preStop` hooks run.
    Resting,
    /// Its containers have got SIGTERM.
    Stopping,
    /// Nothing runs any more; its object is to go.
    Stopped,
    /// Its containers have ended for good; its object stays.
    Over,
}

impl Sandbox {
    /// A Pod that was just seen.
    pub(super) const fn new(pod: Arc<Pod>, addresses: Vec<IpAddr>, seen: SimTime) -> Self {
        Self {
            pod,
            seen,
            addresses,
            stage: Stage::Starting,
            processes: Vec::new(),
            listens_at: None,
        }
    }

    /// Whether it has a network.
    pub(super) const fn is_up(&self) -> bool {
        matches!(
            self.stage,
            Stage::Running | Stage::Resting | Stage::Stopping
        )
    }

    /// Its containers, then its sidecars, as far as they have run.
    pub(super) fn containers(&self) -> impl Iterator<Item = (&Container, &Process)> {
        self.pod.serving_containers().zip(&self.processes)
    }

    /// The same, and the Pod, to let them go on.
    pub(super) fn containers_mut(
        &mut self,
    ) -> impl Iterator<Item = (&Pod, &Container, &mut Process)> {
        let pod = &*self.pod;
        let containers = pod.serving_containers().zip(&mut self.processes);
        containers.map(move |(container, process)| (pod, container, process))
    }

    /// What its life depends on: its containers without its sidecars.
    fn mains(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().take(self.pod.spec.containers.len())
    }

    /// Its containers end by themselves. Its sidecars go on.
    pub(super) fn crash(&mut self, now: SimTime) {
        let mains = self.processes.iter_mut();
        let mains = mains.take(self.pod.spec.containers.len());
        mains.for_each(|process| process.crash(now));
    }

    /// Whether its containers have ended for good.
    pub(super) fn is_over(&self) -> bool {
        !self.processes.is_empty() && self.mains().all(Process::is_over)
    }

    /// Whether its containers go round and round.
    pub(super) fn is_looping(&self) -> bool {
        self.processes.iter().any(Process::is_looping)
    }

    /// `status.phase` of a Pod whose containers have run.
    pub(super) fn phase(&self) -> &'static str {
        match self.is_over() {
            false => "Running",
            true if self.mains().all(Process::has_succeeded) => "Succeeded",
            true => "Failed",
        }
    }
}

/// A Pod whose initial status says so has been running before the scenario began.
pub(super) fn runs_already(pod: &Pod) -> bool {
    pod.status.phase == "Running" && !pod.addresses().is_empty()
}

/// From SIGTERM to the end of a Pod's sandbox. An application that goes on is killed when its grace period is over, of
/// which two seconds are left at least.
pub(super) fn stopping_time(pod: &Pod) -> Duration {
    if Application::of(pod).on_term == OnTerm::Close {
        return POD_TEARDOWN;
    }
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
    grace
        .saturating_sub(pre_stop(pod))
        .max(Duration::from_secs(2))
}

/// How long the `preStop` hooks of a Pod sleep before its containers get SIGTERM.
pub(super) fn pre_stop(pod: &Pod) -> Duration {
    let sleep = pod.serving_containers().map(pre_stop_sleep).max();
    let grace = pod.metadata.deletion_grace_period_seconds;
    let grace = grace.map_or(u64::MAX, |grace| u64::try_from(grace).unwrap_or(0));
    sleep.unwrap_or_default().min(Duration::from_secs(grace))
}

/// How long the `preStop` hook of a container sleeps.
pub(super) fn pre_stop_sleep(container: &Container) -> Duration {
    let hooks = container.lifecycle.as_deref();
    let hook = hooks.and_then(|hooks| hooks.pre_stop.as_ref());
    let sleep = hook.and_then(|hook| hook.sleep.as_ref());
    let seconds = sleep.and_then(|sleep| u64::try_from(sleep.seconds).ok());
    Duration::from_secs(seconds.unwrap_or(0))
}
