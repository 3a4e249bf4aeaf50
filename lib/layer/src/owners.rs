//! Ids of a container as ids of the machine: umoci's `--uid-map C:H[:N]`, and the ranges of `subuid(5)` and `subgid(5)`.
//!
//! A map is a list of runs: container ids from `C` on are the machine's ids from `H` on, `N` of them. What no run holds has
//! no number on the machine, and unpacking it is an error: an invented owner would be somebody's.

use std::fmt;

/// Ids from `container` on stand for ids from `host` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first id as the layer names it.
    pub container: u32,
    /// The first id on this machine (in this user namespace).
    pub host: u32,
    /// How many.
    pub count: u32,
}

/// Runs of user ids and of group ids; an empty list leaves ids as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// For owners.
    pub uids: Vec<Run>,
    /// For groups.
    pub gids: Vec<Run>,
}

/// Why a map is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMap(String);

impl fmt::Display for BadMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadMap {}

impl std::str::FromStr for Run {
    type Err = BadMap;

    /// `CONTAINER:HOST[:COUNT]`; the count is 1 where it is left out.
    fn from_str(text: &str) -> Result<Self, BadMap> {
        let fields: Vec<&str> = text.split(':').collect();
        let number = |field: &str| {
            let digits = !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit());
            field.parse::<u32>().ok().filter(|_| digits)
        };
        let bad = |why: &str| BadMap(format!("{text}: {why}"));
        let (container, host, count) = match fields[..] {
            [container, host] => (container, host, "1"),
            [container, host, count] => (container, host, count),
            _ => return Err(bad("not CONTAINER:HOST or CONTAINER:HOST:COUNT")),
        };
        let run = match (number(container), number(host), number(count)) {
            (Some(container), Some(host), Some(count)) => Self { container, host, count },
            _ => return Err(bad("not CONTAINER:HOST:COUNT in numbers below 4294967295")),
        };
        if run.count == 0 {
            return Err(bad("a map of no ids"));
        }
        // The id -1 says "leave it" to the kernel and is nobody's.
        match (run.container.checked_add(run.count), run.host.checked_add(run.count)) {
            (Some(_), Some(_)) => Ok(run),
            _ => Err(bad("reaches beyond the ids there are")),
        }
    }
}

/// The id on this machine for `id` of a layer; `None` where no run has it.
pub fn mapped(runs: &[Run], id: u64) -> Option<u64> {
    if runs.is_empty() {
        return Some(id);
    }
    let inside = |run: &&Run| id.checked_sub(u64::from(run.container)).is_some_and(|at| at < u64::from(run.count));
    runs.iter().find(inside).map(|run| u64::from(run.host) + (id - u64::from(run.container)))
}

/// Fails where two runs give one id of the container, or one of the machine, twice.
pub fn check(runs: &[Run]) -> Result<(), BadMap> {
    let meet = |a: u32, a_count: u32, b: u32, b_count: u32| {
        u64::from(a) < u64::from(b) + u64::from(b_count) && u64::from(b) < u64::from(a) + u64::from(a_count)
    };
    for (at, a) in runs.iter().enumerate() {
        for b in &runs[at + 1..] {
            if meet(a.container, a.count, b.container, b.count) || meet(a.host, a.count, b.host, b.count) {
                let show = |r: &Run| format!("{}:{}:{}", r.container, r.host, r.count);
                return Err(BadMap(format!("{} and {} give one id twice", show(a), show(b))));
            }
        }
    }
    Ok(())
}

/// The map that a user's lines of `subuid(5)` make: the own id is 0, then the ranges one after the other. Lines name the user
/// or give the number `id`. This is what `newuidmap` allows and engines use.
pub fn from_subids(file: &str, user: &str, id: u32) -> Result<Vec<Run>, BadMap> {
    let mut runs = vec![Run { container: 0, host: id, count: 1 }];
    let mut next = 1_u32;
    let number = id.to_string();
    for line in file.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, start, count] = fields[..] else { continue };
        if name != user && name != number {
            continue;
        }
        let bad = || BadMap(format!("{line}: not NAME:START:COUNT"));
        let (start, count) = (start.parse::<u32>().map_err(|_| bad())?, count.parse::<u32>().map_err(|_| bad())?);
        if count == 0 {
            continue;
        }
        runs.push(Run { container: next, host: start, count });
        next = next.checked_add(count).ok_or_else(bad)?;
    }
    if runs.len() == 1 {
        return Err(BadMap(format!("{user} has no range of ids")));
    }
    check(&runs)?;
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Run, String> {
        text.parse().map_err(|e: BadMap| e.to_string())
    }

    #[test]
    fn reads_what_umoci_reads() {
        assert_eq!(run("0:100000:65536"), Ok(Run { container: 0, host: 100_000, count: 65536 }));
        assert_eq!(run("0:1000"), Ok(Run { container: 0, host: 1000, count: 1 }));
        for wrong in ["", "0", "0:1:2:3", "a:1", "0:+1", "-1:0", "0:1:0", "0:4294967295", "1:2:4294967295", "0: 1"] {
            assert!(run(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_without_a_run_have_no_number() {
        let runs = [run("0:1000").unwrap(), run("1:100000:10").unwrap()];
        assert_eq!([0, 1, 10, 11].map(|id| mapped(&runs, id)), [Some(1000), Some(100_000), Some(100_009), None]);
        assert_eq!(mapped(&[], 7), Some(7));
        assert!(check(&runs).is_ok());
        for twice in [["0:5:2", "1:9"], ["0:5:2", "7:6"]] {
            assert!(check(&twice.map(|t| run(t).unwrap())).is_err(), "{twice:?}");
        }
    }

    #[test]
    fn a_user_has_the_own_id_and_then_the_ranges() {
        let file = "# ranges\nada:100000:65536\nbob:200000:10\n1000:300000:5\n\nbroken\n";
        let runs = from_subids(file, "ada", 1000).unwrap();
        assert_eq!(
            runs.iter().map(|r| (r.container, r.host, r.count)).collect::<Vec<_>>(),
            [(0, 1000, 1), (1, 100_000, 65536), (65537, 300_000, 5)]
        );
        assert_eq!(from_subids(file, "eve", 1).unwrap_err().to_string(), "eve has no range of ids");
    }
}
