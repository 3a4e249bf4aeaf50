//! Which ids a container's user namespace has: `--userns`, `--uidmap` and `--gidmap` become a map.
//!
//! ```text
//! as root             0 ─ 65535 inside      = 65536 ids nobody else has, outside
//! keep-id, uid 1000   0 ─ 999               = 1 ─ 1000 of the user's own namespace (its ranges of /etc/subuid)
//!                     1000                  = 0: the user
//!                     1001 ─                = 1001 ─
//! ```
//!
//! Layers keep the container's own numbers on disk, whatever its map: `ovl-mount` shows them shifted (`uidmapping`), by id-mapped
//! mounts of the layers or by itself. So an image is unpacked once for all maps, and `diff` and `commit` know of none.

use crate::machine::Machine;
use crate::request::isolation::{Maps, Run, Users};
use crate::request::{Request, wrong};
use crate::{Error, Kind, Result};

/// How many ids a container gets where nothing else was said.
const SIZE: u32 = 65536;
/// The same for an ordinary user, who has not more than that for all containers (podman's least).
const SIZE_OF_USER: u32 = 1024;
/// Ids for containers where /etc/subuid has none for the user `containers`: what systemd leaves to them (UIDS-GIDS.md).
const POOL: (u32, u32) = (524_288, 1_879_048_192 - 524_288);

/// What is known of ids on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// Who we are on the machine: user and group.
    pub own: (u32, u32),
    /// How many user and group ids our own user namespace has, without root all of the user's ranges.
    pub counts: (u32, u32),
    /// Ids for containers of root: first and how many.
    pub pool: (u32, u32),
}

impl Ids {
    /// Looks at our maps, and at /etc/subuid.
    pub fn probe(rootless: bool) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (uid_map, gid_map) = (read("/proc/self/uid_map"), read("/proc/self/gid_map"));
        let subuid = read("/etc/subuid");
        if !rootless {
            let pool = ranges(&subuid, &["containers"]).into_iter().next().unwrap_or(POOL);
            return Self { own: (0, 0), counts: (u32::MAX, u32::MAX), pool };
        }
        if rustix::process::geteuid().is_root() {
            let own = |map: &str| map.split_whitespace().nth(1).and_then(|id| id.parse().ok()).unwrap_or(0);
            return Self {
                own: (own(&uid_map), own(&gid_map)),
                counts: (count(&uid_map), count(&gid_map)),
                pool: (0, 0),
            };
        }
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let name = user_name(&read("/etc/passwd"), own.0);
        let number = own.0.to_string();
        let names: Vec<&str> = name.as_deref().into_iter().chain([number.as_str()]).collect();
        let sum = |text: &str| ranges(text, &names).iter().fold(1_u32, |sum, (_, n)| sum.saturating_add(*n));
        Self { own, counts: (sum(&subuid), sum(&read("/etc/subgid"))), pool: (0, 0) }
    }
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn count(map: &str) -> u32 {
    let lengths = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u32>().ok());
    lengths.fold(0, u32::saturating_add)
}

/// The ranges of a subid file that belong to one of `names`.
fn ranges(text: &str, names: &[&str]) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        names.contains(&owner).then_some(range)
    };
    text.lines().filter_map(range).collect()
}

