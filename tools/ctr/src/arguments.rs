//! The command line of `ctr`, as data. Nothing here touches the world.

use crate::command;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use cli::failure::Failure;
use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) mod client;
pub(crate) mod management;
mod single;
pub(crate) mod words;

/// Containers, composed from small programs.
#[derive(Debug, Parser)]
#[command(name = "ctr", version = concat!("version ", env!("CARGO_PKG_VERSION")), disable_version_flag = true)]
#[command(disable_help_subcommand = true, subcommand_required = true)]
pub(crate) struct Arguments {
    /// Print version information and quit
    #[arg(short = 'v', long, short_alias = 'V', action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// The state root (default: /var/lib/veneer, or $XDG_DATA_HOME/veneer for ordinary users)
    #[arg(long, value_name = "DIR", global = false)]
    pub(crate) root: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: client::Client,
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Whether it is one of podman's.
    #[arg(skip)]
    pub(crate) podmans: bool,
}

/// One of docker's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a new container
    Run(Box<command::run::Args>),
    /// Make a new container
    Create(Box<command::create::Args>),
    /// Start containers that do not run
    Start(command::start::Args),
    /// Stop containers and start them again
    Restart(command::stop::Args),
    /// Attach local standard input, output, and error streams to a running container
    Attach(command::attach::Args),
    /// Wait until containers have ended and print their exit codes
    Wait(command::Containers),
    /// Give a container another name
    Rename(command::rename::Args),
    /// Freeze all processes of containers
    Pause(command::Containers),
    /// Let frozen containers go on
    Unpause(command::Containers),
    /// Show a container's processes
    Top(command::top::Args),
    /// Show what happens to containers and images
    Events(command::events::Args),
    /// Remove all containers that do not run
    #[command(name = "container-prune", hide = true)]
    ContainerPrune(command::prune::Args),
    /// Look around in a container: a shell in all its namespaces, with your own rights
    Enter(command::enter::Args),
    /// Run a command in a container that runs
    Exec(command::exec::Args),
    /// Show which ports of this machine lead into a container
    Port(command::port::Args),
    /// List containers
    Ps(command::ps::Args),
    /// Show what a container has written
    Logs(command::logs::Args),
    /// Show what containers use, again and again
    Stats(command::stats::Args),
    /// Give containers other limits
    Update(Box<command::update::Args>),
    /// Ask containers to end, and after a while end them
    Stop(command::stop::Args),
    /// Look at a container's health now
    Healthcheck(command::healthcheck::Args),
    /// Send containers a signal
    Kill(command::kill::Args),
    /// Remove containers
    Rm(command::rm::Args),
    /// Create a new secret from a file, or - for standard input
    #[command(name = "secret-create", hide = true)]
    SecretCreate(command::secret::Create),
    /// List secrets
    #[command(name = "secret-ls", hide = true)]
    SecretLs(command::secret::Ls),
    /// Show all that is known of secrets
    #[command(name = "secret-inspect", hide = true)]
    SecretInspect(command::secret::Inspect),
    /// Remove secrets
    #[command(name = "secret-rm", hide = true)]
    SecretRm(command::secret::Rm),
    /// Whether there is such a secret: 0, else 1
    #[command(name = "secret-exists", hide = true)]
    SecretExists(command::secret::Exists),
    /// Show what a container changed
    Diff(command::diff::Args),
    /// Show all that is known of containers and images
    Inspect(command::inspect::Args),
    /// Load images from an OCI layout or a saved archive
    Load(command::load::Args),
    /// List images
    Images(command::images::Args),
    /// Remove images
    Rmi(command::rmi::Args),
    /// Give an image another name
    Tag(command::tag::Args),
    /// Create a new image from a container's changes
    Commit(command::commit::Args),
    /// Copy files/folders between a container and the local filesystem
    Cp(command::cp::Args),
    /// Export a container's filesystem as a tar archive
    Export(command::export::Args),
    /// Create an image from a tar of a root file system
    Import(command::import::Args),
    /// Show the history of an image
    History(command::history::Args),
    /// Display system-wide information
    Info(command::info::Args),
    /// Show the version information
    Version(command::version::Args),
    /// Save one or more images to a tar archive (streamed to STDOUT by default)
    Save(command::save::Args),
    /// Mount a container's root filesystem where the machine sees it
    Mount(command::mount::Args),
    /// Unmount a container's root filesystem
    #[command(alias = "unmount")]
    Umount(command::mount::Release),
    /// Display detailed information on one or more images
    #[command(hide = true)]
    ImageInspect(command::image_inspect::Args),
    /// Remove unused images
    #[command(hide = true)]
    ImagePrune(command::image_prune::Args),
    /// Whether there is such a container: 0, else 1
    #[command(hide = true)]
    ContainerExists(command::exists::Args),
    /// Whether there is such an image: 0, else 1
    #[command(hide = true)]
    ImageExists(command::exists::Args),
    /// Mount an image's root filesystem where the machine sees it, to be read
    #[command(hide = true)]
    ImageMount(command::image_mount::Args),
    /// Unmount an image's root filesystem
    #[command(hide = true)]
    ImageUmount(command::mount::Release),
    /// Remove what nobody needs
    #[command(hide = true)]
    SystemPrune(command::system_prune::Args),
    /// Show what takes room on the disk
    #[command(hide = true)]
    SystemDf(command::df::Args),
    /// Resumes a container when standard input ends; started by `commit`
    #[command(hide = true)]
    Thaw(command::thaw::Args),
    /// Display detailed information on one or more containers
    #[command(name = "container-inspect", hide = true)]
    ContainerInspect(command::inspect::Args),
    /// Print the completions of a shell: bash, zsh or fish
    Completion(command::completion::Args),
    /// A container's supervisor; started by `run`
    #[command(hide = true)]
    Supervise(command::supervise::Args),
}

