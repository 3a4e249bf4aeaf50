//! A programmer's day: a repository cloned, looked at, changed and removed; a crate built by cargo.

use crate::image::{Image, alike};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::need;

fn sh(dir: &Path, script: &str) {
    let out = Command::new("sh").args(["-euc", script]).current_dir(dir).output().expect("sh runs");
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A bare repository of 10,000 files at `/repo.git` of the image's top layer.
fn with_a_repository() -> Image {
    let image = Image::with_tools();
    let script = "export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'; mkdir src && cd src && git init -q -b main . && \
        for d in $(seq 100); do mkdir -p d$d/sub; for f in $(seq 100); do echo \"$d $f\" >d$d/sub/f$f; done; done && \
        git add . && git -c gc.auto=0 -c maintenance.auto=false -c user.name=t -c user.email=t@localhost commit -qm all && \
        cd .. && git clone -q --bare src repo.git && rm -rf src";
    sh(&image.own(), script);
    image
}

/// semantics: real work
#[test]
fn git_clones_ten_thousand_files_and_sees_each_change() {
    need!(root, fuse, overlay, images, "git");
    let script = "export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'\n\
         git config --global user.name t; git config --global gc.auto 0; git config --global user.email t@localhost; git config --global safe.directory '*'\n\
         git clone -q /repo.git /src; cd /src; git status --porcelain; find . -path ./.git -prune -o -type f -print | wc -l\n\
         echo changed >>d7/sub/f7; rm d8/sub/f8; git mv d9 e9; echo new >d10/new; chmod +x d11/sub/f1\n\
         git status --porcelain | sort | md5sum; git status --porcelain | wc -l\n\
         git add -A; git commit -qm changed; git status --porcelain; git rev-parse HEAD\n\
         git push -q origin main\n\
         cd /; rm -rf /src; test ! -e /src; git -C /repo.git rev-parse main";
    alike(with_a_repository, &[], script);
}

/// semantics: real work
#[test]
fn cargo_builds_a_crate_offline() {
    need!(root, fuse, overlay, images, "cargo", "rustc");
    let out = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc runs");
    let toolchain = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
    let with_a_crate = || {
        let image = Image::with_tools();
        sh(
            &image.own(),
            "mkdir -p crate/src crate/part/src && cd crate
             printf '[workspace]\\nmembers=[\"part\"]\\n[package]\\nname=\"whole\"\\nversion=\"0.1.0\"\\nedition=\"2021\"\\nbuild=\"build.rs\"\\n[dependencies]\\npart={path=\"part\"}\\n' >Cargo.toml
             printf '[package]\\nname=\"part\"\\nversion=\"0.1.0\"\\nedition=\"2021\"\\n' >part/Cargo.toml
             printf 'pub fn word() -> &%sstatic str { \"built\" }\\n#[test] fn t() { assert_eq!(word(), \"built\"); }\\n' \"'\" >part/src/lib.rs
             printf 'fn main() { println!(\"cargo:rustc-env=MADE=offline\"); }\\n' >build.rs
             printf 'fn main() { println!(\"{} {}\", part::word(), env!(\"MADE\")); }\\n' >src/main.rs",
        );
        image
    };
    let script = "export PATH=/rust/bin:$PATH CARGO_HOME=/root/.cargo; cd /crate\n\
         cargo build --offline -q 2>&1; cargo run --offline -q; cargo test --workspace --offline -q 2>&1 | grep -c 'test result: ok'\n\
         sed -i 's/built/changed/' part/src/lib.rs; cargo run --offline -q; cargo build --offline --message-format short 2>&1 | grep -c Finished\n\
         touch -d '2020-01-01' src/main.rs; cargo clean -q --offline; test ! -e target; cargo build --release --offline -q; target/release/whole\n\
         cd /; rm -rf /crate; ls -A / | sort";
    let said = alike(with_a_crate, &[(&toolchain, "/rust")], script);
    assert!(said.starts_with("built offline\n"), "{said}");
}
