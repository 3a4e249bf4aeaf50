//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`: Go compares only what is of the same kind; whole numbers of any sign are.

use super::value::Value;
use super::{json, print};
use std::cmp::Ordering;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Basic {
    Bool,
    Whole,
    Float,
    Text,
    Other,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Bool(_) => Basic::Bool,
        Value::Int(..) | Value::Uint(..) => Basic::Whole,
        Value::Float(_) => Basic::Float,
        Value::Text(_) | Value::Number(_) => Basic::Text,
        _ => Basic::Other,
    }
}

/// The order of two values of one basic kind.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    let whole = |v: &Value| match v {
        Value::Int(n, _) => i128::from(*n),
        Value::Uint(n, _) => i128::from(*n),
        _ => 0,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a) | Value::Number(a), Value::Text(b) | Value::Number(b)) => Some(a.cmp(b)),
        _ => Some(whole(a).cmp(&whole(b))),
    }
}

fn is_nil(value: &Value) -> bool {
    matches!(
        value,
        Value::Invalid | Value::Any(None) | Value::List(_, None) | Value::Map(_, None) | Value::Pointer(_, None)
    )
}

/// Go compares structs member by member, and lists and maps not at all.
fn is_comparable(value: &Value) -> bool {
    match value {
        Value::List(..) | Value::Map(..) => false,
        Value::Struct(_, values) => values.iter().all(is_comparable),
        _ => true,
    }
}

fn incompatible(a: &Value, b: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", a.kind(), b.kind())
}

/// Whether `first` equals one of `others`.
pub(super) fn equal(first: Value, others: &[Value]) -> Result<bool, String> {
    let first = first.bare();
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        let other = other.clone().bare();
        let same = match (basic(&first), basic(&other)) {
            (a, b) if a != b => {
                if !matches!(first, Value::Invalid) && !matches!(other, Value::Invalid) {
                    return Err(incompatible(&first, &other));
                }
                false
            }
            (Basic::Other, _) => {
                let kinds = std::mem::discriminant(&first) == std::mem::discriminant(&other);
                if !kinds && !matches!(first, Value::Invalid) && !matches!(other, Value::Invalid) {
                    return Err(format!(
                        "non-comparable types {}: {}, {}: {}",
                        print::as_text(&first),
                        first.kind(),
                        other.kind(),
                        print::plain(&other)
                    ));
                }
                match is_nil(&first) || is_nil(&other) {
                    true => is_nil(&first) == is_nil(&other),
                    false if !is_comparable(&other) => {
                        return Err(format!("non-comparable type {}: {}", print::as_text(&other), other.kind()));
                    }
                    false => first.kind() == other.kind() && json::compact(&first) == json::compact(&other),
                }
            }
            _ => order(&first, &other) == Some(Ordering::Equal),
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `a` is less than `b`.
pub(super) fn less(a: Value, b: Value) -> Result<bool, String> {
    let (a, b) = (a.bare(), b.bare());
    match (basic(&a), basic(&b)) {
        (Basic::Other, _) | (_, Basic::Other) => Err("invalid type for comparison".into()),
        (a_kind, b_kind) if a_kind != b_kind => Err(incompatible(&a, &b)),
        (Basic::Bool, _) => Err("invalid type for comparison".into()),
        _ => Ok(order(&a, &b) == Some(Ordering::Less)),
    }
}

/// Whether `a` is less than or equals `b`.
pub(super) fn at_most(a: Value, b: Value) -> Result<bool, String> {
    Ok(less(a.clone(), b.clone())? || equal(a, &[b])?)
}
