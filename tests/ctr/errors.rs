//! Bad input: one clear line, a hint, the right exit code, and nothing left.

use crate::lab::Lab;
use testkit::need;

#[track_caller]
fn refused(lab: &Lab, args: &[&str], code: i32, message: &str) {
    let said = lab.said(args);
    assert_eq!(said.code, code, "{args:?}: {said:?}");
    let line = said.err.lines().find(|l| !l.contains("not in view")).unwrap_or_default();
    assert_eq!(line, message, "{args:?}: {said:?}");
    assert!(said.err.lines().any(|l| l.starts_with("hint: ")), "{args:?} has no hint: {said:?}");
    assert_eq!(lab.ok(["ps", "-aq"]), "", "{args:?} left a container");
}

#[test]
fn what_is_asked_wrong() {
    need!(root);
    let lab = Lab::new();
    refused(&lab, &["run", "debian:99", "true"], 125, "ctr: No such image: debian:99");
    refused(&lab, &["run", "--bad", "host"], 125, "ctr: unknown flag: --bad");
    refused(&lab, &["frobnicate"], 1, "ctr: unknown command: ctr frobnicate");
    refused(&lab, &["ps", "--bad"], 125, "ctr: unknown flag: --bad");
    refused(
        &lab,
        &["run", "-v", "/a", "host"],
        125,
        "ctr: volume /a: volumes without a folder of the machine are not there yet",
    );
    refused(&lab, &["run", "-v", "/a:/b:rx", "host"], 125, "ctr: invalid mode: rx");
    refused(&lab, &["run", "--driver", "zfs", "host"], 125, "ctr: driver zfs: unknown");
    let relative = "ctr: the working directory 'here' is invalid, it needs to be an absolute path";
    refused(&lab, &["run", "-w", "here", "--rm", "host"], 125, relative);
    refused(
        &lab,
        &["run", "--rm", "-u", "nobody-here", "host"],
        125,
        "ctr: unable to find user nobody-here: no matching entries in passwd file",
    );
    refused(
        &lab,
        &["run", "--mount-program", "/usr/bin/fuse-overlayfs", "host"],
        125,
        "ctr: image host: only our own ovl-mount may lay a layer over the machine's root",
    );
    refused(
        &lab,
        &["run", "--rm", "--cap-add", "FLY", "host"],
        125,
        "ctr: invalid CapAdd: unknown capability: \"CAP_FLY\"",
    );
    refused(&lab, &["logs", "nobody"], 1, "ctr: No such container: nobody");
    refused(&lab, &["exec", "nobody", "true"], 1, "ctr: No such container: nobody");
}

#[test]
fn no_command_at_all_asks_for_help() {
    let said = Lab::new().said::<&str>([]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("Usage:  ctr ") && said.err.contains("inspect"), "{said:?}");
    assert_eq!(said.out, "");
}

#[test]
fn a_command_that_is_not_there_is_127_and_one_that_cannot_run_126() {
    need!(root, overlay);
    let lab = Lab::new();
    for (command, code, words) in [
        ("no-such-program", 127, "executable file not found in $PATH"),
        ("/no/such/program", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
    ] {
        let said = lab.said(["run", "--rm", "host", command]);
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.err.contains(words), "{said:?}");
        assert_eq!(lab.ok(["ps", "-aq"]), "");
    }
}

#[test]
fn neither_driver_is_to_be_had() {
    need!(root, fuse, "unshare");
    let lab = Lab::new();
    // no /dev/fuse in a mount namespace of its own
    let script = format!(
        "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec {} run --rm --driver fuse host true",
        env!("CARGO_BIN_EXE_ctr")
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).stdin(std::process::Stdio::null());
    lab.environment(&mut command);
    let said = crate::lab::Said::from(command.output().expect("unshare"));
    assert_eq!(said.code, 125, "{said:?}");
    assert!(said.err.contains("/dev/fuse"), "{said:?}");
    assert!(said.err.contains("hint: "), "{said:?}");
    assert_eq!(lab.ok(["ps", "-aq"]), "");
}
