//! Makes a container's record and starts its supervisor.

use crate::life::Asked;
use crate::machine::Machine;
use crate::place::Place;
use crate::process::Defaults;
use crate::request::{HOST, Request};
use crate::stream::MOST_GIVEN;
use crate::supervise::hello::{self, Words};
use crate::tools;
use crate::{Error, Kind, Result, names, plan};
use spec::{ContainerId, Digest};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use store::{Record, Root, TempDir};

/// An image, resolved: what a container is made on.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its id; none for `host`.
    pub id: Option<Digest>,
    /// Its layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// What it says of its processes.
    pub defaults: Defaults,
}

impl Base {
    /// The image `host`: the machine's root file system.
    pub fn host() -> Self {
        Self { id: None, layers: vec![PathBuf::from("/")], defaults: Defaults::of_host() }
    }

    /// A folder of the machine as a root file system, with no image and no layer over it (`--rootfs`).
    pub fn folder(path: &str) -> Result<Self> {
        let wrong = |e: std::io::Error| {
            Error::new(Kind::Request, "rootfs", path)
                .because(e)
                .hint("--rootfs takes a folder that holds a root file system")
        };
        let path = std::fs::canonicalize(path).map_err(wrong)?;
        std::fs::read_dir(&path).map_err(wrong)?;
        Ok(Self { id: None, layers: vec![path], defaults: Defaults::default() })
    }

    /// Whether its lowest layer is the machine's root file system.
    pub fn is_on_host(&self) -> bool {
        self.layers.first().is_some_and(|layer| layer == Path::new("/"))
    }
}

/// Refuses what cannot be, before anything is made.
pub fn check(request: &Request, machine: &Machine) -> Result<()> {
    if request.is_on_host() && request.programs.mount.is_some() {
        return Err(Error::new(Kind::Request, "image", HOST)
            .because("only our own ovl-mount may lay a layer over the machine's root")
            .hint("leave out --mount-program, or unset VENEER_MOUNT_PROGRAM"));
    }
    for driver in request.driver.iter().flat_map(|list| list.split(',')) {
        if !matches!(driver, "fuse" | "kernel") {
            return Err(Error::new(Kind::Request, "driver", driver).because("unknown").hint("fuse, kernel, or both"));
        }
        if driver == "kernel" && request.is_on_host() && machine.rootless && request.driver.as_deref() == Some("kernel")
        {
            return Err(Error::new(Kind::Request, "driver", "kernel")
                .because("the kernel does not take / as a lower layer in a user namespace")
                .hint("leave out --driver: fuse serves it"));
        }
    }
    crate::wiring::check(request)?;
    if request.logging.driver == crate::request::logging::Driver::Journald {
        crate::log::journal::check()?;
    }
    if let Some(runtime) = &request.programs.runtime {
        let is_there =
            if runtime.components().count() > 1 { runtime.exists() } else { tools::in_path(runtime).is_some() };
        if !is_there {
            return Err(Error::new(Kind::Request, "", format!("Unknown runtime specified {}", runtime.display()))
                .hint("--runtime (or VENEER_RUNTIME) names an OCI runtime in $PATH, or its file"));
        }
    }
    if request.init && request.programs.runtime.is_some() {
        return Err(Error::new(Kind::Request, "--init", "")
            .because("a runtime by others does not know our PID 1")
            .hint("leave out --init or --runtime"));
    }
    crate::surroundings::check(request, machine)
}

/// Writes the record of a new container called `name` (none: one is made up); the disk has it then.
pub fn create(root: &Root, request: &Request, base: &Base, name: Option<&str>) -> Result<Record> {
    write(new_id()?, request, base, name, |record| root.create_container(record))
}

