//! pjdfstest, a suite by others of what POSIX says on file system calls: about 400 cases. The kernel's overlay fails some of
//! them (each makes a device 0:0, which is a whiteout); ours may fail those and no others.

use crate::field::{Disk, Driver, Overlay, alone};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use testkit::dice::say;
use testkit::need;

const CONFIGURATION: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
stat_st_birthtime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.02
[dummy_auth]
entries = [["nobody", "nogroup"], ["veneer-test", "veneer-test"]]
"#;

/// Passes or not by chance: its last step opens a running program with `O_RDONLY|O_TRUNC`. FUSE has the server truncate before
/// the kernel looks whether the file is being executed; the program dies of it, before that look or after it
/// (docs/semantics.md, "Where the FUSE driver differs").
const BY_CHANCE: &str = "open::etxtbsy";

/// What the suite says of each case (`ok`, `FAILED`, `skipped`), and the lines that it says on it.
type Verdicts = BTreeMap<String, (String, String)>;

/// Runs the suite in the folder `place`.
fn verdicts(dir: &Path, place: &Path) -> Verdicts {
    let configuration = dir.join("pjdfstest.toml");
    std::fs::write(&configuration, CONFIGURATION).expect("a configuration");
    let mut command = Command::new(testkit::gate::find_program("pjdfstest").expect("pjdfstest"));
    command.arg("-c").arg(&configuration).arg("-p").arg(place).arg("-s").arg(dir.join("second"));
    let said = command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).output().expect("pjdfstest runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut found = Verdicts::new();
    let mut last = String::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [name, verdict @ ("ok" | "FAILED" | "skipped")] = words.as_slice() {
            last = (*name).to_owned();
            found.insert(last.clone(), ((*verdict).to_owned(), String::new()));
        } else if let Some((_, lines)) = found.get_mut(&last) {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    assert!(found.len() > 350, "pjdfstest ran {} cases: {said}", found.len());
    found
}

fn count(verdicts: &Verdicts, which: &str) -> usize {
    verdicts.values().filter(|(verdict, _)| verdict == which).count()
}

fn summary(verdicts: &Verdicts) -> String {
    let of = |which| count(verdicts, which);
    format!("{} ok, {} failed, {} skipped", of("ok"), of("FAILED"), of("skipped"))
}

/// On a plain disk, then on both overlays: in an empty upper, and below a folder that only a lower layer has.
fn no_worse_than_the_kernel(disk: Disk) {
    alone(disk, 256, |dir| {
        for folder in ["second", "plain"] {
            std::fs::create_dir(dir.join(folder)).expect("a folder");
        }
        let none = None::<&str>;
        let second =
            nix::mount::mount(Some("t"), &dir.join("second"), Some("tmpfs"), nix::mount::MsFlags::empty(), none);
        second.expect("a second file system");
        let plain = verdicts(dir, &dir.join("plain"));
        say(&format!("pjdfstest on {disk:?}: {}", summary(&plain)));
        assert_eq!(count(&plain, "FAILED"), 0, "the suite fails on a plain {disk:?}");
        for (place, below) in [("an empty upper", ""), ("a folder of a lower layer", "a/b")] {
            let on = |driver: Driver| {
                // Some cases make sockets, whose paths must be short.
                let root = dir.join(format!("{}{}", driver as u8, below.len()));
                std::fs::create_dir(&root).expect("a folder");
                let overlay = Overlay::new(&root, driver);
                std::fs::create_dir_all(root.join("low/a/b")).expect("folders of a lower layer");
                overlay.mount();
                let found = verdicts(dir, &overlay.m(below));
                overlay.umount();
                say(&format!("pjdfstest on {disk:?}, {driver:?} overlay, in {place}: {}", summary(&found)));
                found
            };
            let (kernel, ours) = (on(Driver::Kernel), on(Driver::Fuse));
            let by_whiteout = |name: &str| name.contains("char");
            let unexpected: Vec<_> =
                kernel.iter().filter(|(name, (v, _))| v == "FAILED" && !by_whiteout(name)).map(|(n, _)| n).collect();
            say(&format!("the kernel's overlay fails besides devices 0:0: {unexpected:?}"));
            let worse: Vec<String> = kernel
                .iter()
                .filter(|(name, (verdict, _))| verdict == "ok" && *name != BY_CHANCE)
                .filter_map(|(name, _)| match ours.get(name) {
                    Some((verdict, _)) if verdict == "ok" => None,
                    Some((verdict, lines)) => Some(format!("{name}: {verdict}\n{lines}")),
                    None => Some(format!("{name}: did not run")),
                })
                .collect();
            let better: Vec<&String> = ours
                .iter()
                .filter(|(name, (verdict, _))| verdict == "ok" && kernel.get(*name).is_none_or(|(v, _)| v != "ok"))
                .map(|(name, _)| name)
                .collect();
            say(&format!("ours passes and the kernel's does not: {better:?}"));
            assert!(worse.is_empty(), "{} cases fail on ours alone, in {place}:\n{}", worse.len(), worse.join("\n"));
        }
    });
}

#[test]
fn no_case_fails_on_ours_that_passes_on_the_kernels_overlay() {
    need!(root, fuse, overlay, user, "pjdfstest");
    no_worse_than_the_kernel(Disk::Tmpfs);
}

#[test]
fn no_case_fails_on_ours_that_passes_on_the_kernels_overlay_on_ext4() {
    need!(root, fuse, overlay, user, loop, "pjdfstest", "mkfs.ext4");
    no_worse_than_the_kernel(Disk::Ext4);
}
