//! Does what the plan says.

use crate::NAME;
use crate::plan::{LayerList, Plan, Then, parse_layers};
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use log::LevelFilter;
use overlay::command::{self, Input};
use overlay::driver::{self, Choice, NoDriver};
use overlay::folders::Folders;
use overlay::signals::Signals;
use overlay::{Kind, journal, mounted, namespaces, remount};
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

pub(crate) fn run(mut plan: Plan) -> Outcome {
    for option in &plan.options.ignored {
        output::complain(NAME, &format!("option {option}"));
    }
    if let Then::Remount(lists) = &plan.then {
        remount::remount(&plan.target, lists)?;
        return Ok(exit::DONE);
    }
    journal::install(NAME, if plan.options.debug { LevelFilter::Debug } else { LevelFilter::Warn });
    if plan.replace && mounted::clear_dead(&plan.target)? && plan.verbose {
        output::complain(NAME, &format!("took away a mount whose server was dead: {}", plan.target.display()));
    }
    if let Some(list) = &plan.list {
        plan.options.lowers = read_layers(list)?;
        if let Some(upper) = &plan.options.upper {
            ensure_folder("upper layer", upper)?;
        }
    }
    let made = plan.default_target && ensure_folder("mount point", &plan.target)?;
    match &plan.then {
        Then::Return => {
            tell(&plan, &mount(&plan)?)?;
            Ok(exit::DONE)
        }
        Then::Stay => {
            let signals = Signals::block()?;
            let choice = mount(&plan)?;
            tell(&plan, &choice)?;
            choice.mounted.stay(&signals)?;
            Ok(exit::DONE)
        }
        Then::Run(words) => {
            let outcome = run_command(&plan, words);
            if made {
                let _ = std::fs::remove_dir(&plan.target);
            }
            outcome
        }
        Then::Remount(_) => Ok(exit::DONE),
    }
}

/// The form that ends in a command. The namespace it enters dies with us and the command, and the mount with it, however
/// they end: no step needs an undo.
fn run_command(plan: &Plan, words: &[OsString]) -> Outcome {
    namespaces::enter()?;
    let signals = Signals::block()?;
    let mounted = mount(plan)?.mounted;
    let input = match &plan.list {
        Some(LayerList { file: None, .. }) => Input::TerminalOrNothing,
        _ => Input::Ours,
    };
    let status = command::run(words, &mounted.target, input, &signals);
    mounted.unmount();
    match status {
        Ok(status) => Ok(exit::of_wait_status(status.into_raw())),
        Err(error) => {
            let code = match error.kind {
                Kind::NoCommand => exit::NOT_FOUND,
                Kind::NotExecutable => exit::CANNOT_EXECUTE,
                _ => exit::OURS,
            };
            Err(Failure::from(error).code(code))
        }
    }
}

/// Mounts as planned, in the namespaces this process is in.
fn mount(plan: &Plan) -> Result<Choice, Failure> {
    let folders = Folders::look(&plan.options, &plan.target)?;
    let choice = driver::mount(&plan.drivers, &folders, &plan.options, &plan.service).map_err(say_why)?;
    if plan.verbose {
        for (driver, why) in &choice.passed_over {
            output::complain(NAME, &format!("not by {driver}: {why}"));
        }
        let mounted = &choice.mounted;
        output::complain(NAME, &format!("mounted by {}: {}", mounted.driver, mounted.target.display()));
    }
    Ok(choice)
}

/// One line for each driver that was asked, and the first hint.
fn say_why(none: NoDriver) -> Failure {
    let mut each = match none {
        NoDriver::Request(error) => return error.into(),
        NoDriver::Each(each) => each,
    };
    let hint = each.iter().find_map(|(_, error)| error.hint.clone());
    let several = each.len() > 1;
    let Some((last, error)) = each.pop() else { return Failure::new("no driver named") };
    for (driver, error) in each {
        output::complain(NAME, &format!("{driver}: {error}"));
    }
    let message = if several { format!("{last}: {error}") } else { error.to_string() };
    Failure { hint, ..Failure::new(message) }
}

/// What stdout gets: in the `--layers` form the mount point, with `--json` all there is to know.
fn tell(plan: &Plan, choice: &Choice) -> Result<(), Failure> {
    let target = plan.target.display().to_string();
    let written = if plan.json {
        let passed_over: Vec<_> = choice
            .passed_over
            .iter()
            .map(|(driver, why)| serde_json::json!({ "driver": driver.name(), "reason": why.to_string() }))
            .collect();
        let mounted = &choice.mounted;
        output::json_line(&serde_json::json!({
            "mount_point": target,
            "driver": mounted.driver.name(),
            "passed_over": passed_over,
            "pid": mounted.server.as_ref().map(|server| server.pid.as_raw()),
        }))
    } else if plan.list.is_some() {
        output::line(&target)
    } else {
        return Ok(());
    };
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(failed("write to", "stdout", e)),
        _ => Ok(()),
    }
}

pub(crate) fn read_layers(list: &LayerList) -> Result<Vec<PathBuf>, Failure> {
    let (name, bytes) = match &list.file {
        Some(file) => (file.display().to_string(), std::fs::read(file)),
        None => {
            let mut bytes = Vec::new();
            ("stdin".to_owned(), std::io::stdin().read_to_end(&mut bytes).map(|_| bytes))
        }
    };
    let bytes = bytes.map_err(|e| failed("read layers from", &name, e))?;
    let layers = parse_layers(&bytes, list.end);
    if layers.is_empty() {
        return Err(Failure::new(format!("no layers in {name}")).hint("it names one folder a line, lowest first"));
    }
    Ok(layers)
}

/// Makes a folder that is ours to make and says whether it was missing.
fn ensure_folder(what: &'static str, folder: &Path) -> Result<bool, Failure> {
    match std::fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed(what, &folder.display().to_string(), e)),
    }
}

fn failed(op: &'static str, subject: &str, source: std::io::Error) -> Failure {
    spec::Error::new((), op, subject).because(source).into()
}
