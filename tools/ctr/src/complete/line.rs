//! Where in a command line the cursor is: read as the command line itself is read, but what is wrong or not finished is passed over.

use super::{Candidate, unquoted};
use crate::arguments::words::{is_switch, may_be_alone};
use clap::builder::ArgAction;
use clap::{Arg, Command};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What is to be completed.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// The name of a command below this one.
    Command(&'a Command),
    /// An option of this command; these it has.
    Option { command: &'a Command, given: Vec<&'a str> },
    /// The value of an option.
    Value { command: &'a Command, arg: &'a Arg },
    /// A word that is no option, of the command with these names, behind these and with these options.
    Word { path: Vec<&'a str>, before: Vec<String>, given: Vec<&'a str> },
    /// There is no such command or option.
    Unknown,
}

/// A command line up to the cursor.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) place: Place<'a>,
    /// What of the word at the cursor stands there already; of `--option=value` the value.
    pub(super) typed: String,
    /// `--root`
    pub(super) root: Option<PathBuf>,
}

/// Reads `words`; the last is the one at the cursor.
pub(super) fn read<'a>(all: &'a Command, words: &[OsString]) -> Line<'a> {
    let (typed, words) = words.split_last().map_or((String::new(), &[][..]), |(last, words)| (unquoted(last), words));
    let mut line = Line { place: Place::Command(all), typed, root: None };
    let mut reader =
        Reader { command: all, path: Vec::new(), given: Vec::new(), before: Vec::new(), only_words: false };
    let mut pending: Option<&Arg> = None;
    for word in words {
        let word = unquoted(word);
        if let Some(arg) = pending.take() {
            if reader.path.is_empty() && arg.get_id() == "root" {
                line.root = Some(word.into());
            }
        } else if reader.is_option(&word) {
            match reader.option(&word) {
                Some(Taken::Pending(arg)) => pending = Some(arg),
                Some(Taken::Whole(arg, value)) if reader.path.is_empty() && arg.get_id() == "root" => {
                    line.root = Some(value.into());
                }
                Some(Taken::Whole(..) | Taken::Switch) => {}
                None => return Line { place: Place::Unknown, ..line },
            }
        } else if !reader.word(word) {
            return Line { place: Place::Unknown, ..line };
        }
    }
    let Reader { command, path, given, before, only_words } = reader;
    if let Some(arg) = pending {
        line.place = Place::Value { command, arg };
    } else if !only_words && line.typed.starts_with('-') {
        line.place = match line.typed.clone().split_once('=') {
            Some((name, value)) => match find_long(command, name) {
                Some(arg) if !is_switch(arg) => {
                    line.typed = unquoted(OsStr::new(value));
                    Place::Value { command, arg }
                }
                _ => Place::Unknown,
            },
            None => Place::Option { command, given },
        };
    } else if command.has_subcommands() {
        line.place = Place::Command(command);
    } else {
        line.place = Place::Word { path, before, given };
    }
    line
}

/// The options of a command that begin as it was typed, but for those that are there already and count once.
pub(super) fn options(command: &Command, given: &[&str], typed: &str) -> Vec<Candidate> {
    let counts = |arg: &&Arg| matches!(arg.get_action(), ArgAction::Append) || !given.contains(&arg.get_id().as_str());
    let mut all: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set() && arg.get_id() != "help")
        .filter(counts)
        .collect();
    all.sort_by_key(|arg| arg.get_long().unwrap_or_default());
    let mut shown = Vec::new();
    for arg in all {
        let help = arg.get_help().map(ToString::to_string);
        let names =
            [arg.get_long().map(|long| format!("--{long}")), arg.get_short().map(|letter| format!("-{letter}"))];
        shown.extend(
            names.into_iter().flatten().filter(|name| name.starts_with(typed)).map(|name| (name, help.clone())),
        );
    }
    shown
}

fn find_long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let name = name.strip_prefix("--")?;
    let names =
        |arg: &&Arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name));
    command.get_arguments().find(names)
}

/// What an option's word was.
enum Taken<'a> {
    Switch,
    /// Its value is in the word.
    Whole(&'a Arg, String),
    /// Its value is the next word.
    Pending(&'a Arg),
}

struct Reader<'a> {
    command: &'a Command,
    path: Vec<&'a str>,
    given: Vec<&'a str>,
    before: Vec<String>,
    /// Nothing is an option any more.
    only_words: bool,
}

impl<'a> Reader<'a> {
    fn is_option(&self, word: &str) -> bool {
        !self.only_words && word.starts_with('-') && word.len() > 1
    }

