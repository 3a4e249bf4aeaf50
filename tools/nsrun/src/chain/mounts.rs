//! The mount operations of a command line: bwrap's options, with what stands before one and is for it (`--perms`, `--size`,
//! `--overlay-src`).

use super::cli::Word;
use super::plan::usage;
use cli::Failure;
use runtime::chain::{Operation, Upper};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What waits for the option it is for.
#[derive(Debug, Default)]
struct Waiting {
    mode: Option<u32>,
    size_bytes: Option<u64>,
    lowers: Vec<PathBuf>,
}

/// The operations in order.
pub(super) fn operations(words: &[Word]) -> Result<Vec<Operation>, Failure> {
    let mut all = Vec::new();
    let mut waiting = Waiting::default();
    for word in words {
        match (word.option, word.values.as_slice()) {
            ("perms", [text]) => waiting.mode = Some(mode("--perms", text)?),
            ("size", [text]) => waiting.size_bytes = Some(size(text)?),
            ("overlay-src", [source]) => waiting.lowers.push(source.into()),
            (option, values) => {
                let Some(operation) = operation(option, values, &mut waiting)? else { continue };
                waiting.finish()?;
                all.push(operation);
            }
        }
    }
    if !waiting.lowers.is_empty() {
        return Err(usage("--overlay-src: no overlay behind it").hint("--overlay, --tmp-overlay or --ro-overlay"));
    }
    waiting.finish()?;
    Ok(all)
}

impl Waiting {
    /// Nothing may be left that was for nobody.
    fn finish(&mut self) -> Result<(), Failure> {
        if self.size_bytes.take().is_some() {
            return Err(usage("--size: no --tmpfs behind it"));
        }
        if self.mode.take().is_some() {
            return Err(usage("--perms: no option behind it that it is for")
                .hint("--tmpfs, --dir, --file, --bind-data or --ro-bind-data"));
        }
        Ok(())
    }
}

fn operation(option: &str, values: &[OsString], waiting: &mut Waiting) -> Result<Option<Operation>, Failure> {
    let inside = |path: &OsString| destination(option, path);
    let bind = |source: &OsString, to: &OsString, read_only: bool, devices: bool, if_there: bool| {
        Ok::<_, Failure>(Operation::Bind {
            source: source.into(),
            destination: inside(to)?,
            read_only,
            devices,
            if_there,
        })
    };
    let mut overlay = |upper: Upper, to: &OsString| {
        let lowers = std::mem::take(&mut waiting.lowers);
        let least = if upper == Upper::None { 2 } else { 1 };
        if lowers.len() < least {
            return Err(usage(format!("--{option}: needs at least {least} --overlay-src before it")));
        }
        Ok(Operation::Overlay { lowers, upper, destination: inside(to)? })
    };
    Ok(Some(match (option, values) {
        ("bind", [from, to]) => bind(from, to, false, false, false)?,
        ("ro-bind", [from, to]) => bind(from, to, true, false, false)?,
        ("dev-bind", [from, to]) => bind(from, to, false, true, false)?,
        ("bind-try", [from, to]) => bind(from, to, false, false, true)?,
        ("ro-bind-try", [from, to]) => bind(from, to, true, false, true)?,
        ("dev-bind-try", [from, to]) => bind(from, to, false, true, true)?,
        ("overlay", [upper, work, to]) => overlay(Upper::Folders(upper.into(), work.into()), to)?,
        ("tmp-overlay", [to]) => overlay(Upper::Memory, to)?,
        ("ro-overlay", [to]) => overlay(Upper::None, to)?,
        ("proc", [to]) => Operation::Proc(inside(to)?),
        ("dev", [to]) => Operation::Dev(inside(to)?),
        ("tmpfs", [to]) => Operation::Tmpfs(inside(to)?, waiting.mode.take(), waiting.size_bytes.take()),
        ("mqueue", [to]) => Operation::Mqueue(inside(to)?),
        ("dir", [to]) => Operation::Dir(inside(to)?, waiting.mode.take()),
        ("symlink", [target, to]) => Operation::Symlink(target.clone(), inside(to)?),
        ("file", [fd, to]) => Operation::File(descriptor(option, fd)?, inside(to)?, waiting.mode.take()),
        ("bind-data", [fd, to]) => Operation::Data(descriptor(option, fd)?, inside(to)?, waiting.mode.take(), false),
        ("ro-bind-data", [fd, to]) => Operation::Data(descriptor(option, fd)?, inside(to)?, waiting.mode.take(), true),
        ("remount-ro", [to]) => Operation::RemountReadOnly(inside(to)?),
        ("chmod", [text, to]) => Operation::Chmod(mode("--chmod", text)?, inside(to)?),
        _ => return Ok(None),
    }))
}

fn destination(option: &str, path: &OsStr) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(usage(format!("--{option} {}: must be absolute, as seen inside", path.display())))
}

fn descriptor(option: &str, text: &OsStr) -> Result<i32, Failure> {
    let number = text.to_str().and_then(|t| t.parse().ok()).filter(|n| *n >= 0);
    number.ok_or_else(|| usage(format!("--{option} {}: no number of a descriptor", text.display())))
}

fn mode(option: &str, text: &OsStr) -> Result<u32, Failure> {
    let mode = text.to_str().and_then(|t| u32::from_str_radix(t, 8).ok()).filter(|m| *m <= 0o7777);
    mode.ok_or_else(|| usage(format!("{option} {}: no octal mode such as 0755", text.display())))
}

fn size(text: &OsStr) -> Result<u64, Failure> {
    let shown = text.to_string_lossy();
    bytes(&shown)
        .map_err(|text| usage(format!("--size {text}: no size")).hint("a number of bytes, or with k, m or g behind it"))
}

/// `512m` as a number of bytes, in docker's reading; the text again where it is none.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let read = spec::size::in_1024(text).ok().filter(|bytes| (1..i64::MAX).contains(bytes));
    read.map(i64::unsigned_abs).ok_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_have_dockers_units() {
        for (text, wanted) in [("100", 100), ("4k", 4096), ("512M", 512 << 20), ("1.5gb", 3 << 29), ("7b", 7)] {
            assert_eq!(bytes(text), Ok(wanted), "{text}");
        }
        for text in ["", "m", "0", "-1", "1x", "99999999999999g"] {
            assert_eq!(bytes(text), Err(text.to_owned()));
        }
    }
}
