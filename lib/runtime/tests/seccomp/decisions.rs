//! Decisions of single profiles, by the interpreter.

use crate::interpret::{Call, run};
use runtime::seccomp::{Program, compile_for};
use spec::runtime::LinuxSeccomp;
use spec::syscall::{Abi, X32_BIT, number};

const ALLOW: u32 = 0x7fff_0000;
const LOG: u32 = 0x7ffc_0000;
const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;

fn errno(n: i32) -> u32 {
    0x0005_0000 | n as u32
}

fn profile(document: serde_json::Value) -> LinuxSeccomp {
    serde_json::from_value(document).expect("profile")
}

fn compiled(document: serde_json::Value) -> Program {
    compile_for(Abi::X86_64, &profile(document)).expect("compiles")
}

fn refused(document: serde_json::Value) -> String {
    compile_for(Abi::X86_64, &profile(document)).expect_err("refused").to_string()
}

fn decide(program: &Program, abi: Abi, name: &str, args: [u64; 6]) -> u32 {
    let number = number(abi, name).expect("a call");
    run(program.instructions(), &Call { number, arch: abi.audit_arch(), args }).0
}

fn decide_number(program: &Program, abi: Abi, number: u32) -> u32 {
    run(program.instructions(), &Call { number, arch: abi.audit_arch(), args: [0; 6] }).0
}

#[test]
fn every_action_returns_its_value() {
    for (action, value) in [
        ("SCMP_ACT_KILL", KILL_THREAD),
        ("SCMP_ACT_KILL_THREAD", KILL_THREAD),
        ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS),
        ("SCMP_ACT_TRAP", 0x0003_0000),
        ("SCMP_ACT_ERRNO", errno(1)),
        ("SCMP_ACT_TRACE", 0x7ff0_0001),
        ("SCMP_ACT_LOG", LOG),
        ("SCMP_ACT_NOTIFY", 0x7fc0_0000),
    ] {
        let rule = serde_json::json!([{ "names": ["mkdir"], "action": action }]);
        let program = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rule }));
        assert_eq!(decide(&program, Abi::X86_64, "mkdir", [0; 6]), value, "{action}");
        assert_eq!(decide(&program, Abi::X86_64, "rmdir", [0; 6]), ALLOW, "{action}");
        assert_eq!(program.notifies(), action == "SCMP_ACT_NOTIFY");
    }
}

#[test]
fn errno_is_the_one_named() {
    let program = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
        { "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 17 }, { "names": ["rmdir"], "action": "SCMP_ACT_ALLOW" } ] }));
    assert_eq!(decide(&program, Abi::X86_64, "mkdir", [0; 6]), errno(17));
    assert_eq!(decide(&program, Abi::X86_64, "rmdir", [0; 6]), ALLOW);
    assert_eq!(decide(&program, Abi::X86_64, "read", [0; 6]), errno(38));
}

#[test]
fn every_operator_compares_all_64_bits() {
    let v: u64 = 0x1_0000_0005;
    type Holds = fn(u64, u64) -> bool;
    let cases: [(&str, Holds); 6] = [
        ("SCMP_CMP_NE", |a, v| a != v),
        ("SCMP_CMP_LT", |a, v| a < v),
        ("SCMP_CMP_LE", |a, v| a <= v),
        ("SCMP_CMP_EQ", |a, v| a == v),
        ("SCMP_CMP_GE", |a, v| a >= v),
        ("SCMP_CMP_GT", |a, v| a > v),
    ];
    for (op, holds) in cases {
        let program = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["lseek"], "action": "SCMP_ACT_LOG", "args": [{ "index": 3, "value": v, "op": op }] } ] }));
        for a in [0, 4, 5, 6, v - 1, v, v + 1, 0x1_0000_0000, 0x2_0000_0000, 0x2_0000_0005, u64::MAX, 0xffff_ffff] {
            let expected = if holds(a, v) { LOG } else { ALLOW };
            assert_eq!(decide(&program, Abi::X86_64, "lseek", [9, 9, 9, a, 9, 9]), expected, "{a:#x} {op} {v:#x}");
        }
    }
    let mask: u64 = 0xf0_0000_000f;
    let program = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [ { "names": ["lseek"],
        "action": "SCMP_ACT_LOG", "args": [{ "index": 5, "value": mask, "valueTwo": 0x10_0000_0003_u64, "op": "SCMP_CMP_MASKED_EQ" }] } ] }));
    for a in [0x10_0000_0003, 0x1f_ffff_fff3, 0x1f_ffff_ff03, 3, 0x10_0000_0000, 0x20_0000_0003] {
        let expected = if a & mask == 0x10_0000_0003 { LOG } else { ALLOW };
        assert_eq!(decide(&program, Abi::X86_64, "lseek", [0, 0, 0, 0, 0, a]), expected, "{a:#x}");
    }
}

