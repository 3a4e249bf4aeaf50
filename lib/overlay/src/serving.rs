//! What a server serves: the seam between its life ([`crate::server`]) and the union it answers from.

use crate::error::{Kind, Result};
use crate::folders::Folders;
use crate::fuse::Serving;
use crate::options::Options;
use crate::rights::{self, Xattrs};
use crate::union::{Lower, Owners, Stack as Union, StackSpec};
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
    // The machine's own files have owners that have no number in a user namespace, and would all be nobody's.
    let machine = folders.lowers.iter().any(|lower| lower.path.as_os_str() == "/");
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
        owners: Owners {
            machine: machine && !rights::in_first_user_namespace(),
            squash_uid: options.squash_uid,
            squash_gid: options.squash_gid,
            uid_map: options.uid_map.clone(),
            gid_map: options.gid_map.clone(),
            keeping: None,
        },
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

/// Answers the kernel until the mount is gone.
pub(crate) fn serve(device: OwnedFd, stack: Stack) -> Result<()> {
    crate::fuse::serve(device, stack.union, stack.serving)
}
