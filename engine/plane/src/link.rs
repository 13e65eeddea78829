//! Links that are not as they should be.
//!
//! **What.** [`Links`] holds the impairments and what they have to remember: a stream of random choices for each link,
//! and what waits in its queues. **Why.** Most links are whole and are not in here: a packet over one costs a look at an
//! empty map. What follows from an impairment alone (a cut, the MTU, the delay) is asked without changing anything, so
//! that a trace sees it too; the rest is drawn when a packet is sent. **Source of the semantics.** tc-netem(8).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use base::{Rng, Seed, SimTime};

use crate::network::{Attachment, Network, Next, Transit};
use crate::topology::Hub;
use crate::{HostId, Impairment, LinkEnd, LinkError, LostReason, NodeId, Place};

/// Packets that may wait for a slow link (`txqueuelen`; netem's `limit`).
const QUEUE_LEN: usize = 1000;
/// The least that every link carries (RFC 8200, section 5).
const MTU_LEAST: usize = 1280;

/// An end of a link, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Node(NodeId),
    Host(HostId),
    Zone(Hub),
}

/// What a place at the end of a packet's step is: itself, and its zone.
type Ends = [Option<End>; 2];

/// The links that are impaired.
#[derive(Debug)]
pub(crate) struct Links {
    seed: Seed,
    /// By both ends, the lower first.
    impaired: BTreeMap<(End, End), Link>,
    /// Whether one of them takes less than others: nodes ask with every packet.
    has_narrow: bool,
}

#[derive(Debug)]
struct Link {
    impairment: Impairment,
    random: Rng,
    /// For each direction, when the packets that are waiting will have left.
    queues: [VecDeque<SimTime>; 2],
}

/// A link that a step takes, and which way.
#[derive(Clone, Copy)]
struct Passage {
    link: (End, End),
    queue: usize,
}

impl Links {
    pub(crate) const fn new(seed: Seed) -> Self {
        Self {
            seed,
            impaired: BTreeMap::new(),
            has_narrow: false,
        }
    }

    /// Is called when links have changed.
    fn note_narrow(&mut self) {
        let mut links = self.impaired.values();
        self.has_narrow = links.any(|link| link.impairment.mtu.is_some());
    }

    /// The impaired links among those between two places.
    fn between(&self, [from, to]: [Ends; 2]) -> impl Iterator<Item = (Passage, &Link)> {
        let pairs = from
            .into_iter()
            .flatten()
            .flat_map(move |from| to.into_iter().flatten().map(move |to| (from, to)));
        pairs.filter_map(|(from, to)| {
            let link = (from.min(to), from.max(to));
            let queue = usize::from(from > to);
            let found = self.impaired.get(&link)?;
            Some((Passage { link, queue }, found))
        })
    }
}

impl Link {
    /// How long a packet takes beyond the usual, for each of its copies that gets through.
    fn pass(
        &mut self,
        queue: usize,
        now: SimTime,
        len: usize,
    ) -> Result<Vec<Duration>, LostReason> {
        let random = &mut self.random;
        if self.impairment.loss.strikes(random) {
            return Err(LostReason::LostOnLink);
        }
        let copies = 1 + usize::from(self.impairment.duplicate.strikes(random));
        let mut times = Vec::with_capacity(copies);
        for _ in 0..copies {
            if let Some(waited) = self.wait(queue, now, len) {
                times.push(waited + self.travel());
            }
        }
        match times.is_empty() {
            true => Err(LostReason::QueueFull),
            false => Ok(times),
        }
    }

    /// How long a packet waits for those before it and for its own bits; `None` when there is no room.
    fn wait(&mut self, queue: usize, now: SimTime, len: usize) -> Option<Duration> {
        let Some(rate) = self.impairment.rate else {
            return Some(Duration::ZERO);
        };
        let waiting = &mut self.queues[queue];
        while waiting.front().is_some_and(|left| *left <= now) {
            waiting.pop_front();
        }
        if waiting.len() >= QUEUE_LEN {
            return None;
        }
        let free_at = waiting.back().copied().unwrap_or(now);
        let left = free_at + sending_time(len, rate);
        waiting.push_back(left);
        Some(left.since(now))
    }

