//! `status` of a Deployment, and its conditions Available and Progressing.
//!
//! **Source of the semantics.** S: `pkg/controller/deployment/progress.go` (syncRolloutStatus, requeueStuckDeployment),
//! `pkg/controller/deployment/sync.go` (calculateStatus, checkPausedConditions),
//! `pkg/controller/deployment/util/deployment_util.go` (SetDeploymentCondition, DeploymentTimedOut).

use std::time::Duration;

use api::{Condition, Deployment, DeploymentSpec, ReplicaSet, WorkloadStatus, timestamp};
use base::SimTime;
use serde_json::json;

use super::member::Member;
use super::rollout::Rollout;
use crate::conditions;
use crate::owned_pods::instant;

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";
/// How long after its deadline a rollout is looked at: time stamps have no fractions.
const SKEW: Duration = Duration::from_secs(1);

/// Why a rollout progresses, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// There is a new ReplicaSet.
    Created,
    /// The ReplicaSet was there already.
    Found,
    /// It could not be created.
    CreateFailed,
    /// Pods come and go.
    Updated,
    /// The rollout is complete.
    Complete,
    /// Nothing has happened for too long.
    TimedOut,
    Paused,
    Resumed,
}

impl Reason {
    const fn word(self) -> &'static str {
        match self {
            Self::Created => "NewReplicaSetCreated",
            Self::Found => "FoundNewReplicaSet",
            Self::CreateFailed => "ReplicaSetCreateError",
            Self::Updated => "ReplicaSetUpdated",
            Self::Complete => "NewReplicaSetAvailable",
            Self::TimedOut => "ProgressDeadlineExceeded",
            Self::Paused => "DeploymentPaused",
            Self::Resumed => "DeploymentResumed",
        }
    }

    const fn status(self) -> &'static str {
        match self {
            Self::Created | Self::Found | Self::Updated | Self::Complete => "True",
            Self::CreateFailed | Self::TimedOut => "False",
            Self::Paused | Self::Resumed => "Unknown",
        }
    }

    /// What is said of `whom`: a ReplicaSet's name, the subject of the sentence, or what went wrong.
    fn message(self, whom: &str) -> String {
        match self {
            Self::Created => format!("Created new replica set {whom:?}"),
            Self::Found => format!("Found new replica set {whom:?}"),
            Self::CreateFailed => whom.to_owned(),
            Self::Updated => format!("{whom} is progressing."),
            Self::Complete => format!("{whom} has successfully progressed."),
            Self::TimedOut => format!("{whom} has timed out progressing."),
            Self::Paused => "Deployment is paused".to_owned(),
            Self::Resumed => "Deployment is resumed".to_owned(),
        }
    }
}

/// Whether a lack of progress is to be noticed.
pub(super) fn has_deadline(spec: &DeploymentSpec) -> bool {
    deadline(spec).is_some()
}

