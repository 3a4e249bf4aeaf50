//! A container as docker's `GET /containers/{id}/json` shows it.

use super::{host_config, network, shapes};
use crate::command::{Context, ps};
use crate::format::shape::Shape;
use cli::failure::Failure;
use engine::life::{self, Asked};
use engine::request::HOST;
use engine::request::health::Check;
use serde_json::{Value, json};
use store::{Record, Root, State, Status};

/// Go's zero of a time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The container called `name` with its shape; none where there is no such container.
pub(super) fn find(
    root: &Root,
    context: &Context,
    name: &str,
    size: bool,
) -> Result<(Value, &'static Shape), Option<Failure>> {
    let record = match root.find_container(name) {
        Ok(record) => record,
        Err(e) if e.kind == store::Kind::NotFound => return Err(None),
        Err(e) => return Err(Some(e.into())),
    };
    let mut value = shown(root, context, &record).map_err(Some)?;
    if size {
        let written = life::size::written(root, &record.id);
        value["SizeRw"] = written.into();
        value["SizeRootFs"] = (written + life::size::below(root, &record)).into();
    }
    Ok((value, &shapes::CONTAINER))
}

fn shown(root: &Root, context: &Context, record: &Record) -> Result<Value, Failure> {
    let state = life::state(root, &record.id)?;
    let asked = Asked::of(record)?;
    let request = &asked.request;
    let layer = root.container_layer(&record.id);
    let run = context.place()?.of(&record.id);
    let (entrypoint, cmd) = engine::process::words(request, &asked.defaults);
    let words = [&*entrypoint, cmd].concat();
    // highest first; the layer of docker's mark is made when the container first starts
    let mark = Some(layer.join("init")).filter(|folder| folder.exists());
    let lower = mark.iter().chain(record.layers.iter().rev()).map(|folder| folder.display().to_string());
    let lower: Vec<String> = lower.collect();
    let file = |name: &str| if run.join(name).exists() { run.join(name).display().to_string() } else { String::new() };
    Ok(json!({
        "Id": record.id,
        "Created": record.created,
        "Path": words.first().map(String::as_str).unwrap_or_default(),
        "Args": words.get(1..).unwrap_or_default(),
        "State": state_of(&state),
        "Image": record.image_id.map_or_else(|| HOST.to_owned(), |id| id.to_string()),
        "ResolvConfPath": file("resolv.conf"),
        "HostnamePath": file("hostname"),
        "HostsPath": file("hosts"),
        "LogPath": engine::log::path(root, record, &asked).map_or_else(String::new, |path| path.display().to_string()),
        "Name": format!("/{}", record.name),
        "RestartCount": state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": exec_ids(&state, &engine::exec::running(&context.place()?, &record.id, state.process.map_or(0, |p| p.pid))),
        "HostConfig": host_config::shown(record, &asked),
        "GraphDriver": {
            "Data": {
                "ID": record.id,
                "LowerDir": lower.join(":"),
                "MergedDir": layer.join("merged"),
                "UpperDir": layer.join("diff"),
                "WorkDir": layer.join("work"),
            },
            "Name": "overlay2",
        },
        "Mounts": host_config::mounts(record),
        "Config": config(record, &asked),
        "NetworkSettings": network::settings(record, &asked, &state),
    }))
}

fn state_of(state: &State) -> Value {
    let status = state.status;
    // docker: one that is paused or restarting counts as running
    let running = matches!(status, Status::Running | Status::Paused | Status::Restarting);
    let mut shown = json!({
        "Status": ps::state_word(status),
        "Running": running,
        "Paused": status == Status::Paused,
        "Restarting": status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": status == Status::Dead,
        "Pid": state.process.filter(|_| running).map_or(0, |p| p.pid),
        "SupervisorPid": state.supervisor.map_or(0, |p| p.pid),
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started.as_deref().unwrap_or(NEVER),
        "FinishedAt": state.finished.as_deref().unwrap_or(NEVER),
    });
    if let Some(health) = &state.health {
        shown["Health"] = health.clone();
    }
    shown
}

/// The commands that `exec` runs in it; docker shows null where there are none.
fn exec_ids(state: &State, running: &[String]) -> Value {
    if state.process.is_none() || running.is_empty() { Value::Null } else { json!(running) }
}

fn config(record: &Record, asked: &Asked) -> Value {
    let (request, defaults) = (&asked.request, &asked.defaults);
    let said = &record.asked["request"];
    let (entrypoint, cmd) = engine::process::words(request, defaults);
    let or_null = |list: &[String]| if list.is_empty() { Value::Null } else { json!(list) };
    let streams = request.streams;
    let stop = &said["stop"];
    let mut shown = json!({
        "Hostname": request.hostname.as_deref().unwrap_or(record.id.short()),
        "Domainname": said["manner"]["domainname"].as_str().unwrap_or_default(),
        "User": request.user.as_deref().unwrap_or(&defaults.user),
        "AttachStdin": streams.stdin,
        "AttachStdout": streams.stdout,
        "AttachStderr": streams.stderr,
        "Tty": request.tty,
        "OpenStdin": request.interactive,
        "StdinOnce": streams.stdin_once,
        "Env": merged(&defaults.env, &request.env),
        "Cmd": or_null(cmd),
        "Image": record.image,
        "Volumes": null,
        "WorkingDir": request.workdir.as_deref().unwrap_or(&defaults.workdir),
        "Entrypoint": or_null(&entrypoint),
        "OnBuild": null,
        "Labels": asked.labels(),
    });
    let exposed = network::exposed_ports(asked);
    if exposed.as_object().is_some_and(|ports| !ports.is_empty()) {
        shown["ExposedPorts"] = exposed;
    }
    let check = Check::merged(request.health.check.as_ref(), defaults.healthcheck.as_ref());
    if let Some(check) = check.and_then(|check| serde_json::to_value(check).ok()) {
        shown["Healthcheck"] = check;
    }
    if let Some(signal) = stop["signal"].as_str().or(defaults.stop_signal.as_deref()) {
        shown["StopSignal"] = signal.into();
    }
    if let Some(seconds) = stop["timeout_s"].as_i64() {
        shown["StopTimeout"] = seconds.into();
    }
    shown
}

/// The image's variables and the user's, which replace those of the same name; docker adds its search path.
fn merged(image: &[String], user: &[String]) -> Vec<String> {
    let name = |setting: &str| setting.split('=').next().unwrap_or_default().to_owned();
    let mut all: Vec<String> = user.to_vec();
    all.extend(image.iter().filter(|i| !user.iter().any(|u| name(u) == name(i))).cloned());
    if !all.iter().any(|setting| name(setting) == "PATH") {
        all.push(engine::process::PATH.into());
    }
    all
}
