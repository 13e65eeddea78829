//! The stacks of a plane's hosts.

use super::Stack;
use crate::HostId;

/// By number of the host: ids are counted up, and every packet asks.
#[derive(Default)]
pub(crate) struct Stacks(Vec<Option<Box<Stack>>>);

impl Stacks {
    pub(crate) fn get(&self, host: HostId) -> Option<&Stack> {
        self.0.get(host.index())?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, host: HostId) -> Option<&mut Stack> {
        self.0.get_mut(host.index())?.as_deref_mut()
    }

    pub(crate) fn contains(&self, host: HostId) -> bool {
        self.get(host).is_some()
    }

    pub(crate) fn insert(&mut self, host: HostId, stack: Stack) {
        if self.0.len() <= host.index() {
            self.0.resize_with(host.index() + 1, || None);
        }
        self.0[host.index()] = Some(Box::new(stack));
    }

    pub(crate) fn remove(&mut self, host: HostId) -> Option<Box<Stack>> {
        self.0.get_mut(host.index())?.take()
    }

    #[cfg(test)]
    pub(crate) fn hosts(&self) -> Vec<HostId> {
        let numbers = (0..).map(HostId).zip(&self.0);
        let present = numbers.filter(|(_, stack)| stack.is_some());
        present.map(|(host, _)| host).collect()
    }
}
