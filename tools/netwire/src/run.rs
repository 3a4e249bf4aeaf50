//! Does what was planned, and prints.

use crate::NAME;
use crate::plan::{Listing, Plan, Step};
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use network::definition::Definition;
use network::{Error, attach, network as networks};
use std::io;

/// Does it.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let state = &plan.state;
    match &plan.step {
        Step::Create { plan, json } => {
            let made = networks::create(state, plan)?;
            printed(if *json { output::json_line(&made) } else { output::line(&made.id) })
        }
        Step::Remove(names) => {
            all(names.iter().flat_map(|name| networks::remove(state, name).err()).flatten().collect())
        }
        Step::List(listing) => list(&networks::list(state)?, *listing),
        Step::Inspect(names) => {
            let mut failures = Vec::new();
            for name in names {
                match networks::inspect(state, name) {
                    Ok(view) => drop(printed(output::json_line(&view))?),
                    Err(e) => failures.push(e),
                }
            }
            all(failures)
        }
        Step::Attach(wish) => {
            let attached = attach::attach(state, wish)?;
            for warning in &attached.warnings {
                output::complain(NAME, warning);
            }
            printed(output::json_line(&attached))
        }
        Step::AttachUser(wish) => crate::rootless::attach(state, wish),
        Step::DetachUser(container) => crate::rootless::detach(state, container),
        Step::Detach { network, container, interface } => {
            all(attach::detach(state, network, container, interface.as_deref()).err().unwrap_or_default())
        }
        Step::Loopback(namespace) => {
            attach::loopback(namespace)?;
            Ok(exit::DONE)
        }
    }
}

/// Success, or the last failure when all before it were told.
fn all(mut failures: Vec<Error>) -> Outcome {
    let Some(last) = failures.pop() else { return Ok(exit::DONE) };
    for failure in failures {
        Failure::from(failure).report(NAME);
    }
    Err(last.into())
}

/// A reader that has gone is no failure.
pub(crate) fn printed(done: io::Result<()>) -> Outcome {
    match done {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(format!("write to stdout: {e}"))),
        _ => Ok(exit::DONE),
    }
}

fn list(definitions: &[Definition], listing: Listing) -> Outcome {
    let mut text = String::new();
    match listing {
        Listing::Json => {
            for definition in definitions {
                printed(output::json_line(definition))?;
            }
        }
        Listing::Names => definitions.iter().for_each(|d| text.extend([d.name.as_str(), "\n"])),
        Listing::Table => {
            let width = definitions.iter().map(|d| d.name.len()).chain([8]).max().unwrap_or(8);
            text = format!("{:width$}  {:18}  {:15}  {:15}  INTERNAL\n", "NAME", "SUBNET", "GATEWAY", "BRIDGE");
            for d in definitions {
                let (subnet, gateway) = (d.subnet.to_string(), d.gateway.to_string());
                let internal = if d.internal { "yes" } else { "no" };
                text += &format!("{:width$}  {subnet:18}  {gateway:15}  {:15}  {internal}\n", d.name, d.bridge);
            }
        }
    }
    printed(output::write(text.as_bytes()))
}
