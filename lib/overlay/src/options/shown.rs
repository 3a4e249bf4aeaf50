//! Options as words again: for `status`, and to tell what a remount would change.

use super::{Flags, Options};
use std::path::PathBuf;

impl Options {
    /// The options that differ from their defaults, layers and upper left out, as they could be typed.
    pub fn shown(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut flag = |set: bool, word: &str| {
            if set {
                words.push(word.to_owned());
            }
        };
        let flags = &self.flags;
        for (set, word) in [
            (flags.read_only, "ro"),
            (flags.nosuid, "nosuid"),
            (flags.nodev, "nodev"),
            (flags.noexec, "noexec"),
            (flags.nosymfollow, "nosymfollow"),
            (flags.noatime, "noatime"),
            (flags.strictatime, "strictatime"),
            (flags.nodiratime, "nodiratime"),
            (flags.sync, "sync"),
            (flags.dirsync, "dirsync"),
            (self.volatile, "volatile"),
            (self.no_fsync, "fsync=0"),
            (self.userxattr, "userxattr"),
            (self.allow_other == Some(true), "allow_other"),
            (self.squash_root, "squash_to_root"),
            (self.no_xattrs, "noxattrs"),
            (self.no_acl, "noacl"),
            (self.single_thread, "threaded=0"),
            (self.debug, "debug"),
        ] {
            flag(set, word);
        }
        let switch = |on: bool| if on { "on" } else { "off" };
        words.extend(self.redirect_dir.map(|r| format!("redirect_dir={}", r.name())));
        words.extend(self.metacopy.map(|on| format!("metacopy={}", switch(on))));
        words.extend(self.index.map(|on| format!("index={}", switch(on))));
        words.extend(self.for_kernel.iter().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.clone(),
        }));
        words.extend(self.squash_uid.map(|id| format!("squash_to_uid={id}")));
        words.extend(self.squash_gid.map(|id| format!("squash_to_gid={id}")));
        for (key, map) in [("uidmapping", &self.uid_map), ("gidmapping", &self.gid_map)] {
            if !map.is_empty() {
                let runs: Vec<_> = map.iter().map(|r| format!("{}:{}:{}", r.outside, r.inside, r.length)).collect();
                words.push(format!("{key}={}", runs.join(":")));
            }
        }
        if self.xattr_permissions != 0 {
            words.push(format!("xattr_permissions={}", self.xattr_permissions));
        }
        words.extend(self.timeout_s.map(|seconds| format!("timeout={seconds}")));
        words.extend(self.writeback.map(|on| format!("writeback={}", u8::from(on))));
        words
    }

    /// The same with absolute names of folders, for a server that will have no working folder.
    pub(crate) fn absolute(&self) -> Self {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Self {
            lowers: self.lowers.iter().map(absolute).collect(),
            data_lowers: self.data_lowers.iter().map(absolute).collect(),
            upper: self.upper.as_ref().map(absolute),
            work: self.work.as_ref().map(absolute),
            ..self.clone()
        }
    }

    /// Whether a server with these options can go on with `wanted`.
    pub(crate) fn may_become(&self, wanted: &Self) -> bool {
        let but_for_what_may = |options: &Self| Self { timeout_s: None, debug: false, ..options.server_part() };
        but_for_what_may(self) == but_for_what_may(wanted)
    }

    /// What a server is made of: without the attributes of the mount, which the kernel keeps, and without what mount(8) hands
    /// back at a remount.
    pub(crate) fn server_part(&self) -> Self {
        Self {
            flags: Flags::default(),
            allow_other: None,
            fsname: None,
            subtype: None,
            remount: false,
            ignored: Vec::new(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn what_is_shown_can_be_typed() {
        let list = "ro,nosuid,noatime,volatile,squash_to_uid=5,uidmapping=0:1000:1,timeout=1.5,redirect_dir=on,metacopy=off,xino=auto";
        let mut options = Options::default();
        options.add(OsStr::new(list)).unwrap();
        let mut again = Options::default();
        again.add(OsStr::new(&options.shown().join(","))).unwrap();
        assert_eq!(again, options);
        assert_eq!(Options::default().shown(), Vec::<String>::new());
    }

    #[test]
    fn what_the_kernel_keeps_is_not_the_servers() {
        let mut options = Options::default();
        let before = options.server_part();
        options.add(OsStr::new("ro,noexec,allow_other,fsname=x,remount")).unwrap();
        assert_eq!(options.server_part(), before);
        assert!(before.may_become(&options));
        options.add(OsStr::new("timeout=1")).unwrap();
        assert!(before.may_become(&options) && options.server_part() != before);
        options.add(OsStr::new("noacl")).unwrap();
        assert!(!before.may_become(&options));
    }
}
