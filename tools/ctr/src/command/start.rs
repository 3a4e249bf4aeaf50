//! `ctr start`: starts containers that were made or have ended.

use super::{Containers, Context};
use crate::options::streams::{Attaching, check_terminal};
use cli::failure::{Failure, Outcome};
use engine::attach::{self, End};
use engine::launch::Starting;
use engine::life::start;
use engine::life::{Asked, Site};
use engine::machine::Machine;
use engine::request::streams::Streams;
use std::process::Child;
use store::{Record, Root};

/// Options of `ctr start`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Attach standard output and error, and pass signals on
    #[arg(short, long)]
    attach: bool,
    /// Attach standard input
    #[arg(short, long)]
    interactive: bool,
    /// The keys that leave it
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    #[command(flatten)]
    these: Containers,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    if (args.attach || args.interactive) && args.these.names.len() > 1 {
        return Err(Failure::new("you cannot start and attach multiple containers at once")
            .hint("one at a time, or without -a and -i"));
    }
    let root = context.store()?;
    let place = context.place()?;
    let own = context.own()?;
    let machine = context.machine()?;
    let site = Site { root: &root, place: &place, own: &own };
    engine::life::settle(&root, &place, &own)?;
    if let ([name], true) = (&args.these.names[..], args.attach || args.interactive) {
        return attached(&args, context, site, &find(&root, name)?, &machine);
    }
    let mut failed = Vec::new();
    for name in &args.these.names {
        match find(&root, name).and_then(|record| Ok(start::start(site, &record, &machine)?)) {
            Ok(()) => drop(super::print(&format!("{name}\n"))?),
            Err(failure) => {
                failure.report("ctr");
                failed.push(name.as_str());
            }
        }
    }
    match failed.is_empty() {
        true => Ok(0),
        false => Err(Failure::new(format!("Error: failed to start containers: {}", failed.join(", ")))),
    }
}

fn find(root: &Root, name: &str) -> Result<Record, Failure> {
    Ok(root.find_container(name)?)
}

/// How often somebody else may start it, and it may end, just before we do.
const TRIES: u32 = 5;

/// Starts one with our streams, until it ends. With one that runs already, or that somebody else starts, we stay as whoever started it:
/// docker is attached before it starts, and takes what runs by then.
fn attached(args: &Args, context: &Context, site: Site<'_>, record: &Record, machine: &Machine) -> Outcome {
    let asked = Asked::of(record)?;
    let tty = asked.request.tty;
    let stdin = args.interactive && asked.request.interactive;
    check_terminal(stdin, tty)?;
    let streams = Streams { stdin, stdout: true, stderr: true, stdin_once: false };
    let attaching = Attaching { detach_keys: args.detach_keys.clone(), sig_proxy: true };
    let options = attaching.read(streams, tty, context)?;
    let mut told = false;
    let mut tell = || {
        if !std::mem::replace(&mut told, true) {
            engine::events::container(site.root, record, "attach", &[]);
        }
    };
    for _ in 0..TRIES {
        super::attach::check(site.root, record, true)?;
        if let Some(socket) = super::attach::connect(site, record)? {
            tell();
            let options = attach::Options { redraw: true, ..options };
            return stay(attach::run(socket, options), site, record, None);
        }
        tell();
        let Some(waiting) = start::begin(site, record, machine)? else { continue };
        // Its supervisor inherits nothing of this, and hears no word before it.
        let prepared = attach::prepare(options.clone())?;
        let Starting { socket, supervisor } = waiting.go(&[])?;
        match prepared.run(socket) {
            Ok(End::Taken) => start::wait_started(site, record)?,
            end => return stay(end, site, record, Some(&supervisor)),
        }
    }
    Err(Failure::new(format!("container {} is started and ended by somebody else all the time", record.name))
        .hint(format!("ctr events --filter container={} shows by whom", record.name)))
}

/// What came of a stay, with docker's exit code.
fn stay(end: engine::Result<End>, site: Site<'_>, record: &Record, supervisor: Option<&Child>) -> Outcome {
    let end = end.map_err(|error| start::with_last_words(site.root, record, error))?;
    let over = matches!(end, End::Exited(_) | End::Failed { .. });
    // docker: only `run` tells 126 and 127 apart
    let failed = matches!(end, End::Failed { .. });
    let code =
        super::attach::conclude(end).map_err(|failure| if failed { failure.code(cli::exit::FAILED) } else { failure });
    if let Some(supervisor) = supervisor.filter(|_| over) {
        start::see_off(site.root, record, supervisor);
    }
    code
}
