//! The EndpointSlices of one Service.
//!
//! **Why.** Nearly every Service has one slice, and whoever reads one of a Service's slices reads them all: so they are a list.
//! One that is put in or taken out costs as much as there are, for views share lists and a change is a new one; a Service has
//! one slice for each hundred endpoints.

use std::sync::Arc;

use crate::SliceView;

/// The EndpointSlices of one Service, by slice name and in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlicesByName(Vec<Named>);

type Named = (Arc<str>, Arc<SliceView>);

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

    /// The same with another one, in place of the one of that name.
    #[must_use]
    pub fn with(&self, name: Arc<str>, slice: Arc<SliceView>) -> Self {
        let (before, after) = self.around(&name);
        let mut all = Vec::with_capacity(before.len() + 1 + after.len());
        all.extend_from_slice(before);
        all.push((name, slice));
        all.extend_from_slice(after);
        Self(all)
    }

    /// The same without the one of that name.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let (before, after) = self.around(name);
        Self([before, after].concat())
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

    /// Those before a name, and those after it.
    fn around(&self, name: &str) -> (&[Named], &[Named]) {
        let (Ok(place) | Err(place)) = self.find(name);
        let (before, rest) = self.0.split_at(place);
        let is_it = rest.first().is_some_and(|(one, _)| **one == *name);
        (before, &rest[usize::from(is_it)..])
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(one, _)| (**one).cmp(name))
    }
}

/// Of several with one name, the last counts.
impl FromIterator<(Arc<str>, Arc<SliceView>)> for SlicesByName {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<SliceView>)>>(slices: I) -> Self {
        let mut all: Vec<Named> = slices.into_iter().collect();
        all.reverse();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.dedup_by(|(one, _), (before, _)| one == before);
        Self(all)
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
        let slices: SlicesByName = named
            .into_iter()
            .map(|(name, family)| (name.into(), slice(family)))
            .collect();
        let names: Vec<&str> = slices.keys().map(|name| &**name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(slices.get("b"), Some(&slice(Family::V6)));
        let only_b = slices.without("a").without("c");
        let expected: SlicesByName = [("b".into(), slice(Family::V6))].into_iter().collect();
        assert_eq!(only_b, expected);
        let changed = slices.with("b".into(), slice(Family::V4));
        assert_eq!(changed.get("b"), Some(&slice(Family::V4)));
        let more = slices.with("aa".into(), slice(Family::V4));
        let names: Vec<&str> = more.keys().map(|name| &**name).collect();
        assert_eq!(names, ["a", "aa", "b"]);
    }
}
