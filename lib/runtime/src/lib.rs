//! The room `runtime`.

pub mod capabilities;
pub mod cgroup;
pub mod devices;
pub mod error;
pub mod seccomp;
