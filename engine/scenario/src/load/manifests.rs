//! Manifests: in files of their own, as text inside a scenario, or as objects inside a scenario.
//!
//! They are decoded when the scenario is read, so that a malformed one is an input error at its own line,
//! wherever it stands; but for a step that expects to be refused, which then hears what kubectl prints.

use api::yaml::{Document, Location, Part, Path, Problem, Segment, Source, split};
use api::{DecodeFailure, Manifest, Object, decode, decode_stored};

use super::state::State;
use crate::cursor::{Cursor, Read, Sink, all};
use crate::step::Given;

/// Files, or objects of one step.
const LIST_MAX: usize = 10_000;

/// How a document is read.
type Decode = fn(&Document) -> Result<Vec<Manifest>, DecodeFailure>;

/// The objects of each document, or what is wrong with it.
type Decoded = Vec<Result<Vec<Manifest>, DecodeFailure>>;

/// Where manifests come from.
pub(super) struct Files<'a> {
    source: &'a Source,
    document: &'a Document,
    sink: &'a Sink,
    read: &'a mut dyn FnMut(&str) -> Result<String, String>,
    /// What was read so far.
    sources: Vec<Source>,
}

impl<'a> Files<'a> {
    pub(super) fn new(
        source: &'a Source,
        document: &'a Document,
        sink: &'a Sink,
        read: &'a mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Self {
        Self {
            source,
            document,
            sink,
            read,
            sources: Vec::new(),
        }
    }

    /// The files that were read.
    pub(super) fn take_sources(&mut self) -> Vec<Source> {
        std::mem::take(&mut self.sources)
    }

