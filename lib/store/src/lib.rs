//! Everything below the state root but `networks/`: images, layers, containers' records, locks, garbage.
//!
//! ```text
//! version               format of the store, one line: `veneer-store 1`
//! image/                an OCI image layout (oci-layout, index.json, blobs/sha256/…) that any OCI tool reads
//! overlay2/<id>/        diff/ (the layer), link, lower, layer.json; a container's has work/ and merged/ too
//! overlay2/l/<SHORT>    → ../<id>/diff
//! containers/<id>/      config.json, state, hostname, hosts, resolv.conf, <id>-json.log
//! names/<name>          → the id of the container of that name
//! volumes/<name>/_data  networks/<name>.json  build/
//! tmp/                  everything half-done lives here until it is renamed into place
//! ```
//!
//! Invariants, each of which holds after `kill -9` at any instant:
//!
//! - What is outside `tmp/` is whole. It was written in `tmp/`, brought to the disk and renamed into place.
//! - What is in `tmp/` and not locked by a living process is garbage; [`Root::open`] removes it.
//! - Nothing counts references. What is used is found by reading the images and the containers ([`sweep`]), so no
//!   counter can be wrong.
//! - The raw bytes of manifests and configurations are kept and never serialised again: their digests are their names.
//!
//! Locks and their order: [`lock`].

pub mod blob;
pub mod container;
pub mod error;
pub mod image;
pub mod index;
pub mod intake;
pub mod layer;
pub mod lock;
pub mod remove;
pub mod root;
pub mod secret;
pub mod sweep;
pub mod temp;
pub mod usage;

pub use container::{ProcessId, Record, State, Status};
pub use error::{Error, Kind, Result};
pub use image::{Configuration, Image};
pub use intake::Intake;
pub use layer::{LayerDraft, LayerRecord, Xattrs};
pub use lock::{Guard, Lock, Mode};
pub use root::Root;
pub use sweep::Swept;
pub use temp::{TempDir, TempFile};
