//! A scenario as it was read: a cluster, what is in it at the start, and steps.

use api::Manifest;
use api::yaml::Source;
use base::Seed;
use control::{ClusterConfig, ProxyMode};

use crate::step::{Action, Step};

/// One scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `metadata.name`
    pub name: String,
    /// `metadata.title`
    pub title: Option<String>,
    /// `metadata.description`
    pub description: Option<String>,
    /// The file it stands in, as the user named it.
    pub file: String,
    /// `spec.seed`, or what the user put in its place.
    pub seed: Seed,
    /// `spec.namespace`: where short references and manifests without a namespace belong.
    pub namespace: String,
    /// `spec.cluster.modes`: the scenario runs once in each; never empty.
    pub modes: Vec<ProxyMode>,
    /// `spec.manifests`, decoded: applied in this order at time 0.
    pub manifests: Vec<Manifest>,
    /// `spec.steps`
    pub steps: Vec<Step>,
    /// What the step that awaits a repair does; without it, that step and those after it are skipped.
    pub repair: Option<Vec<Action>>,
    /// The files that manifests were read from.
    pub(crate) sources: Vec<Source>,
    /// `spec.cluster`; its seed and mode are those of the run.
    pub(crate) cluster: ClusterConfig,
    /// What was concluded from `spec.state` for the cluster, as a sentence.
    pub(crate) conclusion: Option<String>,
}

impl Scenario {
    /// The cluster to build for a run in `mode`.
    #[must_use]
    pub fn cluster(&self, mode: ProxyMode) -> ClusterConfig {
        ClusterConfig {
            seed: self.seed,
            mode,
            ..self.cluster.clone()
        }
    }

    /// What the scenario waits for in the middle: its steps from there on need a repair.
    #[must_use]
    pub fn awaits(&self) -> Option<&str> {
        self.steps.iter().find_map(|step| match &step.action {
            Action::Await { what } => Some(what.as_str()),
            _ => None,
        })
    }

    /// The names of the steps that run without a repair.
    pub(crate) fn broken_step_names(&self) -> impl Iterator<Item = &str> {
        let steps = self.steps.iter();
        let before = steps.take_while(|step| !matches!(step.action, Action::Await { .. }));
        before.filter_map(|step| step.name.as_deref())
    }

    /// The names of the steps that have one, in order.
    pub fn step_names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| step.name.as_deref())
    }
}
