//! The steps `fault` and `heal`.
//!
//! A workload stands for the Pods that it has when the step runs.

use std::fmt;
use std::time::Duration;

use api::{Object, ObjectKey};
use control::{Fault, Impairment, ReferenceError};
use serde_json::json;

use crate::act::Judged;
use crate::reference::PodsRef;
use crate::run::Runner;

/// Something that goes wrong from a step on.
#[derive(Clone, Debug)]
pub struct FaultStep {
    /// The name that `heal` calls it by.
    pub id: Option<String>,
    /// `for`: how long it lasts, unless it is healed sooner.
    pub lasts: Option<Duration>,
    /// What goes wrong.
    pub trouble: Trouble,
}

/// What goes wrong; Pods are named when the step runs.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// Something that is known beforehand.
    Known(Fault),
    /// `link` with Pods at an end
    PodLink {
        /// The Pods.
        pods: PodsRef,
        /// What is named as the other end, if anything is: the node that they all are on.
        node: Option<String>,
        /// What is wrong.
        impairment: Impairment,
    },
    /// `pod-crash`
    PodCrash(PodsRef),
    /// `pod-unready`
    PodUnready(PodsRef),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(fault) => write!(f, "{fault}"),
            Self::PodLink {
                pods, impairment, ..
            } => {
                let pods = pods.key();
                write!(f, "the link to its node is impaired: {pods}: {impairment}")
            }
            Self::PodCrash(pods) => write!(f, "crashed: {}", pods.key()),
            Self::PodUnready(pods) => write!(f, "not ready: {}", pods.key()),
        }
    }
}

impl Trouble {
    fn resolve(&self, runner: &Runner<'_>) -> Result<Fault, ReferenceError> {
        Ok(match self {
            Self::Known(fault) => fault.clone(),
            Self::PodLink {
                pods,
                node,
                impairment,
            } => {
                let pods = pods.pods(runner.world)?;
                if let Some(node) = node {
                    let mut links = pods.iter();
                    links.try_for_each(|pod| check_node(runner, pod, node))?;
                }
                let impairment = impairment.clone();
                Fault::PodLink { pods, impairment }
            }
            Self::PodCrash(pods) => Fault::PodCrash {
                pods: pods.pods(runner.world)?,
            },
            Self::PodUnready(pods) => Fault::PodUnready {
                pods: pods.pods(runner.world)?,
            },
        })
    }
}

/// Whether a node is the one that a Pod is on.
fn check_node(runner: &Runner<'_>, key: &ObjectKey, node: &str) -> Result<(), ReferenceError> {
    let link = |node: &str| format!("link between {key} and node/{node}");
    let object = runner.world.get(key).ok();
    let pod = object.as_ref().and_then(Object::as_pod);
    let its = pod.map_or("", |pod| &pod.spec.node_name);
    if its == node {
        return Ok(());
    }
    Err(ReferenceError {
        wanted: link(node),
        existing: (!its.is_empty()).then(|| link(its)).into_iter().collect(),
    })
}

/// Begins a fault.
pub(crate) fn begin(runner: &mut Runner<'_>, step: &FaultStep) -> Judged {
    let fault = match step.trouble.resolve(runner) {
        Ok(fault) => fault,
        Err(error) => return error.into(),
    };
    let observed = json!({ "fault": fault.to_string() });
    match runner.world.fault(fault, step.lasts) {
        Ok(id) => {
            if let Some(name) = &step.id {
                runner.faults.insert(name.clone(), id);
            }
            Judged::done(observed, Vec::new())
        }
        Err(error) => error.into(),
    }
}

/// Heals a fault.
pub(crate) fn heal(runner: &mut Runner<'_>, name: &str) -> Judged {
    let Some(id) = runner.faults.get(name).copied() else {
        return Judged::failed(vec![format!("the fault {name} has not begun")]);
    };
    let text = match runner.world.heal(id) {
        Some(fault) => format!("no more: {fault}"),
        None => "it was over already".to_owned(),
    };
    Judged::done(json!({ "healed": name }), vec![text])
}