/// The map of the container's user namespace; empty where it has none of its own, or joins one that only a file names.
pub fn maps(request: &Request, machine: &Machine) -> Result<Maps> {
    let isolation = &request.isolation;
    if !isolation.maps.is_empty() {
        return match isolation.users {
            // With another container's namespace come its ids.
            Users::Default | Users::Auto { .. } | Users::Container(_) => {
                check(&isolation.maps, machine)?;
                Ok(isolation.maps.clone())
            }
            _ => Err(wrong("cannot set a map of ids with that --userns").hint("--uidmap and --gidmap stand alone")),
        };
    }
    let only_rootless = |mode: &str| {
        Err(wrong(format!("{mode} is only supported in rootless mode"))
            .hint("as root, --userns=auto gives a container ids of its own"))
    };
    match isolation.users {
        Users::Default | Users::Host | Users::Container(_) | Users::Path(_) => Ok(Maps::default()),
        Users::Auto { size } => Ok(automatic(size, machine, 0)),
        Users::KeepId { .. } | Users::NoMap if !machine.rootless => {
            only_rootless(isolation.users.text().split(':').next().unwrap_or_default())
        }
        Users::KeepId { uid, gid } => {
            let Ids { own, counts, .. } = machine.ids;
            Ok(Maps { users: keep(uid.unwrap_or(own.0), counts.0), groups: keep(gid.unwrap_or(own.1), counts.1) })
        }
        Users::NoMap => {
            let all = |count: u32| vec![Run { inside: 0, outside: 1, length: count.saturating_sub(1) }];
            let (users, groups) = machine.ids.counts;
            if users < 2 || groups < 2 {
                return Err(wrong("nomap needs ranges of ids in /etc/subuid and /etc/subgid"));
            }
            Ok(Maps { users: all(users), groups: all(groups) })
        }
    }
}

/// Refuses ids that an ordinary user has not got: outside are those of the user's own namespace, the user and the ranges.
fn check(maps: &Maps, machine: &Machine) -> Result<()> {
    let (users, groups) = machine.ids.counts;
    for (what, runs, count) in [("uid", &maps.users, users), ("gid", &maps.groups, groups)] {
        let beyond = runs.iter().find(|run| run.outside.saturating_add(run.length) > count);
        if let (Some(Run { inside, outside, length }), true) = (beyond, machine.rootless) {
            let last = count.saturating_sub(1);
            let why =
                format!("{what}map {inside}:{outside}:{length}: without root the {what}s outside are 0 to {last}");
            return Err(wrong(why).hint("0 is yourself, from 1 on they are those of /etc/subuid and /etc/subgid"));
        }
    }
    Ok(())
}

/// The ids from 0 on as they are, but for `own`, which is the user (0 outside).
fn keep(own: u32, count: u32) -> Vec<Run> {
    let below = own.min(count.saturating_sub(1));
    let mut runs = Vec::new();
    if below > 0 {
        runs.push(Run { inside: 0, outside: 1, length: below });
    }
    runs.push(Run { inside: own, outside: 0, length: 1 });
    if let Some(above) = count.checked_sub(below + 1).filter(|n| *n > 0) {
        runs.push(Run { inside: own + 1, outside: below + 1, length: above });
    }
    runs
}

/// With `keep-id` the container's process is the user, unless told otherwise (podman).
pub fn keep_user(request: &mut Request, machine: &Machine) {
    if let (Users::KeepId { uid, gid }, None) = (&request.isolation.users, &request.user) {
        let own = machine.ids.own;
        request.user = Some(format!("{}:{}", uid.unwrap_or(own.0), gid.unwrap_or(own.1)));
    }
}

/// The `number`th piece of the pool.
fn automatic(size: Option<u32>, machine: &Machine, number: u32) -> Maps {
    let (size, (start, length)) = if machine.rootless {
        let count = machine.ids.counts.0.min(machine.ids.counts.1);
        (size.unwrap_or(SIZE_OF_USER), (1, count.saturating_sub(1)))
    } else {
        (size.unwrap_or(SIZE), machine.ids.pool)
    };
    let size = size.clamp(1, length.max(1));
    let pieces = (length / size).max(1);
    let run = Run { inside: 0, outside: start + (number % pieces) * size, length: size };
    Maps { users: vec![run], groups: vec![run] }
}

