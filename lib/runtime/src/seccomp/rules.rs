//! What a profile means for one calling convention: a decision for each number it names, one for all others.

use super::refused;
use crate::error::Result;
use spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};
use spec::syscall::{self, Abi};
use std::collections::BTreeMap;

/// The answer to a system call: a `SECCOMP_RET_*` value with its data, as the program returns it.
pub(super) type Answer = u32;

/// One comparison of an argument: `argument op value`, under `mask` where the operator is the masked one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) op: LinuxSeccompOperator,
    pub(super) value: u64,
    pub(super) mask: u64,
}

/// Conditions that must all hold, and the answer if they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conditional {
    pub(super) all: Vec<Condition>,
    pub(super) answer: Answer,
}

/// What becomes of one system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// The same answer whatever the arguments.
    Always(Answer),
    /// The first of these that holds; the default answer if none does.
    When(Vec<Conditional>),
}

/// A profile for one calling convention.
#[derive(Debug, Clone)]
pub(super) struct Decisions {
    pub(super) abi: Abi,
    /// By number, x32's with their mark.
    pub(super) by_number: BTreeMap<u32, Decision>,
    pub(super) default: Answer,
    /// The answer to numbers above the largest named one, where it differs from the default.
    pub(super) beyond: Option<(u32, Answer)>,
}

impl Decisions {
    /// What `profile` means under `abi`; `default` is its default answer.
    pub(super) fn of(abi: Abi, profile: &LinuxSeccomp, default: Answer) -> Result<Self> {
        let mut decisions = Self { abi, by_number: BTreeMap::new(), default, beyond: None };
        let mut largest = None;
        for rule in profile.syscalls().iter().flatten() {
            let answer = answer_of(rule)?;
            let alternatives = alternatives(rule)?;
            for name in rule.names() {
                let number = syscall::number(abi, name);
                largest = largest.max(number);
                if answer == default {
                    continue;
                }
                if let Some(number) = number {
                    decisions.add(number, &alternatives, answer);
                }
                if abi == Abi::I386 {
                    decisions.add_multiplexed(name, &alternatives, answer);
                }
            }
        }
        decisions.beyond = largest.filter(|_| hides_missing_calls(profile)).map(|n| (n, ENOSYS_ANSWER));
        Ok(decisions)
    }

    fn add(&mut self, number: u32, alternatives: &[Vec<Condition>], answer: Answer) {
        if alternatives.is_empty() {
            let always = matches!(self.by_number.get(&number), Some(Decision::Always(_)));
            if !always {
                self.by_number.insert(number, Decision::Always(answer));
            }
            return;
        }
        if let Decision::When(list) = self.by_number.entry(number).or_insert_with(|| Decision::When(Vec::new())) {
            list.extend(alternatives.iter().map(|all| Conditional { all: all.clone(), answer }));
        }
    }

    /// i386 reaches old calls through a multiplexer whose first argument selects the call and whose second points to the real
    /// arguments, where no filter can look. As libseccomp does, the selector takes the place of the first argument's condition.
    fn add_multiplexed(&mut self, name: &str, alternatives: &[Vec<Condition>], answer: Answer) {
        let through =
            |multiplexer: &str, selector: u32| Some((syscall::number(self.abi, multiplexer)?, u64::from(selector)));
        let socket = syscall::socketcall_selector(name).and_then(|s| through("socketcall", s));
        let Some((number, selector)) = socket.or_else(|| syscall::ipc_selector(name).and_then(|s| through("ipc", s)))
        else {
            return;
        };
        let select = Condition { index: 0, op: LinuxSeccompOperator::ScmpCmpEq, value: selector, mask: u64::MAX };
        let given: &[Vec<Condition>] = if alternatives.is_empty() { &[Vec::new()] } else { alternatives };
        let selected: Vec<Vec<Condition>> = given
            .iter()
            .map(|all| std::iter::once(select).chain(all.iter().copied().filter(|c| c.index != 0)).collect())
            .collect();
        self.add(number, &selected, answer);
    }
}

