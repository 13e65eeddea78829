//! One step of a scenario: when it starts, what it does, what it expects.

use std::net::IpAddr;
use std::time::Duration;

use api::{DecodeFailure, DeleteOptions, Manifest, ObjectKey, timestamp};
use base::SimTime;
use control::{ConnectRequest, ProxyMode, Rate, Reuse, Source, Target, WriteVerb};
use kubectl::Get;
use ruleset::Protocol;
use serde_json::{Map, Value as Json};

use crate::expect::{
    ConnectCheck, Expect, ExplainCheck, GetCheck, ProbeCheck, ResolveCheck, RulesCheck, StopCheck,
    WriteCheck,
};
use crate::fault::FaultStep;
use crate::findings::Asked;
use crate::proxy_step::ProxyStep;
use crate::reference::SourceRef;

/// What `kubectl rollout restart` writes into a template, so that it differs.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its place among the steps, from 0.
    pub index: usize,
    /// Its name, unique in the scenario.
    pub name: Option<String>,
    /// Its line in the scenario's file, from 1.
    pub line: u32,
    /// Where it runs; elsewhere it is skipped.
    pub only: Only,
    /// When it starts.
    pub schedule: Schedule,
    /// What it does.
    pub action: Action,
}

impl Step {
    /// The key that says what it does.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match &self.action {
            Action::Write {
                verb: WriteVerb::Apply,
                ..
            } => "apply",
            Action::Write {
                verb: WriteVerb::Create,
                ..
            } => "create",
            Action::Write {
                verb: WriteVerb::Replace,
                ..
            } => "replace",
            Action::Delete { .. } => "delete",
            Action::Change { change, .. } => change.verb(),
            Action::Wait(_) => "wait",
            Action::Get { .. } => "get",
            Action::Events { .. } => "events",
            Action::Resolve { .. } => "resolve",
            Action::Connect { .. } => "connect",
            Action::Probe { .. } => "probe",
            Action::Rules { .. } => "rules",
            Action::Open { .. } => "open",
            Action::Send { .. } => "send",
            Action::Close { .. } => "close",
            Action::Traffic(_) => "traffic",
            Action::Stop { .. } => "stop",
            Action::Fault(_) => "fault",
            Action::Heal(_) => "heal",
            Action::Proxy(_) => "proxy",
            Action::Explain { .. } => "explain",
            Action::Matrix => "matrix",
            Action::Await { .. } => "await",
        }
    }
}

/// Where a step runs; `None` = everywhere.
#[derive(Clone, Debug, Default)]
pub struct Only {
    /// In these modes.
    pub modes: Option<Vec<ProxyMode>>,
    /// On these planes.
    pub planes: Option<Vec<Plane>>,
}

impl Only {
    /// Whether it runs in `mode` on the plane called `plane`.
    #[must_use]
    pub fn includes(&self, mode: ProxyMode, plane: &str) -> bool {
        self.modes
            .as_ref()
            .is_none_or(|modes| modes.contains(&mode))
            && self
                .planes
                .as_ref()
                .is_none_or(|planes| planes.iter().any(|known| known.as_str() == plane))
    }
}

/// What evaluates packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// The simulator.
    Sim,
    /// Linux.
    Kernel,
}

impl Plane {
    /// As scenarios and reports spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Kernel => "kernel",
        }
    }
}

/// When a step starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// When the step before has ended.
    Immediately,
    /// This long after the step before has ended.
    After(Duration),
    /// At this instant, which must not be before the end of the step before.
    At(SimTime),
}

/// What a write is given: an object; or, where the step expects to be refused, what is none, and kubectl's words for it.
pub type Given = Result<Manifest, DecodeFailure>;

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// `apply`, `create`, `replace`
    Write {
        /// Which of them.
        verb: WriteVerb,
        /// What is written, in order.
        manifests: Vec<Given>,
        /// Expected instead of success.
        expect: Expect<WriteCheck>,
    },
    /// `delete`
    Delete {
        /// What is deleted, in order.
        targets: Vec<ObjectKey>,
        /// How.
        options: DeleteOptions,
        /// Expected instead of success.
        expect: Expect<WriteCheck>,
    },
    /// `patch`, `scale`, `restart`
    Change {
        /// What is changed.
        target: ObjectKey,
        /// How.
        change: Edit,
        /// Expected instead of success.
        expect: Expect<WriteCheck>,
    },
    /// `wait`
    Wait(Wait),
    /// `get`
    Get {
        /// What is read, and how it is printed.
        request: Get,
        /// What is expected.
        expect: Expect<GetCheck>,
    },
    /// Shows the Events of a namespace.
    Events {
        /// What is read, and how it is printed.
        request: Get,
        /// What is expected.
        expect: Expect<GetCheck>,
    },
    /// `resolve`
    Resolve {
        /// Whose resolver.
        from: SourceRef,
        /// The name.
        name: String,
        /// The type.
        record_type: String,
        /// What carries the queries: UDP, and TCP where that is too small, or TCP.
        protocol: Protocol,
        /// What is expected.
        expect: Expect<ResolveCheck>,
    },
    /// `connect`
    Connect {
        /// Who dials.
        from: SourceRef,
        /// How, and how often.
        dial: Dial,
        /// What is expected.
        expect: Expect<ConnectCheck>,
    },
    /// `probe`
    Probe {
        /// The node whose rules are asked; `None`: the source's.
        node: Option<String>,
        /// Who sends.
        from: ProbeFrom,
        /// Destination; a name is one of cluster DNS.
        to: Target,
        /// Transport protocol.
        protocol: Protocol,
        /// What is expected.
        expect: Expect<ProbeCheck>,
    },
    /// `rules`
    Rules {
        /// Whose rules.
        node: String,
        /// What is expected.
        expect: Expect<RulesCheck>,
    },
    /// `open`
    Open {
        /// What the connection is called from now on.
        id: String,
        /// Who dials.
        from: SourceRef,
        /// How; its count is 1.
        dial: Dial,
        /// What is expected.
        expect: Expect<ConnectCheck>,
    },
    /// `send`
    Send {
        /// On which connection.
        on: String,
        /// What.
        payload: Vec<u8>,
        /// How long the client waits.
        timeout: Duration,
        /// What is expected.
        expect: Expect<ConnectCheck>,
    },
    /// `close`
    Close {
        /// Which connection.
        id: String,
    },
    /// `traffic`
    Traffic(Box<TrafficStart>),
    /// `stop`
    Stop {
        /// Which traffic.
        id: String,
        /// What is expected of all of it.
        expect: Expect<StopCheck>,
    },
    /// `fault`
    Fault(FaultStep),
    /// `heal`: the fault of that name.
    Heal(String),
    /// `proxy`
    Proxy(ProxyStep),
    /// `explain`
    Explain {
        /// What about.
        asked: Asked,
        /// What is expected.
        expect: Expect<ExplainCheck>,
    },
    /// `matrix`
    Matrix,
    /// `await`: the user's repair is applied here.
    Await {
        /// What is waited for, in a word.
        what: String,
    },
}

