//! Namespaces and rights of a container: docker's options for them, and podman's user namespaces, read into data.

use super::device::Device;
use super::wrong;
use crate::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which namespaces it has, and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Isolation {
    /// `--privileged`
    pub privileged: bool,
    /// `--pid`
    pub pid: Space,
    /// `--ipc`
    pub ipc: Space,
    /// `--uts`
    pub uts: Space,
    /// `--cgroupns`
    pub cgroup: Space,
    /// `--userns`
    pub users: Users,
    /// `--uidmap`, `--gidmap`, or what `--userns=auto` came to.
    pub maps: Maps,
    /// `--security-opt`
    pub security: Security,
    /// `--sysctl`
    pub sysctls: BTreeMap<String, String>,
    /// `--device`
    pub devices: Vec<Device>,
    /// `--device-cgroup-rule`: `c 10:229 rwm`
    pub device_rules: Vec<String>,
}

/// Where one kind of namespace comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// Nothing was said.
    #[default]
    Default,
    /// One of its own.
    Private,
    /// The machine's.
    Host,
    /// Of ipc: one of its own, without `/dev/shm`.
    None,
    /// Of ipc: one of its own that others may join.
    Shareable,
    /// That of another container, by name or id.
    Container(String),
    /// The one this file names.
    Path(String),
}

impl Space {
    /// docker's text for it, as inspect shows it.
    pub fn text(&self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Private => "private".into(),
            Self::Host => "host".into(),
            Self::None => "none".into(),
            Self::Shareable => "shareable".into(),
            Self::Container(name) => format!("container:{name}"),
            Self::Path(path) => format!("ns:{path}"),
        }
    }

    /// The container whose namespace it is.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::Container(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it is one of its own.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Default | Self::Private | Self::None | Self::Shareable)
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" => Self::Default,
            "private" => Self::Private,
            "host" => Self::Host,
            _ => {
                let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty())?;
                match kind {
                    "container" => Self::Container(name.into()),
                    "ns" if name.starts_with('/') => Self::Path(name.into()),
                    _ => return None,
                }
            }
        })
    }
}

/// Reads `--pid`.
pub fn pid(text: &str) -> Result<Space> {
    Space::parse(text).ok_or_else(|| wrong("--pid: invalid PID mode"))
}

/// Reads `--uts`.
pub fn uts(text: &str) -> Result<Space> {
    Space::parse(text).ok_or_else(|| wrong("--uts: invalid UTS mode"))
}

/// Reads `--cgroupns`.
pub fn cgroup(text: &str) -> Result<Space> {
    Space::parse(text).ok_or_else(|| wrong("--cgroupns: invalid CGROUP mode"))
}

/// Reads `--ipc`.
pub fn ipc(text: &str) -> Result<Space> {
    match text {
        "none" => Ok(Space::None),
        "shareable" => Ok(Space::Shareable),
        other => Space::parse(other).ok_or_else(|| wrong(format!("Invalid IPC mode: {other}"))),
    }
}

/// Where the user namespace comes from (podman's words; docker knows the first two).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Users {
    /// Nothing was said: that of everything `ctr` does.
    #[default]
    Default,
    /// `host`: the same.
    Host,
    /// `auto` and `private`: one of its own with ids nobody else has.
    Auto {
        /// `size=`: how many ids.
        size: Option<u32>,
    },
    /// `keep-id`: an ordinary user is themselves inside.
    KeepId {
        /// `uid=`: with this number.
        uid: Option<u32>,
        /// `gid=`
        gid: Option<u32>,
    },
    /// `nomap`: an ordinary user has no number inside.
    NoMap,
    /// That of another container, by name or id.
    Container(String),
    /// The one this file names.
    Path(String),
}

