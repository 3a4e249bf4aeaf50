//! `ctr run --explain`: the printed script, run by `sh` without any `ctr` and with a store it cannot write to, gives a
//! container that sees the same as that of `ctr run`.

use crate::lab::{Lab, Said};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::{fixture, need};

/// What a container sees: its mounts (without ids and device numbers), its ids, capabilities, links, environment.
const LOOK: &str = "cut -d' ' -f4- /proc/self/mountinfo; id; grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status; \
    ls /sys/class/net; env | sort; pwd; hostname; cat /proc/self/uid_map; ls /dev /etc | sort; cat /etc/hosts /etc/resolv.conf; \
    for n in pid mnt ipc uts net cgroup user; do test $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) && echo same $n; done";

/// A folder with the single tools and without `ctr`.
pub(crate) fn tools(lab: &Lab) -> PathBuf {
    let dir = lab.path().join("tools");
    std::fs::create_dir_all(&dir).expect("made");
    for (name, program) in [
        ("nsrun", env!("CARGO_BIN_EXE_nsrun")),
        ("ovl-mount", env!("CARGO_BIN_EXE_ovl-mount")),
        ("netwire", env!("CARGO_BIN_EXE_netwire")),
        // Whoever calls it fails: the script has no need of `ctr`. (There may be another program of that name, containerd's.)
        ("ctr", "/bin/false"),
    ] {
        let _ = symlink(program, dir.join(name));
    }
    dir
}

/// Where a user's containers are.
struct Places {
    root: PathBuf,
    run: PathBuf,
    /// The script's `TMPDIR`.
    temporary: PathBuf,
}

impl Places {
    fn below(folder: &Path) -> Self {
        let temporary = folder.join("tmp");
        std::fs::create_dir_all(&temporary).expect("made");
        std::fs::set_permissions(&temporary, PermissionsExt::from_mode(0o777)).expect("open to all");
        Self { root: folder.join("root"), run: folder.join("run"), temporary }
    }
}

/// What differs between two runs of the same thing: ids, temporary folders, where the writable layer is.
fn normalised(places: &Places, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words = Vec::new();
        for word in line.split(' ') {
            let option = |name: &str| word.split(',').any(|o| o.starts_with(name));
            if option("upperdir=") || option("lowerdir=") {
                let kept: Vec<&str> = word
                    .split(',')
                    .filter(|o| !["upperdir=", "workdir=", "lowerdir"].iter().any(|p| o.starts_with(p)))
                    .collect();
                words.push(kept.join(","));
            } else {
                words.push(word.to_owned());
            }
        }
        let mut line = words.join(" ");
        // each run has its own folder
        for folder in [&places.run, &places.temporary] {
            if let Some(at) = line.find(&format!("{}/", folder.display())) {
                let rest = &line[at + folder.as_os_str().len() + 1..];
                let end = rest.find(['/', ' ']).unwrap_or(rest.len());
                line = format!("{}RUN{}", &line[..at], &rest[end..]);
            }
        }
        // and its own cgroup
        if let Some(at) = line.find("/veneer/") {
            let rest = &line[at + 8..];
            let end = rest.find([' ', '/']).unwrap_or(rest.len());
            line = format!("{}/veneer/ID{}", &line[..at], &rest[end..]);
        }
        // and an address: the first one's is free when its link has gone, for which nobody waits
        if let Some((_, name)) = line.strip_prefix("172.17.0.").and_then(|rest| rest.split_once('\t')) {
            line = format!("172.17.0.N\t{name}");
        }
        // the script's own folder is covered on `host` as the state root is
        if line.starts_with("/ RUN ") && line.contains(" tmpfs ") {
            continue;
        }
        lines.push(line);
    }
    lines
}

/// Runs `ctr run OPTIONS IMAGE sh -c LOOK` and what `--explain` prints for it; `outer` wraps both.
fn compare(lab: &Lab, places: &Places, outer: &dyn Fn(&str) -> Command, options: &[&str]) {
    let words: Vec<&str> = [&["run", "--rm", "--hostname", "box"], options, &["sh", "-c", LOOK]].concat();
    let quoted: Vec<String> = words.iter().map(|w| format!("'{}'", w.replace('\'', r"'\''"))).collect();
    let ctr = env!("CARGO_BIN_EXE_ctr");
    let run = |script: &str| -> Said {
        let mut command = outer(script);
        command.stdin(Stdio::null());
        command.output().expect("it runs").into()
    };
    let explained = run(&format!("{ctr} run --explain {}", quoted[1..].join(" ")));
    assert_eq!(explained.code, 0, "{options:?}: {explained:?}");
    let script = lab.path().join("script");
    std::fs::write(&script, &explained.out).expect("written");

    let ours = run(&format!("{ctr} {}", quoted.join(" ")));
    assert_eq!(ours.code, 0, "{options:?}: {ours:?}");
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tools(lab).display());
    let before = store_tree(&places.root);
    let temporary = places.temporary.display();
    let script = run(&format!("PATH={path} TMPDIR={temporary}; export PATH TMPDIR; exec sh {}", script.display()));
    assert_eq!(script.code, 0, "{options:?}: {script:?}\n{}", explained.out);
    let (ours, theirs) = (normalised(places, &ours.out), normalised(places, &script.out));
    assert!(ours.len() > 40, "{ours:?}");
    let only = |a: &[String], b: &[String]| a.iter().filter(|l| !b.contains(l)).cloned().collect::<Vec<_>>();
    let (left, right) = (only(&ours, &theirs), only(&theirs, &ours));
    assert!(left.is_empty() && right.is_empty(), "{options:?}\nonly ctr: {left:#?}\nonly the script: {right:#?}");
    assert_eq!(store_tree(&places.root), before, "the script changed the store");
    let leftover: Vec<_> = std::fs::read_dir(&places.temporary).expect("tmp").flatten().map(|e| e.path()).collect();
    assert!(leftover.is_empty(), "{leftover:?}");
}

