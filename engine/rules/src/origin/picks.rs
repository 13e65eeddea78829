//! Origins of endpoints that are looked up by the number that was drawn.
//!
//! **Why.** Nearly all origins of a large cluster are these, and hardly any is ever asked for. So a list of endpoints takes as
//! many ids as it has endpoints, and what they stand for is put together when somebody asks.

use std::hash::{BuildHasher as _, Hash as _};
use std::sync::{Arc, OnceLock};

use foldhash::fast::FixedState;
use ruleset::OriginId;

use super::intern::Numbered;
use super::{Decision, Origin, ServicePortOrigin};
use crate::EndpointPlan;

/// Lists of endpoints to choose from; equal ones of a service port are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Picks {
    choices: Numbered<Choice>,
    /// How many endpoints all have.
    len: u32,
}

/// A list of endpoints, each as likely as the others.
#[derive(Clone, Debug)]
struct Choice {
    ids: PickIds,
    port: Arc<ServicePortOrigin>,
    /// As a plan has them, which shares them; whether they are on its node does not count.
    endpoints: Arc<[EndpointPlan]>,
    /// Once somebody has asked.
    origins: OnceLock<Box<[Origin]>>,
}

/// The ids of a list's endpoints. Those of lists with equal addresses and Pods are equal, whatever else they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PickIds {
    first: u32,
    count: u32,
}

impl PickIds {
    /// How many endpoints the list has.
    pub(crate) const fn count(self) -> u32 {
        self.count
    }

    /// The id of the endpoint that goes with a number, if there is one.
    pub(crate) fn of(self, number: u32) -> Option<OriginId> {
        (number < self.count).then(|| OriginId((self.first + number) << 1 | 1))
    }
}

/// An id has a bit that says of which sort it is.
const PLACES_MAX: u32 = 1 << 31;

impl Picks {
    /// The place of an id among these, if it is of one of these. All others are even.
    pub(super) const fn place(id: OriginId) -> Option<u32> {
        if id.0 & 1 == 1 { Some(id.0 >> 1) } else { None }
    }

    pub(super) fn make_room(&mut self, count: usize) {
        self.choices.make_room(count);
    }

    pub(super) fn ids(
        &mut self,
        hasher: &FixedState,
        (port, number): (&Arc<ServicePortOrigin>, u32),
        endpoints: &Arc<[EndpointPlan]>,
    ) -> PickIds {
        let mut state = hasher.build_hasher();
        number.hash(&mut state);
        let addresses = endpoints.iter().map(|endpoint| endpoint.address);
        addresses.for_each(|address| address.hash(&mut state));
        let hash = std::hash::Hasher::finish(&state);
        let is_it = |known: &Choice| {
            Arc::ptr_eq(&known.port, port) && have_the_same_origins(&known.endpoints, endpoints)
        };
        if let Some(known) = self.choices.find(hash, is_it) {
            return self.choices.get(known).ids;
        }
        let ids = PickIds {
            first: self.len,
            count: u32::try_from(endpoints.len()).expect("fewer endpoints than 2^32"),
        };
        self.len = places_after(ids);
        let choice = Choice {
            ids,
            port: Arc::clone(port),
            endpoints: Arc::clone(endpoints),
            origins: OnceLock::new(),
        };
        self.choices.add(hash, choice);
        ids
    }

    pub(super) fn get(&self, place: u32) -> Option<&Origin> {
        let choices = self.choices.all();
        let behind = choices.partition_point(|choice| choice.ids.first <= place);
        let choice = choices.get(behind.checked_sub(1)?)?;
        let origins = choice.origins.get_or_init(|| choice.origins());
        origins.get((place - choice.ids.first) as usize)
    }
}

impl Choice {
    fn origins(&self) -> Box<[Origin]> {
        let origin = |endpoint: &EndpointPlan| Origin {
            endpoint: Some(endpoint.address),
            decision: Decision::Pick {
                probability: (1, self.ids.count),
            },
            pod: endpoint.pod.clone(),
            service_port: Some(Arc::clone(&self.port)),
        };
        self.endpoints.iter().map(origin).collect()
    }
}

/// Whether two lists agree in all that an origin says of an endpoint, so that nodes share ids.
fn have_the_same_origins(one: &[EndpointPlan], other: &[EndpointPlan]) -> bool {
    let has_the_same = |one: &EndpointPlan, other: &EndpointPlan| {
        one.address == other.address && one.pod == other.pod
    };
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| has_the_same(one, other))
}

/// How many places there are with these behind all others.
///
/// # Panics
/// When there are more places than ids.
fn places_after(ids: PickIds) -> u32 {
    let places = ids.first.checked_add(ids.count);
    let places = places.filter(|places| *places <= PLACES_MAX);
    places.expect("fewer picks than 2^31")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_that_fits_has_an_id_of_its_own() {
        let last = PickIds {
            first: PLACES_MAX - 2,
            count: 2,
        };
        assert_eq!(places_after(last), PLACES_MAX);
        let ids = [0, 1, 2].map(|number| last.of(number));
        let expected = [u32::MAX - 2, u32::MAX].map(OriginId);
        assert_eq!(ids, [Some(expected[0]), Some(expected[1]), None]);
    }

    #[test]
    #[should_panic(expected = "fewer picks than 2^31")]
    fn more_places_than_ids_are_refused() {
        places_after(PickIds {
            first: PLACES_MAX,
            count: 1,
        });
    }
}
