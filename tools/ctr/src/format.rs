//! `--format`: the part of Go's templates that people use with docker, on JSON values.
//!
//! ```text
//! {{.Config.Env}}  {{.}}  {{json .RootFS.Layers}}  {{.ID}}\t{{.Names}}  {{upper .State}}  {{len .Layers}}
//! {{index .Config.Labels "a.b"}}  {{join .Config.Cmd " "}}  {{"text"}}  {{.X | json}}   {{- .X -}}
//! ```
//!
//! Values print as Go prints them: `[a b]`, `map[k:v]`, `<nil>`. What is not there is an error that names it.
//! Listings take `table TEMPLATE` and `json` besides a template ([`list`]).

use cli::failure::Failure;
use cli::table::Table;
use serde_json::Value;

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    /// Calls joined by `|`: each gets the value of the one before as its last argument.
    Pipe(Vec<Vec<Term>>),
}

#[derive(Debug, Clone, PartialEq)]
enum Term {
    /// `.A.B`; empty is `.`
    Path(Vec<String>),
    /// A text or a number.
    Literal(Value),
    /// The name of a function.
    Word(String),
}

fn wrong(template: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("template parsing error: {why} in {template:?}"))
        .hint("fields are written {{.Name}} or {{.Outer.Inner}}; {{json .}} shows all there are")
}

impl Template {
    /// Reads a template; `\t` and `\n` in it are the characters they stand for.
    pub(crate) fn parse(source: &str) -> Result<Self, Failure> {
        let text = source.replace("\\t", "\t").replace("\\n", "\n");
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        let mut trim = false;
        loop {
            let (before, action) = match rest.split_once("{{") {
                Some((before, behind)) => (before, Some(behind)),
                None => (rest, None),
            };
            let trim_end = action.is_some_and(|a| a.starts_with("- "));
            let mut plain = if trim { before.trim_start() } else { before };
            if trim_end {
                plain = plain.trim_end();
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(plain.to_owned()));
            }
            let Some(behind) = action else { return Ok(Self(pieces)) };
            let end = end_of_action(behind).ok_or_else(|| wrong(source, "an action is not closed"))?;
            let mut inner = &behind[..end];
            rest = &behind[end + 2..];
            inner = inner.strip_prefix("- ").unwrap_or(inner);
            trim = inner.ends_with(" -");
            inner = inner.strip_suffix(" -").unwrap_or(inner);
            if !inner.trim_start().starts_with("/*") {
                pieces.push(Piece::Pipe(parse_pipe(inner).map_err(|why| wrong(source, why))?));
            }
        }
    }

    /// The text for `value`.
    pub(crate) fn render(&self, value: &Value) -> Result<String, Failure> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Pipe(calls) => {
                    let mut last = None;
                    for call in calls {
                        last = Some(evaluate(call, value, last)?);
                    }
                    show(&last.unwrap_or(Value::Null), true, &mut text);
                }
            }
        }
        Ok(text)
    }

    /// The first fields the actions name: what a table has for columns.
    fn fields(&self) -> Vec<String> {
        let paths = self.0.iter().filter_map(|piece| match piece {
            Piece::Pipe(calls) => calls.iter().flatten().find_map(|term| match term {
                Term::Path(path) => path.first().cloned(),
                _ => None,
            }),
            Piece::Text(_) => None,
        });
        paths.collect()
    }
}

/// Where the `}}` of an action is; one inside quotes does not count.
fn end_of_action(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(b'"'), b'\\') => at += 1,
            (Some(q), b) if b == q => quote = None,
            (None, b @ (b'"' | b'`')) => quote = Some(b),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn parse_pipe(text: &str) -> Result<Vec<Vec<Term>>, String> {
    let mut calls = vec![Vec::new()];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let term;
        (term, rest) = match first {
            '|' => {
                calls.push(Vec::new());
                rest = rest[1..].trim_start();
                continue;
            }
            '"' | '`' => quoted(rest)?,
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == '|').unwrap_or(rest.len());
                (word(&rest[..end])?, &rest[end..])
            }
        };
        if let Some(call) = calls.last_mut() {
            call.push(term);
        }
        rest = rest.trim_start();
    }
    if calls.iter().any(Vec::is_empty) {
        return Err("a value is missing".into());
    }
    Ok(calls)
}

fn quoted(text: &str) -> Result<(Term, &str), String> {
    if let Some(raw) = text.strip_prefix('`') {
        let (inner, rest) = raw.split_once('`').ok_or("a ` is not closed")?;
        return Ok((Term::Literal(inner.into()), rest));
    }
    // Go's quoted strings are JSON's, for all that is used here.
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => {
            let end = values.byte_offset();
            Ok((Term::Literal(value), &text[end..]))
        }
        _ => Err("a \" is not closed".into()),
    }
}

