//! The programs a plan executes, and where they are found: the flag or environment that names one, else ourselves
//! under the tool's name (one file answers to all five).

use crate::request::Programs;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program a plan calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `ovl-mount`, or a mount program in `-o` grammar.
    OvlMount,
    /// `nsrun`, as the chain loader: makes namespaces.
    Nsrun,
    /// `nsrun` or another OCI runtime, by OCI verbs.
    Runtime,
    /// `netwire`.
    Netwire,
    /// `umount` of the system, in a script; what we unmount ourselves is a call.
    Umount,
}

/// Which program stands behind each [`Tool`].
#[derive(Debug, Clone)]
pub struct Tools {
    programs: Programs,
    own: PathBuf,
}

impl Tools {
    /// Tools where `programs` names what stands in for ours, and `own` is our own executable.
    pub fn new(programs: &Programs, own: PathBuf) -> Self {
        Self { programs: programs.clone(), own }
    }

    /// The program that stands in for `tool`, if one does.
    pub fn foreign(&self, tool: Tool) -> Option<&Path> {
        match tool {
            Tool::OvlMount => self.programs.mount.as_deref(),
            Tool::Runtime => self.programs.runtime.as_deref(),
            Tool::Netwire => self.programs.netwire.as_deref(),
            Tool::Nsrun | Tool::Umount => None,
        }
    }

    /// The name a script calls `tool` by.
    pub fn name(&self, tool: Tool) -> String {
        match self.foreign(tool) {
            Some(path) => path.to_string_lossy().into_owned(),
            None => own_name(tool).to_owned(),
        }
    }

    /// A command that runs `tool`, which is one of ours or stands in for one.
    pub fn command(&self, tool: Tool) -> Command {
        match self.foreign(tool) {
            Some(path) => Command::new(path),
            None => ourselves(&self.own, OsStr::new(own_name(tool))),
        }
    }
}

/// A command that runs our own executable under the name of one of the five.
pub fn ourselves(own: &Path, name: &OsStr) -> Command {
    let mut command = Command::new(own);
    command.arg0(name);
    command
}

fn own_name(tool: Tool) -> &'static str {
    match tool {
        Tool::OvlMount => "ovl-mount",
        Tool::Nsrun | Tool::Runtime => "nsrun",
        Tool::Netwire => "netwire",
        Tool::Umount => "umount",
    }
}

/// The program `name` in `$PATH`.
pub fn in_path(name: impl AsRef<Path>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name.as_ref()))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
}
