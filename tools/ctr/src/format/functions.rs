//! The functions of templates: Go's own, and docker's `json join split lower upper title pad truncate`.

use super::value::Value;
use super::{compare, json, print, quote};

/// What a function takes for a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Anything,
    Text,
    Int,
}

/// A function: its parameters, what further ones are, and its body.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) fixed: &'static [Wants],
    pub(super) more: Option<Wants>,
    pub(super) body: fn(Vec<Value>) -> Result<Value, String>,
}

use Wants::{Anything, Int, Text};

const fn of(
    name: &'static str,
    fixed: &'static [Wants],
    more: Option<Wants>,
    body: fn(Vec<Value>) -> Result<Value, String>,
) -> Function {
    Function { name, fixed, more, body }
}

static ALL: [Function; 30] = [
    // `and` and `or` stop at what decides them: they are evaluated where they are called.
    of("and", &[Anything], Some(Anything), |_| Ok(Value::Invalid)),
    of("or", &[Anything], Some(Anything), |_| Ok(Value::Invalid)),
    of("not", &[Anything], None, |a| Ok(Value::Bool(!one(a)?.is_true()))),
    of("call", &[Anything], Some(Anything), |a| match one(a)?.bare() {
        Value::Invalid => Err("call of nil".into()),
        other => Err(format!("non-function of type {}", other.kind())),
    }),
    of("html", &[], Some(Anything), |a| Ok(texts(&a, quote::html))),
    of("js", &[], Some(Anything), |a| Ok(texts(&a, quote::js))),
    of("urlquery", &[], Some(Anything), |a| Ok(texts(&a, quote::url))),
    of("index", &[Anything], Some(Anything), index),
    of("slice", &[Anything], Some(Anything), slice),
    of("len", &[Anything], None, |a| length(one(a)?)),
    of("print", &[], Some(Anything), |a| Ok(Value::Text(print::print(&a).into()))),
    of("println", &[], Some(Anything), |a| Ok(Value::Text(print::println(&a).into()))),
    of("printf", &[Text], Some(Anything), |a| Ok(Value::Text(print::printf(&text(&a, 0), &a[1..]).into()))),
    of("eq", &[Anything], Some(Anything), |mut a| {
        let first = a.remove(0);
        Ok(Value::Bool(compare::equal(first, &a)?))
    }),
    of("ne", &[Anything, Anything], None, |a| {
        let [a, b] = two(a)?;
        Ok(Value::Bool(!compare::equal(a, &[b])?))
    }),
    of("lt", &[Anything, Anything], None, |a| two(a).and_then(|[a, b]| Ok(Value::Bool(compare::less(a, b)?)))),
    of("le", &[Anything, Anything], None, |a| two(a).and_then(|[a, b]| Ok(Value::Bool(compare::at_most(a, b)?)))),
    of("gt", &[Anything, Anything], None, |a| two(a).and_then(|[a, b]| Ok(Value::Bool(!compare::at_most(a, b)?)))),
    of("ge", &[Anything, Anything], None, |a| two(a).and_then(|[a, b]| Ok(Value::Bool(!compare::less(a, b)?)))),
    of("json", &[Anything], None, |a| Ok(Value::Text(json::compact(&one(a)?).into()))),
    of("join", &[Anything, Text], None, join),
    of("split", &[Text, Text], None, split),
    of("lower", &[Text], None, |a| Ok(Value::Text(text(&a, 0).to_lowercase().into()))),
    of("upper", &[Text], None, |a| Ok(Value::Text(text(&a, 0).to_uppercase().into()))),
    of("title", &[Text], None, |a| Ok(Value::Text(title(&text(&a, 0)).into()))),
    of("pad", &[Text, Int, Int], None, pad),
    of("truncate", &[Text, Int], None, truncate),
    // In the heading of a table these leave the name of the column as it is.
    of("heading", &[Anything], None, one),
    of("heading2", &[Anything, Int], None, |mut a| Ok(a.swap_remove(0))),
    of("heading3", &[Anything, Text], None, |mut a| Ok(a.swap_remove(0))),
];