fn word(text: &str) -> Result<Term, String> {
    if let Some(path) = text.strip_prefix('.') {
        let names: Vec<String> = path.split('.').filter(|n| !n.is_empty()).map(str::to_owned).collect();
        let name = |n: &String| n.chars().all(|c| c.is_alphanumeric() || c == '_');
        return if names.iter().all(name) { Ok(Term::Path(names)) } else { Err(format!("bad field {text:?}")) };
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Term::Literal(number.into()));
    }
    match text {
        "json" | "upper" | "lower" | "title" | "len" | "index" | "join" | "split" | "println" | "print" => {
            Ok(Term::Word(text.to_owned()))
        }
        "range" | "if" | "else" | "end" | "with" | "define" | "template" | "block" => {
            Err(format!("{text:?} is not supported yet"))
        }
        _ => Err(format!("function {text:?} not defined")),
    }
}

fn evaluate(call: &[Term], dot: &Value, last: Option<Value>) -> Result<Value, Failure> {
    let value = |term: &Term| match term {
        Term::Path(path) => field(dot, path),
        Term::Literal(value) => Ok(value.clone()),
        Term::Word(name) => Err(Failure::new(format!("template: {name} is a function, not a value"))),
    };
    let Some((Term::Word(name), arguments)) = call.split_first() else {
        // `.Label "key"`: a field of texts that is asked for one of them.
        return match call {
            [one] => value(one),
            [Term::Path(path), Term::Literal(key)] => apply("index", vec![labels(dot, path)?, key.clone()]),
            _ => Err(Failure::new("template: too many values without a function")),
        };
    };
    let mut arguments = arguments.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    arguments.extend(last);
    apply(name, arguments)
}

/// `.Label "key"` looks into `.Labels`.
fn labels(dot: &Value, path: &[String]) -> Result<Value, Failure> {
    match path {
        [one] if one == "Label" => field(dot, &["Labels".to_owned()]),
        other => field(dot, other),
    }
}

fn field(dot: &Value, path: &[String]) -> Result<Value, Failure> {
    let mut at = dot;
    for (i, name) in path.iter().enumerate() {
        at = at.get(name).ok_or_else(|| {
            let all = path[..=i].join(".");
            let failure = Failure::new(format!("template: no field .{all}"));
            match at {
                Value::Object(map) => {
                    failure.hint(format!("there are {}", map.keys().map(String::as_str).collect::<Vec<_>>().join(", ")))
                }
                _ => failure,
            }
        })?;
    }
    Ok(at.clone())
}

