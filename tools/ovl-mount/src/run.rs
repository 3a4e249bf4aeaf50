//! Does what the plan says.

use crate::NAME;
use crate::command;
use crate::plan::{LayerList, Plan, Then, parse_layers};
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use overlay::driver::{self, Choice};
use overlay::folders::Folders;
use std::io::{ErrorKind, Read};
use std::path::Path;

pub(crate) fn run(mut plan: Plan) -> Outcome {
    for option in &plan.options.ignored {
        output::complain(NAME, &format!("option {option}: unknown, ignored"));
    }
    if let Some(list) = &plan.list {
        plan.options.lowers = read_layers(list)?;
        if let Some(upper) = &plan.options.upper {
            ensure_folder("upper layer", upper)?;
        }
    }
    if let Then::Run(_) = plan.then {
        return command::run(plan);
    }
    if plan.default_target {
        ensure_folder("mount point", &plan.target)?;
    }
    let choice = mount(&plan)?;
    tell(&plan, &choice)?;
    Ok(exit::DONE)
}

/// Mounts as planned, in the namespaces this process is in.
pub(crate) fn mount(plan: &Plan) -> Result<Choice, Failure> {
    let folders = Folders::look(&plan.options, &plan.target)?;
    let choice = driver::mount(&plan.drivers, &folders, &plan.options)?;
    if plan.verbose {
        for (driver, why) in &choice.passed_over {
            output::complain(NAME, &format!("not by {driver}: {why}"));
        }
        output::complain(NAME, &format!("mounted by {}: {}", choice.driver, folders.target.path.display()));
    }
    Ok(choice)
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
        output::json_line(&serde_json::json!({
            "mount_point": target, "driver": choice.driver.name(), "passed_over": passed_over,
        }))
    } else if plan.list.is_some() {
        output::line(&target)
    } else {
        return Ok(());
    };
    match written {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::new(format!("write to stdout: {e}"))),
        _ => Ok(()),
    }
}

fn read_layers(list: &LayerList) -> Result<Vec<std::path::PathBuf>, Failure> {
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

/// Makes a folder that is ours to make; that it is there already is fine.
pub(crate) fn ensure_folder(what: &'static str, folder: &Path) -> Result<bool, Failure> {
    match std::fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(failed(what, &folder.display().to_string(), e)),
    }
}

fn failed(op: &'static str, subject: &str, source: std::io::Error) -> Failure {
    spec::Error::new((), op, subject).because(source).into()
}
