//! `ctr exec`: another process in a container that runs, by the OCI runtime's `exec`. In the foreground without a terminal it has our
//! own streams; else the container's supervisor starts it, and we are attached to it ([`engine::exec`]).

use super::Context;
use crate::options::process;
use crate::options::streams::{check_terminal, keys};
use cli::failure::{Failure, Outcome};
use engine::attach::{self, End, Keys};
use engine::events;
use engine::exec::{Exec, Wanted};
use engine::life::{self, Asked};
use engine::place::Place;
use engine::request::streams::Streams;
use engine::tools::Tools;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use store::{Record, Root, Status};

/// Options of `ctr exec`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Set environment variables
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = variable)]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Give it our descriptors 3 to N+2 too
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u16,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The container
    container: String,
    /// The command with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Where we are: the container, and what runs in it.
struct Scene<'a> {
    root: &'a Root,
    place: &'a Place,
    record: &'a Record,
    exec: Exec,
    tools: Tools,
    /// What it has as its descriptors 3, 4 and so on.
    given: Vec<OwnedFd>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let env = environment(&args)?;
    let given = engine::launch::given(args.preserve_fds).map_err(|e| Failure::from(e).code(cli::exit::OURS))?;
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    let state = life::state(&root, &record.id)?;
    check_state(state.status, &args.container, &record)?;
    if !args.detach {
        check_terminal(args.interactive, args.tty)?;
    }
    let asked = Asked::of(&record)?;
    let keys = keys(args.detach_keys.as_deref(), context).map_err(|error| {
        // docker's word for them here
        let mut failure = Failure::from(error);
        failure.message = failure.message.replacen("detach keys", "escape keys", 1);
        failure
    })?;
    let wanted = Wanted {
        command: args.command.clone(),
        env,
        user: args.user.clone(),
        workdir: args.workdir.clone(),
        tty: args.tty,
        size: engine::attach::window(),
        privileged: args.privileged,
    };
    let place = context.place()?;
    let exec = Exec::create(&root, &place, &record, &asked, &wanted).map_err(|error| {
        let code = engine::exec::exit_code(error.kind);
        let code = if args.detach || error.kind == engine::Kind::Conflict { cli::exit::FAILED } else { code };
        Failure::from(error).code(code)
    })?;
    let scene = Scene {
        root: &root,
        place: &place,
        record: &record,
        exec,
        tools: Tools::new(&asked.request.programs, context.own()?),
        given,
    };
    // docker: the program, a blank, the arguments
    let words =
        args.command.split_first().map_or_else(String::new, |(first, rest)| format!("{first} {}", rest.join(" ")));
    scene.tell(&format!("exec_create: {words}"), &[]);
    scene.tell(&format!("exec_start: {words}"), &[]);
    match (args.detach, args.tty) {
        (true, _) => scene.in_background(),
        (false, true) => scene.on_terminal(args.interactive, keys),
        (false, false) => scene.with_our_streams(args.interactive),
    }
}

/// docker's words for where nothing can be run.
fn check_state(status: Status, name: &str, record: &Record) -> Result<(), Failure> {
    let (words, hint) = match status {
        Status::Running => return Ok(()),
        Status::Paused => {
            (format!("Container {name} is paused, unpause the container before exec"), format!("ctr unpause {name}"))
        }
        Status::Restarting => (
            format!("Container {name} is restarting, wait until the container is running"),
            format!("ctr logs {name} shows why it ends"),
        ),
        _ => (format!("Container {} is not running", record.id), format!("ctr start {name}")),
    };
    Err(Failure::new(words).hint(hint))
}

impl Scene<'_> {
    fn tell(&self, action: &str, more: &[(&str, &str)]) {
        let id = [("execID", self.exec.id.as_str())];
        events::container(self.root, self.record, action, &[&id, more].concat());
    }

    /// The runtime runs it with our streams, and gives its exit code.
    fn with_our_streams(&self, interactive: bool) -> Outcome {
        let ran = self
            .exec
            .spawn(&self.tools, self.place, &self.record.id, interactive, &self.given)
            .map_err(|e| Failure::from(e).code(cli::exit::CANNOT_EXECUTE));
        let ended = ran.and_then(|child| Ok(attach::wait_for(child)?));
        // What it was to have, secrets of `-e` among it, is not left lying about.
        let status = ended.inspect_err(|_| self.exec.forget())?;
        let code = match (status.code(), status.signal()) {
            (Some(code), _) => code as u8,
            (None, signal) => cli::exit::signalled(signal.unwrap_or(0)),
        };
        // What kept the command from running is in the log; an exit code alone could be the command's own.
        let code = self.exec.failure().map_or(code, |(kind, _)| engine::exec::exit_code(kind));
        self.tell("exec_die", &[("exitCode", &code.to_string())]);
        self.exec.forget();
        Ok(code)
    }

    /// The supervisor runs it; we are in front of its terminal.
    fn on_terminal(&self, interactive: bool, keys: Keys) -> Outcome {
        let streams = Streams { stdin: interactive, stdout: true, ..Streams::default() };
        let options = attach::Options {
            keys,
            exec: Some(self.exec.id.clone()),
            stderr: streams.stderr,
            ..attach::Options::all(streams.stdin, true)
        };
        match attach::run(self.supervisor()?, options)? {
            End::Detached => Ok(super::attach::left()),
            end => super::attach::conclude(end),
        }
    }

    /// The supervisor runs it, and we do not wait.
    fn in_background(&self) -> Outcome {
        match attach::begin(self.supervisor()?, &self.exec.id)? {
            // docker: 1 and not the code that it would have given
            Some(End::Failed { message, hint, .. }) => Err(Failure { message, hint, code: cli::exit::FAILED }),
            _ => Ok(cli::exit::DONE),
        }
    }

    /// The supervisor, which has what the process is given.
    fn supervisor(&self) -> Result<std::os::unix::net::UnixStream, Failure> {
        let socket = attach::connect(self.place, &self.record.id).map_err(|error| {
            self.exec.forget();
            Failure::from(error).hint("without a terminal and in the foreground (no -t, no -d) it works all the same")
        })?;
        attach::give(&socket, &self.given)?;
        Ok(socket)
    }
}

/// `--env-file`, then `-e`, which has the last word; a variable that we have not is left out, as in docker.
fn environment(args: &Args) -> Result<Vec<String>, Failure> {
    let mut env = Vec::new();
    for file in &args.env_file {
        env.extend(process::from_file(file)?);
    }
    env.extend(args.env.iter().filter_map(|text| process::setting(text)));
    Ok(env)
}

fn variable(text: &str) -> Result<String, String> {
    match text.is_empty() || text.starts_with('=') {
        true => Err(format!("invalid environment variable: {text}")),
        false => Ok(text.to_owned()),
    }
}
