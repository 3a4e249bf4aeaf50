//! The command that the chain loader and the enterer end in: its words, its environment, how it is found, and its exec.
//!
//! As in unshare(1) and nsenter(1): without words it is the caller's shell, as a login shell; a text file without `#!` is given to
//! the shell, as execvp(3) does. It is found by the PATH that it will have itself.

use crate::error::{Error, Result, failed};
use crate::{file, program};
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A change of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing of it is left.
    Clear,
    /// Only these variables are left.
    Keep(Vec<OsString>),
    /// This variable has this value.
    Set(OsString, OsString),
    /// This variable is not there.
    Unset(OsString),
}

/// Variables, in the order in which the program gets them.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// What is to be run.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// The program and its arguments; the caller's shell where there are none.
    pub words: Vec<OsString>,
    /// The program's own name for itself (`argv[0]`), where it is not the first word.
    pub argv0: Option<OsString>,
    /// Changes of the environment, in order.
    pub environment: Vec<Change>,
}

/// A program that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: OsString,
    pub(crate) file: PathBuf,
    pub(crate) args: Vec<CString>,
    pub(crate) env: Vec<CString>,
}

/// The words that can be read from the descriptor `number`, a zero byte behind each.
pub fn words_of(number: i32) -> Result<Vec<OsString>> {
    let text =
        sys::spawn::inherited(number).and_then(file::read_all).map_err(|e| failed("read words from", number, e))?;
    let text = text.strip_suffix(b"\0").unwrap_or(&text);
    let words = text.split(|byte| *byte == 0).filter(|_| !text.is_empty());
    Ok(words.map(|word| OsStr::from_bytes(word).to_owned()).collect())
}

impl Command {
    /// Looks for it in the root this process has, with `variables` as environment before the changes.
    pub(crate) fn find(&self, variables: Variables) -> Result<Found> {
        let variables = changed(variables, &self.environment);
        let value = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_os_str());
        let (name, argv0, file) = match self.words.first() {
            Some(name) => {
                let argv0 = self.argv0.clone().unwrap_or_else(|| name.clone());
                (name.clone(), argv0, program::find(name, value("PATH"))?)
            }
            None => self.shell(value("SHELL"))?,
        };
        let rest = self.words.iter().skip(1);
        let args = std::iter::once(&argv0).chain(rest).map(program::c_string).collect::<Result<_>>()?;
        let env = settings(variables)?;
        Ok(Found { name, file, args, env })
    }

    /// Becomes the program that is open as `file`, called with these words; returns only an error.
    pub(crate) fn exec_file(&self, file: BorrowedFd<'_>, variables: Variables) -> Result<Error> {
        let name = self.words.first().cloned().unwrap_or_else(|| "sh".into());
        let argv0 = self.argv0.clone().unwrap_or_else(|| name.clone());
        let args = std::iter::once(&argv0).chain(self.words.iter().skip(1)).map(program::c_string);
        let args = args.collect::<Result<Vec<_>>>()?;
        let env = settings(changed(variables, &self.environment))?;
        Ok(program::refused(&name, sys::spawn::execveat(file, c"", &args, &env)))
    }

    /// The caller's shell, or where that is not to be had /bin/sh: its file twice, with the name of a login shell between.
    fn shell(&self, wanted: Option<&OsStr>) -> Result<(OsString, OsString, PathBuf)> {
        let wanted = wanted.filter(|s| !s.is_empty()).and_then(|s| program::find(s, None).ok());
        let file = match wanted {
            Some(file) => file,
            None => program::find(OsStr::new("/bin/sh"), None)?,
        };
        let mut login = OsString::from("-");
        login.push(file.file_name().unwrap_or(OsStr::new("sh")));
        Ok((file.clone().into_os_string(), self.argv0.clone().unwrap_or(login), file))
    }
}

