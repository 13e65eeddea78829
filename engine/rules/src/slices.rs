//! The EndpointSlices of one Service.
//!
//! **Why.** Nearly every Service has one slice, and whoever reads one of a Service's slices reads them all: so they are a list.

use std::sync::Arc;

use crate::SliceView;

/// The EndpointSlices of one Service, by slice name and in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlicesByName(Vec<(Arc<str>, Arc<SliceView>)>);

impl SlicesByName {
    /// Without any.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<SliceView>> {
        let place = self.find(name).ok()?;
        Some(&self.0[place].1)
    }

    /// The first one.
    #[must_use]
    pub fn get_min(&self) -> Option<&(Arc<str>, Arc<SliceView>)> {
        self.0.first()
    }

    /// Puts one in, in place of the one of that name.
    pub fn insert(&mut self, name: Arc<str>, slice: Arc<SliceView>) {
        match self.find(&name) {
            Ok(place) => self.0[place].1 = slice,
            Err(place) => {
                self.0.reserve_exact(1);
                self.0.insert(place, (name, slice));
            }
        }
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) {
        if let Ok(place) = self.find(name) {
            self.0.remove(place);
        }
    }

    /// Names and slices.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<SliceView>)> {
        self.0.iter().map(|(name, slice)| (name, slice))
    }

    /// Their names.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The slices.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Arc<SliceView>> + Clone {
        self.0.iter().map(|(_, slice)| slice)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(one, _)| (**one).cmp(name))
    }
}

/// Of several with one name, the last counts.
impl FromIterator<(Arc<str>, Arc<SliceView>)> for SlicesByName {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<SliceView>)>>(slices: I) -> Self {
        let mut all = Self::new();
        for (name, slice) in slices {
            all.insert(name, slice);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Family;

    use super::*;

    #[test]
    fn they_are_in_the_order_of_their_names_and_the_last_of_a_name_counts() {
        let slice = |family| {
            Arc::new(SliceView {
                family,
                ports: Vec::new(),
                endpoints: Vec::new(),
            })
        };
        let named = [("b", Family::V4), ("a", Family::V4), ("b", Family::V6)];
        let mut slices: SlicesByName = named
            .into_iter()
            .map(|(name, family)| (name.into(), slice(family)))
            .collect();
        let names: Vec<&str> = slices.keys().map(|name| &**name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(slices.get("b"), Some(&slice(Family::V6)));
        slices.remove("a");
        slices.remove("c");
        assert_eq!(slices.get_min(), Some(&("b".into(), slice(Family::V6))));
        assert_eq!(slices.get("a"), None);
    }
}
