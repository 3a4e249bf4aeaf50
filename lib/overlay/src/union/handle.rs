//! Open files: reading and writing below, and what a descriptor shows after copy-up.
//!
//! A file opened for reading while it lies below goes on showing the one file of that name: once it is copied up, the
//! next read opens the upper one, as overlayfs does. Files opened for writing are opened for reading too, since the
//! kernel's write-back cache fills pages before it writes them; O_APPEND is the kernel's business, which sends offsets.

use super::Stack;
use super::copy_up::Content;
use super::lock::{read, write};
use super::node::{Node, STORED, UPPER};
use crate::layer::{Answer, Errno, stat_of};
use rustix::fs::{FallocateFlags, FileType, OFlags, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

/// An open regular file.
#[derive(Debug)]
pub struct OpenFile {
    /// What was opened.
    pub node: Arc<Node>,
    pub(crate) file: RwLock<Arc<OwnedFd>>,
    /// Whether `file` is the upper one.
    pub(crate) upper: AtomicBool,
    /// Opened for writing.
    pub(crate) writes: bool,
}

impl OpenFile {
    /// `node.opens` was raised before, so that a removal under way leaves the file within reach.
    pub(crate) fn new(node: Arc<Node>, file: OwnedFd, upper: bool, writes: bool) -> Self {
        if writes {
            node.writers.fetch_add(1, Ordering::AcqRel);
        }
        Self { node, file: RwLock::new(Arc::new(file)), upper: AtomicBool::new(upper), writes }
    }

    /// The descriptor it has now, and whether it is the upper file's.
    pub fn descriptor(&self) -> (Arc<OwnedFd>, bool) {
        let file = read(&self.file);
        (file.clone(), self.upper.load(Ordering::Acquire))
    }

    /// Type and permission bits.
    pub fn mode(&self) -> Answer<u32> {
        Ok(stat_of(self.descriptor().0.as_fd())?.mode)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.writes {
            self.node.writers.fetch_sub(1, Ordering::AcqRel);
        }
        self.node.opens.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Stack {
    /// Opens a regular file. `truncate`: its content goes at once, and `drop_set_id` says that the caller may not keep
    /// set-id bits.
    pub fn open_file(&self, node: &Arc<Node>, writes: bool, truncate: bool, drop_set_id: bool) -> Answer<OpenFile> {
        match node.kind {
            FileType::RegularFile => {}
            FileType::Directory => return Err(Errno::ISDIR),
            _ => return Err(Errno::NXIO),
        }
        if writes || truncate {
            self.raise(node, if truncate { Content::First(0) } else { Content::Whole })?;
        }
        node.opens.fetch_add(1, Ordering::AcqRel);
        let opened = self.open_seat(node, writes || truncate);
        let (file, upper) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                node.opens.fetch_sub(1, Ordering::AcqRel);
                return Err(e);
            }
        };
        let open = OpenFile::new(node.clone(), file, upper, writes || truncate);
        if truncate {
            let file = read(&open.file).clone();
            rustix::fs::ftruncate(&*file, 0)?;
            if drop_set_id {
                self.drop_set_id(file.as_fd())?;
            }
        }
        Ok(open)
    }

    /// Opens what `node` is made of now.
    fn open_seat(&self, node: &Node, writes: bool) -> Answer<(OwnedFd, bool)> {
        for _ in 0..64 {
            let seat = node.seat().ok_or(Errno::ISDIR)?;
            if writes || seat.orphan.is_some() {
                if writes && seat.layer != UPPER {
                    return Err(Errno::ROFS);
                }
                let spot = self.spot(node)?;
                let flags = if writes { OFlags::RDWR } else { OFlags::RDONLY };
                return Ok((self.reopen(spot.fd()?, flags | OFlags::NONBLOCK)?, seat.layer == UPPER));
            }
            if let Some(data) = &seat.data {
                // The layer of the content is below, where nothing changes: no second try.
                let file = match self.layer_root(data.layer)?.open(data.path.as_os_str()) {
                    Ok(file) => Some(file),
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
                    Err(e) => return Err(e),
                };
                let is = |file: &OwnedFd| stat_of(file.as_fd()).is_ok_and(|stat| stat.identity() == data.identity);
                let Some(file) = file.filter(is) else {
                    log::error!("{}: content (overlay.metacopy) that is not there any more", data.path.display());
                    return Err(Errno::IO);
                };
                return Ok((file, false));
            }
            let (above, name) = self.way(node, &seat)?.ok_or(Errno::STALE)?;
            let file = match above.open(&name) {
                Ok(file) => file,
                Err(Errno::NOENT) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(e) => return Err(e),
            };
            let stat = stat_of(file.as_fd())?;
            if stat.identity() == seat.identity {
                self.refuse_metacopy(&file, &stat)?;
                return Ok((file, seat.layer == UPPER));
            }
            std::thread::yield_now();
        }
        Err(Errno::STALE)
    }

    /// A file whose content lies in a layer below it (`overlay.metacopy`) would read as zeros: better not at all.
    pub(crate) fn refuse_metacopy(&self, file: &OwnedFd, stat: &crate::layer::Stat) -> Answer<()> {
        if stat.size_bytes == 0 || stat.blocks != 0 {
            return Ok(());
        }
        if rustix::fs::fgetxattr(file, self.xattrs.metacopy(), &mut [0_u8; 0]).is_ok() {
            log::error!("inode {}: its content is in no layer below (overlay.metacopy)", stat.inode);
            return Err(Errno::IO);
        }
        Ok(())
    }

    /// The descriptor to use now: the upper file's, once there is one.
    pub(crate) fn current(&self, open: &OpenFile) -> Answer<Arc<OwnedFd>> {
        if !open.upper.load(Ordering::Acquire) && open.node.has_upper_content() {
            let mut file = write(&open.file);
            if !open.upper.load(Ordering::Acquire)
                && let Ok((fresh, true)) = self.open_seat(&open.node, false)
            {
                *file = Arc::new(fresh);
                open.upper.store(true, Ordering::Release);
            }
        }
        Ok(read(&open.file).clone())
    }

    /// Calls `with` with all that a lower file holds, once, where it is no more than `buffer` takes; the file cannot be
    /// copied up meanwhile. Nothing happens where that would have to be waited for.
    pub fn show_once(&self, open: &OpenFile, buffer: &mut [u8], with: impl FnOnce(&[u8])) {
        let node = &open.node;
        if node.hinted(STORED) {
            return;
        }
        let Ok(_turn) = node.turn.try_lock() else { return };
        if node.has_upper_content() {
            return;
        }
        node.hint(STORED);
        let Ok(length) = rustix::io::pread(&*read(&open.file).clone(), &mut *buffer, 0) else { return };
        if let Some(content) = buffer.get(..length).filter(|_| (1..buffer.len()).contains(&length)) {
            with(content);
        }
    }

    /// Reads at `offset` into `buffer`, less only at the end of the file.
    pub fn read(&self, open: &OpenFile, buffer: &mut [u8], offset: u64) -> Answer<usize> {
        let file = self.current(open)?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|r| !r.is_empty()) {
            match rustix::io::pread(&*file, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(Errno::INTR) => {}
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Writes all of `data` at `offset`. `drop_set_id`: as one who may not keep set-id bits.
    pub fn write(&self, open: &OpenFile, data: &[u8], offset: u64, drop_set_id: bool) -> Answer<usize> {
        let file = read(&open.file).clone();
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|r| !r.is_empty()) {
            match rustix::io::pwrite(&*file, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(Errno::INTR) => {}
                Err(_) if done > 0 => break,
                Err(e) => return Err(self.distrust(e)),
            }
        }
        if drop_set_id {
            self.drop_set_id(file.as_fd())?;
        }
        Ok(done)
    }

    /// Brings the file to the disk, unless the overlay is volatile.
    pub fn sync(&self, open: &OpenFile, data_only: bool) -> Answer<()> {
        if self.volatile || !open.upper.load(Ordering::Acquire) {
            return Ok(());
        }
        let file = read(&open.file).clone();
        if data_only { rustix::fs::fdatasync(&*file) } else { rustix::fs::fsync(&*file) }
    }

    /// An error that means that something was lost, which a volatile overlay is to remember.
    fn distrust(&self, error: Errno) -> Errno {
        if error == Errno::IO
            && let Some(work) = &self.work
        {
            work.distrust();
        }
        error
    }

    /// Brings a directory to the disk, unless the overlay is volatile.
    pub fn sync_folder(&self, node: &Node) -> Answer<()> {
        if self.volatile {
            return Ok(());
        }
        match self.upper_folder(node)? {
            Some(folder) => rustix::fs::fsync(folder.descriptor().ok_or(Errno::INVAL)?),
            None => Ok(()),
        }
    }

    /// Brings everything written to the disk, unless the overlay is volatile.
    pub fn sync_all(&self) -> Answer<()> {
        if self.volatile || self.is_read_only() {
            return Ok(());
        }
        let upper = self.layer_root(UPPER)?;
        rustix::fs::syncfs(upper.descriptor().ok_or(Errno::IO)?).map_err(|e| self.distrust(e))
    }

    /// fallocate(2) with its mode bits.
    pub fn allocate(&self, open: &OpenFile, mode: u32, offset: u64, length: u64, drop_set_id: bool) -> Answer<()> {
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
        let file = read(&open.file).clone();
        rustix::fs::fallocate(&*file, mode, offset, length)?;
        if drop_set_id { self.drop_set_id(file.as_fd()) } else { Ok(()) }
    }

    /// The next data (`hole` false) or hole at or after `offset`.
    pub fn seek(&self, open: &OpenFile, offset: u64, hole: bool) -> Answer<u64> {
        let file = self.current(open)?;
        // A description of its own: the position is shared by all who read here, but nobody uses it.
        rustix::fs::seek(&*file, if hole { SeekFrom::Hole(offset) } else { SeekFrom::Data(offset) })
    }

    /// copy_file_range(2) between two open files.
    pub fn copy_range(
        &self,
        from: &OpenFile,
        from_offset: u64,
        to: &OpenFile,
        to_offset: u64,
        length: usize,
    ) -> Answer<usize> {
        let source = self.current(from)?;
        let target = read(&to.file).clone();
        let (mut from_offset, mut to_offset) = (from_offset, to_offset);
        rustix::fs::copy_file_range(&*source, Some(&mut from_offset), &*target, Some(&mut to_offset), length)
    }
}
