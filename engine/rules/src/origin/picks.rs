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

/// Lists of endpoints to choose from; equal ones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Picks {
    choices: Numbered<Choice>,
    /// How many endpoints all have.
    len: u32,
}

/// A list of endpoints, each as likely as the others.
#[derive(Clone, Debug)]
struct Choice {
    first: u32,
    port: Arc<ServicePortOrigin>,
    endpoints: Arc<[EndpointPlan]>,
    /// Once somebody has asked.
    origins: OnceLock<Box<[Origin]>>,
}

/// The ids of a list's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PickIds {
    first: u32,
}

impl PickIds {
    /// The id of the endpoint that goes with a number.
    pub(crate) const fn of(self, number: u32) -> OriginId {
        OriginId((self.first + number) << 1 | 1)
    }
}

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
        let is_it =
            |known: &Choice| Arc::ptr_eq(&known.port, port) && known.endpoints == *endpoints;
        if let Some(known) = self.choices.find(hash, is_it) {
            let first = self.choices.get(known).first;
            return PickIds { first };
        }
        let first = self.len;
        let count = u32::try_from(endpoints.len()).expect("fewer endpoints than 2^32");
        self.len = first.checked_add(count).expect("fewer picks than 2^31");
        let choice = Choice {
            first,
            port: Arc::clone(port),
            endpoints: Arc::clone(endpoints),
            origins: OnceLock::new(),
        };
        self.choices.add(hash, choice);
        PickIds { first }
    }

    pub(super) fn get(&self, place: u32) -> Option<&Origin> {
        let choices = self.choices.all();
        let behind = choices.partition_point(|choice| choice.first <= place);
        let choice = choices.get(behind.checked_sub(1)?)?;
        let origins = choice.origins.get_or_init(|| choice.origins());
        origins.get((place - choice.first) as usize)
    }
}

impl Choice {
    fn origins(&self) -> Box<[Origin]> {
        let count = u32::try_from(self.endpoints.len()).expect("fewer endpoints than 2^32");
        let origin = |endpoint: &EndpointPlan| Origin {
            endpoint: Some(endpoint.address),
            decision: Decision::Pick {
                probability: (1, count),
            },
            pod: endpoint.pod.clone(),
            service_port: Some(Arc::clone(&self.port)),
        };
        self.endpoints.iter().map(origin).collect()
    }
}
