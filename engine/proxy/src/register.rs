//! Services by name and by number, with the slices that are filed under them.
//!
//! **Why.** Nearly every event asks what is known of a Service, and under which one a slice is filed. Looking that up among the
//! many that are sorted costs more than all else. Names are held once, and numbers take little room.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use rules::{ServiceEntry, ServiceName, SliceView};

use crate::names::Names;

/// All Services that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    /// By number.
    services: Vec<Registered>,
    /// Numbers that nobody has any more.
    free: Vec<Number>,
    /// By their own names. Never iterated.
    by_name: HashTable<Place>,
    /// By the names of their slices, which are of the same namespace. Never iterated.
    by_slice: HashTable<Place>,
}

/// Of a Service.
pub(crate) type Number = u32;

/// What is known of a Service.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) name: ServiceName,
    pub(crate) entry: ServiceEntry,
    /// Whether it is noted as one that has changed since the view was looked at.
    pub(crate) is_noted: bool,
}

/// Where something of a name is.
#[derive(Clone, Debug)]
struct Place {
    /// So that no name has to be looked at when a table grows.
    hash: u32,
    number: Number,
}

impl Place {
    fn of(namespace: &str, name: &str, number: Number) -> Self {
        let hash = hash_of(namespace, name);
        Self { hash, number }
    }

    fn spread(&self) -> u64 {
        spread(self.hash)
    }
}

fn hash_of(namespace: &str, name: &str) -> u32 {
    let hash = FixedState::default().hash_one((namespace, name));
    let [first, second, third, fourth, ..] = hash.to_be_bytes();
    u32::from_be_bytes([first, second, third, fourth])
}

/// A table looks at the first bits and at the last ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Register {
    /// How many Services and how many slices are known.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.by_name.len(), self.by_slice.len())
    }

    pub(crate) fn of(&self, number: Number) -> &Registered {
        &self.services[number as usize]
    }

    pub(crate) fn of_mut(&mut self, number: Number) -> &mut Registered {
        &mut self.services[number as usize]
    }

    /// The number of a Service.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Number> {
        let is_it = |place: &Place| self.of(place.number).is_named(namespace, name);
        let place = self.by_name.find(spread(hash_of(namespace, name)), is_it)?;
        Some(place.number)
    }

    /// The same; one that is not known gets a number.
    pub(crate) fn find_or_add(&mut self, namespace: &str, name: &str, names: &mut Names) -> Number {
        if let Some(number) = self.find(namespace, name) {
            return number;
        }
        let service = Registered {
            name: ServiceName {
                namespace: names.of(namespace),
                name: name.into(),
            },
            entry: ServiceEntry::default(),
            is_noted: false,
        };
        let number = match self.free.pop() {
            Some(number) => {
                *self.of_mut(number) = service;
                number
            }
            None => {
                self.services.push(service);
                Number::try_from(self.services.len() - 1).expect("there are fewer Services")
            }
        };
        let place = Place::of(namespace, name, number);
        self.by_name
            .insert_unique(place.spread(), place, Place::spread);
        number
    }

    /// The Service under which a slice is filed.
    pub(crate) fn owner_of(&self, namespace: &str, slice: &str) -> Option<Number> {
        let is_it = |place: &Place| self.of(place.number).has(namespace, slice);
        let place = self
            .by_slice
            .find(spread(hash_of(namespace, slice)), is_it)?;
        Some(place.number)
    }

    /// Files a slice under a Service, in place of the one of that name.
    pub(crate) fn file(&mut self, owner: Number, slice: &str, view: Arc<SliceView>) {
        let service = &mut self.services[owner as usize];
        let slices = &mut service.entry.slices;
        let known = slices.name_of(slice).cloned();
        if slices.insert(known.unwrap_or_else(|| slice.into()), view) {
            let place = Place::of(&service.name.namespace, slice, owner);
            self.by_slice
                .insert_unique(place.spread(), place, Place::spread);
        }
    }

    /// Takes a slice out.
    pub(crate) fn take_out(&mut self, owner: Number, slice: &str) {
        let service = &mut self.services[owner as usize];
        let place = Place::of(&service.name.namespace, slice, owner);
        // Two slices of one Service and one hash are alike here.
        let is_it = |one: &Place| (one.hash, one.number) == (place.hash, owner);
        if let Ok(found) = self.by_slice.find_entry(place.spread(), is_it) {
            found.remove();
        }
        service.entry.slices.remove(slice);
    }

    /// A Service is in the view as it is here. One of which there is nothing is forgotten.
    pub(crate) fn settle(&mut self, number: Number) {
        let service = &mut self.services[number as usize];
        service.is_noted = false;
        if !service.entry.is_empty() {
            return;
        }
        let ServiceName { namespace, name } = &service.name;
        let is_it = |place: &Place| place.number == number;
        if let Ok(place) = self
            .by_name
            .find_entry(spread(hash_of(namespace, name)), is_it)
        {
            place.remove();
            self.free.push(number);
        }
    }
}

impl Registered {
    /// What a view has of it.
    pub(crate) fn copy(&self) -> (ServiceName, ServiceEntry) {
        (self.name.clone(), self.entry.clone())
    }

    fn is_named(&self, namespace: &str, name: &str) -> bool {
        (&*self.name.name, &*self.name.namespace) == (name, namespace)
    }

    fn has(&self, namespace: &str, slice: &str) -> bool {
        self.entry.slices.get(slice).is_some() && *self.name.namespace == *namespace
    }
}

#[cfg(test)]
mod tests {
    use ruleset::Family;

    use super::*;

    fn slice() -> Arc<SliceView> {
        Arc::new(SliceView {
            family: Family::V4,
            ports: [].into_iter().collect(),
            endpoints: Vec::new(),
        })
    }

    #[test]
    fn namespaces_keep_names_apart() {
        let mut register = Register::default();
        let names = &mut Names::default();
        let numbers = ["a", "b"].map(|namespace| register.find_or_add(namespace, "web", names));
        assert_ne!(numbers[0], numbers[1]);
        for (namespace, number) in ["a", "b"].into_iter().zip(numbers) {
            register.file(number, "web-1", slice());
            assert_eq!(register.find(namespace, "web"), Some(number));
        }
        register.take_out(numbers[0], "web-1");
        assert_eq!(register.owner_of("a", "web-1"), None);
        assert_eq!(register.owner_of("b", "web-1"), Some(numbers[1]));
    }

    #[test]
    fn the_number_of_what_is_forgotten_is_given_anew() {
        let mut register = Register::default();
        let names = &mut Names::default();
        let web = register.find_or_add("default", "web", names);
        let shop = register.find_or_add("default", "shop", names);
        register.file(shop, "shop-1", slice());
        register.settle(web);
        register.settle(shop);
        assert_eq!(register.find("default", "web"), None);
        assert_eq!(register.find_or_add("default", "api", names), web);
        assert_eq!(register.find("default", "shop"), Some(shop));
    }

    #[test]
    fn slices_are_found_however_many_there_are() {
        let mut register = Register::default();
        let names = &mut Names::default();
        let web = register.find_or_add("default", "web", names);
        let named = |number| format!("web-{number}");
        for number in 0..200 {
            register.file(web, &named(number), slice());
        }
        for number in 0..150 {
            register.take_out(web, &named(number));
        }
        for number in 0..200 {
            let owner = register.owner_of("default", &named(number));
            assert_eq!(owner, (number >= 150).then_some(web), "{number}");
        }
        assert_eq!(register.counts(), (1, 50));
    }
}
