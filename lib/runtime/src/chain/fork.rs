//! With `--fork`: the command gets a process of its own, born into its namespaces, and we stay outside until it ends.
//!
//! Whether anybody has to wait for anybody depends on what was asked for: maps, files and a cgroup want a word from us, a terminal and
//! namespaces that the child makes itself want one from the child. Without any of these there is no channel at all.

use super::alone::{become_owner, keep};
use super::status::Status;
use super::{Chain, Maps, die_with_maker, settle, wait_for_word};
use crate::cgroup::{self, ChainGroup};
use crate::channel::{Channel, Message};
use crate::create::unshare_hint;
use crate::error::{Error, Kind, Result, failed};
use crate::held::Held;
use crate::namespace::Namespace;
use crate::relay::{self, Master};
use crate::terminal::Terminal;
use crate::{foreground, terminal};
use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::{AsFd, OwnedFd};
use sys::spawn::{Clone3, Fork};

/// Who gets the master side of the command's terminal.
#[derive(Debug)]
pub(super) struct TerminalTo<'a>(Option<&'a Channel>);

impl TerminalTo<'_> {
    /// Hands the master over and makes the slave stdio and controlling terminal; the size comes with the master's first use.
    pub(super) fn adopt(&self, made: &Terminal) -> Result<()> {
        if let Some(channel) = self.0 {
            channel.send_with(&Message::Terminal, Some(made.master.as_fd()))?;
        }
        terminal::adopt(&made.slave)
    }
}

/// Runs the command and waits for it.
pub(super) fn run(chain: &Chain, maps: Option<&Maps>) -> Result<u8> {
    let status = Status::open(chain)?;
    let channel = if needs_words(chain, maps) { Some(Channel::pair()?) } else { None };
    let leads = !chain.terminal && !chain.new_session && chain.makes(Namespace::Pid) && foreground::is_ours();
    for number in &chain.held {
        // Ours stays open as it came to us; the command's copy goes with its exec.
        sys::spawn::inherited(*number).map_err(|e| failed("hold descriptor", number, e))?;
    }
    let us = match chain.kill_child {
        Some(_) => Some(own_pidfd()?),
        None => None,
    };
    let group = match chain.cgroup_path.is_some() || !chain.limits.is_empty() {
        true => Some(cgroup::for_chain(chain.cgroup_path.as_deref(), &chain.limits)?),
        false => None,
    };
    let held = Held::take();
    let place = chain.place();
    let born = match chain.owner {
        None => clone(chain, 0)?,
        Some(_) => clone_for_owner(chain)?,
    };
    drop(place);
    let Some(pid) = born else {
        let channel = channel.map(|(ours, theirs)| {
            drop(ours);
            theirs
        });
        let Err(error) = child(chain, channel.as_ref(), us.as_ref(), group.as_ref(), leads, held);
        // It is our maker's to remove.
        std::mem::forget(group);
        return Err(error);
    };
    let channel = channel.map(|(ours, theirs)| {
        drop(theirs);
        ours
    });
    if let Err(error) = attend(chain, maps, channel.as_ref(), &status, pid) {
        drop(channel);
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None);
        return Err(error);
    }
    // The terminal comes behind `--block-fd`, perhaps never: who waits for it hears signals.
    let master = channel.as_ref().filter(|_| chain.terminal).map_or(Master::None, Master::Awaited);
    let code = if leads { relay::serve_foreground(&held, pid) } else { relay::serve(&held, pid, master) }?;
    status.ended(code);
    match group {
        Some(group) => group.remove().map(|()| code),
        None => Ok(code),
    }
}

fn own_pidfd() -> Result<OwnedFd> {
    let us = rustix::process::getpid();
    rustix::process::pidfd_open(us, rustix::process::PidfdFlags::empty()).map_err(|e| failed("pidfd_open", "", e))
}

fn needs_words(chain: &Chain, maps: Option<&Maps>) -> bool {
    maps.is_some() || chain.keeps(&Namespace::ALL) || chain.status.is_some() || chain.info.is_some() || chain.terminal
}

/// Namespaces that the child makes itself: the clocks of a time namespace are set before anybody is in it, and a cgroup
/// namespace shows as its root the group that one is in at that moment.
fn late(chain: &Chain) -> &'static [Namespace] {
    let grouped = chain.cgroup_path.is_some() || !chain.limits.is_empty();
    if grouped { &[Namespace::Cgroup, Namespace::Time] } else { &[Namespace::Time] }
}

