//! The field's documents and names as plain data: no I/O, nothing of ours below it.
//!
//! - [`capability`], [`seccomp`], [`defaults`]: what a container may do unless told otherwise; [`syscall`]: the kernel's numbers
//! - [`cni`]: the documents of network plugins
//! - [`digest`]: content addresses and the three ids made of them (digest, diff id, chain id)
//! - [`container`]: a container's id; [`duration`]: spans of time as Go writes them
//! - [`error`]: the shape every room's error has
//! - [`override_stat`]: owners kept in an xattr
//! - [`image`], [`runtime`]: the OCI documents, from the crate `oci-spec`
//! - [`profile`]: seccomp profiles in files
//! - [`published`]: ports of the machine that lead into a container, as they are asked for
//! - [`platform`]: which machine an image is for
//! - [`reference`]: names of images
//! - [`size`]: numbers of bytes as docker reads them; [`sysctl`]: whose a kernel parameter is
//! - [`whiteout`]: the names by which a layer says that something is gone

pub mod capability;
pub mod cni;
pub mod container;
pub mod defaults;
pub mod digest;
pub mod duration;
pub mod error;
pub mod override_stat;
pub mod platform;
pub mod profile;
pub mod published;
pub mod reference;
pub mod seccomp;
pub mod size;
pub mod syscall;
pub mod sysctl;
pub mod whiteout;

pub use container::ContainerId;
pub use digest::{ChainId, DiffId, Digest};
pub use error::Error;
pub use platform::Platform;
pub use reference::Reference;

/// OCI image documents (manifest, index, configuration, descriptor): image-spec 1.1.
pub use oci_spec::image;
/// The OCI runtime document `config.json` and the state of a container: runtime-spec 1.2.
pub use oci_spec::runtime;
