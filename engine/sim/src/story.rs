//! Why a request failed, told after the fact.
//!
//! **What.** Where the rules of which node had sent it, and how far these rules were behind the API. **Why** after the
//! fact: a node's connection tracking and the API's log remember all of it, so the thousands of requests that end well
//! pay nothing. A story may have to wait for its end: when the node's rules caught up.
//! **Source of the semantics.** DBG-41, DBG-71; PROXY-65 is why rules lag.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use api::{Change, EndpointSlice, Object, ObjectKey};
use base::{SimTime, format_duration};
use control::{Control, Outcome, Probe, ProbeOutcome, ProbeRequest, ProbeSource, Source};
use netfilter::Tuple;
use plane::{LostReason, Place};
use rules::ServiceName;

use crate::clients::ClientId;
use crate::sim::Sim;
use crate::trace;

/// A story that may go on: an endpoint did not serve a request that a node had sent there.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// Whose rules.
    pub(crate) node: String,
    endpoint: SocketAddr,
    service: ServiceName,
    /// When the request was sent.
    sent: SimTime,
    outcome: Outcome,
    /// Whether its connection stood before.
    established: bool,
}

impl Open {
    /// When the node's rules ceased to send to the endpoint, if they have since.
    pub(crate) fn dropped(&self, control: &Control) -> Option<SimTime> {
        control.rules_dropped(&self.node, &self.service, self.endpoint, self.sent)
    }
}

impl Sim {
    /// The story of a client that failed just now, as far as it goes.
    pub(crate) fn begin_story(&mut self, id: ClientId, source: &Source) -> (String, Option<Open>) {
        let client = self.clients.get(id);
        let Some((outcome, ..)) = client.verdict() else {
            return (String::new(), None);
        };
        let (Some(remote), Some(protocol)) = (client.remote(), client.protocol()) else {
            let rcode = client
                .resolution()
                .map_or("no answer", |lookup| &lookup.rcode);
            return (format!("its name was not resolved: {rcode}"), None);
        };
        let (sent, established) = (client.began().1, !client.is_first());
        let tuple = client
            .decisive_addresses()
            .last()
            .map(|local| Tuple::new(protocol, *local, remote));
        let tracked = tuple.as_ref().and_then(|tuple| self.tracked(tuple));
        let Some((node, entry)) = tracked else {
            return (self.untracked(source, tuple.as_ref()), None);
        };
        let endpoint = entry.reply().source_socket();
        let node = self.plane.node_name(node).to_owned();
        let end = silence(outcome, established);
        if endpoint == remote {
            let end = match outcome {
                Outcome::Refused => "it was refused",
                _ => end,
            };
            return (self.untranslated(&node, remote, sent, end), None);
        }
        let Some((service, _)) = self.departure(endpoint) else {
            return (format!("{node} sent it on to {endpoint}: {end}"), None);
        };
        let open = Open {
            node,
            endpoint,
            service,
            sent,
            outcome,
            established,
        };
        let dropped = open.dropped(&self.control);
        let why = self.conclude(&open, dropped);
        (why, Some(open).filter(|_| dropped.is_none()))
    }

    /// The story of a request that no node knows of: what would become now of the first packet.
    fn untracked(&mut self, source: &Source, sent: Option<&Tuple>) -> String {
        let Some(host) = self.find_host(source) else {
            return UNKNOWN.to_owned();
        };
        let Some(sent) = sent else {
            return NEVER_LEFT.to_owned();
        };
        let (protocol, remote) = (sent.protocol(), sent.destination_socket());
        let Ok(packet) = trace::first_packet(protocol, sent.source_socket(), remote) else {
            return NEVER_LEFT.to_owned();
        };
        match self.plane.first_place(host, &packet) {
            Ok(Place::Node(node)) => {
                let request = ProbeRequest {
                    node: Some(self.plane.node_name(node).to_owned()),
                    from: ProbeSource::Source(source.clone()),
                    to: remote,
                    protocol,
                };
                match self.explore(&request) {
                    Ok(seen) => refused(&seen),
                    Err(_) => {
                        let node = self.plane.node_name(node);
                        format!("it came to {node}, and what its rules make of it is not known")
                    }
                }
            }
            Ok(Place::Host(host)) => {
                let name = self.plane.host_name(host).unwrap_or_default();
                format!("no node is on its way to {name}, which has {}", remote.ip())
            }
            Ok(Place::World) | Err((_, LostReason::NobodyThere)) => {
                format!("it came to no node: nobody on its way has {}", remote.ip())
            }
            Err((Place::Node(node), reason)) => {
                format!("it was lost at {}: {reason}", self.plane.node_name(node))
            }
            Err((_, reason)) => format!("it came to no node: {reason}"),
        }
    }

