//! Sets and maps.

use std::ops::Deref;
use std::time::Duration;

use super::{Comment, DataType, Key, Verdict};
use crate::Sorted;

/// A set: keys of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NftSet {
    /// The parts of a key.
    pub key: Vec<DataType>,
    /// Everything but type and elements.
    pub options: SetOptions,
    /// Sorted, whatever order a kernel's hash table gives them.
    pub elements: Sorted<Key, ElementAttrs>,
}

/// A map: each key leads to a value of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NftMap {
    /// The parts of a key.
    pub key: Vec<DataType>,
    /// The parts of the data; `None` for a map to verdicts.
    pub data: Option<Vec<DataType>>,
    /// Everything but types and elements.
    pub options: SetOptions,
    /// Sorted, whatever order a kernel's hash table gives them.
    pub elements: Sorted<Key, Element>,
}

/// What a map's key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The value, of the map's type.
    pub value: Value,
    /// Comment and time.
    pub attrs: ElementAttrs,
}

impl From<Value> for Element {
    fn from(value: Value) -> Self {
        Self {
            value,
            attrs: ElementAttrs::default(),
        }
    }
}

/// A map's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// In a map to verdicts.
    Verdict(Verdict),
    /// In any other.
    Data(Key),
}

/// What an element carries besides key and value: hardly any carries anything, so nothing takes little room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementAttrs(Option<Box<Carried>>);

impl From<Carried> for ElementAttrs {
    fn from(carried: Carried) -> Self {
        Self((carried != Carried::NOTHING).then(|| Box::new(carried)))
    }
}

impl Deref for ElementAttrs {
    type Target = Carried;

    fn deref(&self) -> &Carried {
        self.0.as_deref().unwrap_or(&Carried::NOTHING)
    }
}

impl ElementAttrs {
    /// Whether it carries nothing.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// The same without the time that it has left.
    pub(super) fn without_expiry(&self) -> Self {
        Self::from(Carried {
            expires: None,
            ..Carried::clone(self)
        })
    }
}

/// What an element may carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Its comment.
    pub comment: Option<Comment>,
    /// How long it lives, when that is not the set's own timeout.
    pub timeout: Option<Duration>,
    /// How long it has to live, as a dump says.
    pub expires: Option<Duration>,
}

impl Carried {
    const NOTHING: Self = Self {
        comment: None,
        timeout: None,
        expires: None,
    };
}

/// What can be said about a set or a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// `flags`
    pub flags: SetFlags,
    /// How long an element lives that says nothing else.
    pub timeout: Option<Duration>,
    /// `gc-interval`: how often the kernel looks for expired elements.
    pub gc_interval: Option<Duration>,
    /// The greatest number of elements.
    pub size: Option<u32>,
    /// `auto-merge`
    pub auto_merge: bool,
    /// `comment`
    pub comment: Option<Comment>,
}

/// `flags` of a set or map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetFlags {
    /// Elements do not change while it is in use.
    pub constant: bool,
    /// Elements may be ranges and networks.
    pub interval: bool,
    /// Elements may expire.
    pub timeout: bool,
    /// Rules may add elements.
    pub dynamic: bool,
}
