//! The table of types, read from its text.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::object::Kind;

const TEXT: &str = include_str!("kubernetes-1.36.txt");

/// The table, which is a constant: it is read from its text when it is needed first.
pub(super) fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Table::read(TEXT))
}

/// A type's place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TypeId(usize);

/// Every type that a manifest may hold.
pub(super) struct Table {
    types: Vec<Type>,
    kinds: BTreeMap<(&'static str, &'static str), TypeId>,
    custom: TypeId,
}

/// A type.
pub(super) struct Type {
    spelling: &'static str,
    /// What its values are.
    pub(super) shape: Shape,
}

/// What the values of a type are.
pub(super) enum Shape {
    /// Go `interface{}` and JSON that the user is free in.
    Any,
    /// Go `string`.
    Text,
    /// Go `bool`.
    Bool,
    /// Go `int32`.
    Int32,
    /// Go `int64`.
    Int64,
    /// Go `float64`.
    Float,
    /// `intstr.IntOrString`.
    IntOrText,
    /// `resource.Quantity`: a text or a number.
    Quantity,
    /// `v1.Time` or `v1.MicroTime`.
    Time {
        /// Go's layout for it.
        layout: &'static str,
    },
    /// A list.
    List(TypeId),
    /// A mapping with any keys.
    Map(TypeId),
    /// A struct: its fields in the order of names.
    Struct(Vec<(&'static str, TypeId)>),
}

impl Type {
    /// As Go's messages name it: with the package, without the API group.
    pub(super) fn go_name(&self) -> String {
        let name = self.spelling;
        let inner = name.trim_start_matches("[]");
        let inner = inner.strip_prefix("map[string]").unwrap_or(inner);
        let container = &name[..name.len() - inner.len()];
        let bare = inner.rsplit('/').next().unwrap_or(inner);
        match bare {
            "any" => format!("{container}interface {{}}"),
            bare => format!("{container}{bare}"),
        }
    }

    /// A struct's name alone.
    pub(super) fn bare_name(&self) -> &'static str {
        self.spelling.rsplit('.').next().unwrap_or(self.spelling)
    }
}

impl std::ops::Index<TypeId> for Table {
    type Output = Type;

    fn index(&self, TypeId(place): TypeId) -> &Type {
        &self.types[place]
    }
}

impl Table {
    /// The type of a kind's objects. An unknown kind, which the generated table does not leave, has the type of a
    /// custom resource.
    pub(super) fn of_kind(&self, kind: Kind) -> TypeId {
        let known = self.kinds.get(&(kind.api_version(), kind.name()));
        known.copied().unwrap_or(self.custom)
    }

    fn read(text: &'static str) -> Self {
        let mut reader = Reader::default();
        let mut kinds = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_default();
            match (word(), word(), word(), word()) {
                ("kind", version, kind, name) => {
                    kinds.insert((version, kind), reader.intern(name));
                }
                ("type", name, "", _) => {
                    let id = reader.intern(name);
                    reader.types[id.0].shape = Shape::Struct(Vec::new());
                    current = Some(id);
                }
                ("type", name, other, _) => {
                    let (id, other) = (reader.intern(name), reader.intern(other));
                    reader.types[id.0].shape = reader.types[other.0].shape.alias();
                }
                ("", "", field, name) => {
                    let id = reader.intern(name);
                    let owner = current.map(|TypeId(place)| &mut reader.types[place].shape);
                    if let Some(Shape::Struct(fields)) = owner {
                        fields.push((field, id));
                    }
                }
                _ => {}
            }
        }
        let metadata = reader.intern("meta/v1.ObjectMeta");
        Self {
            custom: reader.add("", Shape::Struct(vec![("metadata", metadata)])),
            types: reader.types,
            kinds,
        }
    }
}

#[derive(Default)]
struct Reader {
    types: Vec<Type>,
    known: BTreeMap<&'static str, TypeId>,
}

impl Reader {
    /// The type of a spelling; one that is defined later can be anything until then.
    fn intern(&mut self, spelling: &'static str) -> TypeId {
        if let Some(known) = self.known.get(spelling) {
            return *known;
        }
        let shape = match spelling {
            "string" | "[]uint8" => Shape::Text,
            "bool" => Shape::Bool,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "float64" => Shape::Float,
            "intstr.IntOrString" => Shape::IntOrText,
            "resource.Quantity" => Shape::Quantity,
            "meta/v1.Time" => Shape::Time {
                layout: "2006-01-02T15:04:05Z07:00",
            },
            "meta/v1.MicroTime" => Shape::Time {
                layout: "2006-01-02T15:04:05.000000Z07:00",
            },
            _ => {
                if let Some(item) = spelling.strip_prefix("[]") {
                    Shape::List(self.intern(item))
                } else if let Some(value) = spelling.strip_prefix("map[string]") {
                    Shape::Map(self.intern(value))
                } else {
                    Shape::Any
                }
            }
        };
        let id = self.add(spelling, shape);
        self.known.insert(spelling, id);
        id
    }

    fn add(&mut self, spelling: &'static str, shape: Shape) -> TypeId {
        self.types.push(Type { spelling, shape });
        TypeId(self.types.len() - 1)
    }
}

impl Shape {
    /// The shape of another name for a type; only texts, lists and mappings have such names.
    fn alias(&self) -> Self {
        match self {
            Self::Text => Self::Text,
            Self::List(item) => Self::List(*item),
            Self::Map(value) => Self::Map(*value),
            _ => Self::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_table_is_defined() {
        let table = table();
        for found in &table.types {
            let anything = matches!(found.shape, Shape::Any);
            assert!(!anything || found.spelling == "any", "{}", found.spelling);
        }
        for kind in Kind::all() {
            let known = table.of_kind(kind) != table.custom;
            assert!(known || kind == Kind::CUSTOM, "{kind}");
        }
    }

    #[test]
    fn fields_are_in_the_order_of_names() {
        for found in &table().types {
            if let Shape::Struct(fields) = &found.shape {
                assert!(
                    fields.is_sorted_by_key(|(name, _)| *name),
                    "{}",
                    found.spelling
                );
            }
        }
    }

    #[test]
    fn types_are_named_as_go_does() {
        let name = |spelling| {
            let shape = Shape::Any;
            Type { spelling, shape }.go_name()
        };
        assert_eq!(name("[]core/v1.ServicePort"), "[]v1.ServicePort");
        assert_eq!(name("map[string][]uint8"), "map[string][]uint8");
        assert_eq!(name("map[string]core/v1.Thing"), "map[string]v1.Thing");
        assert_eq!(name("intstr.IntOrString"), "intstr.IntOrString");
        assert_eq!(name("any"), "interface {}");
    }
}
