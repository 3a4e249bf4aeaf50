//! A store on a disk that is full: what runs ends as it should, its end is known, and room can be made.

use crate::lab::{Lab, Said};
use testkit::need;

/// The store on a file system of four megabytes, which a container fills.
const SCRIPT: &str = r#"
mkdir "$VENEER_ROOT" && mount -t tmpfs -o size=4m none "$VENEER_ROOT" || exit 99
ctr() { "$CTR" "$@"; }
ctr load -q -i "$IMAGE" > /dev/null || exit 98
ctr run --network none --name hog busybox sh -c 'head -c 10m /dev/zero > /x 2>&-; echo said; exit 7'
echo "ran $?"
ctr ps -a --format '{{.Names}} {{.State}}'
ctr inspect -f '{{.State.ExitCode}}' hog
ctr run --network none busybox true
echo "another $?"
ctr start hog; ctr wait hog
ctr rm hog
ctr run --rm --network none busybox echo fine
ctr ps -aq
"#;

/// The same on one that has room for a certain number of files only, and none for another folder.
const FILES: &str = r#"
mkdir "$VENEER_ROOT" && mount -t tmpfs -o size=64m,nr_inodes=1500 none "$VENEER_ROOT" || exit 99
ctr() { "$CTR" "$@"; }
ctr load -q -i "$IMAGE" > /dev/null || exit 98
printf hush | ctr secret create pw - > /dev/null
ctr run --network none --name hog busybox sh -c 'n=0; while touch /$n 2>&-; do n=$((n+1)); done; echo said; exit 7'
echo "ran $?"
ctr ps -a --format '{{.Names}} {{.State}}'
ctr inspect -f '{{.State.ExitCode}}' hog
ctr run --network none busybox true
echo "another $?"
ctr secret rm pw
ctr rm hog
ctr run --rm --network none busybox echo fine
ctr ps -aq
"#;

fn said(script: &str) -> Said {
    let lab = Lab::new();
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).stdin(std::process::Stdio::null());
    command.env("CTR", env!("CARGO_BIN_EXE_ctr")).env("IMAGE", testkit::fixture::busybox_docker_archive());
    lab.environment(&mut command);
    Said::from(command.output().expect("unshare"))
}

#[test]
fn an_end_is_known_and_room_can_be_made() {
    need!(root, overlay, "unshare");
    let said = said(SCRIPT);
    assert_eq!(said.out, "said\nran 7\nhog exited\n7\nanother 125\nhog\n7\nhog\nfine\n", "{said:?}");
    assert_eq!(said.err.matches("no space left on device").count(), 1, "{said:?}");
}

#[test]
fn also_where_there_is_no_room_for_another_file() {
    need!(root, overlay, "unshare");
    let said = said(FILES);
    assert_eq!(said.out, "said\nran 7\nhog exited\n7\nanother 125\npw\nhog\nfine\n", "{said:?}");
    assert_eq!(said.err.matches("no space left on device").count(), 1, "{said:?}");
}
