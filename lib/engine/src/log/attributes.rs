//! What a log tells besides what was written: `--log-opt` `tag`, `labels`, `labels-regex`, `env`, `env-regex`.

use super::tag;
use crate::life::Asked;
use crate::{Error, Kind, Result};
use regex_lite::Regex;
use std::collections::BTreeMap;
use store::Record;

/// The attributes of each entry. `usual_tag` is the tag's template where none is asked for; empty is no tag.
pub fn of(record: &Record, asked: &Asked, usual_tag: &str) -> BTreeMap<String, String> {
    let options = &asked.request.logging.options;
    let get = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
    let mut all = BTreeMap::new();
    let mut take = |list: &str, pattern: &str, pairs: BTreeMap<String, String>| {
        let named: Vec<&str> = list.split(',').filter(|name| !name.is_empty()).collect();
        // It was looked at when the container was made.
        let pattern = Some(pattern).filter(|text| !text.is_empty()).and_then(|text| Regex::new(text).ok());
        let is_meant = |name: &str| named.contains(&name) || pattern.as_ref().is_some_and(|p| p.is_match(name));
        all.extend(pairs.into_iter().filter(|(name, _)| is_meant(name)));
    };
    take(get("labels"), get("labels-regex"), asked.labels());
    let env = asked.defaults.env.iter().chain(&asked.request.env).filter_map(|setting| setting.split_once('='));
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    take(get("env"), get("env-regex"), env);
    let template = if get("tag").is_empty() { usual_tag } else { get("tag") };
    if !template.is_empty() {
        all.insert("tag".into(), tag::of(record, template));
    }
    all
}

/// Refuses what is no regular expression, with docker's words.
pub fn check(pattern: &str) -> Result<()> {
    Regex::new(pattern).map(drop).map_err(|e| {
        let text = format!("failed to initialize logging driver: error parsing regexp: {e}: `{pattern}`");
        Error::new(Kind::Request, "", text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Defaults;
    use crate::request::Request;
    use crate::request::logging::Logging;

    #[test]
    fn what_is_named_or_fits_is_told_and_an_image_has_labels_too() {
        let options = ["labels-regex=^[a-z]+\\.role$", "env=X", "env-regex=^(A|B)\\d?$"].map(str::to_owned);
        let logging = Logging::parse(None, &options).unwrap();
        let mut asked = Asked { request: Request { logging, ..Request::default() }, defaults: Defaults::default() };
        asked.defaults.labels.insert("acme.role".into(), "db".into());
        asked.defaults.labels.insert("acme2.role".into(), "no".into());
        asked.request.env = ["X=1", "A7=2", "C=3"].map(str::to_owned).to_vec();
        let record = Record {
            id: spec::ContainerId::from_random([7; 32]),
            name: "box".into(),
            created: String::new(),
            image: "host".into(),
            image_id: None,
            layers: Vec::new(),
            asked: serde_json::Value::Null,
        };
        let told = of(&record, &asked, "");
        let want = [("acme.role", "db"), ("X", "1"), ("A7", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(told, want.into());
        let error = Logging::parse(None, &["env-regex=(".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("failed to initialize logging driver: error parsing regexp: "), "{error}");
    }
}
