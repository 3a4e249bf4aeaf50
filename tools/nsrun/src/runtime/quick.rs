//! The command lines engines write, read without building a parser for all that could be written.
//!
//! clap's description of every verb takes half of the time it takes to read one command line, more than most of the kernel's
//! part of a container's start. So the usual forms of `create`, `run`, `exec`, `start`, `state`, `kill` and `delete` are read here. Whatever is not
//! plain (an option not listed, one given twice, `--`, help, a value that is missing) is none of this module's: it says `None`,
//! and clap reads the line and finds the words for what is wrong. A test compares both on many lines.

use super::cli::{Args, Create, Delete, Exec, Id, Kill, LogFormat, LogLevel, Run, Verb};
use clap::ValueEnum;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One option as it was found: its name with two dashes, and its value where it takes one.
type Found<'a> = (&'static str, Option<&'a OsStr>);

/// Options with a value, and flags; by the verbs that have them.
const GLOBAL: Known = Known {
    values: &["--root", "--log", "--log-format", "--log-level", "--cgroup-manager", "--rootless"],
    flags: &["--debug", "--systemd-cgroup"],
};
const CREATE: Known = Known {
    values: &["--bundle", "--console-socket", "--pid-file", "--preserve-fds"],
    flags: &["--no-pivot", "--no-new-keyring"],
};
const RUN: Known =
    Known { values: CREATE.values, flags: &["--no-pivot", "--no-new-keyring", "--detach", "--keep", "--no-subreaper"] };
/// Only with `--process`: else the words behind the id are a command, with options of its own.
const EXEC: Known = Known { values: &["--process", "--pid-file", "--console-socket"], flags: &["--detach"] };
const KILL: Known = Known { values: &[], flags: &["--all"] };
const DELETE: Known = Known { values: &[], flags: &["--force"] };
const NONE: Known = Known { values: &[], flags: &[] };

#[derive(Debug, Clone, Copy)]
struct Known {
    values: &'static [&'static str],
    flags: &'static [&'static str],
}

/// The short letters: `-b` and so on.
const SHORT: [(&str, &str); 4] = [("-b", "--bundle"), ("-d", "--detach"), ("-a", "--all"), ("-f", "--force")];

/// Reads `words` (the program's name first, options with two dashes), where they are plain.
pub(super) fn parse(words: &[OsString]) -> Option<Args> {
    let mut rest = words.get(1..)?.iter().map(OsString::as_os_str);
    let (options, mut names) = read(&mut rest, &GLOBAL, 1)?;
    let verb = names.pop()?.to_str()?;
    let known = match verb {
        "create" => CREATE,
        "run" => RUN,
        "exec" => EXEC,
        "kill" => KILL,
        "delete" => DELETE,
        "start" | "state" => NONE,
        _ => return None,
    };
    let (own, names) = read(&mut rest, &known, if verb == "exec" { 1 } else { usize::MAX })?;
    if rest.next().is_some() {
        return None;
    }
    let mut names = names.into_iter();
    let id = names.next()?.to_str()?.to_owned();
    let verb = match verb {
        "create" => Verb::Create(create(id, &own)?),
        "run" => Verb::Run(Run {
            create: create(id, &own)?,
            detach: has(&own, "--detach"),
            keep: has(&own, "--keep"),
            no_subreaper: has(&own, "--no-subreaper"),
        }),
        "exec" => Verb::Exec(Exec {
            process: Some(path(&own, "--process")?),
            pid_file: path(&own, "--pid-file"),
            console_socket: path(&own, "--console-socket"),
            detach: has(&own, "--detach"),
            id,
            ..Exec::default()
        }),
        "kill" => {
            let signal = names.next().map_or(Some("SIGTERM"), OsStr::to_str)?.to_owned();
            Verb::Kill(Kill { id, signal, all: has(&own, "--all") })
        }
        "delete" => Verb::Delete(Delete { id, force: has(&own, "--force"), regex: false }),
        "start" => Verb::Start(Id { id }),
        _ => Verb::State(Id { id }),
    };
    if names.next().is_some() {
        return None;
    }
    let log_format = match text(&options, "--log-format")?.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(_) => return None,
    };
    let log_level = match text(&options, "--log-level")? {
        Some(level) => Some(LogLevel::from_str(&level, false).ok()?),
        None => None,
    };
    Some(Args {
        root: path(&options, "--root"),
        log: path(&options, "--log"),
        log_format,
        log_level,
        debug: has(&options, "--debug"),
        version: None,
        systemd_cgroup: has(&options, "--systemd-cgroup"),
        cgroup_manager: text(&options, "--cgroup-manager")?,
        rootless: text(&options, "--rootless")?,
        criu: None,
        verb,
    })
}

