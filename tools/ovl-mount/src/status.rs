//! `ovl-mount status`: what a server says of itself, as lines or as JSON.

use crate::cli::StatusArgs;
use cli::failure::Outcome;
use cli::{Failure, exit, human, output};
use overlay::control::{self, Request};
use overlay::mounts::{self, Entry};
use serde_json::{Map, Value};
use std::io::ErrorKind;
use std::path::Path;

pub(crate) fn run(args: &StatusArgs) -> Outcome {
    let mounted = mounts::at(&args.target)?;
    let answer = match &mounted {
        Some(entry) if !entry.is_served() => None,
        _ => control::ask(&args.target, &Request::Status)?,
    };
    let mut answer = match answer {
        Some(Value::Object(answer)) => answer,
        _ => of_the_kernel(&args.target, mounted.as_ref())?,
    };
    if let Some(mounted) = &mounted {
        answer.insert("read_only".into(), mounted.mount_options.split(',').any(|word| word == "ro").into());
    }
    let written = if args.json { output::json_line(&answer) } else { output::write(lines(&answer).as_bytes()) };
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(spec::Error::new((), "write to", "stdout").because(e).into())
        }
        _ => Ok(exit::DONE),
    }
}

/// The kernel's overlay has nobody to ask; its own table says a little.
fn of_the_kernel(target: &Path, mounted: Option<&Entry>) -> Result<Map<String, Value>, Failure> {
    let failed = |why: &'static str| Failure::from(spec::Error::new((), "status of", target.display()).because(why));
    match mounted {
        None => Err(failed("nothing is mounted there").hint("name a mount point, or the socket of --control")),
        Some(entry) if entry.kind == "overlay" => {
            let mut known = Map::new();
            known.insert("mount_point".into(), entry.mount_point.display().to_string().into());
            known.insert("driver".into(), "kernel".into());
            known.insert("source".into(), entry.source.clone().into());
            let options = entry.file_system_options.split(',').map(Value::from);
            known.insert("options".into(), options.collect::<Vec<_>>().into());
            Ok(known)
        }
        Some(entry) if entry.kind.starts_with("fuse") => Err(failed("no server answers")
            .hint("its server is dead, is not ovl-mount, or listens in another network namespace (--control PATH)")),
        Some(_) => Err(failed("what is mounted there is no overlay")),
    }
}

/// A line for each thing, a name before it.
fn lines(answer: &Map<String, Value>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<13}{value}\n"));
    for (name, title) in [
        ("mount_point", "mount point"),
        ("driver", "driver"),
        ("pid", "pid"),
        ("source", "source"),
        ("lower", "lower"),
        ("data", "data"),
        ("upper", "upper"),
        ("work", "work"),
        ("options", "options"),
        ("read_only", "read-only"),
        ("seconds", "up"),
        ("statistics", "statistics"),
        ("log", "log"),
    ] {
        match answer.get(name) {
            None => {}
            Some(Value::Array(values)) if name == "options" => {
                let words: Vec<_> = values.iter().map(plain).collect();
                line(title, if words.is_empty() { "none".into() } else { words.join(",") });
            }
            Some(Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    line(if index == 0 { title } else { "" }, plain(value));
                }
            }
            Some(Value::Object(numbers)) => {
                for (name, number) in numbers {
                    match number {
                        Value::Object(inner) => {
                            for (inner_name, number) in inner {
                                line(name, format!("{inner_name} {}", plain(number)));
                            }
                        }
                        number => line(name, plain(number)),
                    }
                }
            }
            Some(Value::Number(seconds)) if name == "seconds" => {
                line(title, human::duration(seconds.as_i64().unwrap_or_default()));
            }
            Some(value) => line(title, plain(value)),
        }
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_thing() {
        let answer = serde_json::json!({
            "driver": "fuse", "lower": ["/a", "/b"], "options": ["ro"], "seconds": 60, "read_only": true,
            "statistics": { "nodes": 5, "requests": { "lookup": 7 } }, "log": [],
        });
        let expected = "driver       fuse\nlower        /a\n             /b\noptions      ro\nread-only    yes\n\
                        up           About a minute\nnodes        5\nrequests     lookup 7\n";
        assert_eq!(lines(answer.as_object().unwrap()), expected);
    }
}
