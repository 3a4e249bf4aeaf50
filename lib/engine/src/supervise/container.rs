//! The OCI runtime's verbs, as a supervisor uses them.

use super::probe::Probe;
use crate::execute::{self, Execution, Running};
use crate::plan::Plan;
use crate::request::health::Check;
use crate::{Error, Kind, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use spec::ContainerId;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// A container that runs, and whose streams we hold.
#[derive(Debug)]
pub(super) struct Container {
    /// PID 1 of the container, our child.
    pub(super) pid: i32,
    /// The same, to be waited for.
    pub(super) process: OwnedFd,
    /// Where its standard input comes from; the terminal's master where it has one.
    pub(super) input: Option<OwnedFd>,
    /// What it writes: standard output and standard error, or its terminal alone.
    pub(super) output: [Option<OwnedFd>; 2],
    /// The terminal's master.
    pub(super) terminal: Option<OwnedFd>,
}

/// `run --detach`: gives the container its streams, and `given` as its descriptors 3, 4 and so on, and has it made and started. One program where `create` and `start` are two; what it
/// makes is our child all the same, since we are a subreaper.
pub(super) fn run(execution: &Execution<'_>, state: &Path, plan: &Plan, given: &[OwnedFd]) -> Result<Container> {
    let tmp = &execution.values.tmp;
    let pid_file = tmp.join("pid");
    let log = tmp.join("runtime.log");
    let mut command = execution.runtime(state);
    command.arg("--log").arg(&log).args(["--log-format", "json", "run", "--detach", "--bundle"]);
    command.arg(tmp.join("bundle")).arg("--pid-file").arg(&pid_file);
    let fail = |e: std::io::Error| Error::new(Kind::Failed, "make", "the container's streams").because(e);

    let mut streams = Streams::default();
    let console = tmp.join("console");
    let listener = if plan.tty {
        let listener = UnixListener::bind(&console).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        command.arg("--console-socket").arg(&console);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Some(listener)
    } else {
        streams = Streams::attach(&mut command, plan.interactive).map_err(fail)?;
        None
    };
    let status = if given.is_empty() {
        command.arg(plan.id.as_str()).status()
    } else {
        let given: Vec<BorrowedFd<'_>> = given.iter().map(AsFd::as_fd).collect();
        command.arg("--preserve-fds").arg(given.len().to_string()).arg(plan.id.as_str());
        sys::given::spawn(&mut command, &given).and_then(|mut child| child.wait())
    };
    let status = status.map_err(|e| {
        let name = command.get_program().to_string_lossy().into_owned();
        Error::new(Kind::Failed, "execute", name).because(e).hint("--runtime names the OCI runtime")
    })?;
    // The command holds our ends of the container's streams; they must go, or its output would never end.
    drop(command);
    if !status.success() {
        return Err(runtime_error(&log, &streams.leftover()));
    }
    let pid = std::fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let pid =
        pid.ok_or_else(|| Error::new(Kind::Failed, "runtime run", pid_file.display()).because("no pid was written"))?;
    let process = Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH).and_then(|p| pidfd_open(p, PidfdFlags::empty()));
    let process = process.map_err(|e| fail(e.into()))?;
    let terminal = listener.map(|listener| receive_terminal(&listener)).transpose().map_err(fail)?;
    let (input, output) = match &terminal {
        Some(master) => {
            let copy = || master.try_clone().map_err(fail);
            (Some(copy()?), [Some(copy()?), None])
        }
        None => (streams.input, streams.output),
    };
    Ok(Container { pid, process, input, output, terminal })
}

/// `kill`: sends PID 1 a signal.
pub(super) fn kill(execution: &Execution<'_>, state: &Path, id: &ContainerId, signal: i32) -> Result<()> {
    let mut command = execution.runtime(state);
    command.args(["kill", id.as_str(), &signal.to_string()]);
    execute::run(command, "runtime kill").map(drop)
}

