//! Runs a plan's steps as commands, and takes them back.

use crate::plan::{Action, Command, Plan};
use crate::text::Name;
use crate::tools::{Tool, Tools};
use crate::{Error, Kind, Result};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Longest output of a tool that is read, in bytes.
const OUTPUT_BYTES: u64 = 1 << 20;

/// The values of a run.
#[derive(Debug, Clone)]
pub struct Values {
    /// The run's folder.
    pub tmp: PathBuf,
    /// The container's address, once it has one.
    pub address: Option<String>,
}

impl Values {
    /// The value called `name`.
    pub fn get(&self, name: Name) -> String {
        match name {
            Name::Tmp => self.tmp.to_string_lossy().into_owned(),
            Name::Address => self.address.clone().unwrap_or_default(),
        }
    }
}

/// A plan that is being executed; what was done can be taken back.
#[derive(Debug)]
pub struct Execution<'a> {
    tools: &'a Tools,
    /// The run's values.
    pub values: Values,
    undo: Vec<&'a Command>,
    /// Servers beside the container; each ends when its standard input does, also when we are killed.
    servers: Vec<std::process::Child>,
    state_root: &'a Path,
}

impl<'a> Execution<'a> {
    /// Nothing done yet. Tools are told the store's place by `VENEER_ROOT`.
    pub fn new(tools: &'a Tools, values: Values, state_root: &'a Path) -> Self {
        Self { tools, values, undo: Vec::new(), servers: Vec::new(), state_root }
    }

    /// Runs every step in order. After an error, what was done is still there: call [`Execution::undo`].
    pub fn run(&mut self, plan: &'a Plan) -> Result<()> {
        for step in &plan.steps {
            match &step.action {
                Action::Folders(paths) => {
                    for path in paths {
                        let path = path.fill(|n| self.values.get(n));
                        let fail = |e: std::io::Error| crate::error::system("make", &path, e);
                        std::fs::create_dir_all(&path).map_err(fail)?;
                    }
                }
                Action::File { path, content } => {
                    let path = path.fill(|n| self.values.get(n));
                    let content = content.fill(|n| self.values.get(n));
                    let fail = |e: std::io::Error| crate::error::system("write", &path, e);
                    std::fs::write(&path, content).map_err(fail)?;
                }
                Action::Serve(command) => self.serve(command)?,
                Action::Run(command) => {
                    let output = self.command(command)?;
                    if let Some(Name::Address) = command.output {
                        self.values.address = Some(first_address(&output)?);
                    }
                }
            }
            self.undo.extend(&step.undo);
        }
        Ok(())
    }

    /// Takes back what was done, the last step first. Goes on after a failure and gives the first.
    pub fn undo(&mut self) -> Result<()> {
        for mut server in self.servers.drain(..) {
            drop(server.stdin.take());
            let _ = server.wait();
        }
        let mut first = Ok(());
        while let Some(command) = self.undo.pop() {
            let done = self.command(command).map(|_| ());
            if first.is_ok() {
                first = done;
            }
        }
        first
    }

    /// Starts a server and waits until it says that it is ready.
    fn serve(&mut self, command: &Command) -> Result<()> {
        let name = self.tools.name(command.tool);
        let mut words = vec![name.clone()];
        words.extend(command.words.iter().map(|word| word.fill(|n| self.values.get(n))));
        // What it is to say goes to descriptor 3 and its other words nowhere: the shell puts them in place.
        let mut server = std::process::Command::new("sh");
        server.args(["-c", "exec \"$0\" \"$@\" 3>&1 >/dev/null"]).args(words);
        server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let fail = |e: std::io::Error| crate::error::system("execute", &name, e);
        let mut server = server.spawn().map_err(fail)?;
        let ready = server.stdout.take().map(|mut out| out.read(&mut [0; 1]));
        self.servers.push(server);
        match ready {
            Some(Ok(1)) => Ok(()),
            _ => Err(Error::new(Kind::Failed, "execute", name)
                .because("it ended before it was ready")
                .hint("--network none does without it; /dev/net/tun must be there and open to you")),
        }
    }

