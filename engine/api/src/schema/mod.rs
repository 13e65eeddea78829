//! The shape of a manifest: which fields exist and of what type, as Go's structs declare them.
//!
//! **What.** Walking a value beside its type finds unknown fields and wrong types, with their paths, and turns what
//! Go's decoder reads as a zero into one.
//! **Why.** A schema is needed to say what a real API server says (it names Go's structs and types), and to say
//! where: serde's errors know neither. The table is text that a test generates from the real OpenAPI schema, so it
//! is complete for every kind that a stock cluster serves; it is read once, when a manifest is decoded first.
//! **Source of the semantics.** `kubernetes-1.36.txt`, `recorded/validation.yaml` (`svc-port-string`,
//! `obj-unknown-two` …); S: `sigs.k8s.io/json`, `resource/quantity.go`, `meta/v1/time.go`.
//!
//! Deviation: texts that hold bytes (`data` of a Secret) may be any text.

mod scalar;
mod table;
mod walk;

use serde_json::Value;

use crate::object::Kind;
use crate::yaml::Path;

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No such field; `known` are its siblings.
    Unknown {
        path: Path,
        known: Vec<&'static str>,
    },
    /// Not of its type.
    Mistyped(Mistyped),
}

/// A value that is not of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistyped {
    /// Where it stands.
    pub(crate) path: Path,
    /// As Go's JSON decoder words it.
    pub(crate) message: String,
    /// Whether the decoder stops here; after others it goes on to look for one that stops it.
    pub(crate) stops: bool,
}

/// Everything wrong with an object of `kind`, in the order of its fields' names: kubectl sorts them before it sends
/// them. Of a custom resource only the metadata has types.
pub(crate) fn faults(kind: Kind, value: &mut Value) -> Vec<Fault> {
    walk::walk(table::table(), kind, value)
}
