//! The manifests that a user brings to the step that awaits them.

use api::yaml::{Part, Path, Source, split};
use api::{Manifest, decode};

use super::Problems;
use super::manifests::place_in;

/// Reads the manifests of a repair; `namespace` is where those without one belong.
///
/// # Errors
/// All problems that can be found together.
pub fn load_repair(source: &Source, namespace: &str) -> Result<Vec<Manifest>, Problems> {
    let failed = |problems| Problems {
        problems,
        sources: vec![source.clone()],
    };
    let documents = split(source).map_err(|problem| failed(vec![problem]))?;
    let mut manifests = Vec::new();
    let mut problems = Vec::new();
    for document in &documents {
        match decode(document) {
            Ok(decoded) => manifests.extend(decoded),
            Err(failure) if failure.problems().is_empty() => {
                problems.push(document.problem(&Path::root(), Part::Value, failure.to_string()));
            }
            Err(failure) => problems.extend_from_slice(failure.problems()),
        }
    }
    place_in(namespace, &mut manifests);
    match problems.is_empty() {
        true => Ok(manifests),
        false => Err(failed(problems)),
    }
}