    /// Runs one command to its end and gives what it wrote to stdout.
    fn command(&self, command: &Command) -> Result<Vec<u8>> {
        let words = command.words.iter().map(|word| word.fill(|n| self.values.get(n)));
        let mut process = self.tools.command(command.tool);
        process.args(words).env("VENEER_ROOT", self.state_root);
        process.envs(command.env.iter().map(|(name, value)| (*name, value.as_str())));
        run(process, &self.tools.name(command.tool))
    }

    /// The OCI runtime, with its state folder, as a command that verbs can be added to.
    pub fn runtime(&self, state: &Path) -> std::process::Command {
        runtime(self.tools, state)
    }
}

/// The OCI runtime with its state folder, as a command that verbs can be added to.
pub fn runtime(tools: &Tools, state: &Path) -> std::process::Command {
    let mut command = tools.command(Tool::Runtime);
    command.arg("--root").arg(state);
    command
}

/// Runs `process` to its end. What it says goes to files without a name, not pipes: a program that leaves a server behind
/// (a FUSE server, say) may leave it our descriptors, and a pipe would then never end.
pub fn run(mut process: std::process::Command, name: &str) -> Result<Vec<u8>> {
    let (mut out, mut err) = (memory_file()?, memory_file()?);
    let shared = |file: &File| file.try_clone().map(Stdio::from);
    let fail = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(Kind::Failed, "execute", name)
            .because("executable file not found in $PATH")
            .hint(format!("install {name}, or name another program")),
        _ => Error::new(Kind::Failed, "execute", name).because(e),
    };
    let stdout = shared(&out).map_err(fail)?;
    let stderr = shared(&err).map_err(fail)?;
    let status = process.stdin(Stdio::null()).stdout(stdout).stderr(stderr).status().map_err(fail)?;
    if status.success() {
        return contents(&mut out);
    }
    let said = String::from_utf8_lossy(&contents(&mut err)?).into_owned();
    Err(failure(name, &said, &status.to_string()))
}

/// A tool's words as our error: its last line that is no hint, and its hint.
fn failure(name: &str, said: &str, status: &str) -> Error {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let hint = lines.iter().rev().find_map(|l| l.strip_prefix("hint: "));
    let message = lines.iter().rev().find(|l| !l.starts_with("hint: "));
    let error = match message {
        Some(line) => Error::new(Kind::Failed, "", line),
        None => Error::new(Kind::Failed, "execute", name).because(status),
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn memory_file() -> Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let fail = |e: rustix::io::Errno| crate::error::system("memfd_create", "", e);
    memfd_create("veneer", MemfdFlags::CLOEXEC).map(File::from).map_err(fail)
}

fn contents(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let fail = |e: std::io::Error| crate::error::system("read", "a tool's output", e);
    file.rewind().map_err(fail)?;
    file.take(OUTPUT_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// The first address of `netwire attach`'s JSON line, without its prefix length.
fn first_address(output: &[u8]) -> Result<String> {
    let fail = || Error::new(Kind::Failed, "netwire attach", "").because("it printed no address");
    let value: serde_json::Value = serde_json::from_slice(output).map_err(|e| fail().because(e))?;
    let address = value["addresses"][0].as_str().ok_or_else(fail)?;
    Ok(address.split('/').next().unwrap_or(address).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_words_become_the_error() {
        let said = "warning: x\novl-mount: mount /x: no such device\nhint: modprobe overlay\n";
        let error = failure("ovl-mount", said, "exit status: 1");
        assert_eq!(error.to_string(), "ovl-mount: mount /x: no such device");
        assert_eq!(error.hint.as_deref(), Some("modprobe overlay"));
        assert_eq!(failure("x", "", "exit status: 1").to_string(), "execute x: exit status: 1");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "echo out; echo why >&2; exit 3"]);
        assert_eq!(run(shell, "sh").unwrap_err().to_string(), "why");
        let absent = std::process::Command::new("/no/such");
        assert_eq!(
            run(absent, "ovl-mount").unwrap_err().to_string(),
            "execute ovl-mount: executable file not found in $PATH"
        );
    }

    #[test]
    fn addresses() {
        let line = br#"{"network":"bridge","addresses":["172.17.0.2/16"]}"#;
        assert_eq!(first_address(line).unwrap(), "172.17.0.2");
        assert!(first_address(b"{}").is_err());
    }
}