    /// The scenario's own document.
    pub(super) fn document(&self) -> &'a Document {
        self.document
    }

    /// The line at which the value at `path` begins.
    pub(super) fn line_of(&self, path: &Path) -> u32 {
        self.document.locate(path, Part::Value).line
    }

    /// Reads `spec.manifests`: a list of paths.
    pub(super) fn all(&mut self, at: &Cursor<'_>, namespace: &str) -> Read<Vec<Manifest>> {
        let files = at.list(LIST_MAX, |item| self.file(&item, namespace, decode))?;
        Ok(files.into_iter().flatten().collect())
    }

    /// Reads `spec.state`: a list of paths.
    pub(super) fn state(&mut self, at: &Cursor<'_>, namespace: &str) -> Read<State> {
        let files = at.list(LIST_MAX, |item| {
            let objects = self.file(&item, namespace, decode_stored)?;
            Ok((item.name()?.to_owned(), objects))
        })?;
        let (names, objects): (_, Vec<_>) = files.into_iter().unzip();
        let objects = objects.into_iter().flatten();
        let objects: Vec<Object> = objects.map(|manifest| manifest.object).collect();
        Ok(State::new(objects, names))
    }

    /// Reads what `apply` and its like are given: text, `{file: …}`, or a list of objects.
    pub(super) fn inline(&mut self, at: &Cursor<'_>, namespace: &str) -> Read<Vec<Manifest>> {
        let decoded = self.given(at, namespace)?;
        self.faultless(decoded)
    }

    /// Reads the same for a step that expects to be refused: what is malformed is a refusal as well.
    pub(super) fn inline_or_refused(
        &mut self,
        at: &Cursor<'_>,
        namespace: &str,
    ) -> Read<Vec<Given>> {
        let decoded = self.given(at, namespace)?.into_iter();
        let given = decoded.flat_map(|document| match document {
            Ok(manifests) => manifests.into_iter().map(Ok).collect(),
            Err(failure) => vec![Err(failure)],
        });
        Ok(given.collect())
    }

    fn given(&mut self, at: &Cursor<'_>, namespace: &str) -> Read<Decoded> {
        let value = at.value();
        if value.is_mapping() {
            let mut fields = at.fields()?;
            let decoded = fields.need("file", |at| self.documents_of(at, namespace, decode));
            fields.finish()?;
            return decoded;
        }
        if value.is_sequence() {
            return at.list(LIST_MAX, |item| Ok(self.object(&item, namespace)));
        }
        if !value.is_string() {
            return Err(at.mismatch("manifest text, {file: …} or a list of objects"));
        }
        self.text(at, namespace)
    }

    /// Reads manifests that stand in the scenario as text.
    fn text(&self, at: &Cursor<'_>, namespace: &str) -> Read<Decoded> {
        let place = Placed::of(self.source, self.document.locate(at.path(), Part::Value));
        let text = Source::new(&self.source.name, at.text()?);
        let mut decoded = decoded(&text, namespace, decode);
        for document in &mut decoded {
            match document {
                Ok(manifests) => {
                    for manifest in manifests {
                        manifest.location = place.location(manifest.location, &text.text).0;
                    }
                }
                Err(failure) => {
                    let put = |problem| place.problem(problem, &text.text, at.path());
                    *failure = failure.clone().placed(put);
                }
            }
        }
        match holds_nothing(&decoded) {
            true => Err(at.refuse("there is no object in this text")),
            false => Ok(decoded),
        }
    }

    /// Reads a file that holds one YAML document, which is no manifest.
    pub(super) fn document_of<T>(
        &mut self,
        at: &Cursor<'_>,
        read: impl FnOnce(&Cursor<'_>) -> Read<T>,
    ) -> Read<T> {
        let source = self.open(at)?;
        let documents = split(&source).map_err(|problem| self.sink.note(problem));
        self.sources.push(source);
        let documents = documents?;
        let [document] = &documents[..] else {
            let count = documents.len();
            return Err(at.refuse(format!("expected one YAML document there, found {count}")));
        };
        let sink = Sink::default();
        read(&Cursor::root(document, &sink)).map_err(|noted| {
            let problems = sink.into_problems(document).into_iter();
            problems
                .map(|problem| self.sink.note(problem))
                .last()
                .unwrap_or(noted)
        })
    }

    fn file(&mut self, at: &Cursor<'_>, namespace: &str, decode: Decode) -> Read<Vec<Manifest>> {
        let decoded = self.documents_of(at, namespace, decode)?;
        self.faultless(decoded)
    }

    /// Reads the file at a path beside the scenario's.
    fn documents_of(&mut self, at: &Cursor<'_>, namespace: &str, decode: Decode) -> Read<Decoded> {
        let source = self.open(at)?;
        let decoded = decoded(&source, namespace, decode);
        self.sources.push(source);
        match holds_nothing(&decoded) {
            true => Err(at.refuse(format!("there is no object in {}", at.name()?))),
            false => Ok(decoded),
        }
    }

    /// All objects, if nothing is wrong with any.
    fn faultless(&self, decoded: Decoded) -> Read<Vec<Manifest>> {
        let documents = decoded.into_iter().map(|document| {
            document.map_err(|failure| {
                let noted = failure.problems().iter().cloned();
                let last = noted.map(|problem| self.sink.note(problem)).last();
                last.expect("a failure has a problem")
            })
        });
        Ok(all(documents)?.into_iter().flatten().collect())
    }

    /// The text of the file at a path beside the scenario's.
    fn open(&mut self, at: &Cursor<'_>) -> Read<Source> {
        let path = at.name()?;
        let text =
            (self.read)(path).map_err(|error| at.refuse(format!("cannot read {path}: {error}")))?;
        let beside = std::path::Path::new(&self.source.name)
            .parent()
            .unwrap_or(std::path::Path::new(""));
        Ok(Source::new(beside.join(path).to_string_lossy(), text))
    }

    /// Reads one object that stands in the scenario as YAML.
    fn object(&self, at: &Cursor<'_>, namespace: &str) -> Result<Vec<Manifest>, DecodeFailure> {
        let alone = Document {
            source: self.source.name.clone(),
            first_line: 1,
            text: String::new(),
            value: at.value().clone(),
        };
        // The object's paths begin at itself; the scenario knows where that is.
        let place = |problem: Problem| {
            let path = below(at.path(), &problem.path);
            Problem {
                help: problem.help,
                ..self.document.problem(&path, Part::Key, problem.message)
            }
        };
        let mut manifests = decode(&alone).map_err(|failure| failure.placed(place))?;
        for manifest in &mut manifests {
            let path = below(at.path(), &manifest.path.to_string());
            manifest.location = self.document.locate(&path, Part::Value);
        }
        place_in(namespace, &mut manifests);
        Ok(manifests)
    }
}