const ENOSYS_ANSWER: Answer = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Whether the default would tell a program something else than "no such call" about a call newer than the profile. An
/// action that lets the call reach the kernel, or a tracer that stands in for it, gives the right answer by itself.
fn hides_missing_calls(profile: &LinuxSeccomp) -> bool {
    use LinuxSeccompAction::{ScmpActAllow, ScmpActLog, ScmpActTrace};
    !matches!(profile.default_action(), ScmpActAllow | ScmpActLog | ScmpActTrace)
        && profile.default_errno_ret() != Some(libc::ENOSYS as u32)
}

/// The value a program returns for an action; `errno` belongs to ERRNO and TRACE alone (the specification demands an
/// error elsewhere).
pub(super) fn return_value(action: LinuxSeccompAction, errno: Option<u32>, subject: &str) -> Result<Answer> {
    use LinuxSeccompAction as A;
    let data = errno.unwrap_or(libc::EPERM as u32);
    if errno.is_some() && !matches!(action, A::ScmpActErrno | A::ScmpActTrace) {
        return Err(refused(subject, &format!("{action} takes no errno")));
    }
    if data > libc::SECCOMP_RET_DATA {
        return Err(refused(subject, &format!("errno {data} is out of range")));
    }
    Ok(match action {
        A::ScmpActKill | A::ScmpActKillThread => libc::SECCOMP_RET_KILL_THREAD,
        A::ScmpActKillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        A::ScmpActTrap => libc::SECCOMP_RET_TRAP,
        A::ScmpActErrno => libc::SECCOMP_RET_ERRNO | data,
        A::ScmpActNotify => libc::SECCOMP_RET_USER_NOTIF,
        A::ScmpActTrace => libc::SECCOMP_RET_TRACE | data,
        A::ScmpActLog => libc::SECCOMP_RET_LOG,
        A::ScmpActAllow => libc::SECCOMP_RET_ALLOW,
    })
}

fn answer_of(rule: &LinuxSyscall) -> Result<Answer> {
    let first = rule.names().first().map_or("", String::as_str);
    if rule.names().iter().any(String::is_empty) || rule.names().is_empty() {
        return Err(refused("syscalls", "a rule without a name"));
    }
    if rule.action() == LinuxSeccompAction::ScmpActNotify && rule.names().iter().any(|name| name == "write") {
        return Err(refused("write", "SCMP_ACT_NOTIFY cannot be used for it: the listener could never be handed over"));
    }
    return_value(rule.action(), rule.errno_ret(), first)
}

/// The ways a rule can apply: none for a rule without conditions; one with all its conditions; or, where two of them are
/// about the same argument, one for each.
fn alternatives(rule: &LinuxSyscall) -> Result<Vec<Vec<Condition>>> {
    let args = rule.args().as_deref().unwrap_or_default();
    let conditions = args.iter().map(|arg| condition(rule, arg)).collect::<Result<Vec<_>>>()?;
    let repeated = conditions.iter().enumerate().any(|(at, c)| conditions[..at].iter().any(|d| d.index == c.index));
    Ok(match (conditions.is_empty(), repeated) {
        (true, _) => Vec::new(),
        (false, true) => conditions.into_iter().map(|c| vec![c]).collect(),
        (false, false) => vec![conditions],
    })
}

fn condition(rule: &LinuxSyscall, arg: &LinuxSeccompArg) -> Result<Condition> {
    let index = u32::try_from(arg.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| {
        let name = rule.names().first().map_or("", String::as_str);
        refused(name, &format!("argument {}: a system call has six, from 0", arg.index()))
    })?;
    // The masked operator carries the mask first: (argument & value) == valueTwo.
    Ok(if arg.op() == LinuxSeccompOperator::ScmpCmpMaskedEq {
        let mask = arg.value();
        Condition { index, op: arg.op(), value: arg.value_two().unwrap_or(0) & mask, mask }
    } else {
        Condition { index, op: arg.op(), value: arg.value(), mask: u64::MAX }
    })
}
