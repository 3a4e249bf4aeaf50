//! `attach` and `detach` on the networks that a user's program carries.

use crate::cli::Attach;
use crate::plan::{container_id, reference};
use crate::run::printed;
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use network::rootless::{self, Wish};
use network::state::State;

pub(crate) use network::rootless::is_meant_by;

/// What is to be attached. What such a network cannot do is refused by name.
pub(crate) fn wish(attach: Attach) -> Result<Wish, Failure> {
    if let Some(name) = &attach.ifname {
        network::link::check_name(name).map_err(Failure::usage)?;
    }
    for (option, given) in [
        ("--ip", !attach.addresses.is_empty()),
        ("--mac", attach.mac.is_some()),
        ("--alias", !attach.aliases.is_empty()),
        ("--route", !attach.routes.is_empty()),
        ("--sysctl", !attach.sysctls.is_empty()),
        ("--ingress-rate", attach.ingress_rate.is_some()),
        ("--egress-rate", attach.egress_rate.is_some()),
    ] {
        if given {
            return Err(Failure::usage(format!(
                "attach: network {} takes no {option}: a program of the user's carries it",
                attach.network
            )));
        }
    }
    Ok(Wish {
        network: attach.network,
        namespace: reference(&attach.netns)?,
        container: container_id(attach.id)?,
        interface: attach.ifname.unwrap_or_default(),
        ports: crate::publish::specs(&attach.ports)?,
        alive: attach.until_eof,
    })
}

pub(crate) fn attach(state: &State, wish: &Wish) -> Outcome {
    let attached = rootless::attach(state, wish)?;
    for warning in &attached.warnings {
        output::complain(crate::NAME, warning);
    }
    printed(output::json_line(&attached))
}

pub(crate) fn detach(state: &State, container: &str) -> Outcome {
    rootless::detach(state, container)?;
    Ok(exit::DONE)
}
