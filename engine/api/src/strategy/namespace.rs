//! Namespace: its name as a label, a phase, and the finalizer that keeps it until it is empty (API-79; S:
//! `pkg/registry/core/namespace/strategy.go`).

use crate::object::Namespace;

/// The label that every Namespace carries.
const LABEL_NAME: &str = "kubernetes.io/metadata.name";

/// A new Namespace is active, and is not removed before its content.
pub(super) fn create(namespace: &mut Namespace) {
    let finalizers = &mut namespace.spec.finalizers;
    if !finalizers.iter().any(|known| known == Namespace::FINALIZER) {
        finalizers.push(Namespace::FINALIZER.to_owned());
    }
    "Active".clone_into(&mut namespace.status.phase);
    label(namespace);
}

/// The finalizers of `spec` are not the user's.
pub(super) fn update(namespace: &mut Namespace, old: &Namespace) {
    let finalizers = &mut namespace.spec.finalizers;
    finalizers.clone_from(&old.spec.finalizers);
    label(namespace);
}

fn label(namespace: &mut Namespace) {
    let name = namespace.metadata.name.clone();
    let labels = &mut namespace.metadata.labels;
    labels.insert(LABEL_NAME.to_owned(), name);
}
