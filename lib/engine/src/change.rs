//! `--change`: a Dockerfile's instructions that say something of an image's configuration and make no layer, as `commit` and
//! `import` take them (moby, builder/dockerfile: `BuildFromConfig`, and its error texts).
//!
//! `CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR`, several lines in one change, comments and
//! continued lines as in a Dockerfile. Variables are those of the configuration's `Env` before the instruction. Pure.

mod health;
mod words;

use crate::request::volume::tidy;
use crate::{Error, Kind, Result};
use serde_json::{Map, Value, json};
use std::path::Path;
use words::{exec_form, expand, lines, pairs, split};

/// What may be changed so.
const KNOWN: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Makes `changes` to `config`, an image configuration's `config` member.
pub fn apply(config: &mut Map<String, Value>, changes: &[String]) -> Result<()> {
    let text = changes.join("\n");
    let lines = lines(&text);
    if lines.is_empty() && !changes.is_empty() {
        return Err(wrong("file with no instructions".into()));
    }
    for line in &lines {
        let (word, _) = instruction(line);
        if !KNOWN.contains(&word.to_ascii_uppercase().as_str()) {
            return Err(wrong(format!("{} is not a valid change command", word.to_lowercase())));
        }
    }
    let mut cmd_was_set = false;
    for line in &lines {
        let (word, rest) = instruction(line);
        change(config, &word.to_ascii_uppercase(), rest, &mut cmd_was_set)?;
    }
    Ok(())
}

fn instruction(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (word, rest.trim())
}

fn wrong(text: String) -> Error {
    Error::new(Kind::Request, "", text)
}

fn change(config: &mut Map<String, Value>, word: &str, rest: &str, cmd_was_set: &mut bool) -> Result<()> {
    let env = texts(config, "Env");
    if rest.is_empty() && !matches!(word, "CMD" | "ENTRYPOINT") {
        return Err(wrong(match word {
            "ENV" | "LABEL" | "EXPOSE" | "ONBUILD" | "HEALTHCHECK" | "VOLUME" => {
                format!("{word} requires at least one argument")
            }
            _ => format!("{word} requires exactly one argument"),
        }));
    }
    match word {
        "CMD" => {
            config.insert("Cmd".into(), command(config, rest).into());
            *cmd_was_set = true;
        }
        "ENTRYPOINT" => {
            config.insert("Entrypoint".into(), command(config, rest).into());
            if !*cmd_was_set {
                config.remove("Cmd");
            }
        }
        "ENV" => {
            let mut all = env.clone();
            for (name, value) in pairs(word, rest, &env)? {
                let setting = format!("{name}={value}");
                match all.iter_mut().find(|e| e.split('=').next() == Some(&name)) {
                    Some(old) => *old = setting,
                    None => all.push(setting),
                }
            }
            config.insert("Env".into(), all.into());
        }
        "LABEL" => {
            for (name, value) in pairs(word, rest, &env)? {
                member(config, "Labels").insert(name, value.into());
            }
        }
        "EXPOSE" => {
            for port in split(rest, &env)? {
                for port in ports(&port)? {
                    member(config, "ExposedPorts").insert(port, json!({}));
                }
            }
        }
        "VOLUME" => {
            let paths = match exec_form(rest) {
                Some(paths) => paths.iter().map(|path| expand(path, &env)).collect::<Result<_>>()?,
                None => split(rest, &env)?,
            };
            for path in paths {
                if path.trim().is_empty() {
                    return Err(wrong("VOLUME specified can not be an empty string".into()));
                }
                member(config, "Volumes").insert(path, json!({}));
            }
        }
        "USER" => drop(config.insert("User".into(), expand(rest, &env)?.into())),
        "STOPSIGNAL" => {
            let signal = expand(rest, &env)?;
            if !crate::life::signal::parse(&signal).is_ok_and(|number| number <= 64) {
                return Err(wrong(format!("Invalid signal: {signal}")));
            }
            config.insert("StopSignal".into(), signal.into());
        }
        "WORKDIR" => {
            let before = config.get("WorkingDir").and_then(Value::as_str).unwrap_or_default();
            let path = tidy(&Path::new("/").join(before).join(expand(rest, &env)?));
            config.insert("WorkingDir".into(), path.to_string_lossy().into());
        }
        "ONBUILD" => {
            let (trigger, _) = instruction(rest);
            match trigger.to_ascii_uppercase().as_str() {
                "ONBUILD" => return Err(wrong("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into())),
                name @ ("MAINTAINER" | "FROM") => {
                    return Err(wrong(format!("{name} isn't allowed as an ONBUILD trigger")));
                }
                _ => {}
            }
            let mut all = texts(config, "OnBuild");
            all.push(rest.to_owned());
            config.insert("OnBuild".into(), all.into());
        }
        _ => drop(config.insert("Healthcheck".into(), health::parse(rest)?)),
    }
    Ok(())
}

/// The member `name` as an object, made where there is none.
fn member<'c>(config: &'c mut Map<String, Value>, name: &str) -> &'c mut Map<String, Value> {
    let value = config.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object"),
    }
}

