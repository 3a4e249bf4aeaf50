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

/// Copies the program `from` to `path`, in the same way.
pub fn program_of(from: &Path, path: &Path) {
    let done = Command::new("cp").arg(from).arg(path).status().expect("cp runs");
    assert!(done.success(), "{} is not copied", path.display());
}
