//! Following one packet and its answer, as plain data for people and programs.
//!
//! Nothing changes and no time passes: names are looked up in the zone itself, the packet walks on copies.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use base::SimTime;
use control::{
    Host, NodeRules, Probe, ProbeAnswer, ProbeOutcome, ProbeRequest, ProbeSource, ReferenceError,
    Share, Source, Target, Unheard,
};
use dns::{Question, RecordData, RecordType};
use netfilter::{
    BRANCHES_MAX, ChainPlace, Packet, RouteDecision, RuleAction, TableVerdict, TooManyBranches,
    TraceEvent, TracedElement, TracedRule, Tuple,
};
use plane::{DecisionAction, Door, HopOutcome, NodeId, TableSource as _, TraceHop};
use ruleset::xt::Policy;
use ruleset::{Family, Protocol};

use crate::evidence::{self, rule_text};
use crate::sim::Sim;

/// The source ports of packets that only a trace or a probe sends: above the clients' own.
const TRACE_PORTS: RangeInclusive<u16> = 61_000..=65_535;

/// The way of one packet and of the answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// When.
    pub at: SimTime,
    /// Who sends.
    pub from: String,
    /// What was asked for.
    pub to: String,
    /// The names tried and what the zone says of each, when a name was given.
    pub names: Vec<(String, String)>,
    /// The first packet.
    pub request: Vec<Hop>,
    /// The answer to it; empty when there is none.
    pub reply: Vec<Hop>,
    /// What else could have become of the packet on the source's node, with its share.
    pub alternatives: Vec<(Share, ProbeOutcome)>,
}

/// A packet at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// `pod/ns/name`, a node's name, `outside/name`.
    pub place: String,
    /// When the packet gets there.
    pub at: SimTime,
    /// Its flow as it gets there.
    pub packet: String,
    /// What the node's hooks did.
    pub steps: Vec<Step>,
    /// How it goes on.
    pub outcome: String,
}

/// One step of a node's hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A hook begins.
    Hook(String),
    /// What conntrack knows of the packet.
    Conntrack(String),
    /// A rule that matched.
    Rule {
        /// As `iptables-save` prints it, with its table before it.
        text: String,
        /// Whom it serves and what it decides.
        meaning: String,
        /// How many rules of the same chain were tried in vain before it.
        skipped: usize,
    },
    /// What was found in a set or map.
    Element {
        /// `@service-ips has 10.96.0.40 . tcp . 80 : goto …`
        text: String,
        /// Whom it serves and what it decides.
        meaning: String,
    },
    /// A table's decision, where no rule says it already.
    Verdict(String),
    /// The header was rewritten: before and after.
    Translated(String, String),
    /// Routing has decided.
    Routed(String),
}

/// Why there is nothing to trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The source does not exist at this instant.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The name has no address.
    #[error("{name} has no address: {}", said_of(.tried))]
    Unresolved {
        /// The name.
        name: String,
        /// Each name asked and the answer.
        tried: Vec<(String, String)>,
    },
    /// The source has no address of the destination's family.
    #[error("{source_name} has no address of the family of {destination}")]
    Family {
        /// Who.
        source_name: String,
        /// Whereto.
        destination: SocketAddr,
    },
    /// A protocol that no packet is made for.
    #[error("a packet of protocol {protocol} cannot be made; supported: tcp, udp, sctp")]
    Protocol {
        /// Which.
        protocol: Protocol,
    },
}

impl TraceError {
    /// What is missing, to be read after "there is no".
    fn wanted(&self) -> String {
        match self {
            Self::Reference(error) => error.wanted.clone(),
            Self::Unresolved { name, .. } => format!("address of {name}"),
            Self::Family { destination, .. } => {
                format!("source address of the family of {destination}")
            }
            Self::Protocol { protocol } => format!("first packet of protocol {protocol}"),
        }
    }
}

