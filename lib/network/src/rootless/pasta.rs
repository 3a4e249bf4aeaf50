//! `pasta` of passt: its command line, and its start.
//!
//! It puts itself into the background when all is set, and leaves its id in a file. It ends by itself when the file that its
//! namespace was named by is removed, not when that is only unmounted.

use super::keeper::{Job, Running, Target};
use super::record::Record;
use super::{ADDRESS, ADDRESS_6, ATTACH, Forward, GATEWAY, GATEWAY_6, NAME_SERVER};
use crate::error::{Error, Kind, Result, failed};
use crate::lease::Process;
use crate::namespace::Namespace;
use nix::sys::signal::SigSet;
use spec::published::Protocol;
use std::ffi::OsString;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Starts it and waits until it is up.
pub(super) fn start(job: &Job<'_>, inside: &Namespace, record: &Record) -> Result<Running> {
    let wrong = |e: std::io::Error| failed(ATTACH, &job.wish.network, e);
    let pid_file = record.pid_file();
    let mut said = memory_file().map_err(wrong)?;
    let mut command = Command::new(&job.path);
    command.args(words(job)).arg("--pid").arg(&pid_file);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    match job.target() {
        Target::Process(id) => command.arg(id.to_string()),
        Target::Path(path) if path.starts_with("/proc") => {
            // It gives up the capabilities by which it could open a file of another process.
            command.stdin(inside.as_fd().try_clone_to_owned().map_err(wrong)?);
            command.args(["--no-netns-quit", "--netns-only", "--netns", "/proc/self/fd/0"])
        }
        Target::Path(path) => command.arg("--netns-only").arg("--netns").arg(path),
    };
    command.stderr(said.try_clone().map_err(wrong)?);
    let mut child = sys::daemon::spawn_with_mask(&mut command, SigSet::empty()).map_err(wrong)?;
    let status = child.wait().map_err(wrong)?;
    if !status.success() {
        let mut text = String::new();
        let _ = said.rewind().and_then(|()| said.read_to_string(&mut text));
        let line = text.lines().rev().find(|l| !l.trim().is_empty() && !l.starts_with("Failed to send"));
        return Err(Error::new(Kind::System, "", line.unwrap_or("it failed and did not say why").trim()));
    }
    let id = std::fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
    let process = id.and_then(Process::of);
    let process = process.ok_or_else(|| Error::new(Kind::System, "", "it ended as soon as it was up"))?;
    Ok(Running { process, _hold: None })
}

/// The options, but for the namespace and the pid file.
fn words(job: &Job<'_>) -> Vec<OsString> {
    let mut words: Vec<String> =
        ["--quiet", "--config-net", "--no-map-gw", "-T", "none", "-U", "none"].map(Into::into).into();
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    add("-I", job.wish.interface.clone());
    if job.routes.four {
        add("-a", ADDRESS.to_string());
        add("-n", "24".into());
        add("-g", GATEWAY.to_string());
        add("--dns-forward", NAME_SERVER.to_string());
    }
    if job.routes.six {
        add("-a", ADDRESS_6.to_string());
        add("-g", GATEWAY_6.to_string());
    }
    for (option, protocol) in [("-t", Protocol::Tcp), ("-u", Protocol::Udp)] {
        let specs = specs(job.ports, protocol);
        if specs.is_empty() {
            add(option, "none".into());
        }
        specs.into_iter().for_each(|spec| add(option, spec));
    }
    match (job.routes.four, job.routes.six) {
        (true, false) => words.push("-4".into()),
        (false, true) => words.push("-6".into()),
        _ => {}
    }
    if rustix::process::geteuid().is_root() {
        // Root of the first user namespace would become `nobody` and may then not enter the namespace.
        words.extend(["--runas".into(), "0".into()]);
    }
    words.into_iter().map(Into::into).collect()
}

/// Ports in its grammar: `[address/]first[-last]:first[-last]`, neighbours as one range.
fn specs(ports: &[Forward], protocol: Protocol) -> Vec<String> {
    let mut runs: Vec<(Forward, u16)> = Vec::new();
    for port in ports.iter().filter(|p| p.protocol == protocol) {
        match runs.last_mut() {
            Some((first, more))
                if first.host_ip == port.host_ip
                    && first.host_port.checked_add(*more + 1) == Some(port.host_port)
                    && first.container_port.checked_add(*more + 1) == Some(port.container_port) =>
            {
                *more += 1;
            }
            _ => runs.push((*port, 0)),
        }
    }
    let range = |first: u16, more: u16| match more {
        0 => first.to_string(),
        more => format!("{first}-{}", first + more),
    };
    let spec = |(first, more): (Forward, u16)| {
        let address = first.host_ip.map_or_else(String::new, |ip| format!("{ip}/"));
        format!("{address}{}:{}", range(first.host_port, more), range(first.container_port, more))
    };
    runs.into_iter().map(spec).collect()
}

/// A file without a name: a pipe would end only with the program.
pub(super) fn memory_file() -> std::io::Result<std::fs::File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("netwire", MemfdFlags::CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_range() {
        let port = |host_ip: Option<&str>, host_port, container_port| Forward {
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host_port,
            container_port,
            protocol: Protocol::Tcp,
        };
        let ports = [
            port(None, 8000, 80),
            port(None, 8001, 81),
            port(None, 8002, 81),
            port(Some("127.0.0.1"), 9000, 90),
            port(Some("::1"), 9001, 91),
        ];
        let told = specs(&ports, Protocol::Tcp);
        assert_eq!(told, ["8000-8001:80-81", "8002:81", "127.0.0.1/9000:90", "::1/9001:91"]);
        assert!(specs(&ports, Protocol::Udp).is_empty());
    }
}