/// Commands that podman has and docker has not: whatever goes wrong is 125.
const PODMANS: [&str; 11] = [
    "container-exists",
    "image-exists",
    "image-mount",
    "image-umount",
    "mount",
    "secret-create",
    "secret-exists",
    "secret-inspect",
    "secret-ls",
    "secret-rm",
    "umount",
];

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Help or version was asked for.
    Print(String),
    /// Nothing was asked for: help on standard error, as docker gives it.
    Tell(String),
    /// The command line was wrong.
    Wrong(Failure),
}

/// Reads a command line, the program's name first.
pub(crate) fn parse(args: Vec<OsString>) -> Result<Arguments, Stop> {
    if let Some(arguments) = single::parse(&args) {
        return Ok(arguments);
    }
    let mut all = crate::help::dressed(Arguments::command(), &args);
    all.build();
    let (name_of, words) = plain(&all, args.get(1..).unwrap_or_default())?;
    let command = all.find_subcommand(&name_of).cloned().unwrap_or_default();
    let podmans = is_podmans(&command);
    let name = args.first().cloned().unwrap_or_else(|| "ctr".into());
    let matches =
        all.clone().try_get_matches_from(std::iter::once(name).chain(words)).map_err(|e| wrong(&command, &e))?;
    let read = Arguments::from_arg_matches(&matches).map_err(|e| wrong(&command, &e))?;
    Ok(Arguments { podmans, ..read })
}

fn is_podmans(command: &clap::Command) -> bool {
    PODMANS.contains(&command.get_name())
}

