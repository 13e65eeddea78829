//! From a document of a user's file to objects.
//!
//! **What.** [`decode`] finds the kind, expands lists, checks every field's type, and refuses unknown fields.
//! **Why.** The texts are those of kubectl and the API server, and every complaint has its line and column.
//! **Source of the semantics.** `recorded/validation.yaml` (`obj-*`, `svc-port-string` …); S: `apimachinery`
//! `runtime/serializer/json`, `apis/meta/v1/unstructured`, `kubectl` resource builder.
//!
//! Deviation: a kind of a foreign group is a custom resource and is taken as it is, where a cluster asks for its
//! definition first (`obj-bad-group`).

use serde_json::{Map, Number, Value};

use crate::object::{Kind, Object};
use crate::schema::{Fault, Mistyped, faults};
use crate::yaml::{Document, Location, Part, Path, Problem, Segment, closest};

/// One object of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The object.
    pub object: Object,
    /// The file's name.
    pub file: String,
    /// Its place among the objects of the document, from 0; more than one for a List.
    pub index: usize,
    /// Where in the document it stands: the root, or an item of a List.
    pub path: Path,
    /// Where in the file it begins.
    pub location: Location,
}

/// A document that holds no objects that could be sent to the API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DecodeFailure {
    text: String,
    problems: Vec<Problem>,
}

impl DecodeFailure {
    /// What kubectl prints on stderr when the manifest comes from standard input; no newline at its end.
    #[must_use]
    pub fn kubectl_text(&self) -> String {
        self.text.clone()
    }

    /// Every complaint with its place; at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same with each complaint put where the user finds it: a text inside of a file is a part of that file.
    #[must_use]
    pub fn placed(mut self, place: impl FnMut(Problem) -> Problem) -> Self {
        self.problems = self.problems.into_iter().map(place).collect();
        self
    }
}

impl From<Problem> for DecodeFailure {
    /// A file that is no YAML.
    fn from(problem: Problem) -> Self {
        let text = format!(
            "error: error parsing STDIN: error converting YAML to JSON: yaml: line {}: {}",
            problem.line, problem.message
        );
        Self {
            text,
            problems: vec![problem],
        }
    }
}

/// Reads the objects of a document.
///
/// # Errors
/// [`DecodeFailure`]: no object, no or unknown kind, a field that does not exist or is of the wrong type.
pub fn decode(document: &Document) -> Result<Vec<Manifest>, DecodeFailure> {
    read_all(document, true)
}

/// Reads the objects of a document that a cluster printed: fields that are unknown here, because the cluster is of
/// another version, are passed over.
///
/// # Errors
/// As [`decode`], but for unknown fields.
pub fn decode_stored(document: &Document) -> Result<Vec<Manifest>, DecodeFailure> {
    read_all(document, false)
}

fn read_all(document: &Document, strict: bool) -> Result<Vec<Manifest>, DecodeFailure> {
    let reader = Reader { document, strict };
    let value = reader.json(&document.value, &Path::root())?;
    let mut manifests = Vec::new();
    reader.read(value, &Path::root(), &mut manifests)?;
    Ok(manifests)
}

/// Up to here every whole number is a floating-point number: 2⁵³.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

struct Reader<'a> {
    document: &'a Document,
    /// Whether a field must be known.
    strict: bool,
}