impl Sim {
    /// Follows the first packet of a connection, and its answer.
    ///
    /// # Errors
    /// When there is no such source, no address for the name, or no packet of the protocol.
    pub fn trace(
        &mut self,
        from: &Source,
        to: &Target,
        protocol: Protocol,
    ) -> Result<Trace, TraceError> {
        let host = self.source_host(from)?;
        let mut names = Vec::new();
        let address = match &to.host {
            Host::Address(address) => *address,
            Host::Name(name) => self.look_up(from, name, &mut names)?,
        };
        let destination = SocketAddr::new(address, to.port);
        let source_ip = pick_family(self.plane.host_addresses(host), destination);
        let source_ip = source_ip.ok_or_else(|| TraceError::Family {
            source_name: from.to_string(),
            destination,
        })?;
        let source_end = self.fresh_source(protocol, source_ip, destination);
        let packet = first_packet(protocol, source_end, destination)?;
        let mut chooser = self.bystander();
        let mut tables = self.tables.of(&mut self.control);
        let walked = self.plane.trace(host, packet, &mut tables, &mut chooser);
        let request = ProbeRequest {
            node: None,
            from: ProbeSource::Source(from.clone()),
            to: destination,
            protocol,
        };
        // An outside host passes no node of its own: there is nothing to choose between.
        let alternatives = self
            .explore(&request)
            .map(|probe| probe.outcomes)
            .unwrap_or_default();
        let hops = |hops: &[TraceHop]| hops.iter().map(|hop| self.describe(hop)).collect();
        Ok(Trace {
            at: self.control.now(),
            from: from.to_string(),
            to: to.to_string(),
            names,
            request: hops(&walked.request),
            reply: hops(&walked.reply),
            alternatives,
        })
    }

    /// Every outcome of a first packet on one node.
    pub(crate) fn explore(&mut self, request: &ProbeRequest) -> Result<Probe, ReferenceError> {
        let (node, source_ip, on_node) = self.probe_source(request)?;
        let name = self.plane.node_name(node).to_owned();
        let source = self.fresh_source(request.protocol, source_ip, request.to);
        let packet =
            first_packet(request.protocol, source, request.to).map_err(|error| ReferenceError {
                existing: match &error {
                    TraceError::Protocol { .. } => ["tcp", "udp", "sctp"].map(str::to_owned).into(),
                    _ => vec![source_ip.to_string()],
                },
                wanted: error.wanted(),
            })?;
        let mut tables = self.tables.of(&mut self.control);
        // In IPVS mode the addresses of Services are the node's own, too (PROXY-57).
        let door = match on_node || tables.tables(node).is_bound(source_ip) {
            true => Door::Local,
            false => self.plane.door_of(node, source_ip),
        };
        let found = self.plane.probe(node, &packet, &door, &mut tables);
        let found = found.map_err(|TooManyBranches| ReferenceError {
            wanted: format!("probe of more than {BRANCHES_MAX} outcomes"),
            existing: Vec::new(),
        })?;
        let mut probe = Probe {
            node: name,
            outcomes: Vec::new(),
            decisions: Vec::new(),
            answers: BTreeMap::new(),
        };
        for (ratio, outcome) in found {
            let met = evidence::Met {
                family: Family::of(request.to.ip()),
                asked: (request.protocol, request.to),
                action: &outcome.action,
                rules: &outcome.rules,
                elements: &outcome.elements,
            };
            let decision = met.decision(self.control.now(), probe.node.clone(), &self.control);
            probe.decisions.push(decision);
            if let DecisionAction::Translated { to } = &outcome.action {
                let answer = answer_of(&outcome);
                let known = probe.answers.entry(*to).or_insert(ProbeAnswer::Heard);
                *known = answer.max(known.clone());
            }
            let share = Share {
                numerator: ratio.numerator(),
                denominator: ratio.denominator(),
            };
            probe
                .outcomes
                .push((share, outcome_of(&outcome, source_ip)));
        }
        Ok(probe)
    }