/// `NAME=value`, as execve(2) takes them.
fn settings(variables: Variables) -> Result<Vec<CString>> {
    let settings = variables.into_iter().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        program::c_string(name)
    });
    settings.collect()
}

/// The environment of this process.
pub(crate) fn own_variables() -> Variables {
    std::env::vars_os().collect()
}

fn changed(mut variables: Variables, changes: &[Change]) -> Variables {
    for change in changes {
        match change {
            Change::Clear => variables.clear(),
            Change::Keep(names) => variables.retain(|(name, _)| names.contains(name)),
            Change::Unset(gone) => variables.retain(|(name, _)| name != gone),
            Change::Set(name, value) => match variables.iter_mut().find(|(n, _)| n == name) {
                Some((_, old)) => old.clone_from(value),
                None => variables.push((name.clone(), value.clone())),
            },
        }
    }
    variables
}

impl Found {
    /// Becomes the program; returns only an error.
    pub(crate) fn exec(&self) -> Error {
        match self.try_exec(&self.file, &self.args) {
            Ok(never) => match never {},
            Err(Failed::Kernel(error)) if error.raw_os_error() == Some(libc::ENOEXEC) => {
                // A script without `#!`.
                let shell = Path::new("/bin/sh");
                let words = [shell.as_os_str(), self.file.as_os_str()].map(program::c_string);
                let words = words.into_iter().collect::<Result<Vec<_>>>();
                if let Ok(mut words) = words {
                    words.extend(self.args.iter().skip(1).cloned());
                    let _ = self.try_exec(shell, &words);
                }
                program::refused(&self.name, error)
            }
            Err(Failed::Kernel(error)) => program::refused(&self.name, error),
            Err(Failed::Ours(error)) => error,
        }
    }

    fn try_exec(&self, file: &Path, args: &[CString]) -> std::result::Result<std::convert::Infallible, Failed> {
        let file = program::c_string(file).map_err(Failed::Ours)?;
        nix::unistd::execve(&file, args, &self.env).map_err(|e| Failed::Kernel(e.into()))
    }
}

enum Failed {
    Kernel(std::io::Error),
    Ours(Error),
}

#[cfg(test)]
mod tests {
    use super::{Change, Command, changed};

    fn text(variables: &[(&str, &str)]) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        variables.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
    }

    #[test]
    fn changes_are_made_in_order() {
        let changes = [
            Change::Set("A".into(), "2".into()),
            Change::Unset("B".into()),
            Change::Keep(vec!["A".into(), "C".into()]),
            Change::Set("D".into(), "4".into()),
        ];
        assert_eq!(changed(text(&[("A", "1"), ("B", "1"), ("Z", "1")]), &changes), text(&[("A", "2"), ("D", "4")]));
        assert_eq!(changed(text(&[("A", "1")]), &[Change::Clear]), []);
    }

    #[test]
    fn a_program_is_found_by_its_own_path() {
        let command = Command { words: vec!["sh".into(), "-c".into()], ..Command::default() };
        let found = command.find(text(&[("PATH", "/nowhere:/bin")])).unwrap();
        assert_eq!((found.file.to_str(), found.args.len()), (Some("/bin/sh"), 2));
        let gone = Command { environment: vec![Change::Set("PATH".into(), "/nowhere".into())], ..command };
        let error = gone.find(text(&[("PATH", "/bin")])).unwrap_err();
        assert_eq!(error.to_string(), "exec \"sh\": executable file not found in $PATH");
    }

    #[test]
    fn without_words_it_is_the_callers_shell() {
        let found = Command::default().find(text(&[("SHELL", "/bin/bash")])).unwrap();
        assert_eq!((found.file.to_str(), found.args[0].to_str()), (Some("/bin/bash"), Ok("-bash")));
        let found = Command::default().find(text(&[("SHELL", "/no/such")])).unwrap();
        assert_eq!(found.args[0].to_str(), Ok("-sh"));
    }
}