fn apply(name: &str, arguments: Vec<Value>) -> Result<Value, Failure> {
    let bad = || Failure::new(format!("template: {name} cannot be used with these values"));
    let text = |value: &Value| {
        let mut shown = String::new();
        show(value, true, &mut shown);
        shown
    };
    Ok(match (name, arguments.as_slice()) {
        ("json", [value]) => value.to_string().into(),
        ("upper", [value]) => text(value).to_uppercase().into(),
        ("lower", [value]) => text(value).to_lowercase().into(),
        ("title", [value]) => title(&text(value)).into(),
        ("len", [Value::Array(list)]) => list.len().into(),
        ("len", [Value::Object(map)]) => map.len().into(),
        ("len", [Value::String(text)]) => text.len().into(),
        ("len", [Value::Null]) => 0.into(),
        ("index", [value]) => value.clone(),
        ("index", [value, key, more @ ..]) => {
            let inner = match (value, key) {
                (Value::Object(map), Value::String(key)) => {
                    map.get(key).cloned().unwrap_or(Value::String(String::new()))
                }
                (Value::Null, Value::String(_)) => Value::String(String::new()),
                (Value::Array(list), Value::Number(at)) => {
                    let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
                    at.and_then(|at| list.get(at))
                        .cloned()
                        .ok_or_else(|| Failure::new("template: index out of range"))?
                }
                _ => return Err(bad()),
            };
            let mut next = vec![inner];
            next.extend_from_slice(more);
            return apply("index", next);
        }
        ("join", [Value::Array(list), Value::String(between)]) => {
            list.iter().map(text).collect::<Vec<_>>().join(between).into()
        }
        ("join", [Value::Null, Value::String(_)]) => "".into(),
        ("split", [Value::String(whole), Value::String(at)]) => {
            whole.split(at.as_str()).map(Value::from).collect::<Vec<_>>().into()
        }
        ("print", values) => values.iter().map(text).collect::<String>().into(),
        ("println", values) => (values.iter().map(text).collect::<Vec<_>>().join(" ") + "\n").into(),
        _ => return Err(bad()),
    })
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .flat_map(|c| {
            let upper = start && c.is_alphabetic();
            start = c.is_whitespace();
            if upper { c.to_uppercase().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

/// Prints as Go's `%v`.
fn show(value: &Value, outermost: bool, text: &mut String) {
    match value {
        Value::Null if outermost => text.push_str("<no value>"),
        Value::Null => text.push_str("<nil>"),
        Value::String(plain) => text.push_str(plain),
        Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
        Value::Array(list) => {
            text.push('[');
            for (i, one) in list.iter().enumerate() {
                if i > 0 {
                    text.push(' ');
                }
                show(one, false, text);
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            text.push_str("map[");
            for (i, (key, one)) in entries.into_iter().enumerate() {
                if i > 0 {
                    text.push(' ');
                }
                text.push_str(key);
                text.push(':');
                show(one, false, text);
            }
            text.push(']');
        }
    }
}

/// A listing: `rows` by `--format`, which is a template, `table TEMPLATE`, `table`, `json`, or nothing: then `standard`
/// (a template) as a table. `headings` says what a field is called at the head of a column.
pub(crate) fn list(
    format: Option<&str>,
    standard: &str,
    headings: &[(&str, &str)],
    rows: &[Value],
) -> Result<String, Failure> {
    let format = format.unwrap_or("table").trim_start();
    if format == "json" {
        return Ok(rows.iter().map(|row| format!("{row}\n")).collect());
    }
    if format != "table" && !format.starts_with("table ") && !format.starts_with("table\\t") {
        let template = Template::parse(format)?;
        return rows.iter().map(|row| Ok(template.render(row)? + "\n")).collect();
    }
    let source = format["table".len()..].trim_start();
    let template = Template::parse(if source.is_empty() { standard } else { source })?;
    let head: serde_json::Map<String, Value> = headings.iter().map(|(f, h)| ((*f).to_owned(), (*h).into())).collect();
    for field in template.fields() {
        if !head.contains_key(&field) {
            let known: Vec<&str> = headings.iter().map(|(field, _)| *field).collect();
            return Err(
                Failure::new(format!("template: no field .{field}")).hint(format!("there are {}", known.join(", ")))
            );
        }
    }
    let cells = |text: String| text.split('\t').map(str::to_owned).collect::<Vec<_>>();
    let mut table = Table::new(cells(template.render(&Value::Object(head))?));
    for row in rows {
        table.push(cells(template.render(row)?));
    }
    Ok(table.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(template: &str, value: &Value) -> String {
        Template::parse(template).and_then(|t| t.render(value)).unwrap_or_else(|f| format!("! {}", f.message))
    }

    #[test]
    fn fields_functions_and_pipes() {
        let value = json!({
            "Id": "sha256:1", "N": 3, "Ok": true, "Nothing": null, "Empty": "",
            "Config": {"Env": ["A=1", "B=2"], "Labels": {"b": "2", "a.b": "1"}},
        });
        for (template, want) in [
            ("{{.Id}}", "sha256:1"),
            ("{{ .Id }}/{{.N}}/{{.Ok}}/{{.Empty}}", "sha256:1/3/true/"),
            (r"{{.Id}}\t{{.N}}\n", "sha256:1\t3\n"),
            ("{{.Config.Env}}", "[A=1 B=2]"),
            ("{{.Config.Labels}}", "map[a.b:1 b:2]"),
            ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
            ("{{.Config.Env | json}}", r#"["A=1","B=2"]"#),
            ("{{json .Nothing}}", "null"),
            ("{{.Nothing}}", "<no value>"),
            ("{{index .Config.Labels \"a.b\"}}", "1"),
            ("{{index .Config.Env 1}}", "B=2"),
            ("{{join .Config.Env \", \"}}", "A=1, B=2"),
            ("{{len .Config.Env}}", "2"),
            ("{{upper .Id}} {{\"}}\"}} {{`x`}}", "SHA256:1 }} x"),
            ("{{title \"hello world\"}}", "Hello World"),
            ("a {{- .N -}} b", "a3b"),
            ("plain", "plain"),
            ("{{/* nothing */}}x", "x"),
        ] {
            assert_eq!(shown(template, &value), want, "{template}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let value = json!({"Id": "1", "Config": {"A": 1}});
        assert_eq!(shown("{{.Config.B}}", &value), "! template: no field .Config.B");
        assert_eq!(shown("{{.Id", &value), "! template parsing error: an action is not closed in \"{{.Id\"");
        assert_eq!(
            shown("{{foo .Id}}", &value),
            "! template parsing error: function \"foo\" not defined in \"{{foo .Id}}\""
        );
        assert_eq!(shown("{{}}", &value), "! template parsing error: a value is missing in \"{{}}\"");
        let failure = Template::parse("{{.Config.B}}").unwrap().render(&value).unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some("there are A"));
    }

    #[test]
    fn listings() {
        let rows = [json!({"ID": "1", "Name": "a"}), json!({"ID": "22", "Name": "b"})];
        let headings = [("ID", "IMAGE ID"), ("Name", "NAME")];
        let standard = r"{{.ID}}\t{{.Name}}";
        let got = |format| list(format, standard, &headings, &rows).unwrap_or_else(|f| f.message);
        assert_eq!(got(None), "IMAGE ID   NAME\n1          a\n22         b\n");
        assert_eq!(got(Some("table {{.Name}}")), "NAME\na\nb\n");
        assert_eq!(got(Some("{{.Name}}={{.ID}}")), "a=1\nb=22\n");
        assert_eq!(got(Some("json")), "{\"ID\":\"1\",\"Name\":\"a\"}\n{\"ID\":\"22\",\"Name\":\"b\"}\n");
        assert_eq!(got(Some("table {{.Nope}}")), "template: no field .Nope");
    }
}
