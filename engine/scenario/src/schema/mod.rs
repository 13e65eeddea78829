//! The scenario language as a JSON Schema, for editors that complete and check while one writes.
//!
//! **What.** [`scenario`] says which keys stand where and which values they take; what depends on the cluster (a node's
//! name, an address in use) is said by [`crate::load`] alone. A verb is one line of the table in `steps.rs`.
//! **Why.** It is data of its own, because the reader works key by key and explains each mistake at its place, which no
//! schema can. That both know the same keys is tested: `tests/schema.rs` puts an unknown key into every mapping and
//! compares what the reader says is known there with what stands here.
//! **Source of the semantics.** JSON Schema draft 7, the newest that YAML editors read in full.

mod build;
mod cluster;
mod expect;
mod fault;
mod steps;

use serde_json::{Value as Json, json};

use self::build::{closed, described, integer, list, text};
use crate::load::API_VERSION;

/// The schema of one scenario, which is one document of a file.
#[must_use]
pub fn scenario() -> Json {
    let metadata = closed(
        &[
            (
                "name",
                text("Its name, also that of the folder of its captures"),
            ),
            ("title", text("What it shows, in one line")),
            ("description", text("What it shows, at length")),
        ],
        &["name"],
    );
    let root = closed(
        &[
            ("apiVersion", json!({"const": API_VERSION})),
            ("kind", json!({"const": "Scenario"})),
            ("metadata", metadata),
            ("spec", spec()),
        ],
        &["apiVersion", "kind", "metadata", "spec"],
    );
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Switchboard scenario",
        "description": "A cluster, what happens in it, and what is expected",
        "definitions": expect::definitions(),
    });
    let (head, body) = (schema.as_object_mut(), root.as_object());
    if let (Some(head), Some(body)) = (head, body) {
        head.extend(body.clone());
    }
    schema
}

fn spec() -> Json {
    let files = |what| described(list(text("A path relative to this file")), what);
    closed(
        &[
            (
                "seed",
                described(integer(0), "All that is random comes from it; default 0"),
            ),
            (
                "namespace",
                text("Where short references belong; default `default`"),
            ),
            ("cluster", cluster::cluster()),
            (
                "state",
                files("What `kubectl get -o yaml` printed of a real cluster: there from the start"),
            ),
            ("manifests", files("Manifests, applied at time 0")),
            ("steps", list(steps::step())),
        ],
        &["cluster"],
    )
}
