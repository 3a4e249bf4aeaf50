//! `ctr secret`: what a container may know and an image must not hold; podman's commands and words.

use super::{Context, print};
use crate::format::Listing;
use cli::failure::{Failure, Outcome};
use regex_lite::Regex;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use store::secret::{MAX_BYTES, Secret};

const LISTING: Listing<'_> = Listing {
    kind: "*main.secretListReport",
    standard: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
    headings: &[
        ("ID", "ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("CreatedAt", "CREATED"),
        ("UpdatedAt", "UPDATED"),
    ],
};

/// Options of `ctr secret create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Read it from this environment variable
    #[arg(long)]
    env: bool,
    /// Write a label on it
    #[arg(short, long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Its name
    name: String,
    /// The file, the variable with --env, or -
    #[arg(value_name = "FILE|-")]
    source: String,
}

/// Options of `ctr secret ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Only those for which it holds: name=, id=
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Format by fields: '{{.ID}} {{.Name}}', 'json'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only their ids
    #[arg(short, long)]
    quiet: bool,
    /// Without the heading
    #[arg(short, long)]
    noheading: bool,
}

/// Options of `ctr secret inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Also what they are
    #[arg(long)]
    showsecret: bool,
    /// Format by fields
    #[arg(short, long)]
    format: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "SECRET")]
    names: Vec<String>,
}

/// Options of `ctr secret rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// All of them
    #[arg(short, long)]
    all: bool,
    /// Names or ids
    #[arg(value_name = "SECRET")]
    names: Vec<String>,
}

/// Options of `ctr secret exists`.
#[derive(Debug, clap::Args)]
pub(crate) struct Exists {
    /// Its name or id
    #[arg(value_name = "SECRET")]
    name: String,
}

pub(crate) fn create(args: Create, context: &Context) -> Outcome {
    let root = context.store()?;
    let Create { env, label, name, source } = args;
    check_name(&name)?;
    let data = read(&source, env)?;
    if data.is_empty() || data.len() >= MAX_BYTES {
        return Err(Failure::new(format!("secret data must be larger than 0 and less than {MAX_BYTES} bytes")));
    }
    let mut id = engine::launch::new_id()?.as_str().to_owned();
    id.truncate(25);
    let labels = label.iter().map(|l| l.split_once('=').unwrap_or((l, ""))).map(|(k, v)| (k.to_owned(), v.to_owned()));
    let labels: BTreeMap<String, String> = labels.collect();
    let secret = Secret { id, name, created: jiff::Timestamp::now().to_string(), labels };
    root.create_secret(&secret, &data)?;
    print(&format!("{}\n", secret.id))
}

pub(crate) fn ls(args: Ls, context: &Context) -> Outcome {
    let root = context.store()?;
    let Ls { filter, format, quiet, noheading } = args;
    let filters = Filters::parse(&filter)?;
    let mut all = root.secrets()?;
    all.retain(|secret| filters.fit(secret));
    if quiet {
        return print(&all.iter().map(|s| format!("{}\n", s.id)).collect::<String>());
    }
    let row = |secret: &Secret| {
        let created = secret.created.get(..19).unwrap_or(&secret.created).replace('T', " ");
        json!({ "ID": secret.id, "Name": secret.name, "Driver": "file", "CreatedAt": created, "UpdatedAt": created })
    };
    let rows: Vec<serde_json::Value> = all.iter().map(row).collect();
    // podman: an empty format is one, of lines in which there is nothing
    let format = format.map(|format| if format.is_empty() { " ".to_owned() } else { format });
    let text = LISTING.show(format.as_deref(), &rows)?;
    let table = format.is_none_or(|format| format.starts_with("table"));
    match text.split_once('\n') {
        Some((_, rest)) if noheading && table => print(rest),
        _ => print(&text),
    }
}

pub(crate) fn inspect(args: Inspect, context: &Context) -> Outcome {
    let root = context.store()?;
    let Inspect { showsecret, format, names } = args;
    let template = format.map(|format| crate::format::Template::parse(&format)).transpose()?;
    let (mut all, mut failed) = (Vec::new(), false);
    for name in &names {
        let secret = match root.find_secret(name) {
            Ok(secret) => secret,
            Err(e) => {
                Failure::new(format!("inspecting secret: {e}")).report("ctr");
                failed = true;
                continue;
            }
        };
        let mut shown = json!({
            "ID": secret.id,
            "CreatedAt": secret.created,
            "UpdatedAt": secret.created,
            "Spec": { "Name": secret.name, "Driver": { "Name": "file", "Options": {} }, "Labels": secret.labels },
        });
        if showsecret {
            shown["SecretData"] = json!(String::from_utf8_lossy(&root.secret_data(&secret)?));
        }
        all.push(shown);
    }
    let text = match template {
        Some(template) => all.iter().map(|s| Ok(template.render(s)? + "\n")).collect::<Result<String, Failure>>()?,
        None => serde_json::to_string_pretty(&all).map_err(|e| Failure::new(e.to_string()))? + "\n",
    };
    print(&text)?;
    Ok(if failed { cli::exit::OURS } else { cli::exit::DONE })
}

