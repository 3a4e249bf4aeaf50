//! `ctr inspect`: everything that is known of containers and images, as docker's JSON.

use super::Context;
use crate::format::Template;
use cli::failure::{Failure, Outcome};
use engine::life::{self, Asked};
use engine::request::HOST;
use serde_json::{Value, json};
use store::{Record, Root, Status};

mod network;

/// Options of `ctr inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these fields: '{{.State.Pid}}', '{{json .Config}}'
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only this kind of thing: container or image
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Names or ids
    #[arg(required = true)]
    names: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let template = args.format.as_deref().filter(|f| *f != "json").map(Template::parse).transpose()?;
    let (containers, images) = match args.kind.as_deref() {
        None => (true, true),
        Some("container") => (true, false),
        Some("image") => (false, true),
        Some(other) => {
            return Err(Failure::new(format!("--type {other}: not known"))
                .hint("container or image")
                .code(cli::exit::OURS));
        }
    };
    let root = context.store()?;
    let mut found = Vec::new();
    let mut missing = None;
    for name in &args.names {
        match one(&root, context, name, containers, images) {
            Ok(value) => found.push(value),
            Err(failure) if missing.is_none() => missing = Some(failure),
            Err(failure) => failure.report("ctr"),
        }
    }
    // docker: what was found is shown, and then what was not is an error
    match &template {
        Some(template) => {
            for value in &found {
                super::print(&format!("{}\n", template.render(value)?))?;
            }
        }
        None => {
            let all = Value::Array(found);
            let text = serde_json::to_string_pretty(&all).map_err(Failure::new)?;
            super::print(&format!("{text}\n"))?;
        }
    }
    missing.map_or(Ok(0), Err)
}

fn one(root: &Root, context: &Context, name: &str, containers: bool, images: bool) -> Result<Value, Failure> {
    if containers {
        match root.find_container(name) {
            Ok(record) => return container(root, context, &record),
            Err(e) if e.kind == store::Kind::NotFound && images => {}
            Err(e) => return Err(e.into()),
        }
    }
    engine::images::inspect_json(root, name).map_err(|e| {
        let unknown = e.kind == store::Kind::NotFound;
        let failure = Failure::from(e);
        if unknown && containers {
            return Failure::new(format!("no such object: {name}")).hint("ctr ps -a and ctr images list what there is");
        }
        failure
    })
}

/// A container as docker's `GET /containers/{id}/json` shows it, as far as there is something to show.
fn container(root: &Root, context: &Context, record: &Record) -> Result<Value, Failure> {
    let state = life::state(root, &record.id)?;
    let asked = Asked::of(record)?;
    let (request, defaults) = (&asked.request, &asked.defaults);
    let layer = root.container_layer(&record.id);
    let folder = root.container_folder(&record.id);
    let run = context.place()?.of(&record.id);
    let (entrypoint, cmd) = engine::process::words(request, defaults);
    let words = [&*entrypoint, cmd].concat();
    let env = [&*defaults.env, &request.env].concat();
    let mounts: Vec<Value> = request.volumes.iter().map(|v| {
        json!({ "Type": "bind", "Source": v.source, "Destination": v.target, "Mode": if v.read_only { "ro" } else { "" },
                "RW": !v.read_only, "Propagation": "rprivate" })
    }).collect();
    let binds: Vec<String> = request
        .volumes
        .iter()
        .map(|v| format!("{}:{}{}", v.source.display(), v.target, if v.read_only { ":ro" } else { "" }))
        .collect();
    let lower: Vec<String> = record.layers.iter().rev().map(|l| l.display().to_string()).collect();
    let zero = "0001-01-01T00:00:00Z";
    let mut value = json!({
        "Id": record.id,
        "Created": record.created,
        "Path": words.first(),
        "Args": words.get(1..).unwrap_or_default(),
        "State": {
            "Status": super::ps::state_word(state.status),
            "Running": state.status == Status::Running,
            "Paused": false,
            "Restarting": false,
            "OOMKilled": false,
            "Dead": false,
            "Pid": state.process.map_or(0, |p| p.pid),
            "SupervisorPid": state.supervisor.map_or(0, |p| p.pid),
            "ExitCode": state.exit_code,
            "Error": state.error,
            "StartedAt": state.started.as_deref().unwrap_or(zero),
            "FinishedAt": state.finished.as_deref().unwrap_or(zero),
        },
        "Image": record.image_id.map_or_else(|| HOST.to_owned(), |id| id.to_string()),
        "ResolvConfPath": run.join("resolv.conf"),
        "HostnamePath": run.join("hostname"),
        "HostsPath": run.join("hosts"),
        "LogPath": folder.join(format!("{}-json.log", record.id)),
        "Name": format!("/{}", record.name),
        "RestartCount": 0,
        "Driver": "overlay2",
        "Platform": "linux",
        "HostConfig": {
            "Binds": binds,
            "AutoRemove": request.remove,
            "CapAdd": request.cap_add,
            "CapDrop": request.cap_drop,
            "Privileged": false,
            "ReadonlyRootfs": request.read_only,
            "Init": request.init,
            "Runtime": request.programs.runtime.as_deref().map_or("nsrun".into(), |p| p.display().to_string()),
            "SecurityOpt": if request.no_new_privileges { vec!["no-new-privileges"] } else { vec![] },
        },
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "LowerDir": lower.join(":"),
                "UpperDir": layer.join("diff"),
                "WorkDir": layer.join("work"),
                "MergedDir": state.root,
            },
        },
        "Mounts": mounts,
        "Config": {
            "Hostname": request.hostname.as_deref().unwrap_or(record.id.short()),
            "User": request.user.as_deref().unwrap_or(&defaults.user),
            "Tty": request.tty,
            "OpenStdin": request.interactive,
            "Env": env,
            "Cmd": cmd,
            "Image": record.image,
            "WorkingDir": request.workdir.as_deref().unwrap_or(&defaults.workdir),
            "Entrypoint": entrypoint,
            "StopSignal": defaults.stop_signal.as_deref().unwrap_or("SIGTERM"),
        },
        "NetworkSettings": network::settings(record, &asked, &state),
    });
    network::host_config(&mut value["HostConfig"], &asked);
    value["Config"]["ExposedPorts"] = network::exposed_ports(&asked);
    Ok(value)
}
