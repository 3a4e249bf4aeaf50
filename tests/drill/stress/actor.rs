//! One of the processes: conflicting operations on few names, each of whose answers is a number that it may give.

use super::whole;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use sys::mapping::Mapping;
use testkit::dice::Dice;

/// Numbers that may come of any operation on names that others change meanwhile.
const RACES: &[i32] = &[libc::ENOENT, libc::EEXIST, libc::ENOTDIR, libc::EISDIR, libc::ENOTEMPTY, libc::ESTALE];

/// What may come of `operation` besides those. Where folders of lower layers cannot be renamed (`whole_copies`: the kernel's
/// overlay takes no redirects in `user.*`), that is EXDEV, as there.
fn also(operation: &str, whole_copies: bool) -> &'static [i32] {
    match operation {
        "rename" | "exchange" | "rename noreplace" if whole_copies => &[libc::EINVAL, libc::EXDEV],
        // A folder cannot go below itself, and names that lead into one another cannot change places.
        "rename" | "exchange" | "rename noreplace" => &[libc::EINVAL],
        // Its writer may not have closed it yet.
        "execute" => &[libc::ETXTBSY, libc::EACCES],
        "read link" => &[libc::EINVAL],
        // open(2) with O_NOFOLLOW at a symbolic link, or a chain of them
        "read" | "map" | "open to write" | "chmod" | "lock" | "list" | "stat" => &[libc::ELOOP],
        "link" => &[libc::EPERM, libc::EMLINK],
        _ => &[],
    }
}

