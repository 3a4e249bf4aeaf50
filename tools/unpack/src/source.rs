//! From the word on the command line to something that can be read: a folder, a file, or a stream.

use crate::interrupt::{Interruptible, Stop};
use cli::Failure;
use rustix::fs::{FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

/// What was named.
#[derive(Debug)]
pub(crate) enum Opened {
    Folder(OwnedFd),
    /// Can be sought in, and is at its start.
    File(File),
    Stream(Interruptible),
}

/// What was named, how to call it in messages, and which image of it is meant.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) opened: Opened,
    pub(crate) name: String,
    pub(crate) reference: Option<String>,
}

/// Opens `word`: a path, `-`, or one of these and `:REF` or `@DIGEST`. A path that is there as it is written is the path; else
/// the longest part before a `:` or `@` that is there.
pub(crate) fn open(word: &OsStr, stop: &Arc<Stop>) -> Result<Source, Failure> {
    let bytes = word.as_bytes();
    let ends = std::iter::once(bytes.len())
        .chain(bytes.iter().enumerate().rev().filter(|(_, b)| b":@".contains(b)).map(|(at, _)| at));
    for end in ends {
        let path = OsString::from_vec(bytes[..end].to_vec());
        let fd = if path == "-" {
            std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| Failure::new(format_args!("stdin: {e}")))?
        } else {
            // A named pipe without a writer makes open wait; that is what reading it means.
            match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                Err(e) => return Err(cannot_open(&path, e)),
            }
        };
        let reference = match bytes.get(end + 1..) {
            None => None,
            Some(reference) => Some(
                std::str::from_utf8(reference)
                    .map_err(|_| Failure::usage("the name of an image is not UTF-8"))?
                    .to_owned(),
            ),
        };
        let name = if path == "-" { "standard input".to_owned() } else { path.to_string_lossy().into_owned() };
        return Ok(Source { opened: classify(fd, stop).map_err(|e| cannot_open(&path, e))?, name, reference });
    }
    Err(cannot_open(word, Errno::NOENT).hint(hint_for(&word.to_string_lossy())))
}

fn classify(fd: OwnedFd, stop: &Arc<Stop>) -> Result<Opened, Errno> {
    let stat = rustix::fs::fstat(&fd)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Opened::Folder(fd),
        FileType::RegularFile if rustix::fs::seek(&fd, SeekFrom::Current(0)) == Ok(0) => Opened::File(File::from(fd)),
        _ => Opened::Stream(Interruptible { file: File::from(fd), stop: Arc::clone(stop) }),
    })
}

/// What to say of a word that is nothing here: perhaps it is in skopeo's language.
fn hint_for(word: &str) -> String {
    let transports = ["oci:", "oci-archive:", "docker-archive:", "dir:"];
    if let Some(rest) = transports.iter().find_map(|transport| word.strip_prefix(transport)) {
        return format!("what it is is told by its content, so without the word before the colon: {rest}");
    }
    if ["docker:", "docker-daemon:", "containers-storage:"].iter().any(|transport| word.starts_with(transport)) {
        return format!("only files and folders are read here; fetch it first: skopeo copy {word} oci:FOLDER");
    }
    "a layer or image is a file or folder here (an archive, an OCI layout) or - for standard input".into()
}

/// Opens a directory.
pub(crate) fn folder(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|e| cannot_open(path.as_os_str(), e))
}

pub(crate) fn cannot_open(path: &OsStr, error: Errno) -> Failure {
    layer::Error::new(layer::Kind::System, "open", path.to_string_lossy()).because(std::io::Error::from(error)).into()
}
