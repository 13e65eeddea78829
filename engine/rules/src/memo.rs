//! What a compiler remembers of its work.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::{ServicePortId, ServicePortPlan};

/// Fragments by the plan that they spell.
///
/// Plans are found by the name of their service port first, so that one lookup compares names a few times and plans
/// once or twice: nodes of one class share a plan, and a service port has few others at a time.
#[derive(Debug)]
pub(crate) struct Memo<F> {
    /// Never iterated but to throw away.
    by_id: HashMap<ServicePortId, Known<F>, FixedState>,
    len: usize,
    /// The number of fragments at which unused ones are thrown away.
    sweep_at: usize,
}

/// The plans of one service port that were lowered.
type Known<F> = Vec<(Arc<ServicePortPlan>, Arc<F>)>;

// Deriving would ask that fragments can be cloned; they are shared.
impl<F> Clone for Memo<F> {
    fn clone(&self) -> Self {
        Self {
            by_id: self.by_id.clone(),
            ..*self
        }
    }
}

impl<F> Default for Memo<F> {
    fn default() -> Self {
        Self {
            by_id: HashMap::default(),
            len: 0,
            sweep_at: Self::SWEEP_AT_LEAST,
        }
    }
}

impl<F> Memo<F> {
    const SWEEP_AT_LEAST: usize = 1024;

    /// The fragment of a plan; it is made when there is none.
    pub(crate) fn get(
        &mut self,
        plan: &Arc<ServicePortPlan>,
        make: impl FnOnce(&ServicePortPlan) -> F,
    ) -> Arc<F> {
        let known = match self.by_id.get_mut(&plan.id) {
            Some(known) => known,
            None => self.by_id.entry(plan.id.clone()).or_default(),
        };
        let mut plans = known.iter();
        if let Some((_, fragment)) = plans.find(|(one, _)| Arc::ptr_eq(one, plan) || one == plan) {
            return Arc::clone(fragment);
        }
        let fragment = Arc::new(make(plan));
        known.push((Arc::clone(plan), Arc::clone(&fragment)));
        self.len += 1;
        fragment
    }

    /// Throws fragments away that nobody's tables hold any more. Waiting until their number has doubled keeps
    /// the cost per compile constant on average.
    pub(crate) fn sweep(&mut self, is_held: impl Fn(&F) -> bool) {
        if self.len < self.sweep_at {
            return;
        }
        self.by_id.retain(|_, known| {
            known.retain(|(_, fragment)| is_held(fragment));
            !known.is_empty()
        });
        self.len = self.by_id.values().map(Vec::len).sum();
        self.sweep_at = Self::SWEEP_AT_LEAST.max(2 * self.len);
    }
}
