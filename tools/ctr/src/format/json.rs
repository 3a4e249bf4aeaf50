//! Values as JSON, as Go's encoder writes them: struct members in their order, maps by key, no HTML escapes.

use super::shape::Shape;
use super::value::Value;
use serde_json::Value as Json;
use std::fmt::Write;

/// Without blanks: the function `json`.
pub(super) fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(value, None, &mut out);
    out
}

/// Raw JSON with its members in the order of a Go type, what the type has not behind them: docker's `inspect`. With a
/// depth each member is on a line of its own, indented by four blanks a level.
pub(crate) fn ordered(json: &Json, shape: &Shape, depth: Option<usize>) -> String {
    let mut out = String::new();
    write_ordered(json, shape, depth, &mut out);
    out
}

fn write_ordered(json: &Json, shape: &Shape, depth: Option<usize>, out: &mut String) {
    match (json, shape) {
        (json, Shape::Pointer(inner)) => write_ordered(json, inner, depth, out),
        (Json::Object(map), shape) => {
            let mut keys = Vec::new();
            names(shape, &mut keys);
            let known: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
            let extra = map.keys().filter(|key| !known.contains(&key.as_str()));
            let inner = if let Shape::Map(inner) = shape { *inner } else { &Shape::Any };
            let keys: Vec<(&str, &Shape)> = keys.into_iter().chain(extra.map(|key| (key.as_str(), inner))).collect();
            let mut members = Members::new(['{', '}'], depth);
            for (key, shape) in keys {
                if let Some(one) = map.get(key) {
                    members.key(key, out);
                    write_ordered(one, shape, members.inner(), out);
                }
            }
            members.end(out);
        }
        (Json::Array(list), shape) => {
            let inner = if let Shape::List(inner) = shape { *inner } else { &Shape::Any };
            let mut members = Members::new(['[', ']'], depth);
            for one in list {
                members.start(out);
                write_ordered(one, inner, members.inner(), out);
            }
            members.end(out);
        }
        (json, _) => write(&Value::raw(json), None, out),
    }
}

/// The members of a struct in their order, also of what is embedded in it.
fn names(shape: &Shape, keys: &mut Vec<(&'static str, &'static Shape)>) {
    match shape {
        Shape::Pointer(inner) => names(inner, keys),
        Shape::Struct(layout) => {
            for field in layout.fields {
                match field.is_embedded() {
                    true => names(field.shape, keys),
                    false => keys.push((field.key, field.shape)),
                }
            }
        }
        _ => {}
    }
}

/// Go's text in JSON: as serde's, but for the two line ends of JavaScript and the two control characters it names.
fn text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn number(f: f64) -> String {
    if f != 0.0 && (f.abs() < 1e-6 || f.abs() >= 1e21) { format!("{f:e}") } else { format!("{f}") }
}

/// What JSON leaves out of a struct where it may.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Struct(..) => false,
        other => !other.is_true(),
    }
}

fn write(value: &Value, depth: Option<usize>, out: &mut String) {
    match value {
        Value::Invalid | Value::Any(None) | Value::Pointer(_, None) | Value::List(_, None) | Value::Map(_, None) => {
            out.push_str("null");
        }
        Value::Any(Some(inner)) | Value::Pointer(_, Some(inner)) => write(inner, depth, out),
        Value::Bool(b) => drop(write!(out, "{b}")),
        Value::Int(n, _) => drop(write!(out, "{n}")),
        Value::Uint(n, _) => drop(write!(out, "{n}")),
        Value::Float(f) => out.push_str(&number(*f)),
        Value::Number(n) => out.push_str(n),
        Value::Text(t) => text(t, out),
        Value::List(_, Some(list)) => {
            let mut members = Members::new(['[', ']'], depth);
            for one in list.iter() {
                members.start(out);
                write(one, members.inner(), out);
            }
            members.end(out);
        }
        Value::Map(_, Some(map)) | Value::Row(_, map) | Value::Headings(map) => {
            let mut members = Members::new(['{', '}'], depth);
            // a row's `Label` is what `.Label "key"` looks into
            let hidden = matches!(value, Value::Row(..));
            for (key, one) in map.iter().filter(|(key, _)| !hidden || *key != "Label") {
                members.key(key, out);
                write(one, members.inner(), out);
            }
            members.end(out);
        }
        Value::Struct(..) => {
            let mut members = Members::new(['{', '}'], depth);
            fields(value, &mut members, out);
            members.end(out);
        }
    }
}

fn fields(value: &Value, members: &mut Members, out: &mut String) {
    let Value::Struct(layout, values) = value else { return };
    for (field, one) in layout.fields.iter().zip(values.iter()) {
        match one {
            Value::Pointer(_, Some(inner)) if field.is_embedded() => fields(inner, members, out),
            _ if field.is_embedded() => fields(one, members, out),
            _ if field.optional && is_empty(one) => {}
            _ => {
                members.key(field.key, out);
                write(one, members.inner(), out);
            }
        }
    }
}

/// The members of a list or object while they are written.
struct Members {
    brackets: [char; 2],
    depth: Option<usize>,
    any: bool,
}

impl Members {
    fn new(brackets: [char; 2], depth: Option<usize>) -> Self {
        Self { brackets, depth, any: false }
    }

    fn inner(&self) -> Option<usize> {
        self.depth.map(|d| d + 1)
    }

    fn line(depth: Option<usize>, out: &mut String) {
        if let Some(depth) = depth {
            out.push('\n');
            out.extend(std::iter::repeat_n("    ", depth));
        }
    }

    fn start(&mut self, out: &mut String) {
        out.push(if self.any { ',' } else { self.brackets[0] });
        self.any = true;
        Self::line(self.inner(), out);
    }

    fn key(&mut self, key: &str, out: &mut String) {
        self.start(out);
        text(key, out);
        out.push(':');
        if self.depth.is_some() {
            out.push(' ');
        }
    }

    fn end(&self, out: &mut String) {
        if self.any {
            Self::line(self.depth, out);
        } else {
            out.push(self.brackets[0]);
        }
        out.push(self.brackets[1]);
    }
}
