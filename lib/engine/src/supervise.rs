//! The supervisor: one small process a container has, in a mount namespace of its own.
//!
//! It executes the plan, has the OCI runtime run the container, moves bytes between the container, its log
//! and whoever is attached, waits for the container's end, takes everything back, and writes down how it went. It is a
//! subreaper, so that the container's PID 1 is its child whatever runtime made it.
//!
//! Where the container is to run again ([`crate::restart`]) it executes itself for each run: one process over all of them.
//!
//! What happens when it dies: mounts and FUSE servers go with its mount namespace and the container's; the container's
//! process goes on until it writes to nobody; [`crate::life::settle`] of the next command clears the rest away.

use crate::accounts::Accounts;
use crate::exec::{Begun, Exec};
use crate::execute::{self, Execution, Values};
use crate::health::Look;
use crate::life::{Asked, Site, claim};
use crate::machine::Machine;
use crate::place::Place;
use crate::plan::{self, Inputs, Plan, Writable};
use crate::request::health::Check;
use crate::stream::Event;
use crate::surroundings::Surroundings;
use crate::text::Text;
use crate::tools::Tools;
use crate::{Error, Kind, Result, process, restart};
use nix::sys::signalfd::SignalFd;
use spec::ContainerId;
use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use store::{Record, Root, State, Status};

mod container;
pub(crate) mod hello;
mod mounts;
mod oom;
mod probe;
mod pump;
pub(crate) mod watch;

/// The last error in a runtime's JSON log, and what kind it is.
pub fn logged_error(log: &Path) -> Option<(Kind, String)> {
    container::logged_error(log)
}

pub(crate) use container::receive_terminal;

/// Looks once at the health of the running container `id`, as its supervisor does: bounded in time and in what is kept of what
/// it prints. `runtime` is the OCI runtime without a verb, `tmp` the container's folder for run state.
pub fn look(
    runtime: std::process::Command,
    tmp: &Path,
    id: &spec::ContainerId,
    check: Check,
    words: &[String],
) -> Result<Look> {
    let pid_file = format!("health.{}.pid", std::process::id());
    let probe = container::probe(runtime, tmp, &pid_file, id, check, words)?;
    let look = probe.look_now();
    let _ = std::fs::remove_file(tmp.join(pid_file));
    Ok(look)
}

/// A supervisor that has done all it can before it is told to begin.
#[derive(Debug)]
pub struct Ready {
    control: OwnedFd,
    signals: SignalFd,
    machine: Machine,
    hello: hello::Hello,
}

/// Gets ready, and waits for the first words of whoever holds the other end of `control`, or for his end. Only then the container
/// is certain to be there.
pub fn ready(root: &Root, control: OwnedFd) -> Result<Ready> {
    detach_from_session()?;
    let signals = watch::signals()?;
    let machine = Machine::probe(root.path());
    let hello = hello::receive(control.as_fd());
    let hello = hello
        .ok_or_else(|| Error::new(Kind::Failed, "begin", "").because("whoever started this supervisor is gone"))?;
    Ok(Ready { control, signals, machine, hello })
}

/// Supervises the container `record`, from its creation to an end that is not followed by another start, telling whoever holds
/// the other end of the socket. Returns when the container has ended; errors have been told and written down.
pub fn run(root: &Root, record: &Record, place: &Place, own: PathBuf, ready: Ready) -> Result<()> {
    let Ready { control, signals, machine, hello } = ready;
    let waited = hello.words.again_after_ms.map(Duration::from_millis);
    let mut clients = pump::Clients::new(waited.is_none().then(|| UnixStream::from(control)));
    let claimed = match waited {
        None => claim::claim(root, record, &place.of(&record.id)),
        Some(_) => claim::again(root, record, &place.of(&record.id)),
    };
    let run = Run { root, record, place, own: &own, machine: &machine, waited, given: &RefCell::new(hello.given) };
    let listener = hello.listener.map(UnixListener::from);
    let result = match claimed {
        Ok(Some(before)) => match supervise(&run, listener, &signals, &mut clients) {
            Ok(ended) => conclude(&run, ended, &mut clients),
            Err(error) => {
                claim::failed(root, record, &place.of(&record.id), &before, &error);
                Err(error)
            }
        },
        Ok(None) => {
            clients.tell(&Event::Taken);
            Ok(None)
        }
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        let code = exit_code(error.kind);
        clients.tell(&Event::Failed { message: error.to_string(), hint: error.hint.clone(), code });
    }
    // Before another run nobody is waited for for ever.
    clients.flush(matches!(result, Ok(Some(_))).then_some(pump::PATIENCE));
    drop(clients);
    let Some(Again { listener, delay }) = result? else { return Ok(()) };
    restart::rest(root, record, &listener, &signals, delay);
    let error = restart::again(root, record, place, &own, hello.machine, &listener, delay);
    let before = State { status: Status::Exited, ..root.container_state(&record.id).unwrap_or_default() };
    claim::failed(root, record, &place.of(&record.id), &before, &error);
    Err(error)
}

