//! The words of a mount's `options` (mount(8), runtime-spec "Mounts"), sorted into what the kernel takes where: attributes of
//! the mount (mount_setattr(2)), its propagation, flags of the file system, and the rest, which is data for the file system.

use crate::error::{Result, invalid};

pub(crate) const RDONLY: u64 = 0x1;
pub(crate) const NOSUID: u64 = 0x2;
pub(crate) const NODEV: u64 = 0x4;
pub(crate) const NOEXEC: u64 = 0x8;
const ATIME_MASK: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
pub(crate) const IDMAP: u64 = 0x0010_0000;
const NOSYMFOLLOW: u64 = 0x0020_0000;

/// Attributes to set and to clear.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Attributes {
    fn change(&mut self, set: u64, clear: u64) {
        self.set = (self.set & !clear) | set;
        self.clear = (self.clear & !set) | clear;
        // The kernel takes a new atime mode only together with the whole mask (mount_setattr(2)).
        if (set | clear) & ATIME_MASK != 0 {
            self.clear |= ATIME_MASK;
        }
    }

    /// Whether nothing is to be changed.
    pub(crate) const fn is_empty(self) -> bool {
        self.set == 0 && self.clear == 0
    }
}

/// How ids are mapped on a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdMapped {
    Top,
    Tree,
}

/// All options of one mount.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// A bind mount; of the whole tree where true.
    pub(crate) bind: Option<bool>,
    /// Changes an existing mount.
    pub(crate) remount: bool,
    /// Of the mount itself.
    pub(crate) attributes: Attributes,
    /// Of the mount and all below it.
    pub(crate) recursive: Attributes,
    /// `MS_SHARED` and so on, with whether the whole tree takes it.
    pub(crate) propagation: Vec<(u64, bool)>,
    /// Flags of the file system, as fsconfig(2) names them.
    pub(crate) file_system_flags: Vec<&'static str>,
    /// Data of the file system: `key=value` or `key`.
    pub(crate) data: Vec<String>,
    /// Copy what the tmpfs hides into it.
    pub(crate) copy_up: bool,
    pub(crate) id_mapped: Option<IdMapped>,
}

/// (word, attributes set, attributes cleared); each has a recursive form with an `r` in front.
const ATTRIBUTES: [(&str, u64, u64); 19] = [
    ("ro", RDONLY, 0),
    ("rw", 0, RDONLY),
    ("nosuid", NOSUID, 0),
    ("suid", 0, NOSUID),
    ("nodev", NODEV, 0),
    ("dev", 0, NODEV),
    ("noexec", NOEXEC, 0),
    ("exec", 0, NOEXEC),
    ("noatime", NOATIME, ATIME_MASK & !NOATIME),
    ("atime", 0, NOATIME),
    ("relatime", 0, ATIME_MASK),
    ("norelatime", 0, 0),
    ("strictatime", STRICTATIME, ATIME_MASK & !STRICTATIME),
    ("nostrictatime", 0, STRICTATIME),
    ("nodiratime", NODIRATIME, 0),
    ("diratime", 0, NODIRATIME),
    ("nosymfollow", NOSYMFOLLOW, 0),
    ("symfollow", 0, NOSYMFOLLOW),
    ("defaults", 0, 0),
];

const PROPAGATION: [(&str, u64); 4] = [
    ("shared", libc::MS_SHARED),
    ("slave", libc::MS_SLAVE),
    ("private", libc::MS_PRIVATE),
    ("unbindable", libc::MS_UNBINDABLE),
];

/// The propagation type that a word such as `rslave` names, and whether it is for the whole tree.
pub(crate) fn parse_propagation(word: &str) -> Option<(u64, bool)> {
    let find = |w: &str| PROPAGATION.iter().find(|(name, _)| *name == w).map(|(_, flag)| *flag);
    find(word).map(|flag| (flag, false)).or_else(|| find(word.strip_prefix('r')?).map(|flag| (flag, true)))
}

