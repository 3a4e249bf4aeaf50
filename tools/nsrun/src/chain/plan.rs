//! From the command line to what the room is to do; what options imply is decided here, and nothing is touched.

use super::cli::Args;
use crate::runtime::parse_signal;
use cli::Failure;
use runtime::chain::{Chain, MapRanges};
use runtime::idmap::IdRange;
use runtime::namespace::Namespace;
use spec::runtime::Capability;
use std::ffi::OsString;
use std::path::PathBuf;

/// What of the caller decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// May make namespaces without a user namespace.
    pub(crate) privileged: bool,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Has ranges in /etc/subuid and /etc/subgid, and a newuidmap to use them.
    pub(crate) ranges: bool,
}

impl Caller {
    /// Looks.
    pub(crate) fn load() -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        let privileged = uid == 0;
        // Only who needs them is asked about: it takes reading two files.
        let ranges = !privileged && runtime::idmap::has_sub_ids() && in_path("newuidmap") && in_path("newgidmap");
        Self { privileged, uid, gid: nix::unistd::getegid().as_raw(), ranges }
    }
}

fn in_path(name: &str) -> bool {
    runtime::program::find(name.as_ref(), std::env::var_os("PATH").as_deref()).is_ok()
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(message).code(cli::exit::OURS)
}

/// Makes sense of `args`.
pub(crate) fn plan(args: Args, caller: &Caller) -> Result<Chain, Failure> {
    let file = |f: OsString| Some(PathBuf::from(f)).filter(|f| !f.as_os_str().is_empty());
    let mut namespaces: Vec<(Namespace, Option<PathBuf>)> = Vec::new();
    let given = [
        (Namespace::User, args.user),
        (Namespace::Mnt, args.mount),
        (Namespace::Uts, args.uts),
        (Namespace::Ipc, args.ipc),
        (Namespace::Net, args.net),
        (Namespace::Pid, args.pid),
        (Namespace::Cgroup, args.cgroup),
        (Namespace::Time, args.time),
    ];
    for (kind, asked) in given {
        if let Some(path) = asked {
            namespaces.push((kind, file(path)));
        }
    }
    let mut imply = |kind: Namespace| {
        if !namespaces.iter().any(|(k, _)| *k == kind) {
            namespaces.push((kind, None));
        }
    };
    let maps = args.map_root_user
        || args.map_current_user
        || args.map_auto
        || args.map_user.is_some()
        || args.map_group.is_some();
    if maps || !args.map_users.is_empty() || !args.map_groups.is_empty() || args.setgroups.is_some() {
        imply(Namespace::User);
    }
    if args.mount_proc.is_some() || args.rootfs.is_some() {
        imply(Namespace::Mnt);
    }
    if args.hostname.is_some() {
        imply(Namespace::Uts);
    }
    if args.monotonic.is_some() || args.boottime.is_some() {
        imply(Namespace::Time);
    }
    if args.unshare_all {
        for kind in [Namespace::Mnt, Namespace::Uts, Namespace::Ipc, Namespace::Pid, Namespace::Cgroup] {
            imply(kind);
        }
        if !args.share_net {
            imply(Namespace::Net);
        }
    }
    let sandbox = args.unshare_all || args.rootfs.is_some();
    let alone = sandbox && !caller.privileged;
    if alone {
        imply(Namespace::User);
    }
    let pid = namespaces.iter().any(|(k, _)| *k == Namespace::Pid);
    let mut chain = Chain {
        fork: args.fork || args.kill_child.is_some() || (pid && sandbox) || (args.init && pid),
        mount_proc: args.mount_proc,
        propagation: args.propagation,
        root: args.root,
        rootfs: args.rootfs,
        read_only: args.read_only,
        working_directory: args.wd,
        uid: args.setuid,
        gid: args.setgid,
        keep_caps: args.keep_caps,
        monotonic: args.monotonic,
        boottime: args.boottime,
        init: args.init,
        no_new_privs: args.no_new_privs,
        hostname: args.hostname,
        command: args.command,
        ..Chain::default()
    };
    if let Some(name) = &args.kill_child {
        chain.kill_child = Some(parse_signal(name).ok_or_else(|| usage(format!("unknown signal {name:?}")))?);
    }
    if args.die_with_parent && chain.kill_child.is_none() {
        chain.kill_child = Some(libc::SIGKILL);
    }
    chain.die_with_parent = args.die_with_parent;
    chain.setgroups = match args.setgroups.as_deref() {
        None => None,
        Some("allow") => Some(true),
        Some("deny") => Some(false),
        Some(other) => return Err(usage(format!("--setgroups {other}: neither allow nor deny"))),
    };
    if args.map_root_user || (alone && !maps) {
        (chain.map_user, chain.map_group) = (Some(0), Some(0));
    }
    if args.map_current_user {
        (chain.map_user, chain.map_group) = (Some(caller.uid), Some(caller.gid));
    }
    if let Some(user) = &args.map_user {
        chain.map_user = Some(id("--map-user", user, runtime::idmap::user_id(user))?);
    }
    if let Some(group) = &args.map_group {
        chain.map_group = Some(id("--map-group", group, runtime::idmap::group_id(group))?);
    }
    chain.map_users = args.map_users.iter().map(|r| range("--map-users", r)).collect::<Result<_, _>>()?;
    chain.map_groups = args.map_groups.iter().map(|r| range("--map-groups", r)).collect::<Result<_, _>>()?;
    if args.map_auto || (alone && !maps && caller.ranges) {
        chain.map_users.push(MapRanges::Auto);
        chain.map_groups.push(MapRanges::Auto);
    }
    chain.cap_add = capabilities(&args.cap_add)?;
    chain.cap_drop = capabilities(&args.cap_drop)?;
    chain.unconfined = match args.seccomp.as_deref() {
        None | Some("default") => false,
        Some("unconfined") => true,
        Some(other) => return Err(usage(format!("--seccomp {other}: neither default nor unconfined"))),
    };
    // The kernel makes the user namespace first whatever the order; bindings are made in this one.
    namespaces.sort_by_key(|(kind, _)| *kind);
    chain.namespaces = namespaces;
    Ok(chain)
}

