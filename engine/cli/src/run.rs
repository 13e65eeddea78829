//! `switchboard run`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use miette::Report as Failure;
use scenario::{At, Outcome, Report, Scenario, ScenarioReport, human};
use sim::Sim;

use crate::args::{Output, RunArgs};
use crate::{Exit, input, output};

/// Replays every scenario of every file in each of its modes.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let mut work = Vec::new();
    for file in &args.files {
        let mut scenarios = input::load(file)?;
        input::reseed(&mut scenarios, args.seed);
        input::repair(&mut scenarios, args.with.as_deref())?;
        work.extend(scenarios.into_iter().map(|scenario| (file, scenario)));
    }
    if let Some(name) = &args.scenario {
        let known: Vec<String> = work
            .iter()
            .map(|(_, scenario)| scenario.name.clone())
            .collect();
        work.retain(|(_, scenario)| scenario.name == *name);
        if work.is_empty() {
            let help = format!("there are: {}", known.join(", "));
            return Err(input::error(
                format!("no scenario is called {name}"),
                Some(&help),
            ));
        }
    }
    if args.capture.is_some() {
        refuse_namesakes(&work)?;
    }
    let mut reports = Vec::new();
    for (_, scenario) in &work {
        let modes = match args.mode {
            Some(mode) => {
                input::check_mode(scenario, mode)?;
                vec![mode]
            }
            None => scenario.modes.clone(),
        };
        for mode in modes {
            let mut sim = input::build(scenario, mode)?;
            if args.capture.is_some() {
                sim.enable_capture();
            }
            let report = input::replay(scenario, mode, &mut sim, &At::End)?;
            if let Some(folder) = &args.capture {
                write_captures(&sim, &folder.join(&scenario.name).join(mode.as_str()))?;
            }
            if args.output == Output::Human {
                output::print(&human::render_scenario(&report, output::colour()))?;
                if let Some(unmet) = args.with.as_deref().and_then(|with| unmet(&report, with)) {
                    output::print(&unmet)?;
                }
            }
            reports.push(report);
        }
    }
    finish(reports, args.output)
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

fn finish(reports: Vec<ScenarioReport>, format: Output) -> Result<Exit, Failure> {
    let report = Report { scenarios: reports };
    if format == Output::Json {
        output::print(&format!("{:#}\n", report.to_json()))?;
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
