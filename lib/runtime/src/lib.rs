//! The room `runtime`.

pub mod capabilities;
pub mod error;
pub mod seccomp;
