//! What this machine is like, as far as a plan depends on it; the only part of planning that looks at the world.

use crate::mountinfo::{self, Mount};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Facts about the machine and about who we are on it.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// We are not root of the first user namespace: everything happens in a user namespace of the user's.
    pub rootless: bool,
    /// That namespace has (or will have) more than one id.
    pub has_id_ranges: bool,
    /// Which cgroup hierarchies are mounted.
    pub cgroups: Cgroups,
    /// Whether an ordinary user may make groups of cgroup v2, with limits, beside the one we are in.
    pub delegated: bool,
    /// The machine's host name.
    pub hostname: String,
    /// `/etc/resolv.conf`, or what systemd-resolved asks itself where that names only its own stub.
    pub resolv_conf: String,
    /// Our address towards everybody else; empty where there is none.
    pub outbound: String,
    /// `/etc/hosts`
    pub hosts: String,
    /// Mount points of other file systems: what the image `host` does not show. Sorted.
    pub elsewhere: Vec<PathBuf>,
    /// Folders of `/` itself that a container on `host` must not see: the state root holds its own upper layer.
    pub covered: Vec<PathBuf>,
    /// Paths of this machine alone that a container must not read.
    pub hidden: Vec<String>,
    /// The processor's system call interface; none where we know no filter for it.
    pub abi: Option<spec::syscall::Abi>,
    /// The kernel's version, major and minor.
    pub kernel: (u32, u32),
    /// Whether AppArmor is there and on.
    pub apparmor: bool,
    /// Which ids containers can have.
    pub ids: crate::userns::Ids,
}

/// The cgroup hierarchies of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cgroups {
    /// None that we know.
    #[default]
    None,
    /// A hierarchy a controller.
    V1,
    /// One for all.
    V2,
}

impl Machine {
    /// Looks. `state_root` is the store's folder.
    pub fn probe(state_root: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let map = read("/proc/self/uid_map");
        let root = rustix::process::geteuid().is_root();
        let rootless = !root || !is_first_user_namespace(&map);
        let has_id_ranges = match (rootless, root) {
            (false, _) => true,
            (true, true) => mapped_ids(&map) > 1,
            (true, false) => may_map_ranges(),
        };
        let mountinfo = read("/proc/self/mountinfo");
        let mounts: Vec<Mount<'_>> = mountinfo::parse(&mountinfo).collect();
        let cgroups = mounts.iter().fold(Cgroups::None, |seen, m| match m.kind {
            "cgroup" => Cgroups::V1,
            "cgroup2" if seen == Cgroups::None => Cgroups::V2,
            _ => seen,
        });
        let covered = match (device(Path::new("/")), device(state_root)) {
            (Some(root), Some(state)) if root == state => vec![state_root.to_owned()],
            _ => Vec::new(),
        };
        Self {
            rootless,
            has_id_ranges,
            cgroups,
            delegated: rootless && cgroups == Cgroups::V2 && crate::limits::offers::delegated().is_some(),
            hostname: hostname(),
            resolv_conf: resolv_conf(read("/etc/resolv.conf"), || read("/run/systemd/resolve/resolv.conf")),
            outbound: if rootless { outbound() } else { String::new() },
            hosts: read("/etc/hosts"),
            elsewhere: elsewhere(&mounts),
            covered,
            hidden: thermal_throttles(),
            abi: spec::syscall::Abi::native(std::env::consts::ARCH),
            kernel: parse_release(&read("/proc/sys/kernel/osrelease")),
            apparmor: read("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
            ids: crate::userns::Ids::probe(rootless),
        }
    }
}

/// The machine's host name.
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// docker: behind the stub of systemd-resolved, which no container reaches, are the real name servers.
fn resolv_conf(usual: String, behind: impl FnOnce() -> String) -> String {
    if !crate::resolver::is_local_only(&usual) {
        return usual;
    }
    let behind = behind();
    if behind.contains("nameserver") { behind } else { usual }
}

/// Which address packets to elsewhere are sent from. Nothing is sent: a datagram socket only looks at the routes.
fn outbound() -> String {
    use std::net::UdpSocket;
    let towards =
        |from: &str, to: &str| UdpSocket::bind(from).and_then(|s| s.connect(to).and_then(|()| s.local_addr()));
    let found = towards("0.0.0.0:0", "192.0.2.1:9").or_else(|_| towards("[::]:0", "[2001:db8::1]:9"));
    found.map_or_else(|_| String::new(), |address| address.ip().to_string())
}

/// The files that count each processor's overheatings: side channels (moby hides them too).
fn thermal_throttles() -> Vec<String> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (0..processors).map(spec::defaults::thermal_throttle).filter(|path| Path::new(path).exists()).collect()
}

/// `6.18.44-something` is (6, 18).
fn parse_release(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether an id map is the first user namespace's.
fn is_first_user_namespace(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn mapped_ids(uid_map: &str) -> u64 {
    uid_map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}

/// Whether `newuidmap` and this user's lines in `/etc/subuid` and `/etc/subgid` are there.
fn may_map_ranges() -> bool {
    let helpers = ["newuidmap", "newgidmap"].iter().all(|name| crate::tools::in_path(name).is_some());
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut f = line.split(':');
        let name = f.next()?;
        (f.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let listed = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split(':').next())
            .any(|who| Some(who) == name.as_deref() || who.parse() == Ok(uid))
    };
    helpers && listed("/etc/subuid") && listed("/etc/subgid")
}

/// Mount points that the root file system alone does not show, apart from what every container gets anew.
fn elsewhere(mounts: &[Mount<'_>]) -> Vec<PathBuf> {
    let fresh = ["/proc", "/sys", "/dev"];
    let root = mounts.iter().rfind(|m| m.point == Path::new("/")).map(|m| m.device);
    let points: BTreeSet<&PathBuf> = mounts
        .iter()
        .filter(|m| Some(m.device) != root || m.point != Path::new("/"))
        .map(|m| &m.point)
        .filter(|p| p.as_path() != Path::new("/") && !fresh.iter().any(|f| p.starts_with(f)))
        .collect();
    // what lies below another one is missing with it
    let below = |p: &Path| p.ancestors().skip(1).any(|a| a != Path::new("/") && points.contains(&a.to_path_buf()));
    points.iter().filter(|p| !below(p)).map(|p| (*p).clone()).collect()
}

fn device(path: &Path) -> Option<u64> {
    // the state root may not be there yet: where it will be made counts
    path.ancestors().find_map(|p| rustix::fs::stat(p).ok()).map(|s| s.st_dev)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
22 21 0:5 / /proc rw - proc proc rw\n\
23 22 0:6 / /proc/sys/fs/binfmt_misc rw - binfmt_misc b rw\n\
24 21 8:1 / /home rw - ext4 /dev/sdb rw\n\
25 24 8:2 / /home/with\\040space rw - ext4 /dev/sdc rw\n\
26 21 0:9 / /sys/fs/cgroup rw - cgroup2 none rw\n";

    #[test]
    fn what_host_does_not_show() {
        let mounts: Vec<Mount<'_>> = mountinfo::parse(MOUNTINFO).collect();
        assert_eq!(mounts.len(), 6);
        assert_eq!(mounts[4].point, Path::new("/home/with space"));
        assert_eq!(elsewhere(&mounts), [PathBuf::from("/home")]);
    }

    #[test]
    fn maps() {
        assert!(is_first_user_namespace("         0          0 4294967295\n"));
        assert!(!is_first_user_namespace("         0       1000          1\n"));
        assert_eq!(mapped_ids("0 1000 1\n1 100000 65536\n"), 65537);
    }
}
