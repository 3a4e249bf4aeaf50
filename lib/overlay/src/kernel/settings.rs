//! What a new file system is told beside its folders.
//!
//! `redirect_dir=on,metacopy=on,index=on` are said aloud with `trusted.*` xattrs, whatever the module's defaults are, so that
//! it goes on with what the FUSE driver wrote, and does the same itself. With `userxattr` the kernel implies that all three
//! are off and refuses to hear `on`.

use crate::options::{Options, RedirectDir};
use crate::rights::Xattrs;
use rustix::mount::{fsconfig_set_flag, fsconfig_set_string};
use std::os::fd::{AsFd, OwnedFd};

/// A key, with its value where it has one.
pub(crate) type Setting = (String, Option<String>);

/// What the kernel's overlay is told.
pub(super) fn of(options: &Options, xattrs: Xattrs) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    if xattrs == Xattrs::User {
        settings.push(("userxattr".into(), None));
    }
    if options.volatile {
        settings.push(("volatile".into(), None));
    }
    let switch = |on: bool| if on { "on" } else { "off" };
    let by_us = (xattrs == Xattrs::Trusted).then_some("on");
    let redirect = options.redirect_dir.map(RedirectDir::name).or(by_us);
    // The kernel takes no metacopy=on with redirects off, nor with nfs_export=on.
    let goes_with = redirect == Some("on") && options.kernel_value("nfs_export") != Some("on");
    let metacopy = options.metacopy.map(switch).or(by_us.filter(|_| goes_with));
    let index = options.index.map(switch).or(by_us);
    for (key, value) in [("redirect_dir", redirect), ("metacopy", metacopy), ("index", index)] {
        // That they are off it implies by itself, and what it makes of `off` may be another word that it then refuses.
        let implied = |value: &&str| xattrs == Xattrs::User && matches!(*value, "off" | "nofollow");
        settings.extend(value.filter(|v| !implied(v)).map(|value| (key.to_owned(), Some(value.to_owned()))));
    }
    settings.extend(options.for_kernel.iter().cloned());
    settings.extend(of_any(options));
    settings
}

/// What any file system is told: flags of the superblock, and labels where there is SELinux.
pub(crate) fn of_any(options: &Options) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (set, key) in [(options.flags.sync, "sync"), (options.flags.dirsync, "dirsync")] {
        if set {
            settings.push((key.to_owned(), None));
        }
    }
    if !options.labels.is_empty() && rustix::fs::stat("/sys/fs/selinux/enforce").is_ok() {
        settings.extend(options.labels.iter().map(|(key, value)| (key.clone(), Some(value.clone()))));
    }
    settings
}

/// Says it.
pub(crate) fn say(context: &OwnedFd, key: &str, value: Option<&str>) -> rustix::io::Result<()> {
    match value {
        Some(value) => fsconfig_set_string(context.as_fd(), key, value),
        None => fsconfig_set_flag(context.as_fd(), key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn told(list: &str, xattrs: Xattrs) -> String {
        let mut options = Options::default();
        options.add(OsStr::new(list)).unwrap();
        let word = |(key, value): Setting| value.map_or(key.clone(), |value| format!("{key}={value}"));
        of(&options, xattrs).into_iter().map(word).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn what_was_asked_for_goes_before_what_is_usual() {
        assert_eq!(told("", Xattrs::Trusted), "redirect_dir=on,metacopy=on,index=on");
        assert_eq!(told("redirect_dir=off,index=off", Xattrs::Trusted), "redirect_dir=off,index=off");
        assert_eq!(told("nfs_export=on", Xattrs::Trusted), "redirect_dir=on,index=on,nfs_export=on");
        assert_eq!(told("", Xattrs::User), "userxattr");
        assert_eq!(told("redirect_dir=off,metacopy=off,index=off", Xattrs::User), "userxattr");
        assert_eq!(
            told("metacopy=off,nfs_export=on,xino=auto,volatile,dirsync", Xattrs::Trusted),
            "volatile,redirect_dir=on,metacopy=off,index=on,nfs_export=on,xino=auto,dirsync"
        );
    }
}
