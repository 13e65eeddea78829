//! Long runs of rules that test a protocol and a destination port, indexed.
//!
//! **What.** A [`RunIndex`] tells, for a packet at a rule of a chain, the next rule that may match it. **Why.**
//! KUBE-SERVICES has a rule for each Service, and a kernel compares them all; the simulator has the same answer
//! without. Rules that are left out differ from the packet in their protocol or destination port, or in their
//! exact destination address; comparing them changes nothing, so nobody can tell, but for the number of rules
//! that a kernel tests, which is counted. A property test holds the two equal.

use std::net::IpAddr;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ruleset::Protocol;
use ruleset::xt::{PortRange, XtMatch, XtRule};

use crate::Tuple;

/// Shorter runs are not worth it.
const RUN_MIN: usize = 4;

/// The runs of one chain, in order.
#[derive(Clone, Debug)]
pub(crate) struct RunIndex(Vec<Run>);

#[derive(Clone, Debug)]
struct Run {
    rules: Range<usize>,
    /// Where in `candidates` the rules of a key are.
    places: HashMap<RunKey, Range<u32>, FixedState>,
    /// Rules by key, ascending.
    candidates: Vec<usize>,
}

/// What an indexed rule tests, whatever else it tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct RunKey {
    protocol: Protocol,
    port: u16,
    /// `None` when the rule does not test for a single address.
    address: Option<IpAddr>,
}

impl RunIndex {
    /// `None` when there is no run.
    pub(crate) fn of(rules: &[XtRule]) -> Option<Self> {
        let mut runs = Vec::new();
        let mut keys: Vec<(RunKey, usize)> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match key_of(rule) {
                Some(key) => keys.push((key, index)),
                None => runs.extend(Run::of(std::mem::take(&mut keys))),
            }
        }
        runs.extend(Run::of(keys));
        (!runs.is_empty()).then_some(Self(runs))
    }

    /// The first rule from `from` on that may match a packet of this flow; it may lie after the last rule.
    pub(crate) fn next(&self, from: usize, flow: Option<Tuple>) -> usize {
        let place = self.0.partition_point(|run| run.rules.end <= from);
        match self.0.get(place) {
            Some(run) if run.rules.start <= from => run.next(from, flow),
            _ => from,
        }
    }
}

impl Run {
    /// A run of consecutive rules, if they are enough.
    fn of(mut keys: Vec<(RunKey, usize)>) -> Option<Self> {
        if keys.len() < RUN_MIN {
            return None;
        }
        let (first, last) = (keys.first()?.1, keys.last()?.1);
        keys.sort_unstable();
        let mut places: HashMap<RunKey, Range<u32>, FixedState> = HashMap::default();
        for ((key, _), place) in keys.iter().zip(0_u32..) {
            places.entry(*key).or_insert(place..place).end = place + 1;
        }
        Some(Self {
            rules: first..last + 1,
            places,
            candidates: keys.into_iter().map(|(_, rule)| rule).collect(),
        })
    }

    fn next(&self, from: usize, flow: Option<Tuple>) -> usize {
        let end = self.rules.end;
        let Some((flow, port)) = flow.and_then(|flow| Some((flow, flow.destination_port()?)))
        else {
            return end;
        };
        let with = |address| {
            let key = RunKey {
                protocol: flow.protocol(),
                port,
                address,
            };
            let place = self.places.get(&key)?;
            let rules = &self.candidates[place.start as usize..place.end as usize];
            let later = rules.partition_point(|rule| *rule < from);
            rules.get(later).copied()
        };
        let (exact, any) = (with(Some(flow.destination())), with(None));
        exact.unwrap_or(end).min(any.unwrap_or(end))
    }
}

/// `None` for a rule that does not test for one protocol and port before it does anything else that counts: a
/// random choice, a look into a list.
fn key_of(rule: &XtRule) -> Option<RunKey> {
    let (false, protocol) = rule.protocol? else {
        return None;
    };
    let port = rule.matches.iter().find_map(|one| match one {
        XtMatch::Ports {
            protocol: of,
            destination: Some(range),
            ..
        } if *of == protocol => Some(single(*range)),
        XtMatch::Random(_) | XtMatch::Recent(_) => Some(None),
        _ => None,
    })??;
    let address = rule
        .destination
        .filter(|wanted| !wanted.negated && wanted.net.prefix_len() == wanted.net.max_prefix_len());
    Some(RunKey {
        protocol,
        port,
        address: address.map(|wanted| wanted.net.addr()),
    })
}

fn single(range: PortRange) -> Option<u16> {
    (!range.negated && range.first == range.last).then_some(range.first)
}
