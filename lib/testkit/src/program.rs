//! Programs that tests write.

use std::path::Path;
use std::process::Command;

/// Writes `text` to the file `path`, which may be executed. Another process writes it: a file that somebody has open for writing
/// cannot be executed (ETXTBSY), and a child that another thread of ours starts has it open until it executes itself.
pub fn program(path: &Path, text: &str) {
    let write = "printf %s \"$1\" >\"$0\" && chmod 755 \"$0\"";
    let done = Command::new("sh").args(["-c", write]).arg(path).arg(text).status().expect("sh runs");
    assert!(done.success(), "{} is not written", path.display());
}
