//! The last steps where the root file system stays the caller's, or is changed by chroot: unshare(1)'s order, with what only we
//! have behind it.
//!
//! Propagation; chroot; working directory; /proc; binfmt_misc; landlock; seccomp and capabilities around the change of ids; exec.

use super::fork::TerminalTo;
use super::{CapabilityChange, Chain, become_ids, binfmt, die_with_maker, propagation, set_propagation};
use crate::error::{Result, failed};
use crate::namespace::Namespace;
use crate::rootfs::fsmount;
use crate::rootfs::masks::QUIET;
use crate::rootfs::mounts::clone_tree;
use crate::rootfs::options::{Attributes, Options};
use crate::seccomp::Program;
use crate::{capabilities, command, landlock, reaper, terminal};
use rustix::fs::CWD;
use rustix::mount::{MountPropagationFlags, MoveMountFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Returns only errors.
pub(super) fn enter(chain: &Chain, terminal: Option<&TerminalTo<'_>>) -> Result<std::convert::Infallible> {
    // The caller's devpts serves it, which a new root may not have.
    let made = terminal.map(|_| terminal::open_here()).transpose()?;
    let filters = super::sandbox::filters(chain, false)?;
    let word = chain.propagation.as_deref().unwrap_or("rprivate");
    if chain.makes(Namespace::Mnt) {
        let peers = peers(&chain.keep_shared)?;
        set_propagation(word)?;
        put_back(&chain.keep_shared, &peers)?;
    }
    binfmt::before_root(chain)?;
    if let Some(root) = &chain.root {
        rustix::process::chroot(root).map_err(|e| failed("chroot", root.display(), e))?;
        rustix::process::chdir("/").map_err(|e| failed("enter", "/", e))?;
    }
    if let Some(dir) = &chain.working_directory {
        rustix::process::chdir(dir).map_err(|e| failed("enter", dir.display(), e))?;
    }
    if let Some(dir) = &chain.mount_proc {
        let own_already = chain.root.is_some() || propagation(word)? == Some(MountPropagationFlags::PRIVATE);
        mount_proc(dir, own_already)?;
    }
    binfmt::after_root(chain)?;
    if let (Some(to), Some(made)) = (terminal, &made) {
        to.adopt(made)?;
    }
    let found = chain.command.find(command::own_variables())?;
    if chain.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(|e| failed("set no_new_privs", "", e))?;
    }
    landlock::restrict(&chain.landlock, chain.landlock_version)?;
    // With no_new_privs the filter comes last, without it while the right to install one is there.
    if !chain.no_new_privs {
        install(&filters)?;
    }
    become_ids(chain.uid, chain.gid)?;
    if chain.capabilities.is_empty() {
        if chain.keep_caps && chain.makes(Namespace::User) {
            capabilities::keep_over_exec()?;
        }
    } else {
        let (mut drop, mut add) = (Vec::new(), Vec::new());
        for change in &chain.capabilities {
            // The last word about each counts.
            let (CapabilityChange::Add(one, _) | CapabilityChange::Drop(one)) = change;
            drop.retain(|c| c != one);
            add.retain(|c| c != one);
            if matches!(change, CapabilityChange::Add(..)) { add.push(*one) } else { drop.push(*one) }
        }
        capabilities::restrict(&drop, &add)?;
    }
    if chain.no_new_privs {
        install(&filters)?;
    }
    die_with_maker(chain);
    if chain.init {
        reaper::stand_in_front(found.args.iter().map(|word| word.as_bytes()))?;
    }
    sys::spawn::reset_signal(libc::SIGPIPE);
    Err(found.exec())
}

fn install(filters: &[Program]) -> Result<()> {
    filters.iter().try_for_each(|filter| filter.install().map(drop))
}

/// Copies of the mounts at `folders`, which are peers of theirs as long as nobody has changed that.
fn peers(folders: &[PathBuf]) -> Result<Vec<OwnedFd>> {
    let copy =
        |folder: &PathBuf| clone_tree(folder, true).map_err(|e| failed("copy the mounts of", folder.display(), e));
    folders.iter().map(copy).collect()
}

/// Puts them over the mounts they are copies of. Nothing of that is seen elsewhere where those are slaves by now.
fn put_back(folders: &[PathBuf], peers: &[OwnedFd]) -> Result<()> {
    for (folder, peer) in folders.iter().zip(peers) {
        rustix::mount::move_mount(peer, "", CWD, folder, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|e| failed("mount", folder.display(), e))?;
    }
    Ok(())
}

/// Mounts a new procfs over `dir`, which stays ours alone.
fn mount_proc(dir: &Path, own_already: bool) -> Result<()> {
    if !own_already {
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        match rustix::mount::mount_change(dir, flags) {
            // Where nothing is mounted there is nothing to keep to ourselves.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(e) => return Err(failed("set propagation of", dir.display(), e)),
        }
    }
    let options = Options { attributes: Attributes { set: QUIET, clear: 0 }, ..Options::default() };
    let fresh = fsmount::detached("proc", "proc", &options).map_err(|e| {
        let covered = e.is(libc::EPERM);
        let error = e.at(&dir.display().to_string());
        if covered {
            error.hint("a user namespace may mount /proc only with a pid namespace of its own (--pid --fork) and where no part of \
                the caller's /proc is covered")
        } else {
            error
        }
    })?;
    // What was mounted there before belongs to the caller's namespaces too.
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&fresh, "", CWD, dir, flags).map_err(|e| failed("mount", dir.display(), e))
}
