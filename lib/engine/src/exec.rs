//! Another process in a container that runs: what it is, and how it is started.
//!
//! ```text
//! <run>/<short id>/exec/<exec id>.json   the process, as in config.json: what the OCI runtime's `exec --process` reads
//!                       <exec id>.pid    its pid, once it runs
//!                       <exec id>.log    what the runtime said, if it said anything
//! ```
//!
//! One in the foreground without a terminal is started by who wants it: it has his streams, and nothing stands between. One with a
//! terminal, or in the background, is started by the container's supervisor, which is its reaper and goes on reading its terminal
//! when nobody looks at it any more ([`Begin`]). The files go when it has ended; of those whose starter was killed
//! [`running`] tells the truth, and they go with the container.

use crate::accounts::Accounts;
use crate::life::Asked;
use crate::place::Place;
use crate::supervise::logged_error;
use crate::tools::Tools;
use crate::{Error, Kind, Result, execute};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::{Value, json};
use spec::ContainerId;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use store::{Record, Root};

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `-e` and `--env-file`: `NAME=value`, resolved.
    pub env: Vec<String>,
    /// `-u`; none: the container's.
    pub user: Option<String>,
    /// `-w`; none: the container's.
    pub workdir: Option<String>,
    /// With a terminal.
    pub tty: bool,
    /// How large the terminal is: rows and columns.
    pub size: Option<(u16, u16)>,
    /// With all capabilities there are.
    pub privileged: bool,
}

/// docker's exit code for one that could not be started.
pub fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::CommandNotFound => 127,
        _ => 126,
    }
}

/// The process as the runtime is told: the container's own, and what is wanted differently. `own` is that from its `config.json`.
pub fn describe(own: &Value, wanted: &Wanted, asked: &Asked, accounts: impl FnOnce() -> Accounts) -> Result<Value> {
    let mut process = own.clone();
    let mut env: Vec<String> = serde_json::from_value(own["env"].clone()).unwrap_or_default();
    let said = |name: &str| {
        let begins = |e: &String| e.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        [&asked.defaults.env, &asked.request.env, &wanted.env].into_iter().flatten().any(begins)
    };
    if !said("TERM") {
        env.retain(|e| !e.starts_with("TERM="));
        if wanted.tty {
            env.push("TERM=xterm".into());
        }
    }
    if let Some(user) = &wanted.user {
        let identity = accounts().resolve_with(user, &asked.request.manner.groups)?;
        // A container without any may have none: a user namespace of one id.
        let may = own["user"]["additionalGids"].as_array().is_some_and(|groups| !groups.is_empty());
        let groups = if may { identity.all_groups() } else { identity.groups };
        process["user"]["uid"] = json!(identity.uid);
        process["user"]["gid"] = json!(identity.gid);
        process["user"]["additionalGids"] = json!(groups);
        if !said("HOME") {
            env.retain(|e| !e.starts_with("HOME="));
            env.push(format!("HOME={}", identity.home));
        }
        // docker: only root has what the bounding set allows
        let root = identity.uid == 0;
        let effective = if root { process["capabilities"]["bounding"].clone() } else { json!([]) };
        (process["capabilities"]["permitted"], process["capabilities"]["effective"]) = (effective.clone(), effective);
        process["capabilities"]["ambient"] = json!([]);
    }
    if wanted.privileged {
        let all: Vec<String> = crate::surroundings::held().into_iter().map(spec::capability::name).collect();
        process["capabilities"] = json!({ "bounding": all, "permitted": all, "effective": all });
        process["noNewPrivileges"] = json!(false);
        if let Some(process) = process.as_object_mut() {
            process.remove("apparmorProfile");
        }
    }
    for setting in &wanted.env {
        crate::process::set(&mut env, setting);
    }
    if let Some(folder) = wanted.workdir.as_deref().filter(|f| !f.is_empty()) {
        if !folder.starts_with('/') {
            return Err(
                Error::new(Kind::CannotExecute, "", "Cwd must be an absolute path").hint(format!("-w /{folder}"))
            );
        }
        process["cwd"] = json!(folder);
    }
    if wanted.command.iter().chain(&env).any(|text| text.contains('\0')) {
        return Err(Error::new(Kind::Request, "argument", "").because("it holds a NUL byte"));
    }
    process["env"] = json!(env);
    process["args"] = json!(wanted.command);
    process["terminal"] = json!(wanted.tty);
    if let (Some((rows, columns)), true) = (wanted.size, wanted.tty) {
        process["consoleSize"] = json!({ "height": rows, "width": columns });
    }
    Ok(process)
}