/// podman's exit code of a container that was killed because it had run for its `--timeout`.
const TIMED_OUT: u8 = 255;

/// One run of a container.
#[derive(Debug, Clone, Copy)]
struct Run<'a> {
    root: &'a Root,
    record: &'a Record,
    place: &'a Place,
    own: &'a Path,
    machine: &'a Machine,
    /// How long was waited for it, where it is not the first.
    waited: Option<Duration>,
    /// What the container is given as its descriptors 3, 4 and so on.
    given: &'a RefCell<Vec<OwnedFd>>,
}

/// A run whose process has ended.
struct Ended {
    code: u8,
    /// What could not be cleared away.
    trouble: Option<Error>,
    /// Whether there is another one whatever the policy says.
    forced: bool,
    listener: UnixListener,
    begin: Instant,
}

/// Another run is to come.
struct Again {
    listener: UnixListener,
    delay: Duration,
}

/// docker's exit codes for what goes wrong before the command runs.
pub fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::CannotExecute => 126,
        Kind::CommandNotFound => 127,
        _ => 125,
    }
}

fn supervise(
    run: &Run<'_>,
    listener: Option<UnixListener>,
    signals: &SignalFd,
    clients: &mut pump::Clients,
) -> Result<Ended> {
    let Run { root, record, place, own, machine, given, .. } = *run;
    let asked = Asked::of(record)?;
    let id = &record.id;
    place.ensure()?;
    let tmp = place.of(id);
    let fail = |e: std::io::Error| crate::error::system("make", tmp.display(), e);
    std::fs::create_dir_all(&tmp).map_err(fail)?;
    let listener = listener.map_or_else(|| listen(&tmp), Ok)?;
    let begin = Instant::now();

    let tools = Tools::new(&asked.request.programs, own.to_owned());
    let plan = plan_for(root, record, &asked, place, machine)?;
    let mut execution = Execution::new(&tools, Values::new(tmp.clone()), root.path());
    let state_dir = place.runtime();
    let mut forced = false;
    let result = execution.run(&plan).and_then(|()| {
        if claim::is_unwanted(&root.container_state(id).map_err(crate::error::store)?) {
            return Err(unwanted(id));
        }
        let container = container::run(&execution, &state_dir, &plan, &given.take()).inspect_err(|_| {
            // It may run already.
            let _ = container::delete(&execution, &state_dir, id).and_then(execute::Running::end);
        })?;
        let outcome = live(run, &asked, &execution, container, &listener, clients, signals, &mut forced);
        Ok((outcome, container::delete(&execution, &state_dir, id)))
    });
    // What is unmounted here is not the container's any more, whatever the runtime is still at.
    let undone = execution.undo();
    let (outcome, deletion) = result?;
    let deleted = deletion.and_then(|deletion| deletion.end().map(drop));
    let code = outcome?;
    let cleared = clear_but_socket(&tmp).map_err(|e| crate::error::system("remove", tmp.display(), e));
    let trouble = deleted.and(undone).and(cleared).err();
    Ok(Ended { code, trouble, forced, listener, begin })
}

/// Writes down how a run went, whether everything of it could be cleared away or not, and tells.
fn conclude(run: &Run<'_>, ended: Ended, clients: &mut pump::Clients) -> Result<Option<Again>> {
    let Run { root, record, place, waited, .. } = *run;
    let Ended { code, trouble, forced, listener, begin } = ended;
    // What it was asked for may have been changed meanwhile.
    let now = root.container(&record.id);
    let policy = Asked::of(now.as_ref().unwrap_or(record)).map(|asked| asked.request.restart);
    let wants = |state: &State| forced || policy.is_ok_and(|policy| policy.wants(code, state.restart_count));
    let ending = claim::Ending { run: &place.of(&record.id), code, trouble: trouble.as_ref() };
    let again = claim::ended(root, record, ending, wants);
    clients.tell(&Event::Exited { code });
    let delay = restart::delay(waited, begin.elapsed());
    Ok(again?.then_some(Again { listener, delay }))
}

