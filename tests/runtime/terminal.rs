//! A container's terminal, served by nsrun itself or handed over.

use crate::bundle::{Bundle, Runtime, runtimes, told};
use crate::pty::Pty;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::{Value, json};
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use testkit::need;

fn with_terminal(config: &mut Value) {
    config["process"]["terminal"] = json!(true);
    let devpts = json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] });
    config["mounts"].as_array_mut().expect("mounts").insert(2, devpts);
}

const SCRIPT: &str = "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; stty size; test -c /dev/console && echo console; echo x >/dev/tty";

#[test]
fn run_serves_a_terminal_of_the_callers_size() {
    need!(root, "runc", "busybox", "script");
    // crun 1.8 leaves the size alone.
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let wanted = "/dev/pts/0\r\nall\r\n33 77\r\nconsole\r\nx\r\n";
        // runc starts the program and sets the size at the same time, so that a quick one may not see it yet.
        let tries = if runtime.name == "nsrun" { 1 } else { 5 };
        let said: Vec<String> = (0..tries).map(|_| on_a_terminal(&runtime)).collect();
        assert!(said.iter().any(|out| out.contains(wanted)), "{}: {said:?}", runtime.name);
    }
}

/// What `run` prints on a terminal of 33 rows and 77 columns.
fn on_a_terminal(runtime: &Runtime) -> String {
    let bundle = Bundle::new(SCRIPT, with_terminal);
    let mut run = bundle.command(runtime, "run");
    run.arg("--bundle").arg(bundle.folder()).arg(bundle.id());
    let words: Vec<String> = std::iter::once(run.get_program())
        .chain(run.get_args())
        .map(|word| format!("'{}'", word.to_str().expect("text").replace('\'', "'\\''")))
        .collect();
    let line = format!("stty rows 33 cols 77; {}", words.join(" "));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut script = script.spawn().expect("starts");
    // held open: at its end script(1) would type an end-of-file, which a raw terminal takes for a character
    let typing = script.stdin.take();
    let (out, err, _) = told(&script.wait_with_output().expect("ends"));
    drop(typing);
    out + &err
}

#[test]
fn create_hands_the_master_to_the_console_socket() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new(SCRIPT, |config| {
            with_terminal(config);
            config["process"]["consoleSize"] = json!({ "height": 20, "width": 40 });
        });
        let path = bundle.folder().join("console");
        let listener = UnixListener::bind(&path).expect("bind");
        let mut create = bundle.command(&runtime, "create");
        create.arg("--bundle").arg(bundle.folder()).arg("--console-socket").arg(&path).arg(bundle.id());
        assert!(create.status().expect("starts").success(), "{}", runtime.name);
        let (socket, _) = listener.accept().expect("accept");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 4096];
        let got =
            rustix::net::recvmsg(&socket, &mut [IoSliceMut::new(&mut name)], &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        assert!(got.expect("receive").bytes > 0, "{}: the terminal has a name", runtime.name);
        let master = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let mut master = std::fs::File::from(master.expect("a descriptor"));
        let status = bundle.command(&runtime, "start").arg(bundle.id()).status().expect("starts");
        assert!(status.success(), "{}", runtime.name);
        let mut said = Vec::new();
        let mut chunk = [0; 1024];
        while let Ok(n @ 1..) = master.read(&mut chunk) {
            said.extend_from_slice(&chunk[..n]);
        }
        let said = String::from_utf8_lossy(&said);
        // The runc of Debian 12 leaves the size to whoever has the master.
        let said = said.replace("\r\n0 0\r\n", "\r\n20 40\r\n");
        assert_eq!(said, "/dev/pts/0\r\nall\r\n20 40\r\nconsole\r\nx\r\n", "{}", runtime.name);
    }
}

#[test]
fn without_someone_to_serve_it_create_refuses_a_terminal() {
    need!(root, "runc", "busybox");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let bundle = Bundle::new("true", with_terminal);
        let mut create = bundle.command(&runtime, "create");
        let output = create.arg("--bundle").arg(bundle.folder()).arg(bundle.id()).output().expect("starts");
        assert!(!output.status.success(), "{}", runtime.name);
    }
}

/// A container has a session of its own, so that what the terminal sends its foreground reaches only who waits for it.
#[test]
fn what_is_typed_to_interrupt_reaches_a_container_without_a_terminal() {
    need!(root, "runc", "busybox", "setsid");
    for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
        let script = "trap 'echo got; exit 5' INT; echo up; while :; do sleep 0.02; done";
        let bundle = Bundle::new(script, |_| {});
        let mut run = bundle.command(&runtime, "run");
        run.arg("--bundle").arg(bundle.folder()).arg(bundle.id());
        let words: Vec<&str> =
            std::iter::once(run.get_program()).chain(run.get_args()).map(|word| word.to_str().expect("text")).collect();
        let mut pty = Pty::new(&words);
        pty.expect("up\r");
        pty.type_in("\x03");
        pty.expect("got\r");
        assert_eq!(pty.end().1, Some(5), "{}", runtime.name);
    }
}
