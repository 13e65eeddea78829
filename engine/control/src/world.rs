//! What a scenario can do to a cluster and see of it, simulated or real.
//!
//! Observations are plain data, complete enough to explain themselves: a connection carries the decisions of the
//! rules that it met, so whoever prints it needs not ask again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use api::{DeleteOptions, Object, ObjectKey, Status, Written};
use base::SimTime;
use ruleset::Protocol;
use serde_json::{Map, Value as Json};

use crate::{
    CacheFigures, Control, Fault, FaultId, ProbeAnswer, ProxyConfig, SyncFigures, TrafficReport,
    TrafficRequest, Unheard,
};

/// A cluster that a scenario drives.
pub trait World {
    /// What evaluates packets: `sim` or `kernel`.
    fn plane(&self) -> &'static str;

    /// The present instant.
    fn now(&self) -> SimTime;

    /// Lets everything happen that is due up to and including `at`. An instant in the past changes nothing.
    fn advance_to(&mut self, at: SimTime);

    /// When the next thing happens that is neither merely periodic nor the repetition of what was lost; `None` when the
    /// world is at rest.
    fn next_event_at(&self) -> Option<SimTime>;

    /// When the cluster itself changes next: packets do not count. `None` when it is at rest.
    fn next_change_at(&self) -> Option<SimTime>;

    /// Writes one object, as kubectl's verb of the same name.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    fn write(&mut self, verb: WriteVerb, object: Object) -> Result<Written, Status>;

    /// Merges a patch into one object, as `kubectl patch --type merge` does.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    fn patch(&mut self, key: &ObjectKey, patch: &Map<String, Json>) -> Result<Written, Status>;

