//! Options of `ctr run` and `ctr create` about what runs, and as whom.

use cli::failure::Failure;
use engine::request::{Request, manner};
use std::path::{Path, PathBuf};

/// What runs in it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "CMD", allow_hyphen_values = true)]
    entrypoint: Option<String>,
    /// Set environment variables; without =VALUE, take ours
    #[arg(short, long, value_name = "NAME[=VALUE]", allow_hyphen_values = true)]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Give it all of our own variables
    #[arg(long)]
    env_host: bool,
    /// Leave a variable of the image out
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<String>,
    /// Leave all variables of the image out
    #[arg(long)]
    unsetenv_all: bool,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR", allow_hyphen_values = true)]
    workdir: Option<String>,
    /// Username or UID
    #[arg(short, long, value_name = "USER[:GROUP]", allow_hyphen_values = true)]
    user: Option<String>,
    /// Add additional groups to join
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Container host name
    #[arg(short = 'h', long, allow_hyphen_values = true)]
    hostname: Option<String>,
    /// Container NIS domain name
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Which permissions new files are not given, octal
    #[arg(long, value_name = "MASK")]
    umask: Option<String>,
    /// Time zone inside: AREA/CITY, or local
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Add an annotation to the container, passed through to the OCI runtime
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    init: bool,
}

impl Options {
    /// Writes them into `request`.
    pub(crate) fn read(&self, request: &mut Request) -> Result<(), Failure> {
        if self.env_host {
            let ours = std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
            request.env.extend(ours.map(|(name, value)| format!("{name}={value}")));
        }
        for file in &self.env_file {
            request.env.extend(from_file(file)?);
        }
        for text in &self.env {
            if text.is_empty() || text.starts_with('=') {
                let why =
                    format!("invalid argument {text:?} for \"-e, --env\" flag: invalid environment variable: {text}");
                return Err(Failure::new(why).hint("-e NAME=VALUE, or -e NAME for our own value"));
            }
            request.env.push(setting(text).unwrap_or_else(|| text.clone()));
        }
        request.entrypoint.clone_from(&self.entrypoint);
        request.workdir.clone_from(&self.workdir);
        request.user.clone_from(&self.user);
        // docker: an empty one is none
        let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        request.hostname = given(&self.hostname);
        request.init = self.init;
        let manner = &mut request.manner;
        manner.groups.clone_from(&self.group_add);
        manner.domainname = given(&self.domainname);
        manner.unset.clone_from(&self.unsetenv);
        manner.unset_all = self.unsetenv_all;
        manner.umask = self.umask.as_deref().map(manner::umask).transpose()?;
        manner.annotations =
            self.annotation.iter().map(|text| manner::annotation(text)).collect::<engine::Result<_>>()?;
        manner.timezone = self.tz.as_deref().map(timezone).transpose()?;
        Ok(())
    }
}

/// The variables of a file, a line each.
pub(crate) fn from_file(file: &Path) -> Result<Vec<String>, Failure> {
    Ok(lines(file, "--env-file")?.iter().filter_map(|line| setting(line)).collect())
}

/// The lines of a file of `NAME=value`, which `option` named; empty lines and those that begin with `#` say nothing.
pub(super) fn lines(file: &Path, option: &str) -> Result<Vec<String>, Failure> {
    let name = file.display();
    let bytes = std::fs::read(file)
        .map_err(|e| Failure::new(format!("open {name}: {}", reason(&e))).hint(format!("{option} names a file")))?;
    let mut lines = Vec::new();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let bad = |why: String| Failure::new(format!("invalid env file ({name}): {why}"));
        let line = std::str::from_utf8(line)
            .map_err(|_| bad(format!("env file contains invalid utf8 bytes at line {}", number + 1)))?;
        let line = line.trim_start_matches('\u{feff}').trim_end_matches('\r').trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let variable = line.split_once('=').map_or(line, |(variable, _)| variable);
        if variable.is_empty() {
            return Err(bad(format!("no variable name on line '{line}'")));
        }
        if variable.contains(char::is_whitespace) {
            return Err(bad(format!("variable '{variable}' contains whitespaces")));
        }
        lines.push(line.to_owned());
    }
    Ok(lines)
}

/// `NAME=value`, or ours where only a name is given; none where we have not got it.
pub(crate) fn setting(text: &str) -> Option<String> {
    if text.contains('=') {
        return Some(text.to_owned());
    }
    std::env::var(text).ok().map(|value| format!("{text}={value}"))
}

/// A zone that the machine knows.
fn timezone(zone: &str) -> Result<String, Failure> {
    let fits = !zone.is_empty() && !zone.starts_with('/') && !zone.split('/').any(|part| part == "..");
    let file = std::path::Path::new("/usr/share/zoneinfo").join(zone);
    if zone == "local" || (fits && file.is_file()) {
        return Ok(zone.into());
    }
    Err(Failure::new(format!("finding timezone for container: unknown time zone {zone}"))
        .hint("ls /usr/share/zoneinfo shows those there are"))
}

/// The system's words in lower case, as docker prints them.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
