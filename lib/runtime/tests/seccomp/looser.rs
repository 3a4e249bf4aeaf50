//! Our default profile beside those of the engines: where a call is answered otherwise, that is listed with its reason, and
//! nothing is listed that is not so.
//!
//! The engines' own file (containers-common's `seccomp.json`, which podman and buildah use; its form is docker's) carries conditions:
//! a rule counts for these architectures, capabilities, from this kernel on. They are evaluated here for several sets of
//! capabilities; then both profiles are compiled by our compiler, which differential.rs compares with libseccomp's, and both
//! programs are asked about each call of three conventions.
//!
//! Docker's own is not installed as a file. Ours was compared in the same way with moby/profiles of 2026-06: no call is
//! allowed that docker's refuses, for any set of capabilities below.

use crate::interpret::{Call, run};
use runtime::seccomp::compile_for;
use serde_json::{Value, json};
use spec::runtime::{Capability, LinuxSeccomp};
use spec::syscall::{Abi, all};
use std::collections::BTreeMap;
use testkit::need;

const FILE: &str = "/usr/share/containers/seccomp.json";
const KERNEL: (u32, u32) = (6, 1);
const ALLOW: u32 = 0x7fff_0000;
const CONVENTIONS: [Abi; 3] = [Abi::X86_64, Abi::I386, Abi::X32];

/// Calls that ours allows, for some set of capabilities, and containers-common's does not.
const LOOSER: &[(&str, &str)] = &[
    ("bpf", "with CAP_BPF, as docker does; the file asks for CAP_SYS_ADMIN"),
    ("cachestat", "the file is of 2023 and does not know it yet; docker allows it"),
    ("fchmodat2", "the file is of 2023 and does not know it yet; docker allows it"),
    ("futex_requeue", "the file is of 2023 and does not know it yet; docker allows it"),
    ("futex_wait", "the file is of 2023 and does not know it yet; docker allows it"),
    ("futex_waitv", "the file is of 2023 and does not know it yet; docker allows it"),
    ("futex_wake", "the file is of 2023 and does not know it yet; docker allows it"),
    ("getxattrat", "the file is of 2023 and does not know it yet; docker allows it"),
    ("io_pgetevents", "docker allows it; what it does io_getevents does"),
    ("io_pgetevents_time64", "the file is of 2023 and does not know it yet; docker allows it"),
    ("listmount", "the file is of 2023 and does not know it yet; docker allows it"),
    ("listxattrat", "the file is of 2023 and does not know it yet; docker allows it"),
    ("lsm_get_self_attr", "with CAP_SYS_ADMIN; the file is of 2023 and does not know it yet; docker allows it"),
    ("lsm_list_modules", "with CAP_SYS_ADMIN; the file is of 2023 and does not know it yet; docker allows it"),
    ("lsm_set_self_attr", "with CAP_SYS_ADMIN; the file is of 2023 and does not know it yet; docker allows it"),
    ("map_shadow_stack", "the file is of 2023 and does not know it yet; docker allows it"),
    ("mseal", "the file is of 2023 and does not know it yet; docker allows it"),
    ("perf_event_open", "with CAP_PERFMON, as docker does; the file asks for CAP_SYS_ADMIN"),
    ("quotactl_fd", "with CAP_SYS_ADMIN; the file is of 2023 and does not know it yet; docker allows it"),
    ("removexattrat", "the file is of 2023 and does not know it yet; docker allows it"),
    ("set_mempolicy_home_node", "with CAP_SYS_NICE; the file is of 2023 and does not know it yet; docker allows it"),
    ("setxattrat", "the file is of 2023 and does not know it yet; docker allows it"),
    ("statmount", "the file is of 2023 and does not know it yet; docker allows it"),
    ("uretprobe", "the file is of 2023 and does not know it yet; docker allows it"),
    ("vmsplice", "docker allows it"),
];