/// Whether a template may call it.
pub(super) fn is_known(name: &str) -> bool {
    !name.starts_with("heading") && ALL.iter().any(|f| f.name == name)
}

/// The function of this name; in headings some do nothing.
pub(super) fn find(name: &str, heading: bool) -> Option<&'static Function> {
    let name = match name {
        "json" | "title" | "lower" | "upper" if heading => "heading",
        "truncate" if heading => "heading2",
        "split" | "join" if heading => "heading3",
        other => other,
    };
    ALL.iter().find(|f| f.name == name)
}

fn one(arguments: Vec<Value>) -> Result<Value, String> {
    arguments.into_iter().next().ok_or_else(|| "a value is missing".into())
}

fn two(arguments: Vec<Value>) -> Result<[Value; 2], String> {
    <[Value; 2]>::try_from(arguments).map_err(|_| "two values are wanted".into())
}

fn text(arguments: &[Value], at: usize) -> String {
    match arguments.get(at) {
        Some(Value::Text(text)) => text.to_string(),
        _ => String::new(),
    }
}

fn int(arguments: &[Value], at: usize) -> i64 {
    match arguments.get(at) {
        Some(Value::Int(n, _)) => *n,
        _ => 0,
    }
}

/// One escaped text of all values.
fn texts(arguments: &[Value], escape: fn(&str) -> String) -> Value {
    let followed: Vec<Value> = arguments
        .iter()
        .map(|a| match a {
            Value::Invalid | Value::Any(None) => Value::Text("<no value>".into()),
            Value::Pointer(_, Some(inner)) => (**inner).clone(),
            other => other.clone(),
        })
        .collect();
    Value::Text(escape(&print::print(&followed)).into())
}

fn position(index: Value, most: usize) -> Result<usize, String> {
    let at = match index.bare() {
        Value::Int(n, _) => i128::from(n),
        Value::Uint(n, _) => i128::from(n),
        Value::Invalid => return Err("cannot index slice/array with nil".into()),
        other => return Err(format!("cannot index slice/array with type {}", other.kind())),
    };
    usize::try_from(at).ok().filter(|at| *at <= most).ok_or_else(|| format!("index out of range: {at}"))
}

fn index(mut arguments: Vec<Value>) -> Result<Value, String> {
    let mut item = arguments.remove(0).bare();
    if matches!(item, Value::Invalid) {
        return Err("index of untyped nil".into());
    }
    for key in arguments {
        let at = item.followed().map_err(|_| "index of nil pointer")?;
        item = match &at {
            Value::Text(text) | Value::Number(text) => {
                let x = position(key, text.len())?;
                let byte = text.as_bytes().get(x);
                Value::Uint(u64::from(*byte.ok_or("reflect: string index out of range")?), "uint8")
            }
            Value::List(shape, list) => {
                let list = list.as_deref().unwrap_or_default();
                let x = position(key, list.len())?;
                list.get(x).ok_or("reflect: slice index out of range")?.out_of(shape)
            }
            Value::Map(shape, map) => match key.bare() {
                Value::Text(key) => match map.as_ref().and_then(|m| m.get(&*key)) {
                    Some(found) => found.out_of(shape),
                    None => Value::shaped(shape, &serde_json::Value::Null),
                },
                Value::Invalid => return Err("value is nil; should be of type string".into()),
                other => return Err(format!("value has type {}; should be string", other.kind())),
            },
            other => return Err(format!("can't index item of type {}", other.kind().trim_start_matches('*'))),
        };
    }
    Ok(item)
}

