//! A run as a timeline that a person enjoys.
//!
//! One line per happening and per step, in the order of virtual time, in aligned columns; a failed step shows
//! what was expected, what was seen and why. No wall clock: equal runs give equal text.

use std::fmt::Write as _;

use base::{SimTime, format_duration};
use control::{Happening, NodeConfig};

use crate::report::{Entry, Outcome, Report, ScenarioReport, StepReport};
use crate::words::flow;

/// Columns of a line that steps try to stay in.
const WIDTH: usize = 120;
/// Happenings of one step that are shown; the rest is counted.
const HAPPENINGS_MAX: usize = 200;
/// Lines of what a step saw.
const SEEN_MAX: usize = 8;
/// Nodes that the header names.
const NODES_MAX: usize = 6;

/// The timelines of all runs and the verdict; `color` adds ANSI colours.
#[must_use]
pub fn render(report: &Report, color: bool) -> String {
    let mut text = String::new();
    for (index, scenario) in report.scenarios.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&render_scenario(scenario, color));
    }
    text
}

/// The timeline of one run, ending in its verdict.
#[must_use]
pub fn render_scenario(report: &ScenarioReport, color: bool) -> String {
    let mut page = Page::of(report, color);
    page.header(report);
    page.timeline(report);
    page.verdict(report);
    page.text
}

/// The timeline alone.
#[must_use]
pub fn render_timeline(report: &ScenarioReport, color: bool) -> String {
    let mut page = Page::of(report, color);
    page.timeline(report);
    page.text
}

/// Widths of columns, so that all lines agree.
struct Columns {
    time: usize,
    who: usize,
    verb: usize,
}

impl Columns {
    fn of(report: &ScenarioReport) -> Self {
        let times = report.timeline.iter().filter_map(|entry| match entry {
            Entry::Happening(happening) => Some(happening.at),
            Entry::Step(index) => Some(report.steps[*index].start),
            Entry::Warning(_) => None,
        });
        let who = report.timeline.iter().filter_map(|entry| match entry {
            Entry::Happening(happening) => Some(width(&happening.who)),
            _ => None,
        });
        Self {
            time: times.map(|at| width(&clock(at))).max().unwrap_or(0),
            who: who.max().unwrap_or(0),
            verb: report
                .steps
                .iter()
                .map(|step| step.verb.len())
                .max()
                .unwrap_or(0),
        }
    }

    /// Where a step's words begin: behind mark, time and two blanks.
    fn words(&self) -> usize {
        2 + self.time + 2
    }
}

/// The text so far and how to write on.
struct Page {
    text: String,
    paint: Paint,
    columns: Columns,
}

impl Page {
    fn of(report: &ScenarioReport, color: bool) -> Self {
        Self {
            text: String::new(),
            paint: Paint(color),
            columns: Columns::of(report),
        }
    }

