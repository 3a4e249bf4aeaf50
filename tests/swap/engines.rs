//! nsrun as the OCI runtime of podman, Docker and containerd: a script of `tests/lab` does with the engine what people do with it,
//! once on the runtime the engine comes with and once on ours, and the two protocols have to be the same: each command's
//! output and exit code, down to the words of an error that the engine passes on.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use testkit::container::{Remains, new_id};
use testkit::{fixture, need, user};

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

/// One command of a protocol: its name, and its exit code with what it printed.
type Step = (String, String);

/// Runs the script with this runtime and image. `command` leads to the script; a folder of the run's own is made for it.
fn protocol(mut command: Command, script: &str, runtime: &str, image: &Path) -> Vec<Step> {
    let (folder, group) = (user::scratch(), new_id());
    let _remains = Remains::of(&group);
    command.arg(crate::script(script)).arg(runtime).arg(image).arg(folder.path()).env("LAB_CGROUP", &group);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the script runs");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{script} {runtime}: {said}");
    let text = String::from_utf8(stdout).expect("text");
    // what the engine complained of, for whoever looks at a failure
    let complaints = std::fs::read_to_string(folder.path().join("stderr")).unwrap_or_default();
    let steps = text.split("## ").skip(1).map(|step| {
        let (name, rest) = step.split_once(": ").expect("a name and a code");
        let complaint = complaints.split("## ").find(|c| c.starts_with(&format!("{name}: "))).unwrap_or_default();
        let complaint = complaint.split_once('\n').map_or("", |(_, said)| said);
        (name.to_owned(), format!("{rest}\0{complaint}"))
    });
    steps.collect()
}

/// The same command in a pid namespace of its own: whatever becomes of it, nothing of it is left running.
fn ending_together(command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    outer.args(["-p", "-f", "-m", "--mount-proc", "--kill-child"]).arg(command.get_program()).args(command.get_args());
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer
}

/// The same on both at once, compared.
#[track_caller]
fn compare(theirs: &str, run: impl Fn(&str) -> Vec<Step> + Sync) {
    let (wanted, got) = std::thread::scope(|scope| {
        let wanted = scope.spawn(|| run(theirs));
        let got = run(NSRUN);
        (wanted.join(), got)
    });
    let wanted = wanted.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let names = |steps: &[Step]| steps.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&wanted), names(&got));
    assert!(wanted.len() > 20, "{wanted:?}");
    let mut differ = String::new();
    for ((name, wanted), (_, got)) in wanted.iter().zip(&got) {
        let printed = |step: &str| step.split('\0').next().unwrap_or_default().to_owned();
        if printed(wanted) != printed(got) {
            differ.push_str(&format!(
                "{name}\non {theirs}: {}on nsrun: {}",
                wanted.replace('\0', ""),
                got.replace('\0', "")
            ));
        }
    }
    assert!(differ.is_empty(), "{differ}");
}

/// A root file system with busybox as a tar that everybody can read.
fn base() -> tempfile::TempDir {
    let folder = user::scratch();
    crate::base(folder.path());
    folder
}

#[test]
fn podman_as_root_does_the_same_on_nsrun() {
    need!(root, user, cgroup1, overlay, "podman", "crun", "conmon", "tini-static", "python3", "busybox");
    let base = base();
    compare("crun", |runtime| {
        protocol(Command::new("env"), "podman-runtime.sh", runtime, &base.path().join("base.tar"))
    });
}

#[test]
fn podman_without_root_does_the_same_on_nsrun() {
    need!(user, userns, overlay, "podman", "crun", "conmon", "tini-static", "python3", "busybox");
    let base = base();
    let image = base.path().join("base.tar");
    compare("crun", |runtime| protocol(ending_together(&user::command("env")), "podman-runtime.sh", runtime, &image));
}

#[test]
fn docker_does_the_same_on_nsrun() {
    need!(root, images, cgroup1, overlay, "dockerd", "docker", "runc", "python3");
    let image = fixture::busybox_docker_archive();
    compare("runc", |runtime| protocol(Command::new("env"), "docker-runtime.sh", runtime, &image));
}

#[test]
fn containerd_does_the_same_on_nsrun() {
    need!(root, images, cgroup1, overlay, "containerd", "/usr/bin/ctr", "runc", "python3");
    let image = fixture::busybox_docker_archive();
    compare("runc", |runtime| protocol(Command::new("env"), "containerd-runtime.sh", runtime, &image));
}
