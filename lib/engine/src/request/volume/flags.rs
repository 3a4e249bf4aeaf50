//! The words behind `-v SOURCE:TARGET:` and `--tmpfs TARGET:`. Of each sort docker takes one word at most.

use super::{Below, Ids, Kind, Volume, refused};
use crate::Result;

/// What the words come to.
#[derive(Debug, Default)]
pub(super) struct Flags {
    /// All but source, target and mode.
    pub(super) volume: Volume,
    /// `nocopy`: it is for volumes alone.
    pub(super) no_copy: bool,
}

impl Flags {
    /// Reads `mode`: words between commas.
    pub(super) fn parse(mode: &str) -> Result<Self> {
        let bad = || {
            refused(format!("invalid mode: {mode}"))
                .hint("ro or rw, z or Z, one of [r]shared, [r]slave, [r]private; O, U, idmap")
        };
        let mut flags = Self::default();
        let (mut access, mut label, mut consistency, mut overlay) = (0, 0, 0, None);
        for word in mode.split(',').filter(|w| !w.is_empty()) {
            let volume = &mut flags.volume;
            match word {
                "ro" | "readonly" | "rro" => {
                    access += 1;
                    volume.read_only = true;
                    if word == "rro" {
                        volume.below = Below::Readonly;
                    }
                }
                "rw" => access += 1,
                "z" | "Z" => label += 1,
                "consistent" | "cached" | "delegated" => consistency += 1,
                "nocopy" | "copy" => flags.no_copy = word == "nocopy",
                "bind" => volume.below = Below::Disabled,
                "rbind" => {}
                "U" => volume.own = true,
                "O" => overlay = Some((None, None)),
                "idmap" => volume.ids = Some(Ids { relative: true, ..Ids::default() }),
                _ if is_propagation(word) => {
                    if volume.propagation.replace(word.into()).is_some() {
                        return Err(bad());
                    }
                }
                "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" | "noatime" | "relatime" | "nosymfollow" => {
                    volume.options.push(word.into());
                }
                _ => match (word.split_once('='), &mut overlay) {
                    (Some(("upperdir", path)), Some((upper, _))) => *upper = Some(path.into()),
                    (Some(("workdir", path)), Some((_, work))) => *work = Some(path.into()),
                    (Some(("idmap", runs)), _) => volume.ids = Some(ids(runs).ok_or_else(bad)?),
                    _ => return Err(bad()),
                },
            }
        }
        if access > 1 || label > 1 || consistency > 1 {
            return Err(bad());
        }
        if let Some((upper, work)) = overlay {
            if upper.is_some() != work.is_some() {
                return Err(refused("must specify both workdir and upperdir for overlay volume"));
            }
            flags.volume.kind = Kind::Overlay { upper, work };
        }
        Ok(flags)
    }
}

/// Whether `word` names a way in which mounts travel.
pub(super) fn is_propagation(word: &str) -> bool {
    matches!(word, "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" | "unbindable" | "runbindable")
}

/// podman's `uids=0-1000-1#10-11-5;gids=…`; an `@` in front means "as the container's user namespace counts".
pub(super) fn ids(text: &str) -> Option<Ids> {
    let mut all = Ids::default();
    for part in text.split(';').filter(|p| !p.is_empty()) {
        let (key, runs) = part.split_once('=')?;
        let mut list = Vec::new();
        for run in runs.split('#') {
            let bare = run.strip_prefix('@').unwrap_or(run);
            all.relative |= bare.len() < run.len();
            let numbers: Vec<u32> = bare.split('-').map(str::parse).collect::<std::result::Result<_, _>>().ok()?;
            let [from, to, length] = numbers[..] else { return None };
            list.push((from, to, length));
        }
        match key {
            "uids" => all.users = list,
            "gids" => all.groups = list,
            _ => return None,
        }
    }
    Some(all)
}

/// The options of a tmpfs, docker's list (moby `pkg/mount`, `MergeTmpfsOptions`).
pub(super) fn tmpfs(mode: &str) -> Result<Vec<String>> {
    const WORDS: [&str; 22] = [
        "rw",
        "ro",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "dirsync",
        "remount",
        "mand",
        "nomand",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
    ];
    const VALUES: [&str; 8] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "inode64"];
    const PODMAN: [&str; 2] = ["tmpcopyup", "notmpcopyup"];
    let mut all = Vec::new();
    for word in mode.split(',').filter(|w| !w.is_empty()) {
        let key = word.split_once('=').map_or(word, |(key, _)| key);
        let known = if word.contains('=') {
            VALUES.contains(&key)
        } else {
            WORDS.contains(&word) || PODMAN.contains(&word) || is_propagation(word)
        };
        if !known {
            return Err(refused(format!("invalid tmpfs option [{word:?}]")));
        }
        if word != "notmpcopyup" {
            all.push(word.to_owned());
        }
    }
    Ok(all)
}
