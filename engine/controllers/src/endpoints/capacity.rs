//! At most 1000 addresses, and an annotation that says if there would be more.
//!
//! **Source of the semantics.** EP-67; S: `pkg/controller/endpoint/endpoints_controller.go` (truncateEndpoints,
//! capacityAnnotationSetCorrectly). As there, a subset without a ready address is empty once not all ready addresses
//! of the others fit, and the API server refuses it.

use api::{EndpointSubset, Endpoints};

/// `maxCapacity`
const ADDRESSES_MAX: usize = 1000;
const ANNOTATION: &str = "endpoints.kubernetes.io/over-capacity";
const TRUNCATED: &str = "truncated";

/// Takes away what is too much, and says so in the annotation.
pub(super) fn limit(endpoints: &mut Endpoints) {
    let annotations = &mut endpoints.metadata.annotations;
    let (ready, not_ready) = counts(&endpoints.subsets);
    if ready + not_ready > ADDRESSES_MAX {
        truncate(&mut endpoints.subsets);
        annotations.insert(ANNOTATION.to_owned(), TRUNCATED.to_owned());
    } else {
        annotations.remove(ANNOTATION);
    }
}

/// Whether stored Endpoints that should list just what they do need no other annotation. Those that say that they
/// were truncated are always written again.
pub(super) fn is_settled(endpoints: &Endpoints) -> bool {
    let (ready, not_ready) = counts(&endpoints.subsets);
    let annotated = endpoints.metadata.annotations.contains_key(ANNOTATION);
    ready + not_ready <= ADDRESSES_MAX && !annotated
}

/// Each subset keeps its share, rounded up, until none is left. Addresses that are not ready go first.
fn truncate(subsets: &mut [EndpointSubset]) {
    let (ready, not_ready) = counts(subsets);
    let too_many_ready = ready > ADDRESSES_MAX;
    let (total, room) = if too_many_ready {
        (ready, ADDRESSES_MAX)
    } else {
        (not_ready, ADDRESSES_MAX - ready)
    };
    let mut left = room;
    for subset in subsets {
        let addresses = if too_many_ready {
            subset.not_ready_addresses.clear();
            &mut subset.addresses
        } else {
            &mut subset.not_ready_addresses
        };
        addresses.truncate(share(addresses.len(), total, room).min(left));
        left -= addresses.len();
    }
}

/// In floating point, as in Kubernetes: rounding up what is off by a hair gives one more.
fn share(count: usize, total: usize, room: usize) -> usize {
    (count as f64 / total as f64 * room as f64).ceil() as usize
}

/// Addresses that are ready, and that are not.
fn counts(subsets: &[EndpointSubset]) -> (usize, usize) {
    let ready = subsets.iter().map(|subset| subset.addresses.len());
    let not_ready = subsets
        .iter()
        .map(|subset| subset.not_ready_addresses.len());
    (ready.sum(), not_ready.sum())
}

#[cfg(test)]
mod tests {
    use api::EndpointAddress;

    use super::*;

    /// Subsets with so many ready and not ready addresses; what is left of each, and whether it is annotated.
    fn check(subsets: &[(usize, usize)], expected: &[(usize, usize)], annotated: bool) {
        let addresses = |count| vec![EndpointAddress::default(); count];
        let subset = |(ready, not_ready): &(usize, usize)| EndpointSubset {
            addresses: addresses(*ready),
            not_ready_addresses: addresses(*not_ready),
            ports: Vec::new(),
        };
        let mut endpoints = Endpoints {
            subsets: subsets.iter().map(subset).collect(),
            ..Endpoints::default()
        };
        limit(&mut endpoints);
        let left: Vec<_> = endpoints
            .subsets
            .iter()
            .map(|subset| (subset.addresses.len(), subset.not_ready_addresses.len()))
            .collect();
        assert_eq!(left, expected, "{subsets:?}");
        let annotation = endpoints.metadata.annotations.get(ANNOTATION);
        assert_eq!(
            annotation.map(String::as_str),
            annotated.then_some(TRUNCATED)
        );
        assert_ne!(is_settled(&endpoints), annotated);
        limit(&mut endpoints);
        assert!(is_settled(&endpoints), "the annotation goes when all fit");
    }

    #[test]
    fn ep_67_ready_addresses_first_and_each_subset_its_share() {
        check(&[(1000, 0)], &[(1000, 0)], false);
        check(&[(400, 200), (0, 400)], &[(400, 200), (0, 400)], false);
        check(&[(1005, 5)], &[(1000, 0)], true);
        check(
            &[(600, 10), (600, 10), (600, 10)],
            &[(334, 0), (334, 0), (332, 0)],
            true,
        );
        check(&[(1000, 7), (0, 9)], &[(1000, 0), (0, 0)], true);
        check(&[(500, 300), (400, 300)], &[(500, 50), (400, 50)], true);
        check(&[(0, 2000), (1, 1)], &[(0, 999), (1, 0)], true);
    }
}
