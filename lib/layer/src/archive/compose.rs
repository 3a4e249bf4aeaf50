//! One entry out of its header and what stood before it.

use super::entry::{Entry, EntryKind, Time};
use super::header::{Dialect, Header};
use super::pax::{Pax, several_volumes};
use super::refusal::Refusal;
use super::sparse::Form;
use crate::error::{Fault, shown};

/// The headers before an entry that speak of it.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// GNU's `L` and `K`, of each the last.
    pub(super) long_name: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
    /// The PAX header, with what the global ones say.
    pub(super) pax: Option<Pax>,
}

/// An entry, and if it has holes the size of the file and where the map is.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) entry: Entry,
    pub(super) form: Option<(u64, Form)>,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.pax.is_none()
    }

    /// Before a long name of `size` bytes.
    pub(super) fn check_long(&self, size: u64) -> Result<(), Refusal> {
        match self.pax.as_ref().and_then(|pax| pax.size) {
            Some(other) if other != size => Err(Refusal::disputed(
                format_args!("a PAX size of {other} before a long name of {size} bytes"),
                "most apply it to the entry",
                "some to the name",
            )),
            _ => Ok(()),
        }
    }

    /// Before a PAX header.
    pub(super) fn check_pax(&self) -> Result<(), Refusal> {
        if self.pax.is_none() {
            return Ok(());
        }
        Err(Refusal::disputed("two PAX headers before one entry", "Go and GNU tar read the last", "bsdtar both"))
    }

    /// Before what is no part of an entry.
    pub(super) fn check_nothing(&self, what: &str) -> Result<(), Refusal> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Refusal::disputed(
            format_args!("{what} between an entry and its extended headers"),
            "GNU tar keeps them for the entry",
            "Go does not",
        ))
    }
}

/// What `header` and all before it say together.
pub(super) fn compose(header: &Header<'_>, ahead: Ahead, global: &Pax, pax_seen: bool) -> Result<Composed, Fault> {
    let Ahead { long_name, long_link, pax } = ahead;
    let mut pax = pax.unwrap_or_else(|| global.clone());
    let path = path(header, &mut pax, long_name).map_err(|refusal| refusal.of(header.name()))?;
    match compose_named(header, long_link, pax, pax_seen, &path) {
        Ok((entry, form)) => Ok(Composed { entry: Entry { path, ..entry }, form }),
        Err(refusal) => Err(refusal.of(&path)),
    }
}

fn path(header: &Header<'_>, pax: &mut Pax, long_name: Option<Vec<u8>>) -> Result<Vec<u8>, Refusal> {
    // The name of a file with holes: its `path` is one that only those see who cannot read it.
    let sparse_name = pax.sparse.as_mut().and_then(|sparse| sparse.name.take());
    let path = match (sparse_name.or(pax.path.take()), long_name) {
        (Some(pax), Some(long)) => one_of(pax, long, "path")?,
        (Some(name), None) => name,
        (None, Some(long)) => not_empty(long, "name")?,
        (None, None) => header.path()?,
    };
    if path.is_empty() {
        return Err(Refusal::corrupt("an entry without a proper name"));
    }
    Ok(path)
}

/// The PAX name, if the GNU one is the same.
fn one_of(pax: Vec<u8>, long: Vec<u8>, what: &str) -> Result<Vec<u8>, Refusal> {
    if pax == long {
        return Ok(pax);
    }
    Err(Refusal::disputed(
        format_args!("a GNU long name and a PAX {what} that differ"),
        format_args!("Go reads {}", shown(&long)),
        format_args!("GNU tar {}", shown(&pax)),
    ))
}

fn not_empty(long: Vec<u8>, what: &str) -> Result<Vec<u8>, Refusal> {
    if long.is_empty() {
        let what = format!("an empty GNU long {what}");
        return Err(Refusal::disputed(what, "Go reads the one in the header", "GNU tar none"));
    }
    Ok(long)
}

fn compose_named(
    header: &Header<'_>,
    long_link: Option<Vec<u8>>,
    mut pax: Pax,
    pax_seen: bool,
    path: &[u8],
) -> Result<(Entry, Option<(u64, Form)>), Refusal> {
    let kind = kind(header, path)?;
    let in_header = header.size()?;
    let size = size(header, kind, in_header, &pax, pax_seen)?;
    let form = form(header, kind, &mut pax, size)?;
    let link = match kind {
        EntryKind::HardLink | EntryKind::Symlink => link(header, &mut pax, long_link)?,
        _ => Vec::new(),
    };
    pax.settle_acls(kind == EntryKind::Directory)?;
    let entry = Entry {
        path: Vec::new(),
        kind,
        link,
        mode: header.mode()?,
        uid: pax.uid.map_or_else(|| header.uid(), Ok)?,
        gid: pax.gid.map_or_else(|| header.gid(), Ok)?,
        mtime: match pax.mtime {
            Some(mtime) => mtime,
            None => Time { seconds: header.mtime()?, nanoseconds: 0 },
        },
        size,
        sparse: None,
        xattrs: pax.xattrs,
        uname: pax.uname.unwrap_or_else(|| header.uname().to_vec()),
        gname: pax.gname.unwrap_or_else(|| header.gname().to_vec()),
        left_out: pax.left_out,
    };
    Ok((entry, form))
}