    /// The story of a request to an address that no rule had to do with: an endpoint's own, as a headless Service has it.
    fn untranslated(&self, node: &str, remote: SocketAddr, sent: SimTime, end: &str) -> String {
        let left = self.departure(remote).and_then(|(_, left)| left);
        let left = left.map_or_else(String::new, |left| {
            format!("; {remote} left the EndpointSlice {}", apart(left, sent))
        });
        // Conntrack keeps to what was decided first, whatever the rules have come to say since (PROXY-72).
        format!("no rule of {node} had translated the first packet to {remote}: {end}{left}")
    }

    /// A story as it stands, with when the node's rules caught up.
    pub(crate) fn conclude(&self, open: &Open, dropped: Option<SimTime>) -> String {
        let Open {
            node,
            endpoint,
            sent,
            outcome,
            established,
            ..
        } = open;
        let end = silence(*outcome, *established);
        let left = self.departure(*endpoint).and_then(|(_, left)| left);
        let mut why = match left {
            Some(left) if *established => format!(
                "its connection goes to {endpoint} by what {node} decided when it began; {endpoint} left the \
                 EndpointSlice {}: {end}",
                apart(left, *sent)
            ),
            Some(left) if left <= *sent => format!(
                "{node}'s rules still had {endpoint}, removed from the EndpointSlice {} before: {end}",
                span(sent.since(left))
            ),
            Some(left) => format!(
                "{node}'s rules sent it to {endpoint}, which was removed from the EndpointSlice only {} later: {end}",
                span(left.since(*sent))
            ),
            None => format!(
                "{node}'s rules sent it to {endpoint}, which is in the EndpointSlice to this day: {end}"
            ),
        };
        match (left, dropped) {
            (Some(_), Some(dropped)) if !established => why.push_str(&format!(
                "; the sync that took it out of {node}'s rules ended {} later",
                span(dropped.since(*sent))
            )),
            (Some(_), None) if !established => {
                why.push_str(&format!("; no sync of {node} has taken it out since"));
            }
            _ => {}
        }
        why
    }

    /// The Service in whose EndpointSlices an endpoint was ready last, and when it ceased to be.
    fn departure(&self, endpoint: SocketAddr) -> Option<(ServiceName, Option<SimTime>)> {
        let mut later: BTreeMap<ObjectKey, SimTime> = BTreeMap::new();
        for event in self.control.api().events_after(0).iter().rev() {
            let Object::EndpointSlice(slice) = &event.object else {
                continue;
            };
            let key = event.object.key();
            if event.change != Change::Deleted
                && has_ready(slice, endpoint)
                && let Some(service) = slice.metadata.labels.get("kubernetes.io/service-name")
            {
                let service = ServiceName {
                    namespace: slice.metadata.namespace.as_str().into(),
                    name: service.as_str().into(),
                };
                return Some((service, later.get(&key).copied()));
            }
            later.insert(key, event.at);
        }
        None
    }
}

const UNKNOWN: &str = "nothing remembers what became of it: its client is gone";
const NEVER_LEFT: &str = "no packet of it left its client";

fn has_ready(slice: &EndpointSlice, endpoint: SocketAddr) -> bool {
    let has_port = slice
        .ports
        .iter()
        .any(|port| port.port == Some(i32::from(endpoint.port())));
    let is_it = |text: &String| text.parse::<IpAddr>() == Ok(endpoint.ip());
    has_port
        && slice
            .endpoints
            .iter()
            .any(|one| one.conditions.is_ready() && one.addresses.first().is_some_and(is_it))
}

/// What the rules do at this instant with a request that no connection is known of: they let none come about.
fn refused(seen: &Probe) -> String {
    let node = &seen.node;
    let meaning = seen
        .decisions
        .first()
        .map_or("", |decision| &decision.meaning);
    match seen.outcomes.first() {
        Some((_, ProbeOutcome::Reject)) => format!("{node}'s rules refuse it: {meaning}"),
        Some((_, ProbeOutcome::Drop)) => format!("{node}'s rules drop it: {meaning}"),
        _ => format!("{node} does not remember it; now {meaning}"),
    }
}

/// What an endpoint did instead of answering.
const fn silence(outcome: Outcome, established: bool) -> &'static str {
    match (outcome, established) {
        (Outcome::Refused, _) => "nobody listened there any more",
        (Outcome::Reset, true) => "it had hung up",
        (Outcome::Reset, false) => "it hung up before it answered",
        (Outcome::Unreachable, _) => "there is no way there",
        _ => "no answer came back in time",
    }
}

/// `0.8s before`, `5ms later`.
fn apart(at: SimTime, than: SimTime) -> String {
    match at <= than {
        true => format!("{} before", span(than.since(at))),
        false => format!("{} later", span(at.since(than))),
    }
}

/// To the millisecond, unless it is shorter.
fn span(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    match millis {
        0 => format_duration(span),
        millis => format_duration(Duration::from_millis(millis)),
    }
}
