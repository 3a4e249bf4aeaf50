//! A container that stands still for as long as we need it to, and not longer.
//!
//! `docker commit` pauses what it copies. Who pauses and dies would leave it paused for ever; so a keeper is started first, `ctr
//! thaw ID`, which waits until its standard input ends, with us if need be, and then resumes. It alone resumes.

use crate::life::Asked;
use crate::place::Place;
use crate::tools::{Tools, ourselves};
use crate::{Error, Kind, Result, execute};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use store::{Record, Root};

/// A container that is paused until this is dropped.
#[derive(Debug)]
pub struct Frozen {
    keeper: Child,
    alive: Option<OwnedFd>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.alive = None;
        let _ = self.keeper.wait();
    }
}

/// Pauses `record`'s container by the OCI runtime.
pub fn freeze(root: &Root, place: &Place, own: &Path, record: &Record) -> Result<Frozen> {
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| crate::error::system("pipe", "", e))?;
    let mut keeper = ourselves(own, OsStr::new("ctr"));
    keeper.arg("--root").arg(root.path()).args(["thaw", record.id.as_str()]).env("VENEER_RUN", place.path());
    // Not of our process group: what the terminal sends us must not end it.
    keeper.stdin(theirs).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).current_dir("/");
    let keeper = keeper.spawn().map_err(|e| Error::new(Kind::Failed, "start", "ctr thaw").because(e))?;
    // Who pauses holds the pipe too: if we are killed meanwhile the keeper waits for it, and resumes behind it.
    let held = ours.try_clone().map_err(|e| crate::error::system("pipe", "", e))?;
    let frozen = Frozen { keeper, alive: Some(ours) };
    run(place, own, record, "pause", held.into())?;
    Ok(frozen)
}

/// What the keeper does once its standard input has ended.
pub fn thaw(place: &Place, own: &Path, record: &Record) -> Result<()> {
    let mut input = std::io::stdin().lock();
    // An error is an end too.
    let _ = std::io::copy(&mut input, &mut std::io::sink());
    run(place, own, record, "resume", Stdio::null())
}

fn run(place: &Place, own: &Path, record: &Record, verb: &str, stdin: Stdio) -> Result<()> {
    let tools = Tools::new(&Asked::of(record)?.request.programs, own.to_owned());
    let mut command = execute::runtime(&tools, &place.runtime());
    command.args([verb, record.id.as_str()]).stdin(stdin);
    execute::run(command, &format!("runtime {verb}")).map(drop)
}