fn store_tree(root: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            // what is in a layer cannot have changed if the layers are the same
            if entry.file_type().is_ok_and(|t| t.is_dir()) && entry.file_name() != "diff" {
                folders.push(entry.path());
            }
            all.push(entry.path());
        }
    }
    all.sort();
    all
}

/// As root: namespaces of our own around it, the store read-only for the script.
fn as_root(lab: &Lab) -> impl Fn(&str) -> Command {
    let root = lab.root();
    let run = lab.run_folder();
    move |script: &str| {
        let read_only = if script.contains("exec sh ") {
            format!("mount --bind {0} {0} && mount -o remount,ro,bind {0} && ", root.display())
        } else {
            String::new()
        };
        let mut command = Command::new("unshare");
        command.args(["-m", "-n", "sh", "-c", &format!("ip link set lo up; {read_only} {script}")]);
        command.env("VENEER_ROOT", &root).env("VENEER_RUN", &run);
        command
    }
}

const MIXES: [&[&str]; 6] = [
    &["--network", "none"],
    &["--network", "host", "-w", "/tmp", "-e", "A=it's $HOME `x`"],
    &["--network", "none", "-u", "7:8", "--read-only"],
    &["--network", "none", "--cap-drop", "all", "--cap-add", "net_admin", "-v", "/usr/share:/mnt:ro"],
    &[
        "--network",
        "bridge",
        "--init",
        "-p",
        "127.0.0.1:8099:80",
        "--add-host",
        "gw:host-gateway",
        "--dns-search",
        "a.test",
    ],
    &["--network", "none", "--security-opt", "no-new-privileges", "--entrypoint", "env"],
];

fn mixes(driver: &str, image: &str, which: &[usize]) {
    let lab = Lab::new();
    if image != "host" {
        lab.load(&fixture::busybox_oci());
    }
    for mix in which {
        let options = [MIXES[*mix], &["--driver", driver, image]].concat();
        compare(&lab, &Places::below(lab.path()), &as_root(&lab), &options);
    }
}

#[test]
fn an_image_on_the_kernels_overlay() {
    need!(root, overlay, netns, images);
    mixes("kernel", "busybox", &[0, 1, 2, 3, 4]);
}

#[test]
fn an_image_on_fuse() {
    need!(root, fuse, netns, images);
    mixes("fuse", "busybox", &[0, 2, 3, 4]);
}

#[test]
fn this_machine_on_either() {
    need!(root, overlay, fuse, netns);
    mixes("kernel", "host", &[0, 3]);
    mixes("fuse", "host", &[0, 5]);
}

#[test]
fn as_an_ordinary_user() {
    need!(root, user, overlay, images);
    let lab = Lab::new();
    let scratch = testkit::user::scratch();
    let places = Places::below(scratch.path());
    let Places { root, run, .. } = &places;
    let outer = |script: &str| {
        let mut command = testkit::user::command("sh");
        let script = format!(
            "VENEER_ROOT={} VENEER_RUN={}; export VENEER_ROOT VENEER_RUN; {script}",
            root.display(),
            run.display()
        );
        command.args(["-c", &script]);
        command
    };
    let loaded = outer(&format!("{} load -q -i {}", env!("CARGO_BIN_EXE_ctr"), fixture::busybox_oci().display()));
    let loaded: Said = { loaded }.output().expect("load").into();
    assert_eq!(loaded.code, 0, "{loaded:?}");
    std::fs::set_permissions(lab.path(), PermissionsExt::from_mode(0o755)).expect("readable");
    for (mix, driver, image) in [(0, "kernel", "busybox"), (2, "fuse", "busybox"), (0, "fuse", "host")] {
        compare(&lab, &places, &outer, &[MIXES[mix], &["--driver", driver, image]].concat());
    }
}

#[test]
fn a_name_has_no_slash_however_it_was_typed() {
    need!(root, overlay);
    let lab = Lab::new();
    for (name, want) in [("/web", Some("--name web")), ("web", Some("--name web")), ("", None)] {
        let said = lab.ok(["run", "--explain", "--network", "mine", "--name", name, "host", "true"]);
        let attach = said.lines().find(|line| !line.starts_with('#') && line.contains("netwire attach"));
        let attach = attach.unwrap_or_else(|| panic!("{said}"));
        let named = attach
            .split_once("--name ")
            .map(|(_, rest)| format!("--name {}", rest.split(' ').next().unwrap_or_default()));
        assert_eq!(named.as_deref(), want, "{attach}");
    }
}
