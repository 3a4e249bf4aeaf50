//! What a log tells besides what was written: `--log-opt` `tag`, `labels`, `labels-regex`, `env`, `env-regex`.

use super::tag;
use crate::life::Asked;
use std::collections::BTreeMap;
use store::Record;

/// The attributes of each entry. `usual_tag` is the tag's template where none is asked for; empty is no tag.
pub fn of(record: &Record, asked: &Asked, usual_tag: &str) -> BTreeMap<String, String> {
    let options = &asked.request.logging.options;
    let get = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
    let mut all = BTreeMap::new();
    let mut take = |list: &str, pattern: &str, pairs: &[(String, String)]| {
        let named: Vec<&str> = list.split(',').filter(|name| !name.is_empty()).collect();
        for (name, value) in pairs {
            if named.contains(&name.as_str()) || (!pattern.is_empty() && matches(pattern, name)) {
                all.insert(name.clone(), value.clone());
            }
        }
    };
    take(get("labels"), get("labels-regex"), &labels(record));
    let env: Vec<_> = asked.defaults.env.iter().chain(&asked.request.env).filter_map(|e| pair(e)).collect();
    take(get("env"), get("env-regex"), &env);
    let template = if get("tag").is_empty() { usual_tag } else { get("tag") };
    if !template.is_empty() {
        all.insert("tag".into(), tag::of(record, template));
    }
    all
}

fn pair(text: &str) -> Option<(String, String)> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// The labels that were asked for, in whichever of the two ways they are kept: a list of `NAME=VALUE`, or an object.
fn labels(record: &Record) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    match record.asked.pointer("/request/labels") {
        Some(serde_json::Value::Array(list)) => list.iter().filter_map(|l| pair(l.as_str()?)).collect(),
        Some(serde_json::Value::Object(map)) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        _ => Vec::new(),
    }
}

/// The part of regular expressions that names of labels need: `^`, `$`, `.`, `.*` and `|` between whole patterns.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.split('|').any(|one| {
        let (one, start) = one.strip_prefix('^').map_or((one, false), |rest| (rest, true));
        let (one, end) = one.strip_suffix('$').map_or((one, false), |rest| (rest, true));
        let name: Vec<char> = name.chars().collect();
        let pattern: Vec<char> = one.trim_matches(['(', ')']).chars().collect();
        let starts = if start { 0..=0 } else { 0..=name.len() };
        starts.into_iter().any(|from| fits(&pattern, &name[from..], end))
    })
}

fn fits(pattern: &[char], text: &[char], to_the_end: bool) -> bool {
    match pattern {
        [] => !to_the_end || text.is_empty(),
        [one, '*', rest @ ..] => {
            let mut at = 0;
            loop {
                if fits(rest, &text[at..], to_the_end) {
                    return true;
                }
                match text.get(at) {
                    Some(c) if *one == '.' || one == c => at += 1,
                    _ => return false,
                }
            }
        }
        ['\\', one, rest @ ..] => text.first() == Some(one) && fits(rest, &text[1..], to_the_end),
        [one, rest @ ..] => match text.first() {
            Some(c) if *one == '.' || one == c => fits(rest, &text[1..], to_the_end),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        assert!(matches("^com\\.acme\\.", "com.acme.role") && !matches("^com\\.acme\\.", "com-acme.role"));
        assert!(matches("a.*z$", "xabcz") && !matches("a.*z$", "xabczy"));
        assert!(matches("(one|two)", "two") && !matches("^one$|^two$", "twofold"));
    }
}
