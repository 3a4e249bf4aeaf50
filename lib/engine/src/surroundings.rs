//! What a plan needs of the world because of what was asked for: other containers' processes, device nodes, folders that are not
//! there yet. Looked up before the plan is made, so that making it stays pure.
//!
//! [`settled`] is for a new container and goes into its record; [`Surroundings::look`] is for each start, since processes and
//! devices come and go.

mod devices;

pub use devices::Node;

use crate::machine::Machine;
use crate::request::isolation::{Maps, Space, Users};
use crate::request::secret::Way;
use crate::request::volume::{self, Kind as VolumeKind, Volume};
use crate::request::{Network, Request, wrong};
use crate::{Error, Kind, Result, life, userns};
use spec::runtime::Capability;
use std::path::PathBuf;
use store::{Record, Root, Status};

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The processes whose namespaces the container joins.
    pub joined: Joined,
    /// The device nodes it has beyond those of every container.
    pub nodes: Vec<Node>,
    /// Capabilities this process can give at all (capabilities(7): the bounding set); empty where nobody looked.
    pub held: Vec<Capability>,
    /// Sources of volumes that are not there and are to be made.
    pub absent: Vec<PathBuf>,
    /// What its secrets are, in the order they were asked for.
    pub secrets: Vec<Vec<u8>>,
}

/// Processes of other containers, by what of theirs is joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Joined {
    /// `--pid container:`
    pub pid: Option<i32>,
    /// `--ipc container:`
    pub ipc: Option<i32>,
    /// `--uts container:`
    pub uts: Option<i32>,
    /// `--cgroupns container:`
    pub cgroup: Option<i32>,
    /// `--userns container:`
    pub users: Option<i32>,
}

impl Surroundings {
    /// Looks. `root` is asked for only where another container matters.
    pub fn look(request: &Request, root: impl Fn() -> Result<Root>) -> Result<Self> {
        let isolation = &request.isolation;
        let of = |space: &Space, what: &str| match space.container() {
            Some(name) => running(&root()?, name, what).map(|(_, pid)| Some(pid)),
            None => Ok(None),
        };
        let joined = Joined {
            pid: of(&isolation.pid, "PID")?,
            ipc: of(&isolation.ipc, "IPC")?,
            uts: of(&isolation.uts, "UTS")?,
            cgroup: of(&isolation.cgroup, "cgroup")?,
            users: match &isolation.users {
                Users::Container(name) => Some(running(&root()?, name, "user")?.1),
                _ => None,
            },
        };
        let mut nodes = Vec::new();
        if isolation.privileged {
            nodes.extend(devices::all());
        }
        for device in &isolation.devices {
            let found = devices::find(device)?;
            nodes.retain(|node: &Node| !found.iter().any(|f| f.target == node.target));
            nodes.extend(found);
        }
        let binds = || request.volumes.iter().filter(|v| v.is_bind());
        let is_missing = |v: &&Volume| {
            !v.strict && matches!(std::fs::metadata(&v.source), Err(e) if e.kind() == std::io::ErrorKind::NotFound)
        };
        let absent = binds().filter(is_missing).map(|v| v.source.clone()).collect();
        let mut secrets = Vec::new();
        for secret in &request.manner.secrets {
            let root = root()?;
            let found = root.find_secret(&secret.name).map_err(crate::error::store)?;
            let data = root.secret_data(&found).map_err(crate::error::store)?;
            let is_text = !data.contains(&0) && std::str::from_utf8(&data).is_ok();
            if matches!(secret.way, Way::Variable(_)) && !is_text {
                let name = &secret.name;
                return Err(Error::new(Kind::Request, "secret", name)
                    .because("no variable can hold its bytes")
                    .hint(format!("--secret {name},type=mount gives it as a file")));
            }
            secrets.push(data);
        }
        Ok(Self { joined, nodes, held: held(), absent, secrets })
    }
}

/// The bounding set (proc_pid_status(5)).
pub(crate) fn held() -> Vec<Capability> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapBnd:")?.trim(), 16).ok());
    let Some(mask) = mask else { return Vec::new() };
    let all = spec::capability::ALL.into_iter();
    all.filter(|c| mask >> spec::capability::number(*c) & 1 == 1).collect()
}

/// The container called `name`, which must run for its `what` to be joined, and its process.
fn running(root: &Root, name: &str, what: &str) -> Result<(Record, i32)> {
    let record = find(root, name)?;
    let now = life::state(root, &record.id)?;
    match now.process.filter(|_| matches!(now.status, Status::Running | Status::Paused)) {
        Some(process) => Ok((record, process.pid)),
        None => {
            Err(Error::new(Kind::Conflict, "", format!("cannot join {what} of a non running container: {}", record.id)))
        }
    }
}

