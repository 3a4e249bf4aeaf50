//! `--cni-path`: attach, detach, publish (and its list) and unpublish by other people's CNI plugins. What else there is to do is done as ever.

use crate::NAME;
use crate::plan::{Plan, Step};
use crate::publish;
use crate::run::{DETACHED, all, printed, told};
use crate::whose::Whose;
use cli::failure::Outcome;
use cli::output;
use network::cni::runner::Runner;

/// Does the step, if it is one that plugins carry out and there is a folder of them.
pub(crate) fn run(plan: &Plan) -> Option<Outcome> {
    if plan.plugins.is_empty() {
        return None;
    }
    let runner = Runner { state: &plan.state, path: &plan.plugins };
    Some(match &plan.step {
        Step::Attach(wish) => runner.attach(wish).map_err(Into::into).and_then(|attached| {
            attached.warnings.iter().for_each(|warning| output::complain(NAME, warning));
            printed(output::json_line(&attached))
        }),
        Step::Detach { network, whose, interface } => {
            match whose.former(DETACHED, |at| runner.occupancy(at, Some(network))) {
                Ok(Ok(container)) => {
                    all(runner.detach(network, &container, interface.as_deref()).err().unwrap_or_default())
                }
                nobody => told(nobody),
            }
        }
        Step::Publish(publish::Plan::Publish { whose, network, specs }) => whose
            .resident(|at| runner.occupancy(at, network.as_deref()))
            .and_then(|container| runner.publish(network.as_deref(), &container, specs))
            .map_err(Into::into)
            .and_then(|outcome| printed(publish::print(&outcome.ports))),
        Step::Publish(publish::Plan::List { whose, network }) => list(&runner, whose.as_ref(), network.as_ref()),
        Step::Publish(publish::Plan::Unpublish { whose, network, specs }) => {
            match whose.former(publish::UNPUBLISHED, |at| runner.occupancy(at, network.as_deref())) {
                Ok(Ok(container)) => runner
                    .unpublish(network.as_deref(), &container, specs.as_deref())
                    .map_err(Into::into)
                    .map(|()| cli::exit::DONE),
                nobody => told(nobody),
            }
        }
        _ => return None,
    })
}

/// What plugins publish of one container, or of all. Where all are meant, those too that are published as ever.
fn list(runner: &Runner<'_>, whose: Option<&Whose>, network: Option<&String>) -> Outcome {
    let on = network.map(String::as_str);
    let mut ports = Vec::new();
    match whose {
        None => {
            ports = network::publish::list(runner.state, None)?;
            ports.retain(|port| on.is_none_or(|name| port.network == name));
            ports.extend(runner.published(on, None)?);
        }
        Some(whose) => {
            for container in whose.all(|at| runner.occupancy(at, on))? {
                ports.extend(runner.published(on, Some(&container))?);
            }
        }
    }
    printed(publish::print(&ports))
}

/// The folders in a value like `CNI_PATH`'s.
pub(crate) fn folders(text: Option<&str>) -> Vec<String> {
    text.into_iter().flat_map(|text| text.split(':')).filter(|f| !f.is_empty()).map(str::to_owned).collect()
}
