//! What programs that run bwrap(1) give it by descriptor, beside bwrap itself: more options, filters, something to hold.

use crate::bundle::told;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::need;

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

/// What a shell says to `script` in `folder`; `$P` is the program.
fn sh(program: &str, folder: &Path, script: &str) -> (String, String, Option<i32>) {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder).env("P", program).stdin(Stdio::null());
    told(&command.output().expect("starts"))
}

/// The same on both.
#[track_caller]
fn on_both(script: &str) -> String {
    let said = ["bwrap", NSRUN].map(|program| {
        let folder = tempfile::tempdir().expect("a folder");
        sh(program, folder.path(), script)
    });
    assert_eq!((&said[0].0, said[0].2), (&said[1].0, said[1].2), "{script}: {} {}", said[0].1, said[1].1);
    said[1].0.clone()
}

#[test]
fn options_come_from_descriptors_in_their_place() {
    need!(root, "bwrap");
    let script = "printf '%s\\0' --tmpfs /tmp --dir /tmp/a --setenv X --args >one
        printf '%s\\0' --ro-bind / / >two
        $P --args 6 --args 5 --dir /tmp/b sh -c 'echo $X \"$@\"; ls /tmp' sh --args 7 5<one 6<two; echo $?";
    assert_eq!(on_both(script), "--args --args 7\na\nb\n0\n");
    let folder = tempfile::tempdir().expect("a folder");
    let (_, err, code) = sh(NSRUN, folder.path(), "$P --args 9 true");
    assert_eq!((err.as_str(), code), ("nsrun: read words from 9: bad file descriptor\n", Some(125)));
    let (_, err, code) = sh(NSRUN, folder.path(), "printf '%s\\0' --args x >one; $P --args 5 true 5<one");
    assert_eq!((err.as_str(), code), ("nsrun: read --args x: is no descriptor\n", Some(125)));
    // A file that names itself again and again.
    let endless = "yes -- '--args 5' | tr ' \\n' '\\0\\0' | head -c 200000 >many; $P --args 5 true 5<many";
    let (_, err, code) = sh(NSRUN, folder.path(), endless);
    assert_eq!((err.as_str(), code), ("nsrun: read --args 5: makes more than 9000 words\n", Some(125)));
}

#[test]
fn a_descriptor_is_held_for_as_long_as_the_command_runs() {
    need!(root, "bwrap");
    for more in ["", "--unshare-pid"] {
        let script = format!(
            "mkfifo f; {{ $P --bind / / --dev /dev --proc /proc {more} --sync-fd 5 \
                sh -c 'ls /proc/$$/fd | grep -x 5; sleep 0.5; echo end >>log' 5>f; echo over >>log; }} & \
                read -r line <f; echo eof >>log; wait; cat log"
        );
        // The last to hold it is who waits for the command: it is let go behind the command's end, if not behind that one's own.
        for program in ["bwrap", NSRUN] {
            let folder = tempfile::tempdir().expect("a folder");
            let (out, err, _) = sh(program, folder.path(), &script);
            assert!(["end\neof\nover\n", "end\nover\neof\n"].contains(&out.as_str()), "{program} {more}: {out} {err}");
        }
    }
}

#[test]
fn filters_are_added_one_behind_the_other() {
    need!(root, "bwrap");
    // `ret ALLOW`
    let script = "printf '\\006\\0\\0\\0\\0\\0\\377\\177' >all
        $P --ro-bind / / --proc /proc MORE --add-seccomp-fd 5 --add-seccomp-fd 6 grep Seccomp_filters: /proc/self/status 5<all 6<all";
    let folder = tempfile::tempdir().expect("a folder");
    let count = |program, more| sh(program, folder.path(), &script.replace("MORE", more)).0;
    assert_eq!(count("bwrap", ""), "Seccomp_filters:\t2\n");
    assert_eq!(count(NSRUN, "--seccomp unconfined"), "Seccomp_filters:\t2\n");
    // Docker's profile is there as well.
    assert_eq!(count(NSRUN, ""), "Seccomp_filters:\t3\n");
}

#[test]
fn no_user_namespace_is_made_inside() {
    need!(root, "bwrap");
    let inside = "unshare -U true || echo refused; sh -c 'echo forks'";
    let said = on_both(&format!("$P --unshare-user --disable-userns --ro-bind / / sh -c \"{inside}\""));
    assert_eq!(said, "refused\nforks\n");
    let folder = tempfile::tempdir().expect("a folder");
    for (more, wanted) in [("", "forks\n"), ("--disable-userns", "refused\nforks\n")] {
        let line = format!("$P --cap-add ALL --seccomp unconfined {more} --ro-bind / / sh -c \"{inside}\"");
        let (out, err, _) = sh(NSRUN, folder.path(), &line);
        assert_eq!(out, wanted, "{more}: {err}");
    }
    // Without a root of its own it works as well.
    assert_eq!(
        sh(NSRUN, folder.path(), "$P --disable-userns unshare -U true 2>/dev/null || echo refused").0,
        "refused\n"
    );
}

#[test]
fn a_filter_that_forbids_more_filters_comes_behind_ours() {
    need!(root, "unshare");
    let word = |code: u16, yes: u8, no: u8, k: u32| [&code.to_ne_bytes()[..], &[yes, no], &k.to_ne_bytes()].concat();
    // load the number; seccomp(2) EPERM, all else allowed
    let number = u32::try_from(libc::SYS_seccomp).expect("a number");
    let program =
        [word(0x20, 0, 0, 0), word(0x15, 0, 1, number), word(0x06, 0, 0, 0x0005_0001), word(0x06, 0, 0, 0x7fff_0000)];
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("filter"), program.concat()).expect("written");
    for more in ["", "--ro-bind / /"] {
        let line = "--disable-userns --seccomp 5 sh -c 'unshare -U true 2>/dev/null || echo refused' 5<filter";
        let (out, err, code) = sh(NSRUN, folder.path(), &format!("$P {more} {line}"));
        assert_eq!((out.as_str(), code), ("refused\n", Some(0)), "{more}: {err}");
    }
}
