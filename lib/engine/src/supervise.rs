//! The supervisor: one small process a container has, in a mount namespace of its own.
//!
//! It executes the plan, has the OCI runtime create and start the container, moves bytes between the container, its log
//! and whoever is attached, waits for the container's end, takes everything back, and writes down how it went. It is a
//! subreaper, so that the container's PID 1 is its child whatever runtime made it.
//!
//! What happens when it dies: mounts and FUSE servers go with its mount namespace and the container's; the container's
//! process goes on until it writes to nobody; [`crate::life::settle`] of the next command clears the rest away.

use crate::accounts::Accounts;
use crate::execute::{Execution, Values};
use crate::life::{Asked, claim};
use crate::machine::Machine;
use crate::place::Place;
use crate::plan::{self, Inputs, Plan, Writable};
use crate::stream::Event;
use crate::surroundings::Surroundings;
use crate::text::Text;
use crate::tools::Tools;
use crate::{Error, Kind, Result, process};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use store::{Record, Root, Status};

mod container;
mod pump;

/// The last error in a runtime's JSON log, and what kind it is.
pub fn logged_error(log: &Path) -> Option<(Kind, String)> {
    container::logged_error(log)
}

/// Supervises the container `record` from its creation to its end, telling whoever holds the other end of `control`.
/// Returns when the container has ended; errors have been told and written down.
pub fn run(root: &Root, record: &Record, place: &Place, own: PathBuf, control: Option<OwnedFd>) -> Result<()> {
    detach_from_session()?;
    let mut clients = pump::Clients::new(control.map(UnixStream::from));
    let result = match claim::claim(root, record) {
        Ok(Some(before)) => supervise(root, record, place, own, &mut clients)
            .inspect_err(|error| claim::failed(root, record, &before, error)),
        Ok(None) => {
            clients.tell(&Event::Taken);
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        let code = exit_code(error.kind);
        clients.tell(&Event::Failed { message: error.to_string(), hint: error.hint.clone(), code });
    }
    clients.flush();
    result
}

/// docker's exit codes for what goes wrong before the command runs.
pub fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::CannotExecute => 126,
        Kind::CommandNotFound => 127,
        _ => 125,
    }
}

fn supervise(root: &Root, record: &Record, place: &Place, own: PathBuf, clients: &mut pump::Clients) -> Result<()> {
    let asked = Asked::of(record)?;
    let id = &record.id;
    place.ensure()?;
    let tmp = place.of(id);
    let fail = |e: std::io::Error| crate::error::system("make", tmp.display(), e);
    std::fs::create_dir_all(&tmp).map_err(fail)?;
    let listener = UnixListener::bind(tmp.join("attach"))
        .map_err(|e| Error::new(Kind::Failed, "listen on", tmp.join("attach").display()).because(e))?;
    listener.set_nonblocking(true).map_err(fail)?;

    let tools = Tools::new(&asked.request.programs, own);
    let plan = plan_for(root, record, &asked, place)?;
    let mut execution = Execution::new(&tools, Values::new(tmp.clone()), root.path());
    let state_dir = place.runtime();
    let result = execution.run(&plan).and_then(|()| {
        let container = container::create(&execution, &state_dir, &plan)?;
        let outcome = live(root, record, &execution, &state_dir, container, &listener, clients);
        let deleted = container::delete(&execution, &state_dir, id);
        outcome.and_then(|code| deleted.map(|()| code))
    });
    let undone = execution.undo();
    let _ = store::remove::tree(&tmp);
    let code = result?;
    undone?;
    claim::ended(root, record, code)?;
    clients.tell(&Event::Exited { code });
    Ok(())
}

/// The container's plan, with its writable layer in the store.
fn plan_for(root: &Root, record: &Record, asked: &Asked, place: &Place) -> Result<Plan> {
    let machine = Machine::probe(root.path());
    let layer = root.container_layer(&record.id);
    let text = |name: &str| Text::plain(&layer.join(name).to_string_lossy());
    let accounts = Accounts::of_container(root, record);
    let shared = crate::life::shared(root, place, &asked.request)?;
    let hostname = plan::hostname(&record.id, &asked.request, &machine, shared.as_ref());
    let process = process::resolve(&asked.request, &asked.defaults, &accounts, &hostname)?;
    plan::make(&Inputs {
        id: &record.id,
        request: &asked.request,
        layers: &record.layers,
        process: &process,
        machine: &machine,
        writable: Writable { upper: text("diff"), work: text("work"), in_tmp: false },
        name: Some(&record.name),
        image_ports: &asked.defaults.ports,
        shared: shared.as_ref(),
        around: &Surroundings::look(&asked.request, || Root::open(root.path()).map_err(crate::error::store))?,
    })
}

/// From `start` to the end of PID 1; gives its exit code.
fn live(
    root: &Root,
    record: &Record,
    execution: &Execution<'_>,
    state_dir: &Path,
    container: container::Container,
    listener: &UnixListener,
    clients: &mut pump::Clients,
) -> Result<u8> {
    let id = &record.id;
    let asked = Asked::of(record)?;
    let once = asked.request.streams.stdin_once;
    let log = crate::log::Writer::open(root, record, &asked)?;
    let running = |state: &mut store::State| {
        if claim::is_unwanted(state) {
            return;
        }
        state.status = Status::Running;
        state.process = crate::life::process(container.pid);
        state.address = execution.values.addresses().first().cloned();
        state.wires.clone_from(&execution.values.wires);
        state.root = Some(execution.values.tmp.join("root"));
        state.started = Some(jiff::Timestamp::now().to_string());
    };
    if claim::is_unwanted(&root.update_container(id, running).map_err(crate::error::store)?) {
        return Err(Error::new(Kind::Conflict, "", format!("container {id} is being removed")));
    }
    container::start(execution, state_dir, id)?;
    crate::events::container(root, record, "start", &[]);
    clients.tell(&Event::Started);
    let signal = |number: i32| container::kill(execution, state_dir, id, number);
    pump::run(container, once, log, listener, clients, &signal).inspect(|code| claim::tell_end(root, record, *code))
}

/// A session of our own, no terminal, and every orphan below us ours to wait for.
fn detach_from_session() -> Result<()> {
    let fail = |e: rustix::io::Errno| crate::error::system("detach", "the supervisor", e);
    // Fails only where we lead a process group already, and then there is nothing to leave.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::Pid::INIT)).map_err(fail)?;
    Ok(())
}