#[test]
fn conditions_of_a_rule_are_all_needed_and_rules_are_alternatives() {
    let eq = |index: usize, value: u64| serde_json::json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
    let program = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [eq(0, 1), eq(1, 2)] },
        { "names": ["ioctl"], "action": "SCMP_ACT_LOG", "args": [eq(2, 3)] },
        { "names": ["fcntl"], "action": "SCMP_ACT_ALLOW", "args": [eq(1, 2), eq(1, 4)] } ] }));
    let ioctl = |args| decide(&program, Abi::X86_64, "ioctl", args);
    assert_eq!(ioctl([1, 2, 0, 0, 0, 0]), ALLOW);
    assert_eq!(ioctl([1, 0, 0, 0, 0, 0]), errno(1));
    assert_eq!(ioctl([1, 0, 3, 0, 0, 0]), LOG);
    assert_eq!(ioctl([1, 2, 3, 0, 0, 0]), ALLOW);
    for (arg, expected) in [(2, ALLOW), (4, ALLOW), (3, errno(1))] {
        assert_eq!(decide(&program, Abi::X86_64, "fcntl", [0, arg, 0, 0, 0, 0]), expected);
    }
}

#[test]
fn a_rule_without_conditions_wins_over_those_with() {
    let arg = serde_json::json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
    let program = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["kill"], "action": "SCMP_ACT_LOG", "args": arg },
        { "names": ["kill"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS" } ] }));
    assert_eq!(decide(&program, Abi::X86_64, "kill", [1, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn other_conventions_are_killed_unless_listed() {
    let syscalls = serde_json::json!([{ "names": ["getpid"], "action": "SCMP_ACT_LOG" }]);
    let alone = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls }));
    assert_eq!(decide(&alone, Abi::X86_64, "getpid", [0; 6]), LOG);
    assert_eq!(decide(&alone, Abi::I386, "getpid", [0; 6]), KILL_THREAD);
    assert_eq!(decide(&alone, Abi::X32, "getpid", [0; 6]), KILL_THREAD);
    assert_eq!(decide(&alone, Abi::Aarch64, "getpid", [0; 6]), KILL_THREAD);
    // A tracer's sign that the call is to be skipped is none of x32.
    assert_eq!(decide_number(&alone, Abi::X86_64, u32::MAX), ALLOW);
    let architectures = serde_json::json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_S390X"]);
    let all = compiled(
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": syscalls }),
    );
    for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
        assert_eq!(decide(&all, abi, "getpid", [0; 6]), LOG, "{abi:?}");
        assert_eq!(decide(&all, abi, "getppid", [0; 6]), ALLOW, "{abi:?}");
    }
    let arm = profile(
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_ARM"], "syscalls": syscalls }),
    );
    let arm = compile_for(Abi::Aarch64, &arm).expect("compiles");
    for abi in [Abi::Aarch64, Abi::Arm] {
        assert_eq!(decide(&arm, abi, "getpid", [0; 6]), LOG, "{abi:?}");
    }
    assert_eq!(decide(&arm, Abi::X86_64, "getpid", [0; 6]), KILL_THREAD);
}

#[test]
fn calls_newer_than_the_profile_are_told_not_to_exist() {
    let syscalls = serde_json::json!([{ "names": ["openat2", "read"], "action": "SCMP_ACT_ALLOW" }]);
    let named = number(Abi::X86_64, "openat2").expect("openat2");
    let program = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls }));
    assert_eq!(decide_number(&program, Abi::X86_64, named), ALLOW);
    assert_eq!(decide_number(&program, Abi::X86_64, named - 1), errno(1));
    assert_eq!(decide_number(&program, Abi::X86_64, named + 1), errno(38));
    assert_eq!(decide_number(&program, Abi::X86_64, X32_BIT - 1), errno(38));
    let kills = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": syscalls }));
    assert_eq!(decide_number(&kills, Abi::X86_64, named + 1), errno(38));
    let logs = serde_json::json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": syscalls });
    assert_eq!(decide_number(&compiled(logs), Abi::X86_64, named + 1), LOG);
}

