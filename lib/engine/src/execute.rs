//! Runs a plan's steps as commands, and takes them back.

use crate::plan::{Action, Command, Names, Plan, Step};
use crate::text::Name;
use crate::tools::{Tool, Tools};
use crate::{Error, Kind, Result};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Longest output of a tool that is read, in bytes.
const OUTPUT_BYTES: u64 = 1 << 20;

/// The values of a run.
#[derive(Debug, Clone)]
pub struct Values {
    /// The run's folder.
    pub tmp: PathBuf,
    /// What the networks gave, once it is attached to them: a line of JSON each.
    pub wires: Vec<Value>,
    hosts: String,
    resolver: String,
}

impl Values {
    /// The values of a run in the folder `tmp`.
    pub fn new(tmp: PathBuf) -> Self {
        Self { tmp, wires: Vec::new(), hosts: String::new(), resolver: String::new() }
    }

    /// All texts of the list `member` of all networks.
    fn all(&self, member: &str) -> Vec<String> {
        let lists = self.wires.iter().filter_map(|wire| wire[member].as_array());
        lists.flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

    /// The container's addresses, without their prefix lengths.
    pub fn addresses(&self) -> Vec<String> {
        let mut all = self.all("addresses");
        all.iter_mut().for_each(|a| a.truncate(a.find('/').unwrap_or(a.len())));
        all
    }

    fn name(&mut self, names: &Names) {
        let lines: Vec<String> = self.addresses().iter().map(|a| format!("{a}\t{}", names.names)).collect();
        self.hosts = lines.join("\n");
        let servers = self.all("dns");
        self.resolver = match servers.is_empty() {
            true => names.resolver.without.clone(),
            false => {
                servers.iter().map(|s| format!("nameserver {s}\n")).collect::<String>() + &names.resolver.behind_own
            }
        };
    }

    /// The value called `name`.
    pub fn get(&self, name: Name) -> String {
        match name {
            Name::Tmp => self.tmp.to_string_lossy().into_owned(),
            Name::Hosts => self.hosts.clone(),
            Name::Resolver => self.resolver.trim_end().to_owned(),
            Name::Gateway => {
                let gateway = self.wires.first().and_then(|wire| wire["gateway"].as_str());
                gateway.unwrap_or_default().to_owned()
            }
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
    /// What those that are beside the container wait for: it is closed when we end, also when we are killed.
    alive: Option<OwnedFd>,
    state_root: &'a Path,
}

/// A mount that is being made, and how it is taken back.
type Mounting<'a> = (Running, Option<&'a Command>);

impl<'a> Execution<'a> {
    /// Nothing done yet. Tools are told the store's place by `VENEER_ROOT`.
    pub fn new(tools: &'a Tools, values: Values, state_root: &'a Path) -> Self {
        Self { tools, values, undo: Vec::new(), alive: None, state_root }
    }

    /// Runs every step in order. After an error, what was done is still there: call [`Execution::undo`].
    ///
    /// A mount takes as long as a program's start, and files are written meanwhile: what follows waits for it.
    pub fn run(&mut self, plan: &'a Plan) -> Result<()> {
        let mut mounting = None;
        let done = plan.steps.iter().try_for_each(|step| self.step(step, &mut mounting));
        let mounted = mounting.map_or(Ok(()), |(running, undo)| self.mounted(running, undo));
        done.and(mounted)
    }

    fn step(&mut self, step: &'a Step, mounting: &mut Option<Mounting<'a>>) -> Result<()> {
        if !matches!(step.action, Action::Folders(_) | Action::File { .. } | Action::Mark(_))
            && let Some((running, undo)) = mounting.take()
        {
            self.mounted(running, undo)?;
        }
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
            Action::Mark(path) => make_mark(Path::new(&path.fill(|n| self.values.get(n))))?,
            Action::Own { paths, owner } => {
                for path in paths {
                    crate::ownership::give(Path::new(&path.fill(|n| self.values.get(n))), *owner)?;
                }
            }
            Action::Secret { path, content, owner, mode, .. } => {
                crate::ownership::write(Path::new(&path.fill(|n| self.values.get(n))), content, *owner, *mode)?;
            }
            Action::Names(names) => self.values.name(names),
            Action::Run(command) if command.tool == Tool::OvlMount => {
                let running = Running::begin(self.process(command)?, &self.tools.name(command.tool))?;
                *mounting = Some((running, step.undo.as_ref()));
                return Ok(());
            }
            Action::Run(command) => {
                let output = self.command(command)?;
                if command.wire {
                    self.values.wires.push(wire(&output)?);
                }
            }
        }
        self.undo.extend(&step.undo);
        Ok(())
    }

    /// Waits for a mount that was begun.
    fn mounted(&mut self, running: Running, undo: Option<&'a Command>) -> Result<()> {
        running.end()?;
        self.undo.extend(undo);
        Ok(())
    }

    /// Takes back what was done, the last step first. Goes on after a failure and gives the first.
    pub fn undo(&mut self) -> Result<()> {
        let mut first = Ok(());
        while let Some(command) = self.undo.pop() {
            let done = self.command(command).map(|_| ());
            if first.is_ok() {
                first = done;
            }
        }
        first
    }

    /// Runs one command to its end and gives what it wrote to stdout.
    fn command(&mut self, command: &Command) -> Result<Vec<u8>> {
        if command.tool == Tool::Umount {
            let mut words = command.words.iter().map(|word| word.fill(|n| self.values.get(n)));
            return words.try_for_each(|path| unmount(Path::new(&path))).map(|()| Vec::new());
        }
        run(self.process(command)?, &self.tools.name(command.tool))
    }

    /// The program that a command is.
    fn process(&mut self, command: &Command) -> Result<std::process::Command> {
        let mut process = self.tools.command(command.tool);
        let words = command.words.iter().map(|word| word.fill(|n| self.values.get(n)));
        process.args(words).env("VENEER_ROOT", self.state_root);
        process.envs(command.env.iter().map(|(name, value)| (*name, value.as_str())));
        process.stdin(Stdio::null());
        if command.until_eof {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| crate::error::system("pipe", "", e))?;
            self.alive = Some(ours);
            process.stdin(theirs);
        }
        Ok(process)
    }

