//! `netwire restore`, `check`, `prune` and `list`: networks kept as they were described.

use ::network::definition::Definition;
use ::network::state::State;
use ::network::{check, inventory, prune, restore};
use cli::failure::Outcome;
use cli::{exit, output};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make everything again.
    Restore,
    /// Say what is amiss, as JSON or for people.
    Check(bool),
    /// Remove what belongs to nobody.
    Prune,
    /// List everything, as JSON or for people.
    List(bool),
}

/// Does it.
pub(crate) fn run(state: &State, step: Step) -> Outcome {
    match step {
        Step::Restore => {
            let report = restore::restore(state)?;
            report.warnings.iter().for_each(|warning| output::complain(crate::NAME, warning));
            crate::run::all(report.failures)
        }
        Step::Check(json) => findings(&check::check(state)?, json),
        Step::Prune => {
            let report = prune::prune(state)?;
            for line in &report.gone {
                crate::run::printed(output::line(line))?;
            }
            crate::run::all(report.failures)
        }
        Step::List(json) => list(&inventory::all(state)?, json),
    }
}

/// 1 where there is something; not an error of ours, so nothing is on stderr.
fn findings(findings: &[check::Finding], json: bool) -> Outcome {
    for finding in findings {
        let line = || {
            let of = finding.network.as_ref().map_or_else(String::new, |name| format!("network {name}: "));
            format!("{of}{}; remedy: {}", finding.what, finding.remedy)
        };
        crate::run::printed(if json { output::json_line(finding) } else { output::line(&line()) })?;
    }
    Ok(if findings.is_empty() { exit::DONE } else { exit::FAILED })
}

fn list(entries: &[inventory::Entry], json: bool) -> Outcome {
    if json {
        for entry in entries {
            crate::run::printed(output::json_line(entry))?;
        }
        return Ok(exit::DONE);
    }
    let name = |definition: &Definition| definition.name.clone();
    let mut rows = vec![["NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "PORTS"].map(str::to_owned)];
    for entry in entries {
        if entry.containers.is_empty() {
            rows.push([name(&entry.definition), "-".into(), "-".into(), "-".into(), "-".into()]);
        }
        for resident in &entry.containers {
            let member = &resident.member;
            let container = member.name.as_ref().unwrap_or(&member.id);
            let port = |p: &::network::publish::Published| {
                let host = std::net::SocketAddr::new(p.host_ip, p.host_port);
                format!("{host}->{}/{}", p.container_port, p.protocol)
            };
            let ports: Vec<String> = resident.ports.iter().map(port).collect();
            rows.push([
                name(&entry.definition),
                container.clone(),
                member.interface.clone(),
                member.addresses.join(","),
                if ports.is_empty() { "-".into() } else { ports.join(",") },
            ]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row.get(column).map_or(0, String::len)).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    for [network, container, interface, addresses, ports] in &rows {
        let [a, b, c, d] = widths;
        text += &format!("{network:a$}  {container:b$}  {interface:c$}  {addresses:d$}  {ports}\n");
    }
    crate::run::printed(output::write(text.as_bytes()))
}
