//! config.md, "Process": the terminal, which whoever calls the runtime gets over a socket.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::json;
use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

pub(crate) fn cases() -> Vec<Case> {
    cases!["terminal": streams_and_console, console_size]
}

/// Descriptors and bytes of one message.
pub(crate) fn receive(stream: &UnixStream) -> Result<(Vec<u8>, Vec<OwnedFd>), String> {
    let mut bytes = vec![0; 65536];
    let mut room = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut room);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let got = rustix::net::recvmsg(stream, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(|e| format!("recvmsg: {e}"))?;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    bytes.truncate(got.bytes);
    Ok((bytes, descriptors))
}

/// What the program says on a terminal of 25 lines of 80.
fn says(bench: Bench<'_>, script: &str) -> Result<String, String> {
    let container = Container::with(bench, script, |config| {
        config["process"]["terminal"] = json!(true);
        config["process"]["consoleSize"] = json!({ "height": 25, "width": 80 });
    })?;
    // The path of a socket may be short only.
    let socket = container.folder().join("tty");
    let listener = UnixListener::bind(&socket).map_err(|e| format!("socket: {e}"))?;
    listener.set_nonblocking(false).map_err(|e| e.to_string())?;
    container.write()?;
    let master = std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (stream, _) = listener.accept().map_err(|e| e.to_string())?;
            receive(&stream)?.1.pop().ok_or_else(|| "no descriptor came".to_owned())
        });
        let created = container.create_as_is(&["--console-socket", &socket.to_string_lossy()]).and_then(|ran| ran.ok());
        if created.is_err() {
            // Whoever waits for a connection gets one.
            drop(UnixStream::connect(&socket));
        }
        let master = server.join().map_err(|_| "the server of the terminal".to_owned())?;
        created.and(master)
    })?;
    container.start()?.ok()?;
    let mut said = Vec::new();
    let mut master = File::from(master);
    let mut part = [0; 4096];
    // The other side's end reads as EIO.
    while let Ok(n @ 1..) = master.read(&mut part) {
        said.extend_from_slice(&part[..n]);
    }
    Ok(String::from_utf8_lossy(&said).replace('\r', ""))
}

fn streams_and_console(bench: Bench<'_>) -> Verdict {
    let said = says(
        bench,
        "for n in 0 1 2; do test -t $n && readlink /proc/self/fd/$n; done; test -c /dev/console && echo console",
    )?;
    let lines: Vec<&str> = said.lines().collect();
    check!(
        lines.len() == 4 && lines[0].starts_with("/dev/") && lines[..3].iter().all(|l| *l == lines[0]),
        "it said {said:?}"
    );
    check!(lines[3] == "console", "no /dev/console: {said:?}");
    Ok(())
}

fn console_size(bench: Bench<'_>) -> Verdict {
    let said = says(bench, "stty size")?;
    check!(said == "25 80\n", "the size is {said:?}");
    Ok(())
}
