//! The device list: which device nodes may be made and opened in a container, whoever made them.
//!
//! `linux.resources.devices` is a list of rules, the last that matches wins, bit by bit of read, write and mknod; before the first
//! everything is forbidden, and behind the last come the rules every container has (`spec::defaults::base_device_rules`).
//! v2 takes exactly that, as a program of type CGROUP_DEVICE: walking from the last rule to the first, it strikes out of what is
//! asked for what a rule allows, and refuses at the first rule that forbids a bit still left. v1 has a default and a list of
//! exceptions (security/device_cgroup.c) which cannot have holes: [`Exceptions`] is what the rules come to, or an error.
//!
//! Where neither can be set up (no cgroup, no right), [`crate::cgroup::Cgroup::devices`] says so, and the caller leaves
//! CAP_MKNOD out: in a user namespace of its own a container cannot make nodes anyway.

use crate::error::{Result, failed, invalid};
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};
use spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::bpf::Instruction;

/// Whether a container's device list is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceList {
    /// It is, by the v1 controller `devices` or a program on a v2 group.
    Enforced,
    /// It is not, and why: leave CAP_MKNOD out of every set.
    Open(String),
}

/// Character or block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Char,
    Block,
}

const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL: u32 = MKNOD | READ | WRITE;

/// A rule with its letters read; `None` means all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    sort: Option<Sort>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

/// The rules of a container: those of its configuration, in order, then those every container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Reads `linux.resources.devices`; an error names the rule that makes no sense.
    pub fn of(devices: &[LinuxDeviceCgroup]) -> Result<Self> {
        let base = spec::defaults::base_device_rules();
        devices.iter().chain(&base).map(Rule::of).collect::<Result<Vec<_>>>().map(Self)
    }

    /// Puts the rules in force on a v1 group of the controller `devices`, which must have no process yet.
    pub(crate) fn write_v1(&self, group: &Path) -> Result<()> {
        let exceptions = Exceptions::of(&self.0)?;
        let lines = std::iter::once((exceptions.allow_by_default, "a".to_owned()));
        let listed = exceptions.list.iter().map(|(of, access)| (!exceptions.allow_by_default, line(*of, *access)));
        let mut open: [Option<OwnedFd>; 2] = [None, None];
        for (allow, line) in lines.chain(listed) {
            let file = if allow { "devices.allow" } else { "devices.deny" };
            let say = |e: io::Error| failed("write", group.join(file).display(), e);
            let Some(slot) = open.get_mut(usize::from(allow)) else { continue };
            let fd = match slot {
                Some(fd) => fd,
                None => slot.insert(
                    rustix::fs::openat(CWD, group.join(file), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                        .map_err(|e| say(e.into()))?,
                ),
            };
            rustix::io::retry_on_intr(|| rustix::io::write(&*fd, line.as_bytes())).map_err(|e| say(e.into()))?;
        }
        Ok(())
    }

    /// Attaches the rules to a v2 group.
    pub fn attach_v2(&self, group: &Path) -> io::Result<()> {
        let folder = rustix::fs::open(group, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let program = sys::bpf::load_device_program(&self.program())?;
        use std::os::fd::AsFd;
        sys::bpf::attach_device_program(folder.as_fd(), program.as_fd())
    }

    /// The program: r2 kind of node, r3 the access bits still to be allowed, r4 major, r5 minor. 1 allows, 0 refuses.
    fn program(&self) -> Vec<Instruction> {
        let mut code = vec![
            load(2, 0),
            copy(3, 2),
            with_constant(AND, 2, 0xffff),
            with_constant(SHIFT_RIGHT, 3, 16),
            load(4, 4),
            load(5, 8),
        ];
        for rule in self.0.iter().rev() {
            let mut tests = Vec::new();
            let sort = rule.sort.map(|sort| if sort == Sort::Block { 1 } else { 2 });
            for (register, value) in [(2, sort), (4, rule.major), (5, rule.minor)] {
                tests.extend(value.map(|value| (register, value)));
            }
            let effect = if rule.allow {
                vec![
                    with_constant(AND, 3, !(rule.access as i32)),
                    jump(UNLESS_EQUAL, 3, 0, 2),
                    with_constant(MOVE, 0, 1),
                    EXIT,
                ]
            } else {
                vec![
                    copy(1, 3),
                    with_constant(AND, 1, rule.access as i32),
                    jump(IF_EQUAL, 1, 0, 2),
                    with_constant(MOVE, 0, 0),
                    EXIT,
                ]
            };
            for (at, (register, value)) in tests.iter().enumerate() {
                let rest = tests.len() - at - 1 + effect.len();
                code.push(jump(UNLESS_EQUAL, *register, *value as i32, rest as i16));
            }
            code.extend(effect);
        }
        code.extend([with_constant(MOVE, 0, 0), EXIT]);
        code
    }
}

const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb4;
/// Conditional jumps on the low 32 bits (kernel 5.1; cgroup v2 in earnest is younger).
const IF_EQUAL: u8 = 0x16;
const UNLESS_EQUAL: u8 = 0x56;
const EXIT: Instruction = Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 };

