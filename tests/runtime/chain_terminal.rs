//! The chain loader on a terminal: a shell in a new pid namespace has job control and complains of nothing, a pipeline keeps its
//! terminal, `-t` gives one of its own.

use crate::pty::Pty;
use testkit::need;

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

/// unshare's own command line.
const SHELL: [&str; 9] =
    ["--fork", "--pid", "--mount", "--uts", "--ipc", "--net", "--user", "--map-root-user", "--mount-proc"];

/// unshare first; dash is content only with us.
#[test]
fn bash_in_a_pid_namespace_has_job_control() {
    need!(root, "unshare", "bash", "setsid");
    for program in ["unshare", NSRUN] {
        let mut words = vec![program];
        words.extend(SHELL);
        words.extend(["bash", "--norc"]);
        let mut pty = Pty::new(&words);
        pty.expect("P> ");
        pty.type_in("echo pid $$; sleep 1000\n");
        pty.expect("\npid 1\r");
        std::thread::sleep(std::time::Duration::from_millis(300));
        pty.type_in("\x1a");
        pty.expect("Stopped");
        pty.type_in("bg; kill %1; wait; echo over\n");
        pty.expect("\nover\r");
        pty.type_in("exit 3\n");
        let (said, code) = pty.end();
        assert_eq!(code, Some(3), "{program}: {said}");
        assert!(!said.contains("no job control") && !said.contains("annot"), "{program}: {said}");
    }
}

#[test]
fn dash_and_busybox_complain_of_nothing() {
    need!(root, "dash", "busybox", "setsid");
    for shell in [&["dash"][..], &["busybox", "sh"]] {
        let mut words = vec![NSRUN];
        words.extend(SHELL);
        words.extend(shell);
        let mut pty = Pty::new(&words);
        pty.expect("P> ");
        pty.type_in("sleep 1000\n");
        std::thread::sleep(std::time::Duration::from_millis(500));
        pty.type_in("\x03");
        pty.expect("P> ");
        pty.type_in("echo was $?; sleep 1000 &\n");
        pty.expect("\nwas 130\r");
        pty.type_in("kill $!; exit 7\n");
        let (said, code) = pty.end();
        assert_eq!(code, Some(7), "{shell:?}: {said}");
        assert!(!said.contains("annot") && !said.contains("turned off"), "{shell:?}: {said}");
    }
}

#[test]
fn the_callers_shell_has_the_terminal_again_afterwards() {
    need!(root, "bash", "setsid");
    let mut pty = Pty::new(&["bash", "--norc", "-i"]);
    pty.expect("P> ");
    // The rest of a pipeline is in our process group, and keeps the terminal.
    pty.type_in(&format!("{NSRUN} -fp seq 3 | sh -c 'stty -a </dev/tty >/dev/null; tail -n 1'\n"));
    pty.expect("\n3\r");
    pty.expect("P> ");
    pty.type_in(&format!("{NSRUN} -fp --init sh -c 'echo up; exec sleep 1000'\n"));
    pty.expect("\nup\r");
    pty.type_in("\x03");
    pty.expect("P> ");
    pty.type_in("echo code $?\n");
    pty.expect("\ncode 130\r");
    pty.type_in("exit 4\n");
    let (said, code) = pty.end();
    assert_eq!(code, Some(4), "{said}");
}

#[test]
fn a_terminal_of_its_own_has_our_size_and_is_its_controlling_one() {
    need!(root, "dash", "setsid");
    let lines: [&[&str]; 2] = [
        &["-t", "-fpm", "--mount-proc"],
        &["-t", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"],
    ];
    for line in lines {
        let mut words = vec![NSRUN];
        words.extend(line);
        words.push("dash");
        let mut pty = Pty::new(&words);
        pty.expect("P> ");
        pty.type_in("stty size; tty; echo $$ leads\n");
        pty.expect("\n33 77\r");
        pty.expect("/dev/pts/");
        pty.expect("\n1 leads\r");
        pty.type_in("sleep 1000\n");
        std::thread::sleep(std::time::Duration::from_millis(500));
        pty.type_in("\x03");
        pty.expect("P> ");
        pty.type_in("exit 5\n");
        let (said, code) = pty.end();
        assert_eq!(code, Some(5), "{line:?}: {said}");
    }
}

#[test]
fn a_sandbox_cannot_type_into_the_callers_terminal() {
    need!(root, "perl", "setsid");
    // 0x5412 is TIOCSTI; with bits above those the kernel looks at, too.
    let script = "for my $r (0x5412, 0x7_0000_5412) { my $c = 'x'; print ioctl(STDIN, $r, $c) ? \"typed\\n\" : \"refused: $!\\n\" }";
    let plain = Pty::new(&["perl", "-e", script]).end().0;
    assert!(plain.contains("typed"), "without a sandbox it can: {plain}");
    let (said, _) =
        Pty::new(&[NSRUN, "--ro-bind", "/", "/", "--dev", "/dev", "--cap-add", "ALL", "perl", "-e", script]).end();
    assert!(!said.contains("typed") && said.contains("refused: Operation not permitted"), "{said}");
    let (said, _) = Pty::new(&[
        NSRUN,
        "--new-session",
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "sh",
        "-c",
        "true </dev/tty || echo none",
    ])
    .end();
    assert!(said.contains("none"), "{said}");
}

#[test]
fn a_command_that_waits_or_has_a_session_of_its_own_is_interrupted() {
    need!(root, "setsid");
    let folder = tempfile::tempdir().expect("folder");
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    for more in ["", "-t", "--pid", "-t --pid"] {
        // Open both ways nobody ever says anything, nor goes away.
        let line = format!("exec {NSRUN} --fork {more} --info-fd 1 --block-fd 5 true 5<>{}", fifo.display());
        let mut pty = Pty::new(&["sh", "-c", &line]);
        pty.expect("child-pid");
        pty.type_in("\x03");
        assert_eq!(pty.end().1, Some(130), "{more}");
    }
    let script = "trap 'echo got; exit 5' INT; echo up; while :; do sleep 0.02; done";
    let mut pty = Pty::new(&[NSRUN, "--new-session", "sh", "-c", script]);
    pty.expect("up\r");
    pty.type_in("\x03");
    pty.expect("got\r");
    assert_eq!(pty.end().1, Some(5));
}
