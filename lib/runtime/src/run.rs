//! `run`: create, start, wait, delete in one go; in front of it all the caller's terminal, where there is one.

use crate::channel::Message;
use crate::container;
use crate::create::{self, Made, Request};
use crate::error::{Error, Result, failed};
use crate::held::Held;
use crate::relay::{self, Master};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::AsFd;

/// How a container ended, and what to warn of.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, 128 + n for signal n.
    pub code: u8,
    /// What could not be done where that ends nothing: hooks behind the start, capabilities that nobody has to give.
    pub warnings: Vec<Error>,
}

/// Makes and starts a container. Detached it stays behind, else it is waited for and removed (kept with `keep`).
pub fn run(request: &Request, detach: bool, keep: bool) -> Result<Ended> {
    if !detach {
        // What the first process leaves behind without a pid namespace of its own comes to us, as with runc.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
    // What stays behind is an engine's, which will want to know what it uses.
    let mut made = create::make(request, true, detach)?;
    let mut warnings = std::mem::take(&mut made.warnings);
    let held = (!detach).then(Held::take);
    match begin(&made, held.as_ref()) {
        Ok(more) => warnings.extend(more),
        Err(error) => {
            let _ = waitpid(Pid::from_raw(made.record.pid), None);
            let _ = container::remove(&made.entry, &made.record, Some(&made.spec), held);
            return Err(error);
        }
    }
    let Some(held) = held else { return Ok(Ended { code: 0, warnings }) };
    let code = attend(&made, &held)?;
    if !keep {
        warnings.extend(container::remove(&made.entry, &made.record, Some(&made.spec), Some(held))?);
    }
    Ok(Ended { code, warnings })
}

fn begin(made: &Made, held: Option<&Held>) -> Result<Vec<Error>> {
    made.channel.send(&Message::Start)?;
    let mut warnings = container::attend(&made.channel, &made.spec, &made.record)?;
    warnings.extend(container::poststart(&made.spec, &made.record, held)?);
    Ok(warnings)
}

fn attend(made: &Made, held: &Held) -> Result<u8> {
    // Others may change it while it runs.
    made.entry.unlock();
    let master = made.master.as_ref().map_or(Master::None, |fd| Master::Here(fd.as_fd()));
    let status = relay::serve(held, made.record.pid, master)?;
    made.entry.lock()?;
    Ok(status)
}

/// The exit code for a wait status of `pid`.
pub(crate) fn wait_for(pid: i32) -> Result<u8> {
    loop {
        match waitpid(Pid::from_raw(pid), None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code as u8),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(failed("wait for", pid, e)),
        }
    }
}
