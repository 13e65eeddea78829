//! Watching an evaluation: which hooks, rules, translations and routes a packet met.
//!
//! **What.** A [`Tracer`] is told of every step, in order. **Why.** `switchboard trace` and the log of decisions
//! need the steps, a run of millions of packets does not: with [`NoTrace`] the calls vanish at compile time.

use std::fmt;
use std::sync::Arc;

use ruleset::xt::{ChainName, CtState, NatTarget, Policy, RejectWith, TableName, XtChain, XtRule};

use crate::{DropReason, Hook, Tuple};

/// Is told of every step of an evaluation. All methods do nothing unless overridden.
pub trait Tracer {
    /// A hook begins.
    fn hook(&mut self, _hook: Hook) {}

    /// Evaluation goes on in a chain: the kernel called it, or a rule jumped or went there.
    fn entered(&mut self, _table: TableName, _chain: ChainName) {}

    /// Evaluation is back in a chain, after the rule that jumped away.
    fn returned(&mut self, _table: TableName, _chain: ChainName) {}

    /// The rule at `place` was compared with the packet; `chain` holds it.
    fn rule(&mut self, _place: RulePlace, _chain: &Arc<XtChain>, _matched: bool) {}

    /// A table has decided.
    fn verdict(&mut self, _table: TableName, _verdict: TableVerdict) {}

    /// Conntrack knows the packet's state, and the original tuple of its connection if it has one.
    fn tracked(&mut self, _state: CtState, _original: Option<&Tuple>) {}

    /// The packet's header was rewritten. For an ICMP error the tuples are those of the quoted packet.
    fn translated(&mut self, _before: &Tuple, _after: &Tuple) {}

    /// Routing has decided.
    fn routed(&mut self, _decision: &RouteDecision) {}

    /// The packet's end outside a table: malformed, martian, no port left.
    fn discarded(&mut self, _reason: DropReason) {}
}

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// Its table.
    pub table: TableName,
    /// Its chain.
    pub chain: ChainName,
    /// Its position in the chain, from 0.
    pub index: usize,
}

impl fmt::Display for RulePlace {
    /// Numbered from 1, as `iptables -L --line-numbers` does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} rule {}", self.table, self.chain, self.index + 1)
    }
}

/// How a table decided about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableVerdict {
    /// A rule accepted it.
    Accept,
    /// No rule decided: the built-in chain's policy did.
    Policy(Policy),
    /// A rule dropped it.
    Drop,
    /// A rule rejected it.
    Reject(RejectWith),
    /// A rule gave its connection a new destination.
    Dnat(NatTarget),
    /// A rule gave its connection the outgoing interface's address as its source.
    Masquerade {
        /// With a random port.
        random_fully: bool,
    },
}

/// Where routing sends a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteDecision {
    /// To the node itself.
    Local,
    /// Out of this interface.
    Out(Arc<str>),
    /// Nowhere.
    Unreachable,
}

/// Records nothing, at no cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Tracer for NoTrace {}

/// Records every step, or every step but the rules that did not match.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    events: Vec<TraceEvent>,
    matched_only: bool,
}

impl Recorder {
    /// Records everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out rules that did not match: a chain of 10,000 Services has 9,999 of them.
    #[must_use]
    pub fn matched_only() -> Self {
        Self {
            events: Vec::new(),
            matched_only: true,
        }
    }

    /// What was recorded so far, in order.
    #[must_use]
    pub fn events(&self) -> &[TraceEvent] {
        &self.events
    }

    /// Takes what was recorded.
    #[must_use]
    pub fn into_events(self) -> Vec<TraceEvent> {
        self.events
    }

    /// The rules that matched, in order.
    pub fn matched_rules(&self) -> impl Iterator<Item = &TracedRule> {
        self.events.iter().filter_map(|event| match event {
            TraceEvent::Rule {
                rule,
                matched: true,
            } => Some(rule),
            _ => None,
        })
    }
}

/// A rule that an evaluation met. Cloning it copies no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedRule {
    place: RulePlace,
    chain: Arc<XtChain>,
}

impl TracedRule {
    /// Takes the rule at `place`, which stands in `chain`; `None` when the chain is shorter.
    #[must_use]
    pub fn new(place: RulePlace, chain: Arc<XtChain>) -> Option<Self> {
        (place.index < chain.rules.len()).then_some(Self { place, chain })
    }

    /// Where it stands.
    #[must_use]
    pub const fn place(&self) -> RulePlace {
        self.place
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &XtRule {
        &self.chain.rules[self.place.index]
    }
}

/// One recorded step: the methods of [`Tracer`], as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// [`Tracer::hook`]
    Hook(Hook),
    /// [`Tracer::entered`]
    Entered {
        /// The table.
        table: TableName,
        /// The chain.
        chain: ChainName,
    },
    /// [`Tracer::returned`]
    Returned {
        /// The table.
        table: TableName,
        /// The chain.
        chain: ChainName,
    },
    /// [`Tracer::rule`]
    Rule {
        /// The rule and its place.
        rule: TracedRule,
        /// Whether it matched.
        matched: bool,
    },
    /// [`Tracer::verdict`]
    Verdict {
        /// The table.
        table: TableName,
        /// How it decided.
        verdict: TableVerdict,
    },
    /// [`Tracer::tracked`]
    Tracked {
        /// The packet's state.
        state: CtState,
        /// Its connection's original tuple.
        original: Option<Tuple>,
    },
    /// [`Tracer::translated`]
    Translated {
        /// The header as it was.
        before: Tuple,
        /// The header as it is now.
        after: Tuple,
    },
    /// [`Tracer::routed`]
    Routed(RouteDecision),
    /// [`Tracer::discarded`]
    Discarded(DropReason),
}

impl Tracer for Recorder {
    fn hook(&mut self, hook: Hook) {
        self.events.push(TraceEvent::Hook(hook));
    }

    fn entered(&mut self, table: TableName, chain: ChainName) {
        self.events.push(TraceEvent::Entered { table, chain });
    }

    fn returned(&mut self, table: TableName, chain: ChainName) {
        self.events.push(TraceEvent::Returned { table, chain });
    }

    fn rule(&mut self, place: RulePlace, chain: &Arc<XtChain>, matched: bool) {
        if matched || !self.matched_only {
            let rule = TracedRule {
                place,
                chain: Arc::clone(chain),
            };
            self.events.push(TraceEvent::Rule { rule, matched });
        }
    }

    fn verdict(&mut self, table: TableName, verdict: TableVerdict) {
        self.events.push(TraceEvent::Verdict { table, verdict });
    }

    fn tracked(&mut self, state: CtState, original: Option<&Tuple>) {
        let original = original.copied();
        self.events.push(TraceEvent::Tracked { state, original });
    }

    fn translated(&mut self, before: &Tuple, after: &Tuple) {
        self.events.push(TraceEvent::Translated {
            before: *before,
            after: *after,
        });
    }

    fn routed(&mut self, decision: &RouteDecision) {
        self.events.push(TraceEvent::Routed(decision.clone()));
    }

    fn discarded(&mut self, reason: DropReason) {
        self.events.push(TraceEvent::Discarded(reason));
    }
}