fn kind(header: &Header<'_>, path: &[u8]) -> Result<EntryKind, Refusal> {
    let slash = path.ends_with(b"/");
    Ok(match header.kind() {
        // Before ustar there was no other way to say that it is a directory.
        0 if slash => EntryKind::Directory,
        b'0' | b'7' | b'S' if slash => {
            return Err(Refusal::disputed(
                "a regular file with / behind its name",
                "Go reads a file",
                "GNU tar a directory",
            ));
        }
        0 | b'0' | b'7' | b'S' => EntryKind::File,
        b'1' => EntryKind::HardLink,
        b'2' => EntryKind::Symlink,
        b'3' => header.device().map(|(major, minor)| EntryKind::CharDevice(major, minor))?,
        b'4' => header.device().map(|(major, minor)| EntryKind::BlockDevice(major, minor))?,
        b'5' | b'D' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        b'M' => return Err(several_volumes()),
        b'N' => return Err(Refusal::unsupported("GNU tar's old list of long names (type N)", PACK_AGAIN)),
        b'X' => return Err(Refusal::unsupported("Solaris' extended header (type X)", PACK_AGAIN)),
        b'A' => return Err(Refusal::unsupported("Solaris' ACL (type A)", PACK_AGAIN)),
        b'E' => return Err(Refusal::unsupported("Solaris' extended attributes (type E)", PACK_AGAIN)),
        other => {
            let text = format!("entries of type '{}' are not read", shown(&[other]));
            return Err(Refusal::unsupported(text, PACK_AGAIN));
        }
    })
}

const PACK_AGAIN: &str = "programs differ on what that is; pack it again as ustar, PAX or GNU";

/// How many bytes follow.
fn size(header: &Header<'_>, kind: EntryKind, in_header: u64, pax: &Pax, pax_seen: bool) -> Result<u64, Refusal> {
    let size = pax.size.unwrap_or(in_header);
    if kind == EntryKind::File || header.kind() == b'D' {
        return Ok(size);
    }
    let what = match kind {
        EntryKind::Directory => "directory",
        EntryKind::HardLink => "hard link",
        EntryKind::Symlink => "symbolic link",
        EntryKind::Fifo => "pipe",
        _ => "device",
    };
    let dispute = |what: &str, how: &str, who: &str| {
        Refusal::disputed(
            format_args!("a {what} with a {how}size of {size}"),
            "Go reads no data behind it",
            format_args!("{who} that much"),
        )
    };
    match (kind, size) {
        (_, 0) => Ok(0),
        _ if pax.size.is_some() => Err(dispute(what, "PAX ", "others")),
        (EntryKind::Directory, _) if header.kind() != 0 => Ok(0),
        (EntryKind::HardLink, _) if pax_seen => Err(dispute(what, "", "bsdtar")),
        // ustar says that the size is the file's and that nothing follows.
        (EntryKind::HardLink, _) => Ok(0),
        _ => Err(dispute(what, "", "tar -t")),
    }
}

/// Whether it has holes, and how that is said.
fn form(header: &Header<'_>, kind: EntryKind, pax: &mut Pax, size: u64) -> Result<Option<(u64, Form)>, Refusal> {
    let old = header.kind() == b'S';
    if old && (header.dialect() != Dialect::Gnu || pax.real_size.is_some()) {
        return Err(Refusal::unsupported("star's own form of a file with holes", PACK_AGAIN));
    }
    if let Some(real_size) = pax.real_size
        && kind == EntryKind::File
        && real_size != size
    {
        return Err(Refusal::unsupported("star's own form of a file with holes or on several volumes", PACK_AGAIN));
    }
    match (old, pax.sparse.take()) {
        (true, None) => Ok(Some((header.real_size()?, Form::Old))),
        (false, None) => Ok(None),
        (false, Some(records)) if matches!(header.kind(), 0 | b'0') => Ok(Some(records.form())),
        (_, Some(_)) => Err(Refusal::corrupt("a map of holes for what is no regular file")),
    }
}

fn link(header: &Header<'_>, pax: &mut Pax, long: Option<Vec<u8>>) -> Result<Vec<u8>, Refusal> {
    let link = match (pax.link.take(), long) {
        (Some(pax), Some(long)) => one_of(pax, long, "linkpath")?,
        (Some(link), None) => link,
        (None, Some(long)) => not_empty(long, "link")?,
        (None, None) => header.link().to_vec(),
    };
    if link.is_empty() {
        return Err(Refusal::corrupt("a link to nothing"));
    }
    Ok(link)
}