    /// A source port that no node knows a connection of, so that the packet is the first of a new one.
    fn fresh_source(&self, protocol: Protocol, source: IpAddr, to: SocketAddr) -> SocketAddr {
        let now = self.control.now();
        let is_fresh = |port: &u16| {
            let tuple = Tuple::new(protocol, SocketAddr::new(source, *port), to);
            let mut states = self.nodes.values().map(|node| self.plane.node_state(*node));
            states.all(|state| state.find(&tuple, now).is_none())
        };
        let port = TRACE_PORTS
            .clone()
            .find(is_fresh)
            .unwrap_or(*TRACE_PORTS.start());
        SocketAddr::new(source, port)
    }

    /// The node that is asked, the source address, and whether the node itself sends.
    fn probe_source(
        &self,
        request: &ProbeRequest,
    ) -> Result<(NodeId, IpAddr, bool), ReferenceError> {
        let named = match &request.node {
            Some(name) => {
                self.control.agent(name)?;
                self.nodes.get(name).copied()
            }
            None => None,
        };
        let (host, node) = match &request.from {
            ProbeSource::Address(address) => {
                let node = named.ok_or_else(|| self.no_node("a probe from a bare address"))?;
                let own =
                    self.plane.node_addresses(node).contains(address) || address.is_loopback();
                return Ok((node, *address, own));
            }
            ProbeSource::Source(source) => {
                let host = self.source_host(source)?;
                let node = named.or_else(|| self.node_of(host));
                (
                    host,
                    node.ok_or_else(|| self.no_node(&format!("a probe from {source}")))?,
                )
            }
        };
        let address = pick_family(self.plane.host_addresses(host), request.to);
        let address = address.ok_or_else(|| ReferenceError {
            wanted: format!("source address of the family of {}", request.to),
            existing: self
                .plane
                .host_addresses(host)
                .iter()
                .map(ToString::to_string)
                .collect(),
        })?;
        Ok((node, address, self.plane.node_host(node) == host))
    }

    fn no_node(&self, what: &str) -> ReferenceError {
        ReferenceError {
            wanted: format!("node for {what}"),
            existing: self
                .nodes
                .keys()
                .map(|name| format!("node/{name}"))
                .collect(),
        }
    }

    /// Asks the zone itself, as the source's resolver would ask its server.
    pub(crate) fn look_up(
        &self,
        from: &Source,
        name: &str,
        names: &mut Vec<(String, String)>,
    ) -> Result<IpAddr, TraceError> {
        for candidate in self.resolv_conf(from).candidates(name) {
            for record_type in [RecordType::A, RecordType::AAAA] {
                let bare = candidate.trim_end_matches('.').to_owned();
                let response = self.control.zone().answer(&Question {
                    name: bare,
                    record_type,
                });
                let address = response
                    .answers
                    .iter()
                    .find_map(|record| match record.data {
                        RecordData::A(address) => Some(IpAddr::V4(address)),
                        RecordData::Aaaa(address) => Some(IpAddr::V6(address)),
                        _ => None,
                    });
                let said = address.map_or_else(|| response.rcode.to_string(), |ip| ip.to_string());
                if let Some(address) = address {
                    names.push((candidate, said));
                    return Ok(address);
                }
                if record_type == RecordType::A {
                    names.push((candidate.clone(), said));
                }
            }
        }
        Err(TraceError::Unresolved {
            name: name.to_owned(),
            tried: std::mem::take(names),
        })
    }

    fn describe(&self, hop: &TraceHop) -> Hop {
        let mut scribe = Scribe {
            sim: self,
            node: &hop.name,
            family: hop.tuple.as_ref().map_or(Family::V4, evidence::family_of),
            skipped: 0,
            rule: None,
        };
        let steps = hop
            .events
            .iter()
            .filter_map(|event| scribe.step(event))
            .collect();
        Hop {
            place: if hop.name.is_empty() {
                "beyond the cluster".into()
            } else {
                hop.name.to_string()
            },
            at: hop.at,
            packet: hop
                .tuple
                .map_or_else(|| "ICMP error".to_owned(), |tuple| tuple.to_string()),
            steps,
            outcome: outcome_text(&hop.outcome),
        }
    }
}

