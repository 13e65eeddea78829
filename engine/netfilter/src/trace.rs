//! Watching an evaluation: which hooks, rules, translations and routes a packet met.
//!
//! **What.** A [`Tracer`] is told of every step, in order. **Why.** `switchboard trace` and the log of decisions
//! need the steps, a run of millions of packets does not: with [`NoTrace`] the calls vanish at compile time.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use ruleset::OriginId;
use ruleset::ipvs::ServerKey;
use ruleset::nft::{Ident, Key, Value};
use ruleset::xt::{CtState, NatTarget, Policy, RejectWith};

use crate::{
    ChainPlace, ChainRef, DropReason, FoundElement, Hook, InterfaceName, RuleRef, TracedRule, Tuple,
};

/// Is told of every step of an evaluation. All methods do nothing unless overridden.
pub trait Tracer {
    /// Whether it looks at all. One that does not is told of some steps only, and of none where a packet can take the
    /// short way: calls of the kernel that cannot decide anything are counted, not made.
    const WATCHES: bool = true;

    /// A hook begins.
    fn hook(&mut self, _hook: Hook) {}

    /// Evaluation goes on in a chain: the kernel called it, or a rule jumped or went there.
    fn entered(&mut self, _chain: ChainRef<'_>) {}

    /// Evaluation is back in a chain, after the rule that jumped away.
    fn returned(&mut self, _chain: ChainRef<'_>) {}

    /// A rule was compared with the packet.
    fn rule(&mut self, _rule: RuleRef<'_>, _matched: bool) {}

    /// Rules that an index knows not to match: a kernel compares each of them.
    fn skipped(&mut self, _chain: ChainRef<'_>, _rules: Range<usize>) {}

    /// The rule that [`Tracer::rule`] tells of next has looked for an element, and found it.
    fn element(&mut self, _found: FoundElement<'_>) {}

    /// What the kernel called at a hook has decided: a table of iptables, a base chain of nftables.
    fn verdict(&mut self, _base: ChainRef<'_>, _verdict: TableVerdict) {}

    /// Conntrack knows the packet's state, and the original tuple of its connection if it has one.
    fn tracked(&mut self, _state: CtState, _original: Option<&Tuple>) {}

    /// The packet's header was rewritten. For an ICMP error the tuples are those of the quoted packet.
    fn translated(&mut self, _before: &Tuple, _after: &Tuple) {}

    /// A virtual server has given the packet to a real one, which serves whom the origin names.
    fn served(&mut self, _server: &ServerKey, _real: SocketAddr, _origin: Option<OriginId>) {}

    /// Routing has decided.
    fn routed(&mut self, _decision: RouteDecision) {}

    /// The packet's end outside a table: malformed, martian, no port left.
    fn discarded(&mut self, _reason: &DropReason) {}
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
    /// A rule gave its connection the node itself as its destination.
    Redirect {
        /// The new port; `None` keeps it.
        port: Option<u16>,
    },
    /// A rule gave its connection a new source.
    Snat {
        /// The address, and the port unless it stays where it can.
        to: NatTarget,
        /// With a random port.
        random_fully: bool,
    },
    /// A rule gave its connection the outgoing interface's address as its source.
    Masquerade {
        /// With a random port.
        random_fully: bool,
    },
}

impl TableVerdict {
    /// Whether it translates the connection.
    pub(crate) const fn translates(self) -> bool {
        matches!(
            self,
            Self::Dnat(_) | Self::Redirect { .. } | Self::Snat { .. } | Self::Masquerade { .. }
        )
    }
}

/// Where routing sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteDecision {
    /// To the node itself.
    Local,
    /// Out of this interface.
    Out(InterfaceName),
    /// Nowhere.
    Unreachable,
}

/// Records nothing, at no cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrace;

impl Tracer for NoTrace {
    const WATCHES: bool = false;
}

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

/// An element of a set or map that a rule looked for and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedElement {
    /// The set or map; `None` when it stands in the rule itself.
    pub set: Option<Ident>,
    /// What was found.
    pub key: Key,
    /// What it leads to, in a map.
    pub value: Option<Value>,
}

/// `10.96.0.40 . tcp . 80 : goto service-…`
impl fmt::Display for TracedElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} : {value}", self.key),
            None => write!(f, "{}", self.key),
        }
    }
}

/// One recorded step: the methods of [`Tracer`], as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// [`Tracer::hook`]
    Hook(Hook),
    /// [`Tracer::entered`]
    Entered(ChainPlace),
    /// [`Tracer::returned`]
    Returned(ChainPlace),
    /// [`Tracer::rule`]
    Rule {
        /// The rule and its place.
        rule: TracedRule,
        /// Whether it matched.
        matched: bool,
    },
    /// [`Tracer::element`]
    Element(TracedElement),
    /// [`Tracer::verdict`]
    Verdict {
        /// The chain that the kernel called.
        base: ChainPlace,
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
    /// [`Tracer::served`]
    Served {
        /// The virtual server.
        server: ServerKey,
        /// The real server.
        real: SocketAddr,
        /// Whom that serves.
        origin: Option<OriginId>,
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

    fn entered(&mut self, chain: ChainRef<'_>) {
        self.events.push(TraceEvent::Entered(chain.place()));
    }

    fn returned(&mut self, chain: ChainRef<'_>) {
        self.events.push(TraceEvent::Returned(chain.place()));
    }

    fn rule(&mut self, rule: RuleRef<'_>, matched: bool) {
        if matched || !self.matched_only {
            let rule = rule.to_traced();
            self.events.push(TraceEvent::Rule { rule, matched });
        }
    }

    fn skipped(&mut self, chain: ChainRef<'_>, rules: Range<usize>) {
        if !self.matched_only {
            let missed = rules.map(|index| TraceEvent::Rule {
                rule: RuleRef { chain, index }.to_traced(),
                matched: false,
            });
            self.events.extend(missed);
        }
    }

    fn element(&mut self, found: FoundElement<'_>) {
        self.events.push(TraceEvent::Element(found.to_traced()));
    }

    fn verdict(&mut self, base: ChainRef<'_>, verdict: TableVerdict) {
        let base = base.place();
        self.events.push(TraceEvent::Verdict { base, verdict });
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

    fn served(&mut self, server: &ServerKey, real: SocketAddr, origin: Option<OriginId>) {
        let server = *server;
        self.events.push(TraceEvent::Served {
            server,
            real,
            origin,
        });
    }

    fn routed(&mut self, decision: RouteDecision) {
        self.events.push(TraceEvent::Routed(decision));
    }

    fn discarded(&mut self, reason: &DropReason) {
        self.events.push(TraceEvent::Discarded(reason.clone()));
    }
}