impl Users {
    /// Reads `--userns`.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = || wrong("--userns: invalid USER mode");
        let (mode, options) = text.split_once(':').unwrap_or((text, ""));
        let number =
            |value: &str| value.parse::<u32>().map_err(|_| wrong(format!("--userns: invalid number {value:?}")));
        let settings = || options.split(',').filter(|o| !o.is_empty()).map(|o| o.split_once('=').ok_or_else(invalid));
        Ok(match mode {
            "" if options.is_empty() => Self::Default,
            "host" if options.is_empty() => Self::Host,
            "private" if options.is_empty() => Self::Auto { size: None },
            "nomap" if options.is_empty() => Self::NoMap,
            "auto" => {
                let mut size = None;
                for setting in settings() {
                    match setting? {
                        ("size", value) => size = Some(number(value)?).filter(|n| *n > 0),
                        (other, _) => return Err(wrong(format!("unknown option specified: {other:?}"))),
                    }
                }
                Self::Auto { size }
            }
            "keep-id" => {
                let (mut uid, mut gid) = (None, None);
                for setting in settings() {
                    match setting? {
                        ("uid", value) => uid = Some(number(value)?),
                        ("gid", value) => gid = Some(number(value)?),
                        (other, _) => return Err(wrong(format!("unknown option specified: {other:?}"))),
                    }
                }
                Self::KeepId { uid, gid }
            }
            "container" if !options.is_empty() => Self::Container(options.into()),
            "ns" if options.starts_with('/') => Self::Path(options.into()),
            _ => return Err(invalid()),
        })
    }

    /// Its text, as inspect shows it.
    pub fn text(&self) -> String {
        let with = |name: &str, options: [(&str, Option<u32>); 2]| {
            let said: Vec<String> =
                options.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?))).collect();
            if said.is_empty() { name.to_owned() } else { format!("{name}:{}", said.join(",")) }
        };
        match self {
            Self::Default => String::new(),
            Self::Host => "host".into(),
            Self::Auto { size } => with("auto", [("size", *size), ("", None)]),
            Self::KeepId { uid, gid } => with("keep-id", [("uid", *uid), ("gid", *gid)]),
            Self::NoMap => "nomap".into(),
            Self::Container(name) => format!("container:{name}"),
            Self::Path(path) => format!("ns:{path}"),
        }
    }
}

/// `length` ids from `inside` on are `outside` and following of the user namespace around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// First id in the container.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub length: u32,
}

impl Run {
    /// Reads podman's `CONTAINER:FROM:AMOUNT`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || wrong(format!("invalid map {text:?}: want CONTAINER:FROM:AMOUNT")).hint("as in 0:100000:65536");
        let numbers: Vec<u32> =
            text.split(':').map(str::parse).collect::<std::result::Result<_, _>>().map_err(|_| bad())?;
        match numbers[..] {
            [inside, outside, length]
                if length > 0
                    && inside.checked_add(length - 1).is_some()
                    && outside.checked_add(length - 1).is_some() =>
            {
                Ok(Self { inside, outside, length })
            }
            _ => Err(bad()),
        }
    }
}

/// The map of a user namespace; empty where there is none of the container's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Maps {
    /// User ids.
    pub users: Vec<Run>,
    /// Group ids.
    pub groups: Vec<Run>,
}

impl Maps {
    /// Both from what `--uidmap` and `--gidmap` say: where only one was given, it is for both.
    pub fn parse(users: &[String], groups: &[String]) -> Result<Self> {
        let read = |texts: &[String]| texts.iter().map(|t| Run::parse(t)).collect::<Result<Vec<_>>>();
        let (users, groups) = (read(users)?, read(groups)?);
        Ok(match (users.is_empty(), groups.is_empty()) {
            (false, true) => Self { groups: users.clone(), users },
            (true, false) => Self { users: groups.clone(), groups },
            _ => Self { users, groups },
        })
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }
}

/// `--security-opt`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// As they were given, for inspect.
    pub options: Vec<String>,
    /// `seccomp=`: none for the default profile.
    pub seccomp: Option<Filter>,
    /// `apparmor=`
    pub apparmor: Option<String>,
    /// `systempaths=unconfined`: nothing is masked or read-only.
    pub open_paths: bool,
    /// `writable-cgroups=`
    pub writable_cgroups: bool,
    /// podman's `mask=`
    pub masks: Vec<String>,
    /// podman's `unmask=`; `ALL` for everything.
    pub unmasks: Vec<String>,
}

/// Which system calls are let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// All of them.
    Unconfined,
    /// What this profile says: a document in docker's form.
    Profile(String),
}

