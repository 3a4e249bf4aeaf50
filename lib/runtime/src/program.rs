//! Finding the program a container is to run, and the words that say why it cannot be: podman and docker derive the exit codes
//! 126 and 127 from them, so `executable file not found in $PATH`, `no such file or directory` and `permission denied` are
//! part of the contract.

use crate::error::{Error, Kind};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Where programs are looked for when the environment says nothing.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The value of `name` in a list of `NAME=value`.
pub fn variable<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter().rev().find_map(|e| e.strip_prefix(name)?.strip_prefix('='))
}

/// The file that `name` stands for: itself where it has a slash, else the first executable of that name in the folders of
/// `path`. Looks at the root this process has now.
pub fn find(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Error> {
    if name.is_empty() {
        return Err(missing(name, "executable file not found in $PATH"));
    }
    if name.as_bytes().contains(&b'/') {
        return match check(Path::new(name)) {
            Ok(()) => Ok(name.into()),
            Err(errno) => Err(refused(name, errno.into())),
        };
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut forbidden = false;
    for dir in path.as_bytes().split(|b| *b == b':') {
        let dir = if dir.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(dir)) };
        let file = dir.join(name);
        match check(&file) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::ACCESS) => forbidden = true,
            Err(_) => {}
        }
    }
    if forbidden {
        return Err(refused(name, std::io::Error::from_raw_os_error(libc::EACCES)));
    }
    Err(missing(name, "executable file not found in $PATH"))
}

/// Whether a file is there and executable by someone.
fn check(file: &Path) -> Result<(), rustix::io::Errno> {
    let stat = rustix::fs::stat(file)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(rustix::io::Errno::ACCESS);
    }
    rustix::fs::accessat(rustix::fs::CWD, file, rustix::fs::Access::EXEC_OK, rustix::fs::AtFlags::EACCESS)
}

fn missing(name: &OsStr, words: &str) -> Error {
    Error::new(Kind::NotFound, "exec", format!("{name:?}")).because(words.to_owned())
}

/// The error of an exec that failed with `error`.
pub fn refused(name: &OsStr, error: std::io::Error) -> Error {
    let kind = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => Kind::NotFound,
        _ => Kind::CannotExecute,
    };
    Error::new(kind, "exec", format!("{name:?}")).because(error)
}

/// A string for the kernel; what holds a NUL byte cannot be one.
pub fn c_string(text: impl Into<OsString>) -> Result<CString, Error> {
    let text: OsString = text.into();
    let shown = format!("{text:?}");
    CString::new(text.into_vec())
        .map_err(|_| Error::new(Kind::Invalid, "argument", shown).because("holds a NUL byte".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{find, variable};
    use crate::error::Kind;
    use std::ffi::OsStr;

    #[test]
    fn the_words_are_those_that_engines_look_for() {
        let error = find(OsStr::new("no-such-program"), Some(OsStr::new("/bin:/usr/bin"))).unwrap_err();
        assert_eq!(error.to_string(), "exec \"no-such-program\": executable file not found in $PATH");
        assert_eq!(error.kind, Kind::NotFound);
        let error = find(OsStr::new("/no/such"), None).unwrap_err();
        assert_eq!(error.to_string(), "exec \"/no/such\": no such file or directory");
        let error = find(OsStr::new("/etc/passwd"), None).unwrap_err();
        assert_eq!(error.to_string(), "exec \"/etc/passwd\": permission denied");
        assert_eq!(error.kind, Kind::CannotExecute);
        assert_eq!(find(OsStr::new("/etc"), None).unwrap_err().to_string(), "exec \"/etc\": permission denied");
    }

    #[test]
    fn programs_are_found() {
        assert!(find(OsStr::new("sh"), Some(OsStr::new("/nowhere:/bin"))).is_ok());
        assert!(find(OsStr::new("/bin/sh"), None).is_ok());
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let env = ["A=1".to_owned(), "AB=2".to_owned(), "A=3".to_owned()];
        assert_eq!(variable(&env, "A"), Some("3"));
        assert_eq!(variable(&env, "B"), None);
    }
}