fn deadline(spec: &DeploymentSpec) -> Option<Duration> {
    let seconds = spec.progress_deadline_seconds;
    let seconds = seconds.filter(|seconds| *seconds != i32::MAX)?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The condition Progressing.
pub(super) fn find(status: &WorkloadStatus) -> Option<Condition> {
    conditions::find(&conditions::read(&status.rest), PROGRESSING).cloned()
}

/// Sets the condition Progressing; see [`Reason::message`] for `whom`.
pub(super) fn set(status: &mut WorkloadStatus, reason: Reason, whom: &str, now: SimTime) {
    let message = reason.message(whom);
    let condition = condition(PROGRESSING, reason.status(), reason.word(), &message, now);
    set_condition(status, condition, false);
}

/// Notes that a Deployment is paused, or no longer is. That it has run out of time stays.
pub(super) fn note_pause(deployment: &mut Deployment, is_paused: bool, now: SimTime) {
    if !has_deadline(&deployment.spec) {
        return;
    }
    let found = find(&deployment.status);
    let reason = found
        .as_ref()
        .map_or("", |found| conditions::text(found, "reason"));
    let was_paused = reason == Reason::Paused.word();
    if reason == Reason::TimedOut.word() || is_paused == was_paused {
        return;
    }
    let reason = if is_paused {
        Reason::Paused
    } else {
        Reason::Resumed
    };
    set(&mut deployment.status, reason, "", now);
}

/// Whether all Pods are new and available, and there are no others.
pub(super) fn is_complete(deployment: &Deployment, status: &WorkloadStatus) -> bool {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    status.updated_replicas == wanted
        && status.replicas == Some(wanted)
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation
}

impl Rollout {
    /// Sets the status without a word about progress.
    pub(super) fn set_status(&mut self) {
        self.deployment.status = self.counted();
    }

    /// Sets the status with that of the rollout; tells when a lack of progress is to be noticed.
    pub(super) fn set_rollout_status(&mut self) -> Option<SimTime> {
        let mut status = self.counted();
        let former = find(&self.deployment.status);
        let was_complete = former
            .as_ref()
            .is_some_and(|former| conditions::text(former, "reason") == Reason::Complete.word());
        let is_at_rest = status.replicas == Some(status.updated_replicas) && was_complete;
        if !has_deadline(&self.deployment.spec) {
            remove(&mut status, PROGRESSING);
        } else if !is_at_rest {
            self.judge(&mut status);
        }
        self.pass_on_failure(&mut status);
        self.deployment.status = status;
        self.deadline_due()
    }

    fn judge(&self, status: &mut WorkloadStatus) {
        let whom = match &self.new {
            Some(new) => format!("ReplicaSet {:?}", new.set.metadata.name),
            None => format!("Deployment {:?}", self.deployment.metadata.name),
        };
        if is_complete(&self.deployment, status) {
            set(status, Reason::Complete, &whom, self.now);
        } else if has_progressed(&self.deployment.status, status) {
            let reason = Reason::Updated;
            let message = reason.message(&whom);
            let condition = condition(
                PROGRESSING,
                reason.status(),
                reason.word(),
                &message,
                self.now,
            );
            set_condition(status, condition, true);
        } else if self.has_timed_out(status) {
            set(status, Reason::TimedOut, &whom, self.now);
        }
    }

    /// The figures of the ReplicaSets, and whether enough Pods are available.
    fn counted(&self) -> WorkloadStatus {
        let sum = |of: fn(&Member) -> i64| number(self.members().map(of).sum());
        let available = sum(Member::available);
        let missing = number((self.total() - i64::from(available)).max(0));
        let mut rest = self.deployment.status.rest.clone();
        match missing {
            0 => drop(rest.remove("unavailableReplicas")),
            missing => rest.insert("unavailableReplicas", missing.into()),
        }
        rest.insert("terminatingReplicas", sum(terminating).into());
        let mut status = WorkloadStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: Some(sum(Member::actual)),
            updated_replicas: number(self.new.as_ref().map_or(0, Member::actual)),
            ready_replicas: sum(ready),
            available_replicas: available,
            rest,
        };
        let [holds, reason, message] = if i64::from(available) >= self.figures.least_available() {
            let message = "Deployment has minimum availability.";
            ["True", "MinimumReplicasAvailable", message]
        } else {
            let message = "Deployment does not have minimum availability.";
            ["False", "MinimumReplicasUnavailable", message]
        };
        let condition = condition(AVAILABLE, holds, reason, message, self.now);
        set_condition(&mut status, condition, false);
        status
    }

    /// What keeps a ReplicaSet from making Pods, the new one before the others.
    fn pass_on_failure(&self, status: &mut WorkloadStatus) {
        let failure = |set: &ReplicaSet| {
            conditions::find(&conditions::read(&set.status.rest), FAILURE).cloned()
        };
        let mut members = self.new.iter().chain(&self.old);
        match members.find_map(|member| failure(&member.set)) {
            Some(found) => {
                let [reason, message] =
                    ["reason", "message"].map(|field| conditions::text(&found, field));
                let failure = condition(FAILURE, &found.status, reason, message, self.now);
                set_condition(status, failure, false);
            }
            None => remove(status, FAILURE),
        }
    }

    fn has_timed_out(&self, status: &WorkloadStatus) -> bool {
        let Some(found) = find(status) else {
            return false;
        };
        match conditions::text(&found, "reason") {
            reason if reason == Reason::Complete.word() => false,
            reason if reason == Reason::TimedOut.word() => true,
            _ => {
                let deadline = deadline(&self.deployment.spec);
                let due = instant(conditions::text(&found, "lastUpdateTime"));
                let due = due.zip(deadline).map(|(since, span)| since + span);
                due.is_some_and(|due| due < self.now)
            }
        }
    }

    /// When the rollout will have run out of time.
    fn deadline_due(&self) -> Option<SimTime> {
        let (deployment, status) = (&self.deployment, &self.deployment.status);
        let found = find(status)?;
        let reason = conditions::text(&found, "reason");
        let is_settled = reason == Reason::TimedOut.word() || reason == Reason::Complete.word();
        if is_settled || is_complete(deployment, status) {
            return None;
        }
        let since = instant(conditions::text(&found, "lastUpdateTime"))?;
        let due = since + deadline(&deployment.spec)? + SKEW;
        (due > self.now).then_some(due)
    }
}

