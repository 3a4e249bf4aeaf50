//! What is no promise, out of the way: ids and times, which each run has anew, while it is recorded; while it is compared also what
//! docs/compat.md says of all messages: ours begin with `ctr: ` where docker's begin with `docker: ` and with whose error it is,
//! and end with a hint where docker's end with how to ask for help.

use std::fmt::Write as _;

/// Numbers ids and digests in the order they are seen: the same id has the same number all over a section, in full
/// (`ID1`, 64 digits) and short (`id1`, the first 12).
#[derive(Debug, Default)]
pub(crate) struct Ids {
    seen: Vec<String>,
}

impl Ids {
    fn number(&mut self, id: &str) -> usize {
        let short = &id[..12];
        if let Some(at) = self.seen.iter().position(|s| s == short) {
            return at + 1;
        }
        self.seen.push(short.to_owned());
        self.seen.len()
    }

    /// `text` with names for ids, times and `folder`.
    pub(crate) fn normal(&mut self, text: &str, folder: &str) -> String {
        let text = text.replace(folder, "<here>");
        let mut done = String::new();
        let mut rest = text.as_str();
        let mut before = ' ';
        while let Some(first) = rest.chars().next() {
            let taken = if before.is_ascii_alphanumeric() { None } else { self.special(rest, &mut done) };
            let taken = taken.unwrap_or_else(|| {
                done.push(first);
                first.len_utf8()
            });
            before = rest[..taken].chars().next_back().unwrap_or(' ');
            rest = &rest[taken..];
        }
        done
    }

    /// What stands at the beginning of `text` if it is of no promise: its length.
    fn special(&mut self, text: &str, done: &mut String) -> Option<usize> {
        let digits = text.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
        let ends = !text[digits..].starts_with(|c: char| c.is_ascii_alphanumeric());
        if ends && (digits == 64 || digits == 12 && !text[..12].bytes().all(|b| b.is_ascii_digit())) {
            let number = self.number(&text[..digits]);
            let _ = write!(done, "{}{number}", if digits == 64 { "ID" } else { "id" });
            return Some(digits);
        }
        if let Some(length) = instant(text) {
            done.push_str(if text.as_bytes()[10] == b'T' { "<time>" } else { "<when>" });
            return Some(length);
        }
        let (length, ago) = duration(text)?;
        done.push_str(if ago { "<ago>" } else { "<for>" });
        Some(length)
    }
}

/// The length of an instant at the beginning: `2026-01-02T03:04:05.6Z`, `2026-01-02 03:04:05 +0000 UTC`. Go's zero is none.
fn instant(text: &str) -> Option<usize> {
    let shape = |pattern: &str, text: &str| {
        let fits = pattern.bytes().zip(text.bytes()).all(|(p, b)| if p == b'0' { b.is_ascii_digit() } else { p == b });
        (fits && text.len() >= pattern.len()).then_some(pattern.len())
    };
    if text.starts_with("0001-") {
        return None;
    }
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let fraction = |at: usize| if text[at..].starts_with('.') { at + 1 + digits(at + 1) } else { at };
    if let Some(at) = shape("0000-00-00T00:00:00", text) {
        let at = fraction(at);
        return if text[at..].starts_with('Z') { Some(at + 1) } else { shape("+00:00", &text[at..]).map(|n| at + n) };
    }
    let at = fraction(shape("0000-00-00 00:00:00", text)?);
    let zone = shape(" +0000 ", &text[at..]).or_else(|| shape(" -0000 ", &text[at..]))? + at;
    Some(zone + text[zone..].bytes().take_while(u8::is_ascii_alphabetic).count())
}

/// The length of a duration as docker words it, with its `ago`, and whether it had one.
fn duration(text: &str) -> Option<(usize, bool)> {
    const UNITS: [&str; 7] = ["second", "minute", "hour", "day", "week", "month", "year"];
    let worded = ["Less than a second", "About a minute", "About an hour", "1 second"];
    let plain = worded.into_iter().find(|w| text.starts_with(w)).map(str::len).or_else(|| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = text[digits..].strip_prefix(' ').filter(|_| digits > 0)?;
        let unit = UNITS.into_iter().find(|u| unit.starts_with(u) && unit[u.len()..].starts_with('s'))?;
        Some(digits + 1 + unit.len() + 1)
    })?;
    Some(if text[plain..].starts_with(" ago") { (plain + 4, true) } else { (plain, false) })
}

/// Standard error without what differs by design.
pub(crate) fn message(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // docker's ends: how to use the command, or where that is told
        let help = |l: &str| {
            let told = l.starts_with("Run 'docker ") || l.starts_with("See 'docker ") || l.starts_with("See 'podman ");
            told || l.starts_with("Usage:  ")
        };
        if line.starts_with("Usage:  ") || line.is_empty() && lines.peek().is_some_and(|l| help(l)) {
            break;
        }
        if help(line) || line.starts_with("hint: ") {
            continue;
        }
        let mut line = line;
        for prefix in ["docker: ", "ctr: ", "Error response from daemon: ", "Error: "] {
            line = line.strip_prefix(prefix).unwrap_or(line);
        }
        kept.push_str(
            &line
                .replace("command: ctr ", "command: docker ")
                .replace("'ctr ", "'docker ")
                .replace("\"ctr ", "\"docker "),
        );
        kept.push('\n');
    }
    kept
}

/// Runs of spaces as one gap.
pub(crate) fn columns(text: &str) -> String {
    let row = |line: &str| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect::<Vec<_>>().join("   ");
    text.lines().map(|line| row(line) + "\n").collect()
}

/// Lines in alphabetical order.
pub(crate) fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.into_iter().flat_map(|l| [l, "\n"]).collect()
}

#[test]
fn ids_and_times_have_names() {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let text = format!("{id} 0123456789ab x0123456789ab 123456789012 sha256:{id}");
    assert_eq!(Ids::default().normal(&text, "/nowhere"), "ID1 id1 x0123456789ab 123456789012 sha256:ID1");
    let times = "Up 2 seconds (Paused), Exited (0) About a minute ago; 1 second; 5 sec 2026-01-02T03:04:05.678Z 2026-01-02 03:04:05 +0000 UTC 0001-01-01T00:00:00Z";
    let named = "Up <for> (Paused), Exited (0) <ago>; <for>; 5 sec <time> <when> 0001-01-01T00:00:00Z";
    assert_eq!(Ids::default().normal(times, "/nowhere"), named);
}

#[test]
fn messages_are_compared_without_their_frame() {
    let docker = "docker: Error response from daemon: no such thing\n\nRun 'docker run --help' for more information\n";
    assert_eq!(message(docker), message("ctr: no such thing\nhint: try another\n"));
    let usage = "unknown flag: --x\n\nUsage:  docker ps [OPTIONS]\n\nRun 'docker ps --help' for more information\n";
    assert_eq!(message(usage), message("ctr: unknown flag: --x\nhint: ctr ps --help\n"));
    assert_eq!(message("docker: 'docker ps' accepts no arguments\n"), message("ctr: 'ctr ps' accepts no arguments\n"));
    assert_eq!(message("a\n\nb\n"), "a\n\nb\n");
}
