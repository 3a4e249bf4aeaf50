//! Where a layer goes: standard output, a pipe or device by name, or a file that has its name only when it is complete.
//!
//! Such a file has no name while it is written (O_TMPFILE), so nothing of it is left whatever happens to us; where the file
//! system cannot do that, it has a name of its own, which goes away with this value.

use cli::Failure;
use layer::Kind;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

/// What is written to.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    goal: Option<Goal>,
}

/// The name that a file is to have.
#[derive(Debug)]
struct Goal {
    path: PathBuf,
    /// Where it is until then, if it has a name.
    temporary: Option<PathBuf>,
}

impl Output {
    /// Standard output, which must be no terminal.
    pub(super) fn standard() -> Result<Self, Failure> {
        let stdout = io::stdout();
        if rustix::termios::isatty(&stdout) {
            return Err(Failure::new("standard output is a terminal, which a layer is not for")
                .hint("write it to a file with -o, or into a pipe"));
        }
        let fd = stdout.as_fd().try_clone_to_owned().map_err(|e| Failure::new(format_args!("stdout: {e}")))?;
        Ok(Self { file: File::from(fd), goal: None })
    }

    /// The file `path`, or what of another kind is there.
    pub(super) fn named(path: &Path) -> Result<Self, Failure> {
        match rustix::fs::stat(path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                let fd = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                    .map_err(|e| cannot("open", path, e))?;
                if rustix::termios::isatty(&fd) {
                    return Err(Failure::new(format_args!("{}: a terminal, which a layer is not for", path.display())));
                }
                return Ok(Self { file: File::from(fd), goal: None });
            }
            _ => {}
        }
        // What a link leads to is replaced, not the link.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mode = Mode::from_raw_mode(0o666);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags | OFlags::TMPFILE, mode) {
            Ok(fd) => return Ok(Self { file: File::from(fd), goal: Some(Goal { path, temporary: None }) }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            Err(e) => return Err(cannot("make a file in", folder, e)),
        }
        let temporary = beside(&path);
        let fd = rustix::fs::open(&temporary, flags | OFlags::CREATE | OFlags::EXCL, mode)
            .map_err(|e| cannot("make", &temporary, e))?;
        Ok(Self { file: File::from(fd), goal: Some(Goal { path, temporary: Some(temporary) }) })
    }

    /// Whether it is a file that gets its name at the end.
    pub(super) fn is_staged(&self) -> bool {
        self.goal.is_some()
    }

    /// Device and inode.
    pub(super) fn id(&self) -> Option<(u64, u64)> {
        rustix::fs::fstat(&self.file).ok().map(|stat| (stat.st_dev, stat.st_ino))
    }

    /// Gives the file its name, in place of what has it.
    pub(super) fn finish(mut self, sync: bool) -> Result<(), Failure> {
        let Some(goal) = &mut self.goal else { return Ok(()) };
        if sync {
            rustix::fs::fsync(&self.file).map_err(|e| cannot("fsync", &goal.path, e))?;
        }
        let temporary = match &goal.temporary {
            Some(temporary) => temporary.clone(),
            None => {
                let temporary = beside(&goal.path);
                link(&self.file, &temporary).map_err(|e| cannot("make", &temporary, e))?;
                goal.temporary.insert(temporary).clone()
            }
        };
        rustix::fs::rename(&temporary, &goal.path).map_err(|e| cannot("rename to", &goal.path, e))?;
        goal.temporary = None;
        if sync && let Some(folder) = goal.path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .and_then(rustix::fs::fsync)
                .map_err(|e| cannot("fsync", folder, e))?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(Goal { temporary: Some(temporary), .. }) = &self.goal {
            let _ = rustix::fs::unlink(temporary);
        }
    }
}

/// A name in the same folder that nobody else uses.
fn beside(path: &Path) -> PathBuf {
    let mut random = [0; 8];
    let _ = rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::NONBLOCK);
    let name = format!(".unpack-{}-{:016x}.tmp", std::process::id(), u64::from_ne_bytes(random));
    path.with_file_name(name)
}

/// A name for a file that has none.
fn link(file: &File, path: &Path) -> rustix::io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

fn cannot(op: &'static str, path: &Path, error: Errno) -> Failure {
    layer::Error::new(Kind::System, op, path.display()).because(io::Error::from(error)).into()
}
