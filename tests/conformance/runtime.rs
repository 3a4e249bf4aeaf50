//! The three runtimes, and one call of one of them.
//!
//! A call's output goes into files, not pipes: the container's first process inherits them and outlives `create`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a call may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// An OCI runtime.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// Its name, for messages.
    pub(crate) name: &'static str,
    program: &'static str,
}

/// The references first, then ours.
pub(crate) const RUNTIMES: [Runtime; 3] = [
    Runtime { name: "crun", program: "crun" },
    Runtime { name: "runc", program: "runc" },
    Runtime { name: "nsrun", program: env!("CARGO_BIN_EXE_nsrun") },
];

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ran {
    what: String,
    code: Option<i32>,
    /// What stood on stdout.
    pub(crate) out: String,
    /// What stood on stderr.
    pub(crate) err: String,
    /// The file that stdout is, which a container's program may still write to.
    pub(crate) output: PathBuf,
}

impl Ran {
    /// Whether the exit code was 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// The call has to succeed; gives what it said.
    pub(crate) fn ok(self) -> Result<String, String> {
        if self.succeeded() { Ok(self.out) } else { Err(format!("{} failed: {}", self.what, self.said())) }
    }

    /// The call has to end with an error.
    pub(crate) fn refused(self) -> Result<String, String> {
        if self.succeeded() { Err(format!("{} succeeded, it should be an error", self.what)) } else { Ok(self.err) }
    }

    fn said(&self) -> String {
        let lines: Vec<&str> = self.err.lines().chain(self.out.lines()).filter(|line| !line.is_empty()).collect();
        lines.join(" | ")
    }
}

impl Runtime {
    /// The program's path, for callers that make the command themselves.
    pub(crate) fn program(&self) -> &'static str {
        self.program
    }

    /// Runs a command that was made for this runtime.
    pub(crate) fn run(&self, folder: &Path, mut command: Command) -> Result<Ran, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (folder.join(format!("{number}.out")), folder.join(format!("{number}.err")));
        let open = |path| File::create(path).map_err(|e| format!("a file for output: {e}"));
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let verb = words.iter().skip(if words.first().is_some_and(|w| w == "--root") { 2 } else { 0 });
        let what = verb.take(2).filter(|word| !word.starts_with('-')).cloned().collect::<Vec<_>>().join(" ");
        command.stdin(Stdio::null()).stdout(open(&out)?).stderr(open(&err)?);
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", self.program))?;
        let code =
            wait(&mut child).ok_or_else(|| format!("{what} did not end within {} s", PATIENCE.as_secs()))?.code();
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        Ok(Ran { what, code, out: read(&out), err: read(&err), output: out })
    }
}

fn wait(child: &mut std::process::Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Waits until `reached`, as long as a slow machine may take.
pub(crate) fn until(what: &str, mut reached: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