    /// The programs it executes.
    pub fn tools(&self) -> &'a Tools {
        self.tools
    }

    /// The OCI runtime, with its state folder, as a command that verbs can be added to.
    pub fn runtime(&self, state: &Path) -> std::process::Command {
        runtime(self.tools, state)
    }
}

/// What `umount` would do here, without a program that takes longer to start than the container to end.
pub(crate) fn unmount(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, rustix::mount::UnmountFlags::NOFOLLOW)
        .map_err(|e| crate::error::system("umount", path.display(), e))
}

/// Makes docker's mark: empty, and as docker's anybody may execute it, whatever our umask says.
pub(crate) fn make_mark(path: &Path) -> Result<()> {
    let made = File::create(path).and_then(|file| file.set_permissions(PermissionsExt::from_mode(0o755)));
    made.map_err(|e| crate::error::system("write", path.display(), e))
}

/// The OCI runtime with its state folder, as a command that verbs can be added to.
pub fn runtime(tools: &Tools, state: &Path) -> std::process::Command {
    let mut command = tools.command(Tool::Runtime);
    command.arg("--root").arg(state);
    command
}

/// Runs `process` to its end; standard input is as the caller set it.
pub fn run(process: std::process::Command, name: &str) -> Result<Vec<u8>> {
    Running::begin(process, name)?.end()
}

/// A tool at work. What it says goes to files without a name, not pipes: a program that leaves a server behind (a FUSE server, say)
/// may leave it our descriptors, and a pipe would then never end.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: std::process::Child,
    out: File,
    err: File,
}

impl Running {
    /// Starts `process`; standard input is as the caller set it.
    pub(crate) fn begin(mut process: std::process::Command, name: &str) -> Result<Self> {
        let (out, err) = (memory_file()?, memory_file()?);
        let shared = |file: &File| file.try_clone().map(Stdio::from);
        let fail = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => Error::new(Kind::Failed, "execute", name)
                .because("executable file not found in $PATH")
                .hint(format!("install {name}, or name another program")),
            _ => Error::new(Kind::Failed, "execute", name).because(e),
        };
        let stdout = shared(&out).map_err(fail)?;
        let stderr = shared(&err).map_err(fail)?;
        let child = process.stdout(stdout).stderr(stderr).spawn().map_err(fail)?;
        Ok(Self { name: name.to_owned(), child, out, err })
    }

    /// Waits for its end and gives what it wrote to stdout.
    pub(crate) fn end(mut self) -> Result<Vec<u8>> {
        let status = self.child.wait().map_err(|e| Error::new(Kind::Failed, "wait for", &self.name).because(e))?;
        if status.success() {
            return contents(&mut self.out);
        }
        let said = String::from_utf8_lossy(&contents(&mut self.err)?).into_owned();
        Err(failure(&self.name, &said, &status.to_string()))
    }
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

/// A file without a name.
pub(crate) fn memory_file() -> Result<File> {
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

/// The line of JSON that `netwire attach` prints.
fn wire(output: &[u8]) -> Result<Value> {
    let fail = || Error::new(Kind::Failed, "netwire attach", "").because("it printed no address");
    let value: Value = serde_json::from_slice(output).map_err(|e| fail().because(e))?;
    value["addresses"][0].as_str().ok_or_else(fail)?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolver::Choice;

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
    fn what_networks_tell_becomes_names() {
        let mut values = Values::new("/run".into());
        let line = br#"{"network":"web","addresses":["172.18.0.2/16","fd00::2/64"],"gateway":"172.18.0.1","dns":[]}"#;
        values.wires.push(wire(line).unwrap());
        assert!(wire(b"{}").is_err());
        let resolver = Choice {
            behind_own: "options ndots:0\n".into(),
            without: "nameserver 10.0.0.1\n".into(),
            fell_back: false,
        };
        let names = Names { names: "box".into(), resolver, gateway: true };
        values.name(&names);
        assert_eq!(values.get(Name::Hosts), "172.18.0.2\tbox\nfd00::2\tbox");
        assert_eq!(values.get(Name::Resolver), "nameserver 10.0.0.1");
        assert_eq!(values.get(Name::Gateway), "172.18.0.1");
        values.wires[0]["dns"] = serde_json::json!(["172.18.0.1"]);
        values.name(&names);
        assert_eq!(values.get(Name::Resolver), "nameserver 172.18.0.1\noptions ndots:0");
    }
}
