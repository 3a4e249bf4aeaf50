//! Whole profiles, decided three ways: by our program, by libseccomp's for the same profile (both run by one interpreter), and
//! by the sentences of the profile read one after the other.
//!
//! runc puts a stub before libseccomp's program that answers ENOSYS above the largest number named; [`missing`] models it.
//! libseccomp 2.5.4 itself does not always do what seccomp_rule_add(3) says of it: of some profiles it makes a program that, for one
//! architecture, never loads the number of the call, and so gives every call there the default action (four rules are enough:
//! default TRACE for x86_64, x86 and x32; TRAP for `kcmp` and ERRNO for `munlockall` under conditions, ALLOW for `setuid` with arg0 !=
//! 0xffffffff, KILL_PROCESS for `sigpending`; without the last of them the third is heeded again). About one random profile in forty
//! is such. The compiled program shows it ([`Oracle::is_deaf`]), and there the sentences are the reference.
//!
//! Calls libseccomp does not know yet, or not for every convention, are left out where it takes part; so are calls with several
//! conditional rules, for libseccomp 2.5 merges those into a tree and sometimes loses one: with `arg0 > 0x100000000` and
//! `arg0 <= 0x76ca8d96` both logged, it logs 0x76ca8d97 too. There the sentences are the reference.

use crate::interpret::{Call, reads_number, run};
use runtime::seccomp::compile_for;
use spec::runtime::{
    Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompOperator as Op,
};
use spec::syscall::{Abi, X32_BIT, all, ipc_selector, number, socketcall_selector};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use sys::seccomp::Instruction;
use testkit::dice::{self, Dice};
use testkit::need;

const ENOSYS: u32 = 0x0005_0000 | 38;
const X86: [Abi; 3] = [Abi::X86_64, Abi::I386, Abi::X32];
const ARM: [Abi; 2] = [Abi::Aarch64, Abi::Arm];

/// The C program, built once a test run.
struct Compiler {
    program: PathBuf,
    known: BTreeSet<String>,
    _folder: tempfile::TempDir,
}

impl Compiler {
    fn build() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let program = folder.path().join("oracle");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seccomp/oracle.c");
        let built = Command::new("cc").arg("-o").arg(&program).arg(source).arg("-lseccomp").status().expect("cc");
        assert!(built.success());
        let mut compiler = Self { program, known: BTreeSet::new(), _folder: folder };
        let names: BTreeSet<&str> = X86.iter().chain(&ARM).flat_map(|abi| all(*abi)).map(|(name, _)| name).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let known = compiler.ask(&["known"], &names.join("\n"));
        for line in String::from_utf8(known).expect("names").lines() {
            let mut words = line.split(' ');
            let name = words.next().expect("a name");
            let theirs = words.map(|n| n.parse::<i64>().ok().and_then(|n| u32::try_from(n).ok()));
            let ours = [Abi::X86_64, Abi::X32, Abi::I386, Abi::Aarch64, Abi::Arm].map(|abi| number(abi, name));
            if theirs.eq(ours) {
                compiler.known.insert(name.to_owned());
            }
        }
        assert!(compiler.known.len() > 400, "only {} names are known to both", compiler.known.len());
        compiler
    }

    fn ask(&self, args: &[&str], input: &str) -> Vec<u8> {
        let mut child = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "libseccomp refused:\n{input}");
        output.stdout
    }

    /// What libseccomp makes of `profile`, given to it rule by rule as runc does.
    fn compile(&self, abis: &[Abi], profile: &LinuxSeccomp) -> Oracle {
        let default = value(profile.default_action(), profile.default_errno_ret());
        let mut text = format!("default {default}\n");
        for abi in abis {
            writeln!(text, "arch {}", arch_name(*abi)).expect("written");
        }
        for rule in profile.syscalls().iter().flatten() {
            let action = value(rule.action(), rule.errno_ret());
            let args = rule.args().clone().unwrap_or_default();
            let indexes: BTreeSet<usize> = args.iter().map(|arg| arg.index()).collect();
            let one_by_one = indexes.len() < args.len();
            let groups: Vec<&[_]> = if one_by_one { args.chunks(1).collect() } else { vec![&args[..]] };
            for name in rule.names() {
                for group in groups.iter().filter(|_| action != default) {
                    write!(text, "rule {action} {name} {}", group.len()).expect("written");
                    for arg in *group {
                        let second = arg.value_two().unwrap_or(0);
                        write!(text, " {} {} {} {second}", arg.index(), arg.op() as u32, arg.value()).expect("written");
                    }
                    text.push('\n');
                }
            }
        }
        let program = self.ask(&[], &text);
        let word = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
        let read = |raw: &[u8]| Instruction {
            code: u16::from_ne_bytes([raw[0], raw[1]]),
            jump_true: raw[2],
            jump_false: raw[3],
            k: word(&raw[4..8]),
        };
        let abis = abis.to_vec();
        Oracle { largest: largest(&abis, profile), program: program.chunks(8).map(read).collect(), text, abis }
    }
}

