//! Walking a YAML value while knowing where one is, and noting every complaint instead of stopping at the first.
//!
//! **What.** A [`Cursor`] is a value with its path; [`Fields`] takes the known keys off a mapping and complains
//! about the rest; a [`Sink`] keeps the complaints. **Why.** A person who mistypes three keys wants to read of
//! all three, each with its place. A reader that fails returns [`Noted`], which only a complaint can make: so
//! no failure is ever silent, and a caller may go on reading siblings before it gives up with `?`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use api::yaml::{Document, Part, Path, Problem, closest};
use base::parse_duration;
use serde_json::Value as Json;
use serde_yaml::{Mapping, Value};

/// Proof that a complaint has been noted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted(());

/// What reading a part of a file gives.
pub(crate) type Read<T> = Result<T, Noted>;

/// One complaint about a place in a document.
struct Complaint {
    path: Path,
    part: Part,
    message: String,
    help: Option<String>,
}

/// Where complaints are kept.
#[derive(Default)]
pub(crate) struct Sink {
    complaints: RefCell<Vec<Complaint>>,
    problems: RefCell<Vec<Problem>>,
}

impl Sink {
    /// Finding a complaint's line reads the document again, and nobody reads more than these.
    const COMPLAINTS_MAX: usize = 100;

    /// Notes a problem whose place is known already.
    pub(crate) fn note(&self, problem: Problem) -> Noted {
        self.problems.borrow_mut().push(problem);
        Noted(())
    }

    /// All problems of `document`, in the order of its lines.
    pub(crate) fn into_problems(self, document: &Document) -> Vec<Problem> {
        let complaints = self.complaints.into_inner();
        let mut problems = self.problems.into_inner();
        problems.extend(
            complaints
                .into_iter()
                .take(Self::COMPLAINTS_MAX)
                .map(|complaint| {
                    let Complaint {
                        path,
                        part,
                        message,
                        help,
                    } = complaint;
                    Problem {
                        help,
                        ..document.problem(&path, part, message)
                    }
                }),
        );
        problems.sort_by_key(|problem| {
            (
                problem.file != document.source,
                problem.line,
                problem.column,
            )
        });
        // A file that is named twice is read twice.
        problems.dedup();
        problems
    }

    /// What was noted, without places.
    pub(crate) fn into_texts(self) -> Vec<String> {
        let complaints = self.complaints.into_inner().into_iter();
        complaints.map(|complaint| complaint.message).collect()
    }

    fn complain(&self, path: Path, part: Part, message: String, help: Option<String>) -> Noted {
        self.complaints.borrow_mut().push(Complaint {
            path,
            part,
            message,
            help,
        });
        Noted(())
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    value: &'a Value,
    path: Path,
    sink: &'a Sink,
}

impl<'a> Cursor<'a> {
    /// Starts at the root of a document.
    pub(crate) fn root(document: &'a Document, sink: &'a Sink) -> Self {
        Self {
            value: &document.value,
            path: Path::default(),
            sink,
        }
    }

    /// Starts at a value that was read before.
    pub(crate) fn at(value: &'a Value, sink: &'a Sink) -> Self {
        Self {
            value,
            path: Path::default(),
            sink,
        }
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that this value will not do.
    pub(crate) fn refuse(&self, message: impl Display) -> Noted {
        self.sink
            .complain(self.path.clone(), Part::Value, message.to_string(), None)
    }

    /// Notes that this value will not do, and what would.
    pub(crate) fn refuse_with(&self, message: impl Display, help: impl Display) -> Noted {
        let help = Some(help.to_string());
        self.sink
            .complain(self.path.clone(), Part::Value, message.to_string(), help)
    }

    /// Notes that this key should not be here.
    pub(crate) fn refuse_key(&self, message: impl Display, help: Option<String>) -> Noted {
        self.sink
            .complain(self.path.clone(), Part::Key, message.to_string(), help)
    }

    /// The value as a mapping.
    pub(crate) fn fields(&self) -> Read<Fields<'a>> {
        match self.value {
            Value::Mapping(mapping) => Ok(Fields {
                at: self.clone(),
                mapping,
                known: Vec::new(),
                later: Vec::new(),
            }),
            _ => Err(self.mismatch("a mapping")),
        }
    }

