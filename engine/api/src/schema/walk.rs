//! The walk over a value beside its type.

use serde_json::{Map, Value};

use super::scalar::{quantity_fault, time_fault};
use super::table::{Shape, Table, Type, TypeId};
use super::{Fault, Mistyped};
use crate::object::Kind;
use crate::yaml::{Path, Segment};

/// How many unknown fields a real server tells of (S: `sigs.k8s.io/json`).
const UNKNOWN_MAX: usize = 100;

/// Everything wrong with `value`; `null` in a list or mapping becomes the zero of its type.
pub(super) fn walk(table: &'static Table, kind: Kind, value: &mut Value) -> Vec<Fault> {
    let mut walk = Walk {
        table,
        open: kind == Kind::CUSTOM,
        faults: Vec::new(),
    };
    let root = table.of_kind(kind);
    walk.visit(value, root, &table[root], &Place::ROOT);
    let path = |fault: &Fault| match fault {
        Fault::Unknown { path, .. } | Fault::Mistyped(Mistyped { path, .. }) => path.clone(),
    };
    walk.faults.sort_by_cached_key(path);
    let mut unknown = 0;
    walk.faults.retain(|fault| {
        unknown += usize::from(matches!(fault, Fault::Unknown { .. }));
        unknown <= UNKNOWN_MAX || matches!(fault, Fault::Mistyped(_))
    });
    walk.faults
}

/// Where a value stands, as a list from its end: paths are only made of it where something is wrong.
struct Place<'a> {
    above: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    /// A field of a struct.
    Field(&'a str),
    /// A key of a mapping: Go's messages leave it out.
    Key(&'a str),
    /// An item of a list: Go's messages leave it out.
    Index(usize),
}

impl<'a> Place<'a> {
    const ROOT: Place<'static> = Place {
        above: None,
        step: Step::Root,
    };

    fn then(&'a self, step: Step<'a>) -> Self {
        Self {
            above: Some(self),
            step,
        }
    }

    fn steps(&self) -> Vec<Step<'_>> {
        let mut steps: Vec<_> = std::iter::successors(Some(self), |place| place.above)
            .map(|place| place.step)
            .collect();
        steps.reverse();
        steps
    }

    fn path(&self) -> Path {
        let segments = self.steps().into_iter().filter_map(|step| match step {
            Step::Root => None,
            Step::Field(key) | Step::Key(key) => Some(Segment::Key(key.to_owned())),
            Step::Index(index) => Some(Segment::Index(index)),
        });
        segments.collect()
    }

    /// `ServicePort.spec.ports.port`: the innermost struct, then every field from the root.
    fn go_place(&self, owner: &str) -> String {
        let steps = self.steps();
        let fields = steps.iter().filter_map(|step| match step {
            Step::Field(field) => Some(*field),
            _ => None,
        });
        let mut fields = fields.peekable();
        // kubectl reads the metadata alone, into a struct of its own.
        let alone = fields.peek() == Some(&"metadata") && steps.len() == 2;
        let owner = if alone { "metadataOnlyObject" } else { owner };
        let words: Vec<&str> = std::iter::once(owner).chain(fields).collect();
        words.join(".")
    }
}

struct Walk {
    table: &'static Table,
    /// Whether the root has fields beside the ones of its type.
    open: bool,
    faults: Vec<Fault>,
}

impl Walk {
    /// `owner` is the struct that the value is a field of.
    fn visit(&mut self, value: &mut Value, id: TypeId, owner: &Type, place: &Place<'_>) {
        let found = &self.table[id];
        match (&found.shape, value) {
            // Go takes null for "not given".
            (_, Value::Null)
            | (Shape::Any, _)
            | (Shape::Text | Shape::IntOrText, Value::String(_))
            | (Shape::Float, Value::Number(_))
            | (Shape::Bool, Value::Bool(_)) => {}
            (Shape::Int32 | Shape::IntOrText, Value::Number(number))
                if number
                    .as_i64()
                    .is_some_and(|number| i32::try_from(number).is_ok()) => {}
            (Shape::Int64, Value::Number(number)) if number.is_i64() => {}
            (Shape::Quantity, value) => self.stop(quantity_fault(value), place),
            (Shape::Time { layout }, Value::String(text)) => {
                self.stop(time_fault(text, layout), place);
            }
            (Shape::Map(inner), Value::Object(fields)) => {
                for (key, value) in fields {
                    self.visit_inner(value, *inner, owner, &place.then(Step::Key(key)));
                }
            }
            (Shape::List(item), Value::Array(items)) => {
                for (index, value) in items.iter_mut().enumerate() {
                    self.visit_inner(value, *item, owner, &place.then(Step::Index(index)));
                }
            }
            (Shape::Struct(known), Value::Object(fields)) => {
                self.visit_fields(fields, found, known, place);
            }
            (_, value) => self.mistyped(value, found, owner, place),
        }
    }

    /// An item of a list, or a value of a mapping: it is there even if it is null.
    fn visit_inner(&mut self, value: &mut Value, id: TypeId, owner: &Type, place: &Place<'_>) {
        if value.is_null() {
            *value = self.table[id].shape.zero();
        }
        self.visit(value, id, owner, place);
    }

    fn visit_fields(
        &mut self,
        fields: &mut Map<String, Value>,
        owner: &Type,
        known: &[(&'static str, TypeId)],
        place: &Place<'_>,
    ) {
        for (key, value) in fields {
            let place = place.then(Step::Field(key));
            match known.binary_search_by(|(name, _)| (*name).cmp(key)) {
                Ok(found) => self.visit(value, known[found].1, owner, &place),
                Err(_) if self.open && place.steps().len() == 2 => {}
                Err(_) => self.faults.push(Fault::Unknown {
                    path: place.path(),
                    known: known.iter().map(|(name, _)| *name).collect(),
                }),
            }
        }
    }

    fn mistyped(&mut self, value: &Value, wanted: &Type, owner: &Type, place: &Place<'_>) {
        let is_int = matches!(wanted.shape, Shape::Int32 | Shape::Int64 | Shape::IntOrText);
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if is_int => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        // Types that read their JSON themselves name what they are made of, and stop the decoder.
        let (wanted, stops) = match wanted.shape {
            Shape::IntOrText => ("int32".to_owned(), true),
            Shape::Time { .. } => ("string".to_owned(), true),
            _ => (wanted.go_name(), false),
        };
        let field = place.go_place(owner.bare_name());
        let message =
            format!("json: cannot unmarshal {found} into Go struct field {field} of type {wanted}");
        self.faults.push(Fault::Mistyped(Mistyped {
            path: place.path(),
            message,
            stops,
        }));
    }

    fn stop(&mut self, message: Option<String>, place: &Place<'_>) {
        self.faults.extend(message.map(|message| {
            Fault::Mistyped(Mistyped {
                path: place.path(),
                message,
                stops: true,
            })
        }));
    }
}

impl Shape {
    /// What Go's decoder makes of null where there must be a value.
    fn zero(&self) -> Value {
        match self {
            Self::Text => Value::String(String::new()),
            Self::Bool => false.into(),
            Self::Int32 | Self::Int64 | Self::Float | Self::IntOrText => 0.into(),
            Self::Quantity => "0".into(),
            Self::Struct(_) => Map::new().into(),
            Self::Any | Self::Time { .. } | Self::List(_) | Self::Map(_) => Value::Null,
        }
    }
}
