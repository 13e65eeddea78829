//! `spec.steps`: what every step has, whatever it does.

use base::SimTime;
use control::ProxyMode;

use super::manifests::Files;
use super::traffic::Ids;
use super::{Setting, action, cluster};
use crate::cursor::{Cursor, Fields, Read, did_you_mean};
use crate::fault::FaultStep;
use crate::run::Ongoing;
use crate::step::{Action, Only, Plane, Schedule, Step, Wait};

/// Finding the line of each reads the text again.
const STEPS_MAX: usize = 2_000;

/// Reads all steps.
pub(super) fn steps(
    at: &Cursor<'_>,
    setting: &Setting<'_>,
    files: &mut Files<'_>,
) -> Read<Vec<Step>> {
    let mut named = Named::default();
    let mut earliest = SimTime::ZERO;
    let mut index = 0;
    let mut awaits = false;
    at.list(STEPS_MAX, |item| {
        let step = next(&item, index, &mut named, setting, files);
        index += 1;
        let step = step?;
        if let Action::Await { .. } = step.action
            && std::mem::replace(&mut awaits, true)
        {
            return Err(item.refuse("a scenario awaits one repair, and an earlier step does already"));
        }
        if let Schedule::At(start) = step.schedule
            && start < earliest
        {
            return Err(item.refuse(format!(
                "this step starts at {start}, before the one before it can have ended ({earliest} at the earliest)"
            )));
        }
        earliest = earliest_end(&step, earliest);
        Ok(step)
    })
}

/// The names that steps before have given.
#[derive(Default)]
pub(super) struct Named {
    steps: Vec<String>,
    ids: Ids,
    faults: Vec<String>,
}

impl Named {
    /// What can be called by its name while this goes on.
    pub(super) fn of(ongoing: &Ongoing) -> Self {
        Self {
            steps: Vec::new(),
            ids: Ids::of(&ongoing.background),
            faults: ongoing.faults.keys().cloned().collect(),
        }
    }
}

/// Reads a step after others.
pub(super) fn next(
    at: &Cursor<'_>,
    index: usize,
    named: &mut Named,
    setting: &Setting<'_>,
    files: &mut Files<'_>,
) -> Read<Step> {
    let step = step(at, index, &mut named.steps, setting, files)?;
    named.ids.check(at, &step.action)?;
    check_fault(at, &step.action, &mut named.faults)?;
    Ok(step)
}

fn step(
    at: &Cursor<'_>,
    index: usize,
    names: &mut Vec<String>,
    setting: &Setting<'_>,
    files: &mut Files<'_>,
) -> Read<Step> {
    let mut fields = at.fields()?;
    let name = fields.may("name", |at| match at.name()? {
        name if names.iter().any(|other| other == name) => {
            Err(at.refuse(format!("another step is called {name:?} too")))
        }
        name => {
            names.push(name.to_owned());
            Ok(name.to_owned())
        }
    });
    let only = fields.or("only", Only::default(), only);
    let schedule = schedule(&mut fields);
    let action = action::action(&mut fields, setting, files);
    // A verb that cannot be read does not get to its expectation.
    let expected = fields.take("expect");
    fields.finish()?;
    let (name, only, schedule) = (name?, only?, schedule?);
    let Some(action) = action? else {
        return Err(at.refuse_with("this step does nothing", action::supported()));
    };
    if let Some(expected) = expected {
        check_modes(&expected, only.modes.as_deref().unwrap_or(setting.modes))?;
    }
    Ok(Step {
        index,
        name,
        line: files.line_of(at.path()),
        only,
        schedule,
        action,
    })
}

/// Complains of what is expected in some modes alone, if the step is run in none of them: that would never be judged.
fn check_modes(expected: &Cursor<'_>, modes: &[ProxyMode]) -> Read<()> {
    let fields = expected.fields()?;
    let Some(at) = fields.given("byMode").filter(|_| fields.len() == 1) else {
        return Ok(());
    };
    let named = at.fields()?;
    if modes.is_empty()
        || named
            .keys()
            .any(|name| modes.iter().any(|mode| mode.as_str() == name))
    {
        return Ok(());
    }
    let modes: Vec<&str> = modes.iter().map(|mode| mode.as_str()).collect();
    Err(at.refuse(format!(
        "this is never judged: `byMode` names none of the modes that the step is run in ({})",
        modes.join(", ")
    )))
}

/// A fault has a name of its own, and what is healed is a fault of a step before.
pub(super) fn check_fault(at: &Cursor<'_>, action: &Action, known: &mut Vec<String>) -> Read<()> {
    match action {
        Action::Fault(FaultStep { id: Some(id), .. }) if known.contains(id) => {
            Err(at.refuse(format!("another fault is called {id:?} too")))
        }
        Action::Fault(FaultStep { id: Some(id), .. }) => {
            known.push(id.clone());
            Ok(())
        }
        Action::Heal(id) if !known.contains(id) => {
            let message = format!("no fault before this step is called {id:?}");
            let help = did_you_mean(id, known.iter().map(String::as_str)).unwrap_or_else(|| {
                match known.is_empty() {
                    true => "give a `fault` before it an `id`".to_owned(),
                    false => format!("there are: {}", known.join(", ")),
                }
            });
            Err(at.refuse_with(message, help))
        }
        _ => Ok(()),
    }
}

fn only(at: &Cursor<'_>) -> Read<Only> {
    const LIST_MAX: usize = 10;
    const PLANES: [(&str, Plane); 2] = [
        (Plane::Sim.as_str(), Plane::Sim),
        (Plane::Kernel.as_str(), Plane::Kernel),
    ];
    let mut fields = at.fields()?;
    let modes = fields.may("modes", |at| {
        at.one_or_list(LIST_MAX, |item| cluster::mode(&item))
    });
    let planes = fields.may("planes", |at| {
        at.one_or_list(LIST_MAX, |item| item.word(&PLANES))
    });
    fields.finish()?;
    Ok(Only {
        modes: modes?,
        planes: planes?,
    })
}

fn schedule(fields: &mut Fields<'_>) -> Read<Schedule> {
    let at = fields.may("at", Cursor::duration);
    let after = fields.may("after", Cursor::duration);
    match (at?, after?) {
        (None, None) => Ok(Schedule::Immediately),
        (Some(at), None) => Ok(Schedule::At(SimTime::ZERO + at)),
        (None, Some(after)) => Ok(Schedule::After(after)),
        (Some(_), Some(_)) => Err(fields
            .at()
            .refuse("a step starts either `at` an instant or `after` a while")),
    }
}

/// When a step can have ended at the earliest, if the one before it did at `start`. A step that may be skipped
/// takes no time.
fn earliest_end(step: &Step, start: SimTime) -> SimTime {
    if step.only.modes.is_some() || step.only.planes.is_some() {
        return start;
    }
    let start = match step.schedule {
        Schedule::Immediately => start,
        Schedule::After(after) => start + after,
        Schedule::At(at) => at,
    };
    match step.action {
        Action::Wait(Wait::For(span)) => start + span,
        _ => start,
    }
}
