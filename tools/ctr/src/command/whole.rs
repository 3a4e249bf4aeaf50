//! Files that a command writes for the user: whole or not at all.

use cli::failure::Failure;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whether what would be written can go to `output`, a file or else standard output; `failed` says what could not be done.
pub(crate) fn check(output: Option<&Path>, failed: &str) -> Result<(), Failure> {
    let Some(output) = output else {
        return match std::io::stdout().is_terminal() {
            true => Err(Failure::new("cowardly refusing to save to a terminal. Use the -o flag or redirect")),
            false => Ok(()),
        };
    };
    if output.is_dir() {
        return Err(Failure::new(format!("{failed}: cannot write to a directory")));
    }
    match output.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        Some(parent) => {
            let why = format!("invalid output path: stat {}: no such file or directory", parent.display());
            Err(Failure::new(format!("{failed}: {why}")))
        }
        None => Ok(()),
    }
}

/// Writes by `write` to the file `output`, or else to standard output; that nobody reads that on is no failure.
pub(crate) fn to<T>(
    output: Option<&Path>,
    write: impl FnOnce(&mut (dyn Write + Send)) -> engine::Result<T>,
) -> Result<(), Failure> {
    let Some(path) = output else {
        return match write(&mut std::io::stdout()) {
            Err(e) if e.raw_os_error() != Some(rustix::io::Errno::PIPE.raw_os_error()) => Err(e.into()),
            _ => Ok(()),
        };
    };
    file(path, |out| write(out).map(drop).map_err(Failure::from))
}

/// Writes the file at `path` by `write`: beside it, and renamed over it when it is whole. What is no regular file (a pipe, a terminal) is
/// written to as it is.
fn file(path: &Path, write: impl FnOnce(&mut File) -> Result<(), Failure>) -> Result<(), Failure> {
    let fail = |what: &'static str, path: &Path, e: std::io::Error| {
        Failure::from(engine::error::system(what, path.display(), e))
    };
    // A link's target is what is replaced.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(&real).is_ok_and(|meta| !meta.is_file()) {
        let mut out = File::options().write(true).open(&real).map_err(|e| fail("open", path, e))?;
        return write(&mut out);
    }
    let beside = beside(&real);
    let mut out = File::options().write(true).create_new(true).mode(0o600).open(&beside);
    let out = out
        .as_mut()
        .map_err(|e| fail("make", &beside, std::io::Error::from_raw_os_error(e.raw_os_error().unwrap_or(0))))?;
    let undone = Undo(Some(beside.clone()));
    write(out)?;
    std::fs::rename(&beside, &real).map_err(|e| fail("rename to", &real, e))?;
    undone.keep();
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

/// Removes what was not finished.
struct Undo(Option<PathBuf>);

impl Undo {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}
