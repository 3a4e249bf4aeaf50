//! The room `runtime`: sandboxes, as the OCI runtime-spec draws them and as unshare(1) and nsenter(1) know them.
//!
//! Two processes make a container, and [`init`] draws how they speak: the parent ([`create`]) reads, checks and writes down; the
//! first process ([`init`], [`rootfs`], [`process`]) is born into its namespaces, builds its root file system, gives up its
//! privileges and becomes the program.
//!
//! Invariants: single-threaded until the last namespace is entered; nothing inside a root file system is reached but by descriptors that
//! cannot escape it ([`rootfs`]); every descriptor is close-on-exec; no error leaves without the step and the thing it was about.

pub mod bundle;
pub mod capabilities;
pub mod cgroup;
pub mod chain;
mod channel;
pub mod command;
mod confinement;
pub mod container;
pub mod create;
mod defence;
pub mod devices;
pub mod enter;
pub mod error;
pub mod events;
pub mod exec;
mod file;
mod forbidden;
mod foreground;
mod held;
mod hooks;
pub mod idmap;
mod idmapped;
mod init;
mod intel_rdt;
mod kin;
pub mod landlock;
mod listener;
mod memory_policy;
pub mod namespace;
mod net_devices;
mod numbers;
mod process;
mod procfs;
pub mod program;
pub mod reaper;
mod relay;
mod rootfs;
pub mod run;
mod schedule;
pub mod seal;
pub mod seccomp;
pub mod state;
mod sysctl;
mod terminal;
pub mod update;

pub use confinement::Manager;
pub use error::{Error, Kind, Result};
pub use rootfs::options::known as known_mount_options;
