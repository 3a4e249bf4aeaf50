//! What a server serves: the seam between its life ([`crate::server`]) and the union it answers from.

use crate::error::{Error, Kind, Result};
use crate::folders::Folders;
use crate::fuse::{FOR_EVER, Serving};
use crate::keeper::{Change, Count};
use crate::options::{Options, RedirectDir};
use crate::rights::{self, Xattrs};
use crate::union::{Keeping, Lower, Owners, Stack as Union, StackSpec};
use crate::xattrs::XattrNamespace;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// `OVERLAYFS_SUPER_MAGIC` (uapi/linux/magic.h).
const OVERLAY: i64 = 0x794c_7630;

/// The layers, open, and how they are to be served.
#[derive(Debug)]
pub(crate) struct Stack {
    union: Arc<Union>,
    serving: Serving,
}

/// Opens every layer; to be called by the process that serves them.
pub(crate) fn open(folders: &Folders, options: &Options) -> Result<Stack> {
    refuse_what_it_cannot(options)?;
    // The machine's own files have owners that have no number in a user namespace, and would all be nobody's.
    let machine = folders.lowers.iter().any(|lower| lower.path.as_os_str() == "/");
    let xattrs = if options.userxattr { Xattrs::User } else { Xattrs::for_this_process() };
    let spec = StackSpec {
        lowers: folders.lowers.iter().map(|l| Lower::Path(l.path.clone())).collect(),
        data_only: folders.data_lowers.iter().map(|l| Lower::Path(l.path.clone())).collect(),
        upper: folders.upper.as_ref().map(|(upper, _)| upper.path.clone()),
        work: folders.upper.as_ref().map(|(_, work)| work.path.clone()),
        xattrs: match xattrs {
            Xattrs::Trusted => XattrNamespace::Trusted,
            Xattrs::User => XattrNamespace::User,
        },
        owners: Owners {
            machine: machine && !rights::in_first_user_namespace(),
            squash_uid: options.squash_uid.or(options.squash_root.then_some(0)),
            squash_gid: options.squash_gid.or(options.squash_root.then_some(0)),
            uid_map: options.uid_map.clone(),
            gid_map: options.gid_map.clone(),
            keeping: match options.xattr_permissions {
                0 => None,
                1 => Some(Keeping::Privileged),
                _ => Some(Keeping::Unprivileged),
            },
        },
        noatime: options.flags.noatime,
        volatile: options.volatile,
        redirect: options.redirect_dir.is_none_or(|r| r == RedirectDir::On),
        metacopy: options.metacopy.unwrap_or(true),
        index: options.index.unwrap_or(true),
        compat: options.compat,
        ..StackSpec::default()
    };
    let union = Union::open(&spec).map_err(|mut error| {
        // No other driver may take an upper that a server has.
        if error.raw_os_error() == Some(libc::EBUSY) {
            error.kind = Kind::Request;
        }
        error
    })?;
    Ok(Stack { union: Arc::new(union), serving: how(folders, options) })
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
    let offered = &mut serving.offered;
    offered.validity.set(validity(options));
    offered.writeback = options.writeback.unwrap_or(true);
    offered.xattrs = !options.no_xattrs;
    offered.acls = !options.no_acl && !options.no_xattrs;
    offered.sync = !options.no_fsync;
    serving
}

/// What only the kernel's overlay can.
fn refuse_what_it_cannot(options: &Options) -> Result<()> {
    let refuse = |option: &str, why: &'static str| Error::new(Kind::Driver, "fuse driver", option).because(why);
    for (key, value) in &options.for_kernel {
        let why = match (key.as_str(), value.as_deref()) {
            ("nfs_export", Some("on")) => "only the kernel driver can be exported by NFS",
            ("verity", Some("on" | "require")) => "only the kernel driver checks by fs-verity",
            ("uuid", Some("on")) => "only the kernel driver keeps an id of its own",
            ("nooverride_creds", _) => "only the kernel driver uses layers with the caller's rights",
            _ => continue,
        };
        return Err(refuse(key, why).hint("--driver kernel"));
    }
    Ok(())
}

impl Stack {
    /// What is counted, for whoever asks while it serves.
    pub(crate) fn count(&self) -> Count {
        let (union, statistics) = (Arc::clone(&self.union), Arc::clone(&self.serving.statistics));
        Box::new(move || {
            let now = statistics.snapshot();
            let mut numbers = serde_json::Map::new();
            numbers.insert("nodes".into(), union.node_count().into());
            numbers.insert("copy_ups".into(), union.copy_ups().into());
            numbers.extend(now.totals().into_iter().map(|(name, number)| (name.into(), number.into())));
            let operations = now.operations().map(|(name, count)| (name.to_owned(), count.into()));
            numbers.insert("requests".into(), operations.collect::<serde_json::Map<_, _>>().into());
            numbers
        })
    }

    /// What can be changed while it serves.
    pub(crate) fn change(&self) -> Change {
        let now = self.serving.offered.validity.clone();
        Box::new(move |wanted| now.set(validity(wanted)))
    }
}

fn validity(options: &Options) -> Duration {
    options.timeout_s.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(FOR_EVER)
}

/// Answers the kernel until the mount is gone.
pub(crate) fn serve(device: OwnedFd, stack: Stack) -> Result<()> {
    let union = Arc::clone(&stack.union);
    let served = crate::fuse::serve(device, stack.union, stack.serving);
    if served.is_ok() {
        union.end();
    }
    served
}
