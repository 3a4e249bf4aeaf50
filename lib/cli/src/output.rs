//! The only place that writes to stdout and stderr.

use std::io::{self, Write};

/// Writes `bytes` to stdout at once. A reader that has gone ends the tool quietly: the error is
/// [`io::ErrorKind::BrokenPipe`], which callers pass on as "nothing more to do".
pub fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Writes one line to stdout.
pub fn line(text: &str) -> io::Result<()> {
    let mut all = Vec::with_capacity(text.len() + 1);
    all.extend_from_slice(text.as_bytes());
    all.push(b'\n');
    write(&all)
}

/// Writes one value as a JSON line to stdout.
pub fn json_line(value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value).map_err(io::Error::other)?;
    line(&text)
}

/// Writes `tool: message` to stderr.
pub fn complain(tool: &str, message: &str) {
    err_line(&format!("{tool}: {message}"));
}

/// Writes one line to stderr; that nobody reads it is no reason to fail.
pub fn err_line(text: &str) {
    let mut all = Vec::with_capacity(text.len() + 1);
    all.extend_from_slice(text.as_bytes());
    all.push(b'\n');
    let _ = io::stderr().lock().write_all(&all);
}