/// Turns one node's events into steps.
struct Scribe<'a> {
    sim: &'a Sim,
    node: &'a str,
    family: Family,
    /// Rules of the present chain that did not match since the last one that did.
    skipped: usize,
    /// The rule that matched last at this hook.
    rule: Option<&'a TracedRule>,
}

impl<'a> Scribe<'a> {
    fn step(&mut self, event: &'a TraceEvent) -> Option<Step> {
        let step = match event {
            TraceEvent::Rule { matched: false, .. } => {
                self.skipped += 1;
                return None;
            }
            TraceEvent::Rule { rule, .. } => {
                self.rule = Some(rule);
                let origin = rule
                    .origin()
                    .map(|id| self.sim.control.compiler().origin(id));
                return Some(Step::Rule {
                    text: rule_text(rule, self.family),
                    meaning: origin.map(ToString::to_string).unwrap_or_default(),
                    skipped: std::mem::take(&mut self.skipped),
                });
            }
            TraceEvent::Element(element) => return Some(self.element(element)),
            // That a table has nothing to say is not worth a line; that its policy drops is.
            TraceEvent::Verdict {
                base,
                verdict: TableVerdict::Policy(policy),
            } if self.is_of_last_table(base) || *policy == Policy::Drop => {
                let policy = format!("{policy:?}").to_lowercase();
                Step::Verdict(format!(
                    "{}: no rule decides; the policy is to {policy}",
                    table_of(base)
                ))
            }
            TraceEvent::Entered { .. }
            | TraceEvent::Returned { .. }
            | TraceEvent::Verdict { .. } => {
                self.skipped = 0;
                return None;
            }
            TraceEvent::Hook(hook) => Step::Hook(hook.to_string()),
            TraceEvent::Tracked { state, original } => {
                let of = original
                    .map(|tuple| format!(" (connection {tuple})"))
                    .unwrap_or_default();
                Step::Conntrack(format!("{state:?}").to_uppercase() + &of)
            }
            TraceEvent::Translated { before, after } => {
                Step::Translated(before.to_string(), after.to_string())
            }
            TraceEvent::Served {
                server,
                real,
                origin,
            } => {
                let origin = origin.map(|id| self.sim.control.compiler().origin(id));
                Step::Element {
                    text: format!("virtual server {server} gives it to {real}"),
                    meaning: origin.map(ToString::to_string).unwrap_or_default(),
                }
            }
            TraceEvent::Routed(decision) => Step::Routed(match decision {
                RouteDecision::Local => "to the node itself".to_owned(),
                RouteDecision::Out(interface) => format!("out of {interface}"),
                RouteDecision::Unreachable => "nowhere".to_owned(),
            }),
            TraceEvent::Discarded(reason) => Step::Verdict(format!("dropped: {reason}")),
        };
        self.skipped = 0;
        self.rule = None;
        Some(step)
    }

    fn is_of_last_table(&self, base: &ChainPlace) -> bool {
        self.rule
            .is_some_and(|rule| table_of(&rule.place().chain) == table_of(base))
    }

    /// What was found in a set or map, and whom that serves.
    fn element(&self, element: &TracedElement) -> Step {
        let set = element
            .set
            .as_ref()
            .map_or("the map".to_owned(), |set| format!("@{set}"));
        let mut compiled = self.sim.control.compiled_rules(self.node);
        let found = element.set.as_ref().and_then(|set| {
            compiled.find_map(|rules| match rules {
                NodeRules::Nftables(compiled) => {
                    compiled.element_origin(self.family.into(), set, &element.key)
                }
                NodeRules::Iptables(_) | NodeRules::Ipvs(_) => None,
            })
        });
        let meaning = found.map(|id| self.sim.control.compiler().origin(id).to_string());
        Step::Element {
            text: format!("{set} has {element}"),
            meaning: meaning.unwrap_or_default(),
        }
    }
}