/// The child's pid; nothing in the child.
fn clone(chain: &Chain, more: u64) -> Result<Option<i32>> {
    let late = late(chain).iter().fold(0, |all, kind| all | kind.flag());
    let flags = chain.flags() & !late | more;
    match sys::spawn::clone3(&Clone3 { flags, cgroup: None }).map_err(|e| unshare_hint(e, chain.flags()))? {
        Fork::Child => Ok(None),
        Fork::Parent(pid, _) => Ok(Some(pid)),
    }
}

/// The same by a process in between that has become the owner, so that we keep the right to write maps.
fn clone_for_owner(chain: &Chain) -> Result<Option<i32>> {
    let (ours, theirs) = Channel::pair()?;
    match sys::spawn::fork().map_err(|e| failed("fork", "", e))? {
        Fork::Child => {
            drop(ours);
            let made = become_owner(chain).and_then(|()| clone(chain, libc::CLONE_PARENT as u64));
            match made {
                Ok(None) => return Ok(None),
                Ok(Some(pid)) => drop(theirs.send(&Message::Pid(pid))),
                Err(error) => theirs.send_error(error),
            }
            sys::spawn::exit_now(0)
        }
        Fork::Parent(between, _) => {
            drop(theirs);
            let said = ours.receive();
            let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(between), None);
            match said? {
                Some((Message::Pid(pid), _)) => Ok(Some(pid)),
                _ => Err(Error::new(Kind::Failed, "--owner", "").because("the process in between has gone".to_owned())),
            }
        }
    }
}

/// What we do from outside before the command runs.
fn attend(chain: &Chain, maps: Option<&Maps>, channel: Option<&Channel>, status: &Status, pid: i32) -> Result<()> {
    let Some(channel) = channel else { return Ok(()) };
    if let Some(maps) = maps {
        maps.write(pid)?;
    }
    if chain.keeps(late(chain)) {
        channel.send(&Message::Mapped)?;
        if !matches!(channel.receive(), Ok(Some((Message::Ready, _)))) {
            // It says why by itself.
            return Ok(());
        }
    }
    keep(chain, pid, false)?;
    status.started(chain, pid)?;
    let _ = channel.send(&Message::Start);
    Ok(())
}

/// In the child: becomes the command.
fn child(
    chain: &Chain,
    channel: Option<&Channel>,
    maker: Option<&OwnedFd>,
    group: Option<&ChainGroup>,
    leads: bool,
    held: Held,
) -> Result<std::convert::Infallible> {
    die_with_maker(chain);
    for number in &chain.held {
        sys::spawn::close_on_exec(*number).map_err(|e| failed("close descriptor", number, e))?;
    }
    if let Some(maker) = maker {
        // Gone before we asked to die with it.
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if rustix::event::poll(&mut [PollFd::new(maker, PollFlags::IN)], Some(&now)).is_ok_and(|n| n > 0) {
            sys::spawn::exit_now(1);
        }
    }
    if let Some(group) = group {
        group.enter()?;
    }
    if chain.new_session || chain.terminal {
        rustix::process::setsid().map_err(|e| failed("setsid", "", e))?;
    } else if leads {
        foreground::lead();
    }
    if let Some(channel) = channel {
        hear(chain, channel)?;
    } else {
        make_late(chain)?;
    }
    wait_for_word(chain, Some(&held))?;
    held.let_go();
    settle(chain, chain.terminal.then_some(&TerminalTo(channel)), group)
}

fn hear(chain: &Chain, channel: &Channel) -> Result<()> {
    if chain.keeps(late(chain)) {
        expect(channel);
        make_late(chain)?;
        channel.send(&Message::Ready)?;
        expect(channel);
        return Ok(());
    }
    expect(channel);
    make_late(chain)
}

/// Without the word our maker has failed, and has said why; or has been killed.
fn expect(channel: &Channel) {
    if !matches!(channel.receive(), Ok(Some((Message::Mapped | Message::Start, _)))) {
        sys::spawn::exit_now(1);
    }
}

/// Makes the namespaces that were left out at birth, and goes in.
fn make_late(chain: &Chain) -> Result<()> {
    if chain.makes(Namespace::Cgroup) && late(chain).contains(&Namespace::Cgroup) {
        unshare(CloneFlags::CLONE_NEWCGROUP).map_err(|e| unshare_hint(e.into(), Namespace::Cgroup.flag()))?;
    }
    if !chain.makes(Namespace::Time) {
        return Ok(());
    }
    let flag = Namespace::Time.flag();
    unshare(CloneFlags::from_bits_retain(flag as i32)).map_err(|e| unshare_hint(e.into(), flag))?;
    chain.set_clocks()?;
    let path = "/proc/self/ns/time_for_children";
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let made =
        rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(|e| failed("open namespace", path, e))?;
    Namespace::Time.enter(&made).map_err(|e| failed("enter namespace", path, e))
}
