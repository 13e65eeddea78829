//! Scaling: a Deployment that grows or shrinks does so in all its ReplicaSets, in proportion to their sizes.
//!
//! **Source of the semantics.** S: `pkg/controller/deployment/sync.go` (scale, isScalingEvent),
//! `pkg/controller/deployment/util/deployment_util.go` (GetReplicaSetProportion, IsSaturated, FindActiveOrLatest).

use std::cmp::Reverse;

use super::figures::Figures;
use super::member::{DESIRED, MAX, Member};
use super::rollout::Rollout;

impl Rollout {
    /// Whether a ReplicaSet has its size from another size of the Deployment.
    pub(super) fn is_scaling(&self) -> bool {
        let mut active = self.members().filter(|member| member.is_active());
        active.any(|member| {
            let desired = member.noted(DESIRED);
            desired.is_some_and(|desired| desired != self.figures.replicas)
        })
    }

    /// Scales without rolling out anything.
    pub(super) fn scale(&mut self) {
        let figures = self.figures;
        let active = self.members().filter(|member| member.is_active()).count();
        if active <= 1 {
            if let Some(member) = self.only_or_newest() {
                member.scale(figures.replicas, &figures);
            }
        } else if self.is_saturated() {
            for member in &mut self.old {
                member.scale(0, &figures);
            }
        } else if figures.is_rolling {
            self.scale_in_proportion();
        }
    }

    /// The only ReplicaSet that has Pods; the newest if none has.
    fn only_or_newest(&mut self) -> Option<&mut Member> {
        let mut members: Vec<&mut Member> = self.old.iter_mut().chain(&mut self.new).collect();
        let only = members.iter().position(|member| member.is_active());
        match only {
            Some(place) => Some(members.swap_remove(place)),
            None => members.pop(),
        }
    }

    /// Whether the new ReplicaSet alone is all that is wanted.
    fn is_saturated(&self) -> bool {
        let wanted = self.figures.replicas;
        self.new.as_ref().is_some_and(|new| {
            new.replicas() == wanted
                && new.noted(DESIRED) == Some(wanted)
                && new.available() == wanted
        })
    }

    /// Shares out what is to be added or taken away; the largest ReplicaSet gets what rounding leaves. Among
    /// equals, the newest grows first and the oldest shrinks first.
    fn scale_in_proportion(&mut self) {
        let figures = self.figures;
        let before = self.deployment.status.replicas.unwrap_or(0).into();
        let allowed = if figures.replicas > 0 {
            figures.most()
        } else {
            0
        };
        let to_add = allowed - self.total();
        let members = self.old.iter_mut().chain(&mut self.new);
        let mut members: Vec<&mut Member> = members.filter(|member| member.is_active()).collect();
        if to_add > 0 {
            members.reverse();
        }
        members.sort_by_key(|member| Reverse(member.replicas()));
        let mut added = 0;
        let mut sizes = Vec::new();
        for member in &members {
            let share = share(member, &figures, before, to_add, added);
            sizes.push(member.replicas() + share);
            added += share;
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (member, size) in members.into_iter().zip(sizes) {
            member.set_size(size, &figures);
        }
    }
}

/// A ReplicaSet's share of what is to be added (or, below zero, taken away) after `added` of it is given out. `before`
/// is how many Pods there were, should the ReplicaSet not know how many there might have been.
fn share(member: &Member, figures: &Figures, before: i64, to_add: i64, added: i64) -> i64 {
    let size = member.replicas();
    let fraction = if figures.replicas == 0 {
        -size
    } else {
        let noted = member.noted(MAX).filter(|most| *most > 0);
        let before = noted.unwrap_or(before);
        if before <= 0 {
            return 0;
        }
        // Rounded to the nearest, halves up.
        (2 * size * figures.most() + before) / (2 * before) - size
    };
    let left = to_add - added;
    if to_add > 0 {
        fraction.min(left)
    } else {
        fraction.max(left)
    }
}
