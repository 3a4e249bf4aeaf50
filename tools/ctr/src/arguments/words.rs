//! A command's words, read as docker's client reads them (Go's pflag and cobra), and put in a form that leaves no question:
//! each option with its value in one word, each once where only the last counts, options before what is no option.
//!
//! What options there are comes from the one clap definition. What docker takes and clap would not: `--all=false`, `-t -1`,
//! `--name a --name b`, `rm web -f`. What is wrong is told in docker's words: an option is 125, too few or too many
//! words are 1, and 125 too of the commands that are podman's.

use clap::builder::ArgAction;
use clap::{Arg, Command};
use cli::failure::Failure;
use engine::request::truth;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What the words of one command came to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    /// Options, each with its value, the last of each that counts only once.
    options: Vec<(String, OsString)>,
    /// What is no option.
    pub(super) others: Vec<OsString>,
    /// Help was asked for.
    pub(super) help: bool,
}

/// Whether docker reads options only in front of what is none.
fn is_prefix_only(command: &Command) -> bool {
    command.get_positionals().any(Arg::is_trailing_var_arg_set) || command.has_subcommands()
}

/// Reads `words`, which stand behind the name of `command`.
pub(super) fn read(command: &Command, words: &[OsString]) -> Result<Read, Failure> {
    let mut read = Read::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            read.others.extend(words.by_ref().cloned());
        } else if let Some(rest) = bytes.strip_prefix(b"--") {
            read.long(command, rest, &mut words)?;
        } else if let (Some(rest), true) = (bytes.strip_prefix(b"-"), bytes.len() > 1) {
            read.short(command, rest, &mut words)?;
        } else {
            read.others.push(word.clone());
            if is_prefix_only(command) {
                read.others.extend(words.by_ref().cloned());
            }
        }
    }
    Ok(read)
}

impl Read {
    /// The words that clap gets, behind the command's name.
    pub(super) fn into_words(self) -> Vec<OsString> {
        if self.help {
            return vec!["--help".into()];
        }
        let mut words: Vec<OsString> = self.options.into_iter().map(|(_, word)| word).collect();
        if self.others.iter().any(|word| word.as_bytes().starts_with(b"-")) {
            words.push("--".into());
        }
        words.extend(self.others);
        words
    }

    fn long<'a>(
        &mut self,
        command: &Command,
        text: &[u8],
        words: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), Failure> {
        if text.starts_with(b"-") || text.starts_with(b"=") {
            return Err(wrong(format!("bad flag syntax: --{}", String::from_utf8_lossy(text))));
        }
        let at = text.iter().position(|b| *b == b'=');
        let name = String::from_utf8_lossy(&text[..at.unwrap_or(text.len())]).into_owned();
        let value = at.map(|at| OsStr::from_bytes(&text[at + 1..]).to_owned());
        if name == "help" {
            self.help = true;
            return Ok(());
        }
        let names = |arg: &&Arg| {
            arg.get_long() == Some(&name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name.as_str()))
        };
        let arg = command.get_arguments().find(names).ok_or_else(|| wrong(format!("unknown flag: --{name}")))?;
        if is_switch(arg) || may_be_alone(arg) {
            return self.switch(arg, value.as_deref());
        }
        let value = match value {
            Some(value) => value,
            None => words.next().cloned().ok_or_else(|| wrong(format!("flag needs an argument: --{name}")))?,
        };
        self.option(arg, &value);
        Ok(())
    }

    fn short<'a>(
        &mut self,
        command: &Command,
        cluster: &[u8],
        words: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<(), Failure> {
        let shown = String::from_utf8_lossy(cluster).into_owned();
        for (at, letter) in cluster.iter().enumerate() {
            let letter = char::from(*letter);
            let names = |arg: &&Arg| {
                arg.get_short() == Some(letter) || arg.get_all_short_aliases().is_some_and(|all| all.contains(&letter))
            };
            let Some(arg) = command.get_arguments().find(names) else {
                if letter == 'h' {
                    self.help = true;
                    return Ok(());
                }
                return Err(wrong(format!("unknown shorthand flag: '{letter}' in -{}", &shown[at.min(shown.len())..])));
            };
            let rest = &cluster[at + 1..];
            if is_switch(arg) || may_be_alone(arg) {
                match rest.strip_prefix(b"=") {
                    Some(value) => return self.switch(arg, Some(OsStr::from_bytes(value))),
                    None => self.switch(arg, None)?,
                }
                continue;
            }
            let value = match (rest, rest.strip_prefix(b"=")) {
                (_, Some(value)) => OsStr::from_bytes(value).to_owned(),
                ([], _) => words.next().cloned().ok_or_else(|| {
                    wrong(format!("flag needs an argument: '{letter}' in -{}", &shown[at.min(shown.len())..]))
                })?,
                (value, _) => OsStr::from_bytes(value).to_owned(),
            };
            self.option(arg, &value);
            return Ok(());
        }
        Ok(())
    }

    /// An option without a value, but for the one that pflag lets every switch have.
    fn switch(&mut self, arg: &Arg, value: Option<&OsStr>) -> Result<(), Failure> {
        let id = arg.get_id().as_str();
        let text = value.map_or("true".into(), OsStr::to_string_lossy);
        let on = truth(&text).ok_or_else(|| {
            let why = format!("strconv.ParseBool: parsing \"{text}\": invalid syntax");
            wrong(format!("invalid argument \"{text}\" for \"{}\" flag: {why}", spelled(arg)))
        })?;
        self.options.retain(|(other, _)| other != id);
        if !is_switch(arg) {
            let mut word = name_of(arg);
            word.push(if on { "=true" } else { "=false" });
            self.options.push((id.to_owned(), word));
        } else if on {
            self.options.push((id.to_owned(), name_of(arg)));
        }
        Ok(())
    }

    fn option(&mut self, arg: &Arg, value: &OsStr) {
        let id = arg.get_id().as_str();
        if !matches!(arg.get_action(), ArgAction::Append) {
            self.options.retain(|(other, _)| other != id);
        }
        let mut word = name_of(arg).into_vec();
        if arg.get_long().is_some() {
            word.push(b'=');
        }
        word.extend_from_slice(value.as_bytes());
        self.options.push((id.to_owned(), OsString::from_vec(word)));
    }
}

