//! Who wants an element.

use std::collections::BTreeMap;
use std::sync::Arc;

use ruleset::nft::Key;
use ruleset::{Sorted, SortedBuilder};
use smallvec::SmallVec;

use super::container::Container;
use super::fragment::{Fragment, Part};
use crate::ServicePortId;

/// Who wants an element, by container and key.
#[derive(Clone, Debug, Default)]
pub(super) struct ClaimsByKey(BTreeMap<Container, OfContainer>);

type OfContainer = Sorted<Key, Claims>;

/// In the order of service ports, and in that of each one's parts. Never empty.
pub(super) type Claims = SmallVec<[Claim; 1]>;

impl ClaimsByKey {
    pub(super) fn get(&self, container: Container, key: &Key) -> Option<&Claims> {
        self.0.get(&container)?.get(key)
    }

    /// Those of a container, to change them.
    pub(super) fn of(&mut self, container: Container) -> &mut OfContainer {
        self.0.entry(container).or_default()
    }
}

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

/// All claims of fragments that are in the order of service ports. On the way, whoever has a key is shown, in the order of keys.
pub(super) fn claims_of<'f>(
    fragments: impl Iterator<Item = &'f Arc<Fragment>>,
    mut show: impl FnMut(Container, &Key, &Claim),
) -> ClaimsByKey {
    let mut all = BTreeMap::new();
    for (container, mut wanted) in by_container(fragments) {
        // Those of one key stay in their order.
        wanted.sort_by(|one, other| one.key.cmp(&other.key));
        let mut claims = SortedBuilder::default();
        let mut wanted = wanted.into_iter().peekable();
        while let Some(Wanted { key, claim }) = wanted.next() {
            show(container, &key, &claim);
            let mut alike = Claims::from_buf([claim]);
            while let Some(next) = wanted.next_if(|next| next.key == key) {
                alike.push(next.claim);
            }
            claims.push_last(key, alike);
        }
        all.insert(container, claims.build());
    }
    ClaimsByKey(all)
}

/// What is wanted of each container, in the order of fragments.
fn by_container<'f>(
    fragments: impl Iterator<Item = &'f Arc<Fragment>>,
) -> Vec<(Container, Vec<Wanted>)> {
    let (count, _) = fragments.size_hint();
    // There are few.
    let mut all: Vec<(Container, Vec<Wanted>)> = Vec::new();
    for fragment in fragments {
        for (number, part) in fragment.parts.iter().enumerate() {
            let (container, key) = part.claimed();
            let found = all.iter().position(|(one, _)| *one == container);
            let place = found.unwrap_or_else(|| {
                all.push((container, Vec::with_capacity(count)));
                all.len() - 1
            });
            all[place].1.push(Wanted {
                key: key.clone(),
                claim: Claim::of(Some(fragment), number),
            });
        }
    }
    all
}

/// A claim as it is sorted, with its key: to look into fragments in another order than theirs is dear.
struct Wanted {
    key: Key,
    claim: Claim,
}