/// Writes the record of the container `id` by `create`, under another name where one that was made up is taken.
fn write(
    id: ContainerId,
    request: &Request,
    base: &Base,
    name: Option<&str>,
    mut create: impl FnMut(&Record) -> store::Result<()>,
) -> Result<Record> {
    if let Some(name) = name {
        names::check(name)?;
    }
    let mut asked = Asked { request: request.clone(), defaults: base.defaults.clone() };
    asked.request.over_host = base.is_on_host();
    // They are executed in other folders than ours.
    asked.request.programs = request.programs.in_any_folder();
    let asked = serde_json::to_value(asked).map_err(|e| Error::new(Kind::Failed, "write", "record").because(e))?;
    let mut record = Record {
        name: name.map_or_else(|| names::make_up(id.as_str(), 0), str::to_owned),
        id,
        created: jiff::Timestamp::now().to_string(),
        image: request.image.clone(),
        image_id: base.id,
        layers: base.layers.clone(),
        asked,
    };
    for attempt in 1..=20 {
        match create(&record) {
            Ok(()) => return Ok(record),
            Err(e) if e.kind == store::Kind::Exists && e.op == "container name" => match name {
                Some(name) => {
                    return Err(Error::new(Kind::Conflict, "", names::taken(name, &e.subject))
                        .hint(format!("remove it (ctr rm {name}) or choose another name")));
                }
                None => record.name = names::make_up(record.id.as_str(), attempt),
            },
            Err(e) => return Err(crate::error::store(e)),
        }
    }
    Err(Error::new(Kind::Conflict, "container name", "").because("no free one was found").hint("give one by --name"))
}

/// A new random id. As docker's: never one that is a number when shortened, which as a host name would be read as an address.
pub fn new_id() -> Result<ContainerId> {
    loop {
        let mut bytes = [0; 32];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| crate::error::system("getrandom", "", e))?;
        let id = ContainerId::from_random(bytes);
        if id.short().bytes().any(|b| !b.is_ascii_digit()) {
            return Ok(id);
        }
    }
}

/// The descriptors 3 to `count` + 2 that we were started with, for a container to have, or another process in one.
pub fn given(count: u16) -> Result<Vec<OwnedFd>> {
    if usize::from(count) > MOST_GIVEN {
        return Err(Error::new(Kind::Request, "", format!("at most {MOST_GIVEN} descriptors can be preserved")));
    }
    sys::given::inherited(count).map_err(|number| {
        let what = "the preserve-fds option requires that file descriptors must be passed";
        Error::new(Kind::Request, "", format!("file descriptor {number} is not available - {what}"))
            .hint(format!("--preserve-fds {count} with {number}<FILE at the end of the line"))
    })
}

/// The file that a supervisor's own last words go to, should it ever need any; in its container's folder.
const LAST_WORDS: &str = "supervisor.log";

/// Where the supervisor's own last words go.
pub fn supervisor_log(root: &Root, record: &Record) -> PathBuf {
    root.container_folder(&record.id).join(LAST_WORDS)
}

/// How a supervisor's mount namespace is made by who may make one.
pub(crate) const OUTER: &[&str] = &["--mount", "--propagation", "slave"];

/// The options for volumes that stay shared with the machine.
fn shared(request: &Request) -> Vec<String> {
    let sources = request.volumes.iter().map(|volume| volume.source.clone());
    let absent: Vec<PathBuf> = sources.filter(|source| !source.exists()).collect();
    plan::shared(request, &absent)
}

/// The command that is the supervisor of the container `id`, in namespaces made as `outer` says; its standard input is still to be given.
pub(crate) fn supervisor(
    root: &Root,
    id: &ContainerId,
    request: &Request,
    place: &Place,
    own: &Path,
    outer: &[&str],
) -> Command {
    let mut command = tools::ourselves(own, OsStr::new("nsrun"));
    command.args(outer).args(shared(request));
    command.arg("--").arg(own);
    command.arg("--root").arg(root.path()).arg("supervise");
    command.arg(id.as_str()).env("VENEER_RUN", place.path()).current_dir("/");
    command
}

