//! Who wants an element.

use std::sync::Arc;

use ruleset::nft::Key;
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
    let mut all = SortedBuilder::default();
    for (container, mut wanted) in by_container(fragments) {
        sort(&mut wanted);
        for alike in wanted.chunk_by(Wanted::is_of_key_of) {
            let mut claims = Claims::new();
            alike.iter().for_each(|one| claims.push(one.claim()));
            show(claims[0].part());
            all.push_last((container, alike[0].key().clone()), claims);
        }
    }
    all.build()
}

/// What is wanted of each container, in the order of fragments.
fn by_container<'f>(
    fragments: impl Iterator<Item = &'f Arc<Fragment>>,
) -> Vec<(Container, Vec<Wanted<'f>>)> {
    let (count, _) = fragments.size_hint();
    // There are few.
    let mut all: Vec<(Container, Vec<Wanted<'f>>)> = Vec::new();
    for fragment in fragments {
        for (number, part) in fragment.parts.iter().enumerate() {
            let (container, key) = part.claimed();
            let found = all.iter().position(|(one, _)| *one == container);
            let place = found.unwrap_or_else(|| {
                all.push((container, Vec::with_capacity(count)));
                all.len() - 1
            });
            all[place].1.push(Wanted {
                prefix: key.prefix(),
                fragment,
                number,
            });
        }
    }
    all.sort_by_key(|(container, _)| *container);
    all
}

/// A claim, as it is sorted.
struct Wanted<'f> {
    prefix: u128,
    fragment: &'f Arc<Fragment>,
    number: usize,
}

impl<'f> Wanted<'f> {
    fn key(&self) -> &'f Key {
        let (_, key) = self.fragment.parts[self.number].claimed();
        key
    }

    fn is_of_key_of(&self, other: &Self) -> bool {
        self.prefix == other.prefix && self.key() == other.key()
    }

    fn claim(&self) -> Claim {
        Claim::of(Some(self.fragment), self.number)
    }
}

/// Sorts by key; those of one key stay in their order. Prefixes tell nearly all keys apart.
fn sort(wanted: &mut [Wanted<'_>]) {
    wanted.sort_by_key(|one| one.prefix);
    for alike in wanted.chunk_by_mut(|one, other| one.prefix == other.prefix) {
        alike.sort_by_key(Wanted::key);
    }
}
