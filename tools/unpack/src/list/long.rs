//! A line as `tar -tv --numeric-owner` prints it (GNU tar, list.c, `simple_print_header`).

use super::names;
use cli::local_time;
use layer::archive::{Entry, EntryKind};
use std::io::Write;

/// How wide the columns are by now: they only ever grow, so that nothing has to be known beforehand.
#[derive(Debug)]
pub(super) struct Long {
    /// Owner, group and size together.
    owner_and_size: usize,
    time: usize,
}

impl Default for Long {
    fn default() -> Self {
        Self { owner_and_size: 19, time: "YYYY-MM-DD HH:MM".len() }
    }
}

impl Long {
    /// Appends the line of `entry` to `out`.
    pub(super) fn line(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let owner = format!("{}/{}", entry.uid, entry.gid);
        let size = match entry.kind {
            EntryKind::CharDevice(major, minor) | EntryKind::BlockDevice(major, minor) => format!("{major},{minor}"),
            _ => entry.sparse.as_ref().map_or(entry.size, |s| s.real_size).to_string(),
        };
        self.owner_and_size = self.owner_and_size.max(owner.len() + 1 + size.len());
        let room = self.owner_and_size - owner.len() - 1;
        let time = time(entry.mtime.seconds);
        self.time = self.time.max(time.len());
        let width = self.time;
        // Writing to memory does not fail.
        let _ = write!(out, "{} {owner} {size:>room$} {time:<width$} ", mode(entry));
        names::escape(&entry.path, out);
        match entry.kind {
            EntryKind::Symlink => out.extend_from_slice(b" -> "),
            EntryKind::HardLink => out.extend_from_slice(b" link to "),
            _ => {}
        }
        names::escape(&entry.link, out);
        out.push(b'\n');
    }
}

/// `YYYY-MM-DD HH:MM` where the user is; the seconds since 1970 where there is no such year.
fn time(seconds: i64) -> String {
    match local_time(seconds) {
        Some(t) => format!("{:04}-{:02}-{:02} {:02}:{:02}", t.year, t.month, t.day, t.hour, t.minute),
        None => seconds.to_string(),
    }
}

fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::HardLink => 'h',
        EntryKind::CharDevice(..) => 'c',
        EntryKind::BlockDevice(..) => 'b',
        EntryKind::Fifo => 'p',
    };
    let mut text = String::from(kind);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}
