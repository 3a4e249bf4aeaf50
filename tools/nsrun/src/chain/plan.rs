//! From the command line to what the room is to do; what options imply is decided here, and nothing is touched.

use super::cli::{Args, Word};
use super::mounts;
use crate::runtime::parse_signal;
use cli::Failure;
use runtime::cgroup::ChainLimits;
use runtime::chain::{CapabilityChange, Chain, MapRanges, Sandbox, Seccomp};
use runtime::command::{Change, Command};
use runtime::idmap::IdRange;
use runtime::landlock::Rule;
use runtime::namespace::Namespace;
use std::ffi::{OsStr, OsString};
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

pub(super) fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(message).code(cli::exit::OURS)
}

/// Makes sense of `args` and the `words` whose order counts.
pub(crate) fn plan(args: Args, words: &[Word], caller: &Caller) -> Result<Chain, Failure> {
    let mount_operations = mounts::operations(words)?;
    let sandbox = (args.rootfs.is_some() || !mount_operations.is_empty()).then(|| Sandbox {
        root: args.rootfs.clone(),
        read_only: args.read_only,
        operations: mount_operations,
    });
    contradictions(&args, sandbox.as_ref())?;
    let (namespaces, alone) = namespaces(&args, sandbox.is_some(), caller);
    let makes = |kind: Namespace| namespaces.iter().any(|(k, _)| *k == kind);
    let sandboxed = args.unshare_all || sandbox.is_some();
    let limits = limits(&args)?;
    let stays = args.fork
        || args.kill_child.is_some()
        || args.forward_signals
        || (makes(Namespace::Pid) && (sandboxed || args.init))
        || args.tty
        || args.new_session
        || args.json_status_fd.is_some()
        || !args.sync_fd.is_empty()
        || args.info_fd.is_some()
        || args.cgroup_path.is_some()
        || !limits.is_empty();
    let empty_root = sandbox.as_ref().is_some_and(|s| s.root.is_none());
    let landlock = landlock(&args);
    let seccomp = seccomp(args.seccomp.as_deref());
    let filtered = !matches!(seccomp, Seccomp::Unsaid | Seccomp::Unconfined)
        || !args.add_seccomp_fd.is_empty()
        || args.disable_userns;
    let filtered_alone = filtered && sandbox.is_none();
    let mut chain = Chain {
        fork: stays,
        cgroup_path: args.cgroup_path.clone(),
        limits,
        mount_proc: args.mount_proc.clone(),
        interpreter: args.load_interp.clone(),
        propagation: args.propagation.clone(),
        keep_shared: args.keep_shared.clone(),
        die_with_parent: args.die_with_parent,
        root: args.root.clone(),
        working_directory: args.wd.clone(),
        uid: args.setuid,
        gid: args.setgid,
        keep_caps: args.keep_caps,
        monotonic: args.monotonic,
        boottime: args.boottime,
        init: args.init,
        terminal: args.tty,
        new_session: args.new_session,
        loopback: sandboxed || args.hostname.is_some(),
        // bwrap's are always so; landlock takes it; a filter without a user namespace may take it.
        no_new_privs: args.no_new_privs
            || empty_root
            || !landlock.is_empty()
            || (filtered_alone && !caller.privileged && !makes(Namespace::User)),
        hostname: args.hostname.clone(),
        capabilities: capabilities(words)?,
        seccomp,
        filters: args.add_seccomp_fd.clone(),
        no_user_namespaces: args.disable_userns,
        held: args.sync_fd.clone(),
        landlock,
        landlock_version: args.landlock_abi,
        status: args.json_status_fd,
        info: args.info_fd,
        block: args.block_fd,
        preserve_fds: args.preserve_fds.unwrap_or(0),
        command: Command { words: args.command.clone(), argv0: args.argv0.clone(), environment: environment(words) },
        sandbox,
        ..Chain::default()
    };
    if let Some(place) = &args.mount_binfmt {
        chain.mount_binfmt = Some(PathBuf::from(place));
    } else if args.load_interp.is_some() {
        chain.mount_binfmt = Some(PathBuf::new());
    }
    if chain.mount_binfmt.as_ref().is_some_and(|p| p.as_os_str().is_empty()) {
        // Its usual place is in a procfs, which must be the namespace's own.
        chain.mount_binfmt = Some("/proc/sys/fs/binfmt_misc".into());
        chain.mount_proc.get_or_insert_with(|| "/proc".into());
    }
    if let Some(name) = &args.kill_child {
        chain.kill_child = Some(parse_signal(name).ok_or_else(|| usage(format!("unknown signal {name:?}")))?);
    }
    if args.die_with_parent && chain.kill_child.is_none() {
        chain.kill_child = Some(libc::SIGKILL);
    }
    chain.setgroups = match args.setgroups.as_deref() {
        None => None,
        Some("allow") => Some(true),
        Some("deny") => Some(false),
        Some(other) => return Err(usage(format!("--setgroups {other}: neither allow nor deny"))),
    };
    chain.namespaces = namespaces;
    map(&mut chain, &args, caller, alone)?;
    Ok(chain)
}

