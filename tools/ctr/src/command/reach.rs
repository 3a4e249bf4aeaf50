//! From where a container's tree can be reached, and getting there.
//!
//! ```text
//!            runs                                          does not run
//! root       here, by /proc/PID/root                       a mount namespace of our own, to mount its layers in
//! user       the user and mount namespace of its           a user namespace of our own (which has a mount namespace)
//!            supervisor: only there are its files ours
//! ```
//!
//! Getting there is executing ourselves again by `nsrun`; then the same command line is read once more, from where its words
//! mean the same.

use super::Context;
use cli::failure::Failure;
use engine::life;
use engine::tools;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use store::{ProcessId, Record, Root};

/// What a command does with the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Reads the folders in the store.
    Layers,
    /// Walks the merged tree, which must be mounted for it where the container does not run.
    Tree,
}

/// The mount namespace we came from, where we have one of our own.
const FROM: &str = "VENEER_PRIVATE";

/// Comes back where `record`'s tree can be reached; else in another process.
pub(crate) fn ready(context: &Context, root: &Root, record: &Record, need: Need) -> Result<(), Failure> {
    let state = life::state(root, &record.id)?;
    let alive = life::is_live(&state);
    if !rustix::process::geteuid().is_root() {
        return match state.supervisor.filter(|_| alive) {
            Some(supervisor) => Err(enter(context, supervisor)),
            None => context.become_root(),
        };
    }
    let ours = std::env::var_os(crate::context::AGAIN).is_some() || is_private();
    if need == Need::Tree && !alive && !ours {
        return Err(alone(context));
    }
    Ok(())
}

/// Whether we are in a mount namespace that was made for us.
fn is_private() -> bool {
    std::env::var(FROM).is_ok_and(|from| namespace().is_some_and(|now| now != from))
}

fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/mnt").ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Starts the same command again in a mount namespace of its own; comes back only with an error.
pub(crate) fn alone(context: &Context) -> Failure {
    again(context, &["--mount", "--propagation", "slave", "--"].map(str::to_owned))
}

/// Starts the same command again where a user's container has its supervisor.
fn enter(context: &Context, supervisor: ProcessId) -> Failure {
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let target = supervisor.pid.to_string();
    let words = ["enter", "--user", "--mount", "--target", &target, "--wdns", &here.to_string_lossy(), "--"];
    again(context, &words.map(str::to_owned))
}

fn again(context: &Context, words: &[String]) -> Failure {
    let command = || -> Result<std::process::Command, Failure> {
        let own = context.own()?;
        let mut command = tools::ourselves(&own, OsStr::new("nsrun"));
        command.args(words).arg(&own).args(context.words.iter().skip(1));
        command.env("VENEER_ROOT", context.state_root()?).env("VENEER_RUN", context.place()?.path());
        if let Some(from) = namespace() {
            command.env(FROM, from);
        }
        Ok(command)
    };
    match command() {
        Ok(mut command) => {
            let error = command.exec();
            Failure::new(format!("execute {}: {error}", command.get_program().display())).code(cli::exit::OURS)
        }
        Err(failure) => failure,
    }
}
