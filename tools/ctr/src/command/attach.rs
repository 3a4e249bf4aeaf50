//! `ctr attach`: our terminal or streams, connected to a container that runs.

use super::Context;
use crate::options::streams::{Attaching, check_terminal};
use cli::failure::{Failure, Outcome};
use engine::attach::{self, End};
use engine::life::{self, Asked, Site};
use engine::request::streams::Streams;
use std::os::unix::net::UnixStream;
use store::{Record, Root, Status};

/// Options of `ctr attach`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    attaching: Attaching,
    /// Do not attach standard input
    #[arg(long)]
    no_stdin: bool,
    /// The container
    container: String,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    let asked = Asked::of(&record)?;
    check(&root, &record, false)?;
    let tty = asked.request.tty;
    check_terminal(!args.no_stdin, tty)?;
    let stdin = !args.no_stdin && asked.request.interactive;
    let streams = Streams { stdin, stdout: true, stderr: true, stdin_once: false };
    let options = attach::Options { redraw: true, ..args.attaching.read(streams, tty, context)? };
    let socket = attach::connect(&context.place()?, &record.id)?;
    engine::events::container(&root, &record, "attach", &[]);
    let end = attach::run(socket, options)?;
    match end {
        End::Detached => Ok(left()),
        end => conclude(end),
    }
}

/// Refuses what nobody can be attached to now, in docker's words; one that is to be `started` may be at rest.
pub(super) fn check(root: &Root, record: &Record, started: bool) -> Result<(), Failure> {
    let refused = match life::state(root, &record.id)?.status {
        Status::Running => return Ok(()),
        Status::Paused => "You cannot attach to a paused container, unpause it first",
        Status::Restarting => "You cannot attach to a restarting container, wait until it is running",
        _ if started => return Ok(()),
        _ => "You cannot attach to a stopped container, start it first",
    };
    Err(Failure::new(refused).hint(format!("ctr inspect {} shows how it is", record.name)))
}

/// The supervisor of one that runs; none of one that does not, or not any more.
pub(super) fn connect(site: Site<'_>, record: &Record) -> Result<Option<UnixStream>, Failure> {
    let runs = || Ok::<_, Failure>(life::state(site.root, &record.id)?.status == Status::Running);
    if !runs()? {
        return Ok(None);
    }
    match attach::connect(site.place, &record.id) {
        Ok(socket) => Ok(Some(socket)),
        Err(_) if !runs()? => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says that somebody left by the keys; docker's exit code for it. The words stand alone, below what the terminal showed.
pub(crate) fn left() -> u8 {
    cli::output::err_line("read escape sequence");
    cli::exit::FAILED
}

/// docker's exit code for a stay at a container. Leaving one that was just started is no failure.
pub(crate) fn conclude(end: End) -> Outcome {
    match end {
        End::Detached | End::Unread | End::Taken => Ok(cli::exit::DONE),
        End::Exited(code) => Ok(code),
        End::Failed { message, hint, code } => Err(Failure { message, hint, code }),
        End::Signalled(number) => Ok(cli::exit::signalled(number)),
        End::Forced => {
            Err(Failure::new("got 3 SIGTERM/SIGINTs, forcefully exiting")
                .hint("the container goes on: ctr stop ends it"))
        }
        End::Dropped(why) => Err(Failure::new(why).hint("ctr attach comes back to it, ctr logs shows what was missed")),
    }
}