#[test]
fn names_nobody_knows_are_left_out_and_told() {
    let program = compiled(serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["read", "time_travel"], "action": "SCMP_ACT_ALLOW" } ] }));
    assert_eq!(program.unknown_names(), ["time_travel"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let rule =
        |rule: serde_json::Value| refused(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }));
    assert_eq!(
        rule(
            serde_json::json!({ "names": ["kill"], "action": "SCMP_ACT_LOG", "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] })
        ),
        "seccomp kill: argument 6: a system call has six, from 0"
    );
    assert!(
        rule(serde_json::json!({ "names": ["write"], "action": "SCMP_ACT_NOTIFY" })).contains("cannot be used for it")
    );
    assert!(
        rule(serde_json::json!({ "names": ["kill"], "action": "SCMP_ACT_KILL", "errnoRet": 1 }))
            .contains("takes no errno")
    );
    assert!(rule(serde_json::json!({ "names": [], "action": "SCMP_ACT_KILL" })).contains("without a name"));
    let default = refused(serde_json::json!({ "defaultAction": "SCMP_ACT_NOTIFY", "syscalls": [] }));
    assert!(default.contains("cannot be the default action"), "{default}");
}

#[test]
fn the_default_profile_is_short_to_walk() {
    let caps = spec::capability::DEFAULT;
    for native in [Abi::X86_64, Abi::Aarch64] {
        let profile = spec::seccomp::default_profile(&caps, native, (6, 1));
        let program = compile_for(native, &profile).expect("compiles");
        let longest = spec::syscall::all(native).map(|(_, number)| {
            run(program.instructions(), &Call { number, arch: native.audit_arch(), args: [0; 6] }).1
        });
        let longest = longest.max().expect("calls");
        assert!(longest <= 24, "{native:?}: {longest} of {} instructions", program.instructions().len());
    }
}

#[test]
fn the_default_profile_decides_what_it_is_for() {
    let profile = spec::seccomp::default_profile(&spec::capability::DEFAULT, Abi::X86_64, (6, 1));
    let program = compile_for(Abi::X86_64, &profile).expect("compiles");
    let decide = |name, first: u64| decide(&program, Abi::X86_64, name, [first, 0, 0, 0, 0, 0]);
    assert_eq!(decide("clone", 0x11), ALLOW);
    assert_eq!(decide("clone", 0x1000_0011), errno(1), "CLONE_NEWUSER");
    assert_eq!(decide("clone3", 0), errno(38));
    assert_eq!(decide("unshare", 0), errno(1));
    assert_eq!(decide("mount", 0), errno(1));
    assert_eq!(decide("io_uring_setup", 0), errno(1));
    assert_eq!([2, 38, 39, 40, 41].map(|family| decide("socket", family)), [ALLOW, errno(1), ALLOW, errno(1), ALLOW]);
    assert_eq!([0, 8, 1].map(|persona| decide("personality", persona)), [ALLOW, ALLOW, errno(1)]);
    assert_eq!(decide("keyctl", 0), errno(1));
}
