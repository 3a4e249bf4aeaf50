//! The records of a PAX extended header (POSIX.1-2001): `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record.
//!
//! Values are bytes and may hold anything, newlines too: only the length ends a record. An empty value takes back what a
//! global header said. Who else adds keywords, and what becomes of them:
//!
//! - GNU tar: `GNU.sparse.*` ([`sparse`](super::sparse)), `GNU.volume.*` (a label is passed over, a part of an archive on
//!   several volumes refused), `GNU.dumpdir` (passed over: what an incremental archive would remove)
//! - star: `SCHILY.xattr.*`, `SCHILY.acl.*` ([`acl`](super::acl)), `SCHILY.realsize`, `SCHILY.filetype`; `dev`, `ino`, `nlink` and
//!   `devmajor` say nothing a directory can hold
//! - libarchive: `LIBARCHIVE.xattr.*` ([`encoded`](super::encoded)), `SCHILY.fflags`
//! - Red Hat's tar: `RHT.security.selinux`
//!
//! `comment`, `atime`, `ctime`, `hdrcharset` (names are bytes here) and all that nobody knows are passed over, as by everyone.
//!
//! Memory is bounded by the header's own size, and for global headers by [`GLOBAL_LIMIT`]: they are copied for each entry.

use super::acl;
use super::encoded;
use super::entry::Time;
use super::refusal::Refusal;
use super::sparse::Records;
use crate::error::shown;

/// What the extended headers before an entry say about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) uname: Option<Vec<u8>>,
    pub(super) gname: Option<Vec<u8>>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// ACLs as text, for the file and for what is made in a directory.
    pub(super) acl_access: Option<Vec<u8>>,
    pub(super) acl_default: Option<Vec<u8>>,
    pub(super) sparse: Option<Box<Records>>,
    /// star: the size of the file where that is not the size of the data.
    pub(super) real_size: Option<u64>,
    pub(super) left_out: Vec<String>,
}

/// How much is kept of all global headers together.
const GLOBAL_LIMIT: usize = 4 << 10;
/// The longest list of names that Linux gives of a file's xattrs (XATTR_LIST_MAX): no file can have more.
const NAMES_LIMIT: usize = 64 << 10;
/// How many lines are kept about one entry.
pub(super) const LEFT_OUT_LINES: usize = 32;

