//! `ctr --help`, `ctr COMMAND --help`, `ctr help COMMAND`: grouped and worded as docker's.
//!
//! What there is comes from the one definition of the command line; how docker calls it, from `help/words.txt` ([`words`]).
//! What docker has not is told in our own words. Nothing of this is made unless help is asked for.

use clap::{Arg, ArgAction, Command};
use std::ffi::{OsStr, OsString};
use std::fmt::Write;

mod words;

use words::{Entry, wrap};

/// Columns where standard output tells no others.
const COLUMNS: usize = 80;

/// docker's first group.
const COMMON: [&str; 13] =
    ["run", "exec", "ps", "try", "build", "pull", "push", "images", "login", "logout", "search", "version", "info"];

/// The other tools in this program.
const TOOLS: [(&str, &str); 4] = [
    ("ovl-mount", "Lay a writable layer over read-only ones"),
    ("unpack", "Turn image layers into folders and back"),
    ("nsrun", "Run a command in namespaces; an OCI runtime"),
    ("netwire", "Connect network namespaces; a CNI plugin"),
];

/// The definition, with docker's overview in it where `args` may ask for that.
pub(crate) fn dressed(command: Command, args: &[OsString]) -> Command {
    let asks = |word: &OsString| ["--help", "-h", "help"].iter().any(|help| word == OsStr::new(help));
    if args.len() > 1 && !args.iter().any(asks) {
        return command;
    }
    with_overview(command)
}

/// The definition with docker's overview of all commands.
fn with_overview(mut command: Command) -> Command {
    command.build();
    let text = whole(&command);
    command.override_help(text)
}

/// docker's overview of all commands.
pub(crate) fn whole(command: &Command) -> String {
    overview(command, &words::entries(), columns())
}

/// The definition as man pages and completions show it: docker's words, management words with their commands, nothing hidden.
pub(crate) fn spelled_out(mut command: Command) -> Command {
    let entries = words::entries();
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(&name, |below| in_dockers_words(below, &entries));
    }
    crate::arguments::management::spelled_out(&command)
}

/// The sentences of a command and its options, which man pages and completions show.
fn in_dockers_words(command: Command, entries: &[Entry]) -> Command {
    let Some(known) = entry(command.get_name(), entries) else { return command };
    command.about(known.about.clone()).mut_args(|arg| {
        let words = arg.get_long().and_then(|long| known.options.iter().find(|option| option.name == long));
        match words {
            Some(words) => arg.help(words.help.clone()),
            None => arg,
        }
    })
}

/// One less than there are, as docker's client breaks lines.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or(COLUMNS, |size| usize::from(size.ws_col)).max(41) - 1
}

/// The help of a command that is called by these words: `ps`, `container ls`.
pub(crate) fn told(command: &Command, typed: &str) -> String {
    of_command(command, typed, &words::entries(), columns())
}

/// docker's words for a command; hidden ones stand for two words: `image-prune`, `image prune`.
fn entry<'a>(name: &str, entries: &'a [Entry]) -> Option<&'a Entry> {
    let two = name.replacen('-', " ", 1);
    entries.iter().find(|e| e.name == name || e.name == two)
}

fn about(command: &Command, entries: &[Entry]) -> String {
    match entry(command.get_name(), entries) {
        Some(entry) => entry.about.clone(),
        None => command.get_about().map(ToString::to_string).unwrap_or_default(),
    }
}

fn overview(command: &Command, entries: &[Entry], columns: usize) -> String {
    let shown = |c: &&Command| !c.is_hide_set();
    let mut all: Vec<(String, String)> =
        command.get_subcommands().filter(shown).map(|c| (c.get_name().to_owned(), about(c, entries))).collect();
    all.sort();
    let own = |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
    let common: Vec<(String, String)> =
        COMMON.iter().filter_map(|name| all.iter().find(|(n, _)| n == name).cloned()).collect();
    all.retain(|(name, _)| !COMMON.contains(&name.as_str()));
    let mut text = format!("Usage:  ctr [OPTIONS] COMMAND\n\n{}\n", command.get_about().unwrap_or_default());
    let mut management: Vec<(&str, &str)> = crate::arguments::management::words().collect();
    management.sort_unstable();
    let groups: [(&str, Vec<(String, String)>); 4] = [
        ("Common Commands", common),
        ("Management Commands", own(&management)),
        ("Tools", own(&TOOLS)),
        ("Commands", all),
    ];
    let width = groups.iter().flat_map(|(_, g)| g).map(|(name, _)| name.len()).max().unwrap_or(0).max(11);
    for (title, group) in groups {
        let _ = write!(text, "\n{title}:\n");
        for (name, about) in group {
            let _ = writeln!(text, "  {name:width$} {about}");
        }
    }
    text.push_str("\nGlobal Options:\n");
    text.push_str(&options(command, None, columns));
    text.push_str("\nRun 'ctr COMMAND --help' for more information on a command.\n");
    text
}

