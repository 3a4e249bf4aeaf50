//! `ctr port`: which ports of this machine lead into a container.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::life;
use engine::port::Bound;
use store::{State, Status};

/// Options of `ctr port`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The container
    container: String,
    /// Only this port inside
    #[arg(value_name = "PORT[/PROTO]")]
    port: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let root = context.store()?;
    let record = root.find_container(&args.container)?;
    let mut bound = bound(&life::state(&root, &record.id)?);
    bound.sort_by(|a, b| {
        let key = |b: &Bound| (b.container_port, b.protocol.clone(), b.host_ip.clone(), b.host_port);
        key(a).cmp(&key(b))
    });
    let Some(wanted) = args.port.as_ref().filter(|port| !port.is_empty()) else {
        let line = |b: &Bound| format!("{}/{} -> {}\n", b.container_port, b.protocol, b.outside());
        return super::print(&bound.iter().map(line).collect::<String>());
    };
    let (port, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let port = engine::port::parse(port)
        .map_err(|why| Failure::new(format!("Error: invalid port ({port}): {why}")).hint("a number up to 65535"))?;
    bound.retain(|b| b.container_port == port && b.protocol == protocol);
    if bound.is_empty() {
        return Err(Failure::new(format!("Error: No public port '{wanted}' published for {}", args.container)));
    }
    super::print(&bound.iter().map(|b| format!("{}\n", b.outside())).collect::<String>())
}

/// The ports of a container that runs, as `netwire attach` told them.
pub(crate) fn bound(state: &State) -> Vec<Bound> {
    if !matches!(state.status, Status::Running | Status::Paused) {
        return Vec::new();
    }
    let lists = state.wires.iter().filter_map(|wire| wire["ports"].as_array());
    lists.flatten().filter_map(|port| serde_json::from_value(port.clone()).ok()).collect()
}
