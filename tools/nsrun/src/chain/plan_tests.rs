//! What options imply, without a machine.

use super::super::cli::{Args, ordered};
use super::{Caller, plan};
use clap::{CommandFactory, FromArgMatches};
use runtime::chain::{CapabilityChange, Chain, MapRanges, Operation, Seccomp};
use runtime::idmap::IdRange;
use runtime::namespace::Namespace;

const ROOT: Caller = Caller { privileged: true, uid: 0, gid: 0, ranges: false };
const USER: Caller = Caller { privileged: false, uid: 1000, gid: 1001, ranges: true };

fn of(line: &str, caller: &Caller) -> Result<Chain, String> {
    let words = std::iter::once("nsrun").chain(line.split_whitespace()).map(Into::into).collect();
    let mut command = Args::command();
    let words = crate::letters::apart(&mut command, words, false);
    let matches = command.try_get_matches_from(words).map_err(|e| e.to_string())?;
    let args = Args::from_arg_matches(&matches).map_err(|e| e.to_string())?;
    plan(args, &ordered(&matches), caller).map_err(|f| f.message)
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
    assert_eq!(chain.command.words, ["chroot", "/new", "-m", "sh"]);
    assert!(!of("-p sh", &ROOT).unwrap().fork);
    let chain = of("-fmS5 -G6 -R/new -w/tmp sh", &ROOT).unwrap();
    assert_eq!((chain.uid, chain.gid, chain.root), (Some(5), Some(6), Some("/new".into())));
    assert!(of("--load-interp :x:M::y::/z: sh", &ROOT).unwrap().makes(Namespace::User));
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
fn a_root_put_together_is_the_callers_own() {
    let chain = of("--ro-bind / / --dev /dev sh", &USER).unwrap();
    assert_eq!((chain.map_user, chain.map_group, chain.map_users.len()), (Some(1000), Some(1001), 0));
    assert!(chain.no_new_privs && !chain.fork && chain.makes(Namespace::Mnt));
    let chain = of("--unshare-user --uid 7 --gid 8 --ro-bind / / sh", &ROOT).unwrap();
    assert_eq!((chain.map_user, chain.map_group, chain.uid, chain.gid), (Some(7), Some(8), None, None));
    let chain = of("--uid 7 --ro-bind / / sh", &ROOT).unwrap();
    assert_eq!((chain.map_user, chain.uid), (None, Some(7)));
}

#[test]
fn mounts_come_in_order_and_take_what_stands_before_them() {
    let chain = of("--perms 700 --size 1m --tmpfs /a --tmpfs /b --overlay-src x --tmp-overlay /c sh", &ROOT).unwrap();
    let operations = chain.sandbox.unwrap().operations;
    assert_eq!(operations[0], Operation::Tmpfs("/a".into(), Some(0o700), Some(1 << 20)));
    assert_eq!(operations[1], Operation::Tmpfs("/b".into(), None, None));
    assert!(matches!(&operations[2], Operation::Overlay { lowers, .. } if lowers.len() == 1));
    for (line, wanted) in [
        ("--perms 700 sh", "--perms: no option behind it that it is for"),
        ("--overlay-src x sh", "--overlay-src: no overlay behind it"),
        ("--perms 9 --tmpfs /x sh", "--perms 9: no octal mode such as 0755"),
        ("--chmod 700 x sh", "--chmod x: must be absolute, as seen inside"),
        ("--file x /y sh", "--file x: no number of a descriptor"),
        ("--size 1 --dir /x sh", "--size: no --tmpfs behind it"),
    ] {
        assert_eq!(of(line, &ROOT).unwrap_err(), wanted, "{line}");
    }
}

#[test]
fn capabilities_come_in_order() {
    let chain = of("--cap-drop ALL --cap-add kill sh", &ROOT).unwrap();
    assert_eq!(chain.capabilities.len(), 42);
    assert_eq!(chain.capabilities[41], CapabilityChange::Add(spec::runtime::Capability::Kill, true));
}

#[test]
fn seccomp_is_a_word_a_number_or_a_file() {
    let of = |word: &str| of(&format!("--seccomp {word} sh"), &USER).unwrap();
    assert_eq!(of("default").seccomp, Seccomp::Default);
    assert_eq!(of("7").seccomp, Seccomp::Program(7));
    assert_eq!(of("p.json").seccomp, Seccomp::Profile("p.json".into()));
    assert!(of("default").no_new_privs && !of("unconfined").no_new_privs);
}

#[test]
fn limits_make_somebody_stay_behind() {
    let chain = of("--memory 64m --cpus 1.5 --pids 3 sh", &ROOT).unwrap();
    assert!(chain.fork);
    assert_eq!(
        (chain.limits.memory_bytes, chain.limits.millicpus, chain.limits.pids),
        (Some(64 << 20), Some(1500), Some(3))
    );
    assert_eq!(of("--memory lots sh", &ROOT).unwrap_err(), "--memory lots: no size");
    assert_eq!(of("--cpus 0 sh", &ROOT).unwrap_err(), "--cpus 0: no number of processors such as 1.5");
    assert_eq!(of("--pids-limit 0 sh", &ROOT).unwrap_err(), "--pids-limit 0: at least 1");
}

#[test]
fn ranges_come_in_both_orders() {
    let want = [MapRanges::Range(IdRange { inside: 1, outside: 100_000, size: 10 })];
    assert_eq!(of("--map-users 1:100000:10 sh", &ROOT).unwrap().map_users, want);
    assert_eq!(of("--map-users 100000,1,10 sh", &ROOT).unwrap().map_users, want);
    assert_eq!(
        of("--map-users all --map-users subids sh", &ROOT).unwrap().map_users,
        [MapRanges::All, MapRanges::SubIds]
    );
    assert!(of("--map-users 1:2 sh", &ROOT).unwrap_err().starts_with("--map-users 1:2: not INNER"));
}

#[test]
fn nonsense_is_named() {
    for (line, wanted) in [
        ("--setgroups maybe sh", "--setgroups maybe: neither allow nor deny"),
        ("--cap-drop NOPE sh", "--cap-drop NOPE: no such capability"),
        ("--kill-child=FOO sh", "unknown signal \"FOO\""),
        ("--owner me sh", "--owner me: not UID:GID, two numbers"),
        ("--boottime 1 sh", "--boottime: only a time namespace has clocks of its own"),
        ("--rootfs . -R x sh", "--root: not together with --rootfs or mount options, which make a root of their own"),
        ("--map-user nobody-of-that-name sh", "--map-user nobody-of-that-name: no such id"),
        ("-t --new-session sh", "--tty and --new-session: a session has a terminal or has none"),
    ] {
        assert_eq!(of(line, &ROOT).unwrap_err(), wanted, "{line}");
    }
}
