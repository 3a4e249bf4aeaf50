//! `ctr exec`: another command in a container that runs. The OCI runtime's `exec` takes our place: streams, terminal and
//! exit code are its.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::accounts::Accounts;
use engine::life::{self, Asked};
use engine::tools::Tools;
use engine::{execute, process};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use store::{Record, Root, Status};

/// Options of `ctr exec`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run in the background
    #[arg(short, long)]
    detach: bool,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set a variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// User, or user and group, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working folder inside
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The container
    container: String,
    /// The command with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    let state = life::state(&root, &record.id)?;
    if state.status != Status::Running {
        return Err(
            Failure::new(format!("container {} is not running", record.name)).hint("ctr ps lists those that are")
        );
    }
    if args.tty && args.interactive && !rustix::termios::isatty(std::io::stdin()) {
        return Err(Failure::new("the input device is not a terminal").hint("leave out -t, or -i"));
    }
    let asked = Asked::of(&record)?;
    let process = process_for(&args, &asked, &accounts(&root, &record))?;
    let place = context.place()?;
    let tools = Tools::new(&asked.request.programs, context.own()?);

    let mut command = execute::runtime(&tools, &place.runtime());
    command.arg("exec");
    if args.tty {
        command.arg("--tty");
    }
    if args.detach {
        command.arg("--detach");
    }
    command.args(["--cwd", &process.cwd]);
    let identity = &process.identity;
    command.args(["--user", &format!("{}:{}", identity.uid, identity.gid)]);
    for setting in &process.env {
        command.args(["--env", setting]);
    }
    command.arg(record.id.as_str()).args(&process.argv);
    if !args.interactive {
        command.stdin(Stdio::null());
    }
    let error = command.exec();
    Err(Failure::new(format!("execute the runtime: {error}")).code(cli::exit::CANNOT_EXECUTE))
}

/// docker: the container's environment, folder and user, unless told otherwise.
fn process_for(args: &Args, asked: &Asked, accounts: &Accounts) -> Result<process::Process, Failure> {
    let mut request = asked.request.clone();
    request.entrypoint = Some(String::new());
    request.command.clone_from(&args.command);
    request.env.extend(args.env.iter().cloned());
    request.tty = args.tty;
    request.user = args.user.clone().or(request.user);
    request.workdir = args.workdir.clone().or(request.workdir);
    let hostname = request.hostname.clone().unwrap_or_default();
    Ok(process::resolve(&request, &asked.defaults, accounts, &hostname)?)
}

fn accounts(root: &Root, record: &Record) -> Accounts {
    let upper: PathBuf = root.container_layer(&record.id).join("diff");
    Accounts::load(&record.layers.iter().cloned().chain([upper]).collect::<Vec<_>>())
}
