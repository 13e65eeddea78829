//! Elements on their way into containers.

use ruleset::SortedBuilder;
use ruleset::nft::{Carried, Comment, Element, ElementAttrs, Key, Scalar, Value};

use super::container::Container;
use super::flat_kind::{FlatKind, FlatTable};
use super::fragment::{FlatFrontend, Part};
use super::spell::{key, socket_key};

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
    for_each_of_set(part, &mut act);
    if let Part::Frontend(frontend) = part {
        let container = frontend.container();
        for (key, value) in endpoints(frontend) {
            act(Put {
                container,
                key,
                value: Some(value),
                comment: None,
            });
        }
    }
}

/// The same for all but what a frontend has in the map of its endpoints.
fn for_each_of_set(part: &Part, mut act: impl FnMut(Put)) {
    let mut put = |container, key, value, comment| {
        act(Put {
            container,
            key,
            value,
            comment,
        });
    };
    match part {
        Part::Element(element) => {
            if let Some(kind) = element.guard {
                let guard = Container::Flat(kind, FlatTable::Guard);
                put(guard, FlatKind::without_protocol(&element.key), None, None);
            }
            let value = element.verdict.clone().map(Value::Verdict);
            let comment = element.comment.clone();
            put(element.container, element.key.clone(), value, comment);
        }
        Part::Frontend(frontend) => {
            let mut put = |container| {
                let key = FlatKind::without_protocol(&frontend.key);
                put(container, key, None, None);
            };
            put(Container::Flat(frontend.kind, FlatTable::Guard));
            if frontend.hides.is_some() {
                put(Container::Flat(frontend.kind, FlatTable::Masquerade));
            }
            frontend.selecting().for_each(put);
        }
    }
}

/// What a frontend has in the map of its endpoints, in the order of keys.
fn endpoints(frontend: &FlatFrontend) -> impl Iterator<Item = (Key, Value)> {
    let own = FlatKind::without_protocol(&frontend.key);
    let endpoints = (0..).zip(frontend.endpoints.iter());
    endpoints.map(move |(number, endpoint)| {
        let number = Scalar::Number(number);
        let key = match own.as_slice() {
            [address, port] => key([address.clone(), port.clone(), number]),
            [port] => key([port.clone(), number]),
            _ => unreachable!("frontends are looked up by an address and a port at most"),
        };
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
            (Self::Set(set), (key, None, attrs)) => set.push(key, attrs),
            (Self::Map(map), (key, Some(value), attrs)) => map.push(key, Element { value, attrs }),
            (Self::Set(_) | Self::Map(_), _) => unreachable!("parts fit their containers"),
        }
    }
}

impl Contents {
    /// Puts in all elements that a part stands for.
    pub(super) fn push_all(&mut self, part: &Part) {
        for_each_of_set(part, |put| self.of(put.container).push(put));
        if let Part::Frontend(frontend) = part
            && let Content::Map(map) = self.of(frontend.container())
        {
            for (key, value) in endpoints(frontend) {
                map.push(key, value.into());
            }
        }
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
