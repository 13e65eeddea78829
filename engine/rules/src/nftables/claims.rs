//! Who wants an element.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruleset::nft::{Key, key_prefix};
use ruleset::{Sorted, SortedBuilder};
use smallvec::SmallVec;

use super::container::Container;
use super::fragment::{Fragment, Part};
use crate::ServicePortId;

/// By container and key.
pub(super) type ClaimsByKey = Sorted<(Container, Key), Claims>;

/// In the order of service ports, and in that of each one's parts. Never empty.
pub(super) type Claims = SmallVec<[Claim; 1]>;

/// A part of what a service port contributes.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    fragment: Arc<Fragment>,
    number: usize,
}

impl Claim {
    pub(super) fn of(fragment: Option<&Arc<Fragment>>, number: usize) -> Self {
        let fragment = Arc::clone(fragment.expect("parts are of a fragment"));
        Self { fragment, number }
    }

    pub(super) fn part(&self) -> &Part {
        &self.fragment.parts[self.number]
    }

    pub(super) fn rank(&self) -> (&ServicePortId, usize) {
        (&self.fragment.id, self.number)
    }
}

/// All claims of fragments that are in the order of service ports.
pub(super) fn claims_of<'f>(fragments: impl Iterator<Item = &'f Arc<Fragment>>) -> ClaimsByKey {
    let mut by_container: BTreeMap<Container, Vec<(u128, Key, Claim)>> = BTreeMap::new();
    for fragment in fragments {
        for (number, part) in fragment.parts.iter().enumerate() {
            let (container, key) = part.claimed();
            let claim = Claim::of(Some(fragment), number);
            let wanted = by_container.entry(container).or_default();
            wanted.push((key_prefix(&key), key, claim));
        }
    }
    let mut all = SortedBuilder::default();
    for (container, wanted) in by_container {
        for (key, claims) in together(wanted) {
            all.push((container, key), claims);
        }
    }
    all.build()
}

/// Claims by key, in order. Those of one key stay in their order.
fn together(mut wanted: Vec<(u128, Key, Claim)>) -> Vec<(Key, Claims)> {
    // Prefixes are moved about and compared faster than keys. They tell nearly all keys apart.
    let prefixes = wanted.iter().map(|(prefix, ..)| *prefix);
    let mut order: Vec<(u128, usize)> = prefixes.zip(0..).collect();
    order.sort_unstable();
    for alike in order.chunk_by_mut(|(one, _), (other, _)| one == other) {
        alike.sort_by(|(_, one), (_, other)| wanted[*one].1.cmp(&wanted[*other].1));
    }
    let mut together: Vec<(Key, Claims)> = Vec::with_capacity(order.len());
    for (_, place) in order {
        let (_, key, claim) = &mut wanted[place];
        match together.last_mut() {
            Some((last, claims)) if last == key => claims.push(claim.clone()),
            _ => together.push((std::mem::take(key), Claims::from_elem(claim.clone(), 1))),
        }
    }
    together
}
