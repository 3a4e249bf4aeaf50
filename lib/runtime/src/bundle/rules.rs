//! What a configuration must keep to, beyond its types (runtime-spec "Configuration", "Linux Container Configuration"). All of it is looked at
//! before anything exists: a configuration that cannot be done is refused by the name of the field.

use super::{check_process, process_of};
use crate::error::{Error, Kind, Result, invalid};
use crate::namespace::{Namespace, Namespaces};
use crate::{hooks, intel_rdt, memory_policy, net_devices};
use spec::runtime::{Linux, LinuxNamespace, Spec};
use std::path::Path;

/// Fails on what makes no sense, and says what is of no use here.
pub(super) fn check(spec: &Spec, warnings: &mut Vec<Error>) -> Result<()> {
    check_version(spec.version())?;
    if spec.root().as_ref().is_none_or(|r| r.path().as_os_str().is_empty()) {
        return Err(invalid("root.path", "", "is missing"));
    }
    let process = process_of(spec)?;
    check_process(process)?;
    if spec.annotations().as_ref().is_some_and(|all| all.contains_key("")) {
        return Err(invalid("annotations", "", "one has an empty key"));
    }
    if let Some(all) = spec.hooks() {
        hooks::check(all)?;
    }
    for mount in spec.mounts().iter().flatten() {
        if mount.destination().as_os_str().is_empty() {
            return Err(invalid("mounts", "", "one has no destination"));
        }
    }
    let others = [
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
        ("process.commandLine", process.command_line().is_some()),
        ("process.user.username", process.user().username().is_some()),
    ];
    for (name, _) in others.iter().filter(|(_, given)| *given) {
        warnings.push(note(name, "", "is ignored: it is for another platform"));
    }
    match spec.linux() {
        Some(linux) => check_linux(linux, warnings),
        None => check_namespaces(&Linux::default(), &[], warnings),
    }
}

/// Without a mount namespace of its own the container is in the runtime's (runtime-spec "Namespaces"), where what is mounted for it would be seen
/// by all and outlive it: it has a root, and nothing that takes a mount. Whether it has one is told by what a path leads to, not by what is listed.
pub(super) fn check_mounts(spec: &Spec, namespaces: &Namespaces) -> Result<()> {
    if namespaces.apart(Namespace::Mnt) {
        return Ok(());
    }
    let linux = spec.linux().as_ref();
    let some = |paths: Option<&Option<Vec<String>>>| paths.is_some_and(|p| p.as_ref().is_some_and(|p| !p.is_empty()));
    let takes = [
        ("mounts", spec.mounts().as_ref().is_some_and(|m| !m.is_empty())),
        ("root.readonly", spec.root().as_ref().and_then(spec::runtime::Root::readonly).unwrap_or(false)),
        ("process.terminal", process_of(spec)?.terminal().unwrap_or(false)),
        ("linux.maskedPaths", some(linux.map(Linux::masked_paths))),
        ("linux.readonlyPaths", some(linux.map(Linux::readonly_paths))),
        (
            "linux.rootfsPropagation",
            linux.is_some_and(|l| l.rootfs_propagation().as_ref().is_some_and(|p| !p.is_empty())),
        ),
    ];
    match takes.into_iter().find(|(_, given)| *given) {
        Some((field, _)) => Err(invalid(
            field,
            "",
            "needs a mount namespace of the container's own in linux.namespaces: without one it would be the machine's",
        )),
        None => Ok(()),
    }
}

/// Whether a namespace of this kind is made for the container, so that what is in it is the container's.
pub(crate) fn makes(spec: &Spec, kind: Namespace) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|l| l.namespaces().as_deref()).unwrap_or_default();
    has(namespaces, kind) && !joins(namespaces, kind)
}

fn note(field: &'static str, subject: impl std::fmt::Display, why: &str) -> Error {
    Error::new(Kind::Invalid, field, subject).because(why.to_owned())
}

/// A version of the specification (semver.org) that this runtime keeps to.
fn check_version(version: &str) -> Result<()> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = core.split('.').map(|n| n.parse().ok()).collect();
    match numbers.as_slice() {
        [Some(1), Some(_), Some(_)] => Ok(()),
        _ => Err(invalid("ociVersion", format!("{version:?}"), "is no version this runtime knows (1.0.0 to 1.3.0)")),
    }
}

