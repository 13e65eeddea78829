//! Reading the user's files, and errors that show the line they are about.

use std::fs;
use std::path::{Path, PathBuf};

use api::yaml::{Problem, Source};
use base::Seed;
use control::ProxyMode;
use miette::{Diagnostic, LabeledSpan, NamedSource, Report};
use scenario::{At, RunError, Scenario, ScenarioReport};
use sim::Sim;
use thiserror::Error;

use crate::args::InstantArgs;

/// An error about the user's input, with the line it is about where there is one.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
struct InputError {
    message: String,
    #[help]
    help: Option<String>,
    #[source_code]
    text: Option<NamedSource<String>>,
    #[label(collection)]
    labels: Vec<LabeledSpan>,
    #[related]
    others: Vec<Report>,
}

/// A plain error without a place in a file.
pub(crate) fn error(message: impl Into<String>, help: Option<&str>) -> Report {
    let help = help.map(str::to_owned);
    InputError {
        message: message.into(),
        help,
        text: None,
        labels: Vec::new(),
        others: Vec::new(),
    }
    .into()
}

/// Reads and checks every scenario of a file.
pub(crate) fn load(file: &Path) -> Result<Vec<Scenario>, Report> {
    let text = read(file).map_err(|why| error(why, None))?;
    let source = Source::new(file.display().to_string(), text);
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    let mut read_beside = |path: &str| read(&folder.join(path));
    scenario::load(&source, &mut read_beside).map_err(|problems| {
        let mut reports = problems.iter().map(|problem| report(problem, &folder));
        let first = reports.next().expect("an error has a problem");
        let others: Vec<Report> = reports.collect();
        match others.is_empty() {
            true => first,
            false => {
                let message = format!("{} problems in {}", others.len() + 1, file.display());
                let others = std::iter::once(first).chain(others).collect();
                InputError {
                    message,
                    help: None,
                    text: None,
                    labels: Vec::new(),
                    others,
                }
                .into()
            }
        }
    })
}

/// A problem with the line it is about.
pub(crate) fn report(problem: &Problem, folder: &Path) -> Report {
    let in_folder = folder.join(&problem.file);
    let text = [PathBuf::from(&problem.file), in_folder]
        .into_iter()
        .find_map(|p| read(&p).ok());
    let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
    let path = match problem.path.as_str() {
        "" => String::new(),
        path => format!("{path}: "),
    };
    let labels = text
        .as_deref()
        .and_then(|text| offset(text, problem))
        .map(|offset| LabeledSpan::new_primary_with_span(Some("here".to_owned()), (offset, 1)));
    InputError {
        message: format!("{place}: {path}{}", problem.message),
        help: problem.help.clone(),
        labels: labels.into_iter().collect(),
        text: text.map(|text| NamedSource::new(&problem.file, text)),
        others: Vec::new(),
    }
    .into()
}

/// The one scenario that a command is about, run up to its instant.
pub(crate) struct Instant {
    pub(crate) scenario: Scenario,
    pub(crate) mode: ProxyMode,
    pub(crate) sim: Sim,
    pub(crate) label: String,
}

/// Runs a scenario up to the instant that the arguments name.
pub(crate) fn at_instant(args: &InstantArgs) -> Result<Instant, Report> {
    let scenarios = load(&args.file)?;
    let scenario = choose(scenarios, args.scenario.as_deref(), &args.file)?;
    let mode = choose_mode(&scenario, args.mode)?;
    let mut sim = build(&scenario, mode)?;
    let at = args.at.clone().unwrap_or(At::End);
    replay(&scenario, mode, &mut sim, &at, &args.file)?;
    let now = sim.control().now();
    let label = match &args.at {
        Some(At::Step(name)) => format!("{now}, at the end of step {name}"),
        Some(At::Time(_)) => now.to_string(),
        Some(At::End) | None => format!("{now}, the end of the run"),
    };
    Ok(Instant {
        scenario,
        mode,
        sim,
        label,
    })
}

/// Builds the cluster of a scenario.
pub(crate) fn build(scenario: &Scenario, mode: ProxyMode) -> Result<Sim, Report> {
    Sim::new(scenario.cluster(mode)).map_err(|status| {
        error(
            format!(
                "{}: the cluster cannot be built: {}",
                scenario.file,
                status.kubectl_text()
            ),
            None,
        )
    })
}

/// Replays a scenario up to an instant.
pub(crate) fn replay(
    scenario: &Scenario,
    mode: ProxyMode,
    sim: &mut Sim,
    at: &At,
    file: &Path,
) -> Result<ScenarioReport, Report> {
    scenario::run_until(scenario, mode, sim, at, &mut |_| ()).map_err(|failure| match failure {
        RunError::Manifest(problem) => report(
            &problem,
            &file.parent().map(Path::to_owned).unwrap_or_default(),
        ),
        RunError::UnknownStep { .. } => error(
            failure.to_string(),
            Some("--at takes a time or the name of a step"),
        ),
    })
}

/// The modes that a scenario is to run in.
pub(crate) fn choose_mode(
    scenario: &Scenario,
    wanted: Option<ProxyMode>,
) -> Result<ProxyMode, Report> {
    let mode = wanted.unwrap_or(scenario.modes[0]);
    if scenario.modes.contains(&mode) {
        return Ok(mode);
    }
    let modes: Vec<&str> = scenario.modes.iter().map(|mode| mode.as_str()).collect();
    Err(error(
        format!("scenario {} does not run in mode {mode}", scenario.name),
        Some(&format!("its modes: {}", modes.join(", "))),
    ))
}

/// Replaces the seed of every scenario.
pub(crate) fn reseed(scenarios: &mut [Scenario], seed: Option<u64>) {
    if let Some(seed) = seed {
        for scenario in scenarios {
            scenario.seed = Seed::new(seed);
        }
    }
}

fn choose(
    mut scenarios: Vec<Scenario>,
    wanted: Option<&str>,
    file: &Path,
) -> Result<Scenario, Report> {
    let names: Vec<String> = scenarios
        .iter()
        .map(|scenario| scenario.name.clone())
        .collect();
    let index = match wanted {
        Some(name) => names.iter().position(|known| known == name),
        None => (names.len() == 1).then_some(0),
    };
    match index {
        Some(index) => Ok(scenarios.swap_remove(index)),
        None => Err(error(
            format!(
                "{} holds several scenarios, or none of that name",
                file.display()
            ),
            Some(&format!("choose one with --scenario: {}", names.join(", "))),
        )),
    }
}

fn read(file: &Path) -> Result<String, String> {
    let bytes = fs::read(file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("{} is no UTF-8 text", file.display()))
}

/// Where a problem's line and column (in characters, from 1) stand in the text, in bytes.
fn offset(text: &str, problem: &Problem) -> Option<usize> {
    let line = usize::try_from(problem.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(problem.column).ok()?.saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let line = text.get(start..)?.lines().next().unwrap_or_default();
    let within: usize = line.chars().take(column).map(char::len_utf8).sum();
    Some(start + within).filter(|offset| *offset < text.len())
}
