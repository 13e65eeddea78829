//! Which places our structs have, seen through what `{:#?}` prints of objects.

use std::collections::BTreeMap;

use api::Object;
use switchboard_api as api;

/// Fields of structs, and whether any object had something there.
#[derive(Default)]
pub(crate) struct Places {
    filled: BTreeMap<String, bool>,
}

impl Places {
    /// Notes every place of an object.
    pub(crate) fn look_at(&mut self, object: &Object) {
        let text = format!("{object:#?}");
        let mut structs: Vec<(usize, String)> = Vec::new();
        for line in text.lines() {
            let bare = line.trim_start();
            let indent = line.len() - bare.len();
            structs.retain(|(outer, _)| *outer < indent);
            let (field, value) = match bare.split_once(": ") {
                Some((field, value)) if is_name(field) => (Some(field), value),
                _ => (None, bare),
            };
            if let (Some(field), Some((_, owner))) = (field, structs.last()) {
                let empty = matches!(value, "None," | "\"\"," | "[]," | "{}," | "0," | "false,");
                *self.filled.entry(format!("{owner}.{field}")).or_default() |= !empty;
            }
            if let Some(name) = value.strip_suffix(" {").filter(|name| is_name(name)) {
                structs.push((indent, name.to_owned()));
            }
        }
    }

    /// Places that were empty in every object.
    pub(crate) fn never_filled(&self) -> Vec<String> {
        let empty = self.filled.iter().filter(|(_, filled)| !**filled);
        empty.map(|(place, _)| place.clone()).collect()
    }

    /// How many places there are.
    pub(crate) fn count(&self) -> usize {
        self.filled.len()
    }
}

/// A Rust identifier: not a quoted key of a map.
fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
