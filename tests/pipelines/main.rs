//! The documents' pipelines, executed: each `sh` block of README.md, docs/recipes.md and docs/unpack.md, with what it prints compared to the `text`
//! block below it.
//!
//! Above a block stands for whom and with which overlay driver it is run, `<!-- run: root/kernel user/fuse -->`, or why it is
//! not, `<!-- not run: … -->`. A block runs by `sh -eu` in a scratch folder of its own (`debian.tar`, `busybox.tar`, `rootfs`)
//! and in a mount namespace of its own, root's also in network and pid namespaces, and must leave nothing mounted there.
//! `PIPELINES=docs/recipes.md:200,README` runs only the blocks whose place begins with one of these.

mod block;

use block::Block;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::{fixture, need, user};

#[test]
fn as_root_by_the_kernel() {
    need!(root, overlay, images, netns);
    run_all("root/kernel");
}

#[test]
fn as_root_by_fuse() {
    need!(root, fuse, images, netns);
    run_all("root/fuse");
}

#[test]
fn as_a_user_by_the_kernel() {
    need!(user, overlay, userns, images);
    run_all("user/kernel");
}

#[test]
fn as_a_user_by_fuse() {
    need!(user, fuse, userns, images);
    run_all("user/fuse");
}

#[test]
fn every_block_says_how_it_is_run() {
    for block in block::all() {
        assert!(block.runs.is_some(), "{}: no `<!-- run: … -->` or `<!-- not run: … -->` above it", block.place);
    }
}

/// Runs every block meant for `mode` (`who/driver`) and fails with all that went wrong.
#[track_caller]
fn run_all(mode: &str) {
    let blocks: Vec<Block> = block::all().into_iter().filter(|b| b.is_for(mode) && wanted(b)).collect();
    assert!(!blocks.is_empty() || std::env::var_os("PIPELINES").is_some(), "no block is run as {mode}");
    let wrong: Vec<String> = blocks.iter().filter_map(|b| run(b, mode).err()).collect();
    assert!(wrong.is_empty(), "as {mode}:\n{}", wrong.join("\n"));
}

fn wanted(block: &Block) -> bool {
    std::env::var("PIPELINES").map_or(true, |list| list.split(',').any(|start| block.place.starts_with(start)))
}

fn run(block: &Block, mode: &str) -> Result<(), String> {
    let (who, driver) = mode.split_once('/').expect("who/driver");
    let scratch = user::scratch();
    let script = prepare(scratch.path(), block);
    let mut command = match who {
        "root" => {
            let mut command = Command::new("unshare");
            command.args(["-n", "-m", "-p", "-f", "--mount-proc", "--kill-child", "--propagation", "private"]);
            command
        }
        _ => user::command("env"),
    };
    let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", programs().display());
    command.args(["timeout".as_ref(), "-k".as_ref(), "1".as_ref(), "100".as_ref(), "sh".as_ref(), script.as_os_str()]);
    command.current_dir(scratch.path()).env("PATH", &path).env("VENEER_TEST_PATH", &path);
    command.env("OVL_DRIVER", driver).env("VENEER_ROOT", scratch.path().join("state"));
    command.env("VENEER_RUN", scratch.path().join("run"));
    let out = command.stdin(Stdio::null()).output().expect("the block starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let told = |what: &str| format!("{}: {what}\n--- printed\n{stdout}--- said\n{stderr}", block.place);
    if !out.status.success() {
        return Err(told(&format!("ended with {}", out.status)));
    }
    match &block.prints {
        Some(expected) if *expected != stdout => Err(told(&format!("should print\n{expected}"))),
        _ => Ok(()),
    }
}

/// Fills the scratch folder and writes the script: the block, and the check that it left no mount.
fn prepare(dir: &Path, block: &Block) -> PathBuf {
    for (name, image) in
        [("debian.tar", fixture::debian_docker_archive()), ("busybox.tar", fixture::busybox_docker_archive())]
    {
        std::os::unix::fs::symlink(image, dir.join(name)).expect("a link to an image");
    }
    fixture::busybox_rootfs(&dir.join("rootfs"));
    let own = Command::new("chown")
        .args(["-R", &format!("{}:", user::NAME)])
        .arg(dir.join("rootfs"))
        .status()
        .expect("chown runs");
    assert!(own.success(), "chown of the root file system");
    let script = dir.join(".block.sh");
    let around = "PATH=$VENEER_TEST_PATH; unset VENEER_TEST_PATH
before=$(cat /proc/mounts)
sh -eu .block
code=$?
[ \"$before\" = \"$(cat /proc/mounts)\" ] || { echo 'left mounted:'; cat /proc/mounts; exit 99; } >&2
exit $code
";
    std::fs::write(&script, around).expect("a script");
    std::fs::write(dir.join(".block"), &block.script).expect("a script");
    script
}

/// A folder with the five programs, for PATH.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_ctr")).parent().expect("a folder of programs").to_owned()
}
