//! From decisions to classic BPF.
//!
//! ```text
//! ld arch ─┬─ native ── ld number ── binary search over ranges ── ret │ comparisons ── ret …
//!          ├─ next …
//!          └─ none of them: ret KILL_THREAD
//! ```
//!
//! Every piece is built on its own and ends in `ret` on every path; jumps are relative and forward only, so pieces are
//! joined by putting them behind one another. A jump further than 255 goes over a `ja`.

use super::rules::{Answer, Condition, Conditional, Decision, Decisions};
use spec::runtime::LinuxSeccompOperator as Op;
use spec::syscall::{Abi, X32_BIT};
use sys::seccomp::Instruction;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const SKIP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The number a tracer leaves behind to have a call skipped.
const SKIPPED_CALL: u32 = u32::MAX;

fn op(code: u16, k: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, k }
}

fn branch(code: u16, k: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, k }
}

/// `if` holds: falls through into `then`; else goes on behind it, in `other`.
fn either(code: u16, k: u32, then: Vec<Instruction>, other: Vec<Instruction>) -> Vec<Instruction> {
    let mut piece = match u8::try_from(then.len()) {
        Ok(far) => vec![branch(code, k, 0, far)],
        Err(_) => vec![branch(code, k, 1, 0), op(SKIP, then.len() as u32)],
    };
    piece.extend(then);
    piece.extend(other);
    piece
}

/// The whole filter: one section for each audit architecture, the first one the machine's own.
pub(super) fn program(decisions: &[Decisions]) -> Vec<Instruction> {
    let mut rest = vec![op(RETURN, libc::SECCOMP_RET_KILL_THREAD)];
    let mut seen = Vec::new();
    let mut sections = Vec::new();
    for of in decisions {
        let arch = of.abi.audit_arch();
        if !seen.contains(&arch) {
            seen.push(arch);
            sections.push((arch, section(arch, decisions)));
        }
    }
    for (arch, code) in sections.into_iter().rev() {
        rest = either(IF_EQUAL, arch, code, rest);
    }
    rest.insert(0, op(LOAD, ARCHITECTURE));
    rest
}

/// The code for one audit architecture: that of x86_64 has two conventions, told apart by a bit of the number.
fn section(arch: u32, decisions: &[Decisions]) -> Vec<Instruction> {
    let mut ranges = Vec::new();
    let find = |abi| decisions.iter().find(|d| d.abi == abi);
    if arch == Abi::X86_64.audit_arch() {
        match find(Abi::X86_64) {
            Some(of) => ranges_of(of, 0, &mut ranges),
            None => ranges.push(Range { from: 0, leaf: Leaf::Answer(libc::SECCOMP_RET_KILL_THREAD) }),
        }
        match (find(Abi::X32), find(Abi::X86_64)) {
            (Some(of), _) => ranges_of(of, X32_BIT, &mut ranges),
            (None, of) => {
                ranges.push(Range { from: X32_BIT, leaf: Leaf::Answer(libc::SECCOMP_RET_KILL_THREAD) });
                let skipped = of.map_or(libc::SECCOMP_RET_KILL_THREAD, |of| of.default);
                ranges.push(Range { from: SKIPPED_CALL, leaf: Leaf::Answer(skipped) });
            }
        }
    } else if let Some(of) = decisions.iter().find(|d| d.abi.audit_arch() == arch) {
        ranges_of(of, 0, &mut ranges);
    }
    ranges.dedup_by(|next, before| matches!((&next.leaf, &before.leaf), (Leaf::Answer(a), Leaf::Answer(b)) if a == b));
    let mut code = vec![op(LOAD, NUMBER)];
    code.extend(search(&ranges));
    code
}

/// What numbers from `from` up to the next range's answer.
struct Range<'a> {
    from: u32,
    leaf: Leaf<'a>,
}

enum Leaf<'a> {
    Answer(Answer),
    Compare { rules: &'a [Conditional], default: Answer, wide: bool },
}

/// The ranges of one convention, whose numbers start at `first`.
fn ranges_of<'a>(of: &'a Decisions, first: u32, ranges: &mut Vec<Range<'a>>) {
    let mut next = first;
    for (number, decision) in &of.by_number {
        if *number > next {
            ranges.push(Range { from: next, leaf: Leaf::Answer(of.default) });
        }
        let leaf = match decision {
            Decision::Always(answer) => Leaf::Answer(*answer),
            Decision::When(rules) => Leaf::Compare { rules, default: of.default, wide: of.abi.wide() },
        };
        ranges.push(Range { from: *number, leaf });
        next = number + 1;
    }
    match of.beyond {
        Some((largest, answer)) => {
            if largest >= next {
                ranges.push(Range { from: next, leaf: Leaf::Answer(of.default) });
            }
            ranges.push(Range { from: next.max(largest + 1), leaf: Leaf::Answer(answer) });
        }
        None => ranges.push(Range { from: next, leaf: Leaf::Answer(of.default) }),
    }
}

