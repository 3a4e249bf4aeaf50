//! A worker's buffers, and one request on its way through them.
//!
//! Both buffers are made once and touched only as far as they are used. Each is placed so that file data, which comes after
//! the heads, begins on a page.

use crate::abi::{IN_HEADER, OUT_HEADER, WRITE_HEADER};
use crate::device::{Came, Channel, put_head};
use crate::dispatch::{Reply, answer, take_back};
use crate::filesystem::Filesystem;
use crate::init::MOST_BYTES;
use crate::request::Request;
use crate::statistics::Statistics;
use crate::wire::Reader;
use rustix::io::Errno;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

const PAGE: usize = 4096;

/// A buffer whose byte number `head` begins a page.
#[derive(Debug)]
struct Buffer {
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new(head: usize, bytes: usize) -> Self {
        let memory = vec![0; head + bytes + 2 * PAGE];
        let to_page = memory.as_ptr().align_offset(PAGE).min(PAGE);
        Self { memory, start: to_page + PAGE - head }
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..).unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..).unwrap_or_default()
    }
}

/// A worker's buffers.
#[derive(Debug)]
pub(crate) struct Desk {
    input: Buffer,
    output: Buffer,
}

impl Desk {
    pub(crate) fn new() -> Self {
        // The kernel refuses readers whose buffer could not take the largest WRITE.
        let bytes = MOST_BYTES as usize + PAGE;
        Self { input: Buffer::new(WRITE_HEADER, bytes), output: Buffer::new(OUT_HEADER, bytes) }
    }

    /// Where a request is read into.
    pub(crate) fn input(&mut self) -> &mut [u8] {
        self.input.bytes_mut()
    }

    /// The request of `length` bytes.
    pub(crate) fn request(&self, length: usize) -> Option<(Request<'_>, Reader<'_>)> {
        Request::parse(self.input.bytes().get(..length)?)
    }

    /// Answers the request of `length` bytes.
    pub(crate) fn serve<F: Filesystem>(
        &mut self,
        filesystem: &F,
        statistics: &Statistics,
        channel: &Channel,
        length: usize,
        came: Came,
    ) {
        let bytes = self.input.bytes().get(..length).unwrap_or_default();
        let output = self.output.bytes_mut();
        let Some((request, body)) = Request::parse(bytes) else {
            log::error!("{length} bytes from the kernel that are no request");
            let mut unique = Reader(bytes);
            if let Some(unique) = unique.skip(8).and_then(|()| unique.u64()).filter(|_| length >= IN_HEADER) {
                send(channel, came, output, 0, -Errno::IO.raw_os_error(), unique);
            }
            return;
        };
        statistics.count(request.opcode);
        let reply = {
            let into = output.get_mut(OUT_HEADER..).unwrap_or_default();
            let handler = AssertUnwindSafe(|| answer(filesystem, &request, body, into, statistics));
            catch_unwind(handler).unwrap_or_else(|_| {
                statistics.faults.fetch_add(1, Relaxed);
                log::error!("operation {}: a fault of ours, answered with an input/output error", request.opcode);
                Reply::Error(Errno::IO)
            })
        };
        match reply {
            Reply::None => {}
            Reply::Error(errno) => {
                statistics.errors.fetch_add(1, Relaxed);
                send(channel, came, output, 0, -errno.raw_os_error(), request.unique);
            }
            Reply::Body(length) => {
                if !send(channel, came, output, length, 0, request.unique) {
                    let body = output.get(OUT_HEADER..OUT_HEADER + length).unwrap_or_default();
                    let handler = AssertUnwindSafe(|| take_back(filesystem, &request, body));
                    let _ = catch_unwind(handler);
                }
            }
        }
    }

    /// Answers INIT.
    pub(crate) fn send_init(&mut self, channel: &Channel, unique: u64, put: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let output = self.output.bytes_mut();
        let length = put(output.get_mut(OUT_HEADER..).unwrap_or_default());
        send(channel, Came::Awaited, output, length, 0, unique)
    }

    /// Refuses INIT.
    pub(crate) fn refuse(&mut self, channel: &Channel, unique: u64, errno: Errno) {
        send(channel, Came::Awaited, self.output.bytes_mut(), 0, -errno.raw_os_error(), unique);
    }
}

/// Sends the answer whose body is in `output` already; `false` where nobody wants it any more.
fn send(channel: &Channel, came: Came, output: &mut [u8], length: usize, code: i32, unique: u64) -> bool {
    let Some(message) = output.get_mut(..OUT_HEADER + length) else { return false };
    put_head(message, OUT_HEADER + length, code, unique);
    match channel.send(came, message) {
        Ok(()) => true,
        Err(e) => {
            // ENOENT: its caller was killed. ENODEV: unmounted.
            if !matches!(e, Errno::NOENT | Errno::NODEV | Errno::CONNABORTED) {
                log::error!("answer request {unique}: {e}");
            }
            false
        }
    }
}
