//! The overlay room: a writable layer over read-only ones.
//!
//! Two drivers give the same file system: the kernel's overlay, and a FUSE server. What a user says goes this way:
//!
//! ```text
//! options (pure parsing) → folders (looked at once, plain errors) → driver (the first that works) → mounted
//!                                                                     ├─ kernel
//!                                                                     └─ server (device or fusermount, seclusion) → serving
//! ```
//!
//! [`namespaces`] and [`command`] are for an overlay that lives as long as a command does; [`signals`] is how their end is
//! noticed; [`rights`] says what this process may do. A server that serves is spoken with through [`control`] and heard in its
//! [`journal`]; [`remount`] changes what can be changed of an overlay that is mounted.
//!
//! What the server serves is a [`union`]: the file system with plain methods, made of [`layer`]s by the rules of
//! [`merge`], with its books in [`xattrs`], tested without a mount. [`fuse`] lets the kernel call it.

pub mod command;
pub mod control;
mod device;
pub mod driver;
mod ending;
pub mod error;
pub mod folders;
pub mod fuse;
mod fusermount;
pub mod journal;
mod keeper;
pub mod kernel;
pub mod layer;
pub mod merge;
pub mod mounted;
pub mod mounts;
pub mod namespaces;
pub mod options;
pub mod remount;
pub mod rights;
mod seclusion;
pub mod server;
mod serving;
pub mod signals;
pub mod union;
pub mod xattrs;

pub use driver::{Choice, Driver};
pub use error::{Error, Kind, Result};
pub use folders::{Folder, Folders};
pub use options::Options;
pub use rights::Xattrs;
pub use union::Compat;
pub use xattrs::XattrNamespace;
