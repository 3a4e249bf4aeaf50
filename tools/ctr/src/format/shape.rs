//! The shape of JSON that docker's client reads into Go structs: field names, types, order, what is left out when empty.

use std::fmt;

pub(crate) const ANY: &Shape = &Shape::Any;
pub(crate) const BOOL: &Shape = &Shape::Bool;
pub(crate) const INT: &Shape = &Shape::Int("int");
pub(crate) const INT64: &Shape = &Shape::Int("int64");
pub(crate) const TEXT: &Shape = &Shape::Text;
pub(crate) const TEXTS: &Shape = &Shape::List(TEXT);

/// A Go type.
#[derive(Debug)]
pub(crate) enum Shape {
    /// `interface {}`
    Any,
    Bool,
    /// A signed whole number and the name of its type.
    Int(&'static str),
    /// An unsigned one.
    Uint(&'static str),
    Text,
    List(&'static Self),
    /// A map by texts.
    Map(&'static Self),
    Pointer(&'static Self),
    Struct(&'static Layout),
}

/// A struct.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Go's name of it, with its package: `container.State`.
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

/// One field of a struct.
#[derive(Debug)]
pub(crate) struct Field {
    /// What templates call it.
    pub(crate) name: &'static str,
    /// What JSON calls it; empty for an embedded struct.
    pub(crate) key: &'static str,
    pub(crate) shape: &'static Shape,
    /// Whether JSON leaves it out where it is empty.
    pub(crate) optional: bool,
}

/// A field that is always there, with one name.
pub(crate) const fn of(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, key: name, shape, optional: false }
}

/// A field that JSON leaves out where it is empty.
pub(crate) const fn maybe(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, key: name, shape, optional: true }
}

impl Field {
    /// The same with another name in JSON.
    pub(crate) const fn named(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// A struct whose fields count as the outer one's.
    pub(crate) const fn embedded(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, key: "", shape, optional: false }
    }

    pub(crate) fn is_embedded(&self) -> bool {
        self.key.is_empty()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("interface {}"),
            Self::Bool => f.write_str("bool"),
            Self::Int(name) | Self::Uint(name) => f.write_str(name),
            Self::Text => f.write_str("string"),
            Self::List(inner) => write!(f, "[]{inner}"),
            Self::Map(inner) => write!(f, "map[string]{inner}"),
            Self::Pointer(inner) => write!(f, "*{inner}"),
            Self::Struct(layout) => f.write_str(layout.name),
        }
    }
}
