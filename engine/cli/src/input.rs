//! Reading the user's files, and errors that show the line they are about.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use api::yaml::{Problem, Source};
use base::Seed;
use control::ProxyMode;
use miette::{Diagnostic, LabeledSpan, Report};
use scenario::{At, Ongoing, Problems, Refusals, RunError, Scenario, ScenarioReport, Step};
use sim::Sim;
use thiserror::Error;

use crate::args::InstantArgs;
use crate::manifests;
use crate::snippet::{Snippet, clipped};

/// The most bytes of a file that is read: more is a mistake, such as a log in place of a manifest.
const FILE_MAX: u64 = 64 * 1024 * 1024;
/// The most characters of a complaint: some repeat what the user wrote.
const MESSAGE_MAX: usize = 2_000;

/// An error about the user's input, with the line it is about where there is one.
#[derive(Debug, Error, Diagnostic)]
#[error("{message}")]
struct InputError {
    message: String,
    #[help]
    help: Option<String>,
    #[source_code]
    text: Option<Snippet>,
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

/// A file's text.
pub(crate) fn text_of(file: &Path) -> Result<String, Report> {
    read(file).map_err(|why| error(format!("cannot read {}: {why}", file.display()), None))
}

/// Reads and checks every scenario of a file.
pub(crate) fn load(file: &Path) -> Result<Vec<Scenario>, Report> {
    let text = text_of(file)?;
    load_text(file, text)
}

/// Reads and checks every scenario of a text that stands, or could stand, in a file.
pub(crate) fn load_text(file: &Path, text: String) -> Result<Vec<Scenario>, Report> {
    let folder = file.parent().map(Path::to_owned).unwrap_or_default();
    load_with(file, text, &mut |path| read(&folder.join(path)))
}

/// The same, where `read` gives the texts of the files that it names.
pub(crate) fn load_with(
    file: &Path,
    text: String,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Vec<Scenario>, Report> {
    let source = Source::new(file.display().to_string(), text);
    scenario::load(&source, read).map_err(|problems| all_of(&problems, file))
}

/// Reads and checks a step that somebody types in the midst of a scenario.
pub(crate) fn step(scenario: &Scenario, ongoing: &Ongoing, text: String) -> Result<Step, Report> {
    let (file, source) = (Path::new("step"), Source::new("step", text));
    let read = &mut |path: &str| read(Path::new(path));
    scenario::load_step(scenario, ongoing, &source, read)
        .map_err(|problems| all_of(&problems, file))
}

/// Brings the repair that scenarios await.
pub(crate) fn repair(scenarios: &mut [Scenario], with: Option<&Path>) -> Result<(), Report> {
    let Some(file) = with else {
        return Ok(());
    };
    let source = Source::new(file.display().to_string(), text_of(file)?);
    for scenario in scenarios {
        if scenario.awaits().is_none() {
            let message = format!("scenario {} does not await anything", scenario.name);
            return Err(error(
                message,
                Some("--with is for scenarios with a step `await`"),
            ));
        }
        let repair =
            scenario::load_repair(&source, scenario).map_err(|problems| all_of(&problems, file))?;
        scenario.repair = Some(repair);
    }
    Ok(())
}

/// Every problem of a file, each with the line it is about.
fn all_of(problems: &Problems, file: &Path) -> Report {
    let mut reports = problems
        .iter()
        .map(|problem| report(problem, problems.text_of(problem)));
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
}

/// A problem with the line it is about; `text` is that of its file.
pub(crate) fn report(problem: &Problem, text: Option<&str>) -> Report {
    let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
    let path = match problem.path.as_str() {
        "" => String::new(),
        path => format!("{path}: "),
    };
    let snippet = text.and_then(|text| Snippet::of(problem, text));
    let label = snippet.as_ref().map(|snippet| {
        LabeledSpan::new_primary_with_span(Some("here".to_owned()), (snippet.offset(), 1))
    });
    let message = clipped(&format!("{path}{}", problem.message), MESSAGE_MAX);
    InputError {
        message: format!("{place}: {message}"),
        help: problem
            .help
            .as_deref()
            .map(|help| clipped(help, MESSAGE_MAX)),
        labels: label.into_iter().collect(),
        text: snippet,
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
    pub(crate) refusals: Refusals,
}

/// Runs a scenario up to the instant that the arguments name.
pub(crate) fn at_instant(args: &InstantArgs) -> Result<Instant, Report> {
    let mut scenario = one(&args.file, args.scenario.as_deref())?;
    repair(std::slice::from_mut(&mut scenario), args.with.as_deref())?;
    // A question may be asked in any mode, whether or not the scenario is judged in it.
    let mode = args.mode.unwrap_or(scenario.modes[0]);
    let mut sim = build(&scenario, mode)?;
    let at = args.at.clone().unwrap_or(At::End);
    let report = replay(&scenario, mode, &mut sim, &at)?;
    let now = sim.control().now();
    let label = match &args.at {
        Some(At::Step(name)) => format!("{now}, at the end of step {name}"),
        Some(At::Time(asked)) if now > *asked => {
            format!("{now}, the end of what a client had under way at {asked}")
        }
        Some(At::Time(_)) => now.to_string(),
        Some(At::End) | None => match scenario.awaits().filter(|_| args.with.is_none()) {
            Some(what) => format!("{now}, where the scenario awaits {what}"),
            None => format!("{now}, the end of the run"),
        },
    };
    Ok(Instant {
        scenario,
        mode,
        sim,
        label,
        refusals: report.refusals,
    })
}

/// The scenario that a question is about: the only one of a file or folder, or the one of that name.
pub(crate) fn one(file: &Path, name: Option<&str>) -> Result<Scenario, Report> {
    choose(manifests::scenarios(file)?, name, file)
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
) -> Result<ScenarioReport, Report> {
    scenario::run_until(scenario, mode, sim, at, &mut |_| ()).map_err(cannot_run)
}

/// Says why a scenario cannot be run.
pub(crate) fn cannot_run(failure: RunError) -> Report {
    match failure {
        RunError::Manifest { mut problem, text } => {
            let page = explain::page_of_refusal(&problem.message);
            problem.help = page.map(|page| format!("`switchboard explain {}` says more", page.id));
            report(&problem, Some(&text))
        }
        RunError::Awaits { .. } => error(
            failure.to_string(),
            Some("name one before, or run the scenario --with a repair"),
        ),
        RunError::UnknownStep { .. } => error(
            failure.to_string(),
            Some("--at takes a time or the name of a step"),
        ),
    }
}

/// Refuses to judge a scenario in a mode that it is not written for.
pub(crate) fn check_mode(scenario: &Scenario, mode: ProxyMode) -> Result<(), Report> {
    if scenario.modes.contains(&mode) {
        return Ok(());
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

/// A file's text, or why there is none. Only regular files are read: a device may never end, and a pipe never begin.
/// `-` is standard input, which somebody has chosen to be read.
fn read(file: &Path) -> Result<String, String> {
    if is_stdin(file) {
        return read_text(&mut io::stdin().lock());
    }
    let meta = fs::metadata(file).map_err(|why| why.to_string())?;
    if meta.is_dir() {
        return Err("it is a directory".to_owned());
    }
    if !meta.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut opened = File::open(file).map_err(|why| why.to_string())?;
    read_text(&mut opened)
}

/// Whether a path means standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read_text(reader: &mut impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    // A file may grow while it is read.
    let mut start = reader.take(FILE_MAX + 1);
    start
        .read_to_end(&mut bytes)
        .map_err(|why| why.to_string())?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(format!("it is larger than {} MiB", FILE_MAX / 1024 / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())
}
