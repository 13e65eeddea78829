//! One step that stands in no file: somebody has it done in the midst of a scenario.

use api::yaml::{Part, Path, Problem, Source, split};

use super::manifests::Files;
use super::steps::{Named, next};
use super::{Problems, Setting};
use crate::cursor::{Cursor, Sink};
use crate::run::Ongoing;
use crate::scenario::Scenario;
use crate::step::Step;

/// Reads a step to be done in a scenario's cluster, where `ongoing` tells what steps before have opened and begun:
/// those connections, that traffic and those faults may be named.
///
/// `read` gives the text of a file that the step names, or says why it cannot.
///
/// # Errors
/// All problems that can be found together.
pub fn load_step(
    scenario: &Scenario,
    ongoing: &Ongoing,
    source: &Source,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Step, Problems> {
    let only = |problem: Problem| Problems {
        problems: vec![problem],
        sources: vec![source.clone()],
    };
    let documents = split(source).map_err(only)?;
    let document = match &documents[..] {
        [document] => document,
        [] => return Err(only(nothing(source))),
        [_, second, ..] => {
            return Err(only(second.problem(
                &Path::root(),
                Part::Value,
                "one step at a time",
            )));
        }
    };
    let sink = Sink::default();
    let setting = Setting {
        namespace: &scenario.namespace,
        cluster: Some(&scenario.cluster),
        modes: &scenario.modes,
    };
    let mut files = Files::new(source, document, &sink, read);
    let mut named = Named::of(ongoing);
    let at = Cursor::root(document, &sink);
    match next(&at, 0, &mut named, &setting, &mut files) {
        Ok(step) => Ok(step),
        Err(_) => {
            let mut sources = files.take_sources();
            sources.push(source.clone());
            let problems = sink.into_problems(document);
            Err(Problems { problems, sources })
        }
    }
}

fn nothing(source: &Source) -> Problem {
    Problem {
        file: source.name.clone(),
        line: 1,
        column: 1,
        path: String::new(),
        message: "there is no step".to_owned(),
        help: None,
    }
}
