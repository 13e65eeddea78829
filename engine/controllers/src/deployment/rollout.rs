//! One look at a Deployment: what is to become of it and of its ReplicaSets.
//!
//! **Why.** Kubernetes writes each step as it goes, and works on with the answer. Here the steps are taken on copies,
//! and what has changed in the end is written once.
//! **Source of the semantics.** S: `pkg/controller/deployment/deployment_controller.go` (syncDeployment),
//! `pkg/controller/deployment/sync.go` (getNewReplicaSet).

use std::sync::Arc;

use api::{
    ANNOTATION_STATUS, Deployment, Kind, LabelSelector, ObjectMeta, OwnerReference, ReplicaSet,
    ReplicaSetSpec,
};
use base::SimTime;

use super::figures::Figures;
use super::member::Member;
use super::progress::{self, Reason};
use super::{revision, template};
use crate::controller::Effect;

/// A Deployment with its ReplicaSets, changed step by step.
pub(super) struct Rollout {
    pub(super) deployment: Deployment,
    stored: Arc<Deployment>,
    pub(super) figures: Figures,
    /// The ReplicaSet of the present template, if there is one.
    pub(super) new: Option<Member>,
    /// The others, the oldest first.
    pub(super) old: Vec<Member>,
    /// ReplicaSets of former revisions that have Pods, whatever their status says.
    pub(super) old_pods_run: bool,
    pub(super) now: SimTime,
    /// Whether the new ReplicaSet could not be created when it was last tried.
    has_failed: bool,
    /// When the rollout is to be looked at, though nothing happens.
    again: Option<SimTime>,
}

/// What comes of a look.
pub(super) struct Outcome {
    pub(super) effects: Vec<Effect>,
    pub(super) again: Option<SimTime>,
}

impl Rollout {
    /// `members` are its ReplicaSets in any order.
    pub(super) fn new(stored: Arc<Deployment>, mut members: Vec<Member>, now: SimTime) -> Self {
        let deployment = Deployment::clone(&stored);
        members.sort_by(|left, right| age(left).cmp(&age(right)));
        let wanted = &deployment.spec.template;
        let is_new = |member: &Member| template::is_equal(wanted, &member.set.spec.template);
        let new = members.iter().position(is_new);
        Self {
            figures: Figures::of(&deployment.spec),
            deployment,
            stored,
            new: new.map(|place| members.remove(place)),
            old: members,
            old_pods_run: false,
            now,
            has_failed: false,
            again: None,
        }
    }

    /// The hash in the name of the new ReplicaSet was that of another template.
    pub(super) fn count_collision(&mut self) {
        let collisions = self.collisions().unwrap_or(0).saturating_add(1);
        let status = &mut self.deployment.status.rest;
        status.insert("collisionCount", collisions.into());
    }

    /// The new ReplicaSet could not be created.
    pub(super) fn note_failure(&mut self, message: &str) {
        self.has_failed = true;
        if progress::has_deadline(&self.deployment.spec) {
            let status = &mut self.deployment.status;
            progress::set(status, Reason::CreateFailed, message, self.now);
        }
    }

    /// Decides what is to be done.
    pub(super) fn run(mut self) -> Outcome {
        if self.deployment.metadata.is_terminating() {
            self.set_status();
            return self.outcome();
        }
        let is_paused = self.is_paused();
        progress::note_pause(&mut self.deployment, is_paused, self.now);
        self.keep_new();
        if is_paused || self.is_scaling() {
            self.scale();
            if is_paused {
                self.clean_up();
            }
            self.set_status();
        } else if self.figures.is_rolling {
            self.roll();
            self.again = self.set_rollout_status();
        } else {
            self.recreate();
            self.again = self.set_rollout_status();
        }
        self.outcome()
    }