fn check_linux(linux: &Linux, warnings: &mut Vec<Error>) -> Result<()> {
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    check_namespaces(linux, namespaces, warnings)?;
    for (field, paths) in [("linux.maskedPaths", linux.masked_paths()), ("linux.readonlyPaths", linux.readonly_paths())]
    {
        if let Some(path) = paths.iter().flatten().find(|p| !p.starts_with('/')) {
            return Err(invalid(field, format!("{path:?}"), "must be an absolute path"));
        }
    }
    if let Some(devices) = linux.net_devices().as_ref().filter(|all| !all.is_empty()) {
        if !has(namespaces, Namespace::Net) {
            return Err(invalid("linux.netDevices", "", "needs a network namespace in linux.namespaces"));
        }
        net_devices::check(devices)?;
    }
    if let Some(policy) = linux.memory_policy() {
        memory_policy::check(policy)?;
    }
    if let Some(rdt) = linux.intel_rdt() {
        intel_rdt::check(rdt)?;
    }
    if let Some(flag) = linux.personality().as_ref().and_then(|p| p.flags().as_ref()?.first()) {
        return Err(invalid("linux.personality.flags", flag, "is no flag: the specification has none"));
    }
    if let Some(seccomp) = linux.seccomp() {
        let path = |p: &Option<std::path::PathBuf>| p.as_ref().is_some_and(|p| !p.as_os_str().is_empty());
        if seccomp.listener_metadata().as_ref().is_some_and(|m| !m.is_empty()) && !path(seccomp.listener_path()) {
            return Err(invalid("linux.seccomp.listenerMetadata", "", "must not be set without listenerPath"));
        }
        if seccomp.syscalls().iter().flatten().any(|rule| rule.names().is_empty()) {
            return Err(invalid("linux.seccomp.syscalls", "", "one has no names"));
        }
    }
    if let Some(label) = linux.mount_label().as_ref().filter(|l| !l.is_empty())
        && rustix::fs::access("/sys/fs/selinux/enforce", rustix::fs::Access::EXISTS).is_err()
    {
        return Err(invalid("linux.mountLabel", label, "SELinux is not enabled on this machine"));
    }
    Ok(())
}

fn has(namespaces: &[LinuxNamespace], kind: Namespace) -> bool {
    namespaces.iter().any(|n| Namespace::from(n.typ()) == kind)
}

fn joins(namespaces: &[LinuxNamespace], kind: Namespace) -> bool {
    let named = |path: &Path| !path.as_os_str().is_empty();
    namespaces.iter().any(|n| Namespace::from(n.typ()) == kind && n.path().as_deref().is_some_and(named))
}

fn check_namespaces(linux: &Linux, namespaces: &[LinuxNamespace], warnings: &mut Vec<Error>) -> Result<()> {
    for one in namespaces {
        if one.path().as_ref().is_some_and(|p| !p.as_os_str().is_empty() && !p.is_absolute()) {
            let kind = Namespace::from(one.typ());
            return Err(invalid("linux.namespaces", kind.name(), "its path must be absolute"));
        }
    }
    let given =
        |list: &Option<Vec<_>>| list.as_ref().is_some_and(|l: &Vec<spec::runtime::LinuxIdMapping>| !l.is_empty());
    let (users, groups) = (given(linux.uid_mappings()), given(linux.gid_mappings()));
    if (users || groups) && !has(namespaces, Namespace::User) {
        let field = if users { "linux.uidMappings" } else { "linux.gidMappings" };
        return Err(invalid(field, "", "needs a user namespace in linux.namespaces"));
    }
    if joins(namespaces, Namespace::User) {
        if users || groups {
            warnings.push(note(
                "linux.uidMappings",
                "",
                "is ignored: the user namespace is joined, and has its own map",
            ));
        }
    } else if has(namespaces, Namespace::User) {
        for (field, given) in [("linux.uidMappings", users), ("linux.gidMappings", groups)] {
            if !given {
                return Err(invalid(field, "", "is missing, and a new user namespace needs it"));
            }
        }
    }
    if linux.time_offsets().as_ref().is_some_and(|all| !all.is_empty()) {
        if !has(namespaces, Namespace::Time) {
            return Err(invalid("linux.timeOffsets", "", "needs a time namespace in linux.namespaces"));
        }
        if joins(namespaces, Namespace::Time) {
            return Err(invalid("linux.timeOffsets", "", "cannot be changed in a time namespace that is joined"));
        }
    }
    Ok(())
}
