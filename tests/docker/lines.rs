//! The recorded lines as files: `tests/docker/lines/*.lines`, one a verb.
//!
//! ```text
//! ## a name                      a section; it begins with nothing but the image busybox, and nothing of it is left
//! # prose
//! + docker create --name a …     set-up: what it prints is of no interest, but it has to succeed
//! $ docker ps -aq                a line of the user's
//! @ columns                      how it is compared (below); above the first `+` or `$` it holds for the section
//! = 0                            expected: the exit code,
//! 1> id1                         a line of standard output (`1-`: without a line end),
//! 2> …                           a line of standard error
//! ~ words rootless               a known difference: its key in docs/compat.md, and in which mode (all if none is named)
//! ~= 1                           what it is instead, as it is compared: without the program's name and hints
//! ~2> …
//! ```
//!
//! Attributes: `columns`: runs of spaces count as one gap, where a column's width comes from how old something is; `sorted`: the
//! order of the lines is nobody's promise; `any-error`: of standard error only counts whether there is some; `podman`: recorded from
//! podman; `written`: not recorded but taken from docker's source, with the reason in the prose above;
//! `root`: makes sense for root only, a section or a line; `once`: what it looks at is the same whoever asks, so it is run as root, and in
//! the other modes only in the long form; `modes`: a word to the reader that it is worth being run in every mode, as all are that are
//! not `once`; `long`: only in the long form; `open MODE`: not looked at yet in this mode.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a command did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// What is known to be different, and why.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    pub(crate) key: String,
    pub(crate) mode: Option<String>,
    pub(crate) ours: Effect,
}

/// A line of the user's with what is expected of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) attributes: Vec<String>,
    pub(crate) expected: Effect,
    pub(crate) differences: Vec<Difference>,
}

/// A part of a section, in the file's order.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Prose(String),
    Attribute(String),
    Setup(String),
    Line(Line),
}

/// Lines that share one set-up.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) parts: Vec<Part>,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) path: PathBuf,
    pub(crate) head: String,
    pub(crate) sections: Vec<Section>,
}

impl Section {
    /// Whether the section as a whole is marked so.
    pub(crate) fn is(&self, attribute: &str) -> bool {
        self.parts.iter().any(|p| matches!(p, Part::Attribute(a) if a == attribute))
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.parts.iter().filter_map(|p| if let Part::Line(line) = p { Some(line) } else { None })
    }

    pub(crate) fn lines_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        self.parts.iter_mut().filter_map(|p| if let Part::Line(line) = p { Some(line) } else { None })
    }
}

/// All files, by name.
pub(crate) fn all() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker/lines");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).expect("lines/").flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "lines"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a file of lines");
        parse(path, &text)
    };
    paths.into_iter().map(read).collect()
}

/// Adds one recorded line of output; `mark` is what stands between the number and the text.
fn add(stream: &mut String, rest: &str) {
    let (mark, text) = rest.split_at(1);
    stream.push_str(text.strip_prefix(' ').unwrap_or(text));
    if mark == ">" {
        stream.push('\n');
    }
}

/// One line of an expectation into `effect`; whether it was one.
fn take(effect: &mut Effect, line: &str) -> bool {
    if let Some(code) = line.strip_prefix("= ") {
        effect.code = code.trim().parse().expect("an exit code");
    } else if line.starts_with("1>") || line.starts_with("1-") {
        add(&mut effect.out, &line[1..]);
    } else if line.starts_with("2>") || line.starts_with("2-") {
        add(&mut effect.err, &line[1..]);
    } else {
        return false;
    }
    true
}