fn contradictions(args: &Args, sandbox: Option<&Sandbox>) -> Result<(), Failure> {
    if args.tty && args.new_session {
        return Err(usage("--tty and --new-session: a session has a terminal or has none"));
    }
    if (args.monotonic.is_some() || args.boottime.is_some()) && args.time.is_none() {
        let option = if args.monotonic.is_some() { "--monotonic" } else { "--boottime" };
        return Err(usage(format!("{option}: only a time namespace has clocks of its own")).hint("add --time"));
    }
    if sandbox.is_none() && args.read_only {
        return Err(usage("--read-only: whose root?").hint("it goes with --rootfs DIR"));
    }
    if sandbox.is_some() {
        let clash = [
            ("--root", args.root.is_some(), "--rootfs DIR makes DIR the root"),
            ("--mount-proc", args.mount_proc.is_some(), "--proc /proc mounts one in there"),
            ("--mount-binfmt", args.mount_binfmt.is_some() || args.load_interp.is_some(), "it goes without a sandbox"),
        ];
        if let Some((option, _, hint)) = clash.into_iter().find(|(_, given, _)| *given) {
            let message =
                format!("{option}: not together with --rootfs or mount options, which make a root of their own");
            return Err(usage(message).hint(hint));
        }
    }
    Ok(())
}

/// The namespaces asked for and implied; whether a user namespace is there because an ordinary user needs one.
fn namespaces(args: &Args, sandbox: bool, caller: &Caller) -> (Vec<(Namespace, Option<PathBuf>)>, bool) {
    let file = |f: &OsString| Some(PathBuf::from(f)).filter(|f| !f.as_os_str().is_empty());
    let given = [
        (Namespace::User, &args.user),
        (Namespace::Cgroup, &args.cgroup),
        (Namespace::Ipc, &args.ipc),
        (Namespace::Uts, &args.uts),
        (Namespace::Net, &args.net),
        (Namespace::Pid, &args.pid),
        (Namespace::Mnt, &args.mount),
        (Namespace::Time, &args.time),
    ];
    let mut all: Vec<(Namespace, Option<PathBuf>)> =
        given.into_iter().filter_map(|(kind, asked)| Some((kind, file(asked.as_ref()?)))).collect();
    let mut imply = |kind: Namespace| {
        if !all.iter().any(|(k, _)| *k == kind) {
            all.push((kind, None));
        }
    };
    let binfmt = args.mount_binfmt.is_some() || args.load_interp.is_some();
    if maps_one(args) || maps_ranges(args) || args.owner.is_some() || binfmt {
        imply(Namespace::User);
    }
    if args.mount_proc.is_some() || sandbox || binfmt {
        imply(Namespace::Mnt);
    }
    if args.hostname.is_some() {
        imply(Namespace::Uts);
    }
    if args.unshare_all {
        for kind in [Namespace::Mnt, Namespace::Uts, Namespace::Ipc, Namespace::Pid, Namespace::Cgroup] {
            imply(kind);
        }
        if !args.share_net {
            imply(Namespace::Net);
        }
    }
    let alone = (sandbox || args.unshare_all) && !caller.privileged;
    if alone {
        imply(Namespace::User);
    }
    if args.share_net {
        all.retain(|(kind, _)| *kind != Namespace::Net);
    }
    // The kernel makes the user namespace first whatever the order.
    all.sort_by_key(|(kind, _)| *kind);
    (all, alone)
}