impl Security {
    /// Reads one `--security-opt`. `load` gives the text of a profile's file. Gives whether no-new-privileges was said, and how.
    pub fn add(&mut self, text: &str, load: impl FnOnce(&str) -> Result<String>) -> Result<Option<bool>> {
        let unknown = || wrong(format!("invalid --security-opt 2: {text:?}"));
        if text == "no-new-privileges" {
            self.options.push(text.into());
            return Ok(Some(true));
        }
        let (key, value) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| {
            wrong(format!("Invalid --security-opt: {text:?}")).hint(
                "known are no-new-privileges, seccomp, apparmor, label, systempaths, writable-cgroups, mask and unmask",
            )
        })?;
        if value.is_empty() {
            return Err(wrong(format!("Invalid --security-opt: {text:?}")).hint(format!("{key}=VALUE")));
        }
        let switch = || super::truth(value).ok_or_else(unknown);
        let mut privileges = None;
        match key {
            "no-new-privileges" => privileges = Some(switch()?),
            "seccomp" => {
                self.seccomp = match value {
                    "unconfined" => Some(Filter::Unconfined),
                    "builtin" => None,
                    file => Some(Filter::Profile(load(file)?)),
                }
            }
            "apparmor" => self.apparmor = Some(value.into()),
            // Among the options for inspect, and nothing else: there is nobody here to give such labels.
            "label" => {}
            "systempaths" if value == "unconfined" => self.open_paths = true,
            "writable-cgroups" => self.writable_cgroups = switch()?,
            "mask" => self.masks.extend(value.split(':').map(str::to_owned)),
            "unmask" => self.unmasks.extend(value.split([':', ',']).map(str::to_owned)),
            _ => return Err(unknown()),
        }
        self.options.push(text.into());
        Ok(privileges)
    }
}

/// Reads `--sysctl`: only what belongs to a namespace (docker's list).
pub fn sysctl(text: &str) -> Result<(String, String)> {
    let refused = || {
        wrong(format!("invalid argument {text:?} for \"--sysctl\" flag: sysctl '{text}' is not allowed"))
            .hint("kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.* and net.* belong to a container")
    };
    let (key, value) = text.split_once('=').ok_or_else(refused)?;
    let allowed = spec::sysctl::is_of_ipc(key) || spec::sysctl::is_of_net(key);
    if allowed { Ok((key.into(), value.into())) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_as_docker_names_them() {
        assert_eq!(pid("host").unwrap(), Space::Host);
        assert_eq!(pid("container:x").unwrap(), Space::Container("x".into()));
        assert_eq!(pid("container:").unwrap_err().to_string(), "--pid: invalid PID mode");
        assert_eq!(ipc("foo").unwrap_err().to_string(), "Invalid IPC mode: foo");
        assert_eq!(uts("foo").unwrap_err().to_string(), "--uts: invalid UTS mode");
        assert_eq!(cgroup("foo").unwrap_err().to_string(), "--cgroupns: invalid CGROUP mode");
        assert_eq!(Users::parse("foo").unwrap_err().to_string(), "--userns: invalid USER mode");
        assert_eq!(Users::parse("keep-id:uid=5,gid=6").unwrap(), Users::KeepId { uid: Some(5), gid: Some(6) });
        assert_eq!(Users::parse("auto:size=5").unwrap().text(), "auto:size=5");
    }

    #[test]
    fn one_map_is_for_both() {
        let maps = Maps::parse(&["0:100000:10".into()], &[]).unwrap();
        assert_eq!(maps.groups, [Run { inside: 0, outside: 100_000, length: 10 }]);
        assert!(Maps::parse(&["0:1".into()], &[]).is_err());
    }

    #[test]
    fn security_options_in_dockers_words() {
        let mut all = Security::default();
        let mut said = |text: &str| all.add(text, |_| Ok("{}".into())).map_err(|e| e.to_string());
        assert_eq!(said("no-new-privileges"), Ok(Some(true)));
        assert_eq!(said("no-new-privileges:false"), Ok(Some(false)));
        assert_eq!(said("foo"), Err("Invalid --security-opt: \"foo\"".into()));
        assert_eq!(said("foo=bar"), Err("invalid --security-opt 2: \"foo=bar\"".into()));
        assert_eq!(said("systempaths=foo"), Err("invalid --security-opt 2: \"systempaths=foo\"".into()));
        assert_eq!(said("seccomp=x"), Ok(None));
        assert_eq!(all.seccomp, Some(Filter::Profile("{}".into())));
    }

    #[test]
    fn only_sysctls_of_a_namespace() {
        assert_eq!(sysctl("net.ipv4.ip_forward=1").unwrap().1, "1");
        for refused in ["foo", "vm.swappiness=1", "kernel.hostname=x", "kernel/shmmax=5"] {
            let error = sysctl(refused).unwrap_err().to_string();
            assert!(error.ends_with(&format!("sysctl '{refused}' is not allowed")), "{error}");
        }
    }
}
