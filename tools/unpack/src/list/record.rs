//! An entry as a line of JSON.

use layer::archive::EntryKind;
use layer::list::{Hides, Listed};
use layer::source::LayerRef;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What is empty or has no meaning for an entry is left out. A name that is no UTF-8 is in `…_base64` as it is.
#[derive(Debug, Serialize)]
struct Record<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff_id: Option<spec::DiffId>,
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    mode: String,
    uid: u64,
    gid: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    uname: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    gname: Cow<'a, str>,
    mtime_seconds: i64,
    mtime_nanoseconds: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    link: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<Cow<'a, str>, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse: Option<&'a [(u64, u64)]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    whiteout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opaque: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    left_out: &'a [String],
}

/// Appends the line of `listed` to `out`.
pub(super) fn line(listed: &Listed<'_>, layer: Option<&LayerRef>, out: &mut Vec<u8>) {
    let entry = listed.entry;
    let (kind, device) = match entry.kind {
        EntryKind::File => ("file", None),
        EntryKind::Directory => ("directory", None),
        EntryKind::Symlink => ("symlink", None),
        EntryKind::HardLink => ("hardlink", None),
        EntryKind::CharDevice(major, minor) => ("char", Some((major, minor))),
        EntryKind::BlockDevice(major, minor) => ("block", Some((major, minor))),
        EntryKind::Fifo => ("fifo", None),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (whiteout, opaque) = match &listed.hides {
        Some(Hides::Path(path)) => (Some(text(path)), None),
        Some(Hides::ContentsOf(path)) => (None, Some(text(path))),
        None => (None, None),
    };
    let record = Record {
        layer: layer.map(|l| l.expected().name),
        diff_id: layer.map(|l| l.diff_id),
        path: String::from_utf8_lossy(&entry.path),
        path_base64: odd(&entry.path),
        kind,
        size: entry.sparse.as_ref().map_or(entry.size, |s| s.real_size),
        mode: format!("{:04o}", entry.mode),
        uid: entry.uid,
        gid: entry.gid,
        uname: String::from_utf8_lossy(&entry.uname),
        gname: String::from_utf8_lossy(&entry.gname),
        mtime_seconds: entry.mtime.seconds,
        mtime_nanoseconds: entry.mtime.nanoseconds,
        link: String::from_utf8_lossy(&entry.link),
        link_base64: odd(&entry.link),
        device,
        xattrs: entry.xattrs.iter().map(|(key, value)| (String::from_utf8_lossy(key), base64(value))).collect(),
        sparse: entry.sparse.as_ref().map(|s| &s.extents[..]),
        offset: (entry.kind == EntryKind::File && entry.size > 0).then_some(listed.offset),
        whiteout,
        opaque,
        left_out: &entry.left_out,
    };
    // Strings and numbers always have a form in JSON, and memory takes it.
    let _ = serde_json::to_writer(&mut *out, &record);
    out.push(b'\n');
}

fn odd(name: &[u8]) -> Option<String> {
    std::str::from_utf8(name).is_err().then(|| base64(name))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            if digit <= three.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_as_the_rfc_has_it() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