struct Oracle {
    abis: Vec<Abi>,
    largest: BTreeMap<Abi, u32>,
    program: Vec<Instruction>,
    text: String,
}

impl Oracle {
    /// Whether the program does not look at the number of a call of an architecture it has rules for.
    fn is_deaf(&self, call: &Call) -> bool {
        self.abis.iter().any(|abi| abi.audit_arch() == call.arch) && !reads_number(&self.program, call)
    }

    fn answer(&self, call: &Call) -> u32 {
        if missing(&self.largest, call) { ENOSYS } else { run(&self.program, call).0 }
    }
}

/// Whether a call is newer than every one named for its convention.
fn missing(largest: &BTreeMap<Abi, u32>, call: &Call) -> bool {
    let of_x32 = call.number & X32_BIT != 0;
    let here = largest.iter().find(|(abi, _)| {
        abi.audit_arch() == call.arch && (call.arch != Abi::X32.audit_arch() || of_x32 == (**abi == Abi::X32))
    });
    here.is_some_and(|(_, most)| call.number > *most)
}

/// The largest numbers named, by convention; none where the default action says by itself that there is no such call.
fn largest(abis: &[Abi], profile: &LinuxSeccomp) -> BTreeMap<Abi, u32> {
    let permissive =
        matches!(profile.default_action(), Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace);
    if permissive || profile.default_errno_ret() == Some(38) {
        return BTreeMap::new();
    }
    let names = || profile.syscalls().iter().flatten().flat_map(|rule| rule.names());
    abis.iter().filter_map(|abi| Some((*abi, names().filter_map(|name| number(*abi, name)).max()?))).collect()
}

/// What the profile says, sentence by sentence.
fn sentence(abis: &[Abi], profile: &LinuxSeccomp, largest: &BTreeMap<Abi, u32>, call: &Call) -> u32 {
    let of_x32 = call.number & X32_BIT != 0 && (call.number != u32::MAX || abis.contains(&Abi::X32));
    let here = |abi: &&Abi| {
        abi.audit_arch() == call.arch && (call.arch != Abi::X32.audit_arch() || of_x32 == (**abi == Abi::X32))
    };
    let Some(abi) = abis.iter().find(here) else { return 0 };
    if missing(largest, call) {
        return ENOSYS;
    }
    let default = value(profile.default_action(), profile.default_errno_ret());
    let mut answer = None;
    for rule in profile.syscalls().iter().flatten() {
        let action = value(rule.action(), rule.errno_ret());
        let args = rule.args().clone().unwrap_or_default();
        let indexes: BTreeSet<usize> = args.iter().map(|arg| arg.index()).collect();
        for name in rule.names().iter().filter(|_| action != default) {
            let holds = |multiplexed: bool| {
                let one = |arg: &LinuxSeccompArg| (multiplexed && arg.index() == 0) || holds(*abi, arg, call);
                if indexes.len() < args.len() { args.iter().any(one) } else { args.iter().all(one) }
            };
            if number(*abi, name) == Some(call.number) {
                if args.is_empty() {
                    return action;
                }
                answer = answer.or(holds(false).then_some(action));
            }
            let through = |by: &str, selector: Option<u32>| {
                *abi == Abi::I386 && number(*abi, by) == Some(call.number) && selector == Some(call.args[0] as u32)
            };
            if through("socketcall", socketcall_selector(name)) || through("ipc", ipc_selector(name)) {
                answer = answer.or(holds(true).then_some(action));
            }
        }
    }
    answer.unwrap_or(default)
}