/// The command, and the words as clap takes them: management words resolved, options as docker reads them.
fn plain(all: &clap::Command, words: &[OsString]) -> Result<(String, Vec<OsString>), Stop> {
    // What stands before the command is read as the options of `ctr` itself.
    let mut before = words::read(all, words).map_err(Stop::Wrong)?;
    let rest = std::mem::take(&mut before.others);
    if before.help {
        return Ok((String::new(), vec!["--help".into()]));
    }
    let mut plain = before.into_words();
    if rest.first().is_some_and(|word| word == "help") {
        return topic(all, &rest[1..]);
    }
    let found = management::find(all, &rest).map_err(Stop::Wrong)?;
    let (name, typed, behind) = match (&found, rest.first()) {
        (management::Found::Help(text), _) if rest.len() == 1 => return Err(Stop::Tell(text.clone())),
        (management::Found::Help(text), _) => return Err(Stop::Print(text.clone())),
        (management::Found::Command(name), Some(word)) => {
            ((*name).to_owned(), management::typed(word, name), &rest[2..])
        }
        (_, Some(word)) => {
            let name = word.to_string_lossy().into_owned();
            (name.clone(), name, &rest[1..])
        }
        (_, None) if plain.iter().any(|word| word == "--version") => return Ok((String::new(), plain)),
        (_, None) => return Err(Stop::Tell(crate::help::whole(all))),
    };
    let Some(command) = all.find_subcommand(&name) else {
        return Err(Stop::Wrong(
            Failure::new(format!("unknown command: ctr {name}")).hint("ctr --help lists those there are"),
        ));
    };
    let read =
        words::read(command, behind).map_err(|f| Stop::Wrong(f.hint(format!("ctr {typed} --help lists them"))))?;
    if read.help {
        return Err(Stop::Print(crate::help::told(command, &typed)));
    }
    if !command.has_subcommands() {
        let code = if is_podmans(command) { cli::exit::OURS } else { cli::exit::FAILED };
        words::count(command, &format!("ctr {typed}"), &read).map_err(|failure| Stop::Wrong(failure.code(code)))?;
    }
    plain.push(command.get_name().into());
    plain.extend(read.into_words());
    Ok((name, plain))
}

/// `ctr help WORDS`, as the words that clap gets.
fn topic(all: &clap::Command, words: &[OsString]) -> Result<(String, Vec<OsString>), Stop> {
    let unknown = |word: &OsString| {
        let failure = Failure::new(format!("unknown help topic: {}", word.to_string_lossy()));
        Stop::Wrong(failure.hint("ctr help lists the commands there are"))
    };
    let help = |name: &str, typed: &str, rest: &[OsString]| match (rest.first(), all.find_subcommand(name)) {
        (Some(word), _) => Err(unknown(word)),
        (None, Some(command)) => Err(Stop::Print(crate::help::told(command, typed))),
        (None, None) => Err(unknown(&name.into())),
    };
    let Some(first) = words.first() else { return Ok((String::new(), vec!["--help".into()])) };
    match management::find(all, words) {
        Ok(management::Found::Help(text)) => Err(Stop::Print(text)),
        Ok(management::Found::Command(name)) => help(name, &management::typed(first, name), &words[2..]),
        Ok(management::Found::Plain) => match first.to_str() {
            Some(name) if all.find_subcommand(name).is_some() => help(name, name, &words[1..]),
            _ => Err(unknown(first)),
        },
        Err(_) => Err(unknown(words.get(1).unwrap_or(first))),
    }
}