    /// Deletes an object as `kubectl delete` does, without waiting for it to be gone.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    fn delete(&mut self, key: &ObjectKey) -> Result<(), Status> {
        self.delete_with(key, &DeleteOptions::default())
    }

    /// Deletes an object as `kubectl delete --cascade=… --grace-period=…` does.
    ///
    /// # Errors
    /// What the API server answers; nothing has changed then.
    fn delete_with(&mut self, key: &ObjectKey, options: &DeleteOptions) -> Result<(), Status>;

    /// Reads one object.
    ///
    /// # Errors
    /// Not found, in kubectl's words.
    fn get(&self, key: &ObjectKey) -> Result<Object, Status>;

    /// All objects of a kind in a namespace (or in all), by name.
    fn list(&self, kind: api::Kind, namespace: Option<&str>) -> Vec<Object>;

    /// Opens connections, all at this instant, and lets time pass until each has its outcome.
    ///
    /// # Errors
    /// When the source does not exist at this instant.
    fn connect(&mut self, request: &ConnectRequest) -> Result<Vec<Connection>, ReferenceError>;

    /// Opens one connection, lets time pass until it has its outcome, and holds it under `id` from then on: TCP stays
    /// connected, UDP keeps its socket and so its port. It is held even where it failed.
    ///
    /// # Errors
    /// When the source does not exist at this instant.
    fn open(&mut self, id: &str, request: &ConnectRequest) -> Result<Connection, ReferenceError>;

    /// Sends one more request on a connection that is held, and lets time pass until it has its outcome. A connection
    /// that is over stays over: then the outcome is how it ended.
    ///
    /// # Errors
    /// When no connection is held under this name.
    fn send(
        &mut self,
        id: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Connection, ReferenceError>;

    /// Lets go of a connection that is held. Tells how it had ended, unless it stood.
    ///
    /// # Errors
    /// When no connection is held under this name.
    fn close(&mut self, id: &str) -> Result<Option<Outcome>, ReferenceError>;

    /// Begins traffic, which goes on while time passes.
    ///
    /// # Errors
    /// When a source, or a workload that stands for sources, does not exist at this instant.
    fn start_traffic(&mut self, request: &TrafficRequest) -> Result<(), ReferenceError>;

    /// Ends traffic, lets time pass until what is under way has its outcome, and tells what became of all of it.
    ///
    /// # Errors
    /// When there is no such traffic.
    fn stop_traffic(&mut self, id: &str) -> Result<TrafficReport, ReferenceError>;

    /// What has been counted since the cluster was built.
    fn figures(&self) -> WorldFigures;

    /// Resolves a name through the source's resolver and lets time pass until there is an answer.
    ///
    /// # Errors
    /// When the source does not exist at this instant.
    fn resolve(&mut self, request: &ResolveRequest) -> Result<Resolution, ReferenceError>;

    /// The address that cluster DNS has for a name now, as the source's resolver looks it up; without packets. Changes
    /// nothing and takes no time.
    ///
    /// # Errors
    /// In words, when the source does not exist at this instant, or what was said of each name that was tried.
    fn address_of(&self, from: &Source, name: &str) -> Result<IpAddr, String>;

    /// The first packet of one new connection through one node's rules, every random choice explored, whatever rules
    /// remember: a client that sticks to its endpoint might stick to any. Changes nothing and takes no time.
    ///
    /// # Errors
    /// When the node or the source does not exist at this instant.
    fn probe(&mut self, request: &ProbeRequest) -> Result<Probe, ReferenceError>;

    /// The rule text of a node, as a real one would print it.
    ///
    /// # Errors
    /// When there is no such node.
    fn rules(&mut self, node: &str) -> Result<String, ReferenceError>;

    /// Begins a fault, which is over after a while or when it is healed. One that lasts for a while is something
    /// pending.
    ///
    /// # Errors
    /// When it is one of something that does not exist at this instant; nothing has happened then.
    fn fault(&mut self, fault: Fault, lasts: Option<Duration>) -> Result<FaultId, ReferenceError>;

    /// Ends a fault and gives it; `None` when it was over already.
    fn heal(&mut self, fault: FaultId) -> Option<Fault>;

    /// Whether kubectl reaches the API server.
    ///
    /// # Errors
    /// What kubectl says when it does not.
    fn check_reachable(&self) -> Result<(), Status>;

    /// What the configuration file of a node's proxy says.
    ///
    /// # Errors
    /// When there is no such node.
    fn proxy_config(&self, node: &str) -> Result<ProxyConfig, ReferenceError>;

    /// Writes the configuration file of a node's proxy, which reads it when it starts next.
    ///
    /// # Errors
    /// When there is no such node.
    fn configure_proxy(&mut self, node: &str, config: ProxyConfig) -> Result<(), ReferenceError>;

    /// Ends the process of a node's proxy and starts it anew; its rules are there as before. Tells whether it started: one
    /// that cannot run at present starts when it can.
    ///
    /// # Errors
    /// When there is no such node.
    fn restart_proxy(&mut self, node: &str) -> Result<bool, ReferenceError>;

    /// What has happened since this was last asked, in order of time.
    fn happenings(&mut self) -> Vec<Happening>;

    /// The control plane, for whoever explains what it did; `None` where it is somebody else's.
    fn control(&self) -> Option<&Control>;
}

/// What a world counts.
#[derive(Clone, Debug, Default)]
pub struct WorldFigures {
    /// The proxies' syncs.
    pub syncs: SyncFigures,
    /// How many rules each node has at present, of those nodes whose rules a packet has met, or somebody has looked at,
    /// since their last sync.
    pub rules: BTreeMap<String, usize>,
    /// What the caches of nodes were asked; `None` where nodes have none.
    pub dns_cache: Option<CacheFigures>,
}

/// kubectl's writing verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteVerb {
    /// `kubectl apply`
    Apply,
    /// `kubectl create`
    Create,
    /// `kubectl replace`
    Replace,
}

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A Pod, from its own network namespace.
    Pod(ObjectKey),
    /// A process on a node.
    Node(String),
    /// A host outside of the cluster.
    Outside(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(key) => write!(f, "{key}"),
            Self::Node(name) => write!(f, "node/{name}"),
            Self::Outside(name) => write!(f, "outside/{name}"),
        }
    }
}

