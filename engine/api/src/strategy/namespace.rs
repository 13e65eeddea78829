//! Namespace: its name as a label, and a phase (API-79).

use crate::object::Namespace;

/// The label that every Namespace carries.
const LABEL_NAME: &str = "kubernetes.io/metadata.name";

pub(super) fn complete(namespace: &mut Namespace) {
    let name = namespace.metadata.name.clone();
    namespace
        .metadata
        .labels
        .insert(LABEL_NAME.to_owned(), name);
    if namespace.status.phase.is_empty() {
        "Active".clone_into(&mut namespace.status.phase);
    }
}
