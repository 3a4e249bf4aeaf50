//! Where a container's output is kept: `--log-driver`, `--log-opt`.
//!
//! The drivers are docker's `json-file` (the default), `local`, `none` and `journald`, with docker's options. Where docker keeps
//! a log without bounds, ours is rotated: [`MAX_SIZE_BYTES`] a file and [`MAX_FILES`] files unless told otherwise.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How large one file of a log gets unless `max-size` says otherwise.
pub const MAX_SIZE_BYTES: u64 = 20_000_000;
/// How many files a log has unless `max-file` says otherwise, the one that is written to included.
pub const MAX_FILES: u32 = 5;

/// Where its output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// Which.
    pub driver: Driver,
    /// Its options, as given.
    pub options: BTreeMap<String, String>,
}

/// Log drivers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// A line of JSON each, in `containers/<id>/<id>-json.log`.
    #[default]
    JsonFile,
    /// docker's binary form, in `containers/<id>/local-logs/container.log`.
    Local,
    /// Nothing is kept.
    None,
    /// The machine's journal.
    Journald,
}

impl Driver {
    /// docker's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::None => "none",
            Self::Journald => "journald",
        }
    }
}

/// How a log is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A file is put aside before it grows beyond this.
    pub max_size_bytes: u64,
    /// How many files there are, the one that is written to included.
    pub max_files: u32,
    /// Whether those put aside are compressed.
    pub compress: bool,
}

/// What docker's clients call options of every driver.
const EVERY: [&str; 2] = ["mode", "max-buffer-size"];
const ATTRIBUTES: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];
const FILES: [&str; 3] = ["max-size", "max-file", "compress"];

impl Logging {
    /// Reads `--log-driver` and `--log-opt`. Errors are docker's.
    pub fn parse(driver: Option<&str>, options: &[String]) -> Result<Self> {
        let wrong = |what: String| Error::new(Kind::Request, "", what);
        let driver = match driver.unwrap_or_default() {
            "" | "json-file" => Driver::JsonFile,
            "local" => Driver::Local,
            "none" => Driver::None,
            "journald" => Driver::Journald,
            other => {
                let text = format!("error looking up logging plugin {other}: plugin \"{other}\" not found");
                return Err(wrong(text).hint("json-file, local, journald and none are there"));
            }
        };
        if driver == Driver::None && !options.is_empty() {
            return Err(wrong("invalid logging opts for driver none".into()));
        }
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        };
        let logging = Self { driver, options: options.iter().map(pair).collect() };
        logging.validate()?;
        Ok(logging)
    }

    fn validate(&self) -> Result<()> {
        let own: &[&str] = match self.driver {
            Driver::JsonFile => &[FILES.as_slice(), ATTRIBUTES.as_slice()].concat(),
            Driver::Local => &FILES,
            Driver::Journald => &ATTRIBUTES,
            Driver::None => &[],
        };
        for name in self.options.keys() {
            if EVERY.contains(&name.as_str()) || own.contains(&name.as_str()) {
                continue;
            }
            let text = match self.driver {
                Driver::Local => format!("unknown log opt '{name}' for log driver local"),
                driver => format!("unknown log opt '{name}' for {} log driver", driver.word()),
            };
            return Err(Error::new(Kind::Request, "", text).hint(format!("{} are", own.join(", "))));
        }
        if let Some(mode) = self.options.get("mode").filter(|m| !["", "blocking", "non-blocking"].contains(&m.as_str()))
        {
            return Err(Error::new(Kind::Request, "", format!("logger: logging mode not supported: {mode}")));
        }
        self.rotation()?;
        for name in ["labels-regex", "env-regex"] {
            self.options.get(name).map_or(Ok(()), |pattern| crate::log::attributes::check(pattern))?;
        }
        if let Some(template) = self.options.get("tag") {
            crate::log::tag::check(template)?;
        }
        Ok(())
    }

    /// How its files are rotated.
    pub fn rotation(&self) -> Result<Rotation> {
        let wrong =
            |what: String| Error::new(Kind::Request, "", format!("failed to initialize logging driver: {what}"));
        let get = |name: &str| self.options.get(name).filter(|value| !value.is_empty());
        let max_size_bytes = match get("max-size") {
            None => MAX_SIZE_BYTES,
            Some(text) => match spec::size::in_1000(text).map_err(wrong)? {
                0 => return Err(wrong("max-size must be a positive number".into())),
                size => size.unsigned_abs(),
            },
        };
        let max_files = match get("max-file") {
            None => MAX_FILES,
            Some(text) => text.parse::<i64>().map_err(|_| wrong(integer(text)))?.clamp(0, 100_000) as u32,
        };
        if max_files < 1 {
            return Err(wrong("max-file cannot be less than 1".into()));
        }
        let compress = match get("compress").map(String::as_str) {
            None => self.driver == Driver::Local,
            Some(text) => super::truth(text)
                .ok_or_else(|| wrong(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax")))?,
        };
        if compress && get("compress").is_some() && max_files < 2 {
            let text = "compress cannot be true when max-file is less than 2 or max-size is not set";
            return Err(wrong(text.into()));
        }
        Ok(Rotation { max_size_bytes, max_files, compress })
    }
}

/// Go's words for what is no number.
fn integer(text: &str) -> String {
    format!("strconv.Atoi: parsing \"{text}\": invalid syntax")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_docker_reads_them() {
        let read = |driver: &str, options: &[&str]| {
            let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
            Logging::parse(Some(driver), &options).and_then(|l| l.rotation()).map_err(|e| e.to_string())
        };
        let usual = Rotation { max_size_bytes: MAX_SIZE_BYTES, max_files: MAX_FILES, compress: false };
        assert_eq!(read("", &[]), Ok(usual));
        assert_eq!(read("local", &[]), Ok(Rotation { compress: true, ..usual }));
        let asked = read("json-file", &["max-size=10m", "max-file=3", "compress=true"]);
        assert_eq!(asked, Ok(Rotation { max_size_bytes: 10_000_000, max_files: 3, compress: true }));
        let error = |driver, options: &[&str]| read(driver, options).unwrap_err();
        let init = "failed to initialize logging driver: ";
        assert_eq!(error("json-file", &["foo=bar"]), "unknown log opt 'foo' for json-file log driver");
        assert_eq!(error("local", &["x=y"]), "unknown log opt 'x' for log driver local");
        assert_eq!(error("json-file", &["max-size=x"]), format!("{init}invalid size: 'x'"));
        assert_eq!(error("json-file", &["max-size=-1"]), format!("{init}invalid size: '-1'"));
        assert_eq!(error("json-file", &["max-file=0"]), format!("{init}max-file cannot be less than 1"));
        assert_eq!(
            error("json-file", &["compress=x"]),
            format!("{init}strconv.ParseBool: parsing \"x\": invalid syntax")
        );
        assert_eq!(error("none", &["max-size=1m"]), "invalid logging opts for driver none");
        assert_eq!(error("json-file", &["mode=x"]), "logger: logging mode not supported: x");
        assert_eq!(error("foo", &[]), "error looking up logging plugin foo: plugin \"foo\" not found");
    }
}
