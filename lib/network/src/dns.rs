//! The names of a network: a small DNS server on the bridge's addresses.
//!
//! ```text
//!   containers ── UDP, TCP port 53 ──► [`listen`] ─► [`server`] ─► [`answer`] ◄─ [`zone`] ◄─ [`books`] ◄─ LEASES/NAME.json
//!                                       [`stream`]      │
//!                                                       └─► [`flight`] ─► the machine's resolvers ([`resolv`]), or --dns
//! ```
//!
//! - What is said to a question is a pure function ([`answer`]) of the question ([`wire`]) and the names ([`zone`]).
//! - One process a network, one thread, no timer while nothing happens; [`launch`] finds, starts, replaces and stops it.
//! - It serves containers and has no rights ([`confine`]): what it reads comes from strangers.
//!
//! Invariants:
//! - No answer is older than the question: the book is made sure of between reading a question and answering it.
//! - Only the network's own addresses are answered, by its own link; only containers have questions passed on.
//! - What is passed on is bounded, in number and in time, in all and for each client; nothing waits in a thread.
//! - A server lives exactly as long as its lock is held, and ends by itself when its network has no members.

mod answer;
mod books;
mod flight;
mod launch;
mod listen;
mod name;
mod resolv;
mod server;
mod source;
mod stream;
mod token;
mod wire;
mod zone;

pub use launch::{Inheritance, Record, ensure_running, start, status, stop};
pub use source::{addresses, has_names};

use crate::confine;
use crate::definition::Definition;
use crate::driver::Driver;
use crate::error::{Error, Kind, Result, failed};
use crate::namespace::Namespace;
use crate::state::{self, State};
use std::path::Path;

/// How many descriptors a server should have.
const DESCRIPTORS: u64 = 4096;

/// Whether `text` can be asked for.
pub fn is_name(text: &str) -> bool {
    !text.contains(char::is_control) && name::Name::parse(text).is_some()
}

/// Serves the names of `definition` in this process: with sockets and lock that were handed to it until the network has no
/// members, or with its own until it is told to end. `ready` is called when questions are answered.
pub fn serve(
    state: &State,
    definition: &Definition,
    inheritance: Option<&Inheritance>,
    ready: impl FnOnce(Record),
) -> Result<()> {
    const OP: &str = "serve the names of network";
    let wrong = |e: std::io::Error| failed(OP, &definition.name, e);
    if !source::has_names(definition) {
        return Err(Error::new(Kind::Invalid, OP, &definition.name)
            .because("it was created without names")
            .hint("networks have names unless created with --disable-dns; `bridge` has none"));
    }
    let state = &state.absolute().map_err(wrong)?;
    let (lock, doors, record) = match inheritance {
        Some(inheritance) => launch::inherit(inheritance).map_err(wrong)?,
        None => launch::claim(state, definition)?,
    };
    let caller = Namespace::own()?.identity().inode;
    let limits = server::Limits { descriptors: confine::raise_descriptors(DESCRIPTORS), stays: inheritance.is_none() };
    if inheritance.is_some() {
        let _ = nix::unistd::setsid();
    }
    let resolv_conf = Path::new(resolv::RESOLV_CONF);
    let around = confine::folders_of(resolv_conf);
    let book = state.lease_path(&definition.name);
    let described = state.definition_path(&definition.name);
    if definition.driver == Driver::Overlay {
        state::ensure_folder_of(&state.view_path(&definition.name))?;
    }
    let mut folders: Vec<&Path> = around.iter().map(std::path::PathBuf::as_path).collect();
    folders.extend([book.parent(), described.parent()].into_iter().flatten());
    folders.extend([Path::new("/proc"), Path::new("/run")]);
    // Opened before the way to it is gone; the server locks it for its last look.
    let last_look = state.open_network_lock(&definition.name)?;
    let _ = confine::leave_mounts(&folders);
    let server = server::Server::new(state, definition, caller, doors, last_look, resolv_conf, limits)?;
    confine::leave_rights().map_err(wrong)?;
    ready(record);
    let served = server.serve();
    drop(lock);
    served
}