impl Action {
    /// The expectation in `mode`, as the scenario spells it.
    #[must_use]
    pub fn expected(&self, mode: ProxyMode) -> Option<&Json> {
        match self {
            Self::Write { expect, .. }
            | Self::Delete { expect, .. }
            | Self::Change { expect, .. } => expect.given(mode),
            Self::Wait(_)
            | Self::Matrix
            | Self::Await { .. }
            | Self::Close { .. }
            | Self::Traffic(_)
            | Self::Fault(_)
            | Self::Heal(_)
            | Self::Proxy(_) => None,
            Self::Get { expect, .. } | Self::Events { expect, .. } => expect.given(mode),
            Self::Resolve { expect, .. } => expect.given(mode),
            Self::Connect { expect, .. }
            | Self::Open { expect, .. }
            | Self::Send { expect, .. } => expect.given(mode),
            Self::Probe { expect, .. } => expect.given(mode),
            Self::Rules { expect, .. } => expect.given(mode),
            Self::Stop { expect, .. } => expect.given(mode),
            Self::Explain { expect, .. } => expect.given(mode),
        }
    }
}

/// How one object is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// `patch`: merged into it.
    Merge(Map<String, Json>),
    /// `scale`: as many replicas.
    Scale(u32),
    /// `restart`: its Pods are made anew, one after the other.
    Restart,
}

impl Edit {
    /// The key that says what the step does.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Merge(_) => "patch",
            Self::Scale(_) => "scale",
            Self::Restart => "restart",
        }
    }

    /// What kubectl would send at `now`.
    #[must_use]
    pub fn patch(&self, now: SimTime) -> Map<String, Json> {
        let path: &[&str] = match self {
            Self::Merge(patch) => return patch.clone(),
            Self::Scale(_) => &["spec", "replicas"],
            Self::Restart => &["spec", "template", "metadata", "annotations", RESTARTED_AT],
        };
        let value = match self {
            Self::Scale(replicas) => Json::from(*replicas),
            _ => timestamp(now).into(),
        };
        let nested = path.iter().rev().fold(value, |value, key| {
            Json::Object(Map::from_iter([((*key).to_owned(), value)]))
        });
        match nested {
            Json::Object(patch) => patch,
            _ => unreachable!("a path has at least one part"),
        }
    }
}

/// How long a `wait` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// This long.
    For(Duration),
    /// Until nothing is pending but periodic events.
    Converged,
}

/// Whose first packet is explored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeFrom {
    /// Somebody of the scenario.
    Source(SourceRef),
    /// A bare source address, as the probed node sees it.
    Address(IpAddr),
}

/// Connections to open, without their source.
#[derive(Clone, Debug)]
pub struct Dial {
    /// To where.
    pub to: Target,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// How many.
    pub count: u32,
    /// How long the client waits.
    pub timeout: Duration,
    /// What it sends.
    pub payload: Vec<u8>,
}

impl Dial {
    /// What a world is asked for, from `from`.
    #[must_use]
    pub fn request(&self, from: Source) -> ConnectRequest {
        ConnectRequest {
            from,
            to: self.to.clone(),
            protocol: self.protocol,
            count: self.count,
            timeout: self.timeout,
            payload: self.payload.clone(),
        }
    }
}

/// Traffic to begin.
#[derive(Clone, Debug)]
pub struct TrafficStart {
    /// What it is called.
    pub id: String,
    /// Who sends, in turn.
    pub from: Vec<SourceRef>,
    /// How; its count is 1.
    pub dial: Dial,
    /// How often.
    pub rate: Rate,
    /// `for`; `None`: until it is stopped.
    pub span: Option<Duration>,
    /// Whether a connection serves one request or more.
    pub reuse: Reuse,
}
