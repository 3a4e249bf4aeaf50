//! What a server serves: the seam between its life ([`crate::server`]) and the union it answers from.

use crate::error::Result;
use crate::folders::Folders;
use crate::options::Options;
use crate::rights::Xattrs;
use crate::union::{Lower, Stack as Union, StackSpec};
use crate::xattrs::XattrNamespace;
use std::os::fd::OwnedFd;

/// Fewest threads that serve: one may wait for a disk while others answer.
const FEWEST_THREADS: usize = 4;
/// More than this only get in each other's way.
const MOST_THREADS: usize = 16;

/// The layers, open.
#[derive(Debug)]
pub(crate) struct Stack(Union);

/// Opens every layer; to be called by the process that serves them.
pub(crate) fn open(folders: &Folders, options: &Options) -> Result<Stack> {
    let xattrs = if options.userxattr { Xattrs::User } else { Xattrs::for_this_process() };
    let spec = StackSpec {
        lowers: folders.lowers.iter().map(|l| Lower::Path(l.path.clone())).collect(),
        upper: folders.upper.as_ref().map(|(upper, _)| upper.path.clone()),
        work: folders.upper.as_ref().map(|(_, work)| work.path.clone()),
        xattrs: match xattrs {
            Xattrs::Trusted => XattrNamespace::Trusted,
            Xattrs::User => XattrNamespace::User,
        },
        squash_to_root: options.squash_uid == Some(0),
        volatile: options.volatile,
    };
    Union::open(&spec).map(Stack)
}

/// Answers the kernel until the mount is gone.
pub(crate) fn serve(device: OwnedFd, stack: Stack, options: &Options) -> Result<()> {
    let threads = if options.single_thread {
        1
    } else {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        processors.clamp(FEWEST_THREADS, MOST_THREADS)
    };
    crate::fuse::serve(device, stack.0, threads)
}
