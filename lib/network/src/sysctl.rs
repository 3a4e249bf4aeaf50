//! Kernel parameters of a container's network namespace (`net.…`).
//!
//! What `/proc/sys/net` shows belongs to the namespace of the task that looks (net/sysctl_net.c), so they are written by a
//! thread that has entered the container's. Nothing outside `net` is reached: the rest of the machine is not a network's.

use crate::error::{Error, Kind, Result, failed};
use crate::link;
use crate::namespace::Namespace;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const FOLDER: &str = "/proc/sys";
/// Stands for the interface's name.
const INTERFACE: &str = "IFNAME";

/// One parameter and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name as typed: `net.ipv4.conf.IFNAME.rp_filter`, or with slashes, `net/ipv4/conf/eth0.50/rp_filter`.
    pub key: String,
    /// What to write.
    pub value: String,
}

impl Setting {
    /// Reads `KEY=VALUE`.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no parameter: KEY=VALUE"))?;
        Self::new(key.trim(), value.trim())
    }

    /// A checked one.
    pub fn new(key: &str, value: &str) -> std::result::Result<Self, String> {
        let setting = Self { key: key.to_owned(), value: value.to_owned() };
        setting.words(INTERFACE)?;
        if value.contains(['\0', '\n']) {
            return Err(format!("the value of `{key}` has more than one line"));
        }
        Ok(setting)
    }

    /// The words of the name, as sysctl(8) splits it: by the first of `.` and `/` that is in it. Where words are parted by
    /// dots, a slash in one stands for a dot: `eth0/50`.
    fn words(&self, interface: &str) -> std::result::Result<Vec<String>, String> {
        let key = &self.key;
        let words: Vec<String> = match key.find(['.', '/']) {
            Some(at) if key[at..].starts_with('/') => key.split('/').map(str::to_owned).collect(),
            _ => key.split('.').map(|word| word.replace('/', ".")).collect(),
        };
        let wrong = |w: &String| w.is_empty() || w == "." || w == ".." || w.contains('\0');
        if words.len() < 2 || words.iter().any(wrong) {
            return Err(format!("`{key}` is no kernel parameter"));
        }
        if words[0] != "net" {
            return Err(format!("`{key}` is not of the network: only net.… can be set here"));
        }
        Ok(words.into_iter().map(|w| if w == INTERFACE { interface.to_owned() } else { w }).collect())
    }

    fn path(&self, interface: &str) -> std::result::Result<PathBuf, String> {
        Ok(std::iter::once(FOLDER.to_owned()).chain(self.words(interface)?).collect())
    }
}

/// Writes `settings` in `namespace`; `IFNAME` in a name stands for `interface`. Writes nothing where it stands so already.
pub fn apply(namespace: &Namespace, interface: &str, settings: &[Setting]) -> Result<()> {
    each(namespace, interface, settings, |setting, path| {
        let wrong = |e| explained(failed("set kernel parameter", &setting.key, e));
        if std::fs::read_to_string(path).is_ok_and(|present| same(&present, &setting.value)) {
            return Ok(());
        }
        std::fs::write(path, &setting.value).map_err(wrong)
    })
}

/// Those of `settings` that do not stand as wished, each with what stands there (`None`: there is no such parameter).
pub fn differing(
    namespace: &Namespace,
    interface: &str,
    settings: &[Setting],
) -> Result<Vec<(Setting, Option<String>)>> {
    let mut all = Vec::new();
    each(namespace, interface, settings, |setting, path| {
        let present = std::fs::read_to_string(path).ok();
        if !present.as_ref().is_some_and(|present| same(present, &setting.value)) {
            all.push((setting.clone(), present.map(|p| p.trim().to_owned())));
        }
        Ok(())
    })?;
    Ok(all)
}

/// What stands in the parameter called `key`.
pub fn read(namespace: &Namespace, interface: &str, key: &str) -> Result<String> {
    let setting = [Setting { key: key.to_owned(), value: String::new() }];
    let mut value = String::new();
    each(namespace, interface, &setting, |setting, path| {
        let present = std::fs::read_to_string(path);
        value = present.map_err(|e| explained(failed("read kernel parameter", &setting.key, e)))?.trim().to_owned();
        Ok(())
    })?;
    Ok(value)
}

fn each(
    namespace: &Namespace,
    interface: &str,
    settings: &[Setting],
    mut work: impl FnMut(&Setting, &std::path::Path) -> Result<()> + Send,
) -> Result<()> {
    let invalid = |why: String| Error::new(Kind::Invalid, "set kernel parameter", "").because(why);
    link::check_name(interface).map_err(invalid)?;
    let paths: Vec<_> =
        settings.iter().map(|s| Ok((s, s.path(interface)?))).collect::<std::result::Result<_, _>>().map_err(invalid)?;
    if paths.is_empty() {
        return Ok(());
    }
    namespace.within(|| paths.iter().try_for_each(|(setting, path)| work(setting, path)))?
}

/// The kernel parts several values by tabs, people by spaces.
fn same(present: &str, wanted: &str) -> bool {
    present.split_whitespace().eq(wanted.split_whitespace())
}

fn explained(error: Error) -> Error {
    match error.raw_os_error() {
        Some(libc::ENOENT) => error.hint("this kernel has no such parameter in a network namespace of its own"),
        Some(libc::EROFS) => error.hint("/proc/sys is read-only here"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::{Setting, same};

    #[test]
    fn keys() {
        let path = |key: &str, interface: &str| {
            Setting::new(key, "1").and_then(|s| s.path(interface)).map(|p| p.display().to_string())
        };
        let at = |rest: &str| Ok(format!("/proc/sys/net/{rest}"));
        assert_eq!(path("net.ipv4.conf.IFNAME.rp_filter", "eth0.50"), at("ipv4/conf/eth0.50/rp_filter"));
        assert_eq!(path("net/ipv4/conf/eth0.50/rp_filter", "x"), at("ipv4/conf/eth0.50/rp_filter"));
        assert_eq!(path("net.ipv4.conf.eth0/50.rp_filter", "x"), at("ipv4/conf/eth0.50/rp_filter"));
        assert_eq!(path("net.core.somaxconn", "x"), at("core/somaxconn"));
        for key in ["", "net", "kernel.hostname", "net..x", "net.//.x", "net/../kernel/hostname", "/net/x", "net.\0"] {
            assert!(Setting::new(key, "1").is_err(), "{key}");
        }
        assert!(Setting::parse("net.core.somaxconn").is_err());
        assert_eq!(Setting::parse("net.ipv4.ping_group_range = 0 7").unwrap().value, "0 7");
        assert!(Setting::new("net.a.b", "1\n2").is_err());
    }

    #[test]
    fn tabs_are_spaces() {
        assert!(same("0\t2147483647\n", "0 2147483647") && !same("1\n", "0"));
    }
}
