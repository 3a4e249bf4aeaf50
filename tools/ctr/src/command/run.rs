//! `ctr run`: a command in a new container; with `--explain` the commands it consists of, as a script.

use super::Context;
use super::create::{self, Made, New};
use crate::context::run_failure;
use crate::options::Options;
use crate::options::streams::{Attaching, check_terminal};
use cli::failure::{Failure, Outcome};
use engine::accounts::Accounts;
use engine::attach::{self, End};
use engine::launch::{self, Base, Starting};
use engine::life::Site;
use engine::life::start::{see_off, wait_started, with_last_words};
use engine::machine::Machine;
use engine::plan::{self, Inputs, Writable};
use engine::process;
use engine::request::{HOST, Network, Request};
use engine::script;
use engine::surroundings::Surroundings;
use engine::tools::Tools;
use std::os::fd::OwnedFd;

/// Options of `ctr run`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Run in the background and print the container's id
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    attaching: Attaching,
    #[command(flatten)]
    options: Options,
    /// Print the single commands this consists of, as a script, and do nothing
    #[arg(long)]
    explain: bool,
    /// Give it our descriptors 3 to N+2 too
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u16,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let ours = |failure: Failure| failure.code(cli::exit::OURS);
    let mut request = args.options.request().map_err(ours)?;
    request.streams = args.options.streams.read(request.interactive, args.detach)?;
    let given = launch::given(args.preserve_fds).map_err(|e| ours(e.into()))?;
    let (request, machine) = create::checked(request, context)?;
    if args.explain {
        if !given.is_empty() {
            let why = Failure::new("--preserve-fds cannot be explained: the script is read from a descriptor itself");
            return Err(ours(why.hint("leave it out")));
        }
        return explain(&args, &request, &machine, context).map_err(ours);
    }
    context.become_root().map_err(ours)?;
    start(&args, &request, machine, &given, context)
}

fn start(args: &Args, request: &Request, machine: Machine, given: &[OwnedFd], context: &Context) -> Outcome {
    check_terminal(request.streams.stdin, request.tty)?;
    let attaching =
        if args.detach { None } else { Some(args.attaching.read(request.streams, request.tty, context)?) };
    // Its supervisor gets ready while the record is written.
    let both = |new: New<'_>| {
        let begun = launch::begin(new.root, new.request, new.place, new.own, new.machine)?;
        begun.create(new.root, new.request, new.base, new.name)
    };
    let made = create::make(&args.options, request, machine, context, both);
    let (Made { root, place, own, record }, waiting) = made.map_err(|failure| match failure.code {
        cli::exit::FAILED => by_its_words(failure),
        _ => failure,
    })?;
    // From here on a signal is the container's: whoever sends one means what runs, and not this client.
    let prepared = attaching.clone().map(attach::prepare).transpose().map_err(run_failure)?;
    if prepared.is_some() {
        engine::events::container(&root, &record, "attach", &[]);
    }
    let Starting { socket, supervisor } = waiting.go(given).map_err(run_failure)?;
    let (end, synced) = std::thread::scope(|scope| {
        // What goes with its end need not outlive the machine's. The disk is nobody's reason to wait before the container is heard.
        let sync = || root.sync_container(&record.id);
        let syncing = (!request.remove).then(|| std::thread::Builder::new().spawn_scoped(scope, sync));
        let end = match prepared {
            None => attach::until_started(socket),
            Some(prepared) => prepared.run(socket).map(Some),
        };
        let synced = match syncing {
            None => Ok(()),
            Some(Ok(syncing)) => syncing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Some(Err(_)) => sync(),
        };
        (end, synced)
    });
    match synced {
        // It has ended, and somebody removed it.
        Err(e) if e.kind == store::Kind::NotFound => {}
        // The container runs all the same, or has run: that is what is to be told of by the exit code.
        Err(e) => Failure::from(e).report("ctr"),
        Ok(()) => {}
    }
    let lost = |error: engine::Error| supervisor_lost(error, &root, &record, request.remove);
    let end = match (end.map_err(lost)?, attaching) {
        (Some(End::Taken), Some(options)) => {
            let site = Site { root: &root, place: &place, own: &own };
            Some(with_another(site, &record, options).map_err(lost)?)
        }
        // It runs by somebody else's hand.
        (Some(End::Taken), None) => None,
        (end, _) => end,
    };
    let Some(end) = end else {
        let _ = cli::output::line(record.id.as_str());
        return Ok(cli::exit::DONE);
    };
    let over = matches!(end, End::Exited(_) | End::Failed { .. });
    let code = super::attach::conclude(end);
    if !over {
        return code;
    }
    see_off(&root, &record, &supervisor);
    code
}

/// Somebody else was quicker to start what we made: we stay with his run.
fn with_another(site: Site<'_>, record: &store::Record, options: attach::Options) -> engine::Result<End> {
    wait_started(site, record)?;
    let state = engine::life::state(site.root, &record.id)?;
    match engine::life::is_active(state.status) {
        true => {
            let options = attach::Options { redraw: true, ..options };
            attach::run(attach::connect(site.place, &record.id)?, options)
        }
        false => Ok(End::Exited(state.exit_code)),
    }
}

/// docker's client takes the exit code from the words of what went wrong, whatever that was (`toStatusError`).
fn by_its_words(failure: Failure) -> Failure {
    let has = |words: &str| failure.message.contains(words);
    let code = match () {
        () if has("no such file or directory") || has("executable file not found") => 127,
        () if has("permission denied") || has("is a directory") => 126,
        () => cli::exit::OURS,
    };
    failure.code(code)
}

/// The supervisor went away without a word: what it left in its own log, if anything, and no container that nobody wants.
fn supervisor_lost(error: engine::Error, root: &store::Root, record: &store::Record, remove: bool) -> Failure {
    let failure = run_failure(with_last_words(root, record, error));
    if remove && engine::life::state(root, &record.id).is_ok_and(|state| state.status == store::Status::Created) {
        let _ = root.remove_container(&record.id);
    }
    failure
}

fn explain(args: &Args, request: &Request, machine: &Machine, context: &Context) -> Outcome {
    let base = if request.image == HOST { Base::host() } else { create::base(request, &context.store()?)? };
    let request = &Request { over_host: base.is_on_host(), ..request.clone() };
    let id = launch::new_id()?;
    let accounts = Accounts::load(&base.layers);
    let shared = match &request.network {
        Network::Container(_) => {
            engine::surroundings::check_shared(machine)?;
            engine::life::shared(&context.store()?, &context.place()?, request)?
        }
        _ => None,
    };
    let hostname = plan::hostname(&id, request, machine, shared.as_ref());
    let process = process::resolve(request, &base.defaults, &accounts, &hostname)?;
    let root = context.state_root()?;
    let inputs = Inputs {
        id: &id,
        request,
        layers: &base.layers,
        process: &process,
        machine,
        writable: Writable::temporary(),
        name: args.options.name(),
        image_ports: &base.defaults.ports,
        shared: shared.as_ref(),
        around: &Surroundings::look(request, || store::Root::open(&root).map_err(engine::error::store))?,
    };
    let plan = plan::make(&inputs)?;
    let tools = Tools::new(&request.programs, context.own()?);
    let words: Vec<String> = context
        .words
        .iter()
        .skip(1)
        .map(|w| w.to_string_lossy().replace('\n', " "))
        .filter(|w| w != "--explain")
        .collect();
    let text = script::print(&plan, &tools, &format!("ctr {}", words.join(" ")));
    let _ = cli::output::write(text.as_bytes());
    Ok(cli::exit::DONE)
}
