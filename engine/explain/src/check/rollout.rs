//! DBG-41: a Pod closes its port when it is told to end, and nodes learn a moment later that it does (EP-73).

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Change, Kind, Object, ObjectKey, Pod};
use base::SimTime;
use controllers::{Application, OnTerm};

use super::chosen::{Front, chosen};
use crate::facts::Facts;
use crate::finding::Check;
use crate::pods::list;
use crate::{Certainty, Finding, Severity};

/// What ended longer ago is no roll-out under way: whose rules still choose it has another problem (DBG-42).
const RECENT: Duration = Duration::from_secs(5);

/// Nodes whose rules choose Pods that have just closed their ports.
pub(super) fn still_chosen(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(control) = facts.control else {
        return Vec::new();
    };
    let ended = ended(facts, control.now());
    if ended.is_empty() {
        return Vec::new();
    }
    let mut late: Vec<&str> = Vec::new();
    let mut first: Option<(String, usize, usize)> = None;
    let nodes = facts.nodes().map(|node| node.metadata.name.as_str());
    let asked = |node: &&str| facts.client_node().is_none_or(|client| client == *node);
    for node in nodes.filter(asked) {
        let chosen = chosen(facts, node, Front::of(facts));
        let mut closed = chosen
            .iter()
            .filter_map(|endpoint| endpoint.pod.as_deref())
            .filter(|pod| ended.contains_key(pod));
        if let Some(pod) = closed.next() {
            late.push(node);
            first.get_or_insert((pod.to_owned(), closed.count() + 1, chosen.len()));
        }
    }
    let Some((pod, bad, all)) = first else {
        return Vec::new();
    };
    let since = ended[pod.as_str()];
    vec![Finding {
        id: "DBG-41",
        certainty: Certainty::Certain,
        severity: Severity::Fault,
        subject: ObjectKey::new(Kind::Pod, facts.namespace, &pod),
        field: Some("spec.containers[0].lifecycle.preStop".to_owned()),
        sees: format!(
            "{} by way of {} get \"connection refused\" {bad} of {all} times, for a moment",
            facts.clients(),
            list(&late)
        ),
        why: format!(
            "{pod} was told to end at {since} and closed its port at once, and {} will hear of it later: it is now {}",
            list(&late),
            control.now()
        ),
        fix: "let Pods go on for some seconds after they are told to end: a preStop hook that sleeps, or an application \
              that drains"
            .to_owned(),
        confirm: vec![
            Check::run(facts.kubectl_get_slices()),
            Check::run(facts.kubectl_get("pods -o wide")),
        ],
    }]
}

/// The Pods of the namespace that have just closed their ports, and since when.
fn ended<'a>(facts: &Facts<'a>, now: SimTime) -> BTreeMap<&'a str, SimTime> {
    let mut ended = BTreeMap::new();
    for event in facts.api.events_after(0) {
        let Object::Pod(pod) = &event.object else {
            continue;
        };
        if pod.metadata.namespace != facts.namespace {
            continue;
        }
        let name = pod.metadata.name.as_str();
        match event.change == Change::Deleted || pod.metadata.is_terminating() {
            true if closes_at_once(pod) => {
                ended.entry(name).or_insert(event.at);
            }
            true => {}
            // One of that name is there anew.
            false => {
                ended.remove(name);
            }
        }
    }
    ended.retain(|_, since| *since + RECENT > now);
    ended
}

/// Whether it neither waits before it closes its ports nor serves until it is killed. How long hooks other than `sleep`
/// wait, nobody knows.
fn closes_at_once(pod: &Pod) -> bool {
    let mut hooks = pod.serving_containers().filter_map(|container| {
        let hooks = container.lifecycle.as_deref()?;
        hooks.pre_stop.as_ref()
    });
    hooks.next().is_none() && Application::of(pod).on_term == OnTerm::Close
}