impl Reader<'_> {
    fn read(
        &self,
        value: Value,
        path: &Path,
        into: &mut Vec<Manifest>,
    ) -> Result<(), DecodeFailure> {
        let Value::Object(mut fields) = value else {
            let text = "error: error validating \"STDIN\": error validating data: invalid object to validate; if you choose to ignore these errors, turn validation off with --validate=false";
            return Err(self.failure(text, path, Part::Value, "not a Kubernetes object"));
        };
        let (api_version, kind_name) = (
            self.word(&fields, "apiVersion", path)?,
            self.word(&fields, "kind", path)?,
        );
        let (api_version, kind_name) = (api_version.to_owned(), kind_name.to_owned());
        if is_list(&api_version, &kind_name, &fields) {
            let items = fields.shift_remove("items").unwrap_or_default();
            return self.read_items(items, &api_version, &kind_name, path, into);
        }
        let kind = self.known_kind(&api_version, &kind_name, &fields, path)?;
        let bad_request = |message: &str| {
            let refusal = bad_request(&api_version, &kind_name, message);
            match kind.deprecation() {
                Some(warning) => format!("Warning: {warning}\n{refusal}"),
                None => refusal,
            }
        };
        let mut value = Value::Object(fields);
        let faults = faults(kind, &mut value);
        self.check(faults, &bad_request, path)?;
        let Value::Object(fields) = value else {
            unreachable!("it was made of fields")
        };
        let object = Object::from_fields(kind, fields).map_err(|error| {
            let message = error.to_string();
            self.failure(&bad_request(&message), path, Part::Value, &message)
        })?;
        let location = self.document.locate(path, Part::Value);
        let file = self.document.source.clone();
        into.push(Manifest {
            object,
            file,
            index: into.len(),
            path: path.clone(),
            location,
        });
        Ok(())
    }

    /// The items of a list; those of a typed one need not say what they are.
    fn read_items(
        &self,
        items: Value,
        api_version: &str,
        kind: &str,
        path: &Path,
        into: &mut Vec<Manifest>,
    ) -> Result<(), DecodeFailure> {
        let path = path.key("items");
        let Value::Array(items) = items else {
            let text = "error: a List has no items";
            return Err(self.failure(text, &path, Part::Value, "`items` must be a list"));
        };
        let item_kind = kind.strip_suffix("List").unwrap_or_default();
        for (index, mut item) in items.into_iter().enumerate() {
            if let Value::Object(fields) = &mut item
                && !item_kind.is_empty()
                && !fields.contains_key("apiVersion")
                && !fields.contains_key("kind")
            {
                fields.insert("apiVersion".to_owned(), api_version.into());
                fields.insert("kind".to_owned(), item_kind.into());
            }
            self.read(item, &path.index(index), into)?;
        }
        Ok(())
    }

    /// `apiVersion` or `kind`.
    fn word<'v>(
        &self,
        fields: &'v Map<String, Value>,
        field: &str,
        path: &Path,
    ) -> Result<&'v str, DecodeFailure> {
        match fields.get(field) {
            Some(Value::String(word)) if !word.is_empty() => Ok(word),
            _ => {
                let text = format!(
                    "error: error validating \"STDIN\": error validating data: {field} not set; if you choose to ignore these errors, turn validation off with --validate=false"
                );
                Err(self.failure(
                    &text,
                    &path.key(field),
                    Part::Value,
                    &format!("{field} not set"),
                ))
            }
        }
    }

    fn known_kind(
        &self,
        api_version: &str,
        kind: &str,
        fields: &Map<String, Value>,
        path: &Path,
    ) -> Result<Kind, DecodeFailure> {
        if let Some(known) = Kind::of_manifest(api_version, kind) {
            return Ok(known);
        }
        let versions = Kind::all().find(|known| known.name() == kind);
        if let Some((group, _)) = api_version.split_once('/')
            && !Kind::is_stock_group(group)
            && versions.is_none()
        {
            return Ok(Kind::CUSTOM);
        }
        let meta = |field| {
            let value = fields
                .get("metadata")
                .and_then(|metadata| metadata.get(field));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let message = format!("no matches for kind \"{kind}\" in version \"{api_version}\"");
        let text = format!(
            "error: resource mapping not found for name: \"{}\" namespace: \"{}\" from \"STDIN\": {message}\nensure CRDs are installed first",
            meta("name"),
            meta("namespace"),
        );
        let (field, help) = match versions {
            Some(known) => (
                "apiVersion",
                Some(format!("{kind} is in {}", known.api_version())),
            ),
            None => {
                let named = Kind::all().filter(|kind| *kind != Kind::CUSTOM);
                let near = closest(kind, named.map(Kind::name));
                ("kind", near.map(|near| format!("did you mean {near}?")))
            }
        };
        let mut failure = self.failure(&text, &path.key(field), Part::Value, &message);
        failure.problems[0].help = help;
        Err(failure)
    }

    /// The first wrong type, or else all unknown fields together, as the real server reports them.
    fn check(
        &self,
        faults: Vec<Fault>,
        bad_request: &dyn Fn(&str) -> String,
        path: &Path,
    ) -> Result<(), DecodeFailure> {
        let mut unknown = Vec::new();
        let mut mistyped = Vec::new();
        for fault in faults {
            match fault {
                Fault::Mistyped(fault) => mistyped.push(fault),
                Fault::Unknown { path, known } => unknown.push((path, known)),
            }
        }
        // kubectl reads the metadata itself before it sends anything.
        let metadata = Path::root().key("metadata");
        let is_local =
            |fault: &Mistyped| fault.path.segments().first() == metadata.segments().first();
        let first = |local: bool| {
            let of = || {
                mistyped
                    .iter()
                    .filter(move |fault| is_local(fault) == local)
            };
            of().find(|fault| fault.stops).or_else(|| of().next())
        };
        if let Some(fault) = first(true).or_else(|| first(false)) {
            let message = &fault.message;
            let text = if is_local(fault) {
                format!("error: unable to decode \"STDIN\": {message}")
            } else {
                bad_request(message)
            };
            return Err(self.failure(&text, &joined(path, &fault.path), Part::Value, message));
        }
        if unknown.is_empty() || !self.strict {
            return Ok(());
        }
        let names: Vec<String> = unknown
            .iter()
            .map(|(field, _)| format!("unknown field \"{field}\""))
            .collect();
        let text = bad_request(&format!("strict decoding error: {}", names.join(", ")));
        let problem = |((field, known), message): ((Path, Vec<&'static str>), &String)| {
            let word = last_key(&field);
            let near = closest(&word, known).map(|near| format!("did you mean `{near}`?"));
            let found = self
                .document
                .problem(&joined(path, &field), Part::Key, message);
            Problem {
                help: near,
                ..found
            }
        };
        let problems = unknown.into_iter().zip(&names).map(problem).collect();
        Err(DecodeFailure { text, problems })
    }

    /// The value as JSON: what Kubernetes keeps of YAML.
    fn json(&self, value: &serde_yaml::Value, path: &Path) -> Result<Value, DecodeFailure> {
        let refuse = |message: &str| {
            let text =
                format!("error: error parsing STDIN: error converting YAML to JSON: {message}");
            Err(self.failure(&text, path, Part::Value, message))
        };
        Ok(match value {
            serde_yaml::Value::Null => Value::Null,
            serde_yaml::Value::Bool(flag) => Value::Bool(*flag),
            serde_yaml::Value::Number(number) => match json_number(number) {
                Some(number) => Value::Number(number),
                None => return refuse("a number that is not finite"),
            },
            serde_yaml::Value::String(text) => Value::String(text.clone()),
            serde_yaml::Value::Sequence(items) => {
                let items = items.iter().enumerate();
                let items = items.map(|(index, item)| self.json(item, &path.index(index)));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            serde_yaml::Value::Mapping(fields) => {
                let mut object = Map::new();
                for (key, value) in fields {
                    let Some(key) = json_key(key) else {
                        return refuse("a key that is neither text, number nor boolean");
                    };
                    let value = self.json(value, &path.key(&key))?;
                    object.insert(key, value);
                }
                Value::Object(object)
            }
            serde_yaml::Value::Tagged(tagged) => {
                return refuse(&format!("unknown tag {}", tagged.tag));
            }
        })
    }

    fn failure(&self, text: &str, path: &Path, part: Part, message: &str) -> DecodeFailure {
        let problems = vec![self.document.problem(path, part, message)];
        DecodeFailure {
            text: text.to_owned(),
            problems,
        }
    }
}

/// Whether kubectl takes an object for a list of objects.
fn is_list(api_version: &str, kind: &str, fields: &Map<String, Value>) -> bool {
    (api_version, kind) == ("v1", "List")
        || kind.ends_with("List") && fields.get("items").is_some_and(Value::is_array)
}

fn bad_request(api_version: &str, kind: &str, message: &str) -> String {
    let version = api_version.rsplit('/').next().unwrap_or(api_version);
    format!(
        "Error from server (BadRequest): error when creating \"STDIN\": {kind} in version \"{version}\" cannot be handled as a {kind}: {message}"
    )
}

/// A whole number stays one however it is written: `80.0` is 80.
fn json_number(number: &serde_yaml::Number) -> Option<Number> {
    let whole = number
        .as_i64()
        .map(Number::from)
        .or_else(|| number.as_u64().map(Number::from));
    whole.or_else(|| {
        let number = number.as_f64()?;
        if number.fract() == 0.0 && number.abs() < WHOLE_MAX {
            return Some(Number::from(number as i64));
        }
        Number::from_f64(number)
    })
}

/// Kubernetes turns keys that are numbers or booleans into texts.
fn json_key(key: &serde_yaml::Value) -> Option<String> {
    match key {
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Number(number) => Some(number.to_string()),
        serde_yaml::Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn joined(base: &Path, field: &Path) -> Path {
    field
        .segments()
        .iter()
        .fold(base.clone(), |path, segment| match segment {
            Segment::Key(key) => path.key(key),
            Segment::Index(index) => path.index(*index),
        })
}

fn last_key(path: &Path) -> String {
    match path.segments().last() {
        Some(Segment::Key(key)) => key.clone(),
        _ => String::new(),
    }
}