    /// Every ReplicaSet.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.old.iter().chain(&self.new)
    }

    /// How many Pods all ReplicaSets are told to have.
    pub(super) fn total(&self) -> i64 {
        self.members().map(Member::replicas).sum()
    }

    /// Makes sure that there is a ReplicaSet of the present template; `replicas` is what a new one begins with.
    pub(super) fn make_new(&mut self, replicas: i64) {
        if self.new.is_some() {
            return;
        }
        let mut member = Member::new(Arc::new(self.new_set()), None);
        member.set_size(replicas, &self.figures);
        let name = member.set.metadata.name.clone();
        self.new = Some(member);
        self.keep_new();
        if progress::has_deadline(&self.deployment.spec) && !self.has_failed {
            progress::set(
                &mut self.deployment.status,
                Reason::Created,
                &name,
                self.now,
            );
        }
    }

    /// Lets old ReplicaSets without Pods go, when the rollout is complete.
    pub(super) fn clean_up_if_complete(&mut self) {
        if progress::is_complete(&self.deployment, &self.deployment.status) {
            self.clean_up();
        }
    }

    fn clean_up(&mut self) {
        let limit = self.deployment.spec.revision_history_limit;
        revision::clean_up(&mut self.old, limit);
    }

    /// Keeps annotations and readiness of the new ReplicaSet as the Deployment has them, and the Deployment's
    /// revision as the ReplicaSet has it.
    fn keep_new(&mut self) {
        let Some(new) = &mut self.new else {
            return;
        };
        revision::promote(new, &self.deployment, revision::next(&self.old));
        let seconds = self.deployment.spec.min_ready_seconds;
        if new.set.spec.min_ready_seconds != seconds {
            Arc::make_mut(&mut new.set).spec.min_ready_seconds = seconds;
        }
        if let Some(revision) = new.set.metadata.annotations.get(revision::REVISION) {
            let annotations = &mut self.deployment.metadata.annotations;
            annotations.insert(revision::REVISION.to_owned(), revision.clone());
        }
        let status = &mut self.deployment.status;
        if progress::has_deadline(&self.deployment.spec) && progress::find(status).is_none() {
            let name = &new.set.metadata.name;
            progress::set(status, Reason::Found, name, self.now);
        }
    }

    fn new_set(&self) -> ReplicaSet {
        let deployment = &self.deployment;
        let meta = &deployment.metadata;
        let hash = template::hash(&deployment.spec.template, self.collisions());
        let mut template = deployment.spec.template.clone();
        let label = template::LABEL_HASH.to_owned();
        template.metadata.labels.insert(label.clone(), hash.clone());
        let mut selector: LabelSelector = deployment.spec.selector.clone().unwrap_or_default();
        selector.match_labels.insert(label, hash.clone());
        ReplicaSet {
            metadata: ObjectMeta {
                labels: template.metadata.labels.clone(),
                owner_references: vec![OwnerReference::to_controller(Kind::Deployment, meta)],
                ..ObjectMeta::named(&meta.namespace, &format!("{}-{hash}", meta.name))
            },
            spec: ReplicaSetSpec {
                replicas: Some(0),
                min_ready_seconds: deployment.spec.min_ready_seconds,
                selector: Some(selector),
                template,
                ..ReplicaSetSpec::default()
            },
            ..ReplicaSet::default()
        }
    }

    fn collisions(&self) -> Option<i32> {
        self.deployment.status.rest.typed("collisionCount")
    }

    fn is_paused(&self) -> bool {
        let paused = self.deployment.spec.rest.get("paused");
        paused.is_some_and(|paused| paused == true)
    }

    /// ReplicaSets first: the status says what they are told.
    fn outcome(self) -> Outcome {
        let members = self.old.into_iter().chain(self.new);
        let mut effects: Vec<Effect> = members.filter_map(Member::effect).collect();
        let stored = &self.stored;
        let annotations = &self.deployment.metadata.annotations;
        let pinned = annotations.get(ANNOTATION_STATUS);
        let is_changed =
            self.deployment.status != stored.status || *annotations != stored.metadata.annotations;
        if is_changed && pinned.is_none_or(|value| value != "pinned") {
            effects.push(Effect::UpdateStatus(self.deployment.into()));
        }
        Outcome {
            effects,
            again: self.again.filter(|_| !is_changed),
        }
    }
}

/// The order of creation, and of names among those of one second.
fn age(member: &Member) -> (Option<&str>, &str) {
    let meta = &member.set.metadata;
    (meta.creation_timestamp.as_deref(), &meta.name)
}
