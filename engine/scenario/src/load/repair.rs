//! What a user brings to the step that awaits it: manifests, and what else mends a cluster.
//!
//! Manifests are applied. What no manifest does (deleting, restarting a proxy, ending a fault) stands as steps in a
//! document of kind `Repair`, between the manifests or alone.

use api::yaml::{Document, Problem, Source, split};
use api::{Manifest, decode};
use control::WriteVerb;

use super::manifests::{Files, place_in};
use super::{API_VERSION, Problems, Setting, action, steps};
use crate::cursor::{Cursor, Read, Sink};
use crate::expect::Expect;
use crate::fault::FaultStep;
use crate::scenario::Scenario;
use crate::step::Action;

/// Steps of one repair.
const STEPS_MAX: usize = 100;

/// Reads a repair of `scenario`: what is done, in order.
///
/// # Errors
/// All problems that can be found together.
pub fn load_repair(source: &Source, scenario: &Scenario) -> Result<Vec<Action>, Problems> {
    let failed = |problems| Problems {
        problems,
        sources: vec![source.clone()],
    };
    let documents = split(source).map_err(|problem| failed(vec![problem]))?;
    let mut actions = Vec::new();
    let mut problems = Vec::new();
    for document in &documents {
        let read = match is_repair(document) {
            true => mending_steps(document, source, scenario),
            false => manifests(document, &scenario.namespace).map(|manifests| {
                vec![Action::Write {
                    verb: WriteVerb::Apply,
                    manifests: manifests.into_iter().map(Ok).collect(),
                    expect: Expect::nothing(),
                }]
            }),
        };
        match read {
            Ok(more) => {
                for action in more {
                    add(&mut actions, action);
                }
            }
            Err(found) => problems.extend(found),
        }
    }
    match problems.is_empty() {
        true => Ok(actions),
        false => Err(failed(problems)),
    }
}

/// Manifests that follow each other are applied together.
fn add(actions: &mut Vec<Action>, action: Action) {
    match (actions.last_mut(), action) {
        (
            Some(Action::Write {
                verb: WriteVerb::Apply,
                manifests,
                ..
            }),
            Action::Write {
                verb: WriteVerb::Apply,
                manifests: more,
                ..
            },
        ) => manifests.extend(more),
        (_, action) => actions.push(action),
    }
}

fn manifests(document: &Document, namespace: &str) -> Result<Vec<Manifest>, Vec<Problem>> {
    let mut manifests = decode(document).map_err(|failure| failure.problems().to_vec())?;
    place_in(namespace, &mut manifests);
    Ok(manifests)
}

/// Whether a document is of this program and not of Kubernetes.
fn is_repair(document: &Document) -> bool {
    let version = document.value.get("apiVersion");
    let group = API_VERSION.split_once('/').map(|(group, _)| group);
    let found = version
        .and_then(|version| version.as_str())
        .and_then(|version| version.split_once('/'));
    found.map(|(group, _)| group) == group
}

fn mending_steps(
    document: &Document,
    source: &Source,
    scenario: &Scenario,
) -> Result<Vec<Action>, Vec<Problem>> {
    let sink = Sink::default();
    let mut read = |path: &str| Err(format!("a repair is one file: write out what {path} says"));
    let mut files = Files::new(source, document, &sink, &mut read);
    let read = repair(&Cursor::root(document, &sink), scenario, &mut files);
    read.map_err(|_| sink.into_problems(document))
}

fn repair(root: &Cursor<'_>, scenario: &Scenario, files: &mut Files<'_>) -> Read<Vec<Action>> {
    let setting = Setting {
        namespace: &scenario.namespace,
        cluster: Some(&scenario.cluster),
        modes: &scenario.modes,
    };
    let begun = scenario.steps.iter().filter_map(|step| match &step.action {
        Action::Fault(FaultStep { id, .. }) => id.clone(),
        _ => None,
    });
    let mut faults: Vec<String> = begun.collect();
    let mut fields = root.fields()?;
    let api_version = fields.need("apiVersion", |at| at.word(&[(API_VERSION, ())]));
    let kind = fields.need("kind", |at| at.word(&[("Repair", ())]));
    // What else stands in another kind of document would only draw complaints that help nobody.
    api_version?;
    kind?;
    let steps = fields.need("spec", |at| {
        let mut fields = at.fields()?;
        let steps = fields.need("steps", |at| {
            at.list(STEPS_MAX, |item| {
                let action = mending_step(&item, &setting, files)?;
                steps::check_fault(&item, &action, &mut faults)?;
                Ok(action)
            })
        });
        fields.finish()?;
        steps
    });
    fields.finish()?;
    steps
}

fn mending_step(at: &Cursor<'_>, setting: &Setting<'_>, files: &mut Files<'_>) -> Read<Action> {
    let mut fields = at.fields()?;
    if let Some(expect) = fields.take("expect") {
        let help = "what should be so after a repair, the scenario says".to_owned();
        return Err(expect.refuse_key("a repair expects nothing", Some(help)));
    }
    let action = action::action(&mut fields, setting, files)?;
    fields.finish()?;
    match action {
        Some(
            action @ (Action::Write { .. }
            | Action::Delete { .. }
            | Action::Change { .. }
            | Action::Proxy(_)
            | Action::Heal(_)
            | Action::Wait(_)),
        ) => Ok(action),
        _ => Err(at.refuse_with(
            "this step repairs nothing",
            "a repair can: apply, create, replace, delete, patch, scale, restart, proxy, heal, wait",
        )),
    }
}
