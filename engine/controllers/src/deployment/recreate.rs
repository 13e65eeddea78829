//! Recreate: new Pods come when all old ones are gone.
//!
//! **Source of the semantics.** S: `pkg/controller/deployment/recreate.go`.

use super::member::Member;
use super::rollout::Rollout;

impl Rollout {
    /// One step: ends old Pods, or waits for their end, or begins new ones.
    pub(super) fn recreate(&mut self) {
        let figures = self.figures;
        let mut is_scaled = false;
        for member in &mut self.old {
            is_scaled |= member.scale(0, &figures);
        }
        let remaining = self.old.iter().map(Member::actual).sum::<i64>() > 0;
        if is_scaled || remaining || self.old_pods_run {
            return;
        }
        self.make_new(figures.replicas);
        if let Some(new) = &mut self.new {
            new.scale(figures.replicas, &figures);
        }
        self.clean_up_if_complete();
    }
}