/// A process that is to run, as files.
#[derive(Debug, Clone)]
pub struct Exec {
    /// 64 hexadecimal digits.
    pub id: String,
    folder: PathBuf,
}

impl Exec {
    /// Describes it: docker's `exec create`.
    pub fn create(root: &Root, place: &Place, record: &Record, asked: &Asked, wanted: &Wanted) -> Result<Self> {
        let bundle = place.of(&record.id).join("bundle/config.json");
        let fail = |e: std::io::Error| {
            Error::new(Kind::Conflict, "", format!("Container {} is not running", record.id)).because(e)
        };
        let config: Value = serde_json::from_slice(&std::fs::read(&bundle).map_err(fail)?)
            .map_err(|e| Error::new(Kind::Failed, "read", bundle.display()).because(e))?;
        if wanted.command.first().is_some_and(String::is_empty) {
            return Err(crate::process::no_program("exec"));
        }
        let process = describe(&config["process"], wanted, asked, || Accounts::of_container(root, record))?;
        let exec = Self { id: crate::launch::new_id()?.to_string(), folder: folder(place, &record.id) };
        let fail = |e: std::io::Error| crate::error::system("write", exec.folder.display(), e);
        match std::fs::create_dir(&exec.folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(e)),
            _ => {}
        }
        std::fs::write(exec.file("json"), process.to_string()).map_err(fail)?;
        Ok(exec)
    }

    /// The one with this id, which somebody else described.
    pub fn named(place: &Place, container: &ContainerId, id: &str) -> Option<Self> {
        let plain = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| Self { id: id.to_owned(), folder: folder(place, container) })
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.id))
    }

    /// The runtime's command line that runs it, with `--detach` and perhaps a console socket, or with its streams; it is to have
    /// `given` descriptors beside them.
    fn command(
        &self,
        tools: &Tools,
        place: &Place,
        more: &[&Path],
        given: &[OwnedFd],
        container: &ContainerId,
    ) -> Command {
        let mut command = execute::runtime(tools, &place.runtime());
        command.arg("--log").arg(self.file("log")).args(["--log-format", "json", "exec"]);
        command.arg("--process").arg(self.file("json")).arg("--pid-file").arg(self.file("pid"));
        command.args(more);
        if !given.is_empty() {
            command.arg("--preserve-fds").arg(given.len().to_string());
        }
        command.arg(container.as_str());
        command
    }

    /// Starts it with our own streams, and `given` as its descriptors 3, 4 and so on; without `input` it has none.
    pub fn spawn(
        &self,
        tools: &Tools,
        place: &Place,
        container: &ContainerId,
        input: bool,
        given: &[OwnedFd],
    ) -> Result<Child> {
        let mut command = self.command(tools, place, &[], given, container);
        if !input {
            command.stdin(Stdio::null());
        }
        start(&mut command, given)
            .map_err(|e| Error::new(Kind::CannotExecute, "execute", command.get_program().display()).because(e))
    }

    /// Why the runtime could not run it, if that was so.
    pub fn failure(&self) -> Option<(Kind, String)> {
        logged_error(&self.file("log"))
    }

    /// It has ended: forgets it.
    pub fn forget(&self) {
        for kind in ["json", "pid", "log"] {
            let _ = std::fs::remove_file(self.file(kind));
        }
    }

    /// Starts it beside its container without anybody's streams, with a terminal where it is described with one. Whoever calls this is
    /// a subreaper, and so its parent. It has `given` as its descriptors 3, 4 and so on.
    pub fn begin(&self, tools: &Tools, place: &Place, container: &ContainerId, given: &[OwnedFd]) -> Result<Begun> {
        let document: Value = std::fs::read(self.file("json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .ok_or_else(|| Error::new(Kind::NotFound, "", format!("No such exec instance: {}", self.id)))?;
        // One at a time, and by a name that leaves room for a long path before it: sockets have short ones.
        let console = self.folder.join("tty");
        let _ = std::fs::remove_file(&console);
        let tty = document["terminal"] == true;
        let fail = |e: std::io::Error| crate::error::system("make", "a terminal", e);
        let listener = match tty {
            true => Some(std::os::unix::net::UnixListener::bind(&console).map_err(fail)?),
            false => None,
        };
        let mut more = vec![Path::new("--detach")];
        if let Some(listener) = &listener {
            listener.set_nonblocking(true).map_err(fail)?;
            more.extend([Path::new("--console-socket"), console.as_path()]);
        }
        let mut command = self.command(tools, place, &more, given, container);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let said = start(&mut command, given).and_then(|mut child| child.wait()).map_err(fail)?;
        if !said.success() {
            let (kind, why) = self.failure().unwrap_or((Kind::Failed, "the runtime did not say why".into()));
            return Err(Error::new(kind, "", why));
        }
        let terminal =
            listener.map(|listener| crate::supervise::receive_terminal(&listener)).transpose().map_err(fail)?;
        let lost = |e| crate::error::system("find", "the process", e);
        let pid = self.pid().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH).map_err(lost)?;
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(lost)?;
        Ok(Begun { pid: pid.as_raw_nonzero().get(), process, terminal })
    }

    fn pid(&self) -> Option<i32> {
        std::fs::read_to_string(self.file("pid")).ok()?.trim().parse().ok()
    }
}

