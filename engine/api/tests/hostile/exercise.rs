//! What is done with a text that may or may not be a manifest: the fuzz target and the tests do the same.

use base::{Seed, SimTime};

use crate::api::{
    ApiConfig, ApiServer, DecodeFailure, DeleteOptions, Object, Status, Written, decode, yaml,
};

/// Reads the text and sends what it holds through every verb.
pub(crate) fn exercise(text: &str) {
    let documents = match yaml::split(&yaml::Source::new("hostile.yaml", text)) {
        Ok(documents) => documents,
        Err(problem) => {
            assert!(problem.line > 0, "{problem}");
            return assert!(!DecodeFailure::from(problem).kubectl_text().is_empty());
        }
    };
    let mut server = server();
    for document in &documents {
        match decode(document) {
            Ok(manifests) => {
                for manifest in manifests {
                    assert!(manifest.location.line > 0);
                    send(&mut server, &manifest.object);
                }
            }
            Err(failure) => {
                assert!(!failure.problems().is_empty(), "a refusal says why");
                for problem in failure.problems() {
                    assert!(problem.line > 0 && problem.column > 0, "{problem}");
                }
            }
        }
    }
}

fn server() -> ApiServer {
    let ranges = ["10.96.0.0/28", "fd00::/124"];
    let config = ApiConfig {
        service_cidrs: ranges.map(|range| range.parse().unwrap()).to_vec(),
        node_port_range: 30_000..=30_015,
        dns_domain: "cluster.local".to_owned(),
        api_servers: Vec::new(),
        seed: Seed::new(7),
    };
    ApiServer::new(config, SimTime::ZERO)
}

/// Every verb, so that later ones meet what earlier ones left.
fn send(server: &mut ApiServer, object: &Object) {
    type Verb = fn(&mut ApiServer, Object, SimTime) -> Result<Written, Status>;
    let verbs: [Verb; 6] = [
        ApiServer::apply,
        ApiServer::create,
        ApiServer::replace,
        ApiServer::update_status,
        ApiServer::apply,
        |server, object, now| server.delete(&object.key(), &DeleteOptions::default(), now),
    ];
    for (second, verb) in (1..).zip(verbs) {
        let before = server.revision();
        match verb(server, object.clone(), SimTime::from_nanos(second)) {
            Ok(written) => look_at(&written),
            Err(status) => {
                assert!(!status.kubectl_text().is_empty());
                assert_eq!(server.revision(), before, "{status}");
            }
        }
    }
}

/// What was stored prints, and reads back as it was.
fn look_at(written: &Written) {
    let object = &written.object;
    assert!(!written.to_string().is_empty());
    let again = Object::from_fields(object.kind(), object.to_fields());
    assert_eq!(again.as_ref().ok(), Some(object));
}
