//! The five sets as the kernel shows them after the two steps, in a thread of its own.

use runtime::capabilities::{Plan, apply};
use spec::runtime::{Capability, LinuxCapabilities};
use testkit::need;

/// The sets of the calling thread, by their names in `/proc/thread-self/status`.
fn shown() -> Vec<(String, u64)> {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
    let sets = status.lines().filter_map(|line| line.strip_prefix("Cap")?.split_once(":\t"));
    sets.map(|(name, mask)| (name.to_owned(), u64::from_str_radix(mask, 16).expect("a mask"))).collect()
}

fn set(name: &str) -> u64 {
    shown().into_iter().find(|(shown, _)| shown == name).expect("a set").1
}

fn document(text: serde_json::Value) -> LinuxCapabilities {
    serde_json::from_value(text).expect("capabilities")
}

/// Runs `check` in a thread, so that what it gives up is only that thread's.
fn apart(check: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(check).join().expect("the thread lives"));
}

const KILL: u64 = 1 << 5;
const CHOWN: u64 = 1;

#[test]
fn the_kernel_has_the_sets_that_were_asked_for() {
    need!(root);
    let asked =
        document(serde_json::json!({ "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"] }));
    apart(|| {
        assert!(apply(Some(&asked)).expect("apply").is_empty());
        let expected = [("Inh", CHOWN), ("Prm", KILL | CHOWN), ("Eff", KILL), ("Bnd", KILL | CHOWN), ("Amb", CHOWN)];
        assert_eq!(shown(), expected.map(|(name, mask)| (name.to_owned(), mask)));
    });
}

#[test]
fn they_survive_the_change_to_an_ordinary_user() {
    need!(root);
    let asked =
        document(serde_json::json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"],
        "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"] }));
    apart(|| {
        let plan = Plan::of(Some(&asked)).expect("plan");
        plan.before_ids().expect("before");
        let id = rustix::process::Uid::from_raw(12345);
        rustix::thread::set_thread_res_uid(id, id, id).expect("setresuid");
        plan.after_ids().expect("after");
        assert!(shown().into_iter().all(|(_, mask)| mask == KILL), "{:x?}", shown());
    });
}

#[test]
fn what_is_not_held_is_named_and_the_rest_given() {
    need!(root);
    apart(|| {
        let without = document(
            serde_json::json!({ "bounding": ["CAP_KILL", "CAP_SETPCAP"], "permitted": ["CAP_KILL", "CAP_SETPCAP"],
            "effective": ["CAP_KILL", "CAP_SETPCAP"] }),
        );
        apply(Some(&without)).expect("apply");
        let more = document(
            serde_json::json!({ "bounding": ["CAP_KILL", "CAP_SYS_ADMIN"], "permitted": ["CAP_KILL", "CAP_SYS_ADMIN"],
            "effective": ["CAP_KILL", "CAP_SYS_ADMIN"] }),
        );
        assert_eq!(apply(Some(&more)).expect("apply"), [Capability::SysAdmin]);
        assert_eq!((set("Eff"), set("Bnd")), (KILL, KILL));
    });
}

#[test]
fn no_document_leaves_nothing() {
    need!(root);
    apart(|| {
        apply(None).expect("apply");
        assert!(shown().into_iter().all(|(_, mask)| mask == 0), "{:x?}", shown());
    });
}
