//! Our engine beside Go's: `recorded.jsonl` is what Go said (`recorded/record.go` makes it).
//!
//! `VENEER_TEMPLATES=FILE cargo test -p ctr recorded` compares with another recording, of many random templates.

use super::shape::{Layout, Shape, of};
use super::{Value, parse, run};
use serde_json::Value as Json;

const DATA: &str = r#"{"Text":"héllo wörld","Count":3,"Big":-7,"Small":80,"Ratio":2.5,"Ok":true,"List":["a","b","c"],"Nums":[1,2,3],
"None":[],"Labels":{"b":"2","a.b":"1"},"Inner":{"A":"x","B":1},"Nil":null,"Any":"any","Many":[{"A":"m","B":1},{"A":"n","B":2}],
"Mixed":[1,"x",null,true,{"k":[1,2]}],"Html":"<a href=\"x\">'&'</a>\n=é","Ptr":{"A":"y","B":2}}"#;

static INNER: Shape =
    Shape::Struct(&Layout { name: "main.Inner", fields: &[of("A", &Shape::Text), of("B", &Shape::Int("int"))] });

static PROBE: Shape = Shape::Struct(&Layout {
    name: "main.Probe",
    fields: &[
        of("Text", &Shape::Text),
        of("Count", &Shape::Int("int")),
        of("Big", &Shape::Int("int64")),
        of("Small", &Shape::Uint("uint16")),
        of("Ratio", &Shape::Any),
        of("Ok", &Shape::Bool),
        of("List", &Shape::List(&Shape::Text)),
        of("Nums", &Shape::List(&Shape::Int("int"))),
        of("None", &Shape::List(&Shape::Text)),
        of("Labels", &Shape::Map(&Shape::Text)),
        of("NilMap", &Shape::Map(&Shape::Text)),
        of("Inner", &INNER),
        of("Ptr", &Shape::Pointer(&INNER)),
        of("NilPtr", &Shape::Pointer(&INNER)),
        of("Any", &Shape::Any),
        of("Nil", &Shape::Any),
        of("Many", &Shape::List(&INNER)),
        of("Ptrs", &Shape::Map(&Shape::Pointer(&INNER))),
    ],
});

/// The struct as record.go fills it.
fn probe(data: &Json) -> Value {
    let mut data = data.clone();
    data["Ptrs"] = serde_json::json!({ "one": { "A": "p", "B": 1 } });
    data["None"] = Json::Null;
    let mut value = Value::shaped(&PROBE, &data);
    if let Value::Struct(_, fields) = &mut value {
        let with = |(i, v): (usize, &Value)| match (i, v) {
            (14, Value::Text(_)) => Value::Any(Some(Box::new(v.clone()))),
            _ => v.clone(),
        };
        *fields = fields.iter().enumerate().map(with).collect();
    }
    value
}

fn ours(template: &str, value: &Value, strict: bool) -> Result<String, String> {
    parse::parse(template).and_then(|set| run::run(template, &set, value, strict))
}

#[test]
fn as_go_does() {
    let lines = match std::env::var_os("VENEER_TEMPLATES") {
        Some(path) => std::fs::read_to_string(path).expect("the recording can be read"),
        None => include_str!("recorded/recorded.jsonl").to_owned(),
    };
    let data: Json = serde_json::from_str(DATA).expect("the data is JSON");
    let (raw, shaped) = (Value::raw(&data), probe(&data));
    let (mut count, mut wrong) = (0, Vec::new());
    for line in lines.lines() {
        let line: Json = serde_json::from_str(line).expect("a line is JSON");
        let template = line["template"].as_str().unwrap_or_default();
        let is_raw = line["data"] == "raw";
        let want = match line["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(line["text"].as_str().unwrap_or_default().to_owned()),
        };
        let got = ours(template, if is_raw { &raw } else { &shaped }, is_raw);
        count += 1;
        if got != want {
            wrong.push(format!("{template:?} on {}\n  go   {want:?}\n  ours {got:?}", line["data"]));
        }
    }
    assert!(count > 500, "only {count} templates");
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
}

#[test]
fn nesting_has_an_end() {
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(ours(&deep, &Value::NIL, false).is_err_and(|e| e.ends_with("max expression depth exceeded")));
    let ifs = format!("{}{}", "{{if 1}}".repeat(5000), "{{end}}".repeat(5000));
    assert!(ours(&ifs, &Value::NIL, false).is_err());
    let round = ours(r#"{{define "a"}}{{template "a"}}{{end}}{{template "a"}}"#, &Value::NIL, false);
    assert!(round.is_err_and(|e| e.contains("exceeded maximum template depth")));
}