fn wrong(text: String) -> Failure {
    Failure::new(text).code(cli::exit::OURS)
}

pub(crate) fn is_switch(arg: &Arg) -> bool {
    !arg.is_positional() && !arg.get_action().takes_values()
}

/// Whether it is a switch whose value counts, also where that is false: it takes one only behind `=`.
pub(crate) fn may_be_alone(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.min_values() == 0)
}

/// `--force`, or `-f` where there is nothing longer.
fn name_of(arg: &Arg) -> OsString {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}").into(),
        (None, Some(short)) => format!("-{short}").into(),
        (None, None) => OsString::new(),
    }
}

/// `-f, --force`, as pflag names an option in what it says of it.
pub(super) fn spelled(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, None) => arg.get_id().to_string(),
    }
}

/// docker's words where there are too few or too many words; `typed` is how the command was called.
pub(super) fn count(command: &Command, typed: &str, read: &Read) -> Result<(), Failure> {
    let positionals: Vec<&Arg> = command.get_positionals().collect();
    let least = positionals.iter().filter(|arg| arg.is_required_set()).count();
    let endless = positionals.iter().any(|arg| {
        arg.is_trailing_var_arg_set() || arg.get_num_args().is_some_and(|count| count.max_values() == usize::MAX)
    });
    let most = if endless { usize::MAX } else { positionals.len() };
    let given = read.others.len();
    if read.help || (least..=most).contains(&given) {
        return Ok(());
    }
    let arguments = |n: usize| if n == 1 { "argument" } else { "arguments" };
    let wants = match (least, most) {
        (0, 0) => "accepts no arguments".to_owned(),
        (0, most) => format!("requires at most {most} {}", arguments(most)),
        (least, usize::MAX) => format!("requires at least {least} {}", arguments(least)),
        (least, most) if least == most => format!("requires {least} {}", arguments(least)),
        (least, most) => format!("requires at least {least} and at most {most} arguments"),
    };
    Err(Failure::new(format!("'{typed}' {wants}")).hint(format!("{typed} --help")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    #[derive(Debug, clap::Parser)]
    struct Example {
        #[arg(short, long)]
        force: bool,
        #[arg(short = 't', long, visible_alias = "time")]
        timeout: Option<i64>,
        #[arg(short, long)]
        env: Vec<String>,
        #[arg(required = true)]
        names: Vec<String>,
    }

    fn parsed(words: &[&str]) -> Result<Example, String> {
        let mut command = Example::command();
        command.build();
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let read = read(&command, &words).map_err(|f| f.message)?;
        count(&command, "x rm", &read).map_err(|f| f.message)?;
        let matches = command.try_get_matches_from(std::iter::once("x".into()).chain(read.into_words()));
        Example::from_arg_matches(&matches.map_err(|e| e.to_string())?).map_err(|e| e.to_string())
    }

    #[test]
    fn options_as_docker_takes_them() {
        let got = parsed(&["a", "-f", "-t", "-1", "-e", "-x", "--env=y=z", "--timeout", "3", "b"]).unwrap();
        assert_eq!(
            (got.force, got.timeout, got.env, got.names),
            (true, Some(3), vec!["-x".into(), "y=z".into()], vec!["a".into(), "b".into()])
        );
        let got = parsed(&["-ft5", "--force=false", "--", "-f"]).unwrap();
        assert_eq!((got.force, got.timeout, got.names), (false, Some(5), vec!["-f".into()]));
        assert_eq!(parsed(&["--time=7", "a", "-"]).unwrap().timeout, Some(7));
    }

    #[test]
    fn what_is_wrong_in_dockers_words() {
        for (words, want) in [
            (&["--bad", "x"][..], "unknown flag: --bad"),
            (&["-fZx"], "unknown shorthand flag: 'Z' in -Zx"),
            (&["a", "-t"], "flag needs an argument: 't' in -t"),
            (&["a", "--time"], "flag needs an argument: --time"),
            (
                &["--force=x", "a"],
                "invalid argument \"x\" for \"-f, --force\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            (&["-f"], "'x rm' requires at least 1 argument"),
        ] {
            assert_eq!(parsed(words).unwrap_err(), want, "{words:?}");
        }
    }
}