fn start(command: &mut Command, given: &[OwnedFd]) -> std::io::Result<Child> {
    if given.is_empty() {
        return command.spawn();
    }
    let given: Vec<BorrowedFd<'_>> = given.iter().map(AsFd::as_fd).collect();
    sys::given::spawn(command, &given)
}

/// A process that runs.
#[derive(Debug)]
pub struct Begun {
    /// Its pid.
    pub pid: i32,
    /// Itself.
    pub process: OwnedFd,
    /// Its terminal's master.
    pub terminal: Option<OwnedFd>,
}

fn folder(place: &Place, container: &ContainerId) -> PathBuf {
    place.of(container).join("exec")
}

/// The ids of the processes that run in a container beside its first one, whose pid is `first`: docker's `ExecIDs`.
pub fn running(place: &Place, container: &ContainerId, first: i32) -> Vec<String> {
    let space = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(own) = space(first) else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(folder(place, container)) else { return Vec::new() };
    let ids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.strip_suffix(".pid").map(str::to_owned));
    let mut ids: Vec<String> = ids
        .filter(|id| {
            let pid = Exec::named(place, container, id).and_then(|exec| exec.pid());
            pid.and_then(space).is_some_and(|space| space == own)
        })
        .collect();
    ids.sort();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Defaults;
    use crate::request::Request;

    fn own() -> Value {
        json!({
            "terminal": true, "args": ["sleep"], "cwd": "/srv", "env": ["PATH=/bin", "TERM=xterm", "HOME=/root", "A=1"],
            "user": { "uid": 0, "gid": 0 },
            "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"] },
            "rlimits": [{ "type": "RLIMIT_CORE", "hard": 0, "soft": 0 }],
        })
    }

    fn described(wanted: &Wanted) -> Result<Value> {
        let asked =
            Asked { request: Request { env: vec!["A=1".into()], ..Request::default() }, defaults: Defaults::default() };
        let accounts = || Accounts::parse("web:x:7:8::/srv/web:/bin/sh\n", "web:x:8:\nlog:x:9:web\n");
        describe(&own(), wanted, &asked, accounts)
    }

    #[test]
    fn it_is_as_the_containers_own_but_for_what_is_said() {
        let process = described(&Wanted { command: vec!["id".into()], ..Wanted::default() }).unwrap();
        assert_eq!(process["env"], json!(["PATH=/bin", "HOME=/root", "A=1"]));
        assert_eq!((&process["cwd"], &process["terminal"]), (&json!("/srv"), &json!(false)));
        assert_eq!(process["rlimits"], own()["rlimits"]);
        let wanted = Wanted {
            tty: true,
            env: vec!["A=2".into(), "B=3".into()],
            workdir: Some("/x".into()),
            ..Wanted::default()
        };
        let process = described(&wanted).unwrap();
        assert_eq!(process["env"], json!(["PATH=/bin", "HOME=/root", "A=2", "TERM=xterm", "B=3"]));
        assert_eq!(process["cwd"], "/x");
    }

    #[test]
    fn another_user_has_another_home_and_nothing_of_roots() {
        let process = described(&Wanted { user: Some("web".into()), ..Wanted::default() }).unwrap();
        assert_eq!(process["user"], json!({ "uid": 7, "gid": 8, "additionalGids": [9] }));
        assert_eq!(process["env"], json!(["PATH=/bin", "A=1", "HOME=/srv/web"]));
        assert_eq!(process["capabilities"]["effective"], json!([]));
        assert_eq!(process["capabilities"]["bounding"], json!(["CAP_KILL"]));
        let error = described(&Wanted { user: Some("nobody".into()), ..Wanted::default() }).unwrap_err();
        assert_eq!(exit_code(error.kind), 126);
        let error = described(&Wanted { workdir: Some("x".into()), ..Wanted::default() }).unwrap_err();
        assert_eq!((error.to_string().as_str(), exit_code(error.kind)), ("Cwd must be an absolute path", 126));
    }
}
