//! `--rootfs DIR`: a folder as the root of a sandbox, with what a container has by default: /proc, /dev, /sys, /dev/shm, masked and
//! read-only paths, fourteen capabilities, the default seccomp profile.

use super::Chain;
use crate::channel::Channel;
use crate::error::{Kind, Result, failed, invalid};
use crate::init::Launch;
use crate::namespace::Namespace;
use crate::process::{self, Prepared};
use crate::rootfs::{self, cgroups};
use crate::{bundle, seccomp};
use spec::runtime::{Capabilities, Capability, LinuxCapabilitiesBuilder, ProcessBuilder, UserBuilder};
use spec::syscall::Abi;
use std::path::Path;

/// Builds the sandbox in the namespaces this process is in, and becomes the command.
pub(super) fn enter(chain: &Chain) -> Result<std::convert::Infallible> {
    let given = chain.rootfs.as_deref().unwrap_or(Path::new("."));
    let root = bundle::absolute(given).map_err(|e| failed("open root", given.display(), e))?;
    let mounts = spec::defaults::mounts(spec::defaults::SHM_SIZE_BYTES);
    let masked = spec::defaults::MASKED_PATHS.map(str::to_owned);
    let readonly = spec::defaults::READONLY_PATHS.map(str::to_owned);
    let view = cgroups::load_view();
    let plan = rootfs::Plan {
        root: &root,
        bundle: Path::new("/"),
        readonly: chain.read_only,
        mounts: &mounts,
        id_maps: &[],
        devices: &[],
        masked: &masked,
        readonly_paths: &readonly,
        propagation: None,
        cgroups: &view,
        supplies_devices: false,
        own_cgroup_namespace: chain.makes(Namespace::Cgroup),
    };
    let assembled = rootfs::assemble(&plan)?;
    let directory = chain.working_directory.as_deref().unwrap_or(Path::new("/"));
    if !directory.is_absolute() {
        return Err(invalid("--wd", directory.display(), "must be absolute in a sandbox"));
    }
    rootfs::switch(&plan, &assembled)?;
    process::enter_working_directory(&assembled.tree, directory)?;

    let caps: Capabilities = wanted(chain).into_iter().collect();
    let granted = LinuxCapabilitiesBuilder::default()
        .bounding(caps.clone())
        .effective(caps.clone())
        .permitted(caps.clone())
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()
        .map_err(|e| crate::Error::new(Kind::Failed, "capabilities", "").because(e.to_string()))?;
    let user =
        UserBuilder::default().uid(chain.uid.unwrap_or(0)).gid(chain.gid.unwrap_or(0)).build().unwrap_or_default();
    let process = ProcessBuilder::default()
        .user(user)
        .capabilities(granted)
        .no_new_privileges(chain.no_new_privs)
        .rlimits(Vec::new())
        .build()
        .map_err(|e| crate::Error::new(Kind::Failed, "process", "").because(e.to_string()))?;
    if chain.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(|e| failed("set no_new_privs", "", e))?;
    }
    let filter = match Abi::native(std::env::consts::ARCH).filter(|_| !chain.unconfined) {
        Some(native) => {
            let bounding: Vec<Capability> = caps.iter().copied().collect();
            Some(seccomp::compile(&spec::seccomp::default_profile(&bounding, native, kernel()))?)
        }
        None => None,
    };
    let command = super::command_of(chain);
    let prepared = Prepared::with_own_environment(&command)?;
    let (channel, _other) = Channel::pair()?;
    sys::spawn::reset_signal(libc::SIGPIPE);
    Launch {
        process: &process,
        prepared: &prepared,
        seccomp: filter.as_ref(),
        // No device list is in force here, so nodes may not be made.
        devices_listed: chain.cap_add.contains(&Capability::Mknod),
        preserve_fds: 0,
        reaper: chain.init,
        channel: &channel,
    }
    .go()
}

/// Docker's fourteen, with what was added and without what was dropped.
fn wanted(chain: &Chain) -> Vec<Capability> {
    let mut all: Vec<Capability> = spec::capability::DEFAULT.to_vec();
    all.retain(|c| !chain.cap_drop.contains(c));
    all.extend(chain.cap_add.iter().copied());
    all
}

/// Major and minor number of the running kernel.
pub(crate) fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
