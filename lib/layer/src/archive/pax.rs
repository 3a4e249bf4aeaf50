//! The records of a PAX extended header (POSIX.1-2001): `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record.
//!
//! Values are bytes and may hold anything, newlines too: only the length ends a record. An empty value takes back what a
//! global header said. Keys that say nothing a directory can hold (`comment`, `atime`, `uname`, `SCHILY.dev`) are passed over.

use super::Time;

/// What the extended headers before an entry say about it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: bool,
    /// Whether there was a header at all.
    seen: bool,
}

impl Pax {
    /// Whether no header has been read.
    pub(super) fn is_empty(&self) -> bool {
        !self.seen
    }

    /// Whether it says what can be true of one entry only.
    pub(super) fn names_one_entry(&self) -> bool {
        self.path.is_some() || self.link.is_some() || self.size.is_some() || self.sparse
    }

    /// Takes over all that `other`, which is nearer to the entry, says.
    pub(super) fn merge(&mut self, other: Self) {
        self.path = other.path.or(self.path.take());
        self.link = other.link.or(self.link.take());
        self.size = other.size.or(self.size);
        self.uid = other.uid.or(self.uid);
        self.gid = other.gid.or(self.gid);
        self.mtime = other.mtime.or(self.mtime);
        for (name, value) in other.xattrs {
            self.set_xattr(name, value);
        }
        self.sparse |= other.sparse;
    }

    /// Reads all records of one header.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        self.seen = true;
        while !bytes.is_empty() {
            if bytes.iter().all(|&b| b == 0) {
                return Ok(());
            }
            let (key, value, rest) = record(bytes).ok_or("a PAX record that does not add up")?;
            self.set(key, value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let name = || (!value.is_empty()).then(|| value.to_vec());
        let bad = || format!("bad {} in its PAX header", String::from_utf8_lossy(key));
        let number = || match value {
            [] => Ok(None),
            _ => std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).map(Some).ok_or_else(bad),
        };
        match key {
            b"path" => self.path = name(),
            b"linkpath" => self.link = name(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(time(value).ok_or_else(bad)?) },
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if name.is_empty() || name.contains(&0) {
                        return Err(bad());
                    }
                    self.set_xattr(name.to_vec(), value.to_vec());
                } else if key.starts_with(b"GNU.sparse.") {
                    self.sparse = true;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: Vec<u8>, value: Vec<u8>) {
        match self.xattrs.iter_mut().find(|(n, _)| *n == name) {
            Some(old) => old.1 = value,
            None => self.xattrs.push((name, value)),
        }
    }
}

/// The first record: key, value and what is behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().take(21).position(|&b| b == b' ')?;
    let digits = std::str::from_utf8(&bytes[..blank]).ok()?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let length: usize = digits.parse().ok()?;
    if length <= blank + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return None;
    }
    let body = &bytes[blank + 1..length - 1];
    let equals = body.iter().position(|&b| b == b'=')?;
    if equals == 0 {
        return None;
    }
    Some((&body[..equals], &body[equals + 1..], &bytes[length..]))
}

/// `-1.5` is half a second before the second before 1970.
fn time(value: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let mut nanoseconds: u32 = 0;
    for place in 0..9 {
        let digit = fraction.as_bytes().get(place).map_or(0, |b| u32::from(b - b'0'));
        nanoseconds = nanoseconds * 10 + digit;
    }
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
            b"9 =abcd\n",
            b"10 size=-1\n",
            b"99999999999999999999999 a=b\n",
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
        assert_eq!(time(b"1,5"), None);
    }
}
