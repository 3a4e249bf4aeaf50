//! Options of `ctr run` and `ctr create` about what runs, and as whom.

use cli::failure::Failure;
use engine::request::Request;
use std::path::PathBuf;

/// What runs in it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Replace the image's entrypoint
    #[arg(long, value_name = "CMD")]
    entrypoint: Option<String>,
    /// Set a variable; without =VALUE, take ours
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working folder inside
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User, or user and group, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Host name inside
    #[arg(short = 'h', long)]
    hostname: Option<String>,
    /// Put an init of ours in front of the command
    #[arg(long)]
    init: bool,
}

impl Options {
    /// Writes them into `request`.
    pub(crate) fn read(&self, request: &mut Request) -> Result<(), Failure> {
        for file in &self.env_file {
            let text = std::fs::read_to_string(file)
                .map_err(|e| Failure::new(format!("open {}: {e}", file.display())).hint("--env-file names a file"))?;
            let lines = text.lines().map(str::trim_start).filter(|l| !l.is_empty() && !l.starts_with('#'));
            request.env.extend(lines.filter_map(setting));
        }
        request.env.extend(self.env.iter().filter_map(|text| setting(text)));
        request.entrypoint.clone_from(&self.entrypoint);
        request.workdir.clone_from(&self.workdir);
        request.user.clone_from(&self.user);
        request.hostname.clone_from(&self.hostname);
        request.init = self.init;
        Ok(())
    }
}

/// `NAME=value`, or ours where only a name is given; one we have not is left out, as in docker.
fn setting(text: &str) -> Option<String> {
    if text.contains('=') {
        return Some(text.to_owned());
    }
    std::env::var(text).ok().map(|value| format!("{text}={value}"))
}
