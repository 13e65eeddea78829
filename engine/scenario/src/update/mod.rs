//! Writing what was seen into a scenario's expectations.
//!
//! **What.** [`update`] gives a file's text in which the expectations that failed hold what was seen. Whatever else is in
//! it stays as it is, to the byte: comments, layout, and every expectation that held.
//! **Why.** After a deliberate change, a person should read the difference and not type it.
//! **Source of the semantics.** YAML 1.2, chapters 6 to 8, for where a value ends. A text is changed only if it then
//! says what it said before in every other place; so a value that is written in a way not foreseen here is left alone
//! and named, never damaged.

mod explain;
mod rules;
mod span;
mod stop;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use api::yaml::{Document, Part, Path, Segment, Source, split};
use control::ProxyMode;
use serde_json::{Map, Value as Json};
use serde_yaml::Value;

use self::values::{Change, changes};
use crate::report::{Outcome, ScenarioReport, StepReport};
use crate::words::flow;

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

/// What is to be written into the documents of a file.
struct Plan<'a> {
    documents: &'a [Document],
    reports: &'a [&'a ScenarioReport],
    /// By document and place in it: the value, and the line of the step.
    wanted: BTreeMap<(usize, Path), (Json, u32)>,
    /// Places for which two modes want different values.
    disputed: BTreeSet<(usize, Path)>,
    left: Vec<String>,
}

/// Puts what `reports` saw into `source`, which they are of.
#[must_use]
pub fn update(source: &Source, reports: &[&ScenarioReport]) -> Update {
    let documents = split(source).unwrap_or_default();
    let mut plan = Plan {
        documents: &documents,
        reports,
        wanted: BTreeMap::new(),
        disputed: BTreeSet::new(),
        left: Vec::new(),
    };
    for report in reports {
        let is_it = |document| is_named(document, &report.name);
        let Some(index) = documents.iter().position(is_it) else {
            continue;
        };
        for step in &report.steps {
            if step.outcome == Outcome::Failed {
                plan.add(index, report, step);
            }
        }
    }
    plan.carried_out(source)
}

impl Plan<'_> {
    /// Adds what a failed step would have to expect.
    fn add(&mut self, index: usize, report: &ScenarioReport, step: &StepReport) {
        let document = &self.documents[index];
        let (at, by_mode) = expectation_of(document, step, report.mode);
        let same_name = |other: &&&ScenarioReport| other.name == report.name;
        let mut others = self.reports.iter().filter(same_name);
        if !by_mode && others.any(|other| shares(document, other, step)) {
            let hint = format!("say `byMode: {{{}: …}}`", report.mode);
            return self.leave(step.line, &format!("it holds in another mode: {hint}"));
        }
        for change in changes(step, &report.namespace) {
            match change {
                Change::Cannot(why) => self.leave(step.line, &why),
                Change::Keys(keys) => {
                    let whole = with_keys(document, &at, keys);
                    self.want((index, at.clone()), whole, step.line);
                }
                Change::To(below, value) => {
                    let steps = below.segments().iter();
                    let path = steps.fold(at.clone(), |path, step| then(&path, step));
                    self.want((index, path), value, step.line);
                }
            }
        }
    }

    fn want(&mut self, place: (usize, Path), value: Json, line: u32) {
        let known = self.wanted.get(&place).map(|(known, _)| known != &value);
        match known {
            None => {
                self.wanted.insert(place, (value, line));
            }
            Some(true) if self.disputed.insert(place) => {
                self.leave(line, "modes saw different things: say `byMode`");
            }
            Some(_) => {}
        }
    }

    fn leave(&mut self, line: u32, why: &str) {
        self.left.push(format!("{line}: {why}"));
    }

    /// Writes, and says what.
    fn carried_out(mut self, source: &Source) -> Update {
        let disputed = std::mem::take(&mut self.disputed);
        let wanted = std::mem::take(&mut self.wanted).into_iter();
        let mut wanted: Vec<_> = wanted
            .filter(|(place, _)| !disputed.contains(place))
            .collect();
        wanted.sort_by_key(|(_, (_, line))| *line);
        let (mut text, mut done) = (source.text.clone(), Vec::new());
        for ((index, path), (value, line)) in wanted {
            match written(&source.name, &text, index, &path, &value) {
                Some(new) => {
                    text = new;
                    done.push(format!("{line}: {path} is {}", flow(&value)));
                }
                None => {
                    let why = format!("{path} is written in a way that only you can change");
                    self.leave(line, &why);
                }
            }
        }
        self.left.dedup();
        Update {
            text,
            written: done,
            left: self.left,
        }
    }
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

/// The value at a place with these keys, or without those that are null.
fn with_keys(document: &Document, at: &Path, keys: Map<String, Json>) -> Json {
    let given = value_at(&document.value, at).and_then(|given| serde_json::to_value(given).ok());
    let mut whole = match given {
        Some(Json::Object(given)) => given,
        _ => Map::new(),
    };
    for (key, value) in keys {
        match value {
            Json::Null => drop(whole.shift_remove(&key)),
            value => drop(whole.insert(key, value)),
        }
    }
    whole.into()
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

fn then(path: &Path, segment: &Segment) -> Path {
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
