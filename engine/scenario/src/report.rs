//! What a run gave, and the same as JSON.
//!
//! **Source of the semantics.** The `Report` of the scenario language's contract: its keys, their order, and that
//! none is ever left out. Equal runs give equal bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use api::ObjectKey;
use base::{Seed, SimTime};
use control::{Happening, NodeConfig, ProxyMode};
use explain::Finding;
use serde_json::{Value as Json, json};

use crate::findings::finding_json;
use crate::load::API_VERSION;
use crate::metrics::Metrics;
use crate::scenario::Scenario;
use crate::step::Step;
use crate::words;

/// The Kubernetes whose behaviour is simulated.
pub const KUBERNETES_VERSION: &str = "1.36";

/// What all runs gave.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One per scenario and mode, in the order they were run.
    pub scenarios: Vec<ScenarioReport>,
}

/// What the API server said of an object when it last refused to write it, as kubectl prints that. Of an object that has
/// been written since it said nothing.
pub type Refusals = BTreeMap<ObjectKey, String>;

/// What one run gave.
#[derive(Clone, Debug)]
pub struct ScenarioReport {
    /// `metadata.name`
    pub name: String,
    /// `metadata.title`
    pub title: Option<String>,
    /// The scenario's file.
    pub file: String,
    /// `spec.namespace`
    pub namespace: String,
    /// In which mode.
    pub mode: ProxyMode,
    /// On which plane.
    pub plane: &'static str,
    /// From which seed.
    pub seed: Seed,
    /// The cluster's nodes.
    pub nodes: Vec<NodeConfig>,
    /// Virtual time from start to end.
    pub duration: Duration,
    /// What was counted.
    pub metrics: Metrics,
    /// The steps that began, and those that were skipped.
    pub steps: Vec<StepReport>,
    /// All of it in the order of time.
    pub timeline: Vec<Entry>,
    /// What was refused, and not done since.
    pub refusals: Refusals,
}

/// What one step gave.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Its place among the steps, from 0.
    pub index: usize,
    /// Its name.
    pub name: Option<String>,
    /// The key that says what it does.
    pub verb: &'static str,
    /// Its line in the scenario's file.
    pub line: u32,
    /// When it began.
    pub start: SimTime,
    /// When it ended.
    pub end: SimTime,
    /// How it was judged.
    pub outcome: Outcome,
    /// The expectation as the scenario spells it; an empty object if there is none.
    pub expected: Json,
    /// What was seen, for programs.
    pub observed: Json,
    /// What it does, in words.
    pub asked: String,
    /// What was seen, in words; one line each.
    pub seen: Vec<String>,
    /// Why it failed: what the client saw first, then the reason, then the rules. Of a step that was skipped: why, if
    /// not for its mode or plane.
    pub why: Vec<String>,
    /// What was found about a Service.
    pub findings: Vec<Finding>,
}

/// How a step was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As expected, or nothing was expected and nothing was refused.
    Passed,
    /// Not as expected.
    Failed,
    /// Not for this mode or plane, or after a repair that nobody brought.
    Skipped,
}

impl Outcome {
    /// As reports spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The cluster did something by itself.
    Happening(Happening),
    /// The step at this place of [`ScenarioReport::steps`].
    Step(usize),
    /// Something that the user should know.
    Warning(String),
}

impl Report {
    /// Whether every scenario passed in every mode.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.scenarios.iter().all(ScenarioReport::passed)
    }

    /// The report as the contract has it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({
            "apiVersion": API_VERSION,
            "kind": "Report",
            "switchboardVersion": env!("CARGO_PKG_VERSION"),
            "kubernetesVersion": KUBERNETES_VERSION,
            "passed": self.passed(),
            "scenarios": self.scenarios.iter().map(ScenarioReport::to_json).collect::<Vec<_>>(),
        })
    }
}

impl ScenarioReport {
    /// A report without steps.
    pub(crate) fn begin(scenario: &Scenario, mode: ProxyMode, plane: &'static str) -> Self {
        Self {
            name: scenario.name.clone(),
            title: scenario.title.clone(),
            file: scenario.file.clone(),
            namespace: scenario.namespace.clone(),
            mode,
            plane,
            seed: scenario.seed,
            nodes: scenario.cluster.nodes.clone(),
            duration: Duration::ZERO,
            metrics: Metrics::default(),
            steps: Vec::new(),
            timeline: Vec::new(),
            refusals: Refusals::new(),
        }
    }

    /// Whether no step failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failed() == 0
    }

    /// How many steps failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.steps
            .iter()
            .filter(|step| step.outcome == Outcome::Failed)
            .count()
    }

    fn to_json(&self) -> Json {
        json!({
            "name": self.name,
            "file": self.file,
            "mode": self.mode.as_str(),
            "plane": self.plane,
            "seed": self.seed.value(),
            "passed": self.passed(),
            "durationNs": nanos(self.duration),
            "metrics": self.metrics.to_json(),
            "steps": self.steps.iter().map(StepReport::to_json).collect::<Vec<_>>(),
        })
    }
}

impl StepReport {
    /// A report of a step of which nothing has been seen.
    pub(crate) fn new(
        step: &Step,
        scenario: &Scenario,
        mode: ProxyMode,
        start: SimTime,
        outcome: Outcome,
    ) -> Self {
        Self {
            index: step.index,
            name: step.name.clone(),
            verb: step.verb(),
            line: step.line,
            start,
            end: start,
            outcome,
            expected: step
                .action
                .expected(mode)
                .cloned()
                .unwrap_or_else(|| json!({})),
            observed: json!({}),
            asked: words::asked(&step.action, &scenario.namespace),
            seen: Vec::new(),
            why: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn to_json(&self) -> Json {
        json!({
            "index": self.index,
            "name": self.name,
            "verb": self.verb,
            "line": self.line,
            "startNs": self.start.as_nanos(),
            "outcome": self.outcome.as_str(),
            "expected": self.expected,
            "observed": self.observed,
            "findings": self.findings.iter().map(finding_json).collect::<Vec<_>>(),
            "why": self.why,
        })
    }
}

/// Whole nanoseconds, as every duration in a report.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
