//! `switchboard run`

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use control::ProxyMode;
use miette::Report as Failure;
use scenario::{At, Outcome, Report, Scenario, ScenarioReport, human, junit};
use sim::Sim;

use crate::args::{RunArgs, RunOutput};
use crate::jobs;
use crate::progress::Progress;
use crate::{Exit, input, output, update};

/// One scenario in one mode.
struct Task<'a> {
    scenario: &'a Scenario,
    mode: ProxyMode,
}

/// Replays every scenario of every file in each of its modes.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let work = chosen(args)?;
    if args.capture.is_some() {
        refuse_namesakes(&work)?;
    }
    let mut tasks = Vec::new();
    for (_, scenario) in &work {
        let modes = match args.mode {
            Some(mode) => {
                input::check_mode(scenario, mode)?;
                vec![mode]
            }
            None => scenario.modes.clone(),
        };
        tasks.extend(modes.into_iter().map(|mode| Task { scenario, mode }));
    }
    let mut progress = Progress::of(tasks.len());
    let mut reports = Vec::new();
    let jobs = args.jobs.or_else(|| available_parallelism().ok());
    let done = |report: ScenarioReport| {
        progress.wipe();
        if args.output == RunOutput::Human {
            output::print(&human::render_scenario(&report, output::colour()))?;
            if let Some(unmet) = args.with.as_deref().and_then(|with| unmet(&report, with)) {
                output::print(&unmet)?;
            }
        }
        progress.advance();
        reports.push(report);
        Ok(())
    };
    let replay = |task: &Task<'_>| replay(task, args.capture.as_deref());
    jobs::in_order(&tasks, jobs.unwrap_or(NonZeroUsize::MIN), replay, done)?;
    drop(progress);
    finish(args, reports)
}

/// What the scenario expects of a repair and this one does not do.
fn unmet(report: &ScenarioReport, with: &Path) -> Option<String> {
    let mut steps = report.steps.iter();
    steps.find(|step| step.verb == "await")?;
    let failed = steps.filter(|step| step.outcome == Outcome::Failed);
    let unmet: Vec<String> = failed
        .map(|step| {
            let name = step.name.as_deref().unwrap_or(&step.asked);
            let why = step.why.first().map_or("", String::as_str);
            format!("  {}: {name}: {why}\n", step.verb)
        })
        .collect();
    (!unmet.is_empty()).then(|| {
        format!(
            "The repair in {} is not enough. Still unmet:\n{}",
            with.display(),
            unmet.concat()
        )
    })
}

/// The scenarios that the arguments name, with their files.
fn chosen(args: &RunArgs) -> Result<Vec<(&PathBuf, Scenario)>, Failure> {
    let mut work = Vec::new();
    for file in &args.files {
        let mut scenarios = input::load(file)?;
        input::reseed(&mut scenarios, args.seed);
        input::repair(&mut scenarios, args.with.as_deref())?;
        work.extend(scenarios.into_iter().map(|scenario| (file, scenario)));
    }
    let Some(name) = &args.scenario else {
        return Ok(work);
    };
    let known = work.iter().map(|(_, scenario)| scenario.name.clone());
    let known: Vec<String> = known.collect();
    work.retain(|(_, scenario)| scenario.name == *name);
    if work.is_empty() {
        let help = format!("there are: {}", known.join(", "));
        let message = format!("no scenario is called {name}");
        return Err(input::error(message, Some(&help)));
    }
    Ok(work)
}

fn replay(task: &Task<'_>, captures: Option<&Path>) -> Result<ScenarioReport, Failure> {
    let Task { scenario, mode } = *task;
    let mut sim = input::build(scenario, mode)?;
    if captures.is_some() {
        sim.enable_capture();
    }
    let report = input::replay(scenario, mode, &mut sim, &At::End)?;
    if let Some(folder) = captures {
        write_captures(&sim, &folder.join(&scenario.name).join(mode.as_str()))?;
    }
    Ok(report)
}

fn finish(args: &RunArgs, scenarios: Vec<ScenarioReport>) -> Result<Exit, Failure> {
    let report = Report { scenarios };
    match args.output {
        RunOutput::Human => {}
        RunOutput::Json => output::print(&format!("{:#}\n", report.to_json()))?,
        RunOutput::Junit => output::print(&junit::render(&report))?,
    }
    if args.update {
        let files: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
        return update::write(&files, &report.scenarios);
    }
    Ok(if report.passed() {
        Exit::Passed
    } else {
        Exit::Failed
    })
}

/// Captures are kept by scenario: of two with one name, the second would overwrite those of the first.
fn refuse_namesakes(work: &[(&PathBuf, Scenario)]) -> Result<(), Failure> {
    let mut files: BTreeMap<&str, &Path> = BTreeMap::new();
    for (file, scenario) in work {
        if let Some(first) = files.insert(&scenario.name, file) {
            let why = format!(
                "the captures of two scenarios called {} would be one: of {} and of {}",
                scenario.name,
                first.display(),
                file.display()
            );
            let help = "rename one, or run them one by one with a folder each";
            return Err(input::error(why, Some(help)));
        }
    }
    Ok(())
}

fn write_captures(sim: &Sim, folder: &Path) -> Result<(), Failure> {
    let refuse = |why: std::io::Error| {
        input::error(
            format!("cannot write captures into {}: {why}", folder.display()),
            None,
        )
    };
    fs::create_dir_all(folder).map_err(refuse)?;
    for (name, bytes) in sim.captures() {
        fs::write(folder.join(name), bytes).map_err(refuse)?;
    }
    Ok(())
}
