//! A container's life, composed from the single tools.
//!
//! ```text
//! Request ──┐                     ┌─ script::print    the plan as a shell script (--explain)
//! Image  ───┼─ plan::make ─ Plan ─┤
//! Machine ──┘   (pure)            └─ execute          the same commands, run by the supervisor
//! ```
//!
//! - [`request`]: what the user asked for, as data; kept in the container's record. Of that, [`wiring`] is networks and
//!   [`port`] ports, in docker's grammar
//! - [`images`]: images in the store: load, list, resolve, remove
//! - [`machine`], [`place`]: what this machine is like, and where run state lives on it
//! - [`surroundings`]: what else of the world a request needs: other containers, devices; [`userns`]: whose ids it has
//! - [`process`], [`accounts`]: request and image configuration become argv, environment, ids
//! - [`bundle`]: the OCI `config.json`; [`resolver`]: the container's `/etc/hosts` and `/etc/resolv.conf`
//! - [`plan`]: the list of commands; [`script`] prints it, [`execute`] runs it; [`text`] is what both fill in
//! - [`launch`], [`supervise`]: a new container, and the one small process it has: log, streams, exit code
//! - [`stream`], [`attach`]: how a terminal reaches it; [`exec`]: another process beside it
//! - [`log`]: what it wrote, kept by docker's log drivers; [`restart`], [`health`]: when it runs again, and how it is
//! - [`life`]: start, stop, kill, remove, and what a crash left behind; [`events`]: what happened
//! - [`networks`]: those that were created, and which nobody needs
//! - [`diff`]: what a container changed
//! - [`limits`], [`update`], [`stats`]: what a container may use, other limits for one that is there, and what it uses
//! - [`view`]: its tree, as a descriptor
//! - [`commit`], [`change`], [`freeze`]: its writable layer as an image's, what `--change` says, standing still meanwhile; [`import`]: a tar as one
//! - [`copy`], [`export`]: files out of it and into it; [`mounted`]: where the machine sees it
//!
//! Nothing here mounts, unshares or touches a network itself: that is done by executing `ovl-mount`, `nsrun` and
//! `netwire`, or what stands in for them ([`tools`]).

pub mod accounts;
pub mod attach;
pub mod bundle;
pub mod change;
pub mod commit;
pub mod copy;
pub mod diff;
pub mod error;
pub mod events;
pub mod exec;
pub mod execute;
pub mod export;
pub mod freeze;
pub mod health;
pub mod images;
pub mod import;
pub mod launch;
pub mod life;
pub mod limits;
pub mod log;
pub mod machine;
pub mod mounted;
mod mountinfo;
pub mod names;
pub mod networks;
mod ownership;
pub mod place;
pub mod plan;
pub mod port;
pub mod process;
pub mod request;
pub mod resolver;
pub mod restart;
pub mod script;
mod shown;
pub mod stats;
pub mod stream;
pub mod supervise;
pub mod surroundings;
pub mod text;
pub mod tools;
pub mod update;
pub mod userns;
pub mod view;
pub mod wiring;

pub use error::{Error, Kind, Result};
