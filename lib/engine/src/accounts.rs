//! Users and groups of an image: `/etc/passwd` and `/etc/group` of its layers, read without mounting them.

use crate::{Error, Kind, Result};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest account file that is read, in bytes: an image is not trusted.
const LIMIT_BYTES: u64 = 8 << 20;

/// The accounts of an image.
#[derive(Debug, Default)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Debug)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// The home folder: `/` for users without an entry, as docker has it.
    pub home: String,
}

impl Identity {
    /// The additional groups as docker sets them: the primary one is among them, so that nobody gains by leaving it
    /// (CVE-2022-36109).
    pub fn all_groups(&self) -> Vec<u32> {
        std::iter::once(self.gid).chain(self.groups.iter().copied().filter(|group| *group != self.gid)).collect()
    }
}

impl Accounts {
    /// Reads the files' texts; lines that are no entries are passed over.
    pub fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let mut f = line.split(':');
            let (name, _) = (f.next()?, f.next()?);
            let (uid, gid) = (f.next()?.parse().ok()?, f.next()?.parse().ok()?);
            let home = f.nth(1).filter(|h| !h.is_empty()).unwrap_or("/");
            Some(User { name: name.to_owned(), uid, gid, home: home.to_owned() })
        });
        let groups = group.lines().filter_map(|line| {
            let mut f = line.split(':');
            let (name, _) = (f.next()?, f.next()?);
            let gid = f.next()?.parse().ok()?;
            let members = f.next().unwrap_or("").split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
            Some(Group { name: name.to_owned(), gid, members })
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    /// Reads the accounts that an overlay of `layers` (lowest first) would show: of each file, the highest layer's.
    pub fn load(layers: &[PathBuf]) -> Self {
        let text = |path| layers.iter().rev().find_map(|layer| read_in(layer, path)).unwrap_or_default();
        Self::parse(&text("etc/passwd"), &text("etc/group"))
    }

    /// The accounts a container sees: one that ran before may have changed them in its own layer.
    pub fn of_container(root: &store::Root, record: &store::Record) -> Self {
        let upper = root.container_layer(&record.id).join("diff");
        Self::load(&record.layers.iter().cloned().chain([upper]).collect::<Vec<_>>())
    }

    /// As [`Self::resolve`], with `--group-add`'s groups among the supplementary ones.
    pub fn resolve_with(&self, asked: &str, groups: &[String]) -> Result<Identity> {
        let mut identity = self.resolve(asked)?;
        for group in groups {
            let gid = self.additional(group)?;
            if !identity.groups.contains(&gid) {
                identity.groups.push(gid);
            }
        }
        Ok(identity)
    }

    /// Resolves docker's `user[:group]`, names or numbers. A name must have an entry; a number need not.
    pub fn resolve(&self, asked: &str) -> Result<Identity> {
        let (user, group) = match asked.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
            None => (asked, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        within(user)?;
        group.map_or(Ok(()), within)?;
        let entry = self
            .users
            .iter()
            .find(|u| u.name == user)
            .or_else(|| user.parse().ok().and_then(|uid: u32| self.users.iter().find(|u| u.uid == uid)));
        let uid = match entry {
            Some(entry) => entry.uid,
            None => user.parse().map_err(|_| {
                Error::new(Kind::Request, "unable to find user", user)
                    .because("no matching entries in passwd file")
                    .hint("give the user as a number, or one that is in the image's /etc/passwd")
            })?,
        };
        let gid = match group {
            Some(group) => self.gid(group)?,
            None => entry.map_or(0, |e| e.gid),
        };
        let groups = match (group, entry) {
            (None, Some(entry)) => {
                let of = self.groups.iter().filter(|g| g.members.contains(&entry.name));
                of.map(|g| g.gid).filter(|g| *g != gid).collect()
            }
            _ => Vec::new(),
        };
        let fallback = if uid == 0 { "/root" } else { "/" };
        Ok(Identity { uid, gid, groups, home: entry.map_or(fallback, |e| &e.home).to_owned() })
    }

    /// The id of `--group-add`'s `group`: a name with an entry, or a number.
    fn additional(&self, group: &str) -> Result<u32> {
        within(group)?;
        self.gid(group).map_err(|e| Error { op: "Unable to find group", ..e })
    }

    fn gid(&self, group: &str) -> Result<u32> {
        let entry = self.groups.iter().find(|g| g.name == group).map(|g| g.gid);
        entry.or_else(|| group.parse().ok()).ok_or_else(|| {
            Error::new(Kind::Request, "unable to find group", group)
                .because("no matching entries in group file")
                .hint("give the group as a number, or one that is in the image's /etc/group")
        })
    }
}

/// Refuses a number that is no id.
fn within(id: &str) -> Result<()> {
    match id.parse::<i64>().is_ok_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
        true => Err(Error::new(Kind::Request, "", "uids and gids must be in range 0-2147483647")),
        false => Ok(()),
    }
}

/// The text of `path` in `layer`, not leaving the layer by any link.
fn read_in(layer: &Path, path: &str) -> Option<String> {
    let dir = rustix::fs::open(layer, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = std::fs::File::from(openat2(&dir, path, flags, Mode::empty(), resolve).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::parse(
            "root:x:0:0:root:/root:/bin/sh\n# no entry\nweb:x:33:33::/srv:/bin/sh\n",
            "root:x:0:\nwww:x:33:\nlog:x:4:web,x\n",
        )
    }

    #[test]
    fn names_and_numbers() {
        let id = accounts().resolve("web").unwrap();
        assert_eq!((id.uid, id.gid, id.groups.as_slice(), id.home.as_str()), (33, 33, &[4][..], "/srv"));
        let id = accounts().resolve("33").unwrap();
        assert_eq!((id.uid, id.gid), (33, 33));
        let id = accounts().resolve("1000:log").unwrap();
        assert_eq!((id.uid, id.gid, id.groups.len(), id.home.as_str()), (1000, 4, 0, "/"));
        let id = Accounts::default().resolve("").unwrap();
        assert_eq!((id.uid, id.gid, id.home.as_str()), (0, 0, "/root"));
    }

    #[test]
    fn unknown_names_are_named() {
        let text = accounts().resolve("nobody-here").unwrap_err().to_string();
        assert_eq!(text, "unable to find user nobody-here: no matching entries in passwd file");
        assert!(accounts().resolve("0:gone").is_err());
    }
}
