//! docs/install.md, done: its blocks are run with `$DESTDIR` in a temporary folder, and what they laid out works.

use std::path::Path;
use std::process::{Command, Output};

#[path = "../../packaging/papers/pages.rs"]
mod pages;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ctr");
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The blocks of docs/install.md that are to be run.
fn blocks() -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(HERE).join("docs/install.md")).expect("docs/install.md is there");
    let mut blocks = Vec::new();
    let mut skipped = 0;
    for part in text.split("```sh\n").collect::<Vec<_>>().windows(2) {
        let marked = part[0].trim_end().ends_with("-->") && part[0].contains("<!-- not run: ");
        let block = part[1].split("```").next().unwrap_or_default().to_owned();
        if marked { skipped += 1 } else { blocks.push(block) }
    }
    assert!(blocks.len() >= 4 && skipped == 2, "{} blocks are run, {skipped} are not", blocks.len());
    blocks
}

fn sh(text: &str, destdir: &Path, papers: &Path) -> Output {
    let mut sh = Command::new("sh");
    sh.args(["-eu", "-c", text]).current_dir(HERE);
    sh.env("DESTDIR", destdir).env("PROGRAM", PROGRAM).env("PAPERS", papers).output().expect("sh runs")
}

#[test]
fn what_install_md_says_is_done() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (to, papers) = (folder.path().join("to"), folder.path().join("papers"));
    std::fs::create_dir(&to).expect("a folder");
    pages::write(&papers).expect("pages and completions are written");
    for block in blocks() {
        let said = sh(&block, &to, &papers);
        assert!(said.status.success(), "{block}\n{}", String::from_utf8_lossy(&said.stderr));
    }
    for file in [
        "usr/bin/ctr",
        "usr/sbin/mount.fuse.ovl-mount",
        "usr/share/man/man1/ctr-run.1",
        "usr/share/man/man1/ctr-container-prune.1",
        "usr/share/man/man1/ctr-system-df.1",
        "usr/share/man/man1/nsrun-enter.1",
        "usr/share/man/man1/ovl-mount.1",
        "usr/share/man/man1/unpack-pack.1",
        "usr/share/man/man1/netwire-attach.1",
        "usr/share/bash-completion/completions/nsrun",
        "usr/share/zsh/site-functions/_netwire",
        "usr/share/fish/vendor_completions.d/unpack.fish",
        "usr/share/doc/veneer/LICENSE-MIT",
        "usr/local/share/bash-completion/completions/veneer",
    ] {
        assert!(to.join(file).exists(), "no {file}");
    }
    for tool in ["ovl-mount", "unpack", "nsrun", "netwire"] {
        let said = Command::new(to.join("usr/bin").join(tool)).arg("--help").output().expect("the link runs");
        assert!(said.status.success() && !said.stdout.is_empty(), "{tool}: {said:?}");
    }
    // bash takes each of the completions, and asks the program what they are
    for (words, completed) in [
        ("ctr res", "restart"),
        ("ctr sec", "secret"),
        ("ctr sup", ""),
        ("ctr system d", "df"),
        ("ctr container pru", "prune"),
        ("ctr container prune --fo", "--force"),
    ] {
        let bash = format!(
            "for f in {0}/bash/*; do . $f; done; COMP_LINE='{words}'; COMP_POINT=${{#COMP_LINE}}; PATH={1}:$PATH; _ctr; echo ${{COMPREPLY[@]}}",
            papers.display(),
            to.join("usr/bin").display()
        );
        let said = Command::new("bash").args(["-c", &bash]).output().expect("bash runs");
        let complaint = String::from_utf8_lossy(&said.stderr);
        assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), completed, "{words}: {complaint}");
    }
}
