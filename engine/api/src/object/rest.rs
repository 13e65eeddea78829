//! Fields that no code here reads, kept so that none is lost.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The fields of an object beside the ones that have a place of their own; boxed, because most objects have
/// none and there are many objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest(Option<Box<Map<String, Value>>>);

impl Rest {
    /// Keeps `fields`.
    #[must_use]
    pub fn new(fields: Map<String, Value>) -> Self {
        Self((!fields.is_empty()).then(|| Box::new(fields)))
    }

    /// A field's value.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.as_ref()?.get(field)
    }

    /// Sets a field.
    pub fn insert(&mut self, field: &str, value: Value) {
        self.0
            .get_or_insert_default()
            .insert(field.to_owned(), value);
    }

    /// The fields in the order of the manifest.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().flat_map(|fields| fields.iter())
    }
}

impl Serialize for Rest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Rest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::new)
    }
}