/// Sorts `words`. `fs_type` is needed since bind mounts take no data and `remount` stands for itself.
pub(crate) fn parse<'a>(destination: &str, fs_type: &str, words: impl IntoIterator<Item = &'a str>) -> Result<Options> {
    let mut all = Options::default();
    if fs_type == "bind" {
        // Some callers write the type and leave the option out.
        all.bind = Some(false);
    }
    for word in words {
        if let Some((_, set, clear)) = ATTRIBUTES.iter().find(|(name, ..)| *name == word) {
            all.attributes.change(*set, *clear);
        } else if let Some((_, set, clear)) =
            word.strip_prefix('r').and_then(|w| ATTRIBUTES.iter().find(|(name, ..)| *name == w && w != "defaults"))
        {
            all.recursive.change(*set, *clear);
        } else if let Some(one) = parse_propagation(word) {
            all.propagation.push(one);
        } else {
            match word {
                "bind" => all.bind = Some(all.bind.unwrap_or(false)),
                "rbind" => all.bind = Some(true),
                "remount" => all.remount = true,
                "sync" => all.file_system_flags.push("sync"),
                "dirsync" => all.file_system_flags.push("dirsync"),
                "mand" => all.file_system_flags.push("mand"),
                "lazytime" => all.file_system_flags.push("lazytime"),
                "async" => all.file_system_flags.retain(|f| *f != "sync"),
                "nomand" => all.file_system_flags.retain(|f| *f != "mand"),
                "nolazytime" => all.file_system_flags.retain(|f| *f != "lazytime"),
                // What they say is so anyway: fsopen(2) keeps its messages to us; i_version is always kept where there is one (Linux 6.0).
                "silent" | "loud" | "iversion" | "noiversion" | "" => {}
                // Words for those who read fstab (mount(8)).
                "auto" | "noauto" | "nofail" | "_netdev" | "nouser" => {}
                word if word.starts_with("x-") || word.starts_with("X-") || word.starts_with("comment=") => {}
                "tmpcopyup" => all.copy_up = true,
                "idmap" => all.id_mapped = Some(IdMapped::Top),
                "ridmap" => all.id_mapped = Some(IdMapped::Tree),
                data => all.data.push(data.to_owned()),
            }
        }
    }
    if all.copy_up && fs_type != "tmpfs" {
        return Err(invalid("mount", destination, "tmpcopyup is for tmpfs only"));
    }
    // Labels of a file system that the machine may not have; podman writes them always.
    all.data.retain(|d| !(all.bind.is_some() && (d.starts_with("context=") || d == "z" || d == "Z")));
    Ok(all)
}

/// All words this runtime knows, for `features`.
pub fn known() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (word, ..) in ATTRIBUTES {
        all.push(word.into());
        if word != "defaults" {
            all.push(format!("r{word}"));
        }
    }
    for (word, _) in PROPAGATION {
        all.extend([word.into(), format!("r{word}")]);
    }
    let rest = [
        "bind",
        "rbind",
        "remount",
        "sync",
        "async",
        "dirsync",
        "mand",
        "nomand",
        "lazytime",
        "nolazytime",
        "iversion",
        "noiversion",
        "silent",
        "loud",
        "tmpcopyup",
        "idmap",
        "ridmap",
    ];
    all.extend(rest.map(str::to_owned));
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Options {
        parse("/x", "tmpfs", words.iter().copied()).unwrap()
    }

    #[test]
    fn words_are_sorted() {
        let all = of(&["nosuid", "rw", "noexec", "mode=755", "rslave", "rro", "sync", "newinstance"]);
        assert_eq!(all.attributes, Attributes { set: NOSUID | NOEXEC, clear: RDONLY });
        assert_eq!(all.recursive, Attributes { set: RDONLY, clear: 0 });
        assert_eq!(all.data, ["mode=755", "newinstance"]);
        assert_eq!(all.propagation, [(libc::MS_SLAVE, true)]);
        assert_eq!(all.file_system_flags, ["sync"]);
        assert_eq!(of(&["rbind"]).bind, Some(true));
    }

    #[test]
    fn the_last_word_wins_and_atime_comes_with_its_mask() {
        assert_eq!(of(&["ro", "rw"]).attributes, Attributes { set: 0, clear: RDONLY });
        assert_eq!(of(&["noatime"]).attributes, Attributes { set: NOATIME, clear: ATIME_MASK });
        assert_eq!(of(&["noatime", "strictatime"]).attributes.set, STRICTATIME);
        assert_eq!(of(&["nodiratime"]).attributes, Attributes { set: NODIRATIME, clear: 0 });
    }

    #[test]
    fn tmpcopyup_elsewhere_is_refused() {
        let error = parse("/x", "proc", ["tmpcopyup"]).unwrap_err();
        assert_eq!(error.to_string(), "mount /x: tmpcopyup is for tmpfs only");
    }
}