fn parse(path: PathBuf, text: &str) -> Recorded {
    let mut head = String::new();
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = || panic!("{}:{}: what is `{line}`?", path.display(), number + 1);
        if let Some(name) = line.strip_prefix("## ") {
            sections.push(Section { name: name.to_owned(), parts: Vec::new() });
            continue;
        }
        let Some(section) = sections.last_mut() else {
            head.push_str(line);
            head.push('\n');
            continue;
        };
        let last = match section.parts.last_mut() {
            Some(Part::Line(line)) => Some(line),
            _ => None,
        };
        if let Some(text) = line.strip_prefix("$ ") {
            section.parts.push(Part::Line(Line { text: text.to_owned(), ..Line::default() }));
        } else if let Some(text) = line.strip_prefix("+ ") {
            section.parts.push(Part::Setup(text.to_owned()));
        } else if line.is_empty() || line.starts_with('#') {
            section.parts.push(Part::Prose(line.to_owned()));
        } else if let Some(attribute) = line.strip_prefix("@ ") {
            match last {
                Some(line) => line.attributes.push(attribute.to_owned()),
                None => section.parts.push(Part::Attribute(attribute.to_owned())),
            }
        } else if let Some(last) = last {
            if !take_difference(&mut last.differences, line) && !take(&mut last.expected, line) {
                wrong();
            }
        } else {
            wrong();
        }
    }
    Recorded { path, head, sections }
}

/// A line of a known difference into `differences`; whether it was one.
fn take_difference(differences: &mut Vec<Difference>, line: &str) -> bool {
    if let Some(words) = line.strip_prefix("~ ") {
        let mut words = words.split_whitespace();
        let key = words.next().expect("a key").to_owned();
        differences.push(Difference { key, mode: words.next().map(str::to_owned), ours: Effect::default() });
        return true;
    }
    match (line.strip_prefix('~'), differences.last_mut()) {
        (Some(rest), Some(difference)) => take(&mut difference.ours, rest),
        _ => false,
    }
}

fn show(to: &mut String, effect: &Effect, prefix: &str) {
    let _ = writeln!(to, "{prefix}= {}", effect.code);
    for (number, stream) in [(1, &effect.out), (2, &effect.err)] {
        for line in stream.split_inclusive('\n') {
            let (mark, line) = line.strip_suffix('\n').map_or(('-', line), |l| ('>', l));
            let gap = if line.is_empty() { "" } else { " " };
            let _ = writeln!(to, "{prefix}{number}{mark}{gap}{line}");
        }
    }
}

impl Recorded {
    /// The file's text.
    pub(crate) fn text(&self) -> String {
        let mut text = self.head.clone();
        for section in &self.sections {
            let _ = writeln!(text, "## {}", section.name);
            for part in &section.parts {
                match part {
                    Part::Prose(prose) => text.push_str(&format!("{prose}\n")),
                    Part::Attribute(attribute) => text.push_str(&format!("@ {attribute}\n")),
                    Part::Setup(setup) => text.push_str(&format!("+ {setup}\n")),
                    Part::Line(line) => {
                        let _ = writeln!(text, "$ {}", line.text);
                        for attribute in &line.attributes {
                            let _ = writeln!(text, "@ {attribute}");
                        }
                        show(&mut text, &line.expected, "");
                        for difference in &line.differences {
                            let mode = difference.mode.as_deref().map(|m| format!(" {m}")).unwrap_or_default();
                            let _ = writeln!(text, "~ {}{mode}", difference.key);
                            show(&mut text, &difference.ours, "~");
                        }
                    }
                }
            }
        }
        text
    }

    /// Writes the file as it is now.
    pub(crate) fn save(&self) {
        std::fs::write(&self.path, self.text()).expect("the file can be written");
    }

    /// The file's name without its ending.
    pub(crate) fn verb(&self) -> &str {
        self.path.file_stem().and_then(|s| s.to_str()).expect("a name")
    }
}

#[test]
fn a_file_comes_back_as_it_was() {
    let text = "# head\n\n## one\n# why\n@ root\n+ setup\n$ docker ps\n@ columns\n= 125\n1> a\n1>\n1- b\n2> c\n~ words rootless\n~= 1\n~2> d\n\n## two\n$ x\n= 0\n";
    let file = parse("x/ps.lines".into(), text);
    assert_eq!(file.text(), text);
    let line = file.sections[0].lines().next().expect("a line");
    assert_eq!((line.expected.out.as_str(), line.expected.code), ("a\n\nb", 125));
    assert_eq!((line.differences[0].ours.err.as_str(), line.differences[0].ours.code), ("d\n", 1));
    assert!(file.sections[0].is("root") && line.attributes == ["columns"]);
}
