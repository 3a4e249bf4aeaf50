//! The kernel's FUSE protocol, spoken by ourselves.
//!
//! # How a request travels
//!
//! A process calls, say, `open("/mnt/a/b")`. The kernel walks the path; of each component it knows either nothing, and sends
//! LOOKUP with the node id of the directory and the name, or what an earlier answer told it and for how long that holds. In the
//! end it sends OPEN for the node. Sending means: the request goes into the connection's queue, one thread that sleeps in
//! read(2) on `/dev/fuse` is woken, and the caller sleeps. That thread takes the request off with its read:
//!
//! ```text
//! fuse_in_header (40 bytes)        body of the operation       extensions
//! length opcode unique node        fuse_open_in, a name, …     fuse_ext_header …
//! uid gid pid extension length
//! ```
//!
//! The request's head becomes a [`Request`], its body plain values and borrowed slices ([`mod@dispatch`](self)), a
//! method of [`Filesystem`] gives the answer, and one write(2) takes `fuse_out_header` (length, error, unique) and what follows
//! back to the kernel, which wakes the caller. Of the time all this takes, most is the two wake-ups; [`Settings::poll`] is
//! about the first of them.
//!
//! What nobody waits for (FORGET, RELEASE, read-ahead, writing back) takes the same way. FORGET alone has no answer.
//!
//! # Node ids
//!
//! The kernel names objects by node ids that we give in answers to LOOKUP and to what makes things, and counts how often each
//! was given; FORGET takes from the count, and at zero the id may be used again. A node id is not the inode number: that is one
//! of the attributes, shown by stat(2), and may be the same for two nodes.
//!
//! # What holds
//!
//! - Nothing here panics, and a handler that does is answered with EIO; its thread goes on.
//! - One read and one write a request; no memory is taken on the way ([`Filesystem`] may, of course).
//! - A handler that is held up holds up nobody else: further threads come, up to [`Settings::most_threads`].
//! - An answer the kernel does not take counts as not given.
//! - The session ends when the kernel says ENODEV (unmounted) or ECONNABORTED (by force).
//! - INTERRUPT is answered with ENOSYS, after which the kernel sends no more of them: no operation here waits for anything but
//!   a disk, and a killed caller does not wait for its answer anyway.
//!
//! The kernel's side is fs/fuse/dev.c (queue, read, write), fs/fuse/{dir,file,readdir}.c (who sends what when),
//! fs/fuse/inode.c (INIT) and fs/fuse/passthrough.c; the numbers are those of include/uapi/linux/fuse.h ([`abi`]).

pub mod abi;
mod attributes;
mod desk;
mod device;
mod dispatch;
mod filesystem;
mod init;
mod listing;
mod poller;
mod pool;
mod request;
mod session;
mod statistics;
#[cfg(test)]
mod tests;
mod wire;

pub use attributes::{Attributes, Entry, Extended, Known, Timestamp, Totals};
pub use device::Connection;
pub use filesystem::{Answer, Changes, Controlled, Filesystem, Making, Opened, SetTime, Span, Writing, XattrMode};
pub use init::{MOST_BYTES, Offer, Terms};
pub use listing::{Listing, ListingPlus, Name};
pub use request::Request;
pub use session::{Session, Settings};
pub use statistics::{Snapshot, Statistics};
