//! `kubectl get`.
//!
//! **What.** Found objects as tables, or in one of the formats for programs; what kubectl writes to standard output
//! and to standard error. **Source of the semantics.** API-93 … API-95; S: `kubectl/pkg/cmd/get/get.go`,
//! `cli-runtime/pkg/printers/{tableprinter,name,yaml}.go`.

use std::str::FromStr;

use api::{Kind, Object, Selector};
use base::SimTime;
use serde_json::{Value, json};

use crate::fields::{go_text, plain};
use crate::jsonpath::JsonPath;
use crate::path::{ColumnsError, CustomColumns, FieldPath, PathError};
use crate::request::{Found, Objects, Resources, Scope};
use crate::selector::joined;
use crate::table::{self, Look};
use crate::tabs::Tabs;
use crate::{json as json_text, yaml};

/// What is said whenever Endpoints are read (API-80).
const ENDPOINTS_DEPRECATED: &str =
    "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n";

/// How objects are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// A table.
    #[default]
    Table,
    /// A table with all of its columns.
    Wide,
    /// `yaml`
    Yaml,
    /// `json`
    Json,
    /// `name`: `service/web`
    Name,
    /// `jsonpath={.spec.clusterIP}`
    JsonPath(JsonPath),
    /// `custom-columns=NAME:.metadata.name`
    Columns(CustomColumns),
}

/// Why a text is no output format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// There is none of that name.
    #[error(
        "unable to match a printer suitable for the output format {name:?}; allowed formats are: wide, yaml, json, name, jsonpath=…, custom-columns=…"
    )]
    Unknown {
        /// What was written.
        name: String,
    },
    /// Of `jsonpath`.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Of `custom-columns`.
    #[error(transparent)]
    Columns(#[from] ColumnsError),
}

impl FromStr for Output {
    type Err = OutputError;

    fn from_str(text: &str) -> Result<Self, OutputError> {
        Ok(match text.split_once('=').unwrap_or((text, "")) {
            ("table", "") => Self::Table,
            ("wide", "") => Self::Wide,
            ("yaml", "") => Self::Yaml,
            ("json", "") => Self::Json,
            ("name", "") => Self::Name,
            ("jsonpath", path) => Self::JsonPath(path.parse()?),
            ("custom-columns", columns) => Self::Columns(columns.parse()?),
            _ => {
                return Err(OutputError::Unknown {
                    name: text.to_owned(),
                });
            }
        })
    }
}

/// What kubectl writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// To standard output.
    pub stdout: String,
    /// To standard error.
    pub stderr: String,
    /// Whether it exits with 1: something that was named is not there.
    pub is_failure: bool,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    /// Which objects.
    pub resources: Resources,
    /// Where they are looked for.
    pub scope: Scope,
    /// Which of them.
    pub selector: Option<Selector>,
    /// How they are printed.
    pub output: Output,
    /// Whether a table has a column with the labels.
    pub show_labels: bool,
    /// Whether a table has no headers.
    pub no_headers: bool,
    /// What the objects are sorted by.
    pub sort_by: Option<FieldPath>,
}

impl Get {
    /// A request without any further flags.
    #[must_use]
    pub fn new(resources: Resources, scope: Scope, output: Output) -> Self {
        Self {
            resources,
            scope,
            selector: None,
            output,
            show_labels: false,
            no_headers: false,
            sort_by: None,
        }
    }

    /// Looks for the objects.
    #[must_use]
    pub fn find(&self, objects: &(impl Objects + ?Sized)) -> Found {
        let selector = self.selector.as_ref();
        let mut found = Found::of(&self.resources, &self.scope, selector, objects);
        if let Some(path) = &self.sort_by {
            for group in &mut found.groups {
                sort(&mut group.objects, path);
            }
        }
        found
    }

