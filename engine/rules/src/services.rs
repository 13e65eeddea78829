//! What a view has of Services, by their names.
//!
//! **Why.** A Service and its EndpointSlices are looked at together, and what differs between two views is asked of both: so
//! they are one entry of one map.

use std::sync::Arc;

use ruleset::{Change, Sorted};

use crate::{ServiceName, ServiceView, SliceView, SlicesByName};

/// Services and their EndpointSlices, in the order of the Services' names. A copy costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// No entry is empty.
    by_name: Sorted<ServiceName, ServiceEntry>,
    /// Of how many entries the Service exists.
    existing: usize,
}

/// What a view has of one Service: itself, or its slices, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The Service, if it exists.
    pub service: Option<Arc<ServiceView>>,
    /// Its slices (by the `kubernetes.io/service-name` label), whether it exists or not.
    pub slices: SlicesByName,
}

impl ServiceEntry {
    /// Whether it has neither.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.service.is_none() && self.slices.is_empty()
    }
}

impl Services {
    /// A Service that exists.
    #[must_use]
    pub fn get(&self, name: &ServiceName) -> Option<&Arc<ServiceView>> {
        self.entry(name)?.service.as_ref()
    }

    /// A Service, its slices, or both.
    #[must_use]
    pub fn entry(&self, name: &ServiceName) -> Option<&ServiceEntry> {
        self.by_name.get(name)
    }

    /// The slices of a Service, if it has any.
    #[must_use]
    pub fn slices(&self, name: &ServiceName) -> Option<&SlicesByName> {
        let slices = &self.entry(name)?.slices;
        (!slices.is_empty()).then_some(slices)
    }

    /// How many exist.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.existing
    }

    /// Whether there is nothing, not even slices.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// All that there is, be it Services or only their slices.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&ServiceName, &ServiceEntry)> {
        self.by_name.iter()
    }

    /// Those that exist, and their slices.
    pub fn existing(
        &self,
    ) -> impl Iterator<Item = (&ServiceName, &Arc<ServiceView>, &SlicesByName)> {
        let entries = self.by_name.iter();
        entries.filter_map(|(name, entry)| Some((name, entry.service.as_ref()?, &entry.slices)))
    }

    /// What differs from a later view, in order. It costs what differs, if the later one has come from this one.
    pub fn diff<'v>(
        &'v self,
        later: &'v Self,
    ) -> impl Iterator<Item = Change<'v, ServiceName, ServiceEntry>> {
        self.by_name.diff(&later.by_name)
    }

    /// Says what there is of a Service from now on.
    pub fn set(&mut self, name: ServiceName, entry: ServiceEntry) {
        self.existing += usize::from(entry.service.is_some());
        let before = match entry.is_empty() {
            true => self.by_name.remove(&name),
            false => self.by_name.insert(name, entry),
        };
        let existed = before.is_some_and(|before| before.service.is_some());
        self.existing -= usize::from(existed);
    }

    /// Puts a Service in; its slices stay.
    pub fn insert(&mut self, name: ServiceName, service: Arc<ServiceView>) {
        self.change(name, |entry| entry.service = Some(service));
    }

    /// Takes a Service out; its slices stay.
    pub fn remove(&mut self, name: &ServiceName) {
        self.change(name.clone(), |entry| entry.service = None);
    }

    /// Puts a slice in.
    pub fn insert_slice(&mut self, owner: ServiceName, name: Arc<str>, slice: Arc<SliceView>) {
        self.change(owner, |entry| {
            entry.slices.insert(name, slice);
        });
    }

    /// Says which slices a Service has from now on.
    pub fn set_slices(&mut self, owner: ServiceName, slices: SlicesByName) {
        self.change(owner, |entry| entry.slices = slices);
    }

    fn change(&mut self, name: ServiceName, change: impl FnOnce(&mut ServiceEntry)) {
        let mut entry = self.entry(&name).cloned().unwrap_or_default();
        change(&mut entry);
        self.set(name, entry);
    }
}

/// Names differ; what is empty is left out. Fast when they come in order.
impl FromIterator<(ServiceName, ServiceEntry)> for Services {
    fn from_iter<I: IntoIterator<Item = (ServiceName, ServiceEntry)>>(entries: I) -> Self {
        let entries = entries.into_iter().filter(|(_, entry)| !entry.is_empty());
        let by_name: Sorted<_, ServiceEntry> = entries.collect();
        let exists = |entry: &&ServiceEntry| entry.service.is_some();
        Self {
            existing: by_name.values().filter(exists).count(),
            by_name,
        }
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Family;
    use smallvec::SmallVec;

    use super::*;

    fn name(name: &str) -> ServiceName {
        ServiceName {
            namespace: "default".into(),
            name: name.into(),
        }
    }

    fn slice() -> Arc<SliceView> {
        Arc::new(SliceView {
            family: Family::V4,
            ports: SmallVec::new(),
            endpoints: Vec::new(),
        })
    }

    #[test]
    fn a_service_and_its_slices_come_and_go_by_themselves() {
        let mut services = Services::default();
        services.insert_slice(name("web"), "a".into(), slice());
        assert_eq!(services.get(&name("web")), None);
        assert_eq!((services.count(), services.is_empty()), (0, false));
        services.insert(name("web"), Arc::default());
        services.insert(name("web"), Arc::default());
        services.insert(name("shop"), Arc::default());
        assert_eq!(services.count(), 2);
        assert_eq!(services.slices(&name("shop")), None);
        let existing = services.existing();
        let existing: Vec<_> = existing
            .map(|(name, _, slices)| (&*name.name, slices.iter().len()))
            .collect();
        assert_eq!(existing, [("shop", 0), ("web", 1)]);
        services.set_slices(name("web"), SlicesByName::new());
        services.remove(&name("web"));
        services.remove(&name("shop"));
        services.remove(&name("shop"));
        assert_eq!((services.count(), services.is_empty()), (0, true));
    }

    #[test]
    fn what_is_made_at_once_is_what_is_made_step_by_step() {
        let exists = |exists: bool| ServiceEntry {
            service: exists.then(Arc::default),
            slices: [("a".into(), slice())].into_iter().collect(),
        };
        let entries = || {
            let entries = [
                ("web", exists(true)),
                ("api", exists(false)),
                ("none", ServiceEntry::default()),
            ];
            entries.map(|(own, entry)| (name(own), entry))
        };
        let at_once: Services = entries().into_iter().collect();
        let mut step_by_step = Services::default();
        for (name, entry) in entries() {
            step_by_step.set(name, entry);
        }
        assert_eq!(at_once, step_by_step);
        assert_eq!((at_once.count(), at_once.entries().len()), (1, 2));
    }
}
