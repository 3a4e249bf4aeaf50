//! What a server serves: the seam between its life ([`crate::server`]) and the union it answers from.

use crate::error::{Error, Kind, Result};
use crate::folders::Folders;
use crate::fuse::Serving;
use crate::options::Options;
use crate::rights::{self, Xattrs};
use crate::union::{Lower, Stack as Union, StackSpec};
use crate::xattrs::XattrNamespace;
use std::os::fd::OwnedFd;

/// `OVERLAYFS_SUPER_MAGIC` (uapi/linux/magic.h).
const OVERLAY: i64 = 0x794c_7630;

/// The layers, open, and how they are to be served.
#[derive(Debug)]
pub(crate) struct Stack {
    union: Union,
    serving: Serving,
}

/// Opens every layer; to be called by the process that serves them.
pub(crate) fn open(folders: &Folders, options: &Options) -> Result<Stack> {
    refuse_what_it_cannot(options)?;
    // The machine's own files have owners that have no number in a user namespace, and would all be nobody's.
    let machine = folders.lowers.iter().any(|lower| lower.path.as_os_str() == "/");
    let squash = options.squash_uid == Some(0) || machine && !rights::in_first_user_namespace();
    let xattrs = if options.userxattr { Xattrs::User } else { Xattrs::for_this_process() };
    let spec = StackSpec {
        lowers: folders.lowers.iter().map(|l| Lower::Path(l.path.clone())).collect(),
        data_only: Vec::new(),
        upper: folders.upper.as_ref().map(|(upper, _)| upper.path.clone()),
        work: folders.upper.as_ref().map(|(_, work)| work.path.clone()),
        xattrs: match xattrs {
            Xattrs::Trusted => XattrNamespace::Trusted,
            Xattrs::User => XattrNamespace::User,
        },
        squash_to_root: squash,
        volatile: options.volatile,
        ..StackSpec::default()
    };
    let union = Union::open(&spec).map_err(|mut error| {
        // No other driver may take an upper that a server has.
        if error.raw_os_error() == Some(libc::EBUSY) {
            error.kind = Kind::Request;
        }
        error
    })?;
    Ok(Stack { union, serving: how(folders, options) })
}

/// Decided while there still is a /proc, and paths.
fn how(folders: &Folders, options: &Options) -> Serving {
    let upper = folders.upper.iter().map(|(upper, _)| &upper.path);
    let mut layers = folders.lowers.iter().map(|lower| &lower.path).chain(upper);
    let stacked = layers.any(|path| rustix::fs::statfs(path).is_ok_and(|s| s.f_type == OVERLAY));
    let mut serving = Serving {
        passthrough: rights::may_mount() && rights::in_first_user_namespace(),
        stack_depth: if stacked { 2 } else { 1 },
        ..Serving::default()
    };
    if options.single_thread {
        serving.threads = 1;
    }
    serving
}

/// Owners shown otherwise than the layers have them: only root's for everything.
fn refuse_what_it_cannot(options: &Options) -> Result<()> {
    let refuse = |option: &str| {
        let error = Error::new(Kind::Driver, "fuse driver", option).because("cannot show owners so yet");
        Err(error.hint("squash_to_root shows everything as root's"))
    };
    match (options.squash_uid, options.squash_gid) {
        (None, None) | (Some(0), Some(0)) => {}
        _ => return refuse("squash_to_uid"),
    }
    if options.uid_map.is_empty() && options.gid_map.is_empty() { Ok(()) } else { refuse("uidmapping") }
}

/// Answers the kernel until the mount is gone.
pub(crate) fn serve(device: OwnedFd, stack: Stack) -> Result<()> {
    crate::fuse::serve(device, stack.union, stack.serving)
}