/// `w[to] = *(u32 *)(r1 + offset)`: a member of struct bpf_cgroup_dev_ctx.
fn load(to: u8, offset: i16) -> Instruction {
    Instruction { code: 0x61, registers: to | 1 << 4, offset, immediate: 0 }
}

fn copy(to: u8, from: u8) -> Instruction {
    Instruction { code: 0xbc, registers: to | from << 4, offset: 0, immediate: 0 }
}

fn with_constant(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate }
}

fn jump(code: u8, register: u8, immediate: i32, offset: i16) -> Instruction {
    Instruction { code, registers: register, offset, immediate }
}

impl Rule {
    fn of(rule: &LinuxDeviceCgroup) -> Result<Self> {
        let refused = |why: String| invalid("device rule", rule, why);
        let sort = match rule.typ() {
            None | Some(LinuxDeviceType::A) => None,
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Sort::Char),
            Some(LinuxDeviceType::B) => Some(Sort::Block),
            Some(other) => return Err(refused(format!("a list of devices has no type {}", other.as_str()))),
        };
        let number = |n: Option<i64>, what: &str| match n {
            None | Some(-1) => Ok(None),
            Some(n) => u32::try_from(n).map(Some).map_err(|_| refused(format!("{what} {n} is out of range"))),
        };
        let mut access = 0;
        for letter in rule.access().as_deref().filter(|a| !a.is_empty()).unwrap_or("rwm").chars() {
            access |= match letter {
                'r' => READ,
                'w' => WRITE,
                'm' => MKNOD,
                _ => return Err(refused(format!("access {letter} is none of r, w and m"))),
            };
        }
        let (major, minor) = (number(rule.major(), "major")?, number(rule.minor(), "minor")?);
        Ok(Self { allow: rule.allow(), sort, major, minor, access })
    }
}

/// What an exception of v1 is about.
type Of = (Sort, Option<u32>, Option<u32>);

/// A list of rules as v1 can hold it: a default, and what is otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exceptions {
    allow_by_default: bool,
    list: BTreeMap<Of, u32>,
}