impl Pax {
    /// Reads all records of one header on top of what is known.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let (key, value, rest) =
                record(bytes).ok_or_else(|| Refusal::corrupt("a PAX record that does not add up"))?;
            self.set(key, value)?;
            bytes = rest;
        }
        if let Some(sparse) = &self.sparse {
            sparse.whole()?;
        }
        Ok(())
    }

    /// Reads a global header.
    pub(super) fn read_global(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.read(bytes)?;
        if self.path.is_some() || self.link.is_some() || self.size.is_some() || self.sparse.is_some() {
            return Err(Refusal::disputed(
                "a global PAX header that names one entry",
                "GNU tar applies it to all that follow",
                "Go to none",
            ));
        }
        let of = |text: &Option<Vec<u8>>| text.as_ref().map_or(0, Vec::len);
        let xattrs: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let kept = xattrs + of(&self.acl_access) + of(&self.acl_default) + of(&self.uname) + of(&self.gname);
        if kept > GLOBAL_LIMIT {
            return Err(Refusal::corrupt(format_args!("{kept} bytes of global PAX headers")));
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let bad = || Refusal::corrupt(format_args!("bad {} in its PAX header", shown(key)));
        let number = || if value.is_empty() { Ok(None) } else { decimal(value).map(Some).ok_or_else(bad) };
        let text = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => once(&mut self.path, key, named(key, value)?.to_vec())?,
            b"linkpath" => once(&mut self.link, key, named(key, value)?.to_vec())?,
            b"size" => once(&mut self.size, key, decimal(value).ok_or_else(bad)?)?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"uname" => self.uname = text(),
            b"gname" => self.gname = text(),
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(time(value).ok_or_else(bad)?) },
            b"RHT.security.selinux" if !value.is_empty() => {
                // The kernel's form ends in NUL, as setfilecon(3) writes it.
                self.set_xattr(b"security.selinux".to_vec(), [value, b"\0"].concat())?;
            }
            b"SCHILY.acl.access" => self.acl_access = text(),
            b"SCHILY.acl.default" => self.acl_default = text(),
            b"SCHILY.acl.ace" if !value.is_empty() => self.leave_out("NFSv4 ACL: Linux has none"),
            b"SCHILY.fflags" if !value.is_empty() => {
                self.leave_out(format!("file flags {}: not carried over", shown(value)));
            }
            b"SCHILY.realsize" => self.real_size = number()?,
            b"SCHILY.filetype" if value == b"socket" => {
                return Err(Refusal::unsupported("a socket", "no program can use one out of an archive; leave it out"));
            }
            b"GNU.volume.filename" | b"GNU.volume.size" | b"GNU.volume.offset" => return Err(several_volumes()),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.set_xattr(checked(name).ok_or_else(bad)?.to_vec(), value.to_vec())?;
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let name = encoded::percent(name).ok_or_else(bad)?;
                    checked(&name).ok_or_else(bad)?;
                    self.set_xattr(name, encoded::base64(value).ok_or_else(bad)?)?;
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.get_or_insert_default().set(name, value)?;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), Refusal> {
        let mut names = 0;
        for (known, old) in &mut self.xattrs {
            if *known == name {
                *old = value;
                return Ok(());
            }
            names += known.len() + 1;
        }
        if names > NAMES_LIMIT {
            return Err(Refusal::corrupt("more xattrs than a file can have"));
        }
        self.xattrs.push((name, value));
        Ok(())
    }

    /// Turns the ACLs into xattrs, unless those are there already. Of all but directories, a default ACL means nothing.
    pub(super) fn settle_acls(&mut self, directory: bool) -> Result<(), Refusal> {
        let texts = [
            (&b"system.posix_acl_access"[..], "ACL", self.acl_access.take()),
            (b"system.posix_acl_default", "default ACL", self.acl_default.take()),
        ];
        for (name, what, text) in texts {
            let Some(text) = text else { continue };
            if self.xattrs.iter().any(|(known, _)| known == name) {
                continue;
            }
            if what == "default ACL" && !directory {
                self.leave_out("default ACL: not a directory");
                continue;
            }
            match acl::parse(&text) {
                Ok(acl) => {
                    for entry in acl.nameless {
                        self.leave_out(format!("{what} entry {}: no numeric id", shown(&entry)));
                    }
                    self.set_xattr(name.to_vec(), acl.bytes)?;
                }
                Err(why) => self.leave_out(format!("{what}: {why}")),
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, what: impl Into<String>) {
        if self.left_out.len() < LEFT_OUT_LINES {
            self.left_out.push(what.into());
        }
    }
}

pub(super) fn several_volumes() -> Refusal {
    Refusal::unsupported("a part of a file that began on another volume", "join the volumes with tar -xM first")
}

/// A name, which must be there, and hold no NUL.
fn named<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], Refusal> {
    if value.is_empty() {
        let what = format!("an empty {} in its PAX header", shown(key));
        return Err(Refusal::disputed(what, "Go reads the name in the header", "GNU tar none"));
    }
    if value.contains(&0) {
        let what = format!("a NUL in its PAX {}", shown(key));
        return Err(Refusal::disputed(what, "GNU tar reads a shorter name", "Go none"));
    }
    Ok(value)
}

fn once<T: PartialEq>(slot: &mut Option<T>, key: &[u8], value: T) -> Result<(), Refusal> {
    if slot.as_ref().is_some_and(|old| *old != value) {
        let what = format!("two different records {} in one PAX header", shown(key));
        return Err(Refusal::disputed(what, "GNU tar and Go take the last", "others the first"));
    }
    *slot = Some(value);
    Ok(())
}