    /// Reads every entry of a mapping whose keys are names of the user's.
    pub(crate) fn entries<K: Ord, T>(
        &self,
        mut read: impl FnMut(&'a str, Self) -> Read<(K, T)>,
    ) -> Read<BTreeMap<K, T>> {
        let Value::Mapping(mapping) = self.value else {
            return Err(self.mismatch("a mapping"));
        };
        let entries = all(mapping.iter().map(|(key, value)| match key.as_str() {
            Some(key) => read(key, self.child(self.path.key(key), value)),
            None => Err(self.refuse(format!("key {} should be text", describe(key)))),
        }));
        Ok(entries?.into_iter().collect())
    }

    /// The items of a list of at most `max`.
    pub(crate) fn items(&self, max: usize) -> Read<Vec<Self>> {
        let Value::Sequence(items) = self.value else {
            return Err(self.mismatch("a list"));
        };
        if items.len() > max {
            return Err(self.refuse(format!("{} items are too many: at most {max}", items.len())));
        }
        Ok(items
            .iter()
            .enumerate()
            .map(|(i, item)| self.child(self.path.index(i), item))
            .collect())
    }

    /// Reads every item of a list; complaints of all items are noted.
    pub(crate) fn list<T>(&self, max: usize, read: impl FnMut(Self) -> Read<T>) -> Read<Vec<T>> {
        all(self.items(max)?.into_iter().map(read))
    }

    /// Reads one value, or every item of a list: a list means "any of" or "all of" to the caller.
    pub(crate) fn one_or_list<T>(
        &self,
        max: usize,
        mut read: impl FnMut(Self) -> Read<T>,
    ) -> Read<Vec<T>> {
        match self.value {
            Value::Sequence(items) if items.is_empty() => {
                Err(self.refuse("an empty list says nothing: leave it out, or name at least one"))
            }
            Value::Sequence(_) => self.list(max, read),
            _ => Ok(vec![read(self.clone())?]),
        }
    }

    /// The value as text.
    pub(crate) fn text(&self) -> Read<&'a str> {
        self.value.as_str().ok_or_else(|| self.mismatch("text"))
    }

    /// The value as text that is not empty.
    pub(crate) fn name(&self) -> Read<&'a str> {
        match self.text()? {
            "" => Err(self.refuse("expected text, found an empty one")),
            text => Ok(text),
        }
    }

    /// The value as `true` or `false`.
    pub(crate) fn boolean(&self) -> Read<bool> {
        self.value
            .as_bool()
            .ok_or_else(|| self.mismatch("true or false"))
    }

    /// The value as a whole number in `range`.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Read<u64> {
        match self.value.as_u64().filter(|number| range.contains(number)) {
            Some(number) => Ok(number),
            None => {
                let wanted = match (*range.start(), *range.end()) {
                    (least, u64::MAX) => format!("a whole number from {least}"),
                    (least, most) => format!("a whole number from {least} to {most}"),
                };
                Err(self.mismatch(&wanted))
            }
        }
    }

    /// The value as a duration.
    pub(crate) fn duration(&self) -> Read<Duration> {
        match self.value {
            Value::String(text) => parse_duration(text).map_err(|error| self.refuse(error)),
            Value::Number(number) => {
                let help = format!("write the unit: {number}s or {number}ms");
                Err(self.refuse_with(
                    format!("expected a duration such as 5ms, found {number}"),
                    help,
                ))
            }
            _ => Err(self.mismatch("a duration such as 5ms")),
        }
    }

    /// The value as what `T` reads from text; a bare number counts as text here (`queries: 1`).
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self) -> Read<T> {
        let text = match self.value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(self.mismatch("text")),
        };
        text.parse().map_err(|error| self.refuse(error))
    }

    /// The value as an IP address.
    pub(crate) fn address(&self) -> Read<IpAddr> {
        let text = self.text()?;
        text.parse()
            .map_err(|_| self.refuse(format!("{text:?} is no IP address")))
    }

    /// The value as one word of a few.
    pub(crate) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Read<T> {
        let text = self.text()?;
        if let Some((_, found)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*found);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = match known[..] {
            [only] => format!("expected `{only}`, found {text:?}"),
            _ => format!("{text:?} is not one of {}", known.join(", ")),
        };
        let help = did_you_mean(text, known);
        Err(self
            .sink
            .complain(self.path.clone(), Part::Value, message, help))
    }

    /// The value as JSON, for expectations on fields of objects.
    pub(crate) fn json(&self) -> Read<Json> {
        serde_json::to_value(self.value)
            .map_err(|error| self.refuse(format!("this cannot be compared as JSON: {error}")))
    }

    /// Notes that another sort of value was expected.
    pub(crate) fn mismatch(&self, wanted: &str) -> Noted {
        self.refuse(format!("expected {wanted}, found {}", describe(self.value)))
    }

    fn child(&self, path: Path, value: &'a Value) -> Self {
        Self {
            value,
            path,
            sink: self.sink,
        }
    }
}