fn of_command(command: &Command, typed: &str, entries: &[Entry], columns: usize) -> String {
    // what has two words may have words of its own; else those of what it is another name for
    let known = entry(typed, entries).or_else(|| entry(command.get_name(), entries));
    let usage = known.map_or_else(|| usage(command), |entry| entry.usage.clone());
    let name = known.map_or(command.get_name(), |entry| entry.name.as_str());
    let behind = usage.strip_prefix(name).unwrap_or(&usage);
    let mut text = format!(
        "Usage:  ctr {typed}{behind}\n\n{}\n",
        known.map_or_else(|| about(command, entries), |e| e.about.clone())
    );
    if let Some(more) = known.map(|entry| &entry.more).filter(|more| !more.is_empty()) {
        let _ = write!(text, "\n{more}\n");
    }
    if let Some(alias) = known.map(|e| e.alias.replace("docker ", "ctr ")).filter(|a| !a.is_empty()) {
        let _ = write!(text, "\nAliases:\n  {alias}\n");
    }
    let options = options(command, known, columns);
    if !options.is_empty() {
        let _ = write!(text, "\nOptions:\n{options}");
    }
    text
}

/// How a command that docker has not is used.
fn usage(command: &Command) -> String {
    let mut text = command.get_name().to_owned();
    if command.get_arguments().any(|a| !a.is_positional() && a.get_id() != "help") {
        text.push_str(" [OPTIONS]");
    }
    if command.has_subcommands() {
        return text + " COMMAND";
    }
    for arg in command.get_positionals() {
        let name = value_name(arg);
        let many = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
        let more = if many { format!(" [{name}...]") } else { String::new() };
        let _ = match arg.is_required_set() {
            true => write!(text, " {name}{more}"),
            false if many => write!(text, " [{name}...]"),
            false => write!(text, " [{name}]"),
        };
    }
    text
}

fn value_name(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    name.unwrap_or_else(|| arg.get_id().as_str().to_uppercase())
}

