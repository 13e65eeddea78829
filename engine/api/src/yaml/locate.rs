//! Line and column of a value in YAML text.
//!
//! A parsed `Value` carries no positions. Errors are the cold path, so the text is read a second time by a seed
//! that walks to the wanted place and fails there: the YAML library adds line and column to that error.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess as _, Visitor,
};

use super::{Location, Segment};

/// Which side of `key: value` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key; for an item of a sequence, the item.
    Key,
    /// The value.
    Value,
}

/// Where `path` stands in `text`; `None` if it does not.
pub(super) fn locate(text: &str, path: &[Segment], part: Part) -> Option<Location> {
    let found = Cell::new(false);
    let walk = Walk {
        path,
        part,
        found: &found,
    };
    let stop = walk
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .err()?;
    location(&stop, &found)
}

/// Where a key stands that its mapping has already; `None` if there is none.
pub(super) fn duplicate(text: &str) -> Option<Location> {
    let found = Cell::new(false);
    let stop = Search { found: &found }
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .err()?;
    location(&stop, &found)
}

fn location(stop: &serde_yaml::Error, found: &Cell<bool>) -> Option<Location> {
    let place = stop.location().filter(|_| found.get())?;
    let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    Some(Location {
        line: number(place.line()),
        column: number(place.column()),
    })
}

/// Walks down `path` and fails at its end.
struct Walk<'a> {
    path: &'a [Segment],
    part: Part,
    found: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            self.found.set(true);
            deserializer.deserialize_any(Stop)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rest of the path")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Segment::Key(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom("a mapping has no items"));
        };
        let stop = rest.is_empty() && self.part == Part::Key;
        while let Some(matches) = map.next_key_seed(Key {
            wanted,
            stop,
            found: self.found,
        })? {
            if matches {
                return map.next_value_seed(Walk { path: rest, ..self });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Segment::Index(wanted), rest)) = self.path.split_first() else {
            return Err(A::Error::custom("a sequence has no keys"));
        };
        for _ in 0..*wanted {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        items
            .next_element_seed(Walk { path: rest, ..self })
            .map(|_| ())
    }
}

/// Tells whether a key is the wanted one, and fails there if nothing lies beyond.
struct Key<'a> {
    wanted: &'a str,
    stop: bool,
    found: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        let matches = key == self.wanted;
        if matches && self.stop {
            self.found.set(true);
            return Err(E::custom("here"));
        }
        Ok(matches)
    }
}

/// Accepts nothing: every value fails where it begins.
struct Stop;

impl Visitor<'_> for Stop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

/// Goes through everything and fails at the first key that its mapping has already.
#[derive(Clone, Copy)]
struct Search<'a> {
    found: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while map
            .next_key_seed(NewKey {
                seen: &mut seen,
                found: self.found,
            })?
            .is_some()
        {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, value) = tagged.variant::<IgnoredAny>()?;
        value.newtype_variant_seed(self)
    }
}

/// Reads a key, and fails there if it was read before.
struct NewKey<'a> {
    seen: &'a mut BTreeSet<String>,
    found: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        if self.seen.insert(key.to_owned()) {
            return Ok(());
        }
        self.found.set(true);
        Err(E::custom("here"))
    }
}