impl Exceptions {
    fn of(rules: &[Rule]) -> Result<Self> {
        let mut all = Self { allow_by_default: false, list: BTreeMap::new() };
        for rule in rules {
            if rule.sort.is_none() && rule.major.is_none() && rule.minor.is_none() && rule.access == ALL {
                all = Self { allow_by_default: rule.allow, list: BTreeMap::new() };
                continue;
            }
            for sort in [Sort::Char, Sort::Block].into_iter().filter(|sort| rule.sort.is_none_or(|of| of == *sort)) {
                all.add((sort, rule.major, rule.minor), rule)?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, of: Of, rule: &Rule) -> Result<()> {
        if rule.allow != self.allow_by_default {
            *self.list.entry(of).or_insert(0) |= rule.access;
            return Ok(());
        }
        // Back to the default: whatever the rule covers is no exception any more. One that covers the rule would need a hole.
        for (other, access) in &mut self.list {
            if covers(of, *other) {
                *access &= !rule.access;
            } else if covers(*other, of) && *access & rule.access != 0 {
                let why = format!("cgroup v1 cannot except it from {}", line(*other, *access));
                return Err(
                    invalid("device rule", line(of, rule.access), why).hint("write the wider rule more narrowly")
                );
            }
        }
        self.list.retain(|_, access| *access != 0);
        Ok(())
    }
}

fn covers(wide: Of, narrow: Of) -> bool {
    let number = |wide: Option<u32>, narrow: Option<u32>| wide.is_none() || wide == narrow;
    wide.0 == narrow.0 && number(wide.1, narrow.1) && number(wide.2, narrow.2)
}

/// A line for `devices.allow` and `devices.deny`.
fn line((sort, major, minor): Of, access: u32) -> String {
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let letters: String =
        [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')].iter().filter(|(bit, _)| access & bit != 0).map(|l| l.1).collect();
    format!("{} {}:{} {letters}", if sort == Sort::Char { 'c' } else { 'b' }, number(major), number(minor))
}

#[cfg(test)]
mod tests {
    use super::{ALL, Exceptions, MKNOD, READ, Rule, Rules, Sort, WRITE, line};
    use spec::defaults::{device_rules, rule};
    use spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

    /// What the program decides, computed by running it.
    fn runs(rules: &Rules, sort: u32, access: u32, major: u32, minor: u32) -> bool {
        let code = rules.program();
        let context = [access << 16 | sort, major, minor];
        let mut registers = [0_u32; 11];
        let mut at = 0;
        loop {
            let step = code[at];
            let (to, from) = (usize::from(step.registers & 15), usize::from(step.registers >> 4));
            let constant = step.immediate as u32;
            at += 1;
            match step.code {
                0x61 => registers[to] = context[step.offset as usize / 4],
                0xbc => registers[to] = registers[from],
                super::AND => registers[to] &= constant,
                super::SHIFT_RIGHT => registers[to] >>= constant,
                super::MOVE => registers[to] = constant,
                super::IF_EQUAL if registers[to] == constant => at += step.offset as usize,
                super::UNLESS_EQUAL if registers[to] != constant => at += step.offset as usize,
                super::IF_EQUAL | super::UNLESS_EQUAL => {}
                0x95 => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    /// What a v1 list decides, by the kernel's words: any exception that covers the whole request.
    fn listed(rules: &Rules, sort: Sort, access: u32, major: u32, minor: u32) -> bool {
        let all = Exceptions::of(&rules.0).expect("no holes");
        let request = (sort, Some(major), Some(minor));
        let covering = all.list.iter().filter(|(of, _)| super::covers(**of, request));
        if all.allow_by_default {
            !covering.into_iter().any(|(_, of)| of & access != 0)
        } else {
            // The kernel asks each exception for the whole access; ours never split one device's over two.
            covering.into_iter().any(|(_, of)| of & access == access)
        }
    }

    #[test]
    fn the_default_list_opens_null_and_no_disk() {
        let rules = Rules::of(&device_rules()).expect("rules");
        let cases = [
            (2, READ | WRITE, 1, 3, true),
            (2, READ, 1, 9, true),
            (2, READ | WRITE, 136, 7, true),
            (2, READ, 10, 229, false),
            (2, READ, 1, 1, false),
            (1, READ, 7, 0, false),
            (1, MKNOD, 7, 0, true),
            (1, MKNOD | READ, 7, 0, false),
            (2, MKNOD, 10, 229, true),
        ];
        for (sort, access, major, minor, opens) in cases {
            assert_eq!(runs(&rules, sort, access, major, minor), opens, "v2 {sort} {access} {major}:{minor}");
            let sort = if sort == 1 { Sort::Block } else { Sort::Char };
            assert_eq!(listed(&rules, sort, access, major, minor), opens, "v1 {sort:?} {access} {major}:{minor}");
        }
    }

    #[test]
    fn the_last_rule_wins_bit_by_bit() {
        let c = Some(LinuxDeviceType::C);
        let list = [
            rule(true, None, None, None, "rwm"),
            rule(false, c, Some(10), Some(200), "w"),
            rule(true, c, Some(10), Some(201), "rw"),
        ];
        let rules = Rules::of(&list).expect("rules");
        assert!(
            runs(&rules, 2, READ, 10, 200)
                && !runs(&rules, 2, WRITE, 10, 200)
                && !runs(&rules, 2, READ | WRITE, 10, 200)
        );
        assert!(runs(&rules, 1, ALL, 8, 0));
        let split = [rule(true, c, Some(9), Some(1), "r"), rule(true, c, Some(9), Some(1), "w")];
        assert!(runs(&Rules::of(&split).expect("rules"), 2, READ | WRITE, 9, 1));
    }

    #[test]
    fn v1_cannot_have_holes_and_says_so() {
        let c = Some(LinuxDeviceType::C);
        let list = [rule(true, c, Some(10), None, "rwm"), rule(false, c, Some(10), Some(229), "rwm")];
        let rules = Rules::of(&list).expect("rules");
        assert!(!runs(&rules, 2, READ, 10, 229));
        let error = Exceptions::of(&rules.0).expect_err("a hole");
        assert_eq!(error.to_string(), "device rule c 10:229 rwm: cgroup v1 cannot except it from c 10:* rwm");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let refused = |rule: LinuxDeviceCgroup| Rules::of(&[rule]).expect_err("refused").to_string();
        assert!(refused(rule(true, None, None, None, "rx")).contains("access x is none of r, w and m"));
        assert!(refused(rule(true, None, Some(-7), None, "r")).contains("major -7 is out of range"));
    }

    #[test]
    fn lines_as_the_kernel_reads_them() {
        let all = Rule::of(&rule(true, Some(LinuxDeviceType::B), Some(7), None, "")).expect("rule");
        assert_eq!(line((Sort::Block, all.major, all.minor), all.access), "b 7:* rwm");
    }
}
