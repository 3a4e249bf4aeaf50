//! The overlay room: a writable layer over read-only ones.
//!
//! Two drivers give the same file system. [`kernel`] asks the kernel's overlay for it; the FUSE driver serves it from user
//! space. [`driver`] tries them in the order asked for. What a user says comes in as [`options`] (pure parsing), becomes
//! [`folders`] (looked at once, with plain errors), and is mounted. [`rights`] says what this process may do.

pub mod driver;
pub mod error;
pub mod folders;
pub mod kernel;
pub mod options;
pub mod rights;

pub use driver::{Choice, Driver};
pub use error::{Error, Kind, Result};
pub use folders::{Folder, Folders};
pub use options::Options;
pub use rights::Xattrs;
