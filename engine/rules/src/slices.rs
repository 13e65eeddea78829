//! The EndpointSlices of one Service.
//!
//! **Why.** Nearly every Service has one slice, which needs no list; and whoever reads one of a Service's slices reads them all:
//! so more are a list. Views share lists: the first change of a shared one copies it, and those that follow do not.

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
    /// Two or more; or none, which needs no list either.
    More(Option<Arc<Vec<Named>>>),
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

    /// Puts one in, in place of the one of that name. Tells whether there was none.
    pub fn insert(&mut self, name: Arc<str>, slice: Arc<SliceView>) -> bool {
        let place = self.find(&name);
        match (&mut self.0, place) {
            (Slices::More(None), _) => self.0 = Slices::One((name, slice)),
            (Slices::One(one), Ok(_)) => one.1 = slice,
            (Slices::One(one), Err(place)) => {
                let mut all = vec![one.clone()];
                all.insert(place, (name, slice));
                self.0 = Slices::of(all);
            }
            (Slices::More(Some(all)), Ok(place)) => Arc::make_mut(all)[place].1 = slice,
            (Slices::More(Some(all)), Err(place)) => {
                Arc::make_mut(all).insert(place, (name, slice));
            }
        }
        place.is_err()
    }

    /// Takes the one of a name out, if it is there.
    pub fn remove(&mut self, name: &str) {
        let Ok(place) = self.find(name) else {
            return;
        };
        match &mut self.0 {
            Slices::More(Some(all)) => {
                let all = Arc::make_mut(all);
                all.remove(place);
                if let [one] = &all[..] {
                    self.0 = Slices::One(one.clone());
                }
            }
            Slices::One(_) | Slices::More(None) => self.0 = Slices::More(None),
        }
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
            Slices::More(all) => all.as_deref().map_or(&[], Vec::as_slice),
        }
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
        Self(Slices::of(all))
    }
}

impl Slices {
    /// Those of a list that is in order.
    fn of(all: Vec<Named>) -> Self {
        match <[Named; 1]>::try_from(all) {
            Ok([one]) => Self::One(one),
            Err(none) if none.is_empty() => Self::More(None),
            Err(all) => Self::More(Some(Arc::new(all))),
        }
    }
}

impl Default for SlicesByName {
    fn default() -> Self {
        Self(Slices::More(None))
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
        let mut only_b = slices.clone();
        only_b.remove("a");
        only_b.remove("c");
        let one = |family| [("b".into(), slice(family))].into_iter().collect();
        assert_eq!(only_b, one(Family::V6));
        let mut more = slices.clone();
        assert!(!more.insert("b".into(), slice(Family::V4)));
        assert_eq!(more.get("b"), Some(&slice(Family::V4)));
        assert!(more.insert("aa".into(), slice(Family::V4)));
        let names: Vec<&str> = more.keys().map(|name| &**name).collect();
        assert_eq!(names, ["a", "aa", "b"]);
        // The one that it was copied from has not changed.
        assert_eq!(slices.get("b"), Some(&slice(Family::V6)));
        assert!(!only_b.insert("b".into(), slice(Family::V4)));
        assert_eq!(only_b, one(Family::V4));
        only_b.remove("b");
        assert!(only_b.is_empty());
        assert_eq!(only_b, SlicesByName::new());
        assert!(only_b.insert("b".into(), slice(Family::V4)));
        assert_eq!(only_b, one(Family::V4));
    }

    #[test]
    fn one_slice_costs_no_list() {
        assert_eq!(size_of::<SlicesByName>(), size_of::<Named>());
    }
}