/// `exec`: what looks at the container's health, `words` with all else as its own process has it. `runtime` is the runtime
/// without a verb, `pid_file` the name of a file in `tmp` that no other look writes.
pub(super) fn probe(
    mut runtime: Command,
    tmp: &Path,
    pid_file: &str,
    id: &ContainerId,
    check: Check,
    words: &[String],
) -> Result<Probe> {
    let process = crate::health::write_process(&tmp.join("bundle/config.json"), words)?;
    let pid_file = tmp.join(pid_file);
    runtime.args(["exec", "--process"]).arg(process).arg("--pid-file").arg(&pid_file).arg(id.as_str());
    Ok(Probe::new(check, runtime, pid_file))
}

/// Begins `delete --force`: whatever is left of the container.
pub(super) fn delete(execution: &Execution<'_>, state: &Path, id: &ContainerId) -> Result<Running> {
    let mut command = execution.runtime(state);
    command.args(["delete", "--force", id.as_str()]);
    Running::begin(command, "runtime delete")
}

/// Our ends of a container's pipes.
#[derive(Debug, Default)]
struct Streams {
    input: Option<OwnedFd>,
    output: [Option<OwnedFd>; 2],
}

impl Streams {
    /// Makes pipes and gives `command` the other ends.
    fn attach(command: &mut Command, interactive: bool) -> std::io::Result<Self> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let mut streams = Self::default();
        if interactive {
            let (theirs, ours) = pipe()?;
            command.stdin(theirs);
            streams.input = Some(ours);
        } else {
            command.stdin(Stdio::null());
        }
        let ((out, their_out), (err, their_err)) = (pipe()?, pipe()?);
        command.stdout(their_out).stderr(their_err);
        streams.output = [Some(out), Some(err)];
        Ok(streams)
    }

    /// What a runtime that failed left on what would have been the container's standard error.
    fn leftover(&self) -> Vec<u8> {
        let Some(err) = &self.output[1] else { return Vec::new() };
        let _ = rustix::io::ioctl_fionbio(err, true);
        let mut bytes = vec![0; 16 << 10];
        let read = rustix::io::read(err, &mut bytes).unwrap_or(0);
        bytes.truncate(read);
        bytes
    }
}

/// The terminal's master, which the runtime sent over the console socket (runc, docs/terminals.md).
pub(crate) fn receive_terminal(listener: &UnixListener) -> std::io::Result<OwnedFd> {
    let (socket, _) = listener.accept()?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    recvmsg(&socket, &mut [IoSliceMut::new(&mut name)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let first = descriptors.next().and_then(|mut fds| fds.next());
    first.ok_or_else(|| std::io::Error::other("the runtime sent no terminal"))
}

/// The last error in a runtime's JSON log, and what kind it is by its words.
pub(crate) fn logged_error(log: &Path) -> Option<(Kind, String)> {
    let text = std::fs::read_to_string(log).ok()?;
    let mut lines = text.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let message = lines.find(|l| l["level"] == "error")?["msg"].as_str()?.to_owned();
    Some((kind_of(&message), message))
}

/// runc, crun and nsrun each have their own words around the same few.
fn kind_of(message: &str) -> Kind {
    let words = message.to_lowercase();
    let not_found = words.contains("executable file") && words.contains("not found");
    if words.contains("chdir to cwd") {
        // A working folder that is not there; the program may well be.
        Kind::CannotExecute
    } else if not_found || words.contains("no such file or directory") {
        Kind::CommandNotFound
    } else if words.contains("permission denied") || words.contains("is a directory") {
        Kind::CannotExecute
    } else {
        Kind::Failed
    }
}

/// What the runtime says went wrong: the last error of its JSON log, else what it printed.
fn runtime_error(log: &Path, printed: &[u8]) -> Error {
    let printed = String::from_utf8_lossy(printed).into_owned();
    let printed_line = || printed.lines().rev().find(|l| !l.trim().is_empty() && !l.starts_with("hint: "));
    let message = logged_error(log).map(|(_, message)| message).or_else(|| Some(printed_line()?.trim().to_owned()));
    let message = message.unwrap_or_else(|| "the runtime failed and did not say why".to_owned());
    // docker's engine creates and starts, and these are the words its users know.
    let message = match message.strip_prefix("run failed: ") {
        Some(rest) => format!("create failed: {rest}"),
        None => message,
    };
    let error = Error::new(kind_of(&message), "", message);
    match printed.lines().find_map(|l| l.strip_prefix("hint: ")) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