    fn timeline(&mut self, report: &ScenarioReport) {
        let mut shown = 0;
        for entry in &report.timeline {
            match entry {
                Entry::Step(index) => {
                    shown = 0;
                    self.step(&report.steps[*index]);
                }
                Entry::Warning(text) => self.warning(text),
                Entry::Happening(happening) => {
                    shown += 1;
                    match shown {
                        ..=HAPPENINGS_MAX => self.happening(happening),
                        _ if shown == HAPPENINGS_MAX + 1 => {
                            self.warning("more happens here than is shown");
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn header(&mut self, report: &ScenarioReport) {
        let title = report.title.as_ref().unwrap_or(&report.name);
        let title = self.paint.bold(title);
        let facts = format!(
            "{} · mode {} · seed {}",
            report.file,
            report.mode,
            report.seed.value()
        );
        self.line(&title);
        self.line(&self.paint.dim(&facts));
        self.line(&self.paint.dim(&format!("nodes: {}", nodes(&report.nodes))));
        self.text.push('\n');
    }

    fn happening(&mut self, happening: &Happening) {
        let Columns { time, who, .. } = self.columns;
        let at = clock(happening.at);
        let line = format!("  {at:>time$}  {:<who$}  {}", happening.who, happening.what);
        self.line(&self.paint.dim(line.trim_end()));
    }

    fn warning(&mut self, text: &str) {
        let indent = self.columns.words();
        self.line(
            &self
                .paint
                .yellow(&format!("! {:indent$}{text}", "", indent = indent - 2)),
        );
    }

    fn step(&mut self, step: &StepReport) {
        let Columns { time, verb, .. } = self.columns;
        let mark = match step.outcome {
            Outcome::Passed => self.paint.green("✔"),
            Outcome::Failed => self.paint.red("✘"),
            Outcome::Skipped => self.paint.yellow("–"),
        };
        let name = step
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!("{name}: "));
        let at = clock(step.start);
        // kubectl's line names the object itself.
        let asked = match (&step.seen[..], step.outcome) {
            ([only], Outcome::Passed) if only.starts_with(&step.asked) => "",
            _ => step.asked.as_str(),
        };
        let asked = format!("{:<verb$}  {name}{asked}", step.verb);
        let start = format!("{mark} {at:>time$}  {}", self.paint.bold(asked.trim_end()));
        if step.outcome == Outcome::Skipped {
            let why = step.why.first().map(String::as_str);
            let why = why.unwrap_or("skipped in this mode or on this plane");
            return self.line(&format!("{start}   {}", self.paint.dim(why)));
        }
        let (seen, more) = step.seen.split_at(step.seen.len().min(SEEN_MAX));
        let fits = |seen: &str| self.columns.words() + width(&asked) + 3 + width(seen) <= WIDTH;
        match (seen, step.outcome) {
            ([only], Outcome::Passed) if more.is_empty() && fits(only) => {
                let gap = if asked.ends_with(' ') { " " } else { "   " };
                self.line(&format!("{start}{gap}{only}"));
            }
            ([], Outcome::Passed) => self.line(&start),
            (_, Outcome::Passed) => {
                self.line(&start);
                self.block("", seen);
            }
            _ => {
                self.line(&start);
                if step
                    .expected
                    .as_object()
                    .is_some_and(|expected| !expected.is_empty())
                {
                    self.block("expected", &[flow(&step.expected)]);
                }
                self.block("seen", seen);
            }
        }
        if !more.is_empty() {
            self.block("", &[format!("… and {} more lines", more.len())]);
        }
        self.block("why", &step.why);
    }

    /// Lines under a step, their label before the first.
    fn block(&mut self, label: &str, lines: &[String]) {
        let indent = self.columns.words() + 2;
        let label_width = if label.is_empty() { 0 } else { 10 };
        for (index, line) in lines.iter().flat_map(|text| text.lines()).enumerate() {
            let label = if index == 0 { label } else { "" };
            let label = self.paint.dim(&format!("{label:<label_width$}"));
            self.line(&format!("{:indent$}{label}{line}", ""));
        }
    }

    fn verdict(&mut self, report: &ScenarioReport) {
        let total = report.steps.len();
        let end = format_duration(report.duration);
        let verdict = match report.failed() {
            0 => self.paint.green("passed"),
            failed => self
                .paint
                .red(&format!("failed: {failed} of {total} steps")),
        };
        self.text.push('\n');
        self.line(&format!(
            "{verdict}{}",
            self.paint.dim(&format!(" · {end} of virtual time"))
        ));
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}");
    }
}

/// ANSI colours, or none.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Seconds with milliseconds, so that points stand below each other; finer only where it must be.
fn clock(at: SimTime) -> String {
    let (seconds, rest) = (at.as_nanos() / 1_000_000_000, at.as_nanos() % 1_000_000_000);
    format!("{seconds}.{:03}s", rest / 1_000_000)
}

/// Characters, which is what columns count.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn nodes(nodes: &[NodeConfig]) -> String {
    let shown = nodes.iter().take(NODES_MAX).map(|node| match &node.zone {
        Some(zone) => format!("{} ({zone})", node.name),
        None => node.name.clone(),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    match nodes.len().saturating_sub(NODES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
