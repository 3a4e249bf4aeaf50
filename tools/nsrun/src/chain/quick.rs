//! The plain command lines of the chain loader, read without clap: describing its ninety options takes longer than making the
//! namespaces. What is not plain is left to clap, which also has the words for what is wrong; a test compares both.

use super::cli::Args;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Reads `words` (the program's name first), where there are only new namespaces, `--fork`, `--map-root-user`, `--root`, `--rootfs` and
/// `--mount-proc` in front of the command.
pub(super) fn parse(words: &[OsString]) -> Option<Args> {
    let mut args = Args::default();
    let mut rest = words.get(1..)?.iter();
    let mut command = None;
    while let Some(word) = rest.next() {
        match word.as_bytes() {
            b"--" => {
                command = Some(rest.next()?);
                break;
            }
            b"--fork" => once(&mut args.fork)?,
            b"--map-root-user" => once(&mut args.map_root_user)?,
            b"--mount-proc" => set(&mut args.mount_proc, OsStr::new("/proc"))?,
            b"--root" | b"-R" => set(&mut args.root, value(rest.next()?)?)?,
            b"--rootfs" => set(&mut args.rootfs, value(rest.next()?)?)?,
            [b'-', b'-', long @ ..] => match long.strip_prefix(b"mount-proc=") {
                Some(folder) => set(&mut args.mount_proc, value(OsStr::from_bytes(folder))?)?,
                None => namespace(&mut args, std::str::from_utf8(long).ok()?)?,
            },
            [b'-', letters @ ..] if !letters.is_empty() => {
                for letter in letters {
                    match letter {
                        b'f' => once(&mut args.fork)?,
                        b'r' => once(&mut args.map_root_user)?,
                        b'm' => namespace(&mut args, "mount")?,
                        b'u' => namespace(&mut args, "uts")?,
                        b'i' => namespace(&mut args, "ipc")?,
                        b'n' => namespace(&mut args, "net")?,
                        b'p' => namespace(&mut args, "pid")?,
                        b'U' => namespace(&mut args, "user")?,
                        b'C' => namespace(&mut args, "cgroup")?,
                        b'T' => namespace(&mut args, "time")?,
                        _ => return None,
                    }
                }
            }
            [b'-', ..] | [] => return None,
            _ => {
                command = Some(word);
                break;
            }
        }
    }
    // Without one it is the caller's shell.
    args.command = std::iter::once(command?).chain(rest).cloned().collect();
    Some(args)
}

fn once(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

fn value(word: &OsStr) -> Option<&OsStr> {
    (!word.is_empty() && !word.as_bytes().starts_with(b"-")).then_some(word)
}

fn set<T: for<'a> From<&'a OsStr>>(slot: &mut Option<T>, value: &OsStr) -> Option<()> {
    slot.replace(value.into()).is_none().then_some(())
}

fn namespace(args: &mut Args, name: &str) -> Option<()> {
    let slot = match name {
        "mount" => &mut args.mount,
        "uts" => &mut args.uts,
        "ipc" => &mut args.ipc,
        "net" => &mut args.net,
        "pid" => &mut args.pid,
        "user" => &mut args.user,
        "cgroup" => &mut args.cgroup,
        "time" => &mut args.time,
        _ => return None,
    };
    set(slot, OsStr::new(""))
}

#[cfg(test)]
mod tests {
    use super::super::cli::{Args, ordered};
    use super::parse;
    use clap::{CommandFactory, FromArgMatches};
    use std::ffi::OsString;

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("nsrun").chain(line.split_whitespace()).map(Into::into).collect()
    }

    /// As `chain::main` does it.
    fn by_clap(line: &str) -> Result<String, String> {
        let mut command = Args::command();
        let apart = crate::letters::apart(&mut command, words(line), false);
        let matches = command.try_get_matches_from(apart).map_err(|e| e.to_string())?;
        assert!(ordered(&matches).is_empty(), "{line}: options whose order counts");
        Args::from_arg_matches(&matches).map(|args| format!("{args:?}")).map_err(|e| e.to_string())
    }

    #[test]
    fn plain_lines_mean_what_clap_takes_them_for() {
        for line in [
            "-fpnmiu --mount-proc=/r/proc chroot /r /bin/true",
            "-fpnmiu --mount-proc -R /r /bin/true",
            "--fork --pid --mount --uts --ipc --net --user --map-root-user chroot ROOT /bin/bash",
            "-fpmuin --rootfs /r -- /bin/sh -c x",
            "-r -U -C -T --root /r id -u",
            "-- -x",
            "true --fork -- x",
            "true",
        ] {
            assert_eq!(parse(&words(line)).map(|args| format!("{args:?}")), by_clap(line).ok(), "{line}");
        }
    }

    #[test]
    fn whatever_words_come_together_both_agree() {
        let pool = [
            "-f",
            "-fp",
            "-m",
            "-R",
            "/r",
            "--root",
            "--rootfs",
            "x",
            "--",
            "--mount-proc",
            "--mount-proc=/p",
            "--net",
            "--fork",
            "-U",
            "-rU",
            "--user",
            "-",
            "--root=/r",
            "-x",
            "--mount-proc=",
            "-fx",
            "--pid=f",
            "run",
        ];
        let (mut seed, mut plain) = (11_u64, 0);
        for _ in 0..3_000 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) as usize
            };
            let line: Vec<&str> = (0..1 + next() % 6).map(|_| pool[next() % pool.len()]).collect();
            let line = line.join(" ");
            if let Some(args) = parse(&words(&line)) {
                assert_eq!(Ok(format!("{args:?}")), by_clap(&line), "{line}");
                plain += 1;
            }
        }
        assert!(plain > 100, "{plain}");
    }
}
