//! Operations that happen as a whole or not at all, as lines of words.

use rustix::fs::{CWD, RenameFlags, XattrFlags};
use std::fmt;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use testkit::dice::Dice;

/// One operation on names in a tree.
#[derive(Debug, Clone)]
pub(super) struct Operation(Vec<String>);

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// How often each is chosen, in a hundred.
const CHOICES: &[(&str, usize)] = &[
    ("chmod", 14),
    ("setxattr", 6),
    ("write", 22),
    ("truncate", 6),
    ("open", 6),
    ("rename", 22),
    ("exchange", 4),
    ("unlink", 7),
    ("link", 5),
    ("create", 3),
    ("mkdir", 3),
    ("rmdir", 2),
];

impl Operation {
    /// One on a name out of `paths` that is likely to be there.
    pub(super) fn choose(dice: &mut Dice, paths: &[String]) -> Self {
        let mut at = dice.below(100);
        let chosen = CHOICES.iter().find(|(_, share)| match at.checked_sub(*share) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        let name = chosen.map_or("chmod", |(name, _)| *name);
        let mut path = || dice.pick(paths).filter(|p| !p.is_empty()).cloned().unwrap_or_else(|| "a/big".to_owned());
        let (first, other) = (path(), path());
        let new = match other.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/new{}", dice.below(20)),
            None => format!("new{}", dice.below(20)),
        };
        let second = if dice.once_in(3) { other } else { new };
        let salt = dice.below(60_000).to_string();
        Self(vec![name.to_owned(), first, second, salt])
    }

    /// Reads what `Display` wrote.
    pub(super) fn parse(line: &str) -> Self {
        Self(line.split(' ').map(str::to_owned).collect())
    }

    /// Does it in the tree at `root`, and sees to it that what is said to be done is on the disk.
    pub(super) fn apply(&self, root: &Path) -> io::Result<()> {
        let [name, first, second, salt] = self.0.as_slice() else { panic!("{self}: not four words") };
        let (first, second) = (root.join(first), root.join(second));
        let salt: u64 = salt.parse().expect("a number");
        let rename = |flags| rustix::fs::renameat_with(CWD, &first, CWD, &second, flags);
        match name.as_str() {
            "chmod" => {
                if first.symlink_metadata()?.is_symlink() {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o700 + salt as u32 % 0o100))?;
            }
            "setxattr" => {
                let value = salt.to_le_bytes();
                rustix::fs::lsetxattr(&first, "user.drill", &value, XattrFlags::empty())?;
            }
            // At most one page, so that it is written at once.
            "write" => {
                let file = std::fs::File::options().write(true).open(&first)?;
                let page = salt % 8 * 4096;
                file.write_all_at(&Dice::new(salt).bytes(1 + salt as usize % 4096), page)?;
                file.sync_all()?;
            }
            "truncate" => std::fs::File::options().write(true).open(&first)?.set_len(salt)?,
            "open" => drop(std::fs::File::options().append(true).open(&first)?),
            "rename" => rename(RenameFlags::empty())?,
            "exchange" => rename(RenameFlags::EXCHANGE)?,
            "unlink" => std::fs::remove_file(&first)?,
            "link" => std::fs::hard_link(&first, &second)?,
            "create" => drop(std::fs::File::options().write(true).create_new(true).open(&second)?),
            "mkdir" => std::fs::create_dir(&second)?,
            "rmdir" => std::fs::remove_dir(&first)?,
            other => panic!("{other}: no such operation"),
        }
        Ok(())
    }
}