fn maps_one(args: &Args) -> bool {
    args.map_root_user || args.map_current_user || args.map_user.is_some() || args.map_group.is_some()
}

fn maps_ranges(args: &Args) -> bool {
    args.map_auto || args.map_subids || !args.map_users.is_empty() || !args.map_groups.is_empty()
}

fn map(chain: &mut Chain, args: &Args, caller: &Caller, alone: bool) -> Result<(), Failure> {
    let asked = maps_one(args) || maps_ranges(args);
    let by_itself = chain.makes(Namespace::User) && !asked && (alone || chain.sandbox.is_some());
    // In a folder of files root is at home, as in a container; where the root is put together from the caller's files, the caller.
    let at_home = chain.sandbox.as_ref().is_none_or(|s| s.root.is_some());
    if args.map_root_user || (by_itself && at_home) {
        (chain.map_user, chain.map_group) = (Some(0), Some(0));
    }
    if args.map_current_user || (by_itself && !at_home) {
        (chain.map_user, chain.map_group) = (Some(caller.uid), Some(caller.gid));
    }
    if let Some(user) = &args.map_user {
        chain.map_user = Some(id("--map-user", user, runtime::idmap::user_id)?);
    }
    if let Some(group) = &args.map_group {
        chain.map_group = Some(id("--map-group", group, runtime::idmap::group_id)?);
    }
    chain.map_users = args.map_users.iter().map(|r| range("--map-users", r)).collect::<Result<_, _>>()?;
    chain.map_groups = args.map_groups.iter().map(|r| range("--map-groups", r)).collect::<Result<_, _>>()?;
    let both = [
        (args.map_auto || (by_itself && at_home && caller.ranges), MapRanges::Auto),
        (args.map_subids, MapRanges::SubIds),
    ];
    for (_, ranges) in both.into_iter().filter(|(wanted, _)| *wanted) {
        chain.map_users.push(ranges.clone());
        chain.map_groups.push(ranges);
    }
    if let Some(owner) = &args.owner {
        let ids = owner.split_once(':').and_then(|(u, g)| Some((u.parse().ok()?, g.parse().ok()?)));
        chain.owner = Some(ids.ok_or_else(|| usage(format!("--owner {owner}: not UID:GID, two numbers")))?);
    }
    // With nobody but the caller in the namespace, who it is inside is a matter of the map.
    let lonely = by_itself && chain.map_users.is_empty();
    for (given, mapped, becomes) in
        [(args.uid, &mut chain.map_user, &mut chain.uid), (args.gid, &mut chain.map_group, &mut chain.gid)]
    {
        if let Some(id) = given {
            if lonely {
                *mapped = Some(id);
            } else {
                *becomes = Some(id);
            }
        }
    }
    Ok(())
}

fn id(option: &str, text: &str, named: fn(&str) -> Option<u32>) -> Result<u32, Failure> {
    let found = text.parse().ok().or_else(|| named(text));
    found.ok_or_else(|| {
        usage(format!("{option} {text}: no such id")).hint("a number, or a name of /etc/passwd or /etc/group")
    })
}