/// The socket that clients connect to.
fn listen(tmp: &Path) -> Result<UnixListener> {
    let path = tmp.join("attach");
    let fail = |e: std::io::Error| Error::new(Kind::Failed, "listen on", path.display()).because(e);
    // One that a killed supervisor left: whoever owns the container now is us.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

/// The socket stays while there may be another run.
fn clear_but_socket(tmp: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(tmp)? {
        let entry = entry?;
        if entry.file_name() != "attach" {
            store::remove::tree(&entry.path())?;
        }
    }
    Ok(())
}

/// The container's plan, with its writable layer in the store.
fn plan_for(root: &Root, record: &Record, asked: &Asked, place: &Place, machine: &Machine) -> Result<Plan> {
    let layer = root.container_layer(&record.id);
    let text = |name: &str| Text::plain(&layer.join(name).to_string_lossy());
    let accounts = Accounts::of_container(root, record);
    let shared = crate::life::shared(root, place, &asked.request)?;
    let hostname = plan::hostname(&record.id, &asked.request, machine, shared.as_ref());
    let process = process::resolve(&asked.request, &asked.defaults, &accounts, &hostname)?;
    plan::make(&Inputs {
        id: &record.id,
        request: &asked.request,
        layers: &record.layers,
        process: &process,
        machine,
        writable: Writable { upper: text("diff"), work: text("work"), init: text("init"), in_tmp: false },
        name: Some(&record.name),
        image_ports: &asked.defaults.ports,
        shared: shared.as_ref(),
        around: &Surroundings::look(&asked.request, || Root::open(root.path()).map_err(crate::error::store))?,
    })
}

fn unwanted(id: &ContainerId) -> Error {
    Error::new(Kind::Conflict, "", format!("container {id} is being removed"))
}

/// From the start to the end of PID 1; gives its exit code, and whether it is to be started again whatever its policy says.
#[allow(clippy::too_many_arguments)]
fn live(
    run: &Run<'_>,
    asked: &Asked,
    execution: &Execution<'_>,
    container: container::Container,
    listener: &UnixListener,
    clients: &mut pump::Clients,
    signals: &SignalFd,
    forced: &mut bool,
) -> Result<u8> {
    let Run { root, record, place, own, .. } = *run;
    let (id, state_dir) = (&record.id, place.runtime());
    let once = asked.request.streams.stdin_once;
    let log = crate::log::Writer::open(root, record, asked)?;
    let check = watch::check(asked);
    let running = |state: &mut State| {
        if claim::is_unwanted(state) {
            return;
        }
        state.status = Status::Running;
        // `true` has ended by now.
        state.process = crate::life::identity::child(container.pid);
        state.address = execution.values.addresses().first().cloned();
        state.wires.clone_from(&execution.values.wires);
        state.root = Some(execution.values.tmp.join("root"));
        state.started = Some(jiff::Timestamp::now().to_string());
        crate::health::begin(state, check.as_ref());
    };
    if claim::is_unwanted(&root.update_container(id, running).map_err(crate::error::store)?) {
        return Err(unwanted(id));
    }
    let memory = oom::Memory::of(container.pid, id.as_str(), &asked.request.limits);
    crate::events::container(root, record, "start", &[]);
    // It runs all the same where its networks cannot be told.
    let _ = crate::life::rename::catch_up(Site { root, place, own }, record, asked);
    clients.tell(&Event::Started);
    let others = &asked.request.programs;
    let foreign = [&others.runtime, &others.mount, &others.netwire].into_iter().flatten();
    let needed: Vec<&Path> = [root.path(), place.path(), own].into_iter().chain(foreign.map(|p| p.as_path())).collect();
    mounts::leave(&needed, place.path());
    let kill = |number: i32| container::kill(execution, &state_dir, id, number);
    let words = check.as_ref().and_then(|check| check.command(&asked.defaults.shell));
    let limit = Some(asked.request.stop.limit_s).filter(|seconds| *seconds > 0).map(Duration::from_secs);
    let limit = limit.map(|limit| Instant::now() + limit);
    let mut watch = watch::Watch {
        root,
        record,
        asked,
        own,
        first: container.pid,
        kill: &kill,
        signals,
        memory,
        probe: check
            .zip(words)
            .map(|(check, words)| {
                let runtime = execution.runtime(&state_dir);
                container::probe(runtime, &execution.values.tmp, "health.pid", id, check, &words)
            })
            .transpose()?,
        deadline: limit,
        limit,
        timed_out: false,
        again: false,
        rest_at: None,
        unreaped: false,
    };
    let programs = Programs { run, tools: execution.tools() };
    let code = pump::run(container, once, log, listener, clients, &mut watch, &programs)?;
    let code = if watch.timed_out { TIMED_OUT } else { code };
    claim::tell_end(root, record, code);
    *forced = watch.again;
    Ok(code)
}

/// Other processes in the container, run by the OCI runtime.
struct Programs<'a> {
    run: &'a Run<'a>,
    tools: &'a Tools,
}

impl pump::Programs for Programs<'_> {
    fn begin(&self, id: &str, given: &[OwnedFd]) -> Result<Begun> {
        let (place, container) = (self.run.place, &self.run.record.id);
        let exec = Exec::named(place, container, id);
        let exec = exec.ok_or_else(|| Error::new(Kind::NotFound, "", format!("No such exec instance: {id}")))?;
        exec.begin(self.tools, place, container, given)
    }

    fn ended(&self, id: &str, code: u8) {
        let more = [("execID", id), ("exitCode", &*code.to_string())];
        crate::events::container(self.run.root, self.run.record, "exec_die", &more);
        if let Some(exec) = Exec::named(self.run.place, &self.run.record.id, id) {
            exec.forget();
        }
    }
}

/// A session of our own, no terminal, and every orphan below us ours to wait for.
fn detach_from_session() -> Result<()> {
    let fail = |e: rustix::io::Errno| crate::error::system("detach", "the supervisor", e);
    // Fails only where we lead a process group already, and then there is nothing to leave.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT)).map_err(fail)?;
    Ok(())
}
