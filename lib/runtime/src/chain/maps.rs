//! The id maps of a new user namespace, as unshare(1)'s options come to them.
//!
//! One id alone (`--map-root-user`, `--map-user`) is written as it is. Ranges (`--map-users`, `--map-auto`) and one id beside them
//! make room for each other: the range leaves the single id out on both sides, and what lies behind moves up by one.

use super::Chain;
use crate::error::{Result, invalid};
use crate::file;
use crate::idmap::{self, IdRange, Ids};

/// Whose ids a new user namespace maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapRanges {
    /// The caller's first line in /etc/subuid or /etc/subgid, from id 0 on.
    Auto,
    /// The same, each id to itself.
    SubIds,
    /// Every id the caller's user namespace has, each to itself.
    All,
    /// This one.
    Range(IdRange),
}

/// What is to be written about a new user namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Maps {
    users: Vec<IdRange>,
    groups: Vec<IdRange>,
    deny_setgroups: bool,
    /// There are ranges, so that it takes a process outside to write them.
    pub(super) ranges: bool,
}

impl Maps {
    /// Those of `chain`; none where it makes no user namespace.
    pub(super) fn of(chain: &Chain) -> Result<Option<Self>> {
        if !chain.makes(crate::namespace::Namespace::User) {
            return Ok(None);
        }
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let users = ranges(Ids::Users, uid, &chain.map_users, chain.map_user)?;
        let groups = ranges(Ids::Groups, gid, &chain.map_groups, chain.map_group)?;
        // Without ranges the kernel lets an ordinary user map a group only when it cannot be left (user_namespaces(7)).
        let one_group = !groups.is_empty() && chain.map_groups.is_empty() && chain.owner.is_none();
        if one_group && chain.setgroups == Some(true) {
            return Err(invalid("--setgroups", "allow", "cannot go with a map of one group")
                .hint("map ranges with --map-auto or --map-groups"));
        }
        Ok(Some(Self {
            users,
            groups,
            deny_setgroups: one_group || chain.setgroups == Some(false),
            ranges: !(chain.map_users.is_empty() && chain.map_groups.is_empty()),
        }))
    }

    /// Writes them from outside, for the process `pid` that made the namespace.
    pub(super) fn write(&self, pid: i32) -> Result<()> {
        if self.deny_setgroups {
            idmap::deny_setgroups_of(pid)?;
        }
        idmap::write(pid, Ids::Users, &self.users)?;
        idmap::write(pid, Ids::Groups, &self.groups)
    }

    /// Writes them from inside: single ids only.
    pub(super) fn write_own(&self) -> Result<()> {
        if self.deny_setgroups {
            idmap::deny_setgroups_of("self")?;
        }
        idmap::write_own(Ids::Users, &self.users)?;
        idmap::write_own(Ids::Groups, &self.groups)
    }
}

fn ranges(ids: Ids, own: u32, asked: &[MapRanges], single: Option<u32>) -> Result<Vec<IdRange>> {
    let single = single.map(|inside| IdRange { inside, outside: own, size: 1 });
    let mut all: Vec<IdRange> = single.into_iter().collect();
    for one in asked {
        let (found, grows) = match one {
            MapRanges::Range(range) => (vec![*range], false),
            MapRanges::Auto => {
                let (outside, size) = idmap::load_sub_ids(ids)?;
                (vec![IdRange { inside: 0, outside, size }], true)
            }
            MapRanges::SubIds => {
                let (outside, size) = idmap::load_sub_ids(ids)?;
                (vec![IdRange { inside: outside, outside, size }], false)
            }
            MapRanges::All => (load_all(ids)?, false),
        };
        for range in found {
            match single {
                Some(single) => all.extend(around(range, single, grows)),
                None => all.push(range),
            }
        }
    }
    all.sort_by_key(|r| r.inside);
    Ok(all)
}

/// All ids of the caller's user namespace, each to itself.
fn load_all(ids: Ids) -> Result<Vec<IdRange>> {
    let path = match ids {
        Ids::Users => "/proc/self/uid_map",
        Ids::Groups => "/proc/self/gid_map",
    };
    let text = file::read_text(path).map_err(|e| crate::error::failed("read", path, e))?;
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|n| n.parse::<u32>().ok());
        let (inside, size) = (numbers.next()??, numbers.nth(1)??);
        Some(IdRange { inside, outside: inside, size })
    };
    Ok(text.lines().filter_map(range).collect())
}

/// `range` with `single` left out on both sides. Where it `grows` (nobody said how long it is to be inside) all its ids stay, else it
/// loses its last when one was left out.
fn around(range: IdRange, single: IdRange, grows: bool) -> Vec<IdRange> {
    let place = |start: u32, at: u32| at.checked_sub(start).filter(|n| *n < range.size);
    let (inside, outside) = (place(range.inside, single.inside), place(range.outside, single.outside));
    let hit = inside.is_some() || outside.is_some();
    let size = if hit && !grows { range.size - 1 } else { range.size };
    let cuts = [Some(0), inside.min(outside).or(inside).or(outside), inside.max(outside), Some(size)];
    let mut cuts: Vec<u32> = cuts.into_iter().flatten().map(|at| at.min(size)).collect();
    cuts.sort_unstable();
    let moved = |from: u32, hole: Option<u32>| u32::from(hole.is_some_and(|hole| from >= hole));
    let pieces = cuts.windows(2).filter_map(|w| match w {
        [from, to] if from < to => Some(IdRange {
            inside: range.inside + from + moved(*from, inside),
            outside: range.outside + from + moved(*from, outside),
            size: to - from,
        }),
        _ => None,
    });
    pieces.collect()
}

#[cfg(test)]
mod tests {
    use super::{IdRange, around};

    fn range(inside: u32, outside: u32, size: u32) -> IdRange {
        IdRange { inside, outside, size }
    }

    #[test]
    fn a_single_id_makes_room_in_ranges() {
        let auto = range(0, 100_000, 65536);
        assert_eq!(around(auto, range(0, 1000, 1), true), [range(1, 100_000, 65536)]);
        assert_eq!(around(auto, range(1000, 1000, 1), true), [range(0, 100_000, 1000), range(1001, 101_000, 64536)]);
        assert_eq!(around(range(5, 50, 5), range(0, 7, 1), false), [range(5, 50, 5)]);
    }

    #[test]
    fn a_range_that_holds_it_on_both_sides_leaves_it_out_on_both() {
        assert_eq!(around(range(0, 0, 10), range(0, 0, 1), false), [range(1, 1, 9)]);
        assert_eq!(around(range(0, 0, 10), range(3, 0, 1), false), [range(0, 1, 3), range(4, 4, 6)]);
        assert_eq!(around(range(0, 0, 10), range(0, 5, 1), false), [range(1, 0, 5), range(6, 6, 4)]);
        assert_eq!(around(range(1, 1, 1), range(1, 9, 1), false), []);
    }
}