fn checked(name: &[u8]) -> Option<&[u8]> {
    (!name.is_empty() && !name.contains(&0)).then_some(name)
}

/// Digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The first record: key, value and what is behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(21).position(|&b| b == b' ')?;
    let length = usize::try_from(decimal(&bytes[..blank])?).ok()?;
    if length <= blank + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return None;
    }
    let body = &bytes[blank + 1..length - 1];
    let equals = body.iter().position(|&b| b == b'=')?;
    let key = &body[..equals];
    if key.is_empty() || key.contains(&0) {
        return None;
    }
    Some((key, &body[equals + 1..], &bytes[length..]))
}

/// `-1.5` is half a second before the second before 1970.
fn time(value: &[u8]) -> Option<Time> {
    let (negative, text) = match value {
        [b'-', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let dot = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
    let (whole, fraction) = (&text[..dot], text.get(dot + 1..).unwrap_or_default());
    if whole.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let nanoseconds = (0..9).fold(0, |sum, place| sum * 10 + fraction.get(place).map_or(0, |b| u32::from(b - b'0')));
    Some(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_by_its_length_not_by_a_newline() {
        let mut pax = Pax::default();
        pax.read(b"28 SCHILY.xattr.user.a=\n\n=\n\n12 path=a b\n").unwrap();
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"\n\n=\n".to_vec())]);
        assert_eq!(pax.path.as_deref(), Some(&b"a b"[..]));
    }

    #[test]
    fn refuses_what_does_not_add_up() {
        for bad in [
            &b"12 path=a"[..],
            b"5 path=a b\n",
            b"x path=a\n",
            b" 9 path=a\n",
            b"+9 path=a\n",
            b"9 =abcd\n",
            b"8 p\0a=a\n",
            b"9 path=a\n\0\0\0",
            b"10 size=-1\n",
            b"10 size=+1\n",
            b"10 size= 1\n",
            b"9 size=1x\n",
            b"99999999999999999999 a=b\n",
            b"35 LIBARCHIVE.xattr.user.a=YWJj!!!!\n",
        ] {
            assert!(Pax::default().read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn times_have_nine_digits_and_may_lie_before_1970() {
        assert_eq!(time(b"1.000000001"), Some(Time { seconds: 1, nanoseconds: 1 }));
        assert_eq!(time(b"1.1234567899"), Some(Time { seconds: 1, nanoseconds: 123_456_789 }));
        assert_eq!(time(b"-1.5"), Some(Time { seconds: -2, nanoseconds: 500_000_000 }));
        assert_eq!(time(b"-2"), Some(Time { seconds: -2, nanoseconds: 0 }));
        assert_eq!(time(b"7."), Some(Time { seconds: 7, nanoseconds: 0 }));
        for bad in [&b"1,5"[..], b".5", b"-", b"", b"1.5.5", b"--1", b"1e5", b"99999999999999999999"] {
            assert_eq!(time(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn xattrs_come_in_two_encodings_and_the_label_as_the_kernel_has_it() {
        let mut pax = Pax::default();
        pax.read(b"37 LIBARCHIVE.xattr.user.%c3%a4=YWIA\n").unwrap();
        pax.read(b"31 RHT.security.selinux=a:b:c:d\n").unwrap_err();
        pax.read(b"32 RHT.security.selinux=a:b:c:d\n").unwrap();
        let have: Vec<(&[u8], &[u8])> = pax.xattrs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        assert_eq!(have, [("user.ä".as_bytes(), &b"ab\0"[..]), (b"security.selinux", b"a:b:c:d\0")]);
    }

    #[test]
    fn a_million_small_xattrs_end_soon() {
        let many: Vec<u8> = (0..100_000).flat_map(|i| format!("28 SCHILY.xattr.user.{i:06}=\n").into_bytes()).collect();
        assert!(Pax::default().read(&many).is_err());
    }
}
