//! Options of `ctr run` and `ctr create` about what a container is called and where its image comes from.

use super::process::{self, reason};
use cli::failure::Failure;
use engine::request::Request;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// What it is called, and what is written on it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Write the container's id to a file
    #[arg(long, value_name = "FILE")]
    cidfile: Option<OsString>,
    /// Write a label on it
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Read labels from a file, one a line
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    /// When to fetch the image: always, missing, never
    #[arg(long, value_name = "POLICY", default_value = "missing")]
    pull: String,
    /// Which platform's image: OS/ARCH
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Say nothing of fetching
    #[arg(short, long)]
    quiet: bool,
    /// Accepted for docker's sake
    #[arg(long, num_args = 0..=1, default_missing_value = "true", hide = true)]
    disable_content_trust: Option<bool>,
}

impl Options {
    /// Writes them into `request`, with docker's words for what is wrong.
    pub(crate) fn read(&self, request: &mut Request) -> Result<(), Failure> {
        if !matches!(self.pull.as_str(), "always" | "missing" | "never") {
            return Err(Failure::new(format!(
                "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"",
                self.pull
            )));
        }
        if let Some(text) = self.platform.as_ref().filter(|text| text.parse::<spec::Platform>().is_err()) {
            let why = "cannot parse platform specifier: invalid argument";
            return Err(Failure::new(format!("error parsing specified platform: {text:?}: {why}"))
                .hint("want OS/ARCHITECTURE[/VARIANT], as in linux/arm64"));
        }
        request.platform.clone_from(&self.platform);
        for file in &self.label_file {
            for line in process::lines(file, "--label-file")? {
                label(request, &line)?;
            }
        }
        self.label.iter().try_for_each(|text| label(request, text))
    }

    /// Makes the file for the id, which must not be there yet.
    pub(crate) fn id_file(&self) -> Result<IdFile, Failure> {
        let Some(path) = self.cidfile.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from) else {
            return Ok(IdFile { path: None, file: None, written: false });
        };
        let file = File::options().write(true).create_new(true).open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::new(format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ))
            .hint("--cidfile names a file that is not there yet"),
            _ => {
                Failure::new(format!("failed to create the container ID file: open {}: {}", path.display(), reason(&e)))
                    .hint("--cidfile names a file in a folder that is there")
            }
        })?;
        Ok(IdFile { path: Some(path), file: Some(file), written: false })
    }
}

/// `KEY=VALUE`; without a value it is empty.
fn label(request: &mut Request, text: &str) -> Result<(), Failure> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let bad = |why: String| {
        Failure::new(format!("invalid argument {text:?} for \"-l, --label\" flag: {why}"))
            .hint("-l KEY=VALUE, or -l KEY")
    };
    let bare = key.trim_start_matches([' ', '\t']);
    if bare.is_empty() {
        return Err(bad(format!("invalid label '{text}': empty name")));
    }
    if bare.contains([' ', '\t']) {
        return Err(bad(format!("label '{bare}' contains whitespaces")));
    }
    request.labels.insert(key.to_owned(), value.to_owned());
    Ok(())
}

/// The file that gets the container's id; removed again where there is no container.
#[derive(Debug)]
pub(crate) struct IdFile {
    path: Option<PathBuf>,
    file: Option<File>,
    written: bool,
}

impl IdFile {
    /// Writes the id.
    pub(crate) fn write(&mut self, id: &str) -> Result<(), Failure> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(id.as_bytes())
            .map_err(|e| Failure::new(format!("failed to write the container ID to the file: {}", reason(&e))))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if let (Some(path), false) = (&self.path, self.written) {
            let _ = std::fs::remove_file(path);
        }
    }
}