/// What clap found wrong, which is little: values that mean nothing.
fn wrong(command: &clap::Command, error: &clap::Error) -> Stop {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let text = error.to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Stop::Print(text),
        // docker: no command at all asks for help
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => return Stop::Tell(text),
        _ => {}
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or("wrong command line");
    let mut message = first.trim_start_matches("error: ").to_owned();
    if let (Some(arg), Some(value)) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue)) {
        let long = arg.trim_start_matches("--").split([' ', '=', '<']).next().unwrap_or_default().to_owned();
        let named = command.get_arguments().find(|a| a.get_long() == Some(&long));
        let spelled = named.map_or(arg.clone(), words::spelled);
        let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        let why = match source.as_str() {
            "invalid digit found in string" | "cannot parse integer from empty string" => {
                format!("strconv.ParseInt: parsing \"{value}\": invalid syntax")
            }
            "invalid float literal" => format!("strconv.ParseFloat: parsing \"{value}\": invalid syntax"),
            other => other.to_owned(),
        };
        message = format!("invalid argument \"{value}\" for \"{spelled}\" flag: {why}");
    }
    Stop::Wrong(Failure::new(message).hint("ctr COMMAND --help lists what there is").code(cli::exit::OURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> (String, u8) {
        match parse(std::iter::once("ctr").chain(words.iter().copied()).map(OsString::from).collect()) {
            Ok(arguments) => (format!("{:?}", arguments.command).split('(').next().unwrap_or_default().to_owned(), 0),
            Err(Stop::Print(text)) => (text.lines().next().unwrap_or_default().to_owned(), 0),
            Err(Stop::Tell(text)) => (format!("told: {}", text.lines().next().unwrap_or_default()), 0),
            Err(Stop::Wrong(failure)) => (failure.message, failure.code),
        }
    }

    #[test]
    fn dockers_words_for_a_wrong_command_line() {
        for (words, want, code) in [
            (&["ps", "-a"][..], "Ps", 0),
            (&["--root", "/x", "container", "ls", "--all=false"], "Ps", 0),
            (&["rm", "web", "-f"], "Rm", 0),
            (&["run", "-d", "image", "cmd", "--bad", "-Z"], "Run", 0),
            (&["frobnicate"], "unknown command: ctr frobnicate", 1),
            (&["help"], "Usage:  ctr [OPTIONS] COMMAND", 0),
            (&["help", "rm"], "Usage:  ctr rm [OPTIONS] CONTAINER [CONTAINER...]", 0),
            (&["help", "image"], "Usage:  ctr image COMMAND", 0),
            (&["help", "image", "rm"], "Usage:  ctr image rm [OPTIONS] IMAGE [IMAGE...]", 0),
            (&["help", "frobnicate"], "unknown help topic: frobnicate", 1),
            (&["help", "rm", "more"], "unknown help topic: more", 1),
            (&["help", "image", "frobnicate"], "unknown help topic: frobnicate", 1),
            (&["image"], "told: Usage:  ctr image COMMAND", 0),
            (&["image", "--help"], "Usage:  ctr image COMMAND", 0),
            (&["-v"], concat!("ctr version ", env!("CARGO_PKG_VERSION")), 0),
            (&["--bad", "ps"], "unknown flag: --bad", 125),
            (
                &["-D", "--config", "/x", "-l", "error", "--log-level=info", "--tls=false", "-c", "default", "ps"],
                "Ps",
                0,
            ),
            (
                &["--tls=x", "ps"],
                "invalid argument \"x\" for \"--tls\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
                125,
            ),
            (&["--config", "/x"], "told: Usage:  ctr [OPTIONS] COMMAND", 0),
            (&["run", "---rm", "x"], "bad flag syntax: ---rm", 125),
            (&["run", "--=x", "x"], "bad flag syntax: --=x", 125),
            (&["-l"], "flag needs an argument: 'l' in -l", 125),
            (&["ps", "-Z"], "unknown shorthand flag: 'Z' in -Z", 125),
            (&["ps", "x"], "'ctr ps' accepts no arguments", 1),
            (&["logs"], "'ctr logs' requires 1 argument", 1),
            (&["rename", "a"], "'ctr rename' requires 2 arguments", 1),
            (&["port"], "'ctr port' requires at least 1 and at most 2 arguments", 1),
            (&["container", "rm"], "'ctr container rm' requires at least 1 argument", 1),
            (&["container", "list", "x"], "'ctr container ls' accepts no arguments", 1),
            (&["container", "list", "--help"], "Usage:  ctr container ls [OPTIONS]", 0),
            (
                &["ps", "-n", "x"],
                "invalid argument \"x\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
                125,
            ),
            (&["stop", "-t", "-1", "x"], "Stop", 0),
            (
                &["stop", "-t", "y", "x"],
                "invalid argument \"y\" for \"-t, --timeout\" flag: strconv.ParseInt: parsing \"y\": invalid syntax",
                125,
            ),
            (&["commit", "-p", "a", "b"], "Commit", 0),
            (&["commit", "--pause=0", "a", "b"], "Commit", 0),
            (&["history", "-H", "a"], "History", 0),
            (&["history", "-Hq", "--human=F", "a"], "History", 0),
            (&["run", "--init=1", "--read-only=0", "--oom-kill-disable=t", "--privileged=1", "x"], "Run", 0),
            (
                &["attach", "--sig-proxy=x", "a"],
                "invalid argument \"x\" for \"--sig-proxy\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
                125,
            ),
            (&["stop", "-t"], "flag needs an argument: 't' in -t", 125),
        ] {
            assert_eq!(said(words), (want.to_owned(), code), "{words:?}");
        }
    }
}
