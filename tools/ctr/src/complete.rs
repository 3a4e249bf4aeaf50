//! `ctr __complete WORDS`: what may stand where the cursor is, the last of the words, which may be empty. Shells ask it
//! (`ctr completion`), in the words of docker's client: a candidate a line, behind a tab what it is, and at the end `:` with a
//! [`Directive`]. So the completions of docker's own package ask it too, where `docker` is an alias.
//!
//! ```text
//! $ ctr __complete rm -f w
//! web
//! :4
//! ```
//!
//! Commands and options come from the one definition of the command line ([`line`]), what a value or a word may be from a table
//! ([`offer`]), and the names there are from the store ([`known`]). Nothing is made or changed, and what cannot be found out is not
//! offered: somebody is typing.

use crate::context::Context;
use cli::failure::Outcome;
use line::Place;
use offer::Offer;
use std::ffi::{OsStr, OsString};

mod known;
mod line;
mod offer;

/// What a shell is to do with the candidates; docker's numbers, which are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Directive(u8);

impl Directive {
    /// Names of files, where there are no candidates.
    const FILES: Self = Self(0);
    /// Something follows at once: no blank behind a candidate.
    const OPEN: Self = Self(2);
    /// Nothing but the candidates.
    const ONLY: Self = Self(4);
}

/// A candidate and what it is.
type Candidate = (String, Option<String>);

/// The words behind `__complete`, if that is what is asked; and whether what the candidates are is wanted too.
pub(crate) fn asked(args: &[OsString]) -> Option<(&[OsString], bool)> {
    match args.get(1)?.to_str()? {
        "__complete" => Some((args.get(2..)?, true)),
        "__completeNoDesc" => Some((args.get(2..)?, false)),
        _ => None,
    }
}

/// Answers; `words` are those behind `__complete`, the last one is where the cursor is.
pub(crate) fn run(words: &[OsString], described: bool, args: Vec<OsString>) -> Outcome {
    let mut all = crate::definition();
    all.build();
    let line = line::read(&all, words);
    let context = Context::new(line.root.clone(), None, args);
    let (candidates, directive) = match &line.place {
        Place::Command(below) => (commands(below, &line.typed), Directive::ONLY),
        Place::Option { command, given } => (line::options(command, given, &line.typed), Directive::ONLY),
        Place::Value { command, arg } => offered(offer::value(command.get_name(), arg), &line.typed, &context),
        Place::Word { path, before, given } => offered(offer::word(path, before, given), &line.typed, &context),
        Place::Unknown => (Vec::new(), Directive::FILES),
    };
    let mut text = String::new();
    for (candidate, what) in candidates {
        match what.filter(|_| described) {
            Some(what) => text += &format!("{candidate}\t{}\n", what.lines().next().unwrap_or_default()),
            None => text += &format!("{candidate}\n"),
        }
    }
    crate::command::print(&format!("{text}:{}\n", directive.0))
}

/// The commands below `command` that begin as it was typed.
fn commands(command: &clap::Command, typed: &str) -> Vec<Candidate> {
    let shown = command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name().starts_with(typed));
    let mut all: Vec<Candidate> =
        shown.map(|c| (c.get_name().to_owned(), c.get_about().map(ToString::to_string))).collect();
    all.sort();
    all
}

fn offered(offer: Offer, typed: &str, context: &Context) -> (Vec<Candidate>, Directive) {
    let plain = |words: Vec<String>| words.into_iter().map(|word| (word, None)).collect();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    // What ends in one of these is a beginning.
    let settled = |all: Vec<String>| {
        let mut fitting = all.iter().filter(|word| word.starts_with(typed)).peekable();
        let open = fitting.peek().is_some() && fitting.all(|word| word.ends_with(['=', ':', '-', ',']));
        (plain(all), if open { Directive::OPEN } else { Directive::ONLY })
    };
    match offer {
        Offer::Nothing => (Vec::new(), Directive::ONLY),
        Offer::Files => (Vec::new(), Directive::FILES),
        Offer::Words(list) => settled(words(list)),
        Offer::Namespace(list) => match typed.strip_prefix("container:") {
            Some(_) => {
                let names = known::containers(context, known::Which::Any);
                (plain(names.into_iter().map(|name| format!("container:{name}")).collect()), Directive::ONLY)
            }
            None => settled(words(list)),
        },
        Offer::Networks => match typed.strip_prefix("container:") {
            Some(_) => offered(Offer::Namespace(&[]), typed, context),
            None => (plain(known::networks(context)), Directive::ONLY),
        },
        Offer::Containers(which) => (plain(known::containers(context, which)), Directive::ONLY),
        // `cp`: a file of a container's begins with its name, another one with its own
        Offer::Paths if typed.contains(':') => (Vec::new(), Directive::OPEN),
        Offer::Paths => {
            let names = known::containers(context, known::Which::Any);
            let names: Vec<String> = names.into_iter().map(|name| name + ":").collect();
            let fits = !typed.is_empty() && names.iter().any(|name| name.starts_with(typed));
            (if fits { plain(names) } else { Vec::new() }, if fits { Directive::OPEN } else { Directive::FILES })
        }
        Offer::Images { host } => {
            let host = host.then(|| engine::request::HOST.to_owned());
            (plain(host.into_iter().chain(known::images(context)).collect()), Directive::ONLY)
        }
        Offer::Objects => {
            let containers = known::containers(context, known::Which::Any);
            (plain(containers.into_iter().chain(known::images(context)).collect()), Directive::ONLY)
        }
        Offer::Secrets => (plain(known::secrets(context)), Directive::ONLY),
        Offer::Variables => {
            let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
            let mut names: Vec<String> = names.collect();
            names.sort();
            (plain(names), Directive::ONLY)
        }
        Offer::Capabilities => {
            let all = spec::capability::ALL.iter().map(|capability| spec::capability::name(*capability));
            (plain(std::iter::once("ALL".to_owned()).chain(all).collect()), Directive::ONLY)
        }
        Offer::Signals => {
            let all = nix::sys::signal::Signal::iterator().map(|signal| signal.as_str().replacen("SIG", "", 1));
            (plain(all.collect()), Directive::ONLY)
        }
    }
}

/// A word as it was typed: quotes around it are the shell's.
fn unquoted(word: &OsStr) -> String {
    word.to_string_lossy().trim_start_matches(['"', '\'']).to_owned()
}
