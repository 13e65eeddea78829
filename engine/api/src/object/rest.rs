//! Fields that no code here reads, kept so that none is lost.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The fields of an object beside the ones that have a place of their own.
///
/// Most objects have none, or what defaulting gives to all of their kind, and there are many objects, each in
/// many versions: so they are shared until one changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest(Option<Arc<Map<String, Value>>>);

impl Rest {
    /// Keeps `fields`.
    #[must_use]
    pub fn new(fields: Map<String, Value>) -> Self {
        Self((!fields.is_empty()).then(|| Arc::new(fields)))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// A field's value.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.as_ref()?.get(field)
    }

    /// A field's value as what it stands for; `None` where it is absent or something else.
    #[must_use]
    pub fn typed<T: DeserializeOwned>(&self, field: &str) -> Option<T> {
        T::deserialize(self.get(field)?).ok()
    }

    /// Sets a field.
    pub fn insert(&mut self, field: &str, value: Value) {
        Arc::make_mut(self.0.get_or_insert_default()).insert(field.to_owned(), value);
    }

    /// Removes a field.
    pub fn remove(&mut self, field: &str) -> Option<Value> {
        let value = Arc::make_mut(self.0.as_mut()?).shift_remove(field);
        if self.0.as_ref().is_some_and(|fields| fields.is_empty()) {
            self.0 = None;
        }
        value
    }

    /// Fills in the fields of `defaults` that are not there.
    pub fn complete(&mut self, defaults: &Self) {
        if !self.is_empty() {
            for (field, value) in defaults.iter() {
                if self.get(field).is_none() {
                    self.insert(field, value.clone());
                }
            }
        }
        if self.is_empty() || self == defaults {
            self.clone_from(defaults);
        }
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
