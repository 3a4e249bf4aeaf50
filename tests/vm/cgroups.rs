//! cgroup v2 alone: what holds on this machine's tree of version 1 (or both) holds there too. The tests of limits, `update`,
//! `events` and groups run once more inside a virtual machine (`tests/lab/vm.sh`), all in one boot, references first as ever.
//!
//! They are those of the targets `runtime`, `conformance` and `ctr` and, in the room itself, `cgroups`: built by `cargo test --workspace`, or by hand with
//! `cargo test --no-run --test runtime --test conformance --test ctr && cargo test --no-run -p runtime --test cgroups`. The guest sees this machine's files.
//! Of `ctr`'s own only those whose effect or way there is another one: all of `limits`, `update` and `stats` hold in there too, but take minutes.

use crate::guest;
use std::process::Command;
use testkit::{fixture, need};

/// Limits of `ctr`'s containers, and what is told of them; the disk whose transfers are limited is the guest's own.
const CTR: &str = "limits::who_forks_more_is_refused limits::who_computes_more_is_held_back limits::who_transfers_more_waits \
    limits::soft_limits_are_told_to_the_kernel limits::who_has_a_reservation_keeps_it_where_memory_is_scarce limits::who_takes_more_memory_is_killed limits::files_of_v2_by_their_names \
    restart::failures_are_counted_and_it_is_one_container_over_all_of_them \
    stats::numbers_are_what_is_used update::memory_below_what_it_has_is_refused_and_nothing_changes";

#[test]
fn what_holds_on_v1_holds_on_v2() {
    need!(root, vm, "runc", "crun", "busybox");
    let runtime = guest::executable("runtime", "limits::who_forks_more_is_refused");
    let room = guest::executable("cgroups", "limits_hold");
    let sentences = guest::executable("conformance", "the_sentences_on_cgroup_v2_hold");
    let ctr = guest::executable("ctr", "limits::who_transfers_more_waits");
    // Each container copies it, which from a folder of this machine would take most of the guest's time.
    let shared = tempfile::tempdir().expect("folder");
    fixture::busybox_rootfs(&shared.path().join("rootfs"));
    let script = format!(
        "mkdir /tmp/fixtures && tar -C /tmp/fixtures -xf rootfs.tar || exit
         export VENEER_GUEST=1 VENEER_REQUIRE=root,cgroup2,runc,crun,busybox VENEER_FIXTURES=/tmp/fixtures RUST_BACKTRACE=0
         '{room}' --test-threads=2; first=$?
         '{runtime}' limits:: update:: events:: cgroups:: rootless::limits --test-threads=2; second=$?
         '{sentences}' --exact the_sentences_on_cgroup_v2_hold; third=$?
         mount --bind /scratch /tmp && chmod 1777 /tmp
         '{ctr}' --test-threads=2 --exact {CTR}; fourth=$?
         '{ctr}' --exact limits::who_may_swap_goes_on_where_others_are_killed; fifth=$?
         find /sys/fs/cgroup -name '*veneer*' | sed 's/^/left: /'
         exit $((first | second | third | fourth | fifth))",
        room = room.display(),
        runtime = runtime.display(),
        sentences = sentences.display(),
        ctr = ctr.display(),
    );
    let packed = Command::new("tar").current_dir(shared.path()).args(["-cf", "rootfs.tar", "rootfs"]).status();
    assert!(packed.expect("tar runs").success());
    let said = guest::run(shared.path(), &["-d", "1"], &script);
    assert_eq!(said.matches("test result: ok.").count(), 5, "{said}");
    assert!(!said.contains("SKIPPED") && !said.contains("left: "), "{said}");
}