/// `name:port`, `ip:port` or `[v6]:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whom to reach.
    pub host: Host,
    /// At which port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(address) => write!(f, "{}", SocketAddr::new(*address, self.port)),
        }
    }
}

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no target: expected name:port, ip:port or [ipv6]:port, such as web:80")]
pub struct TargetError {
    text: String,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Ok(address) = text.parse::<SocketAddr>()
            && address.port() > 0
        {
            return Ok(Self {
                host: Host::Address(address.ip()),
                port: address.port(),
            });
        }
        let refuse = || TargetError {
            text: text.to_owned(),
        };
        let (name, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(refuse)?;
        if !is_host_name(name) {
            return Err(refuse());
        }
        Ok(Self {
            host: Host::Name(name.to_owned()),
            port,
        })
    }
}

/// What a host can be called: labels of up to 63 bytes, 253 in all, perhaps a final dot.
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let bare = name.strip_suffix('.').unwrap_or(name);
    bare.len() <= 253 && bare.split('.').all(is_label)
}

/// What DNS can be asked for: a host's name, or one with labels that are a star. Cluster DNS knows
/// none of those (S: recorded/dns.yaml).
#[must_use]
pub fn is_query_name(name: &str) -> bool {
    let labels = name.split('.').map(|label| match label {
        "*" => "x",
        label => label,
    });
    is_host_name(&labels.collect::<Vec<_>>().join("."))
}

/// A name to be resolved, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Resolved through cluster DNS from the source; a final dot skips the search list.
    Name(String),
    /// Used as it is.
    Address(IpAddr),
}

/// Connections to open.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// From where.
    pub from: Source,
    /// To where.
    pub to: Target,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// How many, at the same instant.
    pub count: u32,
    /// How long the client waits for an answer.
    pub timeout: Duration,
    /// What the client sends once connected.
    pub payload: Vec<u8>,
}

/// How a connection ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The server answered.
    Connected,
    /// `ECONNREFUSED`: a reset, or an ICMP port unreachable.
    Refused,
    /// No answer in time.
    Timeout,
    /// `ENETUNREACH` or `EHOSTUNREACH`.
    Unreachable,
    /// `ECONNRESET` after it was established.
    Reset,
    /// The name has no address.
    Unresolved,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 6] = [
        Self::Connected,
        Self::Refused,
        Self::Timeout,
        Self::Unreachable,
        Self::Reset,
        Self::Unresolved,
    ];

    /// As scenarios and reports spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Unresolved => "unresolved",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of one connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// How it ended.
    pub outcome: Outcome,
    /// Who answered, by its own words.
    pub backend: Option<Peer>,
    /// The address that the client dialled (a ClusterIP, say); `None` when unresolved.
    pub remote: Option<SocketAddr>,
    /// The source address that the server saw.
    pub peer_seen: Option<SocketAddr>,
    /// When the client began, name resolution included.
    pub started: SimTime,
    /// When the outcome was known.
    pub finished: SimTime,
    /// From dialling (after name resolution) to being connected; `None` unless it was.
    pub latency: Option<Duration>,
    /// How the name was resolved, unless an address was given.
    pub resolution: Option<Resolution>,
    /// What the rules decided about its first packet, node by node, and where it was lost.
    pub decisions: Vec<Decision>,
}

/// An answering Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// `pod/ns/name`, or the host's name.
    pub name: String,
    /// Its address and port.
    pub address: SocketAddr,
    /// The node it runs on, if any.
    pub node: Option<String>,
}

/// One thing that was decided about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: SimTime,
    /// On which node, or at which host.
    pub place: String,
    /// The rule's text with its table, where a rule decided: `nat -A KUBE-SEP-… -j DNAT …`.
    pub rule: Option<String>,
    /// In words that a beginner understands.
    pub meaning: String,
}

/// A name to look up.
#[derive(Clone, Debug)]
pub struct ResolveRequest {
    /// Whose resolver.
    pub from: Source,
    /// The name; a final dot skips the search list. An address stands for its name in `in-addr.arpa` or `ip6.arpa`.
    pub name: String,
    /// `A`, `AAAA`, `SRV` …: all are asked for at the same time.
    pub record_types: Vec<String>,
    /// What carries the queries: UDP (then TCP for what is too long) or TCP.
    pub protocol: Protocol,
}