pub(crate) fn rm(args: Rm, context: &Context) -> Outcome {
    let root = context.store()?;
    let Rm { all, names } = args;
    let names = if all { root.secrets()?.into_iter().map(|s| s.id).collect() } else { names };
    if names.is_empty() && !all {
        return Err(
            Failure::new("`ctr secret rm` requires at least one argument, or the --all flag").code(cli::exit::OURS)
        );
    }
    let removed = names.into_iter().map(|name| root.remove_secret(&root.find_secret(&name)?).map(|()| Some(name)));
    super::mount::told(removed.map(|one| one.map_err(Failure::from)))
}

pub(crate) fn exists(args: Exists, context: &Context) -> Outcome {
    super::exists::answer(context, |root| root.find_secret(&args.name).map(drop))
}

/// podman: one of the values of each key, as a pattern anywhere in the text; one that cannot be read fits nothing.
#[derive(Debug, Default)]
struct Filters {
    /// Of each key that is there.
    name: Option<Vec<Regex>>,
    id: Option<Vec<Regex>>,
}

impl Filters {
    fn parse(texts: &[String]) -> Result<Self, Failure> {
        let mut filters = Self::default();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Failure::new(format!("filter input must be in the form of filter=value: {text} is invalid"))
            })?;
            let patterns = match key.to_lowercase().as_str() {
                "name" => &mut filters.name,
                "id" => &mut filters.id,
                _ => return Err(Failure::new(format!("invalid filter {key:?}")).hint("name= and id= are known")),
            };
            patterns.get_or_insert_default().extend(Regex::new(value));
        }
        Ok(filters)
    }

    fn fit(&self, secret: &Secret) -> bool {
        let one = |patterns: &Option<Vec<Regex>>, text: &str| {
            patterns.as_ref().is_none_or(|all| all.iter().any(|pattern| pattern.is_match(text)))
        };
        one(&self.name, &secret.name) && one(&self.id, &secret.id)
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if ends(name.chars().next()) && ends(name.chars().last()) && inside && name.len() <= 64 {
        return Ok(());
    }
    Err(Failure::new(format!(
        "only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]: {name}: invalid secret name"
    )))
}

/// What is to be kept.
fn read(source: &str, env: bool) -> Result<Vec<u8>, Failure> {
    let limit = MAX_BYTES as u64 + 1;
    let mut data = Vec::new();
    if env {
        return std::env::var(source).map(String::into_bytes).map_err(|_| {
            Failure::new(format!("cannot create store secret data: environment variable {source} is not set"))
        });
    }
    let failed = |e: std::io::Error| Failure::new(format!("open {source}: {}", crate::options::process::reason(&e)));
    match source {
        "-" => std::io::stdin().take(limit).read_to_end(&mut data).map_err(failed)?,
        file => {
            let file = std::fs::File::open(PathBuf::from(file)).map_err(failed)?;
            file.take(limit).read_to_end(&mut data).map_err(failed)?
        }
    };
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_patterns_and_those_of_one_key_alternatives() {
        let secret = |name: &str, id: &str| Secret {
            id: id.into(),
            name: name.into(),
            created: String::new(),
            labels: BTreeMap::new(),
        };
        let (web, db) = (secret("web", "12ab"), secret("db", "34cd"));
        for (texts, of_web, of_db) in [
            (&[][..], true, true),
            (&["name=^w.b$"], true, false),
            (&["name=e"], true, false),
            (&["name=web", "name=db"], true, true),
            (&["id=ab", "id=^3"], true, true),
            (&["id=2"], true, false),
            (&["NAME=web", "id=34"], false, false),
            (&["name=("], false, false),
        ] {
            let texts: Vec<String> = texts.iter().map(|t| (*t).to_owned()).collect();
            let filters = Filters::parse(&texts).expect("filters");
            assert_eq!((filters.fit(&web), filters.fit(&db)), (of_web, of_db), "{texts:?}");
        }
        let wrong = |text: &str| Filters::parse(&[text.to_owned()]).unwrap_err().message;
        assert_eq!(wrong("driver=file"), "invalid filter \"driver\"");
        assert_eq!(wrong("name"), "filter input must be in the form of filter=value: name is invalid");
    }
}
