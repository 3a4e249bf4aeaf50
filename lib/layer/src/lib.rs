//! The room `layer`: an image's layers, from tar to directory, verified while they are read.
//!
//! ```text
//!  source                    pipeline (one for each layer, bounded memory)                extract
//!  OCI layout, oci-archive,   read + digest + inflate ─▶ diff id ─▶ archive (entries) ─▶ directory of the layer
//!  docker-archive, one tar
//! ```
//!
//! - [`source`]: images on disk and the raw bytes of their layers, read in place and in parallel
//! - [`compression`]: none, gzip or zstd, told by content, never by name or media type
//! - [`archive`]: tar entries out of a stream of bytes: ustar, PAX, GNU
//! - [`extract`]: one layer into one directory, with whiteouts as told, everything below one descriptor
//! - [`folders`]: all layers of an image into folders named by chain id, in parallel
//! - [`flatten`]: all layers of an image into one root file system
//! - [`owners`]: ids of a container as ids of the machine
//! - [`list`]: the entries of a layer, without writing them
//! - [`probe`]: whether a stream is a layer or an image
//! - [`select`]: which entries are wanted, by patterns
//! - [`pack`]: the way back, a directory into a layer
//! - [`verify`]: a directory against a layer
//! - [`several`]: several layers at a time, the largest first
//! - [`xattrs`], [`times`]: extended attributes and times of what is open or has a name in an open directory
//! - [`stage`]: a folder that is either complete and has its name, or is gone
//!
//! Invariants. A path of a layer is only ever opened by [`openat2(2)`] below the descriptor of its directory, so that no
//! `..`, link or absolute name leads out. The digest of a blob and the diff id of its tar are computed in the same pass
//! that writes it, and compared before anything gets its final name. What an entry says and we cannot do is an error that
//! names layer and entry, or, where [`extract::Options`] allows it, a line of [`extract::Report::skipped`]; never silence.
//!
//! [`openat2(2)`]: https://man7.org/linux/man-pages/man2/openat2.2.html

pub mod archive;
mod beneath;
pub mod compression;
mod dedup;
pub mod error;
pub mod extract;
pub mod flatten;
pub mod folders;
pub mod list;
pub mod owners;
pub mod pack;
mod pipeline;
pub mod probe;
mod queue;
pub mod remove;
pub mod select;
pub mod several;
pub mod source;
pub mod stage;
pub mod times;
pub mod verify;
pub mod xattrs;

pub use error::{Error, Kind, Result};
