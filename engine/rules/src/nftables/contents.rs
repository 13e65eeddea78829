//! Elements on their way into containers.

use ruleset::SortedBuilder;
use ruleset::nft::{Comment, Element, ElementAttrs, Key, Scalar, Value};

use super::container::Container;
use super::flat_kind::{FlatKind, FlatTable};
use super::fragment::Part;
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
        let attrs = ElementAttrs {
            comment: self.comment,
            ..ElementAttrs::default()
        };
        (self.key, self.value, attrs)
    }
}

/// Does something with all elements that a part stands for.
pub(super) fn for_each_element(part: &Part, mut act: impl FnMut(Put)) {
    let frontend = match part {
        Part::Element(element) => {
            if let Some(kind) = element.guard {
                act(Put {
                    container: Container::Flat(kind, FlatTable::Guard),
                    key: FlatKind::without_protocol(&element.key),
                    value: None,
                    comment: None,
                });
            }
            return act(Put {
                container: element.container,
                key: element.key.clone(),
                value: element.verdict.clone().map(Value::Verdict),
                comment: element.comment.clone(),
            });
        }
        Part::Frontend(frontend) => frontend,
    };
    let mut act = |container: Container, key: Key, value: Option<Value>| {
        act(Put {
            container,
            key,
            value,
            comment: None,
        });
    };
    let of_kind = |table| Container::Flat(frontend.kind, table);
    act(of_kind(FlatTable::Guard), frontend.key.clone(), None);
    if frontend.hides.is_some() {
        act(of_kind(FlatTable::Masquerade), frontend.key.clone(), None);
    }
    for set in frontend.selecting() {
        act(set, frontend.key.clone(), None);
    }
    let endpoints = frontend.container();
    for (number, (to, _)) in (0..).zip(&frontend.endpoints) {
        let mut key = frontend.key.clone();
        key.push(Scalar::Number(number));
        act(endpoints, key, Some(Value::Data(socket_key(*to))));
    }
}

/// The elements of containers in the making.
#[derive(Default)]
pub(super) struct Contents {
    all: Vec<(Container, Content)>,
    /// The place of the one that was asked for last. There are few, and an endpoint follows another in the same.
    last: usize,
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
    pub(super) fn push(&mut self, put: Put) {
        let is_its = |(container, _): &(Container, Content)| *container == put.container;
        if !self.all.get(self.last).is_some_and(is_its) {
            let found = self.all.iter().position(is_its);
            self.last = found.unwrap_or(self.all.len());
        }
        if self.last == self.all.len() {
            self.all.push((put.container, Content::of(put.container)));
        }
        self.all[self.last].1.push(put);
    }

    pub(super) fn by_container(self) -> impl Iterator<Item = (Container, Content)> {
        self.all.into_iter()
    }
}
