//! A server, and one check per boundary: what is refused, what is warned about, what is stored.

use api::{ApiConfig, ApiServer, Object, Status, Written, decode, yaml};
use base::{Seed, SimTime};
use serde_json::Value;
use switchboard_api as api;

pub(crate) const NOW: SimTime = SimTime::ZERO;

pub(crate) fn server() -> ApiServer {
    server_of(&["10.96.0.0/16"])
}

pub(crate) fn server_of(ranges: &[&str]) -> ApiServer {
    let config = ApiConfig {
        service_cidrs: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        node_port_range: 30_000..=32_767,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, NOW)
}

pub(crate) fn object(text: &str) -> Object {
    let documents = yaml::split(&yaml::Source::new("test.yaml", text)).unwrap();
    let mut manifests = decode(&documents[0]).unwrap_or_else(|failure| panic!("{failure}"));
    manifests.remove(0).object
}

/// `- field: complaint` of a refusal, in order.
fn lines(status: &Status) -> Vec<String> {
    let causes = status.causes.iter();
    causes
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect()
}

/// The manifest must be refused with these complaints and no others, and nothing be stored.
#[track_caller]
pub(crate) fn check_refused(manifest: &str, expected: &[&str]) {
    let mut server = server();
    let before = server.revision();
    let status = server.create(object(manifest), NOW).unwrap_err();
    assert_eq!(lines(&status), expected, "{}", status.message);
    assert_eq!(server.revision(), before);
}

/// After `first`, `second` must be refused with these complaints and no others.
#[track_caller]
pub(crate) fn check_update_refused(first: &str, second: &str, expected: &[&str]) {
    let mut server = server();
    server.create(object(first), NOW).unwrap();
    let before = server.revision();
    let status = server.replace(object(second), NOW).unwrap_err();
    assert_eq!(lines(&status), expected, "{}", status.message);
    assert_eq!(server.revision(), before);
}

/// After `first`, `second` must be taken.
#[track_caller]
pub(crate) fn check_update(first: &str, second: &str) -> Written {
    let mut server = server();
    server.create(object(first), NOW).unwrap();
    server
        .replace(object(second), NOW)
        .unwrap_or_else(|status| panic!("{}", status.message))
}

/// The manifest must be taken with these warnings.
#[track_caller]
pub(crate) fn check_warnings(manifest: &str, expected: &[&str]) {
    let written = server().create(object(manifest), NOW).unwrap();
    assert_eq!(written.warnings, expected);
}

/// What is stored of the manifest.
#[track_caller]
pub(crate) fn stored(manifest: &str) -> Value {
    let written = server().create(object(manifest), NOW);
    let written = written.unwrap_or_else(|status| panic!("{}", status.message));
    Value::Object(written.object.to_fields())
}
