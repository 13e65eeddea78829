//! Why a node is no place for a Pod, and how kube-scheduler says so.
//!
//! **Source of the semantics.** S: `pkg/scheduler/framework/types.go` (FitError), the plugins in
//! `pkg/scheduler/framework/plugins` that each reason names, `pkg/scheduler/framework/preemption/preemption.go`.

use std::collections::BTreeMap;
use std::fmt;

/// Why a node is no place for a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Misfit {
    /// The Pod names other nodes (nodeaffinity, PreFilter).
    NotNamed,
    /// It is cordoned (nodeunschedulable).
    Cordoned,
    /// (tainttoleration)
    Tainted,
    /// (nodeaffinity)
    NotSelected,
    /// (nodeports)
    PortsTaken,
    /// (noderesources)
    TooManyPods,
    /// Not enough of a resource is left (noderesources).
    Insufficient(&'static str),
    /// It never has enough of a resource (noderesources).
    TooSmall(&'static str),
    /// It is in no domain (podtopologyspread).
    NoDomain,
    /// (podtopologyspread)
    Uneven,
    /// No Pod is there that the Pod must be near to (interpodaffinity).
    Lonely,
    /// The Pod wants to be away from a Pod that is there (interpodaffinity).
    Averse,
    /// A Pod that is there wants to be away from the Pod (interpodaffinity).
    Repelled,
}

impl Misfit {
    /// Whether no Pod's going would help.
    pub(super) const fn is_final(self) -> bool {
        match self {
            Self::NotNamed
            | Self::Cordoned
            | Self::Tainted
            | Self::NotSelected
            | Self::TooSmall(_)
            | Self::NoDomain
            | Self::Lonely => true,
            Self::PortsTaken
            | Self::TooManyPods
            | Self::Insufficient(_)
            | Self::Uneven
            | Self::Averse
            | Self::Repelled => false,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNamed => "node(s) didn't satisfy plugin(s) [NodeAffinity]",
            Self::Cordoned => "node(s) were unschedulable",
            Self::Tainted => "node(s) had untolerated taint(s)",
            Self::NotSelected => "node(s) didn't match Pod's node affinity/selector",
            Self::PortsTaken => "node(s) didn't have free ports for the requested pod ports",
            Self::TooManyPods => "Too many pods",
            Self::Insufficient(resource) | Self::TooSmall(resource) => {
                return write!(f, "Insufficient {resource}");
            }
            Self::NoDomain => {
                "node(s) didn't match pod topology spread constraints (missing required label)"
            }
            Self::Uneven => "node(s) didn't match pod topology spread constraints",
            Self::Lonely => "node(s) didn't match pod affinity rules",
            Self::Averse => "node(s) didn't match pod anti-affinity rules",
            Self::Repelled => "node(s) didn't satisfy existing pods anti-affinity rules",
        })
    }
}

/// Why none of the nodes will do.
#[derive(Clone, Debug, Default)]
pub(super) struct Misfits {
    nodes: usize,
    /// Nodes where nothing helps.
    hopeless: usize,
    reasons: BTreeMap<String, usize>,
}

impl Misfits {
    /// Takes note of `count` nodes with the same misfits.
    pub(super) fn add(&mut self, count: usize, misfits: &[Misfit]) {
        if count == 0 {
            return;
        }
        self.nodes += count;
        if misfits.iter().any(|misfit| misfit.is_final()) {
            self.hopeless += count;
        }
        for misfit in misfits {
            *self.reasons.entry(misfit.to_string()).or_insert(0) += count;
        }
    }

    /// How many nodes have been taken note of.
    pub(super) const fn nodes(&self) -> usize {
        self.nodes
    }

    /// Whether there is a node where another Pod's going may help.
    pub(super) const fn may_pass(&self) -> bool {
        self.hopeless < self.nodes
    }

    /// kube-scheduler's words; `preempts` says whether the Pod may push others aside.
    pub(super) fn message(&self, preempts: bool) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let reasons = self
            .reasons
            .iter()
            .map(|(text, count)| (text.as_str(), *count));
        let why = self.sentence(reasons);
        // What the plugin of dynamic resources says of a Pod without claims comes first.
        let prefix = format!("{why} no new claims to deallocate, preemption:");
        if !preempts {
            return format!("{prefix} not eligible due to preemptionPolicy=Never.");
        }
        let outcomes = [
            ("Preemption is not helpful for scheduling", self.hopeless),
            (
                "No preemption victims found for incoming pod",
                self.nodes - self.hopeless,
            ),
        ];
        format!("{prefix} {}", self.sentence(outcomes.into_iter()))
    }

    /// Counts are sorted as texts, as Go does.
    fn sentence<'a>(&self, reasons: impl Iterator<Item = (&'a str, usize)>) -> String {
        let given = reasons.filter(|(_, count)| *count > 0);
        let mut parts: Vec<String> = given
            .map(|(text, count)| format!("{count} {text}"))
            .collect();
        parts.sort_unstable();
        format!(
            "0/{} nodes are available: {}.",
            self.nodes,
            parts.join(", ")
        )
    }
}