/// Gives a request for ids of its own some that no container in `taken` has.
pub fn give(request: &mut Request, machine: &Machine, taken: &[Maps]) -> Result<()> {
    let Users::Auto { size } = request.isolation.users else { return Ok(()) };
    if !request.isolation.maps.is_empty() {
        return Ok(());
    }
    let end = |run: &Run| u64::from(run.outside) + u64::from(run.length);
    let overlap = |a: &Run, b: &Run| u64::from(a.outside) < end(b) && u64::from(b.outside) < end(a);
    let first = automatic(size, machine, 0);
    for number in 0..=u32::MAX {
        let maps = automatic(size, machine, number);
        if number > 0 && maps == first {
            break;
        }
        let is_free =
            taken.iter().flat_map(|t| &t.users).all(|other| !maps.users.iter().any(|mine| overlap(mine, other)));
        if is_free {
            request.isolation.maps = maps;
            return Ok(());
        }
    }
    Err(Error::new(Kind::Conflict, "", "could not find enough available IDs")
        .hint("--userns=auto:size=N asks for fewer; /etc/subuid has the ranges of the user containers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(rootless: bool) -> Machine {
        let ids = match rootless {
            true => Ids { own: (1000, 1000), counts: (65537, 65537), pool: (0, 0) },
            false => Ids { own: (0, 0), counts: (u32::MAX, u32::MAX), pool: POOL },
        };
        Machine { rootless, ids, ..Machine::default() }
    }

    fn asked(users: Users) -> Request {
        let mut request = Request::default();
        request.isolation.users = users;
        request
    }

    #[test]
    fn an_ordinary_user_is_themselves_inside() {
        let maps = maps(&asked(Users::KeepId { uid: None, gid: None }), &machine(true)).unwrap();
        let run = |inside, outside, length| Run { inside, outside, length };
        assert_eq!(maps.users, [run(0, 1, 1000), run(1000, 0, 1), run(1001, 1001, 64536)]);
        assert_eq!(keep(0, 1), [run(0, 0, 1)]);
        assert_eq!(keep(1000, 1), [run(1000, 0, 1)]);
        assert_eq!(keep(70000, 65537), [run(0, 1, 65536), run(70000, 0, 1)]);
    }

    #[test]
    fn ids_that_a_user_has_not_got_are_refused() {
        let mut request = Request::default();
        request.isolation.maps.users = vec![Run { inside: 0, outside: 65_000, length: 1000 }];
        let error = maps(&request, &machine(true)).unwrap_err().to_string();
        assert_eq!(error, "uidmap 0:65000:1000: without root the uids outside are 0 to 65536");
        assert!(maps(&request, &machine(false)).is_ok());
    }

    #[test]
    fn for_root_there_is_no_one_to_keep() {
        let error = maps(&asked(Users::KeepId { uid: None, gid: None }), &machine(false)).unwrap_err();
        assert_eq!(error.to_string(), "keep-id is only supported in rootless mode");
    }

    #[test]
    fn each_gets_ids_of_its_own() {
        let mut taken = Vec::new();
        for n in 0..3 {
            let mut request = asked(Users::Auto { size: None });
            give(&mut request, &machine(false), &taken).unwrap();
            assert_eq!(request.isolation.maps.users[0].outside, 524_288 + n * 65536);
            taken.push(request.isolation.maps.clone());
        }
        let last = Run { inside: 0, outside: u32::MAX - 65535, length: 65536 };
        let mut beside = asked(Users::Auto { size: None });
        give(&mut beside, &machine(false), &[Maps { users: vec![last], groups: vec![last] }]).unwrap();
        assert_eq!(beside.isolation.maps.users[0].outside, 524_288);
        let mut small = asked(Users::Auto { size: Some(60000) });
        give(&mut small, &machine(true), &[]).unwrap();
        let full = vec![small.isolation.maps.clone()];
        let mut more = asked(Users::Auto { size: Some(60000) });
        assert_eq!(
            give(&mut more, &machine(true), &full).unwrap_err().to_string(),
            "could not find enough available IDs"
        );
    }
}
