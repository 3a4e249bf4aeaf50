//! `slirp4netns`: its command line, its start, and ports by its socket (slirp4netns(1), "API SOCKET").
//!
//! It ends when the pipe that is its standard input does, which the keeper holds. It answers on its socket when all is set.

use super::keeper::{Job, Running, Target};
use super::pasta::memory_file;
use super::record::Record;
use super::{ADDRESS, ATTACH, Forward, MTU};
use crate::error::{Error, Kind, Result, failed};
use crate::lease::Process;
use nix::sys::signal::SigSet;
use std::io::{Read, Seek, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);

/// Starts it, waits until it is up and publishes the ports.
pub(super) fn start(job: &Job<'_>, record: &Record) -> Result<Running> {
    let wrong = |e: std::io::Error| failed(ATTACH, &job.wish.network, e);
    let socket = record.socket();
    let mut said = memory_file().map_err(wrong)?;
    let mut command = Command::new(&job.path);
    command.args(["--configure", "--disable-host-loopback", "--exit-fd=0"]).arg(format!("--mtu={MTU}"));
    if job.routes.six {
        command.arg("--enable-ipv6");
    }
    command.arg("--api-socket").arg(&socket);
    match job.target() {
        Target::Process(id) => command.arg(id.to_string()),
        Target::Path(path) => command.arg("--netns-type=path").arg(path),
    };
    command.arg(&job.wish.interface);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(said.try_clone().map_err(wrong)?);
    let mut child = sys::daemon::spawn_with_mask(&mut command, SigSet::empty()).map_err(wrong)?;
    let hold = child.stdin.take().map(Into::into);
    let up = await_answer(&mut child, &socket).and_then(|()| publish(&socket, job.ports));
    if let Err(e) = up {
        drop(hold);
        let _ = child.wait();
        let mut text = String::new();
        let _ = said.rewind().and_then(|()| said.read_to_string(&mut text));
        let line = text.lines().rev().find(|l| !l.trim().is_empty() && !l.starts_with("WARNING"));
        return Err(line.map_or(e, |line| Error::new(Kind::System, "", line.trim())));
    }
    let process = Process::of(child.id());
    let process = process.ok_or_else(|| Error::new(Kind::System, "", "it ended as soon as it was up"))?;
    Ok(Running { process, _hold: hold })
}

fn await_answer(child: &mut Child, socket: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        if ask(socket, r#"{"execute":"list_hostfwd"}"#).is_ok() {
            return Ok(());
        }
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return Err(Error::new(Kind::System, "", "it failed and did not say why"));
        }
        if Instant::now() > end {
            let _ = child.kill();
            return Err(Error::new(Kind::System, "", "it does not answer"));
        }
        std::thread::sleep(PAUSE);
    }
}

fn publish(socket: &Path, ports: &[Forward]) -> Result<()> {
    for port in ports {
        let host = port.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let IpAddr::V4(host) = host else {
            return Err(Error::new(Kind::Unsupported, "publish", host)
                .because("slirp4netns has ports on IPv4 addresses only")
                .hint("--network pasta has both, where passt is installed"));
        };
        let request = serde_json::json!({ "execute": "add_hostfwd", "arguments": {
            "proto": port.protocol, "host_addr": host, "host_port": port.host_port,
            "guest_addr": ADDRESS, "guest_port": port.container_port,
        }});
        let fail = |why: String| Error::new(Kind::System, "publish", port.host_port).because(why);
        let answer = ask(socket, &request.to_string()).map_err(|e| fail(e.to_string()))?;
        let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|e| fail(e.to_string()))?;
        if let Some(error) = answer.get("error") {
            return Err(fail(error["desc"].as_str().unwrap_or("refused").to_owned()));
        }
    }
    Ok(())
}

/// One question on its socket: it answers when we have ended our half.
fn ask(socket: &Path, request: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
