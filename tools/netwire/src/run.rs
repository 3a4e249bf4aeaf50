//! Does what was planned, and prints.

use crate::NAME;
use crate::plan::{Listing, Plan, Step};
use crate::publish;
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use network::definition::Definition;
use network::namespace::Namespace;
use network::{Error, Kind, attach, network as networks};
use std::io;

/// Does it, where it is to be done.
pub(crate) fn run(plan: &Plan) -> Outcome {
    match &plan.place {
        Some(place) => Namespace::open(place)?.within(|| run_here(plan))?,
        None => run_here(plan),
    }
}

fn run_here(plan: &Plan) -> Outcome {
    if let Some(outcome) = crate::carried::run(plan) {
        return outcome;
    }
    let state = &plan.state;
    match &plan.step {
        Step::Create { plan, json, ignore } => {
            let made = match networks::create(state, plan) {
                Err(e) if *ignore && e.kind == Kind::InUse => Definition::load(state, &plan.name)?.ok_or(e)?,
                made => made?,
            };
            printed(if *json { output::json_line(&made) } else { output::line(&made.id) })
        }
        Step::Remove { names, force } => {
            let failures = names.iter().flat_map(|name| networks::remove(state, name).err()).flatten();
            all(failures.filter(|e| !(*force && e.kind == Kind::NotFound)).collect())
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
        Step::DetachUser { network, whose } => match whose.former(DETACHED, publish::among(state, Some(network))) {
            Ok(Ok(container)) => crate::rootless::detach(state, &container),
            nobody => told(nobody),
        },
        Step::Detach { network, whose, interface } => {
            match whose.former(DETACHED, publish::among(state, Some(network))) {
                Ok(Ok(container)) => {
                    all(attach::detach(state, network, &container, interface.as_deref()).err().unwrap_or_default())
                }
                nobody => told(nobody),
            }
        }
        Step::Rename { container, network, name, aliases } => {
            let (renamed, failures) =
                network::rename::rename(state, container, network.as_deref(), name, aliases.as_deref());
            for one in &renamed {
                printed(output::json_line(one))?;
            }
            all(failures)
        }
        Step::Publish(plan) => match plan.run(state) {
            Ok((ports, warnings)) => {
                warnings.iter().for_each(|warning| output::complain(NAME, warning));
                printed(publish::print(&ports))
            }
            Err(failures) => all(failures),
        },
        Step::Dns(step) => crate::dns::run(state, step),
        Step::Overlay(step) => crate::overlay::run(state, step),
        Step::Keep(step) => crate::keep::run(state, *step),
        Step::Relay(record) => {
            network::publish::serve(record)?;
            Ok(exit::DONE)
        }
        Step::Loopback(namespace) => {
            attach::loopback(namespace)?;
            Ok(exit::DONE)
        }
    }
}

/// What is done to a container without its interface.
pub(crate) const DETACHED: &str = "detached";

/// Whom something was to be taken from was not found: that is told, and is a failure only where looking failed.
pub(crate) fn told(found: Result<Result<String, String>, Error>) -> Outcome {
    if let Err(nobody) = found? {
        output::complain(NAME, &nobody);
    }
    Ok(exit::DONE)
}

/// Success, or the last failure when all before it were told.
pub(crate) fn all(mut failures: Vec<Error>) -> Outcome {
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
        Listing::Table => text = table(definitions),
    }
    printed(output::write(text.as_bytes()))
}

fn table(definitions: &[Definition]) -> String {
    let joined = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(",");
    let row = |d: &Definition| {
        let subnets = joined(&mut d.subnets.iter().map(|pool| pool.subnet.to_string()));
        let gateways = joined(&mut d.gateways().map(|gateway| gateway.to_string()));
        let internal = if d.internal { "yes" } else { "no" };
        [d.name.clone(), d.driver.to_string(), subnets, gateways, d.bridge.clone(), internal.to_owned()]
    };
    let head = ["NAME", "DRIVER", "SUBNET", "GATEWAY", "BRIDGE", "INTERNAL"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(definitions.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}