/// The counts that an actor said, one `count NAME NUMBER` a line.
pub(super) fn counts(said: &str) -> Vec<(String, u64)> {
    let line = |l: &str| {
        let (name, count) = l.strip_prefix("count ")?.rsplit_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    said.lines().filter_map(line).collect()
}

/// Acts for a while; what it did, as [`counts`] reads it. Panics at an answer that should not be.
pub(super) fn act(root: &Path, seed: u64, time: Duration, whole_copies: bool) -> String {
    let mut actor = Actor { root: root.to_owned(), dice: Dice::new(seed), own: 0, seed };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let start = Instant::now();
    while start.elapsed() < time {
        let (operation, answer) = actor.step();
        let name = match answer {
            Ok(()) => operation.to_owned(),
            Err(e) => {
                let number = e.raw_os_error().unwrap_or(0);
                let fine = RACES.contains(&number) || also(operation, whole_copies).contains(&number);
                assert!(fine, "{operation}: {e} (VENEER_SEED={seed})");
                if number == libc::ESTALE { format!("{operation}: stale") } else { "lost races".to_owned() }
            }
        };
        *counts.entry(name).or_default() += 1;
    }
    counts.iter().map(|(name, count)| format!("count {name} {count}\n")).collect()
}

struct Actor {
    root: PathBuf,
    dice: Dice,
    /// How many names of its own it has used.
    own: u64,
    seed: u64,
}

impl Actor {
    fn folder(&mut self) -> PathBuf {
        const FOLDERS: [&str; 9] = ["d0", "d1", "d1/sub", "d2", "d3", "d0/x", "e", "e/d2", "d3/sub"];
        self.root.join(self.dice.pick(&FOLDERS).unwrap_or(&"d0"))
    }

    fn file(&mut self) -> PathBuf {
        let name = format!("n{}", self.dice.below(12));
        self.folder().join(name)
    }

    /// A name that nobody else uses.
    fn fresh(&mut self) -> PathBuf {
        self.own += 1;
        let name = format!(".new-{}-{}", self.seed, self.own);
        self.folder().join(name)
    }

    fn step(&mut self) -> (&'static str, io::Result<()>) {
        match self.dice.below(100) {
            0..=13 => ("write", self.write()),
            14..=17 => ("nameless file", self.nameless()),
            18..=33 => ("read", self.read()),
            34..=38 => ("map", self.map()),
            39..=46 => ("list", self.list()),
            47..=52 => ("stat", self.file().metadata().map(drop)),
            53..=60 => ("unlink", std::fs::remove_file(self.file())),
            61..=68 => self.rename(),
            69..=72 => ("mkdir", std::fs::create_dir(self.folder())),
            73..=75 => ("rmdir", std::fs::remove_dir(self.folder())),
            76 => ("rm -r", std::fs::remove_dir_all(self.folder())),
            77..=80 => self.chmod(),
            81..=84 => ("link", std::fs::hard_link(self.file(), self.file())),
            85..=87 => ("symlink", std::os::unix::fs::symlink("n1", self.file())),
            88 | 89 => ("read link", std::fs::read_link(self.file()).map(drop)),
            90..=93 => ("open to write", self.open_to_write()),
            94..=95 => ("program", self.program()),
            96 => ("lock", self.lock()),
            _ => ("execute", self.execute()),
        }
    }

    /// A whole file, put in place at once.
    fn write(&mut self) -> io::Result<()> {
        let (new, to, seed) = (self.fresh(), self.file(), self.dice.any());
        whole::write(&new, seed)?;
        // Somebody may have moved its folder meanwhile.
        std::fs::rename(&new, &to).inspect_err(|_| drop(std::fs::remove_file(&new)))
    }

    /// The same by O_TMPFILE and linkat(2), where the transport has it.
    fn nameless(&mut self) -> io::Result<()> {
        let (folder, to) = (self.folder(), self.file());
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&folder, flags, Mode::from_raw_mode(0o644)) {
            Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
            other => other?,
        };
        rustix::io::write(&file, b"whole 0 0\n")?;
        let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        // Not whole by what `whole` says, so it goes at once.
        let name = self.fresh().file_name().map(PathBuf::from).unwrap_or_default();
        let to = to.with_file_name(name);
        rustix::fs::linkat(CWD, &own, CWD, &to, rustix::fs::AtFlags::SYMLINK_FOLLOW)?;
        std::fs::remove_file(&to)
    }

    fn read(&mut self) -> io::Result<()> {
        let path = self.file();
        let mut file = std::fs::File::open(&path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        assert!(whole::is_whole(&bytes), "{}: {} bytes, not whole", path.display(), bytes.len());
        Ok(())
    }

    fn map(&mut self) -> io::Result<()> {
        let path = self.file();
        let file = std::fs::File::open(&path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        let mut bytes = vec![0; meta.len() as usize];
        let mapping = Mapping::shared(file.as_fd(), bytes.len(), false)?;
        mapping.read(0, &mut bytes);
        assert!(whole::is_whole(&bytes), "{}: mapped, {} bytes, not whole", path.display(), bytes.len());
        Ok(())
    }

    fn list(&mut self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.folder())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = ["n", "d", "e", "x", "sub", ".new", "prog"].iter().any(|start| name.starts_with(start));
            assert!(known, "a name that nobody made: {name:?}");
        }
        Ok(())
    }

    fn rename(&mut self) -> (&'static str, io::Result<()>) {
        let folders = self.dice.once_in(3);
        let (from, to) = if folders { (self.folder(), self.folder()) } else { (self.file(), self.file()) };
        let (name, flags) = match self.dice.below(4) {
            0 => ("exchange", RenameFlags::EXCHANGE),
            1 => ("rename noreplace", RenameFlags::NOREPLACE),
            _ => ("rename", RenameFlags::empty()),
        };
        (name, rustix::fs::renameat_with(CWD, &from, CWD, &to, flags).map_err(io::Error::from))
    }

    fn chmod(&mut self) -> (&'static str, io::Result<()>) {
        let mode = 0o644 | (self.dice.below(0o20) as u32) << 3;
        ("chmod", std::fs::set_permissions(self.file(), std::fs::Permissions::from_mode(mode)))
    }

    /// Which copies it up, and changes nothing.
    fn open_to_write(&mut self) -> io::Result<()> {
        let path = self.file();
        let file = std::fs::File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path)?;
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes)?;
        assert!(whole::is_whole(&bytes), "{}: to write, {} bytes, not whole", path.display(), bytes.len());
        Ok(())
    }

    fn lock(&mut self) -> io::Result<()> {
        let file = std::fs::File::open(self.file())?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Another copy of the program in place of the one that is there.
    fn program(&mut self) -> io::Result<()> {
        let new = self.fresh();
        let to = self.folder().join("prog");
        let copied = std::fs::copy("/bin/true", &new).and_then(|_| std::fs::rename(&new, &to));
        copied.inspect_err(|_| drop(std::fs::remove_file(&new)))
    }

    fn execute(&mut self) -> io::Result<()> {
        let mut command = Command::new(self.folder().join("prog"));
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        assert!(status.success(), "{command:?}: {status}");
        Ok(())
    }
}