/// A mapping of which the known keys are taken one by one.
pub(crate) struct Fields<'a> {
    at: Cursor<'a>,
    mapping: &'a Mapping,
    known: Vec<&'static str>,
    /// Keys of the language that have no place here.
    later: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The mapping itself.
    pub(crate) fn at(&self) -> &Cursor<'a> {
        &self.at
    }

    /// Whether a key is there, `null` included.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.mapping.contains_key(key)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.mapping.len()
    }

    /// The keys that are text.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.mapping.keys().filter_map(Value::as_str)
    }

    /// A key's value; `null` counts as absent, as Kubernetes reads manifests.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Cursor<'a>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.given(key)
    }

    /// A key's value without taking it: whoever is told by it about another key still has to.
    pub(crate) fn given(&self, key: &'static str) -> Option<Cursor<'a>> {
        let value = self.mapping.get(key).filter(|value| !value.is_null())?;
        Some(self.at.child(self.at.path.key(key), value))
    }

    /// A key that must be there.
    pub(crate) fn required(&mut self, key: &'static str) -> Read<Cursor<'a>> {
        self.take(key)
            .ok_or_else(|| self.at.refuse(format!("`{key}` is missing")))
    }

    /// Reads a key that must be there.
    pub(crate) fn need<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Cursor<'a>) -> Read<T>,
    ) -> Read<T> {
        self.required(key).and_then(|cursor| read(&cursor))
    }

    /// Reads a key that may be there.
    pub(crate) fn may<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Cursor<'a>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.take(key).map(|cursor| read(&cursor)).transpose()
    }

    /// Reads a key that has a default.
    pub(crate) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Cursor<'a>) -> Read<T>,
    ) -> Read<T> {
        Ok(self.may(key, read)?.unwrap_or(default))
    }

    /// A key that the language has, but not here.
    pub(crate) fn misplaced(
        &mut self,
        key: &'static str,
        message: &str,
        help: Option<String>,
    ) -> Read<()> {
        self.later.push(key);
        if !self.has(key) {
            return Ok(());
        }
        let cursor = self.at.child(self.at.path.key(key), &Value::Null);
        Err(cursor.refuse_key(message, help))
    }

    /// Notes every key that nobody took.
    pub(crate) fn finish(self) -> Read<()> {
        let unknown = self.mapping.keys().filter(|key| self.is_unknown(key));
        all(unknown.map(|key| {
            let Some(name) = key.as_str() else {
                return Err(self
                    .at
                    .refuse(format!("key {} should be text", describe(key))));
            };
            let help = did_you_mean(name, self.known.iter().chain(&self.later).copied())
                .unwrap_or_else(|| format!("known here: {}", self.known.join(", ")));
            let cursor = self.at.child(self.at.path.key(name), &Value::Null);
            Err(cursor.refuse_key(format!("unknown key `{name}`"), Some(help)))
        }))
        .map(|_: Vec<()>| ())
    }

    fn is_unknown(&self, key: &Value) -> bool {
        let is_known = |key| self.known.contains(&key) || self.later.contains(&key);
        !key.as_str().is_some_and(is_known)
    }
}

/// All values, or the proof that at least one complained; every one is looked at.
pub(crate) fn all<T>(results: impl Iterator<Item = Read<T>>) -> Read<Vec<T>> {
    let mut values = Vec::new();
    let mut failed = None;
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(noted) => failed = Some(noted),
        }
    }
    failed.map_or(Ok(values), Err)
}

/// `did you mean "…"?`, where some known word is close.
pub(crate) fn did_you_mean<'w>(
    word: &str,
    known: impl IntoIterator<Item = &'w str>,
) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    closest(word, known).map(|close| format!("did you mean `{close}`?"))
}

fn describe(value: &Value) -> String {
    const SHOWN_MAX: usize = 40;
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.chars().count() > SHOWN_MAX => {
            let start: String = text.chars().take(SHOWN_MAX).collect();
            format!("the text {:?}", start + "…")
        }
        Value::String(text) => format!("the text {text:?}"),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged(tagged) => format!("a value tagged {}", tagged.tag),
    }
}