/// Whether there are more new Pods, fewer old ones, or more that are ready or available.
fn has_progressed(before: &WorkloadStatus, after: &WorkloadStatus) -> bool {
    let old = |status: &WorkloadStatus| {
        i64::from(status.replicas.unwrap_or(0)) - i64::from(status.updated_replicas)
    };
    after.updated_replicas > before.updated_replicas
        || old(after) < old(before)
        || after.ready_replicas > before.ready_replicas
        || after.available_replicas > before.available_replicas
}

fn condition(name: &str, status: &str, reason: &str, message: &str, now: SimTime) -> Condition {
    let stamp = timestamp(now);
    let mut condition = Condition {
        condition_type: name.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(stamp.clone()),
        ..Condition::default()
    };
    condition.rest.insert("lastUpdateTime", json!(stamp));
    condition.rest.insert("reason", json!(reason));
    condition.rest.insert("message", json!(message));
    condition
}

/// Puts a condition in place of the one of its type. One of the same status and reason stays as it is, unless it
/// is to be `renewed`; one of the same status keeps the time of its transition.
fn set_condition(status: &mut WorkloadStatus, mut condition: Condition, renewed: bool) {
    let mut found = conditions::read(&status.rest);
    if let Some(former) = conditions::find(&found, &condition.condition_type)
        && former.status == condition.status
    {
        let reason = conditions::text(&condition, "reason");
        if !renewed && conditions::text(former, "reason") == reason {
            return;
        }
        condition
            .last_transition_time
            .clone_from(&former.last_transition_time);
    }
    found.retain(|former| former.condition_type != condition.condition_type);
    found.push(condition);
    conditions::write(&mut status.rest, &found);
}

fn remove(status: &mut WorkloadStatus, name: &str) {
    let mut found = conditions::read(&status.rest);
    let count = found.len();
    found.retain(|condition| condition.condition_type != name);
    if found.len() < count {
        conditions::write(&mut status.rest, &found);
    }
}

fn ready(member: &Member) -> i64 {
    member.set.status.ready_replicas.into()
}

fn terminating(member: &Member) -> i64 {
    let count: Option<i32> = member.set.status.rest.typed("terminatingReplicas");
    count.unwrap_or(0).into()
}

fn number(count: i64) -> i32 {
    let bounded = count.clamp(i32::MIN.into(), i32::MAX.into());
    i32::try_from(bounded).unwrap_or(0)
}
