//! A hook `startContainer` is found by a path inside: it may be a program of the image, and must have no more rights than the
//! container's own.

use crate::lab::{bundle, container, done, nsrun, run_command, text, with_descriptor};
use serde_json::json;
use testkit::need;

#[test]
fn escape_a_hook_of_the_image_has_no_more_rights_than_the_program() {
    need!(root, "busybox");
    let look = "grep -E '^(Cap(Eff|Prm|Bnd)|Uid|NoNewPrivs|Seccomp):' /proc/self/status; ls /proc/self/fd | grep -c .";
    for quiet in [false, true] {
        let bundle = bundle(&format!("cat /tmp/hook; echo; {look}"), |_, config| {
            config["process"]["noNewPrivileges"] = json!(quiet);
            config["process"]["user"] = json!({ "uid": 7, "gid": 7 });
            config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }] });
            let script = format!("{{ {look}; }} >/tmp/hook");
            config["hooks"] = json!({ "startContainer": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] }] });
        });
        let open = tempfile::tempdir().expect("folder");
        let output = done(with_descriptor(open.path(), &run_command(&container(&nsrun(), &bundle))));
        let said = text(&output.stdout);
        let (hook, program) = said.split_once("\n\n").unwrap_or_else(|| panic!("{said}{}", text(&output.stderr)));
        assert_eq!(hook.trim(), program.trim());
        assert!(hook.contains("Seccomp:\t2") && hook.contains("Uid:\t7"), "{hook}");
    }
}
