//! `ctr enter`: a shell in all namespaces of a container that runs, as whoever calls and with his rights, for looking around in it;
//! `exec` is for what belongs to the container. With `--tools` also where the image has no shell: the machine's own busybox comes
//! along by a descriptor, and nothing in the container's file systems or mounts changes.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::life;
use engine::tools;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use store::Status;

/// Options of `ctr enter`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Bring this machine's busybox along: its shell, and all its tools
    #[arg(long)]
    tools: bool,
    /// The container
    container: String,
    /// The command with its arguments; sh
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    let state = life::state(&root, &record.id)?;
    let name = &args.container;
    let process = match (state.status, state.process) {
        (Status::Running, Some(process)) => process,
        // we would be frozen with it
        (Status::Paused, _) => {
            let words = format!("Container {name} is paused, unpause the container before entering it");
            return Err(Failure::new(words).hint(format!("ctr unpause {name}")));
        }
        _ => {
            let words = format!("Container {} is not running", record.id);
            return Err(
                Failure::new(words).hint(format!("ctr start {name}; ctr mount {name} shows its files as it is"))
            );
        }
    };
    let own = context.own()?;
    let mut command = tools::ourselves(&own, OsStr::new("nsrun"));
    command.args(["enter", "--target", &process.pid.to_string(), "--all", "--join-cgroup"]);
    if rustix::termios::isatty(std::io::stdin()) && rustix::termios::isatty(std::io::stdout()) {
        command.arg("--tty");
    }
    let environment = environment(&context.place()?.of(&record.id));
    if args.tools {
        command.arg("--program").arg(busybox()?).arg("--").arg("sh");
        if !args.command.is_empty() {
            // The shell finds its own tools first, and what the container has.
            command.args(["-c", "\"$@\"", "sh"]).args(&args.command);
        }
    } else {
        command.arg("--");
        match args.command.is_empty() {
            true => command.arg(shell(process.pid)?),
            false => command.args(&args.command),
        };
    }
    let term = std::env::var_os("TERM");
    if !environment.is_empty() {
        command.env_clear().envs(environment.iter().filter_map(|setting| setting.split_once('=')));
    }
    command.envs(term.map(|term| ("TERM", term)));
    let error = command.exec();
    Err(Failure::new(format!("execute {}: {error}", own.display())).code(cli::exit::OURS))
}

/// The environment of the container's own process, as it was started with.
fn environment(run: &Path) -> Vec<String> {
    let config = std::fs::read(run.join("bundle/config.json")).ok();
    let config = config.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    config.and_then(|c| serde_json::from_value(c["process"]["env"].clone()).ok()).unwrap_or_default()
}

/// A shell inside.
fn shell(pid: i32) -> Result<&'static str, Failure> {
    use rustix::fs::{ResolveFlags, openat2};
    let path = format!("/proc/{pid}/root");
    let root = rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    // Where we may not look, the attempt will tell.
    let Ok(root) = root else { return Ok("/bin/sh") };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let look = |path: &&str| openat2(&root, *path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let found = |path: &&str| match look(path) {
        Ok(_) => true,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => false,
        // A user's FUSE mount shows itself only from within.
        Err(_) => *path == "/bin/sh",
    };
    ["/bin/bash", "/bin/sh"].into_iter().find(found).ok_or_else(|| {
        Failure::new("the container has no shell")
            .hint("--tools brings this machine's busybox along")
            .code(cli::exit::NOT_FOUND)
    })
}

/// This machine's busybox: one that needs no libraries, which the container need not have.
fn busybox() -> Result<PathBuf, Failure> {
    let found: Vec<PathBuf> =
        ["busybox", "busybox-static", "busybox.static"].into_iter().filter_map(tools::in_path).collect();
    let hint = "install busybox-static, or have a static busybox in $PATH";
    match found.iter().find(|path| is_static(path)) {
        Some(path) => Ok(path.clone()),
        None if found.is_empty() => Err(Failure::new("--tools: this machine has no busybox").hint(hint)),
        None => Err(Failure::new("--tools: this machine's busybox needs shared libraries").hint(hint)),
    }
}

/// Whether it is an ELF program without an interpreter (elf(5), PT_INTERP).
fn is_static(path: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let look = || {
        let file = File::from(rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?);
        let mut head = [0; 64];
        file.read_exact_at(&mut head, 0).ok()?;
        // 64 bits, in this machine's order of bytes
        if !head.starts_with(b"\x7fELF\x02") {
            return None;
        }
        let offset = u64::from_ne_bytes(head[32..40].try_into().ok()?);
        let (size, count) = (u16::from_ne_bytes([head[54], head[55]]), u16::from_ne_bytes([head[56], head[57]]));
        let mut kind = [0; 4];
        for nth in 0..u64::from(count) {
            file.read_exact_at(&mut kind, offset + nth * u64::from(size)).ok()?;
            if u32::from_ne_bytes(kind) == PT_INTERP {
                return Some(false);
            }
        }
        Some(true)
    };
    look().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #[test]
    fn programs_without_an_interpreter_are_told_from_others() {
        assert!(!super::is_static(std::path::Path::new("/bin/ls")));
        assert!(!super::is_static(std::path::Path::new("/etc/passwd")));
        assert!(!super::is_static(std::path::Path::new("/no/such")));
    }
}
