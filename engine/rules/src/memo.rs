//! What a compiler remembers of its work.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::origin::{Origins, PerPort, PortOrigins};
use crate::{Capabilities, ServicePortPlan};

/// What spells plans.
pub(crate) struct Lowerer<'c, F> {
    pub(crate) memo: &'c mut Memo<F>,
    pub(crate) origins: &'c mut Origins,
    pub(crate) capabilities: Capabilities,
}

impl<F> Lowerer<'_, F> {
    /// Makes room for so many service ports: growing bit by bit would look at all again and again.
    pub(crate) fn expect(&mut self, ports: usize, of_each: PerPort) {
        self.origins.expect(ports, of_each);
        let known = &mut self.memo.by_port;
        known.reserve_exact(ports.saturating_sub(known.len()));
    }

    /// The fragment of a plan; it is made when there is none.
    pub(crate) fn fragment(
        &mut self,
        plan: &Arc<ServicePortPlan>,
        make: impl FnOnce(&ServicePortPlan, PortOrigins<'_>) -> F,
    ) -> Arc<F> {
        let origins = self.origins.port(plan);
        self.memo
            .get(origins.number(), plan, |plan| make(plan, origins))
    }
}

/// Fragments by the plan that they spell.
///
/// Plans are found by the number of their service port first, so that one lookup compares plans once or twice: nodes
/// of one class share a plan, and a service port has few others at a time.
#[derive(Debug)]
pub(crate) struct Memo<F> {
    by_port: Vec<Known<F>>,
    len: usize,
    /// The number of fragments at which unused ones are thrown away.
    sweep_at: usize,
}

/// The plans of one service port that were lowered.
type Known<F> = SmallVec<[Entry<F>; 1]>;

#[derive(Debug)]
struct Entry<F> {
    plan: Arc<ServicePortPlan>,
    fragment: Arc<F>,
    /// Whether somebody asked for it since the last sweep.
    is_asked_for: bool,
}

impl<F> Clone for Entry<F> {
    fn clone(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            fragment: Arc::clone(&self.fragment),
            is_asked_for: self.is_asked_for,
        }
    }
}

// Deriving would ask that fragments can be cloned; they are shared.
impl<F> Clone for Memo<F> {
    fn clone(&self) -> Self {
        Self {
            by_port: self.by_port.clone(),
            ..*self
        }
    }
}

impl<F> Default for Memo<F> {
    fn default() -> Self {
        Self {
            by_port: Vec::new(),
            len: 0,
            sweep_at: Self::SWEEP_AT_LEAST,
        }
    }
}

impl<F> Memo<F> {
    const SWEEP_AT_LEAST: usize = 1024;

    fn get(
        &mut self,
        port: u32,
        plan: &Arc<ServicePortPlan>,
        make: impl FnOnce(&ServicePortPlan) -> F,
    ) -> Arc<F> {
        let port = port as usize;
        if port >= self.by_port.len() {
            self.by_port.resize_with(port + 1, Known::new);
        }
        let known = &mut self.by_port[port];
        let mut entries = known.iter_mut();
        let is_same = |one: &&mut Entry<F>| Arc::ptr_eq(&one.plan, plan) || one.plan == *plan;
        if let Some(entry) = entries.find(is_same) {
            entry.is_asked_for = true;
            return Arc::clone(&entry.fragment);
        }
        let fragment = Arc::new(make(plan));
        known.push(Entry {
            plan: Arc::clone(plan),
            fragment: Arc::clone(&fragment),
            is_asked_for: true,
        });
        self.len += 1;
        fragment
    }

    /// Throws fragments away that nobody holds any more and that nobody has asked for since the last time. Waiting
    /// until their number has doubled keeps the cost per compile constant on average.
    pub(crate) fn sweep(&mut self) {
        if self.len < self.sweep_at {
            return;
        }
        for known in &mut self.by_port {
            known.retain_mut(|entry| {
                let was_asked_for = std::mem::take(&mut entry.is_asked_for);
                was_asked_for || Arc::strong_count(&entry.fragment) > 1
            });
        }
        self.len = self.by_port.iter().map(SmallVec::len).sum();
        self.sweep_at = Self::SWEEP_AT_LEAST.max(2 * self.len);
    }
}
