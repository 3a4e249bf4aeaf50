//! Shared by tests only: what this machine can do, places to work in, and the programs under test.
//!
//! - [`alone()`]: a mount namespace with a tmpfs, for what mounts
//! - [`container`]: OCI containers that end with their test
//! - [`corpus`]: tars by hand, hostile ones too
//! - [`dice`]: choices by a seed that is printed
//! - [`gate`]: `need!(root, fuse, "crun")`, the first line of a test that needs more than Rust
//! - [`fixture`]: images, a root file system and a package from real Debian content
//! - [`program()`]: a script that is executed
//! - [`tree`]: two directories compared entry by entry
//! - [`user`]: an ordinary user, for what works without root

mod alone;
pub mod container;
pub mod corpus;
pub mod dice;
pub mod fixture;
pub mod gate;
mod program;
pub mod tree;
pub mod user;

pub use alone::alone;
pub use program::{program, program_of};

/// The project's folder, where the scripts below `tests/` lie.
fn project() -> &'static std::path::Path {
    let testkit = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    testkit.ancestors().nth(2).unwrap_or(testkit)
}
