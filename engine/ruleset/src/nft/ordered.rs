//! Things by name that keep an order.
//!
//! **What.** [`Ordered`] holds a table's chains, or its sets and maps. **Why.** A kernel lists them in the order of their
//! creation, and whoever writes them for thousands of Services wants to put one among others without moving these: so each
//! has a [`Place`]. Copies share what is equal, and finding what differs costs what differs.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::Ident;

/// Things by name that keep the order of their places. Equal when order and all are; the places themselves do not count.
#[derive(Clone, Debug)]
pub struct Ordered<T> {
    entries: OrdMap<Place, (Ident, T)>,
    places: OrdMap<Ident, Place>,
}

/// Where something stands: by number, then by whose it is, then by its number among those.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What counts first.
    pub number: u64,
    /// Whose it is; things of nobody come before.
    pub owner: Option<Arc<str>>,
    /// What counts last.
    pub within: u32,
}

impl Place {
    /// A place of nobody's.
    #[must_use]
    pub const fn at(number: u64) -> Self {
        Self {
            number,
            owner: None,
            within: 0,
        }
    }
}

impl<T: Clone> Ordered<T> {
    /// Looks one up.
    #[must_use]
    pub fn get(&self, name: &Ident) -> Option<&T> {
        let (_, value) = self.entries.get(self.places.get(name)?)?;
        Some(value)
    }

    /// Looks one up, to change it.
    pub fn get_mut(&mut self, name: &Ident) -> Option<&mut T> {
        let (_, value) = self.entries.get_mut(self.places.get(name)?)?;
        Some(value)
    }

    /// Where one stands.
    #[must_use]
    pub fn place(&self, name: &Ident) -> Option<&Place> {
        self.places.get(name)
    }

    /// Puts one in, in place of one of that name (which is returned) or last.
    pub fn insert(&mut self, name: Ident, value: T) -> Option<T> {
        let last = self.entries.get_max();
        let behind = last.map_or(0, |(last, _)| last.number.saturating_add(1));
        self.insert_at(Place::at(behind), name, value)
    }

    /// Puts one in, in place of one of that name (which is returned, and whose place it takes) or at a place where nothing
    /// is.
    pub fn insert_at(&mut self, place: Place, name: Ident, value: T) -> Option<T> {
        let place = match self.places.insert(name.clone(), place.clone()) {
            None => place,
            Some(present) => {
                self.places.insert(name.clone(), present.clone());
                present
            }
        };
        let before = self.entries.insert(place, (name, value));
        before.map(|(_, value)| value)
    }

    /// Puts many in, at places where nothing is and under names that nothing has: faster than one by one.
    pub fn insert_all(&mut self, things: Vec<(Place, Ident, T)>) {
        let mut by_name: Vec<_> = things
            .iter()
            .map(|(place, name, _)| (name, place))
            .collect();
        by_name.sort_unstable();
        for (name, place) in by_name {
            self.places.insert(name.clone(), place.clone());
        }
        for (place, name, value) in things {
            self.entries.insert(place, (name, value));
        }
    }

    /// Takes one out; the others keep their order.
    pub fn remove(&mut self, name: &Ident) -> Option<T> {
        let (_, value) = self.entries.remove(&self.places.remove(name)?)?;
        Some(value)
    }

    /// All of them in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Ident, &T)> + DoubleEndedIterator {
        self.entries.values().map(|(name, value)| (name, value))
    }

    /// All of them by name.
    pub fn by_name(&self) -> impl Iterator<Item = (&Ident, &T)> {
        let places = self.places.iter();
        places.filter_map(|(name, place)| Some((name, &self.entries.get(place)?.1)))
    }

    /// Changes each.
    pub fn for_each_mut(&mut self, mut change: impl FnMut(&mut T)) {
        for place in self.places.values() {
            if let Some((_, value)) = self.entries.get_mut(place) {
                change(value);
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T: Clone + PartialEq> Ordered<T> {
    /// The names of what only one of two has, or has otherwise than the other; order aside, in the order of the other and
    /// then of this one. What both share is not looked at.
    #[must_use]
    pub fn differing<'o>(&'o self, other: &'o Self) -> Vec<&'o Ident> {
        let mut names = BTreeSet::new();
        for item in self.entries.diff(&other.entries) {
            match item {
                DiffItem::Add(_, (name, _)) | DiffItem::Remove(_, (name, _)) => {
                    names.insert(name);
                }
                DiffItem::Update { old, new } => names.extend([&old.1.0, &new.1.0]),
            }
        }
        names.retain(|name| self.get(name) != other.get(name));
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|name| {
            (
                other.place(name).is_none(),
                other.place(name),
                self.place(name),
            )
        });
        names
    }
}

impl<T: Clone + PartialEq> PartialEq for Ordered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.entries.ptr_eq(&other.entries) || self.iter().eq(other.iter())
    }
}

impl<T: Clone + Eq> Eq for Ordered<T> {}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self {
            entries: OrdMap::new(),
            places: OrdMap::new(),
        }
    }
}

impl<T: Clone> FromIterator<(Ident, T)> for Ordered<T> {
    fn from_iter<I: IntoIterator<Item = (Ident, T)>>(entries: I) -> Self {
        let mut ordered = Self::default();
        for (name, value) in entries {
            ordered.insert(name, value);
        }
        ordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(names: &[(&'static str, u8)]) -> Ordered<u8> {
        let named = names
            .iter()
            .map(|(name, value)| (Ident::literal(name), *value));
        named.collect()
    }

    fn names(ordered: &Ordered<u8>) -> String {
        let names = ordered.iter().map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keeps_order_and_places() {
        let mut some = ordered(&[("c", 1), ("a", 2), ("b", 3)]);
        assert_eq!(some.insert(Ident::literal("a"), 9), Some(2));
        assert_eq!(some.remove(&Ident::literal("c")), Some(1));
        some.insert(Ident::literal("c"), 4);
        assert_eq!(names(&some), "a b c");
        let owned = |owner: &str, within| Place {
            number: 1,
            owner: Some(owner.into()),
            within,
        };
        some.insert_at(owned("y", 0), Ident::literal("y0"), 5);
        some.insert_at(owned("x", 1), Ident::literal("x1"), 6);
        some.insert_at(owned("x", 0), Ident::literal("x0"), 7);
        assert_eq!(names(&some), "a x0 x1 y0 b c");
        let by_name = some.by_name().map(|(name, _)| name.as_str());
        assert_eq!(by_name.collect::<String>(), "abcx0x1y0");
    }

    #[test]
    fn finds_what_differs_whatever_the_order() {
        let one = ordered(&[("a", 1), ("b", 2), ("c", 3)]);
        let other = ordered(&[("d", 4), ("c", 3), ("b", 5)]);
        let differing = one.differing(&other);
        let differing: Vec<_> = differing.into_iter().map(Ident::as_str).collect();
        assert_eq!(differing, ["d", "b", "a"]);
        assert_ne!(
            one,
            ordered(&[("b", 2), ("a", 1), ("c", 3)]),
            "order counts"
        );
        assert!(
            one.differing(&ordered(&[("b", 2), ("a", 1), ("c", 3)]))
                .is_empty()
        );
    }
}
