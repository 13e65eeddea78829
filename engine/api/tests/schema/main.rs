//! Our structs and our field table against the schema of the real API.
//!
//! `k8s-openapi` is generated from Kubernetes' own OpenAPI document. The field table that strict decoding reads is
//! generated from it, so that nobody types fields in, and full objects are made of it, so that none is lost.
//! After a change of its version:
//!
//! ```sh
//! UPDATE_SCHEMA=1 cargo test -p switchboard-api --test schema
//! ```

mod full;
mod go_types;
mod places;
mod real;
mod table;

use std::path::Path;

use api::{Kind, Object, decode, yaml};
use real::Real;
use serde_json::Value;
use switchboard_api as api;

#[test]
fn the_field_table_is_that_of_the_real_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema/kubernetes-1.36.txt");
    let wanted = table::text(&Real::load());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let stale = wanted.lines().zip(found.lines()).find(|(a, b)| a != b);
    assert!(
        wanted == found,
        "the table is stale, first at {stale:?}: run with UPDATE_SCHEMA=1"
    );
}

#[test]
fn every_kind_is_in_the_real_schema() {
    let real = Real::load();
    for kind in Kind::all().filter(|kind| *kind != Kind::CUSTOM) {
        let known = real.kinds.iter().any(|(version, name, _)| {
            (version.as_str(), name.as_str()) == (kind.api_version(), kind.name())
        });
        assert!(known, "{} {kind}", kind.api_version());
    }
}

#[test]
fn no_field_of_the_real_schema_is_lost() {
    let real = Real::load();
    for (kind, full) in full::objects(&real) {
        let Value::Object(fields) = &full else {
            panic!("{kind}")
        };
        let object = Object::from_fields(kind, fields.clone()).unwrap();
        assert_eq!(Value::Object(object.to_fields()), full, "{kind}");
    }
}

#[test]
fn strict_decoding_takes_every_field_of_the_real_schema() {
    let real = Real::load();
    for (kind, full) in full::objects(&real) {
        let documents = yaml::split(&yaml::Source::new("full.json", full.to_string())).unwrap();
        let manifests = decode(&documents[0]).unwrap_or_else(|failure| panic!("{kind}: {failure}"));
        assert_eq!(
            Value::Object(manifests[0].object.to_fields()),
            full,
            "{kind}"
        );
    }
}

/// A place of ours that no full object fills is a field that the real schema does not have, or has with
/// another name.
#[test]
fn every_place_of_ours_is_a_field_of_the_real_schema() {
    let real = Real::load();
    let mut places = places::Places::default();
    for (kind, full) in full::objects(&real) {
        let Value::Object(fields) = full else {
            panic!("{kind}")
        };
        places.look_at(&Object::from_fields(kind, fields).unwrap());
    }
    assert_eq!(places.never_filled(), Vec::<String>::new());
    assert!(places.count() > 150, "{}", places.count());
}
