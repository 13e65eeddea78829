//! The rules on a packet's way, as text.

use std::collections::BTreeMap;
use std::rc::Rc;

use netfilter::{TraceEvent, TracedRule};
use ruleset::Family;

/// What is longer is cut: a rule may hold a map of a whole Service, and the element that was found is told beside.
const LENGTH_MAX: usize = 1000;

/// Lines of rules, each made once for all of the branches that meet the rule.
pub(super) struct Lines {
    family: Family,
    known: BTreeMap<String, Rc<str>>,
}

impl Lines {
    /// `family` is that of the packet.
    pub(super) const fn new(family: Family) -> Self {
        Self {
            family,
            known: BTreeMap::new(),
        }
    }

    /// What a packet met, in order.
    pub(super) fn of(&mut self, events: &[TraceEvent]) -> Vec<Rc<str>> {
        let told = events.iter().filter_map(|event| match event {
            TraceEvent::Hook(hook) => Some(format!("{hook}:").into()),
            TraceEvent::Rule {
                rule,
                matched: true,
            } => Some(self.rule(rule)),
            TraceEvent::Element(element) => Some(format!("    element {element}").into()),
            _ => None,
        });
        told.collect()
    }

    fn rule(&mut self, rule: &TracedRule) -> Rc<str> {
        let place = rule.place();
        let family = self.family;
        let line = self.known.entry(place.to_string()).or_insert_with(|| {
            let mut line = format!("  {}: {}", place.chain, rule.line(family));
            if let Some((end, _)) = line.char_indices().nth(LENGTH_MAX) {
                line.truncate(end);
                line.push('…');
            }
            line.into()
        });
        Rc::clone(line)
    }
}