/// Binary search; the number is in the accumulator.
fn search(ranges: &[Range<'_>]) -> Vec<Instruction> {
    match ranges {
        [] => vec![op(RETURN, libc::SECCOMP_RET_KILL_THREAD)],
        [one] => match &one.leaf {
            Leaf::Answer(answer) => vec![op(RETURN, *answer)],
            Leaf::Compare { rules, default, wide } => comparisons(rules, *default, *wide),
        },
        many => {
            let (low, high) = many.split_at(many.len() / 2);
            either(IF_AT_LEAST, high[0].from, search(high), search(low))
        }
    }
}

/// The rules of one call, one after the other; the first that holds answers.
fn comparisons(rules: &[Conditional], default: Answer, wide: bool) -> Vec<Instruction> {
    let mut code = Vec::new();
    for rule in rules {
        let tests: Vec<Vec<Step>> = rule.all.iter().map(|condition| test(condition, wide)).collect();
        let length: usize = tests.iter().map(Vec::len).sum();
        let mut at = 0;
        for steps in tests {
            let holds = at + steps.len();
            for step in steps {
                // Distances count from the next instruction. A failed rule goes on behind its own `ret`; the longest rule
                // has six tests of six steps, so nothing is ever further than 255.
                let to = |target: Target| match target {
                    Target::Next => 0,
                    Target::Holds => (holds - at - 1) as u8,
                    Target::Fails => (length - at) as u8,
                };
                code.push(branch(step.code, step.k, to(step.yes), to(step.no)));
                at += 1;
            }
        }
        code.push(op(RETURN, rule.answer));
    }
    code.push(op(RETURN, default));
    code
}

/// An instruction of a test, with where it goes.
struct Step {
    code: u16,
    k: u32,
    yes: Target,
    no: Target,
}

#[derive(Clone, Copy)]
enum Target {
    /// The next instruction.
    Next,
    /// Behind this condition: it holds.
    Holds,
    /// Behind this rule: it does not.
    Fails,
}

fn plain(code: u16, k: u32) -> Step {
    Step { code, k, yes: Target::Next, no: Target::Next }
}

fn choose(code: u16, k: u32, yes: Target, no: Target) -> Step {
    Step { code, k, yes, no }
}

/// One condition: falls through or goes to Holds if it holds, to Fails if not. The upper half decides first.
fn test(condition: &Condition, wide: bool) -> Vec<Step> {
    use Target::{Fails, Holds, Next};
    let offset = ARGUMENTS + 8 * condition.index;
    // Both architectures are little-endian: the lower half comes first.
    let (load_low, load_high) = (plain(LOAD, offset), plain(LOAD, offset + 4));
    let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
    let (mask_low, mask_high) = (condition.mask as u32, (condition.mask >> 32) as u32);
    let mut steps = Vec::new();
    if condition.op == Op::ScmpCmpMaskedEq {
        let halves = [(load_high, mask_high, high, wide), (load_low, mask_low, low, true)];
        for (load, mask, value, looked_at) in halves {
            if looked_at && mask != 0 {
                steps.extend([load, plain(AND, mask), choose(IF_EQUAL, value, Next, Fails)]);
            }
        }
        return steps;
    }
    if wide {
        steps.push(load_high);
        match condition.op {
            Op::ScmpCmpEq => steps.push(choose(IF_EQUAL, high, Next, Fails)),
            Op::ScmpCmpNe => steps.push(choose(IF_EQUAL, high, Next, Holds)),
            Op::ScmpCmpGt | Op::ScmpCmpGe => {
                steps.extend([choose(IF_GREATER, high, Holds, Next), choose(IF_EQUAL, high, Next, Fails)]);
            }
            Op::ScmpCmpLt | Op::ScmpCmpLe => {
                steps.extend([choose(IF_GREATER, high, Fails, Next), choose(IF_EQUAL, high, Next, Holds)]);
            }
            Op::ScmpCmpMaskedEq => {}
        }
    }
    steps.push(load_low);
    steps.push(match condition.op {
        Op::ScmpCmpEq | Op::ScmpCmpMaskedEq => choose(IF_EQUAL, low, Next, Fails),
        Op::ScmpCmpNe => choose(IF_EQUAL, low, Fails, Next),
        Op::ScmpCmpGt => choose(IF_GREATER, low, Next, Fails),
        Op::ScmpCmpGe => choose(IF_AT_LEAST, low, Next, Fails),
        Op::ScmpCmpLt => choose(IF_AT_LEAST, low, Fails, Next),
        Op::ScmpCmpLe => choose(IF_GREATER, low, Fails, Next),
    });
    steps
}
