//! docker's management words: `ctr container ls` is `ctr ps`, `ctr image rm` is `ctr rmi`.
//!
//! The words in front are taken away before anything else is read, by one table. So every command is defined once; a line
//! whose command there is none of (yet) is left out.

use clap::Command;
use cli::failure::Failure;
use std::ffi::{OsStr, OsString};

/// A management word: what it is about, and its commands with those that they are.
struct Group {
    word: &'static str,
    about: &'static str,
    commands: &'static [(&'static str, &'static str)],
}

const GROUPS: [Group; 4] = [
    Group {
        word: "secret",
        about: "Manage secrets",
        commands: &[
            ("create", "secret-create"),
            ("exists", "secret-exists"),
            ("inspect", "secret-inspect"),
            ("ls", "secret-ls"),
            ("list", "secret-ls"),
            ("rm", "secret-rm"),
        ],
    },
    Group {
        word: "container",
        about: "Manage containers",
        commands: &[
            ("attach", "attach"),
            ("commit", "commit"),
            ("cp", "cp"),
            ("create", "create"),
            ("diff", "diff"),
            ("exec", "exec"),
            ("exists", "container-exists"),
            ("export", "export"),
            ("inspect", "container-inspect"),
            ("kill", "kill"),
            ("logs", "logs"),
            ("ls", "ps"),
            ("list", "ps"),
            ("ps", "ps"),
            ("mount", "mount"),
            ("pause", "pause"),
            ("port", "port"),
            ("prune", "container-prune"),
            ("rename", "rename"),
            ("restart", "restart"),
            ("rm", "rm"),
            ("remove", "rm"),
            ("run", "run"),
            ("start", "start"),
            ("stats", "stats"),
            ("stop", "stop"),
            ("top", "top"),
            ("umount", "umount"),
            ("unmount", "umount"),
            ("unpause", "unpause"),
            ("update", "update"),
            ("wait", "wait"),
        ],
    },
    Group {
        word: "image",
        about: "Manage images",
        commands: &[
            ("build", "build"),
            ("exists", "image-exists"),
            ("history", "history"),
            ("import", "import"),
            ("inspect", "image-inspect"),
            ("load", "load"),
            ("ls", "images"),
            ("list", "images"),
            ("mount", "image-mount"),
            ("prune", "image-prune"),
            ("pull", "pull"),
            ("push", "push"),
            ("rm", "rmi"),
            ("remove", "rmi"),
            ("save", "save"),
            ("tag", "tag"),
            ("umount", "image-umount"),
            ("unmount", "image-umount"),
        ],
    },
    Group {
        word: "system",
        about: "Manage the store",
        commands: &[("df", "system-df"), ("events", "events"), ("info", "info"), ("prune", "system-prune")],
    },
];

/// Which command stands in a line, and where.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// `words[at]` is no management word.
    Plain,
    /// `words[at]` and the next one are the command of this name.
    Command(&'static str),
    /// What `ctr container` alone prints.
    Help(String),
}

/// Looks at the word that stands where the command does. An unknown command of a management word is an error.
pub(crate) fn find(all: &Command, words: &[OsString]) -> Result<Found, Failure> {
    let Some(group) = words.first().and_then(|word| GROUPS.iter().find(|group| *word == *group.word)) else {
        return Ok(Found::Plain);
    };
    let Some(next) = words.get(1).map(|word| word.to_string_lossy()) else { return Ok(Found::Help(help(all, group))) };
    if matches!(&*next, "--help" | "-h") {
        return Ok(Found::Help(help(all, group)));
    }
    let known = group.commands.iter().find(|(word, name)| *word == next && all.find_subcommand(name).is_some());
    match known {
        Some((_, name)) => Ok(Found::Command(name)),
        None if next.starts_with("--") => Err(Failure::new(format!("unknown flag: {next}")).code(cli::exit::OURS)),
        None => Err(Failure::new(format!("unknown command: ctr {} {next}", group.word))
            .hint(format!("ctr {} --help lists those there are", group.word))),
    }
}

/// How the command `name` below the management word is called: of several words for it, the first.
pub(crate) fn typed(word: &OsStr, name: &str) -> String {
    let word = word.to_string_lossy();
    let commands = GROUPS.iter().filter(|group| group.word == word).flat_map(|group| group.commands);
    let called = commands.clone().find(|(_, target)| *target == name).map_or(name, |(called, _)| called);
    format!("{word} {called}")
}

/// The words, and what each is about.
pub(crate) fn words() -> impl Iterator<Item = (&'static str, &'static str)> {
    GROUPS.iter().map(|group| (group.word, group.about))
}

/// `all` with each management word as a command that has its own below it, and without what is hidden: what a shell completes
/// and man pages tell.
pub(crate) fn spelled_out(all: &Command) -> Command {
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("ctr")
        .about(all.get_about().cloned().unwrap_or_default())
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .subcommand_required(true)
        .args(all.get_arguments())
        .subcommands(shown)
        .subcommands(GROUPS.iter().map(|group| below(all, group)))
}

/// A group's word with its commands below it; further words for a command are its aliases.
fn below(all: &Command, group: &Group) -> Command {
    let mut commands: Vec<(&str, Command)> = Vec::new();
    for (word, name) in group.commands {
        if let Some((_, command)) = commands.iter_mut().find(|(known, _)| known == name) {
            if !command.get_all_aliases().any(|alias| alias == *word) {
                *command = command.clone().visible_alias(*word);
            }
        } else if let Some(command) = all.find_subcommand(name) {
            commands.push((name, command.clone().name(*word).hide(false)));
        }
    }
    Command::new(group.word)
        .about(group.about)
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommands(commands.into_iter().map(|(_, command)| command))
}

fn help(all: &Command, group: &Group) -> String {
    let mut lines = String::new();
    let mut shown: Vec<&str> = Vec::new();
    for (word, name) in group.commands {
        // other words for the same are not shown
        if let (Some(command), false) = (all.find_subcommand(name), shown.contains(name)) {
            shown.push(name);
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            lines.push_str(&format!("  {word:<10}  {about}\n"));
        }
    }
    let Group { word, about, .. } = group;
    format!(
        "Usage:  ctr {word} COMMAND\n\n{about}\n\nCommands:\n{lines}\nRun 'ctr {word} COMMAND --help' for more information on a command.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn words_lead_to_commands() {
        let all = crate::arguments::Arguments::command();
        let found = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            find(&all, &words).map_err(|failure| (failure.message, failure.code))
        };
        assert_eq!(found(&["ps"]), Ok(Found::Plain));
        assert_eq!(found(&["container", "ls", "-a"]), Ok(Found::Command("ps")));
        assert_eq!(found(&["image", "rm", "x"]), Ok(Found::Command("rmi")));
        assert_eq!(found(&["container", "foo"]), Err(("unknown command: ctr container foo".into(), 1)));
        assert_eq!(found(&["image", "--bad"]), Err(("unknown flag: --bad".into(), 125)));
        let Ok(Found::Help(text)) = found(&["container"]) else { unreachable!("help") };
        assert!(
            text.contains("\n  prune       Remove") && text.contains("\n  ls          List containers\n"),
            "{text}"
        );
    }
}
