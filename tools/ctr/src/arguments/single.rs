//! One command's line read by that command's definition alone.
//!
//! clap's description of all commands takes longer to make than the kernel takes to start a program, and most of it is of
//! commands that nobody asked for. So a line that begins with a command that is typed often is read by that one's description, and what
//! a supervisor is started with by none at all. Whatever is not plain here (an option before the command, help, anything wrong) is
//! `None`: then the whole definition reads the line, and finds the words for what is wrong.

use super::client::Client;
use super::{Arguments, Command, words};
use crate::command;
use clap::{Args, FromArgMatches};
use std::ffi::{OsStr, OsString};

/// Reads `args` (the program's name first), where it is one of those commands.
pub(super) fn parse(args: &[OsString]) -> Option<Arguments> {
    let (name, rest) = args.get(1..)?.split_first()?;
    let root = None;
    let command = match name.to_str()? {
        "--root" => return supervise(rest),
        "run" => Command::Run(Box::new(read("run", rest)?)),
        "create" => Command::Create(Box::new(read("create", rest)?)),
        "exec" => Command::Exec(read("exec", rest)?),
        "ps" => Command::Ps(read("ps", rest)?),
        "start" => Command::Start(read("start", rest)?),
        "stop" => Command::Stop(read("stop", rest)?),
        "kill" => Command::Kill(read("kill", rest)?),
        "rm" => Command::Rm(read("rm", rest)?),
        "wait" => Command::Wait(read("wait", rest)?),
        "logs" => Command::Logs(read("logs", rest)?),
        "inspect" => Command::Inspect(read("inspect", rest)?),
        _ => return None,
    };
    Some(Arguments { version: None, root, client: Client::default(), command, podmans: false })
}

/// `--root DIR supervise ID`
fn supervise(words: &[OsString]) -> Option<Arguments> {
    let [root, name, id] = words else { return None };
    let id = id.to_str().filter(|id| name == OsStr::new("supervise") && !id.starts_with('-'))?.to_owned();
    let args = command::supervise::Args { id, compress: None };
    let (root, command) = (Some(root.into()), Command::Supervise(args));
    Some(Arguments { version: None, root, client: Client::default(), command, podmans: false })
}

fn read<A: Args + FromArgMatches>(name: &'static str, behind: &[OsString]) -> Option<A> {
    let mut command = A::augment_args(clap::Command::new(name));
    command.build();
    let read = words::read(&command, behind).ok().filter(|read| !read.help)?;
    words::count(&command, name, &read).ok()?;
    let line = std::iter::once(OsString::from(name)).chain(read.into_words());
    A::from_arg_matches(&command.try_get_matches_from(line).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, FromArgMatches};

    fn line(words: &str) -> Vec<OsString> {
        std::iter::once("ctr").chain(words.split(' ')).map(OsString::from).collect()
    }

    #[test]
    fn a_line_means_the_same_by_both_ways() {
        for words in [
            "run --rm --network none busybox true",
            "run -dit --name=a -e A=b -v /a:/b -p 80:80 -m 64m --cpus .5 busybox sh -c x -- --rm",
            "run busybox -Z",
            "create --init busybox",
            "exec -it -u root:root one sh -c -x",
            "ps -aq --filter name=x --no-trunc",
            "ps -n -1",
            "ps --all=false",
            "start -a one",
            "stop -t -1 a b",
            "kill -s TERM a",
            "rm a -f",
            "wait a",
            "logs -f --tail 5 a",
            "inspect -f {{.Id}} a",
            "--root /x supervise 1234",
        ] {
            let alone = parse(&line(words)).unwrap_or_else(|| panic!("{words}: not read"));
            let mut all = Arguments::command();
            all.build();
            let (_, plain) = super::super::plain(&all, &line(words)[1..]).unwrap_or_else(|_| panic!("{words}: wrong"));
            let matches = all.try_get_matches_from(std::iter::once("ctr".into()).chain(plain)).expect(words);
            let whole = Arguments::from_arg_matches(&matches).expect(words);
            assert_eq!(format!("{alone:?}"), format!("{whole:?}"), "{words}");
        }
    }

    #[test]
    fn what_is_not_plain_is_for_the_whole_definition() {
        for words in
            ["run", "run --help", "run --bad x", "ps x", "ps -h", "images", "--root /x ps", "rm", "container ls"]
        {
            assert!(parse(&line(words)).is_none(), "{words}");
        }
    }
}
