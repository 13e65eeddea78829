//! Elements on their way into containers.

use ruleset::SortedBuilder;
use ruleset::nft::{Carried, Comment, Element, ElementAttrs, Key, Value};

use super::container::{Container, FragmentElement};
use super::flat_kind::{FlatKind, FlatTable};
use super::fragment::{FlatFrontend, Part};
use super::spell::socket_key;

/// An element as it is in its container.
pub(super) struct Put {
    pub(super) container: Container,
    pub(super) key: Key,
    pub(super) value: Option<Value>,
    pub(super) comment: Option<Comment>,
}

impl Put {
    pub(super) fn into_parts(self) -> (Key, Option<Value>, ElementAttrs) {
        let attrs = match self.comment {
            None => ElementAttrs::default(),
            comment => ElementAttrs::from(Carried {
                comment,
                ..Carried::default()
            }),
        };
        (self.key, self.value, attrs)
    }
}

/// Does something with all elements that a part stands for.
pub(super) fn for_each_element(part: &Part, mut act: impl FnMut(Put)) {
    let frontend = match part {
        Part::Element(element) => return for_each_with_chain(element, act),
        Part::Frontend(frontend) => frontend,
    };
    let mut put = |container, key, value| {
        act(Put {
            container,
            key,
            value,
            comment: None,
        });
    };
    let own = FlatKind::without_protocol(&frontend.key);
    sets(frontend).for_each(|set| put(set, own.clone(), None));
    let map = frontend.container();
    endpoints(frontend, &own).for_each(|(key, value)| put(map, key, Some(value)));
}

/// The same for an element, which may have a guard.
fn for_each_with_chain(element: &FragmentElement, mut act: impl FnMut(Put)) {
    if let Some(kind) = element.guard {
        act(Put {
            container: Container::Flat(kind, FlatTable::Guard),
            key: FlatKind::without_protocol(&element.key),
            value: None,
            comment: None,
        });
    }
    act(Put {
        container: element.container,
        key: element.key.clone(),
        value: element.verdict.clone().map(Value::Verdict),
        comment: element.comment.clone(),
    });
}

/// The sets that a frontend is in.
fn sets(frontend: &FlatFrontend) -> impl Iterator<Item = Container> {
    let of_kind = |table| Container::Flat(frontend.kind, table);
    let hides = frontend.hides.map(|_| of_kind(FlatTable::Masquerade));
    let guard = of_kind(FlatTable::Guard);
    let first = [Some(guard), hides].into_iter().flatten();
    first.chain(frontend.selecting())
}

/// What a frontend with this key has in the map of its endpoints, in the order of keys.
fn endpoints(frontend: &FlatFrontend, own: &Key) -> impl Iterator<Item = (Key, Value)> {
    let endpoints = (0..).zip(frontend.endpoints.iter());
    endpoints.map(|(number, endpoint)| {
        let key = own.clone().then_number(number);
        (key, Value::Data(socket_key(endpoint.address)))
    })
}

/// The elements of containers in the making.
#[derive(Default)]
pub(super) struct Contents {
    /// There are few.
    all: Vec<(Container, Content)>,
}

/// The elements of a container in the making.
pub(super) enum Content {
    Set(SortedBuilder<Key, ElementAttrs>),
    Map(SortedBuilder<Key, Element>),
}

impl Content {
    fn of(container: Container) -> Self {
        match container.is_map() {
            true => Self::Map(SortedBuilder::default()),
            false => Self::Set(SortedBuilder::default()),
        }
    }

    fn push(&mut self, put: Put) {
        match (self, put.into_parts()) {
            (Self::Set(set), (key, None, attrs)) => set.push_last(key, attrs),
            (Self::Map(map), (key, Some(value), attrs)) => {
                map.push_last(key, Element { value, attrs });
            }
            (Self::Set(_) | Self::Map(_), _) => unreachable!("parts fit their containers"),
        }
    }
}

impl Contents {
    /// Puts in all elements that a part stands for: parts come in the order of what they claim, and so do their elements in
    /// each container.
    pub(super) fn push_all(&mut self, part: &Part) {
        let frontend = match part {
            Part::Element(element) => {
                return for_each_with_chain(element, |put| self.of(put.container).push(put));
            }
            Part::Frontend(frontend) => frontend,
        };
        let own = FlatKind::without_protocol(&frontend.key);
        sets(frontend).for_each(|set| self.push_key(set, &own));
        let Content::Map(map) = self.of(frontend.container()) else {
            unreachable!("a frontend's endpoints are in a map");
        };
        for (key, value) in endpoints(frontend, &own) {
            map.push_last(key, value.into());
        }
    }

    /// Puts in an element that is above all before it in a set.
    pub(super) fn push_key(&mut self, set: Container, key: &Key) {
        let Content::Set(set) = self.of(set) else {
            unreachable!("what has keys alone is a set");
        };
        set.push_last(key.clone(), ElementAttrs::default());
    }

    fn of(&mut self, container: Container) -> &mut Content {
        let is_its = |(one, _): &(Container, Content)| *one == container;
        let found = self.all.iter().position(is_its);
        let place = found.unwrap_or_else(|| {
            self.all.push((container, Content::of(container)));
            self.all.len() - 1
        });
        &mut self.all[place].1
    }

    pub(super) fn by_container(self) -> impl Iterator<Item = (Container, Content)> {
        self.all.into_iter()
    }
}