/// Whether a rule of the engines' form counts.
fn counts(rule: &Value, caps: &[Capability]) -> bool {
    let strings = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let given =
        |names: &[String]| names.iter().any(|n| caps.iter().any(|c| format!("CAP_{c}") == *n || c.to_string() == *n));
    let here = |names: &[String]| names.iter().any(|n| ["amd64", "x86", "x32"].contains(&n.as_str()));
    let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
    let (with, without) = (strings(&includes["caps"]), strings(&excludes["caps"]));
    let (on, not_on) = (strings(&includes["arches"]), strings(&excludes["arches"]));
    let kernel = |text: &Value| {
        let mut parts = text.as_str().unwrap_or("0.0").split('.').filter_map(|n| n.parse().ok());
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    (with.is_empty() || given(&with))
        && !given(&without)
        && (on.is_empty() || here(&on))
        && !here(&not_on)
        && kernel(&includes["minKernel"]) <= KERNEL
}

/// The engines' document as runtime-spec data.
fn evaluated(document: &Value, caps: &[Capability]) -> LinuxSeccomp {
    let mut rules = Vec::new();
    for rule in document["syscalls"].as_array().expect("rules").iter().filter(|rule| counts(rule, caps)) {
        let names = if rule["names"].is_array() { rule["names"].clone() } else { json!([rule["name"]]) };
        let mut plain = json!({ "names": names, "action": rule["action"] });
        if rule["action"] == "SCMP_ACT_ERRNO" && !rule["errnoRet"].is_null() {
            plain["errnoRet"] = rule["errnoRet"].clone();
        }
        let args: Vec<Value> = rule["args"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|a| json!({ "index": a["index"], "value": a["value"], "valueTwo": a["valueTwo"], "op": a["op"] }))
            .collect();
        if !args.is_empty() {
            plain["args"] = json!(args);
        }
        rules.push(plain);
    }
    let mut profile = json!({ "defaultAction": document["defaultAction"], "syscalls": rules,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"] });
    if !document["defaultErrnoRet"].is_null() {
        profile["defaultErrnoRet"] = document["defaultErrnoRet"].clone();
    }
    serde_json::from_value(profile).expect("a profile")
}

/// Calls by name, with what both answer, where ours allows something that theirs does not.
fn looser(theirs: &Value, caps: &[Capability]) -> BTreeMap<String, String> {
    let ours = compile_for(Abi::X86_64, &spec::seccomp::default_profile(caps, Abi::X86_64, KERNEL)).expect("compiles");
    let theirs = compile_for(Abi::X86_64, &evaluated(theirs, caps)).expect("compiles");
    let mut found = BTreeMap::new();
    let interesting = [
        0,
        1,
        2,
        8,
        16,
        0x11,
        38,
        39,
        40,
        41,
        0x20000,
        0x20008,
        0x7e02_0000,
        0x1000_0000,
        0x0002_0000,
        0x0400_0000,
        0xffff_ffff,
        u64::MAX,
    ];
    for abi in CONVENTIONS {
        for (name, number) in all(abi) {
            for value in interesting {
                for args in [[value, 0, 0, 0, 0, 0], [0, value, 0, 0, 0, 0], [value; 6]] {
                    let call = Call { number, arch: abi.audit_arch(), args };
                    let (one, other) = (run(ours.instructions(), &call).0, run(theirs.instructions(), &call).0);
                    if one == ALLOW && other != ALLOW {
                        found.insert(name.to_owned(), format!("{abi:?} {args:x?}: {other:#x}"));
                    }
                }
            }
        }
    }
    found
}

fn sets() -> Vec<Vec<Capability>> {
    let mut sets = vec![spec::capability::DEFAULT.to_vec(), Vec::new(), spec::capability::ALL.to_vec()];
    sets.extend(spec::capability::ALL.iter().map(|one| vec![*one]));
    sets
}

#[test]
fn the_default_profile_allows_nothing_that_podmans_does_not_but_what_is_listed() {
    need!("podman");
    let Ok(text) = std::fs::read(FILE) else { return };
    compare(&serde_json::from_slice(&text).expect("JSON"), LOOSER);
}

fn compare(document: &Value, listed: &[(&str, &str)]) {
    let mut found = BTreeMap::new();
    for caps in sets() {
        for (name, how) in looser(document, &caps) {
            found.entry(name).or_insert_with(|| format!("{how} with {caps:?}"));
        }
    }
    let unlisted: Vec<_> = found.iter().filter(|(name, _)| !listed.iter().any(|(n, _)| n == name)).collect();
    assert!(unlisted.is_empty(), "allowed by ours alone, without a reason: {unlisted:#?}");
    for (name, reason) in listed {
        assert!(found.contains_key(*name), "{name} is no difference any more ({reason})");
    }
}

#[test]
fn capabilities_and_paths_are_dockers() {
    let caps = "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT";
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    let of = |text: &str| sorted(text.split_whitespace().map(str::to_owned).collect());
    let ours = |cap: &Capability| {
        serde_json::to_value(cap).expect("a name").as_str().expect("text").trim_start_matches("CAP_").to_owned()
    };
    assert_eq!(sorted(spec::capability::DEFAULT.iter().map(ours).collect()), of(caps));
    let masked = "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi \
        /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware";
    assert_eq!(sorted(spec::defaults::MASKED_PATHS.map(str::to_owned).to_vec()), of(masked));
    let read_only = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger";
    assert_eq!(sorted(spec::defaults::READONLY_PATHS.map(str::to_owned).to_vec()), of(read_only));
}
