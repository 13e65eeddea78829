//! Writing what was seen into a scenario's expectations.
//!
//! **What.** [`update`] gives a file's text in which the expectations that failed hold what was seen. Whatever else stands
//! in it stays as it is, to the byte: comments, layout, and every expectation that held.
//! **Why.** After a deliberate change, a person should read the difference and not type it.
//! **Source of the semantics.** YAML 1.2, chapters 6 to 8, for where a value ends. A text is changed only if it then
//! says what it said before in every other place; so a value that is written in a way not foreseen here is left alone
//! and named, never damaged.

mod span;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use api::yaml::{Document, Part, Path, Segment, Source, split};
use control::ProxyMode;
use serde_json::Value as Json;
use serde_yaml::Value;

use self::values::{Change, changes};
use crate::report::{Outcome, ScenarioReport, StepReport};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The file's new text.
    pub text: String,
    /// What was written, in the order of the file: `41: expect.answers is [10.96.0.7]`.
    pub written: Vec<String>,
    /// What could not be, and why.
    pub left: Vec<String>,
}

/// A value of a file.
type Place = (usize, Path);

/// Puts what `reports` saw into `source`, which they are of.
#[must_use]
pub fn update(source: &Source, reports: &[&ScenarioReport]) -> Update {
    let mut update = Update {
        text: source.text.clone(),
        written: Vec::new(),
        left: Vec::new(),
    };
    let documents = split(source).unwrap_or_default();
    let mut wanted: BTreeMap<Place, (Json, u32)> = BTreeMap::new();
    let mut disputed: BTreeSet<Place> = BTreeSet::new();
    let failed = reports.iter().flat_map(|report| {
        let failed = report
            .steps
            .iter()
            .filter(|step| step.outcome == Outcome::Failed);
        failed.map(move |step| (report, step))
    });
    for (report, step) in failed {
        let index = documents
            .iter()
            .position(|document| is_named(document, &report.name));
        if let Some(index) = index {
            let (at, by_mode) = expectation_of(&documents[index], step, report.mode);
            let mut others = reports.iter().filter(|other| other.name == report.name);
            if !by_mode && others.any(|other| shares(&documents[index], other, step)) {
                let why = format!(
                    "it holds in another mode: say `byMode: {{{}: …}}`",
                    report.mode
                );
                update.left.push(format!("{}: {why}", step.line));
                continue;
            }
            for change in changes(step, &report.namespace) {
                match change {
                    Change::Cannot(why) => update.left.push(format!("{}: {why}", step.line)),
                    Change::To(below, value) => {
                        let path = below.segments().iter().fold(at.clone(), then);
                        let place = (index, path);
                        let told = wanted
                            .entry(place.clone())
                            .or_insert((value.clone(), step.line));
                        if told.0 != value && disputed.insert(place) {
                            let why = "modes saw different things: say `byMode`";
                            update.left.push(format!("{}: {why}", step.line));
                        }
                    }
                }
            }
        }
    }
    wanted.retain(|place, _| !disputed.contains(place));
    let mut places: Vec<_> = wanted.into_iter().collect();
    places.sort_by_key(|((_, _), (_, line))| *line);
    for ((index, path), (value, line)) in places {
        match written(&source.name, &update.text, index, &path, &value) {
            Some(text) => {
                update.text = text;
                let shown = crate::words::flow(&value);
                update.written.push(format!("{line}: {path} is {shown}"));
            }
            None => {
                let why = format!("{path} is written in a way that only you can change");
                update.left.push(format!("{line}: {why}"));
            }
        }
    }
    update.left.dedup();
    update
}

fn is_named(document: &Document, name: &str) -> bool {
    let metadata = document.value.get("metadata");
    let found = metadata.and_then(|metadata| metadata.get("name"));
    found.and_then(Value::as_str) == Some(name)
}

/// Where what a step expects in a mode stands, and whether it stands there for that mode alone.
fn expectation_of(document: &Document, step: &StepReport, mode: ProxyMode) -> (Path, bool) {
    let at = Path::root()
        .key("spec")
        .key("steps")
        .index(step.index)
        .key("expect");
    let own = at.key("byMode").key(mode.as_str());
    match value_at(&document.value, &own) {
        Some(_) => (own, true),
        None => (at, false),
    }
}

/// Whether the same expectation held in the run that `other` is of.
fn shares(document: &Document, other: &ScenarioReport, step: &StepReport) -> bool {
    let same = other.steps.iter().find(|one| one.index == step.index);
    same.is_some_and(|same| {
        same.outcome == Outcome::Passed && !expectation_of(document, same, other.mode).1
    })
}

/// The text with another value at a place; `None` unless everything else in it stays as it is.
fn written(file: &str, text: &str, index: usize, path: &Path, value: &Json) -> Option<String> {
    let read = |text: &str| split(&Source::new(file, text)).ok();
    let documents = read(text)?;
    let document = documents.get(index)?;
    let mut wanted: Vec<Value> = documents.iter().map(|one| one.value.clone()).collect();
    let old = value_at_mut(&mut wanted[index], path)?;
    *old = serde_yaml::to_value(value).ok()?;
    let start = span::offset(text, document.locate(path, Part::Value))?;
    let candidates = span::candidates(text, start, value).into_iter();
    let texts = candidates.map(|(range, new)| {
        let mut text = text.to_owned();
        text.replace_range(range, &new);
        text
    });
    texts.into_iter().find(|text| {
        let seen = read(text).unwrap_or_default();
        let equal = seen
            .iter()
            .zip(&wanted)
            .all(|(seen, wanted)| is_same(&seen.value, wanted));
        seen.len() == wanted.len() && equal
    })
}

/// Whether two values are equal, white space at the ends of texts aside.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.trim_end() == b.trim_end(),
        (Value::Sequence(a), Value::Sequence(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Mapping(a), Value::Mapping(b)) => {
            let same = |(key, value)| b.get(key).is_some_and(|other| is_same(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        _ => a == b,
    }
}

fn then(path: Path, segment: &Segment) -> Path {
    match segment {
        Segment::Key(key) => path.key(key),
        Segment::Index(index) => path.index(*index),
    }
}

fn value_at<'v>(value: &'v Value, path: &Path) -> Option<&'v Value> {
    path.segments()
        .iter()
        .try_fold(value, |value, segment| match segment {
            Segment::Key(key) => value.get(key),
            Segment::Index(index) => value.get(index),
        })
}

fn value_at_mut<'v>(value: &'v mut Value, path: &Path) -> Option<&'v mut Value> {
    path.segments()
        .iter()
        .try_fold(value, |value, segment| match segment {
            Segment::Key(key) => value.get_mut(key),
            Segment::Index(index) => value.get_mut(index),
        })
}