fn texts(config: &Map<String, Value>, name: &str) -> Vec<String> {
    let list = config.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The words of `CMD` and its like: a JSON list as it is, else a line for the shell.
fn command(config: &Map<String, Value>, rest: &str) -> Vec<String> {
    if let Some(words) = exec_form(rest) {
        return words;
    }
    let mut shell = texts(config, "Shell");
    if shell.is_empty() {
        shell = vec!["/bin/sh".into(), "-c".into()];
    }
    if !rest.is_empty() {
        shell.push(rest.to_owned());
    }
    shell
}

/// `80`, `80/udp`, `8000-8002/tcp` as docker writes them down: with the protocol, one by one.
fn ports(text: &str) -> Result<Vec<String>> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let bad = || wrong(format!("invalid containerPort: {range}"));
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong(format!("invalid proto: {protocol}")));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    if first == 0 || last < first {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(config: Value, changes: &[&str]) -> Result<Value> {
        let Value::Object(mut config) = config else { unreachable!() };
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
        apply(&mut config, &changes)?;
        Ok(config.into())
    }

    #[test]
    fn each_instruction() {
        let before = json!({ "Env": ["PATH=/bin", "A=1"], "Cmd": ["x"], "WorkingDir": "/srv" });
        let changes = [
            "ENV A=2 B=\"two words\" C=$A",
            "env OLD style value",
            "LABEL a=b c='d e'",
            "EXPOSE 80 53/udp 7000-7001",
            "VOLUME [\"/data\", \"/x y\"]",
            "VOLUME /one /two",
            "USER nobody:nogroup",
            "STOPSIGNAL SIGINT",
            "WORKDIR app/../lib",
            "ONBUILD RUN true",
            "ENTRYPOINT [\"/init\"]",
            "CMD echo hello",
            "HEALTHCHECK --interval=5s --retries=2 CMD true",
        ];
        let after = changed(before, &changes).unwrap();
        assert_eq!(after["Env"], json!(["PATH=/bin", "A=2", "B=two words", "C=1", "OLD=style value"]));
        assert_eq!(after["Labels"], json!({ "a": "b", "c": "d e" }));
        assert_eq!(after["ExposedPorts"], json!({ "80/tcp": {}, "53/udp": {}, "7000/tcp": {}, "7001/tcp": {} }));
        assert_eq!(after["Volumes"], json!({ "/data": {}, "/x y": {}, "/one": {}, "/two": {} }));
        assert_eq!((&after["User"], &after["StopSignal"]), (&json!("nobody:nogroup"), &json!("SIGINT")));
        assert_eq!((&after["WorkingDir"], &after["OnBuild"]), (&json!("/srv/lib"), &json!(["RUN true"])));
        assert_eq!((&after["Entrypoint"], &after["Cmd"]), (&json!(["/init"]), &json!(["/bin/sh", "-c", "echo hello"])));
        let health = json!({ "Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64, "Retries": 2 });
        assert_eq!(after["Healthcheck"], health);
    }

    #[test]
    fn an_entrypoint_drops_the_command_it_was_not_given_with() {
        let before = json!({ "Cmd": ["x"] });
        assert_eq!(changed(before.clone(), &["ENTRYPOINT [\"/i\"]"]).unwrap(), json!({ "Entrypoint": ["/i"] }));
        let both = changed(before, &["CMD [\"a\"]\nENTRYPOINT [\"/i\"]"]).unwrap();
        assert_eq!(both, json!({ "Cmd": ["a"], "Entrypoint": ["/i"] }));
    }

    #[test]
    fn dockers_words_for_what_is_wrong() {
        let text = |change: &str| changed(json!({}), &[change]).unwrap_err().to_string();
        assert_eq!(text("RUN true"), "run is not a valid change command");
        assert_eq!(text(""), "file with no instructions");
        assert_eq!(text("FOO bar"), "foo is not a valid change command");
        assert_eq!(text("ENV A"), "ENV must have two arguments");
        assert_eq!(text("ENV"), "ENV requires at least one argument");
        assert_eq!(text("USER"), "USER requires exactly one argument");
        assert_eq!(text("EXPOSE x"), "invalid containerPort: x");
        assert_eq!(text("EXPOSE 80/quic"), "invalid proto: quic");
        assert_eq!(text("STOPSIGNAL SIGNONE"), "Invalid signal: SIGNONE");
        assert_eq!(text("ONBUILD ONBUILD RUN x"), "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
        assert_eq!(text("ONBUILD FROM x"), "FROM isn't allowed as an ONBUILD trigger");
        assert_eq!(text("HEALTHCHECK FOO"), "Unknown type \"FOO\" in HEALTHCHECK (try CMD)");
        assert_eq!(text("LABEL a=b 'c"), "unexpected end of statement while looking for matching single-quote");
    }
}
