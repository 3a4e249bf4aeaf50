//! What a template works on: values with Go's kinds.
//!
//! Two worlds meet here, as in docker's client. *Raw* JSON ([`Value::raw`]) is maps and lists of anything, numbers keep
//! the text they were written with. *Shaped* JSON ([`Value::shaped`]) has the fields, types and zero values of a Go struct
//! ([`Shape`]): what is absent prints as the zero of its type, and what the struct has not is an error.
//!
//! Invariant: a value taken out of a map or list of anything is wrapped in [`Value::Any`], as Go's is in an interface;
//! that decides some error texts. A pipeline takes the wrapping off.

use super::shape::{Layout, Shape};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A value; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// No value at all: a key that a map has not.
    Invalid,
    /// What an interface holds; nothing is Go's nil.
    Any(Option<Box<Self>>),
    Bool(bool),
    Int(i64, &'static str),
    Uint(u64, &'static str),
    Float(f64),
    /// A text of type `string`.
    Text(Rc<str>),
    /// A number of raw JSON: a text of type `json.Number`.
    Number(Rc<str>),
    /// A list and the shape of what is in it; nothing is a nil slice.
    List(&'static Shape, Option<Rc<[Self]>>),
    /// A map by texts and the shape of what is in it; nothing is a nil map.
    Map(&'static Shape, Option<Rc<BTreeMap<String, Self>>>),
    /// A struct: the values of its fields in their order.
    Struct(&'static Layout, Rc<[Self]>),
    /// A pointer to a struct.
    Pointer(&'static Shape, Option<Box<Self>>),
    /// A row of a listing: its fields are methods of a type with this name.
    Row(&'static str, Rc<BTreeMap<String, Self>>),
    /// The headings of a listing.
    Headings(Rc<BTreeMap<String, Self>>),
}

static ANY: Shape = Shape::Any;

impl Value {
    pub(super) const NIL: Self = Self::Any(None);

    pub(super) fn int(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX), "int")
    }

    /// JSON without a shape: docker's second try, when the struct has not what was asked for.
    pub(crate) fn raw(json: &Json) -> Self {
        match json {
            Json::Null => Self::NIL,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => Self::Number(n.to_string().into()),
            Json::String(s) => Self::Text(s.as_str().into()),
            Json::Array(list) => Self::List(&ANY, Some(list.iter().map(Self::raw).collect())),
            Json::Object(map) => {
                Self::Map(&ANY, Some(Rc::new(map.iter().map(|(k, v)| (k.clone(), Self::raw(v))).collect())))
            }
        }
    }

    /// A row of a listing; `kind` is the Go type that docker's error texts name.
    pub(crate) fn row(kind: &'static str, json: &Json) -> Self {
        let fields = json.as_object().into_iter().flatten();
        let plain = |v: &Json| match v {
            Json::Number(n) => n.as_i64().map_or_else(|| Self::raw(v), |n| Self::Int(n, "int64")),
            // docker's rows have pointers there
            Json::Null => Self::Pointer(&ANY, None),
            other => Self::raw(other),
        };
        Self::Row(kind, Rc::new(fields.map(|(k, v)| (k.clone(), plain(v))).collect()))
    }

    /// The headings of a listing.
    pub(super) fn headings(headings: &[(&str, &str)]) -> Self {
        Self::Headings(Rc::new(headings.iter().map(|(k, v)| ((*k).to_owned(), Self::Text((*v).into()))).collect()))
    }

    /// JSON in the shape of a Go type, as Go's decoder reads it.
    pub(crate) fn shaped(shape: &'static Shape, json: &Json) -> Self {
        match (shape, json) {
            (Shape::Any, Json::Number(n)) => n.as_f64().map_or(Self::NIL, Self::Float),
            (Shape::Any, json) => Self::raw(json),
            (Shape::Bool, json) => Self::Bool(json.as_bool().unwrap_or_default()),
            (Shape::Int(name), json) => Self::Int(json.as_i64().unwrap_or_default(), name),
            (Shape::Uint(name), json) => Self::Uint(json.as_u64().unwrap_or_default(), name),
            (Shape::Text, json) => Self::Text(json.as_str().unwrap_or_default().into()),
            (Shape::List(inner), json) => {
                Self::List(inner, json.as_array().map(|list| list.iter().map(|j| Self::shaped(inner, j)).collect()))
            }
            (Shape::Map(inner), json) => Self::Map(
                inner,
                json.as_object()
                    .map(|map| Rc::new(map.iter().map(|(k, j)| (k.clone(), Self::shaped(inner, j))).collect())),
            ),
            (Shape::Struct(layout), json) => {
                // an embedded struct's members stand among the outer one's
                let member = |f: &super::shape::Field| match f.is_embedded() {
                    true => json,
                    false => json.get(f.key).unwrap_or(&Json::Null),
                };
                Self::Struct(layout, layout.fields.iter().map(|f| Self::shaped(f.shape, member(f))).collect())
            }
            (Shape::Pointer(inner), Json::Null) => Self::Pointer(inner, None),
            (Shape::Pointer(inner), json) => Self::Pointer(inner, Some(Box::new(Self::shaped(inner, json)))),
        }
    }

    /// Takes the wrapping of an interface off; nil becomes no value.
    pub(super) fn bare(self) -> Self {
        match self {
            Self::Any(None) => Self::Invalid,
            Self::Any(Some(inner)) => *inner,
            other => other,
        }
    }

    /// Follows interfaces and pointers to the end; `Err` is the nil it ended in.
    pub(super) fn followed(self) -> Result<Self, Self> {
        match self {
            Self::Any(Some(inner)) | Self::Pointer(_, Some(inner)) => inner.followed(),
            nil @ (Self::Any(None) | Self::Pointer(_, None)) => Err(nil),
            other => Ok(other),
        }
    }

    /// A value as it comes out of a map or list of `shape`.
    pub(super) fn out_of(&self, shape: &Shape) -> Self {
        match (shape, self) {
            (Shape::Any, Self::Any(_)) => self.clone(),
            (Shape::Any, other) => Self::Any(Some(Box::new(other.clone()))),
            (_, other) => other.clone(),
        }
    }

    /// Go's name of its type.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Invalid => "<nil>".into(),
            Self::Any(_) => "interface {}".into(),
            Self::Bool(_) => "bool".into(),
            Self::Int(_, name) | Self::Uint(_, name) => (*name).into(),
            Self::Float(_) => "float64".into(),
            Self::Text(_) => "string".into(),
            Self::Number(_) => "json.Number".into(),
            Self::List(inner, _) => format!("[]{inner}"),
            Self::Map(inner, _) => format!("map[string]{inner}"),
            Self::Struct(layout, _) => layout.name.into(),
            Self::Pointer(inner, _) => format!("*{inner}"),
            Self::Row(name, _) => (*name).into(),
            Self::Headings(_) => "formatter.SubHeaderContext".into(),
        }
    }

    /// Whether `if` takes it for true: not the zero of its kind.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Invalid | Self::Any(None) => false,
            Self::Any(Some(inner)) => inner.is_true(),
            Self::Bool(b) => *b,
            Self::Int(n, _) => *n != 0,
            Self::Uint(n, _) => *n != 0,
            Self::Float(f) => *f != 0.0,
            Self::Text(t) | Self::Number(t) => !t.is_empty(),
            Self::List(_, list) => list.as_ref().is_some_and(|l| !l.is_empty()),
            Self::Map(_, map) => map.as_ref().is_some_and(|m| !m.is_empty()),
            Self::Headings(map) => !map.is_empty(),
            Self::Pointer(_, inner) => inner.is_some(),
            Self::Struct(..) | Self::Row(..) => true,
        }
    }

    /// The field of a struct, also one of an embedded struct.
    pub(super) fn field(layout: &'static Layout, values: &[Self], name: &str) -> Option<Self> {
        for (field, value) in layout.fields.iter().zip(values) {
            if field.name == name {
                return Some(value.clone());
            }
            let inner = match value {
                Self::Struct(inner, values) if field.is_embedded() => Self::field(inner, values, name),
                Self::Pointer(_, Some(inner)) if field.is_embedded() => match &**inner {
                    Self::Struct(inner, values) => Self::field(inner, values, name),
                    _ => None,
                },
                _ => None,
            };
            if inner.is_some() {
                return inner;
            }
        }
        None
    }
}