    /// Prints what was found, with ages as of `now`.
    #[must_use]
    pub fn print(&self, found: &Found, now: SimTime) -> Printed {
        let stdout = match &self.output {
            Output::Table => self.tables(found, now, false),
            Output::Wide => self.tables(found, now, true),
            _ if found.is_one && found.groups.is_empty() => String::new(),
            Output::Yaml => yaml::document(&found.to_json()),
            Output::Json => json_text::document(&found.to_json()),
            Output::Name => found.objects().map(name_line).collect(),
            Output::JsonPath(path) => path.print(&found.to_json()),
            Output::Columns(columns) => custom(columns, found, self.no_headers),
        };
        let mut stderr = warnings(&self.resources);
        for status in &found.errors {
            stderr.push_str(&status.error_text());
            stderr.push('\n');
        }
        let is_table = matches!(self.output, Output::Table | Output::Wide);
        if is_table && stdout.is_empty() && found.errors.is_empty() {
            stderr.push_str(&nothing_found(&self.resources, &self.scope));
        }
        Printed {
            stdout,
            stderr,
            is_failure: !found.errors.is_empty(),
        }
    }

    fn tables(&self, found: &Found, now: SimTime, is_wide: bool) -> String {
        let kinds = self.resources.kinds();
        let groups = found
            .groups
            .iter()
            .filter(|group| !group.objects.is_empty());
        let texts = groups.map(|group| {
            let look = Look {
                now,
                is_wide,
                with_kind: kinds.len() > 1,
                with_namespace: self.scope == Scope::All && group.kind.is_namespaced(),
                with_labels: self.show_labels,
                with_headers: !self.no_headers,
            };
            table::text(group.kind, &group.objects, &look)
        });
        let between = if self.no_headers { "" } else { "\n" };
        texts.collect::<Vec<_>>().join(between)
    }
}

impl Found {
    /// The objects as JSON: one that was asked for by its name, or a `List`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut items = self
            .objects()
            .map(|object| Value::Object(object.to_fields()));
        if self.is_one
            && let Some(object) = items.next()
        {
            return object;
        }
        let items: Vec<Value> = items.collect();
        json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
    }
}

/// What the API server warns of when these are read.
pub(crate) fn warnings(resources: &Resources) -> String {
    match resources.kinds().contains(&Kind::Endpoints) {
        true => ENDPOINTS_DEPRECATED.to_owned(),
        false => String::new(),
    }
}

/// What is said where a list is empty.
pub(crate) fn nothing_found(resources: &Resources, scope: &Scope) -> String {
    match scope {
        Scope::Namespace(namespace)
            if resources.kinds().iter().all(|kind| kind.is_namespaced()) =>
        {
            format!("No resources found in {namespace} namespace.\n")
        }
        _ => "No resources found\n".to_owned(),
    }
}

fn name_line(object: &Object) -> String {
    format!("{}/{}\n", object.key().singular(), object.meta().name)
}

fn custom(columns: &CustomColumns, found: &Found, no_headers: bool) -> String {
    let mut lines = Vec::new();
    if !no_headers {
        let headers: Vec<&str> = columns
            .0
            .iter()
            .map(|(header, _)| header.as_str())
            .collect();
        lines.push(headers.join("\t"));
    }
    for object in found.objects() {
        let object = Value::Object(object.to_fields());
        let cells = columns
            .0
            .iter()
            .map(|(_, path)| joined(path.values(&object).into_iter().map(go_text)));
        lines.push(cells.collect::<Vec<_>>().join("\t"));
    }
    let lines = lines.iter().map(|line| format!("{line}\n"));
    Tabs::TABLE.align(&lines.collect::<String>())
}

fn sort(objects: &mut [Object], path: &FieldPath) {
    objects.sort_by_cached_key(|object| {
        let object = Value::Object(object.to_fields());
        let first = path.values(&object).first().copied();
        first.map_or(SortKey::Missing, SortKey::of)
    });
}

/// Objects without the field come first, numbers before texts.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Missing,
    Millionths(i128),
    Text(String),
}

impl SortKey {
    fn of(value: &Value) -> Self {
        match value.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
            Some(number) => Self::Millionths((number * 1e6) as i128),
            None => Self::Text(plain(value)),
        }
    }
}
