//! User files: documents, positions, complaints.
//!
//! **What.** [`split`] cuts a [`Source`] into [`Document`]s and parses each into a `Value`;
//! [`Document::locate`] says at which line and column a field stands.
//! **Why.** Strict decoding walks the parsed value, so it knows a field's path but not its place; a user wants
//! both. Manifests and scenario files share this.
//! **Source of the semantics.** YAML 1.1 as kubectl reads it: documents are separated by lines that begin with
//! `---`, JSON is accepted, duplicate keys are refused.
//!
//! ```
//! use switchboard_api::yaml::{Part, Path, Source, split};
//!
//! let file = Source::new("web.yaml", "# a list\nspec:\n  ports:\n  - port: 80\n");
//! let documents = split(&file)?;
//! let place = documents[0].locate(&Path::parse("spec.ports[0].port"), Part::Value);
//! assert_eq!((place.line, place.column), (4, 11));
//! # Ok::<(), switchboard_api::yaml::Problem>(())
//! ```

mod closest;
mod document;
mod locate;
mod path;
mod problem;
mod syntax;
#[cfg(test)]
mod tests;

pub use closest::closest;
pub use document::{Document, Source, split};
pub use locate::Part;
pub use path::{Path, Segment};
pub use problem::{Location, Problem};
