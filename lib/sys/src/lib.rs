//! The only crate with `unsafe`: system calls that nix and rustix lack, wrapped so that callers need none.
//!
//! One file a family of calls. Each `unsafe` block says which obligation it has and who meets it. Nothing of ours is below
//! this crate, and nothing here decides anything: policy lives in the rooms.

pub mod bpf;
pub mod capability;
pub mod chmodat;
pub mod daemon;
pub mod dedupe;
mod early;
pub mod file_handle;
pub mod fuse_device;
pub mod given;
pub mod heap;
pub mod local_time;
pub mod loopback;
pub mod mapping;
pub mod memory_policy;
pub mod mount_attr;
pub mod namespace;
pub mod personality;
pub mod reading_only;
pub mod schedule;
pub mod seccomp;
pub mod signals;
pub mod spawn;
pub mod stack;
pub mod text;
pub mod title;
pub mod xattrat;
