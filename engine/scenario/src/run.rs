//! Replaying a scenario over a world.
//!
//! **What.** [`run`] writes the manifests at time 0, then does step after step at its instant, judges each and
//! goes on whatever the outcome; [`run_until`] stops at an instant and leaves the world there.
//! **Why.** The same scenario runs over the simulator and over real nodes, so everything goes through
//! [`World`]; time passes only by its clock.
//! **Source of the semantics.** The scenario language's contract. A step begins when the one before has ended,
//! unless it says `at` or `after`; `within` and `throughout` look again whenever the cluster changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::yaml::Problem;
use api::{Manifest, Object, Status};
use base::{SimTime, format_duration};
use control::{Connection, FaultId, Happening, ProxyMode, Source, World, WriteVerb};

use crate::act::{Judged, act};
use crate::background::Background;
use crate::expect::{Expectation, Hold};
use crate::load::manifests::place_of;
use crate::load::text_of;
use crate::metrics::Metrics;
use crate::report::{Entry, Outcome, Refusals, ScenarioReport, StepReport};
use crate::scenario::Scenario;
use crate::step::{Action, Schedule, Step};

/// How long `wait: converged` waits at most.
pub const CONVERGED_MAX: Duration = Duration::from_secs(3600);
/// How often a step looks again at most.
const LOOKS_MAX: usize = 10_000;

