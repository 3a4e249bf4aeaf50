//! `spec` and `features`: the documents this runtime writes about itself.

use runtime::namespace::Namespace;
use serde_json::{Value, json};

/// A config.json to start from: a shell, Docker's capabilities and masks, every namespace.
pub(crate) fn config(rootless: Option<(u32, u32)>) -> Value {
    let capabilities: Vec<String> = spec::capability::DEFAULT.iter().map(|c| spec::capability::name(*c)).collect();
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let mut mounts = json!(spec::defaults::mounts(spec::defaults::SHM_SIZE_BYTES));
    let mut linux = json!({
        "resources": {"devices": spec::defaults::device_rules()},
        "maskedPaths": spec::defaults::MASKED_PATHS,
        "readonlyPaths": spec::defaults::READONLY_PATHS,
    });
    if let Some((uid, gid)) = rootless {
        namespaces.push("user");
        linux["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
        linux["gidMappings"] = json!([{"containerID": 0, "hostID": gid, "size": 1}]);
        if let Some(members) = linux.as_object_mut() {
            members.remove("resources");
        }
        for mount in mounts.as_array_mut().into_iter().flatten() {
            if let Some(options) = mount["options"].as_array_mut() {
                // With one id there is no group tty.
                options.retain(|o| o.as_str().is_none_or(|o| !o.starts_with("gid=")));
            }
        }
    }
    linux["namespaces"] = namespaces.iter().map(|kind| json!({"type": kind})).collect();
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [format!("PATH={}", spec::defaults::PATH), "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "nsrun",
        "mounts": mounts,
        "linux": linux,
    })
}

/// Flags of a seccomp filter; the kernels this runtime is for (5.12 and newer) have all but the last, which came with 5.19.
const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// What this runtime can do (runtime-spec "Features").
pub(crate) fn features() -> Value {
    let kinds = |kind: &Namespace| match kind {
        Namespace::Mnt => "mount",
        Namespace::Net => "network",
        other => other.name(),
    };
    let namespaces: Vec<&str> = Namespace::ALL.iter().map(kinds).collect();
    let capabilities: Vec<String> = spec::capability::ALL.iter().map(|c| spec::capability::name(*c)).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.3.0",
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": runtime::known_mount_options(),
        "linux": {
            "namespaces": namespaces,
            "capabilities": capabilities,
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO",
                    "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW",
                ],
                "operators": [
                    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
                ],
                "archs": ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"],
                "knownFlags": FLAGS,
                "supportedFlags": FLAGS,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "memoryPolicy": {
                "modes": [
                    "MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED",
                    "MPOL_PREFERRED_MANY", "MPOL_LOCAL",
                ],
                "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            },
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "annotations": {"dev.veneer.nsrun.version": env!("CARGO_PKG_VERSION")},
    })
}
