//! Files without a name, for what must be read twice and can be read once only. Nothing of them is left behind, whatever
//! happens to us: the kernel frees them with the last descriptor.

use crate::compression::budget::Busy;
use crate::compression::{self, Compression, zstd::Refused};
use crate::error::{Error, Kind, Result, system};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// A new nameless file on the file system of `folder`, to write and to read.
pub fn nameless_file(folder: &Path) -> Result<File> {
    let fail = |e: Errno| system("make a temporary file in", folder.display(), e);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::open(folder, flags | OFlags::TMPFILE, mode) {
        Ok(fd) => return Ok(File::from(fd)),
        // File systems without O_TMPFILE say one of these.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
        Err(e) => return Err(fail(e)),
    }
    for _ in 0..100 {
        let path = folder.join(crate::stage::temporary_name());
        match rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
            Ok(fd) => {
                rustix::fs::unlink(&path).map_err(fail)?;
                return Ok(File::from(fd));
            }
            Err(Errno::EXIST) => {}
            Err(e) => return Err(fail(e)),
        }
    }
    Err(fail(Errno::EXIST))
}

/// `file` itself if it is a plain tar that can be sought in, else its unpacked contents in a nameless file in `folder`.
pub(super) fn seekable_tar(mut file: File, name: &str, folder: &Path) -> Result<File> {
    let can_seek = file.seek(SeekFrom::Start(0)).is_ok();
    let mut start = Vec::new();
    (&mut file)
        .take(compression::LOOKAHEAD_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(|e| system("read", name, e))?;
    let compression = compression::recognise(&start).map_err(|unknown| {
        let error = unknown.fault().in_layer(name);
        Error { op: "", ..error }
    })?;
    if can_seek && compression == Compression::None {
        return Ok(file);
    }
    let packed = BufReader::with_capacity(128 << 10, Cursor::new(start).chain(file));
    let mut spool = nameless_file(folder)?;
    let _busy = Busy::layer();
    let unpacked = compression::unpacked(compression, packed, true).and_then(|mut reader| {
        let mut buffer = BufReader::with_capacity(256 << 10, &mut reader);
        loop {
            let bytes = buffer.fill_buf()?;
            if bytes.is_empty() {
                return Ok(Ok(()));
            }
            if let Err(e) = io::Write::write_all(&mut spool, bytes) {
                return Ok(Err(e));
            }
            let count = bytes.len();
            buffer.consume(count);
        }
    });
    match unpacked {
        Ok(Ok(())) => Ok(spool),
        Ok(Err(e)) => Err(system("write a temporary file in", folder.display(), e)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(Error::new(Kind::Truncated, "", name)
            .because("is cut short: its packed stream ends too early")
            .hint("fetch or save it again")),
        Err(e) => Err(match Refused::of(&e) {
            Some(refused) => Error::new(Kind::Unsupported, "", name)
                .because(format!("is not unpacked: {refused}"))
                .hint(refused.hint),
            None => Error::new(Kind::Corrupt, "", name)
                .because(format!("cannot be unpacked: {e}"))
                .hint("fetch or save it again"),
        }),
    }
}