/// `INNER:OUTER:COUNT` (util-linux 2.39 on), `OUTER,INNER,COUNT` (2.38), `auto`, `subids` or `all`.
fn range(option: &str, text: &str) -> Result<MapRanges, Failure> {
    match text {
        "auto" => return Ok(MapRanges::Auto),
        "subids" => return Ok(MapRanges::SubIds),
        "all" => return Ok(MapRanges::All),
        _ => {}
    }
    let wrong = || usage(format!("{option} {text}: not INNER:OUTER:COUNT, OUTER,INNER,COUNT, auto, subids or all"));
    let numbers = |by: char| text.split(by).map(|n| n.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    let (inside, outside, size) = match (numbers(':').as_deref(), numbers(',').as_deref()) {
        (Some([inside, outside, size]), _) => (*inside, *outside, *size),
        (_, Some([outside, inside, size])) => (*inside, *outside, *size),
        _ => return Err(wrong()),
    };
    if size == 0 || inside.checked_add(size).is_none() || outside.checked_add(size).is_none() {
        return Err(wrong());
    }
    Ok(MapRanges::Range(IdRange { inside, outside, size }))
}

fn landlock(args: &Args) -> Vec<Rule> {
    let rule = |write: bool| move |path: &PathBuf| Rule { path: path.clone(), write };
    args.landlock_ro.iter().map(rule(false)).chain(args.landlock_rw.iter().map(rule(true))).collect()
}

fn seccomp(given: Option<&OsStr>) -> Seccomp {
    match given.map(|g| (g, g.to_str())) {
        None => Seccomp::Unsaid,
        Some((_, Some("default"))) => Seccomp::Default,
        Some((_, Some("unconfined"))) => Seccomp::Unconfined,
        Some((word, text)) => match text.and_then(|t| t.parse().ok()) {
            Some(number) => Seccomp::Program(number),
            None => Seccomp::Profile(word.into()),
        },
    }
}

fn limits(args: &Args) -> Result<ChainLimits, Failure> {
    let memory_bytes = args.memory.as_deref().map(mounts::bytes).transpose();
    let memory_bytes = memory_bytes.map_err(|text| {
        usage(format!("--memory {text}: no size")).hint("a number of bytes, or with k, m or g behind it")
    })?;
    let millicpus = match args.cpus.as_deref() {
        None => None,
        Some(text) => {
            let number = text.parse::<f64>().ok().filter(|n| *n >= 0.01 && *n < 1e6);
            let number = number.ok_or_else(|| usage(format!("--cpus {text}: no number of processors such as 1.5")))?;
            Some((number * 1000.0).round() as u64)
        }
    };
    let pids = match args.pids_limit {
        None => None,
        Some(n) => {
            let limit = u64::try_from(n).ok().filter(|n| *n > 0);
            Some(limit.ok_or_else(|| usage(format!("--pids-limit {n}: at least 1")))?)
        }
    };
    Ok(ChainLimits { memory_bytes, millicpus, pids })
}

fn capabilities(words: &[Word]) -> Result<Vec<CapabilityChange>, Failure> {
    let mut all = Vec::new();
    for Word { option, values } in words.iter().filter(|w| matches!(w.option, "cap-add" | "cap-drop")) {
        let text = values.first().map(|v| v.to_string_lossy()).unwrap_or_default();
        for name in text.split(',') {
            let change = |one, named| match *option {
                "cap-add" => CapabilityChange::Add(one, named),
                _ => CapabilityChange::Drop(one),
            };
            if name.eq_ignore_ascii_case("all") {
                all.extend(spec::capability::ALL.map(|one| change(one, false)));
            } else {
                let one = spec::capability::from_name(name);
                let one = one.ok_or_else(|| {
                    usage(format!("--{option} {name}: no such capability"))
                        .hint("as in capabilities(7), such as NET_ADMIN")
                })?;
                all.push(change(one, true));
            }
        }
    }
    Ok(all)
}

fn environment(words: &[Word]) -> Vec<Change> {
    let change = |word: &Word| match (word.option, word.values.as_slice()) {
        ("setenv", [name, value]) => Some(Change::Set(name.clone(), value.clone())),
        ("unsetenv", [name]) => Some(Change::Unset(name.clone())),
        ("clearenv", _) => Some(Change::Clear),
        ("whitelist-env", [list]) => {
            Some(Change::Keep(list.to_string_lossy().split(',').map(OsString::from).collect()))
        }
        _ => None,
    };
    words.iter().filter_map(change).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
