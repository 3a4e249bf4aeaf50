//! `ctr info`: what there is, and what this machine is like.

use super::Context;
use super::version;
use crate::format::{Template, Value as Shown};
use cli::failure::{Failure, Outcome};
use engine::life;
use engine::machine::Cgroups;
use serde_json::{Value, json};
use store::Status;

mod shape;

/// Options of `ctr info`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output using a custom template: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let value = value(context)?;
    let shown = Shown::shaped(&shape::DOCKER_INFO, &value);
    Template::show("", args.format.as_deref(), &shown, || plain(&value))
}

fn value(context: &Context) -> Result<Value, Failure> {
    let root = context.store()?;
    let machine = context.machine()?;
    let states: Vec<Status> = root
        .containers()?
        .iter()
        .filter_map(|record| life::state(&root, &record.id).ok())
        .map(|state| state.status)
        .collect();
    let count = |wanted: &[Status]| states.iter().filter(|status| wanted.contains(status)).count();
    let (running, paused) = (count(&[Status::Running, Status::Restarting]), count(&[Status::Paused]));
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let memory =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    let release = read("/etc/os-release");
    let system =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map_or("Linux", |n| n.trim_matches('"'));
    let limits = machine.cgroups != Cgroups::None;
    let mut security = vec!["name=seccomp,profile=builtin"];
    if machine.rootless {
        security.push("name=rootless");
    }
    let mut value = json!({
        "ID": spec::Digest::of(root.path().as_os_str().as_encoded_bytes()).hex(),
        "Containers": states.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": states.len() - running - paused,
        "Images": root.images()?.len(),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "overlay"], ["Drivers", "kernel, fuse"]],
        "Plugins": { "Volume": ["local"], "Network": ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"],
                     "Authorization": null, "Log": ["json-file", "local", "journald", "none"] },
        "MemoryLimit": limits, "SwapLimit": limits, "CpuCfsPeriod": limits, "CpuCfsQuota": limits, "CPUShares": limits,
        "CPUSet": limits, "PidsLimit": limits, "OomKillDisable": machine.cgroups == Cgroups::V1,
        "IPv4Forwarding": read("/proc/sys/net/ipv4/ip_forward").trim() == "1",
    });
    let machine_side = json!({
        "Debug": false,
        "SystemTime": jiff::Timestamp::now().to_string(),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if machine.cgroups == Cgroups::V2 { "2" } else { "1" },
        "KernelVersion": version::kernel(),
        "OperatingSystem": system,
        "OSVersion": release.lines().find_map(|l| l.strip_prefix("VERSION_ID=")).unwrap_or_default().trim_matches('"'),
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory.unwrap_or_default() * 1024,
        "DockerRootDir": root.path(),
        "HttpProxy": "", "HttpsProxy": "", "NoProxy": "",
        "Name": machine.hostname,
        "Labels": [],
        "ExperimentalBuild": false,
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Runtimes": { "nsrun": { "path": "nsrun" } },
        "DefaultRuntime": "nsrun",
        "Swarm": { "LocalNodeState": "inactive", "ControlAvailable": false, "NodeID": "", "NodeAddr": "" },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "nsrun",
        "SecurityOptions": security,
        "Warnings": null,
        "ClientInfo": { "Debug": false, "Version": env!("CARGO_PKG_VERSION"), "Context": "default", "Plugins": [], "Warnings": null },
    });
    if let (Some(all), Value::Object(more)) = (value.as_object_mut(), machine_side) {
        all.extend(more);
    }
    Ok(value)
}

fn plain(value: &Value) -> String {
    let shown = |key: &str| match &value[key] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let list = |pointer: &str| {
        let words = value.pointer(pointer).and_then(Value::as_array);
        words.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    let mut text = format!(
        "Client:\n Version:    {}\n Context:    default\n Debug Mode: false\n\nServer:\n",
        shown("ServerVersion")
    );
    let mut line = |name: &str, what: String| text.push_str(&format!(" {name}: {what}\n"));
    line("Containers", shown("Containers"));
    line(" Running", shown("ContainersRunning"));
    line(" Paused", shown("ContainersPaused"));
    line(" Stopped", shown("ContainersStopped"));
    line("Images", shown("Images"));
    line("Server Version", shown("ServerVersion"));
    line("Storage Driver", shown("Driver"));
    line("Logging Driver", shown("LoggingDriver"));
    line("Cgroup Driver", shown("CgroupDriver"));
    line("Cgroup Version", shown("CgroupVersion"));
    line("Plugins", String::new());
    line(" Volume", list("/Plugins/Volume"));
    line(" Network", list("/Plugins/Network"));
    line(" Log", list("/Plugins/Log"));
    line("Swarm", "inactive".into());
    line("Runtimes", "nsrun".into());
    line("Default Runtime", "nsrun".into());
    line("Init Binary", "nsrun".into());
    line("Security Options", String::new());
    line(" seccomp", "builtin".into());
    line("Kernel Version", shown("KernelVersion"));
    line("Operating System", shown("OperatingSystem"));
    line("OSType", shown("OSType"));
    line("Architecture", shown("Architecture"));
    line("CPUs", shown("NCPU"));
    line("Total Memory", super::stats::binary(value["MemTotal"].as_u64().unwrap_or_default()));
    line("Name", shown("Name"));
    line("ID", shown("ID"));
    line("Docker Root Dir", shown("DockerRootDir"));
    line("Debug Mode", "false".into());
    line("Experimental", "false".into());
    line("Live Restore Enabled", "true".into());
    text
}
