//! Whose the container's v2 group is (runtime-spec "Cgroup ownership"): the user's that its program runs as, where it gets a cgroup
//! namespace of its own and finds the group mounted writable at /sys/fs/cgroup. Then it may make groups below, as an init system does.
//!
//! Given away are the folder and what the kernel lists in /sys/kernel/cgroup/delegate (cgroups(7), "Delegation"), nothing else: limits
//! stay ours. Never on v1, where delegation is not safe.

use super::Cgroup;
use crate::error::{Result, failed};
use crate::{file, idmap};
use rustix::fs::{AtFlags, Uid};
use rustix::io::Errno;
use spec::runtime::{LinuxNamespaceType, Spec};
use std::path::Path;

/// What may be given away where the kernel has no list.
const FILES: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// The user, by the machine's number, whom the group of a container of this configuration belongs to, if not to us.
pub(crate) fn owner(spec: &Spec) -> Option<u32> {
    let linux = spec.linux().as_ref()?;
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.find(|n| n.typ() == LinuxNamespaceType::Cgroup && n.path().is_none())?;
    let mut mounts = spec.mounts().iter().flatten();
    mounts.find(|mount| {
        let plain: std::path::PathBuf = mount.destination().components().collect();
        let readonly = mount.options().iter().flatten().any(|option| option == "ro");
        plain == Path::new("/sys/fs/cgroup") && mount.source().as_deref() == Some(Path::new("cgroup")) && !readonly
    })?;
    let inside = spec.process().as_ref()?.user().uid();
    let ranges = idmap::of_config(linux.uid_mappings().as_ref());
    if ranges.is_empty() {
        return Some(inside);
    }
    let range = ranges.iter().find(|r| inside >= r.inside && inside - r.inside < r.size)?;
    range.outside.checked_add(inside - range.inside)
}

/// Makes `uid` the owner. A file that a group lacks is none to give; whoever may not give anything away keeps it.
pub(crate) fn give(cgroup: &Cgroup, uid: u32) -> Result<()> {
    if cgroup.needs_entering() {
        return Ok(());
    }
    let Some(folder) = cgroup.directory()? else { return Ok(()) };
    let list = file::read_text("/sys/kernel/cgroup/delegate").unwrap_or_else(|_| FILES.to_owned());
    // The folder last: until then nothing below it can be anybody else's doing.
    for name in list.lines().chain([""]) {
        let flags = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
        match rustix::fs::chownat(&folder, name, Some(Uid::from_raw(uid)), None, flags) {
            Ok(()) | Err(Errno::NOENT | Errno::PERM) => {}
            Err(e) => return Err(failed("give away the cgroup's", if name.is_empty() { "folder" } else { name }, e)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::owner;

    fn of(namespace: &str, mount: &str, linux: &str) -> Option<u32> {
        let text = format!(
            r#"{{"ociVersion":"1.2.1","root":{{"path":"r"}},"process":{{"user":{{"uid":7,"gid":7}},"cwd":"/","args":["a"]}},
            "mounts":[{{"destination":"/sys/fs/cgroup/","type":"cgroup","source":"cgroup","options":[{mount}]}}],
            "linux":{{"namespaces":[{{"type":"mount"}},{namespace}]{linux}}}}}"#
        );
        owner(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_group_is_the_users_where_it_is_mounted_writable_in_a_namespace_of_its_own() {
        let own = r#"{"type":"cgroup"}"#;
        assert_eq!(of(own, r#""nosuid""#, ""), Some(7));
        assert_eq!(of(own, r#""nosuid","ro""#, ""), None);
        assert_eq!(of(r#"{"type":"uts"}"#, "", ""), None);
        assert_eq!(of(r#"{"type":"cgroup","path":"/proc/1/ns/cgroup"}"#, "", ""), None);
        let maps =
            r#","uidMappings":[{"containerID":0,"hostID":1000,"size":1},{"containerID":5,"hostID":2000,"size":5}]"#;
        assert_eq!(of(own, "", maps), Some(2002));
        let unmapped = r#","uidMappings":[{"containerID":0,"hostID":1000,"size":1}]"#;
        assert_eq!(of(own, "", unmapped), None);
    }
}