/// Something that a listener may want to hear at once.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The cluster did something by itself.
    Happening(&'a Happening),
    /// Something that the user should know.
    Warning(&'a str),
    /// A step begins.
    Begins(&'a Step),
    /// A step has been judged.
    Judged(&'a StepReport),
}

/// Where [`run_until`] stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// At this instant; a step that is under way then is finished first.
    Time(SimTime),
    /// Where the step after this one is about to begin: so what this step set off has happened as far as there
    /// was time. After the last step, at its end.
    Step(String),
    /// When all is done.
    End,
}

/// Why a scenario cannot be run at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The API server refuses one of `spec.manifests`: what the steps build on is not there.
    #[error("{problem}")]
    Manifest {
        /// What the API server says, at the first field that it complains of.
        problem: Box<Problem>,
        /// The text of the problem's file.
        text: String,
    },
    /// The step to stop at comes after a repair that nobody has brought.
    #[error("step {name:?} comes after the scenario has got what it awaits ({what})")]
    Awaits {
        /// What was asked for.
        name: String,
        /// What is awaited.
        what: String,
    },
    /// No step has the name to stop at.
    #[error("no step is called {name:?}; {}", called(.existing))]
    UnknownStep {
        /// What was asked for.
        name: String,
        /// The names that there are.
        existing: Vec<String>,
    },
}

/// Runs all of a scenario in one mode; `world` is a new one of [`Scenario::cluster`].
///
/// # Errors
/// When one of `spec.manifests` is refused.
pub fn run(
    scenario: &Scenario,
    mode: ProxyMode,
    world: &mut dyn World,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ScenarioReport, RunError> {
    run_until(scenario, mode, world, &At::End, progress)
}

/// Runs a scenario up to an instant; the report is of the steps that began by then.
///
/// # Errors
/// When one of `spec.manifests` is refused, or no step has the name given.
pub fn run_until(
    scenario: &Scenario,
    mode: ProxyMode,
    world: &mut dyn World,
    at: &At,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<ScenarioReport, RunError> {
    if let At::Step(name) = at
        && !scenario.step_names().any(|known| known == name)
    {
        let existing = scenario.step_names().map(str::to_owned).collect();
        return Err(RunError::UnknownStep {
            name: name.clone(),
            existing,
        });
    }
    if let (At::Step(name), None, Some(what)) = (at, &scenario.repair, scenario.awaits())
        && !scenario.broken_step_names().any(|known| known == name)
    {
        return Err(RunError::Awaits {
            name: name.clone(),
            what: what.to_owned(),
        });
    }
    let limit = if let At::Time(limit) = at {
        *limit
    } else {
        SimTime::MAX
    };
    let mut runner = Runner::new(scenario, mode, world, limit, progress);
    runner.apply_manifests()?;
    runner.steps(at);
    if *at == At::End {
        runner.stop_the_rest();
    }
    Ok(runner.finished())
}

/// What steps leave to later ones: connections that are held, traffic, faults, and what was said that is said once.
#[derive(Default)]
pub struct Ongoing {
    /// Whether the manifests have been applied.
    has_begun: bool,
    pub(crate) background: Background,
    pub(crate) faults: BTreeMap<String, FaultId>,
    /// The kinds without an effect that are known to be so.
    inert: BTreeSet<String>,
}

impl Ongoing {
    /// Gives a runner what was left, or takes back what it leaves.
    fn swap(&mut self, runner: &mut Runner<'_>) {
        std::mem::swap(&mut runner.background, &mut self.background);
        std::mem::swap(&mut runner.faults, &mut self.faults);
        std::mem::swap(&mut runner.inert, &mut self.inert);
    }
}

/// Runs steps in the midst of a scenario, those that begin up to `limit`, over a world in which what goes before has been
/// done: some of its own, or one that stands nowhere (see [`crate::load_step`]). With a new [`Ongoing`], the manifests come
/// first.
///
/// # Errors
/// When one of `spec.manifests` is refused.
pub fn run_steps(
    scenario: &Scenario,
    mode: ProxyMode,
    world: &mut dyn World,
    steps: &[Step],
    limit: SimTime,
    ongoing: &mut Ongoing,
) -> Result<ScenarioReport, RunError> {
    let progress: &mut dyn FnMut(Progress<'_>) = &mut |_| ();
    let mut runner = Runner::new(scenario, mode, world, limit, progress);
    ongoing.swap(&mut runner);
    if !std::mem::replace(&mut ongoing.has_begun, true) {
        runner.apply_manifests()?;
    }
    for (index, step) in steps.iter().enumerate() {
        if let (Action::Await { what }, None) = (&step.action, &scenario.repair) {
            runner.skip_rest(&steps[index..], what);
            break;
        }
        runner.reach(step);
        if runner.cut_short {
            break;
        }
    }
    ongoing.swap(&mut runner);
    Ok(runner.finished())
}

/// A run under way.
pub(crate) struct Runner<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) mode: ProxyMode,
    pub(crate) world: &'a mut dyn World,
    progress: &'a mut dyn FnMut(Progress<'_>),
    report: ScenarioReport,
    pub(crate) background: Background,
    /// Time does not pass beyond, a connection under way aside.
    limit: SimTime,
    /// Whether it should have.
    cut_short: bool,
    /// The kinds without an effect that are known to be so.
    inert: BTreeSet<String>,
    /// The faults that have begun, by the names that steps give them.
    pub(crate) faults: BTreeMap<String, FaultId>,
}

impl<'a> Runner<'a> {
    fn new(
        scenario: &'a Scenario,
        mode: ProxyMode,
        world: &'a mut dyn World,
        limit: SimTime,
        progress: &'a mut dyn FnMut(Progress<'_>),
    ) -> Self {
        Self {
            report: ScenarioReport::begin(scenario, mode, world.plane()),
            scenario,
            mode,
            world,
            progress,
            background: Background::default(),
            limit,
            cut_short: false,
            inert: BTreeSet::new(),
            faults: BTreeMap::new(),
        }
    }

    fn finished(mut self) -> ScenarioReport {
        self.listen();
        self.report.metrics.conclude(self.world);
        self.report.duration = self.world.now() - SimTime::ZERO;
        self.report
    }

    /// What is counted over the whole run.
    pub(crate) fn metrics(&mut self) -> &mut Metrics {
        &mut self.report.metrics
    }

    /// What was refused, and not done since.
    pub(crate) fn refusals(&mut self) -> &mut Refusals {
        &mut self.report.refusals
    }

    /// Counts connections of one client.
    pub(crate) fn count(&mut self, from: &Source, seen: &[Connection]) {
        let nodes = &self.scenario.cluster.nodes;
        let world = &*self.world;
        self.report.metrics.count(world, nodes, from, seen);
    }

    /// Says something beside the steps.
    pub(crate) fn warn(&mut self, text: String) {
        (self.progress)(Progress::Warning(&text));
        self.report.timeline.push(Entry::Warning(text));
    }

    /// Looks as often as the expectation asks, and judges.
    ///
    /// What makes it look again is a change of the cluster, or the end of the span: packets do not count, since
    /// most of them are those of the look before.
    pub(crate) fn look<T>(
        &mut self,
        expectation: Option<&Expectation<T>>,
        mut once: impl FnMut(&mut Self, Option<&T>) -> Judged,
    ) -> Judged {
        let Some(Expectation { check, hold, .. }) = expectation else {
            return once(self, None);
        };
        let (span, until) = match hold {
            Hold::Now => return once(self, Some(check)),
            Hold::Within(span) => (*span, true),
            Hold::Throughout(span) => (*span, false),
        };
        let start = self.world.now();
        let deadline = start + span;
        let mut looks = 1;
        loop {
            let begun = self.world.now();
            let change = self.world.next_change_at();
            let judged = once(self, Some(check));
            let now = self.world.now();
            let is_over = now >= deadline || self.cut_short;
            match (until, judged.passed) {
                (true, true) => return judged.late_by(begun - start),
                (true, false) if is_over => {
                    let after = format_duration(now.min(deadline) - start);
                    return judged.also(format!("this was still so after {after}"));
                }
                (false, true) if is_over => return judged,
                (false, false) => return judged.also(format!("this was at {begun}")),
                _ if looks == LOOKS_MAX => return judged.given_up(looks, now),
                _ => {}
            }
            looks += 1;
            // What changed while a look took its time may not have been seen by it.
            let is_outdated = now > begun && change.is_some_and(|change| change <= now);
            if !is_outdated {
                self.advance_to_next(self.world.next_change_at(), deadline);
            }
        }
    }

    /// Waits until nothing is pending.
    ///
    /// # Errors
    /// When something is due only after [`CONVERGED_MAX`]; the error is when.
    pub(crate) fn converge(&mut self) -> Result<SimTime, SimTime> {
        let limit = self.world.now() + CONVERGED_MAX;
        while let Some(next) = self.world.next_event_at().filter(|_| !self.cut_short) {
            if next > limit {
                return Err(next);
            }
            self.advance_to_next(Some(next), limit);
        }
        Ok(self.world.now())
    }

    /// Lets time pass until `at`.
    pub(crate) fn advance_to(&mut self, at: SimTime) {
        self.cut_short |= at > self.limit;
        self.world.advance_to(at.min(self.limit));
        self.listen();
    }

    /// Lets time pass until `next`, or until `limit` if that comes before; in any case a little.
    fn advance_to_next(&mut self, next: Option<SimTime>, limit: SimTime) {
        let soon = self.world.now() + Duration::from_nanos(1);
        let next = next.unwrap_or(limit);
        self.advance_to(next.max(soon).min(limit.max(soon)));
    }

    fn apply_manifests(&mut self) -> Result<(), RunError> {
        if let Some(conclusion) = &self.scenario.conclusion {
            self.warn(conclusion.clone());
        }
        let scenario = self.scenario;
        for object in &scenario.cluster.state {
            self.warn_of_inert(object);
        }
        for manifest in &scenario.manifests {
            self.warn_of_inert(&manifest.object);
            match self.world.write(WriteVerb::Apply, manifest.object.clone()) {
                Ok(written) => {
                    for warning in &written.warnings {
                        self.warn(format!("{}: {warning}", manifest.object.key()));
                    }
                }
                Err(status) => return Err(self.refused(manifest, &status)),
            }
        }
        self.listen();
        Ok(())
    }

    fn warn_of_inert(&mut self, object: &Object) {
        if let Some(text) = self.inert(object) {
            self.warn(text);
        }
    }

    /// What is said once of each kind without an effect.
    pub(crate) fn inert(&mut self, object: &Object) -> Option<String> {
        if !object.is_inert() || !self.inert.insert(object.key().singular()) {
            return None;
        }
        let group = object
            .custom_kind()
            .map_or_else(String::new, |custom| format!(" of {}", custom.group()));
        Some(format!(
            "{} objects{group} are stored, but have no effect on this network",
            object.kind_name()
        ))
    }

    fn refused(&self, manifest: &Manifest, status: &Status) -> RunError {
        let text = text_of(&self.scenario.sources, &manifest.file).unwrap_or_default();
        let place = match status.causes.first() {
            Some(cause) => place_of(manifest, &cause.field, text),
            None => manifest.location,
        };
        RunError::Manifest {
            problem: Box::new(Problem {
                file: manifest.file.clone(),
                line: place.line,
                column: place.column,
                // The server's text names the field.
                path: String::new(),
                message: status.kubectl_text(),
                help: None,
            }),
            text: text.to_owned(),
        }
    }

    fn steps(&mut self, at: &At) {
        let scenario = self.scenario;
        let mut is_last = false;
        for (index, step) in scenario.steps.iter().enumerate() {
            if let (Action::Await { what }, None) = (&step.action, &scenario.repair) {
                self.skip_rest(&scenario.steps[index..], what);
                break;
            }
            if is_last && self.includes(step) {
                self.advance_to(self.start_of(step));
                return;
            }
            self.reach(step);
            if self.cut_short {
                return;
            }
            let is_named =
                matches!((at, &step.name), (At::Step(wanted), Some(name)) if wanted == name);
            is_last |= is_named && self.includes(step);
        }
        if let At::Time(limit) = at {
            self.advance_to(*limit);
        }
    }

    fn includes(&self, step: &Step) -> bool {
        step.only.includes(self.mode, self.world.plane())
    }

    /// Lets time pass until a step begins, and does it, if it is for this mode and plane and if that much time is left.
    fn reach(&mut self, step: &Step) {
        if !self.includes(step) {
            return self.skip(step);
        }
        let start = self.start_of(step);
        self.advance_to(start);
        if !self.cut_short {
            self.step(step, start);
        }
    }

    fn start_of(&self, step: &Step) -> SimTime {
        match step.schedule {
            Schedule::Immediately => self.world.now(),
            Schedule::After(span) => self.world.now() + span,
            Schedule::At(at) => at,
        }
    }

    fn skip(&mut self, step: &Step) {
        let now = self.world.now();
        let report = StepReport::new(step, self.scenario, self.mode, now, Outcome::Skipped);
        self.finish(report, self.report.timeline.len());
    }

    /// Nobody has brought what the first of `steps` waits for.
    fn skip_rest(&mut self, steps: &[Step], what: &str) {
        self.warn(format!(
            "from here on the scenario awaits \"{what}\": run it --with a file of manifests that repair what is broken"
        ));
        let now = self.world.now();
        for step in steps {
            let report = StepReport {
                why: vec![format!("skipped: awaits {what}")],
                ..StepReport::new(step, self.scenario, self.mode, now, Outcome::Skipped)
            };
            self.finish(report, self.report.timeline.len());
        }
    }

    fn step(&mut self, step: &Step, start: SimTime) {
        (self.progress)(Progress::Begins(step));
        let place = self.report.timeline.len();
        let begun = self.world.now();
        let judged = if begun > start {
            Judged::failed(vec![format!(
                "this step was to start at {start}, but the one before ended at {begun}"
            )])
        } else {
            act(self, &step.action)
        };
        let outcome = if judged.passed {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        let report = StepReport {
            end: self.world.now(),
            observed: judged.observed,
            seen: judged.seen,
            why: judged.why,
            findings: judged.findings,
            ..StepReport::new(step, self.scenario, self.mode, begun, outcome)
        };
        self.finish(report, place);
        self.listen();
    }

    /// Puts a step's report at its place of the timeline: before what it set off.
    fn finish(&mut self, report: StepReport, place: usize) {
        (self.progress)(Progress::Judged(&report));
        self.report
            .timeline
            .insert(place, Entry::Step(self.report.steps.len()));
        self.report.steps.push(report);
    }

    /// Puts down what has happened.
    fn listen(&mut self) {
        for happening in self.world.happenings() {
            (self.progress)(Progress::Happening(&happening));
            self.report.timeline.push(Entry::Happening(happening));
        }
    }
}

fn called(names: &[String]) -> String {
    if names.is_empty() {
        "no step has a name".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    }
}
