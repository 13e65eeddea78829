//! How a DaemonSet's Pods are replaced by such of a new template.
//!
//! **Source of the semantics.** S: `pkg/controller/daemon/update.go` (rollingUpdate, updatedDesiredNodeCounts).

use std::sync::Arc;

use api::{IntOrString, Pod, RollingUpdate};

use super::pods::{Plan, State};
use crate::amount::{Rounding, scaled};

/// A node's Pods, as long as it has at most one of each sort.
struct Pair {
    new: Option<Arc<Pod>>,
    old: Option<Arc<Pod>>,
}

impl State<'_> {
    /// The next step of a rolling update; what is missing or too many is left to `manage`.
    pub(super) fn roll(&self) -> Plan {
        if self.set.spec.update_strategy.strategy_type == "OnDelete" {
            return Plan::default();
        }
        match self.max_surge() {
            0 => self.roll_in_place(),
            max_surge => self.roll_with_surge(max_surge),
        }
    }

    /// Deletes old Pods: those that are not available, and as many others as may be missing.
    fn roll_in_place(&self) -> Plan {
        let mut plan = Plan::default();
        let mut missing = 0;
        let mut candidates = Vec::new();
        for (node, verdict) in &self.nodes {
            let Some(old) = self.pair(node).and_then(Pair::into_replaceable) else {
                let is_served = self.staying(node).any(|pod| self.is_available(pod));
                missing += usize::from(verdict.should_run && !is_served);
                continue;
            };
            if self.is_available(&old) {
                candidates.push(old);
            } else {
                missing += 1;
                plan.delete.push(old);
            }
        }
        let room = self.max_unavailable().saturating_sub(missing);
        plan.delete.extend(candidates.into_iter().take(room));
        plan
    }

    /// Creates new Pods beside old ones, beside those that are not available and as many others as there may be more;
    /// an old one goes when the new one is available.
    fn roll_with_surge(&self, max_surge: usize) -> Plan {
        let mut plan = Plan::default();
        let mut surplus = 0;
        let mut candidates = Vec::new();
        for (node, verdict) in &self.nodes {
            let Some(pair) = self.pair(node) else {
                continue;
            };
            match (pair.new, pair.old) {
                (Some(new), Some(old)) => {
                    if self.is_available(&new) {
                        plan.delete.push(old);
                    } else {
                        surplus += 1;
                    }
                }
                // No new Pod may come, and this one is not of today.
                (None, Some(old)) if !verdict.should_run => plan.delete.push(old),
                (None, Some(old)) if self.is_available(&old) => {
                    candidates.push((*node).to_owned());
                }
                (None, Some(_)) => {
                    surplus += 1;
                    plan.create.push((*node).to_owned());
                }
                (_, None) => {}
            }
        }
        let room = max_surge.saturating_sub(surplus);
        plan.create.extend(candidates.into_iter().take(room));
        plan
    }

    /// The Pods of a node; `None` while it has several of one sort.
    fn pair(&self, node: &str) -> Option<Pair> {
        let (new, old): (Vec<_>, Vec<_>) = self
            .staying(node)
            .cloned()
            .partition(|pod| self.is_new(pod));
        let is_clear = new.len() < 2 && old.len() < 2;
        is_clear.then(|| Pair {
            new: new.into_iter().next(),
            old: old.into_iter().next(),
        })
    }

    fn figures(&self) -> Option<&RollingUpdate> {
        self.set.spec.update_strategy.rolling_update.as_ref()
    }

    /// How many Pods there may be beyond one a node.
    pub(super) fn max_surge(&self) -> usize {
        let amount = self
            .figures()
            .and_then(|figures| figures.max_surge.as_ref());
        self.scaled(amount, 0)
    }

    /// How many nodes may lack an available Pod; at least one where none may have two.
    fn max_unavailable(&self) -> usize {
        let amount = self
            .figures()
            .and_then(|figures| figures.max_unavailable.as_ref());
        self.scaled(amount, 1).max(1)
    }

    fn scaled(&self, amount: Option<&IntOrString>, default: usize) -> usize {
        amount.map_or(default, |amount| {
            scaled(amount, self.desired(), Rounding::Up)
        })
    }
}

impl Pair {
    /// The old Pod, if there is no new one yet.
    fn into_replaceable(self) -> Option<Arc<Pod>> {
        self.old.filter(|_| self.new.is_none())
    }
}