/// The lines of all options, sorted, in columns as wide as the widest.
fn options(command: &Command, known: Option<&Entry>, columns: usize) -> String {
    let mut lines = Vec::new();
    for arg in command.get_arguments().filter(|a| !a.is_positional() && !a.is_hide_set()) {
        let Some(long) = arg.get_long().filter(|long| *long != "help") else { continue };
        let words = known.and_then(|entry| entry.options.iter().find(|option| option.name == long));
        let letter = arg.get_short().map_or_else(|| "      --".into(), |letter| format!("  -{letter}, --"));
        let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
            && arg.get_num_args().is_none_or(|n| n.max_values() > 0);
        let kind = match words {
            Some(option) => option.kind.clone(),
            None if takes => value_name(arg),
            None => String::new(),
        };
        let help = words.map(|option| option.help.clone());
        let help = help.or_else(|| arg.get_help().map(ToString::to_string)).unwrap_or_default();
        let head = format!("{letter}{long} {kind}");
        lines.push((long.to_owned(), head.trim_end().to_owned(), help));
    }
    lines.sort();
    let width = lines.iter().map(|(_, head, _)| head.len()).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (_, head, help) in lines {
        let _ = writeln!(text, "{head:width$}{}", wrap(width, columns, &help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::management::{self, Found};
    use clap::CommandFactory;

    fn all() -> Command {
        with_overview(crate::arguments::Arguments::command())
    }

    fn help(typed: &str) -> String {
        let (all, words) = (all(), typed.split(' ').map(OsString::from).collect::<Vec<_>>());
        let name = match management::find(&all, &words) {
            Ok(Found::Command(name)) => name,
            _ => typed,
        };
        told(all.find_subcommand(name).expect("the command is there"), typed)
    }

    #[test]
    fn a_command_is_worded_as_dockers() {
        let text = help("rm");
        assert!(
            text.starts_with("Usage:  ctr rm [OPTIONS] CONTAINER [CONTAINER...]\n\nRemove one or more containers\n")
        );
        assert!(text.contains("\nAliases:\n  ctr container rm, ctr container remove, ctr rm\n\nOptions:\n"), "{text}");
        assert!(text.contains("  -f, --force     Force the removal of a running container (uses SIGKILL)\n"), "{text}");
        let run = help("run");
        assert!(run.starts_with("Usage:  ctr run [OPTIONS] IMAGE [COMMAND] [ARG...]\n"), "{run}");
        assert!(run.contains("      --explain "), "what docker has not is there too\n{run}");
        let cp = help("cp");
        assert!(cp.contains("DEST_PATH|-\n\tctr cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH\n\nCopy files"), "{cp}");
        assert!(cp.contains("local filesystem\n\nUse '-' as the source"), "{cp}");
    }

    #[test]
    fn a_command_of_two_words_is_called_by_both() {
        for (typed, usage) in [
            ("container ls", "container ls [OPTIONS]"),
            ("container rm", "container rm [OPTIONS] CONTAINER [CONTAINER...]"),
            ("container prune", "container prune [OPTIONS]"),
            ("image rm", "image rm [OPTIONS] IMAGE [IMAGE...]"),
            ("system info", "system info [OPTIONS]"),
            ("secret ls", "secret ls [OPTIONS]"),
            ("container exists", "container exists NAME"),
        ] {
            let text = help(typed);
            assert!(text.starts_with(&format!("Usage:  ctr {usage}\n\n")), "{text}");
        }
    }

    /// It is neither docker's program nor a daemon's that speaks.
    #[test]
    fn help_does_not_speak_of_docker() {
        let all = all();
        let mut texts = vec![whole(&all)];
        texts.extend(all.get_subcommands().filter(|c| !c.is_hide_set()).map(|c| help(c.get_name())));
        texts.extend(["container inspect", "image inspect", "image prune", "system df", "system prune"].map(help));
        for text in texts {
            // where formats are explained, and what an instruction is called
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text = text.replace("https://docs.docker.com/go/formatting/", "").replace("Dockerfile", "");
            let text = text.replace("$DOCKER_CONFIG, or ~/.docker", "").to_lowercase();
            for word in ["docker", "daemon"] {
                assert!(!text.contains(word), "{word} in\n{text}");
            }
        }
    }

    #[test]
    fn commands_are_grouped() {
        let text = all().render_help().to_string();
        let at = |title: &str| text.find(&format!("\n{title}:\n")).unwrap_or_else(|| panic!("no {title} in\n{text}"));
        assert!(at("Common Commands") < at("Management Commands"));
        assert!(at("Management Commands") < at("Commands"));
        assert!(at("Commands") < at("Global Options"));
        assert!(text.contains("\n  run         Create and run a new container from an image\n"), "{text}");
        assert!(!text.contains("supervise"));
    }

    /// Options in docker's help, by command: what the installed client prints, else what was recorded of it.
    fn dockers_options() -> Vec<(String, Vec<String>)> {
        let of = |name: &str, text: &str| {
            let lines = text.lines().filter(|l| l.starts_with("  -") || l.starts_with("      --"));
            let names = lines.filter_map(|l| l.split("--").nth(1)?.split_whitespace().next().map(str::to_owned));
            (name.to_owned(), names.collect::<Vec<String>>())
        };
        let asked = |entry: Entry| {
            let said = std::process::Command::new("docker").args(entry.name.split(' ')).arg("--help").output();
            match said.ok().filter(|said| said.status.success()) {
                Some(said) => of(&entry.name, &String::from_utf8_lossy(&said.stdout)),
                None => (entry.name, entry.options.into_iter().map(|option| option.name).collect()),
            }
        };
        words::entries().into_iter().map(asked).collect()
    }

    #[test]
    fn every_option_of_dockers_is_taken_or_told() {
        let page = include_str!("../../../docs/compat.md");
        let (_, page) = page.split_once("## Commands").expect("a chapter on commands");
        let (commands, rows) = page.split_once("## Options").expect("a chapter on options");
        let rows: Vec<&str> = rows.lines().filter(|l| l.starts_with("| `")).collect();
        let is_told = |command: &str, option: &str| {
            rows.iter().any(|row| {
                let mut cells = row.split('|').skip(1);
                cells.next().is_some_and(|c| c.contains(&format!("`{command}`")))
                    && cells.next().is_some_and(|c| c.contains(&format!("`--{option}`")))
            })
        };
        let whole = all();
        let mut wrong = Vec::new();
        for (name, options) in dockers_options() {
            let words: Vec<OsString> = name.split(' ').map(OsString::from).collect();
            let target = match management::find(&whole, &words) {
                Ok(Found::Help(_)) => continue,
                Ok(Found::Command(target)) => target,
                _ => &name,
            };
            let Some(command) = whole.find_subcommand(target) else {
                if !commands.contains(&format!("`{name}`")) {
                    wrong.push(format!("{name} is neither there nor told"));
                }
                continue;
            };
            for option in options {
                let taken = command.get_arguments().find(|a| {
                    a.get_long() == Some(&option) || a.get_all_aliases().is_some_and(|all| all.contains(&&*option))
                });
                // one that is hidden is refused with a reason, or means nothing here
                let taken = taken.is_some_and(|a| !a.is_hide_set());
                match (taken, is_told(&name, &option) || is_told(target, &option)) {
                    (false, false) if option != "help" => {
                        wrong.push(format!("{name} --{option} is neither taken nor told"))
                    }
                    (true, true) => wrong.push(format!("{name} --{option} is taken: no row for it")),
                    _ => {}
                }
            }
        }
        assert!(wrong.is_empty(), "docs/compat.md:\n{}", wrong.join("\n"));
    }
}
