//! The next step of a StatefulSet: fill, then shrink, then replace.
//!
//! **Source of the semantics.** S: `pkg/controller/statefulset/stateful_set_control.go` (updateStatefulSet,
//! processReplica, processCondemned, updateStatefulSetAfterInvariantEstablished), KEP-961 (maxUnavailable).

use std::collections::BTreeSet;
use std::sync::Arc;

use api::{ObjectKey, Pod};
use base::SimTime;

use super::{BURST, State, identity};
use crate::amount::{Rounding, scaled};
use crate::controller::Effect;
use crate::owned_pods::available_at;
use crate::pod_state::{delete, is_running_and_ready, revision_of};
use crate::revision::Revision;

/// Whether a step is over, or what comes after it has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Wait,
}

/// Steps under way.
struct Planner<'a> {
    state: &'a State,
    claims: &'a BTreeSet<ObjectKey>,
    now: SimTime,
    effects: Vec<Effect>,
}

/// The writes of the next step.
pub(super) fn plan(state: &State, claims: &BTreeSet<ObjectKey>, now: SimTime) -> Vec<Effect> {
    let mut planner = Planner {
        state,
        claims,
        now,
        effects: Vec::new(),
    };
    if planner.fill() == Step::Done && planner.shrink() == Step::Done && state.is_rolling() {
        planner.replace();
    }
    planner.effects
}

impl Planner<'_> {
    /// Creates the Pods that are missing, in order.
    fn fill(&mut self) -> Step {
        let (start, end) = self.state.range();
        let mut created = 0;
        for ordinal in start..end {
            let missing = match self.state.pods.get(&ordinal) {
                None => {
                    self.create(ordinal);
                    created += 1;
                    true
                }
                // Its name is free when it is gone.
                Some(pod) if pod.is_finished() => {
                    self.delete(pod);
                    true
                }
                Some(pod) => !self.is_available(pod),
            };
            if created == BURST || missing && self.is_ordered() {
                return Step::Wait;
            }
        }
        Step::Done
    }

    /// Deletes the Pods beyond the wanted number, the highest first.
    fn shrink(&mut self) -> Step {
        let (start, end) = self.state.range();
        let pods = &self.state.pods;
        let is_condemned = |ordinal: &i64| !(start..end).contains(ordinal);
        let unhealthy = pods.iter().find(|(ordinal, pod)| {
            is_condemned(ordinal) && (!is_running_and_ready(pod) || pod.metadata.is_terminating())
        });
        let unhealthy = unhealthy.map(|(ordinal, _)| *ordinal);
        for (ordinal, pod) in pods.iter().rev() {
            if !is_condemned(ordinal) {
                continue;
            }
            if !self.is_ordered() {
                self.delete(pod);
                continue;
            }
            // One that does not work may go; others wait for it to go or to work again.
            if !pod.metadata.is_terminating()
                && (self.is_available(pod) || unhealthy == Some(*ordinal))
            {
                self.delete(pod);
            }
            return Step::Wait;
        }
        Step::Done
    }

    /// Deletes Pods of an old template, the highest first, as many as may be missing.
    fn replace(&mut self) {
        let (start, end) = self.state.range();
        let first = start.saturating_add(self.partition());
        let state = self.state;
        let wanted = usize::try_from(end - start).unwrap_or(0);
        let available = state.pods.range(start..end);
        let available = available.filter(|(_, pod)| self.is_available(pod)).count();
        let mut budget = self.max_unavailable().saturating_sub(wanted - available);
        for (_, pod) in state.pods.range(first.min(end)..end).rev() {
            if revision_of(pod) == state.update.name() || pod.metadata.is_terminating() {
                continue;
            }
            if self.is_available(pod) {
                if budget == 0 {
                    continue;
                }
                budget -= 1;
            }
            self.delete(pod);
        }
    }

    /// Pods below this distance from the first one keep their template.
    fn partition(&self) -> i64 {
        let figures = self.state.set.spec.update_strategy.rolling_update.as_ref();
        let partition = figures.and_then(|figures| figures.partition);
        partition.unwrap_or(0).max(0).into()
    }

    fn max_unavailable(&self) -> usize {
        let figures = self.state.set.spec.update_strategy.rolling_update.as_ref();
        let amount = figures.and_then(|figures| figures.max_unavailable.as_ref());
        let replicas = usize::try_from(self.state.replicas()).unwrap_or(0);
        amount.map_or(1, |amount| scaled(amount, replicas, Rounding::Down).max(1))
    }

    fn is_ordered(&self) -> bool {
        self.state.set.spec.pod_management_policy != "Parallel"
    }

    /// Whether a Pod does its work, has done so for long enough, and is to go on.
    fn is_available(&self, pod: &Pod) -> bool {
        let since = available_at(pod, self.state.set.spec.min_ready_seconds);
        is_running_and_ready(pod)
            && !pod.metadata.is_terminating()
            && since.is_some_and(|since| since <= self.now)
    }

    /// Creates the Pod of a number, with the claims that it lacks.
    fn create(&mut self, ordinal: i64) {
        let pod = self.state.pod(ordinal, self.revision_for(ordinal));
        for claim in identity::claims_of(&self.state.set, &pod) {
            let claim = api::Object::from(claim);
            if !self.claims.contains(&claim.key()) {
                self.effects.push(Effect::Create(claim));
            }
        }
        self.effects.push(Effect::Create(pod.into()));
    }

    /// What a new Pod is made from: below the partition what its neighbours are of.
    fn revision_for(&self, ordinal: i64) -> &Revision {
        let state = self.state;
        let (start, _) = state.range();
        let strategy = &state.set.spec.update_strategy;
        let kept = match &strategy.rolling_update {
            _ if !state.is_rolling() => 0,
            Some(_) => self.partition(),
            None => {
                let current = state.set.status.rest.get("currentReplicas");
                current.and_then(serde_json::Value::as_i64).unwrap_or(0)
            }
        };
        if ordinal < start.saturating_add(kept) {
            &state.current
        } else {
            &state.update
        }
    }

    fn delete(&mut self, pod: &Arc<Pod>) {
        if !pod.metadata.is_terminating() {
            self.effects.push(delete(pod));
        }
    }
}
