//! Which ReplicaSet is of a template: by its content, and by the hash in its name and labels.
//!
//! **Source of the semantics.** S: `pkg/controller/controller_utils.go` (ComputeHash),
//! `pkg/controller/deployment/util/deployment_util.go` (EqualIgnoreHash), `apimachinery/pkg/util/rand/rand.go`
//! (SafeEncodeString).
//!
//! Deviation: Kubernetes hashes how Go prints the template; here it is the template's JSON with sorted fields. The hash
//! is FNV-1a of 32 bits as there, and is spelled the same way, but a given template's is another one.

use api::PodTemplateSpec;
use serde_json::json;

/// The label that tells apart the Pods of a Deployment's ReplicaSets.
pub(super) const LABEL_HASH: &str = "pod-template-hash";
/// Letters and digits that make no words.
const ALPHABET: [char; 27] = [
    'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x',
    'z', '2', '4', '5', '6', '7', '8', '9',
];

/// The hash of a template; `collisions` is how often it turned out to be that of another one.
pub(super) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut fields = json!(template);
    fields.sort_all_objects();
    let salt = collisions.map(i32::to_le_bytes).into_iter().flatten();
    let bytes = fields.to_string().into_bytes().into_iter().chain(salt);
    let sum = bytes.fold(0x811c_9dc5_u32, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let digits = sum.to_string().into_bytes();
    let letters = digits.into_iter().filter_map(|digit| {
        let place = usize::from(digit) % ALPHABET.len();
        ALPHABET.get(place)
    });
    letters.collect()
}

/// Whether two templates are equal but for the hash among their labels.
pub(super) fn is_equal(left: &PodTemplateSpec, right: &PodTemplateSpec) -> bool {
    if left.spec != right.spec {
        return false;
    }
    let bare = |template: &PodTemplateSpec| {
        let mut metadata = template.metadata.clone();
        metadata.labels.remove(LABEL_HASH);
        metadata
    };
    bare(left) == bare(right)
}

#[cfg(test)]
mod tests {
    use api::{Container, PodSpec};

    use super::*;

    fn template(image: &str) -> PodTemplateSpec {
        let container = Container {
            image: image.to_owned(),
            ..Container::default()
        };
        PodTemplateSpec {
            spec: PodSpec {
                containers: vec![container],
                ..PodSpec::default()
            },
            ..PodTemplateSpec::default()
        }
    }

    #[test]
    fn hashes_follow_the_content() {
        let first = hash(&template("a"), None);
        assert_eq!(first, hash(&template("a"), None));
        assert_ne!(first, hash(&template("b"), None));
        assert_ne!(first, hash(&template("a"), Some(1)));
        assert!(first.chars().all(|letter| ALPHABET.contains(&letter)));
    }

    #[test]
    fn the_hash_label_makes_no_difference() {
        let mut labelled = template("a");
        let labels = &mut labelled.metadata.labels;
        labels.insert(LABEL_HASH.to_owned(), "xyz".to_owned());
        assert!(is_equal(&labelled, &template("a")));
        assert!(!is_equal(&labelled, &template("b")));
    }
}
