//! The mounts of a container: docker's, without those that the user covers, then the user's own, the shallowest first.

use super::{devices, mount};
use crate::machine::Cgroups;
use crate::plan::{self, Command, Inputs};
use crate::request::Network;
use crate::request::isolation::Space;
use crate::request::manner::Manner;
use crate::request::secret::Way;
use crate::request::volume::{Below, Ids, Kind, Volume};
use crate::text::{Name, Text};
use crate::tools::Tool;
use crate::{Result, limits};
use serde_json::{Value, json};

pub(super) fn of(inputs: &Inputs<'_>) -> Result<Vec<Value>> {
    let request = inputs.request;
    let mut list = usual(inputs);
    let mut more = Vec::new();
    // docker: whose root cannot be written does not write these either
    let access: &[&str] = if request.read_only { &["rbind", "rprivate", "ro"] } else { &["rbind", "rprivate"] };
    for file in ["hostname", "hosts", "resolv.conf"] {
        let source = match inputs.shared {
            Some(shared) if file != "hostname" => Text::plain(&shared.folder.join(file).to_string_lossy()),
            _ => Text::tmp(file),
        };
        more.push(mount(&format!("/etc/{file}"), "bind", source.marked(), access));
    }
    if request.is_on_host() {
        // Below these lies the container's own writable layer: met through the overlay it would answer ELOOP.
        let covered = inputs.machine.covered.iter().map(|p| Text::plain(&p.to_string_lossy()));
        for path in covered.chain(inputs.writable.in_tmp.then(|| Text::value(Name::Tmp))) {
            more.push(mount(path.marked(), "tmpfs", "tmpfs", &["nosuid", "nodev", "noexec", "ro", "mode=755"]));
        }
    }
    if request.read_only && request.manner.read_only_tmpfs {
        for place in ["/run", "/tmp", "/var/tmp"] {
            more.push(mount(place, "tmpfs", "tmpfs", &["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"]));
        }
    }
    if devices::are_bound(inputs)? {
        for node in &inputs.around.nodes {
            let access = if node.access.contains('w') { "rw" } else { "ro" };
            let (source, target) = (node.source.to_string_lossy(), node.target.to_string_lossy());
            let options = ["bind", "rprivate", "nosuid", "noexec", access];
            more.push(mount(Text::plain(&target).marked(), "bind", Text::plain(&source).marked(), &options));
        }
    }
    more.extend(own_files(&request.manner));
    // What the user puts at one of these places stands there instead; at /dev, instead of all below it.
    let has = |target: &str| request.volumes.iter().any(|v| v.target == target);
    let own_dev = has("/dev");
    let is_kept = |m: &Value| {
        let place = m["destination"].as_str().unwrap_or_default();
        !(has(place) || own_dev && place.starts_with("/dev/"))
    };
    list.retain(is_kept);
    more.retain(is_kept);
    more.extend(request.volumes.iter().enumerate().map(|(number, volume)| of_volume(inputs, number, volume)));
    // The shallowest first: what is mounted over a folder must not hide what is mounted in it.
    more.sort_by_key(|m| m["destination"].as_str().unwrap_or_default().split('/').count());
    list.extend(more);
    Ok(list)
}

/// docker's mounts, as far as the container's namespaces have them.
fn usual(inputs: &Inputs<'_>) -> Vec<Value> {
    let machine = inputs.machine;
    let isolation = &inputs.request.isolation;
    let own_network = plan::network(inputs.request) != Network::Host;
    let mut list = Vec::new();
    for default in spec::defaults::mounts(limits::document::shm_size(&inputs.request.limits)) {
        let mut default = json!(default);
        let writable = |mount: &mut Value| {
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|o| o != "ro");
            }
        };
        match default["destination"].as_str() {
            // sysfs shows the network namespace it is mounted in, so who does not own that may only bind it
            Some("/sys") if machine.rootless && !own_network => {
                list.push(mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]));
                continue;
            }
            Some("/sys") if isolation.privileged => writable(&mut default),
            // a user namespace may not mount the version 1 hierarchies
            Some("/sys/fs/cgroup") => match machine.cgroups {
                Cgroups::None => continue,
                Cgroups::V1 if machine.rootless => continue,
                _ if isolation.privileged || isolation.security.writable_cgroups => writable(&mut default),
                _ => {}
            },
            // without gid 5 in the id map the kernel refuses the option
            Some("/dev/pts") if !machine.has_id_ranges => {
                if let Some(options) = default["options"].as_array_mut() {
                    options.retain(|o| o != "gid=5");
                }
            }
            Some("/dev/shm") => match shared_memory(inputs) {
                SharedMemory::Own => {}
                SharedMemory::None => continue,
                SharedMemory::At(source) => {
                    list.push(mount("/dev/shm", "bind", source.marked(), &["rbind", "rprivate", "rw"]));
                    continue;
                }
            },
            _ => {}
        }
        list.push(default);
    }
    list
}

/// Where `/dev/shm` comes from: it goes with the ipc namespace.
enum SharedMemory {
    Own,
    None,
    At(Text),
}