fn slice(mut arguments: Vec<Value>) -> Result<Value, String> {
    let item = arguments.remove(0).bare();
    if matches!(item, Value::Invalid) {
        return Err("slice of untyped nil".into());
    }
    let item = item.followed().map_err(|_| "slice of nil pointer")?;
    if arguments.len() > 3 {
        return Err(format!("too many slice indexes: {}", arguments.len()));
    }
    let length = match &item {
        Value::Text(_) | Value::Number(_) if arguments.len() == 3 => {
            return Err("cannot 3-index slice a string".into());
        }
        Value::Text(text) | Value::Number(text) => text.len(),
        Value::List(_, list) => list.as_deref().unwrap_or_default().len(),
        other => return Err(format!("can't slice item of type {}", other.kind())),
    };
    let mut bounds = [0, length, length];
    for (place, key) in bounds.iter_mut().zip(arguments) {
        if matches!(key, Value::Any(_)) {
            return Err("cannot index slice/array with type interface {}".into());
        }
        *place = position(key, length)?;
    }
    for (from, to) in [(bounds[0], bounds[1]), (bounds[1], bounds[2])] {
        if from > to {
            return Err(format!("invalid slice index: {from} > {to}"));
        }
    }
    let range = bounds[0]..bounds[1];
    Ok(match &item {
        Value::List(shape, list) => Value::List(shape, list.as_ref().map(|l| l[range].into())),
        Value::Text(text) => Value::Text(String::from_utf8_lossy(&text.as_bytes()[range]).into_owned().into()),
        Value::Number(text) => Value::Number(String::from_utf8_lossy(&text.as_bytes()[range]).into_owned().into()),
        other => other.clone(),
    })
}

fn length(value: Value) -> Result<Value, String> {
    if matches!(value, Value::Invalid) {
        return Err("reflect: call of reflect.Value.Type on zero Value".into());
    }
    let length = match value.followed().map_err(|_| "len of nil pointer")? {
        Value::Text(text) | Value::Number(text) => text.len(),
        Value::List(_, list) => list.map_or(0, |l| l.len()),
        Value::Map(_, map) => map.map_or(0, |m| m.len()),
        Value::Headings(map) => map.len(),
        other => return Err(format!("len of type {}", other.kind().trim_start_matches('*'))),
    };
    Ok(Value::int(length))
}

fn join(arguments: Vec<Value>) -> Result<Value, String> {
    let between = text(&arguments, 1);
    let parts: Vec<String> = match one(arguments)?.bare() {
        Value::Invalid => Vec::new(),
        Value::List(_, list) => list.iter().flat_map(|l| l.iter()).map(print::plain).collect(),
        Value::Map(_, map) => map.iter().flat_map(|m| m.values()).map(print::plain).collect(),
        other => return Err(format!("expected slice, got {}", other.kind())),
    };
    Ok(Value::Text(parts.join(&between).into()))
}

fn split(arguments: Vec<Value>) -> Result<Value, String> {
    static TEXT: super::shape::Shape = super::shape::Shape::Text;
    let (all, at) = (text(&arguments, 0), text(&arguments, 1));
    let parts: Vec<Value> = match at.is_empty() {
        true => all.chars().map(|c| Value::Text(c.to_string().into())).collect(),
        false => all.split(&at).map(|part| Value::Text(part.into())).collect(),
    };
    Ok(Value::List(&TEXT, Some(parts.into())))
}

/// Go's old `strings.Title`: a letter behind what is no letter, digit or underscore is made big.
fn title(text: &str) -> String {
    let mut before = ' ';
    let mut out = String::new();
    for c in text.chars() {
        let start =
            if before.is_ascii() { !before.is_ascii_alphanumeric() && before != '_' } else { before.is_whitespace() };
        match start {
            true => out.extend(c.to_uppercase()),
            false => out.push(c),
        }
        before = c;
    }
    out
}

fn pad(arguments: Vec<Value>) -> Result<Value, String> {
    let source = text(&arguments, 0);
    if source.is_empty() {
        return Ok(Value::Text("".into()));
    }
    let blanks = |at| usize::try_from(int(&arguments, at)).map_err(|_| "strings: negative Repeat count".to_owned());
    Ok(Value::Text([" ".repeat(blanks(1)?), source, " ".repeat(blanks(2)?)].concat().into()))
}

fn truncate(arguments: Vec<Value>) -> Result<Value, String> {
    let (source, length) = (text(&arguments, 0), int(&arguments, 1));
    let end = usize::try_from(length).map_err(|_| format!("runtime error: slice bounds out of range [:{length}]"))?;
    let cut = &source.as_bytes()[..end.min(source.len())];
    Ok(Value::Text(String::from_utf8_lossy(cut).into_owned().into()))
}
