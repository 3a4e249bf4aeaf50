//! Makes a container's record and starts its supervisor.

use crate::life::Asked;
use crate::machine::Machine;
use crate::place::Place;
use crate::process::Defaults;
use crate::request::{HOST, Request};
use crate::supervise::hello::{self, Words};
use crate::tools;
use crate::{Error, Kind, Result, names, plan};
use spec::{ContainerId, Digest};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use store::{Record, Root};

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
    if machine.rootless && matches!(request.network, crate::request::Network::Container(_)) {
        return Err(Error::new(Kind::Request, "network", "container:")
            .because(
                "without root each container is in a user namespace of its own, and cannot join another one's network",
            )
            .hint("publish a port (-p) and use it by the machine's address, or run as root"));
    }
    if request.init && request.programs.runtime.is_some() {
        return Err(Error::new(Kind::Request, "--init", "")
            .because("a runtime by others does not know our PID 1")
            .hint("leave out --init or --runtime"));
    }
    crate::surroundings::check(request, machine)
}

/// Writes the record of a new container called `name` (none: one is made up).
pub fn create(root: &Root, request: &Request, base: &Base, name: Option<&str>) -> Result<Record> {
    if let Some(name) = name {
        names::check(name)?;
    }
    let mut asked = Asked { request: request.clone(), defaults: base.defaults.clone() };
    asked.request.over_host = base.is_on_host();
    let asked = serde_json::to_value(asked).map_err(|e| Error::new(Kind::Failed, "write", "record").because(e))?;
    let id = new_id()?;
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
        match root.create_container(&record) {
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

/// A new random id.
pub fn new_id() -> Result<ContainerId> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| crate::error::system("getrandom", "", e))?;
    Ok(ContainerId::from_random(bytes))
}

/// Where the supervisor's own last words go, should it ever need any.
pub fn supervisor_log(root: &Root, record: &Record) -> PathBuf {
    root.container_folder(&record.id).join("supervisor.log")
}

/// How a supervisor's mount namespace is made by who may make one.
pub(crate) const OUTER: &[&str] = &["--mount", "--propagation", "slave"];

/// The options for volumes that stay shared with the machine.
fn shared(record: &Record) -> Vec<String> {
    let Ok(Asked { request, .. }) = Asked::of(record) else { return Vec::new() };
    let sources = request.volumes.iter().map(|volume| volume.source.clone());
    let absent: Vec<PathBuf> = sources.filter(|source| !source.exists()).collect();
    plan::shared(&request, &absent)
}

/// The command that is a supervisor, in namespaces made as `outer` says; its standard input is still to be given.
pub(crate) fn supervisor(root: &Root, record: &Record, place: &Place, own: &Path, outer: &[&str]) -> Command {
    let mut command = tools::ourselves(own, OsStr::new("nsrun"));
    command.args(outer).args(shared(record));
    command.arg("--").arg(own);
    command.arg("--root").arg(root.path()).arg("supervise");
    command.arg(record.id.as_str()).env("VENEER_RUN", place.path()).current_dir("/");
    command
}

/// Starts the supervisor of `record` and gives our end of its control socket, and the process. It lives in a mount
/// namespace of its own and holds nothing of ours: no terminal, no stream, no folder. It may outlive us.
pub fn start(
    root: &Root,
    record: &Record,
    place: &Place,
    own: &Path,
    machine: &Machine,
) -> Result<(UnixStream, Child)> {
    let fail = |e: std::io::Error| Error::new(Kind::Failed, "start", "the supervisor").because(e);
    let (ours, theirs) = UnixStream::pair().map_err(fail)?;
    // We are in the user namespace already where there is one.
    let outer = if machine.rootless { OUTER.to_vec() } else { plan::outer(machine) };
    let mut command = supervisor(root, record, place, own, &outer);
    let machine = hello::own_namespace().map_err(fail)?;
    hello::send(&ours, &Words::default(), &[machine.as_fd()]).map_err(fail)?;
    // Standard input is the one descriptor that comes through every program between us.
    let words = supervisor_log(root, record);
    let words = std::fs::File::create(&words).map_err(|e| crate::error::system("write", words.display(), e))?;
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(words);
    let child = command.spawn().map_err(fail)?;
    Ok((ours, child))
}