/// A supervisor that was started.
#[derive(Debug)]
pub struct Starting {
    /// Our end of its socket: what it writes, and how it goes.
    pub socket: UnixStream,
    /// Itself.
    pub supervisor: Child,
}

/// A supervisor that gets ready while the record of its container is still being written.
#[derive(Debug)]
pub struct Begun {
    id: ContainerId,
    folder: TempDir,
    waiting: Waiting,
}

impl Begun {
    /// Writes the record of its container, as [`create`] does; but it is for the caller to wait until the disk has it
    /// ([`Root::sync_container`]).
    pub fn create(self, root: &Root, request: &Request, base: &Base, name: Option<&str>) -> Result<(Record, Waiting)> {
        let Self { id, mut folder, waiting } = self;
        let record = write(id, request, base, name, |record| root.create_container_in(&mut folder, record))?;
        Ok((record, waiting))
    }
}

/// A supervisor that waits for its first words. Without them it ends and has done nothing.
#[derive(Debug)]
pub struct Waiting {
    starting: Starting,
    /// The mount namespace that it comes back to for another run.
    machine: OwnedFd,
}

impl Waiting {
    /// Says them. The container is given `given` as its descriptors 3, 4 and so on. That nobody is there any more to hear them finds
    /// out whoever reads what the supervisor writes.
    pub fn go(self, given: &[OwnedFd]) -> Result<Starting> {
        let along: Vec<BorrowedFd<'_>> = std::iter::once(&self.machine).chain(given).map(AsFd::as_fd).collect();
        match hello::send(&self.starting.socket, &Words::default(), &along) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(failed(e)),
            _ => Ok(self.starting),
        }
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::new(Kind::Failed, "start", "the supervisor").because(e)
}

/// Starts the supervisor of a container that [`Begun::create`] is to make.
pub fn begin(root: &Root, request: &Request, place: &Place, own: &Path, machine: &Machine) -> Result<Begun> {
    let id = new_id()?;
    let folder = root.temp_dir().map_err(crate::error::store)?;
    let command = supervisor(root, &id, request, place, own, &outer(machine));
    let waiting = spawn(command, &folder.path().join(LAST_WORDS))?;
    Ok(Begun { id, folder, waiting })
}

/// Starts the supervisor of `record`. It lives in a mount namespace of its own and holds nothing of ours: no terminal, no stream, no
/// folder. It may outlive us.
pub fn start(root: &Root, record: &Record, place: &Place, own: &Path, machine: &Machine) -> Result<Waiting> {
    let Asked { request, .. } = Asked::of(record)?;
    let command = supervisor(root, &record.id, &request, place, own, &outer(machine));
    spawn(command, &supervisor_log(root, record))
}

/// We are in the user namespace already where there is one.
fn outer(machine: &Machine) -> Vec<&'static str> {
    if machine.rootless { OUTER.to_vec() } else { plan::outer(machine) }
}

fn spawn(mut command: Command, log: &Path) -> Result<Waiting> {
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let machine = hello::own_namespace().map_err(failed)?;
    let log = std::fs::File::create(log).map_err(|e| crate::error::system("write", log.display(), e))?;
    // Standard input is the one descriptor that comes through every program between us.
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(log);
    let supervisor = command.spawn().map_err(failed)?;
    Ok(Waiting { starting: Starting { socket: ours, supervisor }, machine })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_that_is_gone_before_its_first_words_is_told_of_by_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no room >&2; exit 1"]);
        let mut waiting = spawn(command, &dir.path().join(LAST_WORDS)).unwrap();
        waiting.starting.supervisor.wait().unwrap();
        let starting = waiting.go(&[]).unwrap();
        let error = crate::attach::until_started(starting.socket).unwrap_err();
        assert_eq!(error.to_string(), "the container's supervisor: it went away without a word");
        assert_eq!(std::fs::read_to_string(dir.path().join(LAST_WORDS)).unwrap(), "no room\n");
    }
}