    fn travel(&mut self) -> Duration {
        let Impairment { delay, jitter, .. } = self.impairment;
        if self.impairment.reorder.strikes(&mut self.random) {
            return Duration::ZERO;
        }
        let spread = u64::try_from(jitter.as_nanos() * 2).unwrap_or(u64::MAX - 1);
        let drawn = match spread {
            0 => Duration::ZERO,
            spread => Duration::from_nanos(self.random.below(spread + 1)),
        };
        (delay + drawn).saturating_sub(jitter)
    }
}

/// How long it takes to send so many bytes.
fn sending_time(len: usize, bits_per_second: u64) -> Duration {
    let bits = u128::try_from(len).unwrap_or(u128::MAX).saturating_mul(8);
    let nanos = bits.saturating_mul(1_000_000_000) / u128::from(bits_per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Network {
    pub(crate) fn impair(
        &mut self,
        a: LinkEnd<'_>,
        b: LinkEnd<'_>,
        impairment: Option<Impairment>,
        now: SimTime,
    ) -> Result<(), LinkError> {
        let [first, second] = [self.end(a)?, self.end(b)?];
        self.check_link(first, second)?;
        let link = (first.min(second), first.max(second));
        let Some(mut impairment) = impairment else {
            self.links.impaired.remove(&link);
            self.links.note_narrow();
            return Ok(());
        };
        impairment.mtu = impairment.mtu.map(|mtu| mtu.clamp(MTU_LEAST, 65_535));
        // The instant is part of the name, so that a link that is impaired again draws afresh.
        let [low, high] = [link.0, link.1].map(|end| self.end_name(end));
        let stream = format!("plane/link/{low}/{high}/{}", now.as_nanos());
        let link_state = Link {
            impairment,
            random: self.links.seed.split(&stream),
            queues: [const { VecDeque::new() }; 2],
        };
        self.links.impaired.insert(link, link_state);
        self.links.note_narrow();
        Ok(())
    }

    /// Mends the links of a host that goes.
    pub(crate) fn forget_links_of(&mut self, host: HostId) {
        let gone = End::Host(host);
        let links = &mut self.links.impaired;
        links.retain(|(low, high), _| *low != gone && *high != gone);
        self.links.note_narrow();
    }

    /// A step with what is known beforehand of the links that it takes: a cut ends it.
    pub(crate) fn unless_cut(&self, transit: Transit) -> Transit {
        if self.links.impaired.is_empty() {
            return transit;
        }
        let Some(ends) = self.ends_of(&transit) else {
            return transit;
        };
        let mut links = self.links.between(ends);
        match links.any(|(_, link)| link.impairment.cut) {
            true => Transit::lost(transit.from, LostReason::LinkCut),
            false => transit,
        }
    }

    /// How much longer than usual a step takes, chance aside.
    pub(crate) fn added_delay(&self, transit: &Transit) -> Duration {
        self.impairments(transit)
            .map(|impairment| impairment.delay)
            .sum()
    }

    /// The largest packet for a step, where it is smaller than everywhere.
    pub(crate) fn narrowest(&self, transit: &Transit) -> Option<usize> {
        self.impairments(transit)
            .filter_map(|impairment| impairment.mtu)
            .min()
    }

    fn impairments(&self, transit: &Transit) -> impl Iterator<Item = &Impairment> {
        let whole = self.links.impaired.is_empty();
        let ends = (!whole).then(|| self.ends_of(transit)).flatten();
        let links = ends.into_iter().flat_map(|ends| self.links.between(ends));
        links.map(|(_, link)| &link.impairment)
    }

    /// Sends a packet over the links of a step. What arrives and how long it takes, or why nothing does.
    pub(crate) fn send_over(
        &mut self,
        transit: &Transit,
        now: SimTime,
        len: usize,
    ) -> Result<Vec<Duration>, LostReason> {
        let mut times = vec![transit.delay];
        let Some(ends) = self.ends_of(transit) else {
            return Ok(times);
        };
        let passages: Vec<Passage> = self.links.between(ends).map(|(found, _)| found).collect();
        for Passage { link, queue } in passages {
            let Some(link) = self.links.impaired.get_mut(&link) else {
                continue;
            };
            let mut fate = Err(LostReason::LostOnLink);
            for time in std::mem::take(&mut times) {
                match link.pass(queue, now, len) {
                    Ok(copies) => {
                        times.extend(copies.into_iter().map(|added| time + added));
                        fate = Ok(());
                    }
                    Err(reason) => fate = fate.or(Err(reason)),
                }
            }
            fate?;
        }
        Ok(times)
    }

    /// Whether some link takes less than others.
    pub(crate) const fn has_narrow_links(&self) -> bool {
        self.links.has_narrow
    }

    /// Whether every link is as it should be.
    pub(crate) fn is_whole(&self) -> bool {
        self.links.impaired.is_empty()
    }

    fn end(&self, end: LinkEnd<'_>) -> Result<End, LinkError> {
        match end {
            LinkEnd::Node(node) => Ok(End::Node(node)),
            LinkEnd::Zone(zone) => {
                let zone = self.topology.zone(zone).ok_or(LinkError::NoSuchZone)?;
                Ok(End::Zone(zone))
            }
            LinkEnd::Host(id) => {
                let host = self.host(id).ok_or(LinkError::NoSuchHost)?;
                Ok(match host.attachment {
                    Attachment::Node(node) => End::Node(node),
                    Attachment::Pod { .. } | Attachment::Outside { .. } => End::Host(id),
                })
            }
        }
    }

    fn check_link(&self, first: End, second: End) -> Result<(), LinkError> {
        let node_of = |end| match end {
            End::Host(host) => self.node_of_pod(host),
            End::Node(_) | End::Zone(_) => None,
        };
        let its_node = |pod, other| match node_of(pod) {
            Some(node) => other == End::Node(node),
            None => true,
        };
        if first == second && !matches!(first, End::Zone(_)) {
            return Err(LinkError::OneEnd);
        }
        match its_node(first, second) && its_node(second, first) {
            true => Ok(()),
            false => Err(LinkError::NotItsNode),
        }
    }

    fn node_of_pod(&self, host: HostId) -> Option<NodeId> {
        match self.host(host)?.attachment {
            Attachment::Pod { node, .. } => Some(node),
            Attachment::Node(_) | Attachment::Outside { .. } => None,
        }
    }

    fn end_name(&self, end: End) -> String {
        match end {
            End::Node(node) => format!("node/{}", self.node(node).name),
            End::Host(host) => {
                let name = self.host(host).map_or("", |host| &host.name);
                format!("host/{name}")
            }
            End::Zone(zone) => format!("zone/{}", self.topology.zone_name(zone)),
        }
    }

    /// What both ends of a step are; `None` when it takes no link.
    fn ends_of(&self, transit: &Transit) -> Option<[Ends; 2]> {
        let to = match &transit.next {
            Next::Node { node, .. } => Place::Node(*node),
            Next::Host(host) => Place::Host(*host),
            Next::Lost { .. } => return None,
        };
        if transit.from == to {
            return None;
        }
        let places = [transit.from, to];
        let mut ends = [[None; 2]; 2];
        let mut to_pod = false;
        for (place, ends) in places.into_iter().zip(&mut ends) {
            *ends = match place {
                Place::Node(node) => [
                    Some(End::Node(node)),
                    Some(End::Zone(self.topology.hub(self.node(node).at))),
                ],
                Place::Host(id) => {
                    let attachment = &self.host(id)?.attachment;
                    if matches!(attachment, Attachment::Node(_)) {
                        return None;
                    }
                    to_pod |= matches!(attachment, Attachment::Pod { .. });
                    [Some(End::Host(id)), None]
                }
                Place::World => return None,
            };
        }
        if to_pod {
            // The zone's links are those between nodes.
            ends[0][1] = None;
            ends[1][1] = None;
        }
        Some(ends)
    }
}
