//! The EndpointSlices of one Service.
//!
//! **Why.** Nearly every Service has one slice, which needs no list; and whoever reads one of a Service's slices reads them all:
//! so more are a list. One that is put in or taken out costs as much as there are, for views share lists and a change is a new
//! one; a Service has one slice for each hundred endpoints.

use std::slice;
use std::sync::Arc;

use crate::SliceView;

/// The EndpointSlices of one Service, by slice name and in that order. A copy costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicesByName(Slices);

type Named = (Arc<str>, Arc<SliceView>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Slices {
    One(Named),
    /// Or none.
    More(Arc<[Named]>),
}

impl SlicesByName {
    /// Without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<SliceView>> {
        let place = self.find(name).ok()?;
        Some(&self.all()[place].1)
    }

    /// The copy of a name that is held here.
    #[must_use]
    pub fn name_of(&self, name: &str) -> Option<&Arc<str>> {
        let place = self.find(name).ok()?;
        Some(&self.all()[place].0)
    }

    /// The same with another one, in place of the one of that name.
    #[must_use]
    pub fn with(&self, name: Arc<str>, slice: Arc<SliceView>) -> Self {
        let (before, after) = self.around(&name);
        Self(match (before, after) {
            ([], []) => Slices::One((name, slice)),
            _ => Slices::More([before, &[(name, slice)], after].concat().into()),
        })
    }

    /// The same without the one of that name.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let (before, after) = self.around(name);
        Self(match (before, after) {
            ([one], []) | ([], [one]) => Slices::One(one.clone()),
            _ => Slices::More([before, after].concat().into()),
        })
    }

    /// Names and slices.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<SliceView>)> {
        self.all().iter().map(|(name, slice)| (name, slice))
    }

    /// Their names.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.all().iter().map(|(name, _)| name)
    }

    /// The slices.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Arc<SliceView>> + Clone {
        self.all().iter().map(|(_, slice)| slice)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> &[Named] {
        match &self.0 {
            Slices::One(one) => slice::from_ref(one),
            Slices::More(all) => all,
        }
    }

    /// Those before a name, and those after it.
    fn around(&self, name: &str) -> (&[Named], &[Named]) {
        let (Ok(place) | Err(place)) = self.find(name);
        let (before, rest) = self.all().split_at(place);
        let is_it = rest.first().is_some_and(|(one, _)| **one == *name);
        (before, &rest[usize::from(is_it)..])
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        let all = self.all();
        all.binary_search_by(|(one, _)| (**one).cmp(name))
    }
}

/// Of several with one name, the last counts.
impl FromIterator<(Arc<str>, Arc<SliceView>)> for SlicesByName {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Arc<SliceView>)>>(slices: I) -> Self {
        let mut all: Vec<Named> = slices.into_iter().collect();
        all.reverse();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.dedup_by(|(one, _), (before, _)| one == before);
        Self(match <[Named; 1]>::try_from(all) {
            Ok([one]) => Slices::One(one),
            Err(all) => Slices::More(all.into()),
        })
    }
}

impl Default for SlicesByName {
    fn default() -> Self {
        Self(Slices::More(Arc::default()))
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Family;
    use smallvec::SmallVec;

    use super::*;

    #[test]
    fn they_are_in_the_order_of_their_names_and_the_last_of_a_name_counts() {
        let slice = |family| {
            Arc::new(SliceView {
                family,
                ports: SmallVec::new(),
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
        assert!(only_b.without("b").is_empty());
        let replaced = only_b.with("b".into(), slice(Family::V4));
        assert_eq!(
            replaced,
            SlicesByName::new().with("b".into(), slice(Family::V4))
        );
    }

    #[test]
    fn one_slice_costs_no_list() {
        assert_eq!(size_of::<SlicesByName>(), size_of::<Named>());
    }
}
