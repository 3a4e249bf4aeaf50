//! `ctr run`: a command in a new container; with `--explain` the commands it consists of, as a script.

use super::Context;
use crate::context::run_failure;
use crate::options::Options;
use cli::failure::{Failure, Outcome};
use engine::accounts::Accounts;
use engine::attach::{self, End};
use engine::launch::{self, Base};
use engine::machine::Machine;
use engine::plan::{self, Inputs, Writable};
use engine::process::{self, Defaults};
use engine::request::{HOST, Network, Request};
use engine::tools::{self, Tools};
use engine::{resolver, script, wiring};

/// Options of `ctr run`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Run in the background and print the container's id
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    options: Options,
    /// Print the single commands this consists of, as a script, and do nothing
    #[arg(long)]
    explain: bool,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let ours = |failure: Failure| failure.code(cli::exit::OURS);
    let mut request = args.options.request().map_err(ours)?;
    let machine = context.machine().map_err(ours)?;
    if machine.rootless {
        let carried = ["pasta", "slirp4netns"].into_iter().any(|program| tools::in_path(program).is_some());
        say(wiring::without_root(&mut request, carried).map_err(run_failure)?);
    }
    launch::check(&request, &machine).map_err(run_failure)?;
    say(wiring::discarded(&request));
    tell_of_name_servers(&request, &machine);
    if args.explain {
        return explain(&args, &request, &machine, context).map_err(ours);
    }
    context.become_root().map_err(ours)?;
    start(&args, &request, &machine, context)
}

/// Says a word once: becoming root runs us again.
fn say(word: Option<&str>) {
    if let Some(word) = word.filter(|_| !is_run_again()) {
        cli::output::complain("ctr", word);
    }
}

/// Whether an ordinary user's command is running again, as root of a user namespace.
fn is_run_again() -> bool {
    rustix::process::geteuid().is_root() && std::env::var_os(crate::context::AGAIN).is_some()
}

/// A container cannot ask a name server that listens on the machine's loopback alone.
fn tell_of_name_servers(request: &Request, machine: &Machine) {
    let own = matches!(plan::network(request), Network::Named(name) if !wiring::is_users_program(&name));
    if own && resolver::is_local_only(&machine.resolv_conf) && request.wiring.dns.is_empty() {
        let instead = resolver::FALLBACK.join(" and ");
        say(Some(&format!(
            "this machine's name servers listen on its loopback alone: {instead} are used (--dns names others)"
        )));
    }
}

fn start(args: &Args, request: &Request, machine: &Machine, context: &Context) -> Outcome {
    let ours = |failure: Failure| failure.code(cli::exit::OURS);
    let root = context.store().map_err(|e| ours(e.into()))?;
    let place = context.place().map_err(ours)?;
    let own = context.own().map_err(ours)?;
    engine::life::settle(&root, &place, &own).map_err(run_failure)?;
    if request.tty && request.interactive && !args.detach && !rustix::termios::isatty(std::io::stdin()) {
        return Err(ours(Failure::new("the input device is not a terminal").hint("leave out -t, or -i")));
    }
    // The image cannot go between being found and being used.
    let images = root.lock(store::Lock::Images, store::Mode::Shared).map_err(|e| ours(e.into()))?;
    let base = base(request, &root).map_err(run_failure)?;
    let record = launch::create(&root, request, &base, args.options.name.as_deref()).map_err(run_failure)?;
    drop(images);
    if request.image == HOST {
        tell_what_is_left_out(machine);
    }
    let (socket, mut supervisor) = launch::start(&root, &record, &place, &own, machine).map_err(run_failure)?;
    let lost = |error: engine::Error| supervisor_lost(error, &root, &record, request.remove);
    let end = if args.detach {
        attach::until_started(socket).map_err(lost)?
    } else {
        let options = attach::Options {
            stdin: request.interactive,
            tty: request.tty,
            proxy_signals: !(request.tty && request.interactive),
        };
        Some(attach::run(socket, options).map_err(lost)?)
    };
    let code = match end {
        None => {
            let _ = cli::output::line(record.id.as_str());
            return Ok(cli::exit::DONE);
        }
        // docker: leaving a container that goes on is 0
        Some(End::Detached | End::Unread) => return Ok(cli::exit::DONE),
        Some(End::Exited(code)) => Ok(code),
        Some(End::Failed { message, hint, code }) => Err(Failure { message, hint, code }),
    };
    let _ = supervisor.wait();
    code
}

/// The supervisor went away without a word: what it left in its own log, if anything, and no container that nobody wants.
fn supervisor_lost(error: engine::Error, root: &store::Root, record: &store::Record, remove: bool) -> Failure {
    let words = std::fs::read_to_string(launch::supervisor_log(root, record)).unwrap_or_default();
    let mut failure = run_failure(error);
    if let Some(line) = words.lines().find(|line| !line.trim().is_empty()) {
        failure.message = format!("{}: {line}", failure.message);
    }
    if remove && engine::life::state(root, &record.id).is_ok_and(|state| state.status == store::Status::Created) {
        let _ = root.remove_container(&record.id);
    }
    failure
}

fn base(request: &Request, root: &store::Root) -> engine::Result<Base> {
    if request.image == HOST {
        return Ok(Base::host());
    }
    let image = engine::images::resolve(root, &request.image).map_err(engine::error::store)?;
    Ok(Base { id: Some(image.id), layers: image.layers, defaults: Defaults::of_image(&image.config) })
}

fn explain(args: &Args, request: &Request, machine: &Machine, context: &Context) -> Outcome {
    let base = if request.image == HOST { Base::host() } else { base(request, &context.store()?)? };
    let id = launch::new_id()?;
    let accounts = Accounts::load(&base.layers);
    let shared = match &request.network {
        Network::Container(_) => engine::life::shared(&context.store()?, &context.place()?, request)?,
        _ => None,
    };
    let hostname = plan::hostname(&id, request, machine, shared.as_ref());
    let process = process::resolve(request, &base.defaults, &accounts, &hostname)?;
    let inputs = Inputs {
        id: &id,
        request,
        layers: &base.layers,
        process: &process,
        machine,
        writable: Writable::temporary(),
        name: args.options.name.as_deref(),
        image_ports: &base.defaults.ports,
        shared: shared.as_ref(),
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

/// The image `host` is the root file system alone; what else is mounted on this machine is named once.
fn tell_what_is_left_out(machine: &Machine) {
    if machine.elsewhere.is_empty() {
        return;
    }
    let shown: Vec<String> = machine.elsewhere.iter().take(6).map(|p| p.display().to_string()).collect();
    let more = match machine.elsewhere.len().saturating_sub(shown.len()) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let list = shown.join(", ");
    cli::output::complain("ctr", &format!("host: other file systems are not in view: {list}{more} (-v brings one in)"));
}