fn shared_memory(inputs: &Inputs<'_>) -> SharedMemory {
    match (&inputs.request.isolation.ipc, inputs.around.joined.ipc) {
        (Space::None, _) => SharedMemory::None,
        (Space::Host, _) => SharedMemory::At("/dev/shm".into()),
        // in the other container's mount namespace
        (Space::Container(_), Some(pid)) => SharedMemory::At(format!("/proc/{pid}/root/dev/shm").into()),
        _ => SharedMemory::Own,
    }
}

/// Secrets, and the time zone.
fn own_files(manner: &Manner) -> Vec<Value> {
    let mut list = Vec::new();
    for (number, secret) in manner.secrets.iter().enumerate() {
        if let Way::File { target, .. } = &secret.way {
            let source = Text::tmp(&format!("secret-{number}"));
            list.push(mount(
                Text::plain(target).marked(),
                "bind",
                source.marked(),
                &["bind", "rprivate", "nosuid", "nodev", "noexec"],
            ));
        }
    }
    if let Some(zone) = &manner.timezone {
        let source = match zone.as_str() {
            "local" => "/etc/localtime".to_owned(),
            name => format!("/usr/share/zoneinfo/{name}"),
        };
        list.push(mount("/etc/localtime", "bind", Text::plain(&source).marked(), &["bind", "rprivate", "ro"]));
    }
    list
}

fn of_volume(inputs: &Inputs<'_>, number: usize, volume: &Volume) -> Value {
    let target = Text::plain(&volume.target);
    if volume.kind == Kind::Tmpfs {
        // docker's options, which what was asked for overrides
        let mut options = vec!["nosuid", "nodev", "noexec"];
        for option in &volume.options {
            let opposite = option.strip_prefix("no").map_or_else(|| format!("no{option}"), str::to_owned);
            options.retain(|o| *o != opposite && o != option);
            options.push(option);
        }
        return mount(target.marked(), "tmpfs", "tmpfs", &options);
    }
    let source = match volume.kind {
        Kind::Overlay { .. } => Text::tmp(&format!("volume-{number}/merged")),
        _ => Text::plain(&volume.source.to_string_lossy()),
    };
    let recursive_ro = inputs.machine.kernel >= (5, 12);
    let access = match (volume.read_only, volume.below) {
        (false, _) => "rw",
        (true, Below::Readonly) => "rro",
        (true, Below::Enabled) if recursive_ro => "rro",
        (true, _) => "ro",
    };
    let bind = if volume.below == Below::Disabled { "bind" } else { "rbind" };
    let mut options = vec![bind, volume.propagation.as_deref().unwrap_or("rprivate"), access];
    options.extend(volume.options.iter().map(String::as_str));
    if volume.ids.is_some() {
        options.push(if bind == "rbind" { "ridmap" } else { "idmap" });
    }
    let mut entry = mount(target.marked(), "bind", source.marked(), &options);
    if let Some(ids) = volume.ids.as_ref().filter(|ids| !ids.users.is_empty()) {
        entry["uidMappings"] = runs(inputs, ids, &ids.users, true);
        entry["gidMappings"] = runs(inputs, ids, if ids.groups.is_empty() { &ids.users } else { &ids.groups }, false);
    }
    entry
}

/// A map of a mount: what the files have, and as what that shows outside of the container.
fn runs(inputs: &Inputs<'_>, ids: &Ids, runs: &[(u32, u32, u32)], users: bool) -> Value {
    let outside = |id: u32| match super::owner(inputs, id, id) {
        Ok(Some((uid, gid))) if ids.relative => {
            if users {
                uid
            } else {
                gid
            }
        }
        _ => id,
    };
    json!(
        runs.iter()
            .map(|(from, to, size)| json!({ "containerID": from, "hostID": outside(*to), "size": size }))
            .collect::<Vec<_>>()
    )
}

/// The overlays of podman's `-v …:O`: folders to be made, the command that mounts, the command that takes it away.
pub(crate) fn overlays(inputs: &Inputs<'_>) -> Vec<(Vec<Text>, Command, Command)> {
    let mut all = Vec::new();
    for (number, volume) in inputs.request.volumes.iter().enumerate() {
        let Kind::Overlay { upper, work } = &volume.kind else { continue };
        let below = |name: &str| Text::tmp(&format!("volume-{number}/{name}"));
        // A folder, and how it is spelled among options.
        let kept = |path: &Option<std::path::PathBuf>, name: &str| match path {
            Some(path) => (Text::plain(&path.to_string_lossy()), Text::plain(&plan::escape(path))),
            None => (below(name), below(name)),
        };
        let ((upper, upper_option), (work, work_option)) = (kept(upper, "upper"), kept(work, "work"));
        let merged = below("merged");
        let options = Text::plain(&format!("lowerdir={},upperdir=", plan::escape(&volume.source)))
            .then(&upper_option)
            .then(&",workdir=".into())
            .then(&work_option);
        let mut command = Command::new(Tool::OvlMount, [Text::plain("-o"), options, merged.clone()]);
        if inputs.request.programs.mount.is_none() {
            command.env.push(("OVL_DRIVER", "kernel,fuse".into()));
        }
        all.push((vec![upper, work, merged.clone()], command, Command::new(Tool::Umount, [merged])));
    }
    all
}