/// Every object of a file.
fn decoded(source: &Source, namespace: &str, decode: Decode) -> Decoded {
    let documents = match split(source) {
        Ok(documents) => documents,
        Err(problem) => return vec![Err(problem.into())],
    };
    let read = |document| {
        let mut manifests = decode(document)?;
        place_in(namespace, &mut manifests);
        Ok(manifests)
    };
    documents.iter().map(read).collect()
}

/// Whether there is neither an object nor anything wrong.
fn holds_nothing(decoded: &Decoded) -> bool {
    decoded
        .iter()
        .all(|document| document.as_ref().is_ok_and(Vec::is_empty))
}

/// kubectl fills in the namespace of its context.
pub(super) fn place_in(namespace: &str, manifests: &mut [Manifest]) {
    for manifest in manifests {
        let namespaced = manifest.object.kind().is_namespaced();
        if namespaced && manifest.object.meta().namespace.is_empty() {
            namespace.clone_into(&mut manifest.object.meta_mut().namespace);
        }
    }
}

/// Where a field of a manifest that has a file of its own stands, as kubectl names fields (`spec.ports[0].port`);
/// or where the manifest begins.
pub(crate) fn place_of(manifest: &Manifest, field: &str, text: &str) -> Location {
    let documents = split(&Source::new(&manifest.file, text)).unwrap_or_default();
    let begins_before = |document: &&Document| document.first_line <= manifest.location.line;
    match documents.iter().rev().find(begins_before) {
        Some(document) => document.locate(&below(&manifest.path, field), Part::Value),
        None => manifest.location,
    }
}

/// The path of a field below another.
fn below(base: &Path, field: &str) -> Path {
    let inner = Path::parse(field);
    inner
        .segments()
        .iter()
        .fold(base.clone(), |path, segment| match segment {
            Segment::Key(key) => path.key(key),
            Segment::Index(index) => path.index(*index),
        })
}

/// A text inside of a file: where its lines are.
struct Placed<'a> {
    source: &'a Source,
    /// Where the value begins: for a block scalar, its `|`.
    start: Location,
}

impl<'a> Placed<'a> {
    fn of(source: &'a Source, start: Location) -> Self {
        Self { source, start }
    }

    /// A place of the text as a place of the file; and whether it is exact. A quoted or folded text has other
    /// lines than the file: then it is the text's beginning.
    fn location(&self, inner: Location, text: &str) -> (Location, bool) {
        let line = self.start.line + inner.line;
        let nth = |text: &'a str, line: u32| text.lines().nth(line.saturating_sub(1) as usize);
        let raw = nth(&self.source.text, line);
        let own = text
            .lines()
            .nth(inner.line.saturating_sub(1) as usize)
            .unwrap_or_default();
        match raw.filter(|raw| raw.trim_end().ends_with(own.trim_end())) {
            Some(raw) => {
                let indent = raw.trim_end().chars().count() - own.trim_end().chars().count();
                let indent = u32::try_from(indent).unwrap_or(u32::MAX);
                (
                    Location {
                        line,
                        column: inner.column.saturating_add(indent),
                    },
                    true,
                )
            }
            None => (self.start, false),
        }
    }

    fn problem(&self, inner: Problem, text: &str, path: &Path) -> Problem {
        let Problem {
            line,
            column,
            message,
            help,
            path: field,
            file,
        } = inner;
        let (place, is_exact) = self.location(Location { line, column }, text);
        let message = if is_exact {
            message
        } else {
            format!("line {line} of this text: {message}")
        };
        let path = if field.is_empty() {
            path.to_string()
        } else {
            format!("{path}: {field}")
        };
        Problem {
            file,
            line: place.line,
            column: place.column,
            path,
            message,
            help,
        }
    }
}