fn id(option: &str, text: &str, named: Option<u32>) -> Result<u32, Failure> {
    text.parse().ok().or(named).ok_or_else(|| usage(format!("{option} {text}: no such id")))
}

/// `INNER:OUTER:COUNT` (util-linux 2.39 on), `OUTER,INNER,COUNT` (2.38), or `auto`.
fn range(option: &str, text: &str) -> Result<MapRanges, Failure> {
    if matches!(text, "auto" | "subids") {
        return Ok(MapRanges::Auto);
    }
    let wrong = || usage(format!("{option} {text}: not INNER:OUTER:COUNT, OUTER,INNER,COUNT or auto"));
    let numbers = |by: char| text.split(by).map(|n| n.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    let (inside, outside, size) = match (numbers(':').as_deref(), numbers(',').as_deref()) {
        (Some([inside, outside, size]), _) => (*inside, *outside, *size),
        (_, Some([outside, inside, size])) => (*inside, *outside, *size),
        _ => return Err(wrong()),
    };
    if size == 0 {
        return Err(wrong());
    }
    Ok(MapRanges::Range(IdRange { inside, outside, size }))
}

fn capabilities(names: &[String]) -> Result<Vec<Capability>, Failure> {
    let mut all = Vec::new();
    for name in names.iter().flat_map(|n| n.split(',')) {
        if name.eq_ignore_ascii_case("all") {
            all.extend(spec::capability::ALL);
        } else {
            all.push(spec::capability::from_name(name).ok_or_else(|| usage(format!("unknown capability {name}")))?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::cli::Args;
    use super::{Caller, plan};
    use clap::Parser;
    use runtime::chain::{Chain, MapRanges};
    use runtime::idmap::IdRange;
    use runtime::namespace::Namespace;

    const ROOT: Caller = Caller { privileged: true, uid: 0, gid: 0, ranges: false };
    const USER: Caller = Caller { privileged: false, uid: 1000, gid: 1001, ranges: true };

    fn of(line: &str, caller: &Caller) -> Result<Chain, String> {
        let words = std::iter::once("nsrun").chain(line.split_whitespace());
        let args = Args::try_parse_from(words).map_err(|e| e.to_string())?;
        plan(args, caller).map_err(|f| f.message)
    }

    fn kinds(chain: &Chain) -> Vec<Namespace> {
        chain.namespaces.iter().map(|(k, _)| *k).collect()
    }

    #[test]
    fn unshares_letters_mean_what_they_mean_there() {
        let chain = of("-mu --net=/x --pid=/y -f -r chroot /new -m sh", &ROOT).unwrap();
        assert_eq!(kinds(&chain), [Namespace::User, Namespace::Uts, Namespace::Net, Namespace::Pid, Namespace::Mnt]);
        assert_eq!(chain.namespaces[3].1.as_deref(), Some(std::path::Path::new("/y")));
        assert!(chain.fork && chain.map_user == Some(0) && chain.map_users.is_empty());
        assert_eq!(chain.command, ["chroot", "/new", "-m", "sh"]);
        assert!(!of("-p sh", &ROOT).unwrap().fork);
    }

    #[test]
    fn as_an_ordinary_user_a_sandbox_brings_its_user_namespace() {
        let chain = of("--unshare-all --rootfs . -- sh", &USER).unwrap();
        assert!(chain.makes(Namespace::User) && chain.fork && chain.map_user == Some(0));
        assert_eq!(chain.map_users, [MapRanges::Auto]);
        assert!(!of("--unshare-all sh", &ROOT).unwrap().makes(Namespace::User));
        let chain = of("--rootfs . -c sh", &USER).unwrap();
        assert_eq!((chain.map_user, chain.map_group, chain.map_users.len()), (Some(1000), Some(1001), 0));
    }

    #[test]
    fn ranges_come_in_both_orders() {
        let want = [MapRanges::Range(IdRange { inside: 1, outside: 100_000, size: 10 })];
        assert_eq!(of("--map-users 1:100000:10 sh", &ROOT).unwrap().map_users, want);
        assert_eq!(of("--map-users 100000,1,10 sh", &ROOT).unwrap().map_users, want);
        assert!(of("--map-users 1:2 sh", &ROOT).unwrap_err().starts_with("--map-users 1:2: not INNER"));
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(of("--setgroups maybe sh", &ROOT).unwrap_err(), "--setgroups maybe: neither allow nor deny");
        assert_eq!(of("--cap-drop NOPE sh", &ROOT).unwrap_err(), "unknown capability NOPE");
        assert_eq!(of("--kill-child=FOO sh", &ROOT).unwrap_err(), "unknown signal \"FOO\"");
    }
}
