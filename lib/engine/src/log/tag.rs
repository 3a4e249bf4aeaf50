//! `--log-opt tag=TEMPLATE`: what names a container in its log.

use crate::{Error, Kind, Result};
use store::Record;

const FIELDS: [&str; 7] = ["ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName"];

/// Refuses a template that names what there is not, with docker's words.
pub fn check(template: &str) -> Result<()> {
    fill(template, |_| String::new()).map(drop)
}

/// The tag of `record` by `template`.
pub fn of(record: &Record, template: &str) -> String {
    let image = record.image_id.map_or_else(|| record.image.clone(), |id| id.to_string());
    let filled = fill(template, |field| match field {
        "ID" => record.id.short().to_owned(),
        "FullID" => record.id.to_string(),
        "Name" => record.name.clone(),
        "ImageName" => record.image.clone(),
        "ImageID" => image.chars().take(12).collect(),
        "ImageFullID" => image.clone(),
        _ => "docker".into(),
    });
    filled.unwrap_or_else(|_| template.to_owned())
}

fn fill(template: &str, value: impl Fn(&str) -> String) -> Result<String> {
    let fail = |why: String| Error::new(Kind::Request, "", format!("failed to initialize logging driver: {why}"));
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        out.push_str(before);
        let (action, after) =
            behind.split_once("}}").ok_or_else(|| fail("template: log-tag:1: unclosed action".into()))?;
        let field = action.trim().strip_prefix('.').unwrap_or(action.trim());
        if !FIELDS.contains(&field) {
            let at = template.len() - behind.len();
            let why = format!(
                "template: log-tag:1:{at}: executing \"log-tag\" at <.{field}>: can't evaluate field {field} in type *logger.Info"
            );
            return Err(fail(why).hint(format!("{} are there", FIELDS.join(", "))));
        }
        out.push_str(&value(field));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        assert!(check("{{.Name}}/{{ .ID }}").is_ok());
        let text = "failed to initialize logging driver: template: log-tag:1:2: executing \"log-tag\" at <.Foo>: can't evaluate \
            field Foo in type *logger.Info";
        assert_eq!(check("{{.Foo}}").unwrap_err().to_string(), text);
        assert_eq!(fill("a{{.Name}}b", |f| f.to_lowercase()).unwrap(), "anameb");
    }
}
