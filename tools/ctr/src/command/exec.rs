//! `ctr exec`: another command in a container that runs, by the OCI runtime's `exec`: it gets our streams and our terminal.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::accounts::Accounts;
use engine::life::{self, Asked};
use engine::tools::Tools;
use engine::{execute, process};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use store::Status;

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
    let process = process_for(&args, &asked, &Accounts::of_container(&root, &record))?;
    let place = context.place()?;
    let tools = Tools::new(&asked.request.programs, context.own()?);

    let log = place.of(&record.id).join(format!("exec-{}.log", std::process::id()));
    let mut command = execute::runtime(&tools, &place.runtime());
    command.arg("--log").arg(&log).args(["--log-format", "json", "exec"]);
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
    let child = command.spawn().map_err(|e| {
        Failure::new(format!("execute {}: {e}", command.get_program().display())).code(cli::exit::CANNOT_EXECUTE)
    })?;
    let status = engine::attach::wait_for(child)?;
    // What kept the command from running is in the log; an exit code alone could be the command's own.
    let kept = engine::supervise::logged_error(&log).map(|(kind, _)| engine::supervise::exit_code(kind));
    let _ = std::fs::remove_file(&log);
    Ok(match (kept, status.code(), status.signal()) {
        // docker: a failure of ours is 126 here
        (Some(125), ..) => cli::exit::CANNOT_EXECUTE,
        (Some(code), ..) => code,
        (None, Some(code), _) => code as u8,
        (None, None, signal) => cli::exit::signalled(signal.unwrap_or(0)),
    })
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