impl ResolveRequest {
    /// The types of records that can be asked for.
    pub const TYPES: [&str; 10] = [
        "A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "ANY",
    ];
}

/// What a lookup gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// `NOERROR`, `NXDOMAIN`, `SERVFAIL` …, or `TIMEOUT` when no server answered.
    pub rcode: String,
    /// The answers of the last response, CNAMEs included.
    pub answers: Vec<Answer>,
    /// Each query in turn.
    pub attempts: Vec<Attempt>,
    /// When it began.
    pub started: SimTime,
    /// When it was known.
    pub finished: SimTime,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Owner name with its final dot.
    pub name: String,
    /// `A`, …
    pub record_type: String,
    /// Seconds.
    pub ttl: u32,
    /// RDATA in presentation form.
    pub data: String,
}

/// One query of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name asked, with its final dot.
    pub name: String,
    /// The type asked.
    pub record_type: String,
    /// The server asked.
    pub server: SocketAddr,
    /// UDP or TCP.
    pub protocol: Protocol,
    /// What it answered, or `TRUNCATED` (too long for a datagram), `TIMEOUT`, `REFUSED` (nobody listens),
    /// `UNREACHABLE`, `RESET`, `CLOSED`.
    pub result: String,
    /// When the query was sent.
    pub sent: SimTime,
    /// When its result was known.
    pub known: SimTime,
}

/// A first packet to explore.
#[derive(Clone, Debug)]
pub struct ProbeRequest {
    /// The node whose rules are asked; `None`: the node of the source.
    pub node: Option<String>,
    /// Source, or a bare source address as `node` sees it.
    pub from: ProbeSource,
    /// Destination.
    pub to: SocketAddr,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
}

/// Whose first packet is explored.
#[derive(Clone, Debug)]
pub enum ProbeSource {
    /// Somebody of the scenario.
    Source(Source),
    /// A bare address.
    Address(IpAddr),
}

/// All that may become of a first packet.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The node whose rules were asked.
    pub node: String,
    /// Every outcome with its share; they sum up to one.
    pub outcomes: Vec<(Share, ProbeOutcome)>,
    /// The rules that decided, in words, for people.
    pub decisions: Vec<Decision>,
    /// What becomes of the answers of the endpoints that may be sent to.
    pub answers: BTreeMap<SocketAddr, ProbeAnswer>,
}

impl Probe {
    /// Why the answer of an endpoint does not get back, where that is known.
    #[must_use]
    pub fn unheard(&self, endpoint: &SocketAddr) -> Option<&Unheard> {
        match self.answers.get(endpoint)? {
            ProbeAnswer::Unheard(why) => Some(why),
            ProbeAnswer::Heard | ProbeAnswer::Unknown => None,
        }
    }
}

/// An exact share of all cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of `denominator`.
    pub numerator: u128,
    /// Not zero.
    pub denominator: u128,
}

impl Share {
    /// As a floating-point number, for comparing and printing.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "shares are printed with a few digits"
    )]
    pub fn as_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// One thing that may become of a first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// Sent to an endpoint.
    Endpoint {
        /// Which one.
        to: SocketAddr,
        /// Whether its source is translated too: by a rule that hides it, be it behind the address that it has, as with
        /// the node's own connections.
        snat: bool,
    },
    /// Refused by a rule.
    Reject,
    /// Dropped by a rule.
    Drop,
    /// No rule of any Service changed or refused it.
    Untouched,
}

/// Something that happened in the cluster by itself, for the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: SimTime,
    /// Who did it: `api`, `node-a/proxy`, `kubelet/node-b`, `endpointslice-controller`, `dns`.
    pub who: String,
    /// What, in words.
    pub what: String,
}

/// A reference that names nothing at the instant it is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {wanted} at this instant; {}", there_is(.existing))]
pub struct ReferenceError {
    /// What was named.
    pub wanted: String,
    /// What does exist of that kind.
    pub existing: Vec<String>,
}

fn there_is(existing: &[String]) -> String {
    if existing.is_empty() {
        "nothing of that kind exists".to_owned()
    } else {
        format!("what exists: {}", existing.join(", "))
    }
}