    /// None where there is no such option.
    fn option(&mut self, word: &str) -> Option<Taken<'a>> {
        if word == "--" {
            self.only_words = true;
            return Some(Taken::Switch);
        }
        if word.starts_with("--") {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let arg = find_long(self.command, name)?;
            self.given.push(arg.get_id().as_str());
            return Some(match value {
                Some(value) => Taken::Whole(arg, value.to_owned()),
                None if is_switch(arg) || may_be_alone(arg) => Taken::Switch,
                None => Taken::Pending(arg),
            });
        }
        for (at, letter) in word.char_indices().skip(1) {
            let names = |arg: &&Arg| {
                arg.get_short() == Some(letter) || arg.get_all_short_aliases().is_some_and(|all| all.contains(&letter))
            };
            let arg = self.command.get_arguments().find(names)?;
            self.given.push(arg.get_id().as_str());
            let rest = &word[at + letter.len_utf8()..];
            match (is_switch(arg) || may_be_alone(arg), rest) {
                (true, rest) if rest.starts_with('=') => return Some(Taken::Switch),
                (true, _) => {}
                (false, "") => return Some(Taken::Pending(arg)),
                (false, rest) => {
                    return Some(Taken::Whole(arg, rest.strip_prefix('=').unwrap_or(rest).to_owned()));
                }
            }
        }
        Some(Taken::Switch)
    }

    /// Takes a word that is no option; whether there is a place for it.
    fn word(&mut self, word: String) -> bool {
        if self.command.has_subcommands() {
            let Some(below) = self.command.find_subcommand(&word).filter(|c| !c.is_hide_set()) else { return false };
            self.command = below;
            self.path.push(below.get_name());
            self.given.clear();
            return true;
        }
        self.before.push(word);
        self.only_words |= self.command.get_positionals().any(Arg::is_trailing_var_arg_set);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(words: &str) -> String {
        let mut all = crate::definition();
        all.build();
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let line = read(&all, &words);
        let place = match &line.place {
            Place::Command(command) => format!("command of {}", command.get_name()),
            Place::Option { command, given } => format!("option of {} with {given:?}", command.get_name()),
            Place::Value { command, arg } => format!("value of {} {}", command.get_name(), arg.get_id()),
            Place::Word { path, before, .. } => format!("word of {} behind {before:?}", path.join(" ")),
            Place::Unknown => "unknown".into(),
        };
        let root = line.root.map(|root| format!(" in {}", root.display())).unwrap_or_default();
        format!("{place}: {:?}{root}", line.typed)
    }

    #[test]
    fn the_cursor_is_where_it_is() {
        for (words, want) in [
            ("", r#"command of ctr: """#),
            ("r", r#"command of ctr: "r""#),
            ("--root /x ps", r#"command of ctr: "ps" in /x"#),
            ("--root=/x rm w", r#"word of rm behind []: "w" in /x"#),
            ("--root /", r#"value of ctr root: "/""#),
            ("container ", r#"command of container: """#),
            ("container rm -f a ", r#"word of container rm behind ["a"]: """#),
            ("rm -", r#"option of rm with []: "-""#),
            ("rm -f --", r#"option of rm with ["force"]: "--""#),
            ("rm a -", r#"option of rm with []: "-""#),
            ("rm -- -", r#"word of rm behind []: "-""#),
            ("run --name ", r#"value of run name: """#),
            ("run --network=con", r#"value of run network: "con""#),
            ("run -itv ", r#"value of run volume: """#),
            ("run -it busybox ", r#"word of run behind ["busybox"]: """#),
            ("run busybox ls -", r#"word of run behind ["busybox", "ls"]: "-""#),
            ("run --init busybox -", r#"word of run behind ["busybox"]: "-""#),
            ("stop -t 5 ", r#"word of stop behind []: """#),
            ("stop -t5 'we", r#"word of stop behind []: "we""#),
            ("unmount ", r#"word of umount behind []: """#),
            ("rm --force=", "unknown: \"--force=\""),
            ("nosuch ", "unknown: \"\""),
            ("supervise ", "unknown: \"\""),
            ("rm --nosuch ", "unknown: \"\""),
        ] {
            assert_eq!(at(words), want, "{words:?}");
        }
    }

    #[test]
    fn options_are_those_that_are_not_there_yet() {
        let mut all = crate::definition();
        all.build();
        let rm = all.find_subcommand("rm").unwrap();
        let names = |given: &[&str], typed: &str| {
            options(rm, given, typed).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&[], "--"), "--force --link --volumes");
        assert_eq!(names(&["force"], "-"), "--link -l --volumes -v");
        let run = all.find_subcommand("run").unwrap();
        assert!(options(run, &["env"], "--env").iter().any(|(name, _)| name == "--env"), "as often as one likes");
        assert!(options(run, &[], "--").iter().all(|(_, help)| help.is_some()));
    }
}
