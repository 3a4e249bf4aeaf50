//! `--format`: Go's `text/template` as docker's client uses it, whole.
//!
//! ```text
//! {{.Config.Env}}  {{json .}}  {{range $i, $p := .Mounts}}{{if $i}},{{end}}{{$p.Source}}{{else}}none{{end}}
//! {{with .State.Health}}{{.Status | upper | printf "%-10s"}}{{else with .State}}{{.Status}}{{end}}  {{- "text" -}}
//! ```
//!
//! [`Template`] is text that was parsed; it is run on a [`Value`]: raw JSON, JSON in the shape of one of docker's Go types
//! ([`shape`]), or a row of a listing. Output and error texts are Go's to the letter; both were recorded from Go and are
//! compared in the tests. What has no meaning on JSON is left out: complex numbers, channels, methods. Branches may be
//! nested 100 deep and templates call each other 100 deep, so that a template cannot exhaust the stack.

use cli::failure::{Failure, Outcome};
use serde_json::Value as Json;

mod compare;
mod functions;
pub(crate) mod json;
mod lex;
mod listing;
mod node;
mod number;
mod parse;
mod print;
mod quote;
mod run;
pub(crate) mod shape;
pub(crate) mod value;

#[cfg(test)]
mod recorded;

pub(crate) use listing::{CONTAINER, Listing, list};
pub(crate) use quote::{quoted, url};
pub(crate) use value::Value;

/// A parsed template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    text: String,
    set: parse::Set,
}

/// docker's exit code where a template cannot be read.
pub(crate) const BAD_TEMPLATE: u8 = 64;

/// What Go says of a template that has a name.
fn named(name: &str, why: &str) -> String {
    let quoted = format!("executing {name:?} at");
    why.replacen("template: :", &format!("template: {name}:"), 1).replacen("executing \"\" at", &quoted, 1)
}

fn wrong(why: String) -> Failure {
    Failure::new(format!("template parsing error: {why}"))
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let set = parse::parse(text).map_err(wrong)?;
        Ok(Self { text: text.to_owned(), set })
    }

    /// Reads one of a listing, in which `\t` and `\n` are written so that a shell leaves them alone.
    pub(crate) fn of_listing(text: &str) -> Result<Self, Failure> {
        Self::parse(&text.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n"))
    }

    /// The text for raw JSON; a key that is not there is an error.
    pub(crate) fn render(&self, json: &Json) -> Result<String, Failure> {
        self.strict(&Value::raw(json))
    }

    fn strict(&self, value: &Value) -> Result<String, Failure> {
        run::run(&self.text, &self.set, value, true).map_err(wrong)
    }

    /// The text for a value with a shape; as in docker's client the raw JSON behind it has what its type has not.
    pub(crate) fn render_shaped(&self, value: &Value, raw: &Json) -> Result<String, Failure> {
        run::run(&self.text, &self.set, value, false).or_else(|_| self.render(raw))
    }

    /// Prints `value` by `format`, a template that docker calls `name`, or `json`; without one as `plain`. docker's `info` and
    /// `version`.
    pub(crate) fn show(name: &str, format: Option<&str>, value: &Value, plain: impl FnOnce() -> String) -> Outcome {
        let format = match format {
            None | Some("") => return crate::command::print(&plain()),
            Some("json") => "{{json .}}",
            Some(text) => text,
        };
        let told = |f: Failure| Failure { message: named(name, &f.message), code: BAD_TEMPLATE, ..f };
        Self::parse(format).map_err(told)?.print(name, value, "\n")
    }

    /// Prints the text for `value`, and `end`, as far as it goes, and then what was wrong, in which the template is called `name`.
    pub(crate) fn print(&self, name: &str, value: &Value, end: &str) -> Outcome {
        let (text, wrong) = run::run_as_far_as_it_goes(&self.text, &self.set, value, false);
        crate::command::print(&(text + end))?;
        wrong.map_or(Ok(0), |why| Err(Failure::new(named(name, &why))))
    }

    /// The text for a value; a key that is not there is no error.
    pub(crate) fn on(&self, value: &Value) -> Result<String, Failure> {
        run::run(&self.text, &self.set, value, false).map_err(wrong)
    }
}