fn holds(abi: Abi, arg: &LinuxSeccompArg, call: &Call) -> bool {
    let width = if abi.wide() { u64::MAX } else { u64::from(u32::MAX) };
    let (a, v, two) = (call.args[arg.index()] & width, arg.value() & width, arg.value_two().unwrap_or(0) & width);
    match arg.op() {
        Op::ScmpCmpNe => a != v,
        Op::ScmpCmpLt => a < v,
        Op::ScmpCmpLe => a <= v,
        Op::ScmpCmpEq => a == v,
        Op::ScmpCmpGe => a >= v,
        Op::ScmpCmpGt => a > v,
        Op::ScmpCmpMaskedEq => a & v == two & v,
    }
}

fn arch_name(abi: Abi) -> &'static str {
    match abi {
        Abi::X86_64 => "x86_64",
        Abi::X32 => "x32",
        Abi::I386 => "x86",
        Abi::Aarch64 => "aarch64",
        Abi::Arm => "arm",
    }
}

fn value(action: Action, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(1);
    match action {
        Action::ScmpActKill | Action::ScmpActKillThread => 0,
        Action::ScmpActKillProcess => 0x8000_0000,
        Action::ScmpActTrap => 0x0003_0000,
        Action::ScmpActErrno => 0x0005_0000 | data,
        Action::ScmpActNotify => 0x7fc0_0000,
        Action::ScmpActTrace => 0x7ff0_0000 | data,
        Action::ScmpActLog => 0x7ffc_0000,
        Action::ScmpActAllow => 0x7fff_0000,
    }
}

