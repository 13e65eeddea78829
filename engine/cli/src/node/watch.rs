//! Manifests as what a running proxy watches.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use api::WatchEvent;
use control::ProxyMode;
use miette::Report;
use node::Watch;
use rules::NodeFacts;

use crate::args::NodeArgs;
use crate::output;

use super::manifests::Cluster;
use super::{facts, warnings};

/// A folder of manifests, looked at again and again.
///
/// Deviation: kube-proxy waits for its Node and is not eligible without one. Here the Node may be left out, and its
/// addresses given as arguments; only one that has been there and is gone makes the node ineligible. Without these
/// arguments, manifests that lack it are bad ones.
pub(super) struct ManifestWatch<'a> {
    args: &'a NodeArgs,
    path: PathBuf,
    name: String,
    mode: ProxyMode,
    cluster: Cluster,
    facts: Arc<NodeFacts>,
    /// Up to where events have been told.
    told: Option<u64>,
    had_node: bool,
    /// What is wrong with the manifests at present, as it was said.
    problem: Option<String>,
    /// What the user was warned of.
    warned: BTreeSet<String>,
}

impl<'a> ManifestWatch<'a> {
    /// Begins with a cluster that was read, and the node in it.
    pub(super) fn new(
        args: &'a NodeArgs,
        path: PathBuf,
        mode: ProxyMode,
        cluster: Cluster,
        facts: NodeFacts,
    ) -> Self {
        let mut watch = Self {
            args,
            path,
            name: facts.name.to_string(),
            mode,
            had_node: cluster.node(&facts.name).is_some(),
            cluster,
            facts: Arc::new(facts),
            told: None,
            problem: None,
            warned: BTreeSet::new(),
        };
        watch.warn();
        watch
    }

    /// Takes over what other manifests make, if all of that is good. Returns whether it did.
    fn follow(&mut self) -> Result<bool, Report> {
        let Some(cluster) = self.cluster.follow(&self.path)? else {
            return Ok(false);
        };
        self.facts = Arc::new(facts(self.args, &self.name, self.mode, &cluster)?);
        self.cluster = cluster;
        self.had_node |= self.cluster.node(&self.name).is_some();
        self.warn();
        Ok(true)
    }

    /// Says what is wrong, unless that has been said and nothing was good since.
    fn complain(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            output::complain(&problem);
            output::complain("the manifests that were good last stay in force");
        }
        self.problem = Some(problem);
    }

    /// Says what has not been said yet.
    fn warn(&mut self) {
        let present: BTreeSet<String> = warnings(&self.cluster, &self.facts).into_iter().collect();
        for warning in present.difference(&self.warned) {
            output::complain(&format!("Warning: {warning}"));
        }
        self.warned = present;
    }
}

impl Watch for ManifestWatch<'_> {
    /// What is wrong with the manifests is said once; the cluster stays as it was while it is.
    fn poll(&mut self) -> Vec<WatchEvent> {
        match self.follow() {
            Ok(true) => self.problem = None,
            // Bad files that stay as they are stay bad.
            Ok(false) => {}
            Err(report) => self.complain(format!("{report:?}")),
        }
        let events = self.cluster.events_after(self.told).to_vec();
        self.told = Some(self.cluster.revision());
        events
    }

    fn facts(&self) -> Arc<NodeFacts> {
        Arc::clone(&self.facts)
    }

    fn is_eligible(&self) -> bool {
        match self.cluster.node(&self.name) {
            None => !self.had_node,
            Some(node) => !is_tainted(node),
        }
    }
}

fn is_tainted(node: &api::Node) -> bool {
    let taints = node
        .spec
        .rest
        .get("taints")
        .and_then(|taints| taints.as_array());
    let mut keys = taints.into_iter().flatten().map(|taint| &taint["key"]);
    keys.any(|key| key == proxy::TO_BE_DELETED_TAINT)
}
