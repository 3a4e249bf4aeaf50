//! Id maps of a user namespace (user_namespaces(7)): parsed, found in /etc/subuid and /etc/subgid, and written.
//!
//! A process with CAP_SETUID (CAP_SETGID) in the parent user namespace writes any map; one without may write its own single
//! id, after `setgroups` is denied; ranges need newuidmap and newgidmap, which are set-uid and read /etc/subuid.

use crate::error::{Error, Result, failed, invalid};
use crate::file;
use std::fmt::Write as _;

/// `size` ids from `inside` on are `outside`, `outside`+1, … of the parent user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id in the namespace.
    pub inside: u32,
    /// First id in the parent namespace.
    pub outside: u32,
    /// How many.
    pub size: u32,
}

/// Users or groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// User ids.
    Users,
    /// Group ids.
    Groups,
}

impl Ids {
    const fn file(self) -> &'static str {
        match self {
            Self::Users => "uid_map",
            Self::Groups => "gid_map",
        }
    }

    const fn helper(self) -> &'static str {
        match self {
            Self::Users => "newuidmap",
            Self::Groups => "newgidmap",
        }
    }

    const fn sub_file(self) -> &'static str {
        match self {
            Self::Users => "/etc/subuid",
            Self::Groups => "/etc/subgid",
        }
    }
}

/// Whether this process is in another user namespace than the machine's first; where that cannot be told, no.
pub fn in_user_namespace() -> bool {
    file::read_text("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().nth(2) != Some("4294967295"))
}

/// The ranges of an OCI configuration.
pub fn of_config(mappings: Option<&Vec<spec::runtime::LinuxIdMapping>>) -> Vec<IdRange> {
    let all = mappings.map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|m| IdRange { inside: m.container_id(), outside: m.host_id(), size: m.size() }).collect()
}

/// The first range that `name` or `id` has in `content`, the text of /etc/subuid or /etc/subgid: first id and count.
pub fn parse_sub_ids(content: &str, name: &str, id: u32) -> Option<(u32, u32)> {
    let id = id.to_string();
    content.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let (start, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (!owner.is_empty() && (owner == name || owner == id) && count > 0).then_some((start, count))
    })
}

/// The caller's own range of subordinate ids.
pub fn load_sub_ids(ids: Ids) -> Result<(u32, u32)> {
    let path = ids.sub_file();
    let content = file::read_text(path).map_err(|e| failed("read", path, e))?;
    let uid = nix::unistd::getuid().as_raw();
    let name = user_name(uid).unwrap_or_default();
    parse_sub_ids(&content, &name, uid).ok_or_else(|| {
        invalid("subordinate ids", path, format!("has no line for {name} ({uid})"))
            .hint("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER")
    })
}

/// Whether the caller has subordinate ids of both kinds.
pub fn has_sub_ids() -> bool {
    load_sub_ids(Ids::Users).is_ok() && load_sub_ids(Ids::Groups).is_ok()
}

/// The id of the user of this name in /etc/passwd.
pub fn user_id(name: &str) -> Option<u32> {
    third_field("/etc/passwd", name)
}

/// The id of the group of this name in /etc/group.
pub fn group_id(name: &str) -> Option<u32> {
    third_field("/etc/group", name)
}

fn third_field(path: &str, name: &str) -> Option<u32> {
    let content = file::read_text(path).ok()?;
    content.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// The name of user `uid` in /etc/passwd.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let content = file::read_text("/etc/passwd").ok()?;
    content.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == uid).then(|| name.to_owned())
    })
}

/// Writes the map of the user namespace that process `pid` made and has not yet mapped: directly where the kernel allows
/// it, else through newuidmap or newgidmap.
pub fn write(pid: i32, ids: Ids, ranges: &[IdRange]) -> Result<()> {
    if ranges.is_empty() {
        return Ok(());
    }
    let path = format!("/proc/{pid}/{}", ids.file());
    let mut text = String::new();
    for r in ranges {
        let _ = writeln!(text, "{} {} {}", r.inside, r.outside, r.size);
    }
    let error = match file::write_existing(&path, text.as_bytes()) {
        Ok(()) => return Ok(()),
        Err(e) => e,
    };
    if error.raw_os_error() != Some(libc::EPERM) {
        return Err(failed("write", path, error));
    }
    let own = match ids {
        Ids::Users => nix::unistd::geteuid().as_raw(),
        Ids::Groups => nix::unistd::getegid().as_raw(),
    };
    if let [one] = ranges
        && one.size == 1
        && one.outside == own
    {
        if ids == Ids::Groups {
            deny_setgroups_of(pid)?;
        }
        return file::write_existing(&path, text.as_bytes()).map_err(|e| refused(path, e));
    }
    by_helper(pid, ids, ranges)
}

/// Writes the map of the user namespace this process has just made: a single id, its own.
pub(crate) fn write_own(ids: Ids, ranges: &[IdRange]) -> Result<()> {
    let path = format!("/proc/self/{}", ids.file());
    let Some(one) = ranges.first() else { return Ok(()) };
    let text = format!("{} {} {}\n", one.inside, one.outside, one.size);
    file::write_existing(&path, text.as_bytes()).map_err(|e| refused(path, e))
}

/// An error of writing a map of one's own id, which the kernel allows everybody.
fn refused(path: String, error: std::io::Error) -> Error {
    let forbidden = error.raw_os_error() == Some(libc::EPERM) && crate::forbidden::by_apparmor();
    let error = failed("write", path, error);
    if forbidden { error.hint(crate::forbidden::hint()) } else { error }
}

/// Denies setgroups(2) in the user namespace of `pid` (`self` too), which an unprivileged single-id group map needs.
pub(crate) fn deny_setgroups_of(pid: impl std::fmt::Display) -> Result<()> {
    let path = format!("/proc/{pid}/setgroups");
    match file::write_existing(&path, b"deny") {
        Ok(()) => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(e) => Err(failed("write", path, e)),
    }
}

fn by_helper(pid: i32, ids: Ids, ranges: &[IdRange]) -> Result<()> {
    let helper = ids.helper();
    let mut command = std::process::Command::new(helper);
    command.arg(pid.to_string());
    for r in ranges {
        command.args([r.inside.to_string(), r.outside.to_string(), r.size.to_string()]);
    }
    command.stdin(std::process::Stdio::null());
    let done = command.output().map_err(|e| {
        failed("execute", helper, e).hint("install the package uidmap, or map only your own id (--map-root-user)")
    })?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let said = said.lines().next().unwrap_or("failed").trim();
    let said = said.strip_prefix(helper).map_or(said, |s| s.trim_start_matches(':').trim());
    Err(invalid(helper, format!("for process {pid}"), said.to_owned())
        .hint(format!("the ranges must be the caller's own in {}", ids.sub_file())))
}

#[cfg(test)]
mod tests {
    use super::parse_sub_ids;

    #[test]
    fn sub_ids_go_by_name_or_number() {
        let text = "# none\nann:100000:65536\n1001:165536:10\nbad\nbob:x:y\n";
        assert_eq!(parse_sub_ids(text, "ann", 1000), Some((100_000, 65536)));
        assert_eq!(parse_sub_ids(text, "carl", 1001), Some((165_536, 10)));
        assert_eq!(parse_sub_ids(text, "bob", 1002), None);
        assert_eq!(parse_sub_ids("", "", 0), None);
    }
}