/// Compares our program with the sentences, and with libseccomp's where a compiler is given, on every number of every convention,
/// with arguments that lie near what the profile compares.
fn compare(compiler: Option<&Compiler>, native: Abi, abis: &[Abi], mut profile: LinuxSeccomp, dice: &mut Dice) {
    let mut rules = profile.syscalls().clone().unwrap_or_default();
    if let Some(compiler) = compiler {
        for rule in &mut rules {
            let known: Vec<String> =
                rule.names().iter().filter(|name| compiler.known.contains(*name)).cloned().collect();
            rule.set_names(known);
        }
        rules.retain(|rule| !rule.names().is_empty());
        profile.set_syscalls(Some(rules.clone()));
    }
    let oracle = compiler.map(|compiler| compiler.compile(abis, &profile));
    let ours = compile_for(native, &profile).expect("compiles");
    let most = largest(abis, &profile);

    // What is compared where, by number: the interesting arguments are those around it.
    let mut values: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for rule in &rules {
        for (abi, name) in abis.iter().flat_map(|abi| rule.names().iter().map(move |name| (*abi, name))) {
            let own = number(abi, name);
            let multiplexers = ["socketcall", "ipc"].into_iter().filter_map(|name| number(Abi::I386, name));
            for number in own.into_iter().chain(multiplexers.filter(|_| abi == Abi::I386)) {
                let near = values.entry(number).or_default();
                for arg in rule.args().iter().flatten() {
                    let (v, two) = (arg.value(), arg.value_two().unwrap_or(0));
                    near.extend([
                        v,
                        v.wrapping_add(1),
                        v.wrapping_sub(1),
                        v ^ 1 << 32,
                        v ^ 1 << 63,
                        !v,
                        two,
                        v & two,
                        two | !v,
                    ]);
                    near.extend([0, u64::MAX]);
                }
            }
        }
    }
    let edges = [0, X32_BIT - 1, X32_BIT, 983_041, 983_046, u32::MAX];
    let numbers: BTreeSet<u32> = if oracle.is_some() {
        (0..600).chain((0..600).map(|n| n | X32_BIT)).chain(edges).collect()
    } else {
        values.keys().flat_map(|n| [n.saturating_sub(1), *n, n + 1]).chain(edges).collect()
    };
    let archs: BTreeSet<u32> = X86.iter().chain(&ARM).map(|abi| abi.audit_arch()).chain([0, 0x8000_0016]).collect();
    for number in numbers {
        for arch in &archs {
            let check = |args: [u64; 6]| {
                let call = Call { number, arch: *arch, args };
                let ours = run(ours.instructions(), &call).0;
                if let Some(oracle) = oracle.as_ref().filter(|oracle| !oracle.is_deaf(&call)) {
                    let theirs = oracle.answer(&call);
                    assert_eq!(ours, theirs, "{call:x?}: {ours:#x}, libseccomp {theirs:#x}, of\n{}", oracle.text);
                } else {
                    let said = sentence(abis, &profile, &most, &call);
                    assert_eq!(ours, said, "{call:x?}: {ours:#x} for {said:#x}, of\n{profile:?}");
                }
            };
            check([0; 6]);
            check([u64::MAX; 6]);
            let listed = abis.iter().any(|abi| abi.audit_arch() == *arch);
            let Some(near) = values.get(&number).filter(|near| listed && !near.is_empty()) else { continue };
            for value in near {
                for index in 0..6 {
                    let mut args = [0; 6];
                    args[index] = *value;
                    check(args);
                }
                check([*value; 6]);
            }
            let near: Vec<u64> = near.iter().copied().collect();
            for _ in 0..(near.len() * 8).min(400) {
                let mut args = [0; 6].map(|_: u64| dice.of(&near));
                check(args);
                // The selector of a multiplexed call.
                args[0] = dice.below(26) as u64;
                check(args);
            }
        }
    }
}

#[test]
fn the_default_profile_decides_as_libseccomp_does() {
    need!("cc", libseccomp);
    let compiler = Compiler::build();
    let few = spec::capability::DEFAULT.to_vec();
    for caps in [few, spec::capability::ALL.to_vec(), Vec::new(), vec![Capability::SysAdmin]] {
        for (native, abis) in [(Abi::X86_64, &X86[..]), (Abi::Aarch64, &ARM[..])] {
            let profile = spec::seccomp::default_profile(&caps, native, (6, 1));
            compare(Some(&compiler), native, abis, profile, &mut Dice::new(1));
        }
    }
}

#[test]
fn random_profiles_decide_as_libseccomp_does() {
    need!("cc", libseccomp);
    let compiler = Compiler::build();
    let names: Vec<&str> = compiler.known.iter().map(String::as_str).collect();
    repeat(5, |dice| {
        let (native, abis) = dice.of(&MACHINES);
        // libseccomp 2.5.4 gives wrong answers where a rule names a call that none of the conventions has; the sentences
        // below hold for such rules too
        let names: Vec<&str> =
            names.iter().copied().filter(|name| abis.iter().any(|abi| number(*abi, name).is_some())).collect();
        let profile = random_profile(dice, &names, 1, abis);
        compare(Some(&compiler), native, abis, profile, dice);
    });
}

