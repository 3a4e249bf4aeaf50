//! How `-o` lists and their values are spelled: separators, backslashes, quotes, numbers.

use crate::error::{Error, Kind, Result};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A run of ids: `length` ids from `outside` on in the layers are shown as `inside` and following.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRun {
    /// First id as the mount shows it.
    pub inside: u32,
    /// First id as the layers hold it.
    pub outside: u32,
    /// How many.
    pub length: u32,
}

/// What `lowerdir` names, uppermost first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lowers {
    /// Layers that are part of the tree.
    pub layers: Vec<PathBuf>,
    /// Layers that only hold what metacopy files of the others point at.
    pub data: Vec<PathBuf>,
}

/// Reads `A:B:C::D::E`, uppermost first, data-only layers behind double colons; `\:` is a colon in a name, `\\` a backslash.
pub fn parse_lowerdir(value: &[u8]) -> Result<Lowers> {
    let wrong = |why: &'static str| bad("lowerdir", Some(value), why);
    if value.is_empty() {
        return Err(wrong("no folder named"));
    }
    if value.starts_with(b"//") && value[2..].windows(2).any(|w| w == b"//") {
        return Err(wrong("plugins of fuse-overlayfs cannot be loaded"));
    }
    let mut lowers = Lowers::default();
    let mut parts = split(value, b':').into_iter().peekable();
    let mut data = false;
    while let Some(part) = parts.next() {
        if !part.is_empty() {
            if data && parts.peek().is_some_and(|next| !next.is_empty()) {
                return Err(wrong("a layer behind a data-only one")
                    .hint("data-only layers come last, each behind a double colon: A:B::DATA1::DATA2"));
            }
            let name = PathBuf::from(unescape(part));
            if data { lowers.data.push(name) } else { lowers.layers.push(name) }
        } else if !lowers.layers.is_empty() && parts.peek().is_some_and(|next| !next.is_empty()) {
            data = true;
        } else {
            return Err(wrong("an empty name between colons").hint(r"a colon inside a name is written `\:`"));
        }
    }
    Ok(lowers)
}

/// Reads runs `outside:inside:length`, one after the other with a colon between, as fuse-overlayfs does: the layers' ids come
/// first.
pub(super) fn parse_id_map(key: &str, value: Option<&[u8]>) -> Result<Vec<IdRun>> {
    let said = text(key, value)?;
    let wrong = || bad(key, value, "not IN-LAYERS:SHOWN:LENGTH").hint("as in uidmapping=1000:0:1:100000:1:65536");
    let numbers: Vec<u32> = said.split(':').map(|n| n.parse::<u32>()).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let (runs, rest) = numbers.as_chunks::<3>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(runs.iter().map(|&[outside, inside, length]| IdRun { inside, outside, length }).collect())
}

/// The options of a list, as key and value; empty ones (`a,,b`, which podman writes) are left out.
pub(super) fn options(list: &[u8]) -> impl Iterator<Item = (String, Option<&[u8]>)> {
    split(list, b',').into_iter().filter(|option| !option.is_empty()).map(|option| {
        let (key, value) = match option.iter().position(|b| *b == b'=') {
            Some(at) => (&option[..at], Some(unquote(&option[at + 1..]))),
            None => (option, None),
        };
        (String::from_utf8_lossy(key).into_owned(), value)
    })
}

/// Splits at `separator` where no backslash stands before it and no double quotes, opened behind a `=`, stand around it.
fn split(list: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut at, mut quoted) = (Vec::new(), 0, 0, false);
    while at < list.len() {
        match list[at] {
            b'\\' => at += 1,
            b'"' if quoted => quoted = false,
            b'"' if separator == b',' && at > start && list[at - 1] == b'=' => quoted = list[at + 1..].contains(&b'"'),
            byte if byte == separator && !quoted => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&list[start..]);
    parts
}

fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value)
}

pub(super) fn unescape(value: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().copied().unwrap_or(byte) } else { byte });
    }
    OsString::from_vec(plain)
}

pub(super) fn needed<'a>(key: &str, value: Option<&'a [u8]>) -> Result<&'a [u8]> {
    value.filter(|v| !v.is_empty()).ok_or_else(|| bad(key, None, "needs a value"))
}

pub(super) fn text(key: &str, value: Option<&[u8]>) -> Result<String> {
    Ok(unescape(needed(key, value)?).to_string_lossy().into_owned())
}

pub(super) fn number(key: &str, value: Option<&[u8]>) -> Result<u32> {
    text(key, value)?.parse().map_err(|_| bad(key, value, "not a number"))
}

/// `KEY`, `KEY=1`, `KEY=on` are yes, `KEY=0` and `KEY=off` no.
pub(super) fn switch(key: &str, value: Option<&[u8]>) -> Result<bool> {
    match value {
        None | Some(b"1" | b"on" | b"yes" | b"true") => Ok(true),
        Some(b"0" | b"off" | b"no" | b"false") => Ok(false),
        Some(_) => Err(bad(key, value, "neither on nor off")),
    }
}

/// `option` as it was typed.
pub(super) fn typed(key: &str, value: Option<&[u8]>) -> String {
    match value {
        Some(value) => format!("{key}={}", String::from_utf8_lossy(value)),
        None => key.to_owned(),
    }
}

pub(super) fn bad(key: &str, value: Option<&[u8]>, why: &'static str) -> Error {
    Error::new(Kind::Request, "option", typed(key, value)).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowers(value: &str) -> Lowers {
        parse_lowerdir(value.as_bytes()).unwrap()
    }

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_backslash_takes_the_meaning_away() {
        assert_eq!(lowers(r"/a\:b:/c\\d:/e\,f").layers, paths(&["/a:b", r"/c\d", "/e,f"]));
    }

    #[test]
    fn double_colons_stand_before_data_only_layers() {
        let found = lowers("/a:/b::/d1::/d2");
        assert_eq!((found.layers, found.data), (paths(&["/a", "/b"]), paths(&["/d1", "/d2"])));
        let refused = |value: &str| parse_lowerdir(value.as_bytes()).unwrap_err().to_string();
        assert_eq!(refused("/a::/d:/b"), "option lowerdir=/a::/d:/b: a layer behind a data-only one");
        for value in [":/a", "/a:", "::/d", "/a:::/b", "/a::"] {
            assert!(refused(value).ends_with("an empty name between colons"), "{value}");
        }
        assert_eq!(refused("//p//x//y"), "option lowerdir=//p//x//y: plugins of fuse-overlayfs cannot be loaded");
    }

    #[test]
    fn switches() {
        let read = |value: Option<&str>| switch("k", value.map(str::as_bytes)).ok();
        assert_eq!(
            [read(None), read(Some("1")), read(Some("off")), read(Some("2"))],
            [Some(true), Some(true), Some(false), None]
        );
    }
}