/// The table that a chain stands in: `nat`, `ip kube-proxy`.
fn table_of(chain: &ChainPlace) -> String {
    match chain {
        ChainPlace::Xt { table, .. } => table.to_string(),
        ChainPlace::Nft { table, .. } => table.to_string(),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hook(hook) => write!(f, "{hook}"),
            Self::Conntrack(state) => write!(f, "conntrack: {state}"),
            Self::Rule { text, .. } | Self::Element { text, .. } | Self::Verdict(text) => {
                f.write_str(text)
            }
            Self::Translated(before, after) => write!(f, "rewritten: {before}  ⇒  {after}"),
            Self::Routed(text) => write!(f, "route: {text}"),
        }
    }
}

pub(crate) fn first_packet(
    protocol: Protocol,
    source: SocketAddr,
    destination: SocketAddr,
) -> Result<Packet, TraceError> {
    let family = |_| TraceError::Family {
        source_name: source.ip().to_string(),
        destination,
    };
    match protocol {
        Protocol::TCP => plane::tcp_syn(source, destination)
            .map(Packet::new)
            .map_err(family),
        Protocol::UDP => plane::udp_datagram(source, destination, b"hello")
            .map(Packet::new)
            .map_err(family),
        Protocol::SCTP => plane::sctp_init(source, destination)
            .map(Packet::new)
            .map_err(family),
        other => Err(TraceError::Protocol { protocol: other }),
    }
}

fn outcome_of(outcome: &plane::ProbeOutcome, source: IpAddr) -> ProbeOutcome {
    match &outcome.action {
        DecisionAction::Translated { to } => ProbeOutcome::Endpoint {
            to: *to,
            snat: outcome
                .tuple
                .is_some_and(|tuple| tuple.source_socket().ip() != source)
                || outcome
                    .rules
                    .iter()
                    .any(|rule| rule.action() == RuleAction::TranslateSource),
        },
        DecisionAction::Rejected(_) => ProbeOutcome::Reject,
        // A packet that no rule refused is untouched, even where the node knows no way for it.
        DecisionAction::Dropped(netfilter::DropReason::Rule(_)) => ProbeOutcome::Drop,
        DecisionAction::Dropped(_) | DecisionAction::Untouched => ProbeOutcome::Untouched,
    }
}

fn answer_of(outcome: &plane::ProbeOutcome) -> ProbeAnswer {
    match &outcome.answer {
        None => ProbeAnswer::Unknown,
        Some(plane::ProbeAnswer::Heard) => ProbeAnswer::Heard,
        Some(plane::ProbeAnswer::Unknown(_)) => ProbeAnswer::Unheard(Unheard::OfAStranger),
        Some(plane::ProbeAnswer::Lost(why)) => ProbeAnswer::Unheard(Unheard::Lost(why.to_string())),
    }
}

fn outcome_text(outcome: &HopOutcome) -> String {
    match outcome {
        HopOutcome::Sent => "sent".to_owned(),
        HopOutcome::Forwarded { interface } => format!("forwarded out of {interface}"),
        HopOutcome::Delivered => "handed to a process of the node".to_owned(),
        HopOutcome::Received => "received".to_owned(),
        HopOutcome::Rejected(reason) => reason.to_string(),
        HopOutcome::Lost(reason) => format!("lost: {reason}"),
    }
}

fn pick_family(addresses: &[IpAddr], like: SocketAddr) -> Option<IpAddr> {
    addresses
        .iter()
        .copied()
        .find(|address| address.is_ipv4() == like.is_ipv4())
}

fn said_of(names: &[(String, String)]) -> String {
    let said: Vec<String> = names
        .iter()
        .map(|(name, said)| format!("{name} {said}"))
        .collect();
    if said.is_empty() {
        "the source has no DNS server".to_owned()
    } else {
        said.join(", ")
    }
}
