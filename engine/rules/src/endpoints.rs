//! Which endpoints of a service port may be chosen on a node.
//!
//! Source of the semantics: PROXY-4, -5, -7 … -13; kube-proxy `endpointslicecache.go` and `topology.go`
//! (`CategorizeEndpoints`).

use std::net::SocketAddr;

use ruleset::Family;

use crate::socket_text::sort_as_text;
use crate::{EndpointPlan, EndpointView, NodeFacts, ServicePortView, SlicesByName};

/// An endpoint of a service port, whatever its condition.
struct Candidate<'v> {
    port: u16,
    view: &'v EndpointView,
}

impl Candidate<'_> {
    const fn address(&self) -> SocketAddr {
        SocketAddr::new(self.view.address, self.port)
    }
}

/// All endpoints of one service port in one family, sorted by the text `ip:port` (PROXY-41).
pub(crate) struct Candidates<'v>(Vec<Candidate<'v>>);

impl<'v> Candidates<'v> {
    /// Joins the slices' ports with the Service's: name and protocol have to be equal (PROXY-4).
    pub(crate) fn of_port(
        slices: &'v SlicesByName,
        port: &ServicePortView,
        family: Family,
    ) -> Self {
        let slices = slices.values().filter(|slice| slice.family == family);
        let count = slices.clone().map(|slice| slice.endpoints.len()).sum();
        let mut candidates = Vec::with_capacity(count);
        for slice in slices {
            let joined = slice.ports.iter().filter(|slice_port| {
                (&slice_port.name, slice_port.protocol) == (&port.name, port.protocol)
                    && slice_port.port != 0
            });
            for slice_port in joined {
                let of_family = |view: &&EndpointView| Family::of(view.address) == family;
                let views = slice.endpoints.iter().filter(of_family);
                let port = slice_port.port;
                candidates.extend(views.map(|view| Candidate { port, view }));
            }
        }
        sort_as_text(&mut candidates, Candidate::address);
        // A new Pod may have got the address of one that is still terminating (PROXY-5).
        candidates.dedup_by(|later, earlier| {
            let is_same = later.address() == earlier.address();
            if is_same && !later.view.terminating {
                earlier.view = later.view;
            }
            is_same
        });
        Self(candidates)
    }

    /// Whether any node has an endpoint that could be used (PROXY-11).
    pub(crate) fn any_usable(&self) -> bool {
        self.0
            .iter()
            .any(|candidate| candidate.view.ready || is_fallback(candidate.view))
    }

    /// The cluster set: ready and allowed by topology, else those that serve while terminating (PROXY-8).
    pub(crate) fn cluster(&self, facts: &NodeFacts) -> Vec<EndpointPlan> {
        let topology = Topology::of(&self.ready().map(|candidate| candidate.view), facts);
        let near = self
            .ready()
            .filter(|candidate| topology.allows(candidate.view, facts));
        self.or_fallback(near, |_| true, facts)
    }

    /// The local set: this node's ready ones, else those of it that serve while terminating (PROXY-9).
    pub(crate) fn local(&self, facts: &NodeFacts) -> Vec<EndpointPlan> {
        let is_here = |candidate: &&Candidate<'v>| is_local(candidate.view, facts);
        self.or_fallback(self.ready().filter(is_here), is_here, facts)
    }

    fn ready(&self) -> impl Iterator<Item = &Candidate<'v>> + Clone {
        self.0.iter().filter(|candidate| candidate.view.ready)
    }

    fn or_fallback<'c>(
        &'c self,
        preferred: impl Iterator<Item = &'c Candidate<'v>>,
        eligible: impl Fn(&&Candidate<'v>) -> bool,
        facts: &NodeFacts,
    ) -> Vec<EndpointPlan>
    where
        'v: 'c,
    {
        let to_plan = |candidate: &Candidate<'_>| EndpointPlan {
            address: candidate.address(),
            is_local: is_local(candidate.view, facts),
            pod: candidate.view.pod.clone(),
        };
        let mut plans = Vec::with_capacity(self.0.len());
        plans.extend(preferred.map(to_plan));
        if plans.is_empty() {
            let fallbacks = self.0.iter();
            let fallbacks = fallbacks.filter(|candidate| is_fallback(candidate.view));
            plans.extend(fallbacks.filter(eligible).map(to_plan));
        }
        plans
    }
}

/// Used only when nothing is ready (PROXY-12).
const fn is_fallback(view: &EndpointView) -> bool {
    view.serving && view.terminating
}

fn is_local(view: &EndpointView, facts: &NodeFacts) -> bool {
    view.node.as_ref() == Some(&facts.name)
}

/// How ready endpoints are narrowed down by their hints (PROXY-10).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topology {
    Anywhere,
    SameNode,
    SameZone,
}

impl Topology {
    /// A mode is on when *every* ready endpoint has its kind of hint and one at least names this node or zone.
    fn of<'v>(ready: &(impl Iterator<Item = &'v EndpointView> + Clone), facts: &NodeFacts) -> Self {
        let is_on = |mode: Self, has_hint: fn(&EndpointView) -> bool| {
            ready.clone().all(has_hint) && ready.clone().any(|view| mode.allows(view, facts))
        };
        if is_on(Self::SameNode, |view| !view.hints.nodes().is_empty()) {
            Self::SameNode
        } else if is_on(Self::SameZone, |view| !view.hints.zones().is_empty()) {
            Self::SameZone
        } else {
            Self::Anywhere
        }
    }

    fn allows(self, view: &EndpointView, facts: &NodeFacts) -> bool {
        match self {
            Self::Anywhere => true,
            Self::SameNode => view.hints.nodes().contains(&facts.name),
            Self::SameZone => facts
                .zone
                .as_ref()
                .is_some_and(|zone| view.hints.zones().contains(zone)),
        }
    }
}