#[test]
fn random_profiles_decide_as_their_sentences_say() {
    let names: BTreeSet<&str> = X86.iter().chain(&ARM).flat_map(|abi| all(*abi)).map(|(name, _)| name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    repeat(4, |dice| {
        let (native, abis) = dice.of(&MACHINES);
        let profile = random_profile(dice, &names, 3, abis);
        compare(None, native, abis, profile, dice);
    });
}

const MACHINES: [(Abi, &[Abi]); 5] = [
    (Abi::X86_64, &X86),
    (Abi::X86_64, &[Abi::X86_64]),
    (Abi::X86_64, &[Abi::X86_64, Abi::I386]),
    (Abi::Aarch64, &ARM),
    (Abi::Aarch64, &[Abi::Aarch64]),
];

/// Runs `check` with dice of a new seed, telling it if it fails.
fn repeat(times: usize, check: impl Fn(&mut Dice)) {
    let seed = dice::seed();
    let mut dice = Dice::new(seed);
    for _ in 0..times {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&mut dice)));
        if let Err(panic) = caught {
            dice::say(&format!("VENEER_SEED={seed}"));
            std::panic::resume_unwind(panic);
        }
    }
}

/// A number to compare with, often one where something changes.
fn number_for(dice: &mut Dice) -> u64 {
    let wide = dice.any();
    dice.of(&[0, 1, 2, 16, 0x7e02_0000, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, wide, wide >> 32, wide << 32])
}

/// A profile over `names`, with up to `most` rules a call. The multiplexers themselves are left out: rules about them and
/// about what they reach would overlap, and their order in libseccomp is not that of the profile.
fn random_profile(dice: &mut Dice, names: &[&str], most: usize, abis: &[Abi]) -> LinuxSeccomp {
    let known: Vec<&&str> = names.iter().filter(|name| !["socketcall", "ipc"].contains(*name)).collect();
    // What 32-bit conventions make of numbers that do not fit is libseccomp's own affair.
    let width = if most > 1 || abis.iter().all(|abi| abi.wide()) { u64::MAX } else { u64::from(u32::MAX) };
    let actions = ["ALLOW", "ERRNO", "LOG", "KILL_PROCESS", "KILL", "TRAP", "TRACE"];
    let mut syscalls = Vec::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..dice.below(if most > 1 { 16 } else { 120 }) {
        names.insert(*known[dice.below(known.len())]);
    }
    for name in names {
        // The listener could not be handed over where `write` notifies, and as default nothing would start.
        let notify = if name == "write" { "LOG" } else { "NOTIFY" };
        let of_rules = [&actions[..], &[notify]].concat();
        let action = format!("SCMP_ACT_{}", dice.of(&of_rules));
        for _ in 0..1 + dice.below(most) {
            let action = if most > 1 { format!("SCMP_ACT_{}", dice.of(&of_rules)) } else { action.clone() };
            let mut args = Vec::new();
            let mut indexes = BTreeSet::new();
            for _ in 0..dice.below(3) {
                let op = dice.of(&[
                    Op::ScmpCmpEq,
                    Op::ScmpCmpNe,
                    Op::ScmpCmpLt,
                    Op::ScmpCmpLe,
                    Op::ScmpCmpGt,
                    Op::ScmpCmpGe,
                    Op::ScmpCmpMaskedEq,
                ]);
                let index = dice.below(6);
                if indexes.insert(index) {
                    let masked = op == Op::ScmpCmpMaskedEq;
                    // libseccomp 2.5 takes a mask without low bits for a condition that decides nothing, also below others.
                    let (value, second) = (number_for(dice) & width | u64::from(masked), number_for(dice) & width);
                    args.push(serde_json::json!({ "index": index, "value": value, "valueTwo": second, "op": op }));
                }
            }
            syscalls.push(serde_json::json!({ "names": [name], "action": action, "args": args }));
        }
    }
    let architectures: Vec<String> =
        abis.iter().map(|abi| format!("SCMP_ARCH_{}", arch_name(*abi).to_uppercase())).collect();
    let default = format!("SCMP_ACT_{}", dice.of(&actions));
    serde_json::from_value(
        serde_json::json!({ "defaultAction": default, "architectures": architectures, "syscalls": syscalls }),
    )
    .expect("profile")
}
