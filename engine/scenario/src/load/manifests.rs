//! Manifests: in files of their own, as text inside a scenario, or as objects inside a scenario.
//!
//! They are decoded when the scenario is read, so that a malformed one is an input error at its own line,
//! wherever it stands.

use api::yaml::{Document, Location, Part, Path, Problem, Segment, Source, split};
use api::{DecodeFailure, Manifest, Object, decode, decode_stored};

use super::state::State;
use crate::cursor::{Cursor, Noted, Read, Sink, all};

/// Files, or objects of one step.
const LIST_MAX: usize = 10_000;

/// How a document is read.
type Decode = fn(&Document) -> Result<Vec<Manifest>, DecodeFailure>;

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
        let value = at.value();
        if value.is_mapping() {
            let mut fields = at.fields()?;
            let manifests = fields.need("file", |at| self.file(at, namespace, decode));
            fields.finish()?;
            return manifests;
        }
        if value.is_sequence() {
            let objects = at.list(LIST_MAX, |item| self.object(&item, namespace))?;
            return Ok(objects.into_iter().flatten().collect());
        }
        if !value.is_string() {
            return Err(at.mismatch("manifest text, {file: …} or a list of objects"));
        }
        let place = Placed::of(self.source, self.document.locate(at.path(), Part::Value));
        let text = Source::new(&self.source.name, at.text()?);
        let mut manifests = self.objects(&text, namespace, decode, |problem| {
            place.problem(problem, &text.text, at.path())
        })?;
        for manifest in &mut manifests {
            manifest.location = place.location(manifest.location, &text.text).0;
        }
        if manifests.is_empty() {
            Err(at.refuse("there is no object in this text"))
        } else {
            Ok(manifests)
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
        let source = self.open(at)?;
        let manifests = self.objects(&source, namespace, decode, |problem| problem);
        self.sources.push(source);
        let manifests = manifests?;
        if manifests.is_empty() {
            Err(at.refuse(format!("there is no object in {}", at.name()?)))
        } else {
            Ok(manifests)
        }
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
    fn object(&self, at: &Cursor<'_>, namespace: &str) -> Read<Vec<Manifest>> {
        let alone = Document {
            source: self.source.name.clone(),
            first_line: 1,
            text: String::new(),
            value: at.value().clone(),
        };
        // The object's paths begin at itself; the scenario knows where that is.
        let mut manifests = self.decoded(&alone, namespace, decode, |problem| {
            let path = below(at.path(), &problem.path);
            let place = self.document.problem(&path, Part::Key, problem.message);
            Problem {
                help: problem.help,
                ..place
            }
        })?;
        for manifest in &mut manifests {
            let path = below(at.path(), &manifest.path.to_string());
            manifest.location = self.document.locate(&path, Part::Value);
        }
        Ok(manifests)
    }

    /// Every object of a file; `place` puts a problem where the user can find it.
    fn objects(
        &self,
        source: &Source,
        namespace: &str,
        decode: Decode,
        place: impl Fn(Problem) -> Problem,
    ) -> Read<Vec<Manifest>> {
        let documents = split(source).map_err(|problem| self.sink.note(place(problem)))?;
        let manifests = documents
            .iter()
            .map(|document| self.decoded(document, namespace, decode, &place));
        Ok(all(manifests)?.into_iter().flatten().collect())
    }

    fn decoded(
        &self,
        document: &Document,
        namespace: &str,
        decode: Decode,
        place: impl Fn(Problem) -> Problem,
    ) -> Read<Vec<Manifest>> {
        let mut manifests = decode(document).map_err(|failure| {
            let noted = failure
                .problems()
                .iter()
                .map(|problem| self.sink.note(place(problem.clone())));
            noted
                .last()
                .unwrap_or_else(|| self.whole_document(document, &failure.to_string()))
        })?;
        place_in(namespace, &mut manifests);
        Ok(manifests)
    }

    fn whole_document(&self, document: &Document, message: &str) -> Noted {
        self.sink
            .note(document.problem(&Path::root(), Part::Value, message))
    }
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