fn find(root: &Root, name: &str) -> Result<Record> {
    root.find_container(name).map_err(|e| {
        if e.kind == store::Kind::NotFound {
            Error::new(Kind::NotFound, "", format!("No such container: {name}")).hint("ctr ps -a lists containers")
        } else {
            crate::error::store(e)
        }
    })
}

/// Refuses what this machine has not, before anything is made.
pub fn check(request: &Request, machine: &Machine) -> Result<()> {
    let isolation = &request.isolation;
    if isolation.uts == Space::Host && request.hostname.is_some() {
        return Err(wrong("conflicting options: hostname and the UTS mode"));
    }
    if isolation.uts == Space::Host && request.manner.domainname.is_some() {
        return Err(wrong("conflicting options: domainname and the UTS mode"));
    }
    userns::maps(request, machine)?;
    if matches!(isolation.users, Users::Container(_)) && !isolation.maps.is_empty() {
        return Err(wrong("cannot set a map of ids with that --userns").hint("--uidmap and --gidmap stand alone"));
    }
    let volumes = volume::distinct(request.volumes.clone())?;
    for volume in volumes.iter().filter(|v| v.is_bind()) {
        let source = volume.source.display();
        if volume.strict && !volume.source.exists() {
            return Err(wrong(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {source}"
            ))
            .hint(format!("mkdir -p {source}")));
        }
        if let Some(propagation) = &volume.propagation {
            devices::check_propagation(&volume.source, propagation, machine.rootless)?;
        }
    }
    Ok(())
}

/// Refuses another container's network where it cannot be joined.
pub fn check_shared(machine: &Machine) -> Result<()> {
    if !machine.rootless {
        return Ok(());
    }
    Err(Error::new(Kind::Request, "network", "container:")
        .because("without root each container is in a user namespace of its own, and cannot join another one's network")
        .hint("publish a port (-p) and use it by the machine's address, or run as root"))
}

/// A new container's request with what only the store can tell: volumes of other containers, ids that are free.
pub fn settled(request: &Request, root: &Root, machine: &Machine) -> Result<Request> {
    let mut request = request.clone();
    for text in std::mem::take(&mut request.volumes_from) {
        inherit(&mut request, root, &text)?;
    }
    request.volumes = volume::distinct(request.volumes)?;
    if let Network::Container(name) = &request.network {
        find(root, name)?;
        check_shared(machine)?;
    }
    let isolation = &request.isolation;
    for name in
        [&isolation.pid, &isolation.ipc, &isolation.uts, &isolation.cgroup].into_iter().filter_map(Space::container)
    {
        find(root, name)?;
    }
    if let Some(name) = isolation.ipc.container() {
        let donor = find(root, name)?;
        let mode = life::Asked::of(&donor)?.request.isolation.ipc;
        if !matches!(mode, Space::Shareable | Space::Host | Space::Container(_) | Space::Path(_)) {
            return Err(wrong(format!(
                "can't join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
                donor.id
            ))
            .hint("start that one with --ipc shareable"));
        }
    }
    if let Users::Container(name) = &request.isolation.users {
        let donor = life::Asked::of(&find(root, name)?)?.request;
        request.isolation.maps = userns::maps(&donor, machine)?;
    }
    if matches!(request.isolation.users, Users::Auto { .. }) {
        let of =
            |record: &Record| life::Asked::of(record).map(|asked| asked.request.isolation.maps).unwrap_or_default();
        let taken: Vec<Maps> = root.containers().map_err(crate::error::store)?.iter().map(of).collect();
        userns::give(&mut request, machine, &taken)?;
    }
    Ok(request)
}

/// `--volumes-from CONTAINER[:ro|rw]`: what this container does not mount there itself.
fn inherit(request: &mut Request, root: &Root, text: &str) -> Result<()> {
    let (name, mode) = text.rsplit_once(':').unwrap_or((text, ""));
    if name.is_empty() {
        return Err(wrong("volumes-from specification cannot be an empty string"));
    }
    if !mode.split(',').all(|word| matches!(word, "" | "ro" | "rw" | "z" | "Z" | "U")) {
        return Err(wrong(format!("invalid mode: {mode}")));
    }
    let donor = life::Asked::of(&find(root, name)?)?.request;
    for mut volume in
        donor.volumes.into_iter().filter(|v| matches!(v.kind, VolumeKind::Bind | VolumeKind::Overlay { .. }))
    {
        volume.read_only |= mode.split(',').any(|word| word == "ro");
        if !request.volumes.iter().any(|own| own.target == volume.target) {
            request.volumes.push(volume);
        }
    }
    Ok(())
}
