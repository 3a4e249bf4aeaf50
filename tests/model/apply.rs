//! What the model answers to each operation: system calls as root makes them, in terms of [`super::tree`].

use super::acl;
use super::operation::{Allocation, Answer, How, NodeKind, Op, bytes};
use super::tree::{Body, Id, Model, Open, Result, Stream};
use rustix::io::Errno;

/// 240:7 as `st_rdev` shows it.
pub(crate) const DEVICE: u64 = 240 << 8 | 7;

/// A `security.capability` that grants cap_net_bind_service: version 2, permitted bit 10.
pub(crate) const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The value that an operation gives to the xattr `name`.
pub(crate) fn value(name: &str, length: usize, salt: u8) -> Vec<u8> {
    if name == "security.capability" { CAPABILITY.to_vec() } else { bytes(length, salt) }
}

impl Model {
    /// Does it, or says why not. Remounts and what else concerns the mount as a whole is [`super::run`]'s.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<Answer> {
        let result = self.attempt(op);
        if result.is_err() {
            // How far it came before it failed, and so what it copied up, is a driver's own affair.
            for path in op.paths() {
                for follow in [false, true] {
                    if let Ok(id) = self.look(path, follow)
                        && self.at(id).fragile.is_some()
                    {
                        self.get(id).unsure = true;
                    }
                }
            }
        }
        result
    }

    fn attempt(&mut self, op: &Op) -> Result<Answer> {
        let done = |()| Answer::Done;
        if self.keeps_set_id_otherwise(op) {
            return Ok(Answer::Skipped);
        }
        match op {
            Op::Create { path, mode, length, salt } => {
                let id = self.make(path, Body::File(Vec::new()), *mode)?;
                if *length > 0 {
                    self.write(id, Some(0), &bytes(*length, *salt), false);
                }
                Ok(Answer::Done)
            }
            Op::Write { path, how, at, length, salt, lesser } => {
                let id = self.open_path(path, *how, false, true)?;
                self.write(id, (!how.append).then_some(*at), &bytes(*length, *salt), *lesser);
                Ok(Answer::Done)
            }
            Op::Truncate { path, size, lesser } => {
                let id = self.look(path, true)?;
                if self.at(id).is_folder() {
                    return Err(Errno::ISDIR);
                }
                self.content(id).ok_or(Errno::INVAL)?;
                self.resize(id, *size, *lesser);
                Ok(Answer::Done)
            }
            Op::Read { path } => {
                let id = self.open_path(path, How::default(), true, false)?;
                match &self.at(id).body {
                    Body::File(content) => Ok(Answer::Bytes(content.clone())),
                    Body::Folder { .. } => Err(Errno::ISDIR),
                    _ => Ok(Answer::Bytes(Vec::new())),
                }
            }
            Op::Mkdir { path, mode } => self.mkdir(path, *mode).map(done),
            Op::Rmdir { path } => self.rmdir(path).map(done),
            Op::Unlink { path } => self.unlink(path).map(done),
            Op::Rename { from, to, flag } => self.rename(from, to, *flag),
            Op::Link { from, to, follow } => self.link(from, to, *follow).map(done),
            Op::Symlink { path, target } => self.make(path, Body::Link(target.clone()), 0o777).map(|_| Answer::Done),
            Op::Mknod { path, node, mode } => self.mknod(path, *node, *mode).map(done),
            Op::Chmod { path, mode } => {
                let id = self.look(path, true)?;
                self.chmod(id, *mode);
                Ok(Answer::Done)
            }
            Op::Chown { path, uid, gid, follow } => {
                let id = self.look(path, *follow)?;
                self.chown(id, *uid, *gid);
                Ok(Answer::Done)
            }
            Op::Times { path, seconds, nanoseconds, follow } => {
                let id = self.look(path, *follow)?;
                self.set_time(id, (*seconds, *nanoseconds));
                Ok(Answer::Done)
            }
            Op::SetXattr { path, name, length, salt, flag } => {
                let id = self.look(path, false)?;
                self.set_xattr(id, name, value(name, *length, *salt), *flag).map(done)
            }
            Op::RemoveXattr { path, name } => {
                let id = self.look(path, false)?;
                self.remove_xattr(id, name).map(done)
            }
            Op::GetXattr { path, name } => {
                let id = self.look(path, false)?;
                self.get_xattr(id, name).map(Answer::Bytes)
            }
            Op::SetAcl { path, default, user, group, mask, other } => {
                let id = self.look(path, false)?;
                self.set_acl(id, *default, Some(acl::encoded(*user, *group, *mask, *other))).map(done)
            }
            Op::RemoveAcl { path, default } => {
                let id = self.look(path, false)?;
                if !self.at(id).is_link()
                    && !self.at(id).xattrs.contains_key(if *default { acl::DEFAULT } else { acl::ACCESS })
                {
                    // Removing what is not there is an error on a lower file and none on an upper one (ovl_set_or_remove_acl).
                    return Ok(Answer::Skipped);
                }
                self.set_acl(id, *default, None).map(done)
            }
            Op::List { path } => {
                let id = self.look(path, true)?;
                let entries = self.entries(id).ok_or(Errno::NOTDIR)?;
                Ok(Answer::Names(entries.iter().map(|(name, id)| (name.clone(), self.at(*id).kind())).collect()))
            }
            Op::Look { path } => self.look(path, false).map(|_| Answer::Done),
            Op::Open { slot, path, how, read, write } => {
                let id = self.open_path(path, *how, *read, *write)?;
                if !self.at(id).is_file() {
                    return Ok(Answer::Skipped);
                }
                self.hold(*slot, Open { id, read: *read, write: *write, append: how.append });
                Ok(Answer::Done)
            }
            Op::Tmpfile { slot, path, mode, exclusive } => {
                let id = self.nameless(path, *mode, *exclusive)?;
                self.hold(*slot, Open { id, read: true, write: true, append: false });
                Ok(Answer::Done)
            }
            Op::OpenFolder { slot, path } => {
                let folder = self.look(path, true)?;
                let names = self.entries(folder).ok_or(Errno::NOTDIR)?;
                let must: std::collections::BTreeSet<String> = names.keys().cloned().collect();
                self.close_folder(*slot);
                self.streams.insert(*slot, Stream { folder, may: must.clone(), must, seen: Default::default() });
                Ok(Answer::Done)
            }
            Op::CloseFolder { slot } => {
                self.close_folder(*slot);
                Ok(Answer::Done)
            }
            Op::Umask { mask } => {
                self.umask = *mask;
                Ok(Answer::Done)
            }
            _ => self.by_descriptor(op),
        }
    }

    /// Whether set-id bits would go where FUSE cannot know it; see the head of [`super::tree`].
    fn keeps_set_id_otherwise(&self, op: &Op) -> bool {
        let id = match op {
            Op::Write { path, lesser: true, .. } | Op::Truncate { path, lesser: true, .. } => {
                self.look(path, true).ok()
            }
            Op::WriteOpen { slot, lesser: true, .. } => self.open.get(slot).map(|open| open.id),
            _ => None,
        };
        let Some(id) = id.filter(|_| !self.kernel_serves) else { return false };
        let mode = self.at(id).mode;
        let open = self.open.values().any(|open| open.id == id);
        open && mode & 0o6000 != 0 || mode & 0o2010 == 0o2000
    }

    fn by_descriptor(&mut self, op: &Op) -> Result<Answer> {
        let Some(slot) = op.slots().first().copied().or(match op {
            Op::ReadOpen { slot, .. } | Op::Holes { slot } | Op::Close { slot } => Some(*slot),
            _ => None,
        }) else {
            return Ok(Answer::Skipped);
        };
        let Some(open) = self.open.get(&slot).cloned() else { return Ok(Answer::Skipped) };
        let id = open.id;
        // Nothing can be copied up that has no name any more.
        let lost = self.at(id).links == 0 && self.at(id).lower;
        let writable = if open.write { Ok(()) } else { Err(Errno::BADF) };
        match op {
            Op::LinkOpen { path, .. } => {
                if self.at(id).links == 0 && !self.is_linkable(slot) {
                    self.free(path)?;
                    return Err(Errno::NOENT);
                }
                self.link_object(id, path)?;
            }
            Op::ReadOpen { at, length, .. } => {
                if !open.read {
                    return Err(Errno::BADF);
                }
                let content = self.content(id).ok_or(Errno::INVAL)?;
                let start = content.len().min(*at as usize);
                return Ok(Answer::Bytes(content[start..content.len().min(start + length)].to_vec()));
            }
            Op::WriteOpen { at, length, salt, lesser, .. } => {
                writable?;
                self.write(id, (!open.append).then_some(*at), &bytes(*length, *salt), *lesser);
            }
            Op::TruncateOpen { size, .. } => {
                writable.map_err(|_| Errno::INVAL)?;
                self.resize(id, *size, false);
            }
            Op::ChmodOpen { .. } | Op::ChownOpen { .. } | Op::TimesOpen { .. } | Op::SetXattrOpen { .. } if lost => {
                return Ok(Answer::Skipped);
            }
            Op::ChmodOpen { mode, .. } => self.chmod(id, *mode),
            Op::ChownOpen { uid, gid, .. } => self.chown(id, *uid, *gid),
            Op::TimesOpen { seconds, nanoseconds, .. } => self.set_time(id, (*seconds, *nanoseconds)),
            Op::SetXattrOpen { name, length, salt, .. } => {
                self.set_xattr(id, name, value(name, *length, *salt), super::operation::XattrFlag::Any)?;
            }
            Op::Allocate { what, at, length, .. } => {
                writable?;
                self.perhaps_touched(id, false);
                let content = self.content_mut(id);
                let end = (at + length) as usize;
                match what {
                    Allocation::Grow => content.resize(content.len().max(end), 0),
                    Allocation::Keep => {}
                    Allocation::Punch => {
                        let end = end.min(content.len());
                        let start = end.min(*at as usize);
                        content[start..end].fill(0);
                    }
                }
            }
            Op::CopyRange { to, at, to_at, length, .. } => return self.copy_range(&open, *to, *at, *to_at, *length),
            Op::MapWrite { at, length, salt, .. } => {
                if !open.read || !open.write {
                    return Err(Errno::ACCESS);
                }
                let size = self.content(id).map_or(0, Vec::len);
                // Without root the server's own write, which brings the page to the file, takes set-id bits; a store does not.
                let loses = !self.rules.root && self.at(id).mode & 0o6000 != 0;
                if size == 0 || loses {
                    return Ok(Answer::Skipped);
                }
                let start = *at as usize % size;
                let text = bytes((*length).min(size - start), *salt);
                let kept = (self.at(id).mode, self.at(id).xattrs.clone());
                self.perhaps_touched(id, false);
                // A store to memory asks nobody.
                (self.get(id).mode, self.get(id).xattrs) = kept;
                self.content_mut(id)[start..start + text.len()].copy_from_slice(&text);
            }
            Op::Close { .. } => self.close(slot),
            _ => {}
        }
        Ok(Answer::Done)
    }

    fn copy_range(&mut self, from: &Open, to: u8, at: u64, to_at: u64, length: usize) -> Result<Answer> {
        let Some(target) = self.open.get(&to).cloned() else { return Ok(Answer::Skipped) };
        if !from.read || !target.write || target.append {
            return Err(Errno::BADF);
        }
        let source = self.content(from.id).ok_or(Errno::INVAL)?;
        let start = source.len().min(at as usize);
        let piece = source[start..source.len().min(start + length)].to_vec();
        let count = piece.len() as u64;
        if from.id == target.id && at + count > to_at && at < to_at + count {
            return Err(Errno::INVAL);
        }
        // At the source's end nothing is asked of the file system.
        if !piece.is_empty() {
            self.write(target.id, Some(to_at), &piece, false);
        }
        Ok(Answer::Count(piece.len()))
    }

    /// Whether a file without a name may get one: it was made by O_TMPFILE, without O_EXCL.
    pub(crate) fn is_linkable(&self, slot: u8) -> bool {
        self.linkable.contains(&self.open[&slot].id)
    }

    fn mknod(&mut self, path: &str, node: NodeKind, mode: u32) -> Result<()> {
        self.free(path)?;
        let body = match node {
            NodeKind::Fifo => Body::Fifo,
            NodeKind::Socket => Body::Socket,
            NodeKind::Regular => Body::File(Vec::new()),
            NodeKind::Whiteout => return Err(Errno::PERM),
            NodeKind::Char | NodeKind::Block if !self.rules.root => return Err(Errno::PERM),
            NodeKind::Char => Body::Char(DEVICE),
            NodeKind::Block => Body::Block(DEVICE),
        };
        self.make(path, body, mode).map(drop)
    }

    /// open(2), as far as the file is concerned.
    fn open_path(&mut self, path: &str, how: How, read: bool, write: bool) -> Result<Id> {
        let found = self.find(path, !how.nofollow)?;
        let Some(id) = found.object else {
            if !how.create {
                return Err(Errno::NOENT);
            }
            let id = self.born(found.parent, Body::File(Vec::new()), 0o666);
            self.put(found.parent, &found.name, id);
            return Ok(id);
        };
        match &self.at(id).body {
            Body::Link(_) => return Err(Errno::LOOP),
            Body::Folder { .. } if write || how.create || how.truncate => return Err(Errno::ISDIR),
            Body::Folder { .. } => return Ok(id),
            Body::Socket | Body::Char(_) | Body::Block(_) => return Err(Errno::NXIO),
            // Without a reader, and not waiting for one.
            Body::Fifo if write && !read => return Err(Errno::NXIO),
            Body::Fifo => return Ok(id),
            Body::File(_) => {}
        }
        if how.truncate {
            self.resize(id, 0, false);
        } else if write {
            self.raise_content(id);
        }
        Ok(id)
    }
}