fn create(id: String, options: &[Found<'_>]) -> Option<Create> {
    let preserve_fds = match text(options, "--preserve-fds")? {
        Some(number) if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok()?,
        Some(_) => return None,
        None => 0,
    };
    Some(Create {
        id,
        bundle: path(options, "--bundle").unwrap_or_else(|| ".".into()),
        console_socket: path(options, "--console-socket"),
        pid_file: path(options, "--pid-file"),
        preserve_fds,
        no_pivot: has(options, "--no-pivot"),
        no_new_keyring: has(options, "--no-new-keyring"),
    })
}

/// Takes options and at most `most` other words off `words`; no more than asked for.
fn read<'a>(
    words: &mut impl Iterator<Item = &'a OsStr>,
    known: &Known,
    most: usize,
) -> Option<(Vec<Found<'a>>, Vec<&'a OsStr>)> {
    let (mut options, mut names): (Vec<Found<'a>>, Vec<&'a OsStr>) = (Vec::new(), Vec::new());
    while names.len() < most {
        let Some(word) = words.next() else { break };
        if !word.as_bytes().starts_with(b"-") {
            if word.is_empty() {
                return None;
            }
            names.push(word);
            continue;
        }
        let (name, joined) = match word.as_bytes().iter().position(|b| *b == b'=') {
            Some(at) => {
                let (name, value) = word.as_bytes().split_at(at);
                (std::str::from_utf8(name).ok()?, Some(OsStr::from_bytes(value.get(1..)?)))
            }
            None => (word.to_str()?, None),
        };
        let name = SHORT.iter().find(|(short, _)| *short == name && joined.is_none()).map_or(name, |(_, long)| long);
        let found = if let Some(name) = known.flags.iter().find(|flag| **flag == name) {
            if joined.is_some() {
                return None;
            }
            (*name, None)
        } else {
            let name = known.values.iter().find(|option| **option == name)?;
            let value = match joined {
                Some(value) => value,
                None => words.next().filter(|value| !value.as_bytes().starts_with(b"-"))?,
            };
            if value.is_empty() {
                return None;
            }
            (*name, Some(value))
        };
        if options.iter().any(|(name, _)| *name == found.0) {
            return None;
        }
        options.push(found);
    }
    Some((options, names))
}

fn has(options: &[Found<'_>], name: &str) -> bool {
    options.iter().any(|(given, _)| *given == name)
}

fn value<'a>(options: &[Found<'a>], name: &str) -> Option<&'a OsStr> {
    options.iter().find(|(given, _)| *given == name)?.1
}

fn path(options: &[Found<'_>], name: &str) -> Option<PathBuf> {
    value(options, name).map(PathBuf::from)
}

/// The value as text; `None` where it is none.
fn text(options: &[Found<'_>], name: &str) -> Option<Option<String>> {
    match value(options, name) {
        Some(value) => value.to_str().map(|text| Some(text.to_owned())),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, parse};
    use clap::Parser;
    use std::ffi::OsString;

    const PLAIN: [&str; 19] = [
        "run x",
        "--root /s run -b /b x",
        "--root=/s --log /l --log-format json --log-level debug create --bundle /b --pid-file=/p x",
        "--debug --systemd-cgroup --rootless=auto --cgroup-manager disabled run x --detach --keep --no-subreaper",
        "--log-format=text run x -b a=b --preserve-fds 3 --no-pivot --no-new-keyring --console-socket /c",
        "run -d x -b b",
        "start x",
        "state x",
        "--root a=b state x",
        "kill x",
        "kill x KILL",
        "kill -a x 9",
        "kill --all x",
        "delete x",
        "delete --force x",
        "delete -f x",
        "create x",
        "exec --process p x",
        "--root r --log l --log-format json exec --detach --process p --pid-file=f --console-socket c x",
    ];

    /// What clap reads otherwise, or refuses, is left to it.
    const OTHERS: [&str; 26] = [
        "",
        "run",
        "run x y",
        "run -- x",
        "run x --help",
        "run --unknown x",
        "run -b x -b y z",
        "run x -b",
        "run -bdir x",
        "run -db dir x",
        "run x --bundle=",
        "run x --preserve-fds +3",
        "run x --preserve-fds -1",
        "run x --detach=true",
        "--root -x run y",
        "--log-format xml run x",
        "--bundle b run x",
        "kill x 9 y",
        "kill x -9",
        "delete -fa x",
        "exec x true",
        "exec x",
        "exec --process p x true",
        "exec x --process p",
        "exec -t --process p x",
        "list",
    ];

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("nsrun").chain(line.split_whitespace()).map(Into::into).collect()
    }

    #[test]
    fn plain_lines_mean_what_clap_takes_them_for() {
        for line in PLAIN {
            let ours = parse(&words(line)).unwrap_or_else(|| panic!("{line}: not plain"));
            let theirs = Args::try_parse_from(words(line)).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{line}");
        }
    }

    #[test]
    fn all_else_is_left_to_clap() {
        for line in OTHERS {
            assert!(parse(&words(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn whatever_words_come_together_both_agree() {
        let pool = [
            "run",
            "create",
            "exec",
            "--process=q",
            "kill",
            "delete",
            "start",
            "x",
            "y",
            "-b",
            "--bundle",
            "--root",
            "-d",
            "--detach",
            "-f",
            "-a",
            "--root=/r",
            "--log-format",
            "json",
            "--preserve-fds",
            "3",
            "--",
            "-",
            "--pid-file=p",
            "--keep",
            "=",
            "-b=c",
        ];
        let mut seed = 7_u64;
        let mut plain = 0;
        for _ in 0..20_000 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) as usize
            };
            let line: Vec<&str> = (0..1 + next() % 6).map(|_| pool[next() % pool.len()]).collect();
            let line = line.join(" ");
            if let Some(ours) = parse(&words(&line)) {
                let theirs = Args::try_parse_from(words(&line)).unwrap_or_else(|e| panic!("{line}: {e}"));
                assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{line}");
                plain += 1;
            }
        }
        assert!(plain > 100, "{plain}");
    }
}
