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

/// All claims of fragments that are in the order of service ports. On the way, each part that has what it claims is shown, in
/// the order of keys.
pub(super) fn claims_of<'f>(
    fragments: impl Iterator<Item = &'f Arc<Fragment>>,
    mut show: impl FnMut(&Part),
) -> ClaimsByKey {
    let mut by_container: BTreeMap<Container, Vec<Wanted<'f>>> = BTreeMap::new();
    for fragment in fragments {
        for (number, part) in fragment.parts.iter().enumerate() {
            let (container, key) = part.claimed();
            by_container.entry(container).or_default().push(Wanted {
                prefix: key_prefix(&key),
                fragment,
                number,
            });
        }
    }
    let mut all = SortedBuilder::default();
    for (container, mut wanted) in by_container {
        sort(&mut wanted);
        let mut last: Option<(Key, Claims)> = None;
        for one in &wanted {
            let (key, claim) = (one.key(), Claim::of(Some(one.fragment), one.number));
            match &mut last {
                Some((last, claims)) if *last == key => claims.push(claim),
                _ => {
                    show(claim.part());
                    if let Some((key, claims)) = last.replace((key, Claims::from_elem(claim, 1))) {
                        all.push((container, key), claims);
                    }
                }
            }
        }
        if let Some((key, claims)) = last {
            all.push((container, key), claims);
        }
    }
    all.build()
}

/// A claim, as it is sorted.
struct Wanted<'f> {
    prefix: u128,
    fragment: &'f Arc<Fragment>,
    number: usize,
}

impl Wanted<'_> {
    fn key(&self) -> Key {
        let (_, key) = self.fragment.parts[self.number].claimed();
        key
    }
}

/// Sorts by key; those of one key stay in their order. Prefixes tell nearly all keys apart.
fn sort(wanted: &mut [Wanted<'_>]) {
    wanted.sort_by_key(|one| one.prefix);
    for alike in wanted.chunk_by_mut(|one, other| one.prefix == other.prefix) {
        alike.sort_by_cached_key(Wanted::key);
    }
}
