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

#[test]
fn an_end_is_known_and_room_can_be_made() {
    need!(root, overlay, "unshare");
    let lab = Lab::new();
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", SCRIPT]).stdin(std::process::Stdio::null());
    command.env("CTR", env!("CARGO_BIN_EXE_ctr")).env("IMAGE", testkit::fixture::busybox_docker_archive());
    lab.environment(&mut command);
    let said = Said::from(command.output().expect("unshare"));
    assert_eq!(said.out, "said\nran 7\nhog exited\n7\nanother 125\nhog\n7\nhog\nfine\n", "{said:?}");
    assert_eq!(said.err.matches("no space left on device").count(), 1, "{said:?}");
}
