//! Seccomp: from a profile (`linux.seccomp` of config.json) to a program the kernel runs before every system call.
//!
//! ```text
//! profile ── rules ──▶ per calling convention: number ▶ decision ── assemble ──▶ classic BPF ── install ──▶ kernel
//! ```
//!
//! The decisions are those of runc with libseccomp, call by call (a test compares them over whole profiles), the program is
//! not: system call numbers with the same answer are merged into ranges and found by binary search, so Docker's default
//! profile takes about six comparisons where libseccomp's takes dozens. Only instructions are used which the kernel can evaluate ahead
//! (`seccomp_cache_prepare` in kernel/seccomp.c): calls that are allowed whatever their arguments then cost nothing.
//!
//! Invariants, kept from libseccomp and runc:
//! - a convention not listed (but the machine's own, which always is) kills the thread;
//! - the first rule without conditions decides a call, before any with conditions; else the first whose conditions all hold;
//! - two conditions on one argument are alternatives; names this kernel's family lacks are left out;
//! - numbers above the largest one named answer ENOSYS, not the default action, unless that lets calls through anyway: a C
//!   library probing for a call newer than the profile must be told to fall back. (runc's rule. Exact tables of which kernel
//!   brought which call would help only numbers given out of order, of which there are none since 424.)
//! - conventions of 32 bits compare the lower halves of arguments.

mod assemble;
mod rules;

use crate::error::{Kind, Result, failed, invalid};
use rules::Decisions;
use spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompFilterFlag};
use spec::syscall::Abi;
use std::os::fd::OwnedFd;
use sys::seccomp::Instruction;

/// A compiled filter, ready to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: libc::c_ulong,
    unknown: Vec<String>,
}

/// Compiles a profile for this machine.
pub fn compile(profile: &LinuxSeccomp) -> Result<Program> {
    let arch = std::env::consts::ARCH;
    let native = Abi::native(arch)
        .ok_or_else(|| invalid("compile seccomp profile", arch, "no system call table for this architecture"))?;
    compile_for(native, profile)
}

/// Compiles a profile for a machine whose own convention is `native`.
pub fn compile_for(native: Abi, profile: &LinuxSeccomp) -> Result<Program> {
    let default = rules::return_value(profile.default_action(), profile.default_errno_ret(), "defaultAction")?;
    if profile.default_action() == LinuxSeccompAction::ScmpActNotify {
        return Err(refused("SCMP_ACT_NOTIFY", "cannot be the default action: nobody would be left to answer"));
    }
    let mut abis = vec![native];
    for arch in profile.architectures().iter().flatten() {
        // Conventions this machine's kernel never reports need no code: whatever is not listed is killed.
        if let Some(abi) = abi(*arch, native).filter(|abi| abi.runs_on(native) && !abis.contains(abi)) {
            abis.push(abi);
        }
    }
    let decisions = abis.iter().map(|abi| Decisions::of(*abi, profile, default)).collect::<Result<Vec<_>>>()?;
    let instructions = assemble::program(&decisions);
    if instructions.len() > sys::seccomp::MAX_INSTRUCTIONS {
        let why =
            format!("{} instructions where the kernel takes {}", instructions.len(), sys::seccomp::MAX_INSTRUCTIONS);
        return Err(invalid("compile seccomp profile", "", why));
    }
    let names = profile.syscalls().iter().flatten().flat_map(|rule| rule.names());
    let unknown = names.filter(|name| !spec::syscall::is_known(name)).cloned().collect();
    Ok(Program { instructions, flags: flags(profile), unknown })
}

impl Program {
    /// Puts the filter on the calling thread. With actions SCMP_ACT_NOTIFY the listener comes back, for the agent at
    /// `listenerPath`. Needs CAP_SYS_ADMIN in the thread's user namespace, or no_new_privs.
    pub fn install(&self) -> Result<Option<OwnedFd>> {
        sys::seccomp::set_filter(&self.instructions, self.flags).map_err(|e| match e.raw_os_error() {
            Some(libc::EACCES) => failed("install seccomp filter", "", e).hint("set noNewPrivileges, or be root"),
            _ => failed("install seccomp filter", "", e),
        })
    }

    /// A program that someone else compiled: `struct sock_filter` after `struct sock_filter`, as libseccomp's
    /// `seccomp_export_bpf` writes them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (instructions, rest) = bytes.as_chunks::<8>();
        if instructions.is_empty() || !rest.is_empty() || instructions.len() > sys::seccomp::MAX_INSTRUCTIONS {
            let why =
                format!("{} bytes are no program of the kernel's (1 to 4096 instructions of 8 bytes)", bytes.len());
            return Err(invalid("seccomp program", "", why));
        }
        let instruction = |b: &[u8; 8]| Instruction {
            code: u16::from_ne_bytes([b[0], b[1]]),
            jump_true: b[2],
            jump_false: b[3],
            k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        };
        Ok(Self { instructions: instructions.iter().map(instruction).collect(), flags: 0, unknown: Vec::new() })
    }

    /// The program as the kernel gets it.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Whether installing it gives a listener.
    pub fn notifies(&self) -> bool {
        self.flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
    }

    /// Names in the profile that no system call of this family has; they were left out.
    pub fn unknown_names(&self) -> &[String] {
        &self.unknown
    }
}

fn refused(subject: &str, why: &str) -> crate::error::Error {
    crate::error::Error::new(Kind::Invalid, "seccomp", subject).because(why.to_owned())
}

fn abi(arch: Arch, native: Abi) -> Option<Abi> {
    match arch {
        Arch::ScmpArchNative => Some(native),
        Arch::ScmpArchX86 => Some(Abi::I386),
        Arch::ScmpArchX86_64 => Some(Abi::X86_64),
        Arch::ScmpArchX32 => Some(Abi::X32),
        Arch::ScmpArchArm => Some(Abi::Arm),
        Arch::ScmpArchAarch64 => Some(Abi::Aarch64),
        _ => None,
    }
}

fn flags(profile: &LinuxSeccomp) -> libc::c_ulong {
    let mut bits = 0;
    for flag in profile.flags().iter().flatten() {
        bits |= match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => libc::SECCOMP_FILTER_FLAG_TSYNC,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
        };
    }
    let mut rules = profile.syscalls().iter().flatten();
    if rules.any(|rule| rule.action() == LinuxSeccompAction::ScmpActNotify) {
        bits |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        if bits & libc::SECCOMP_FILTER_FLAG_TSYNC != 0 {
            // A result can be one descriptor or one thread id, not either.
            bits |= libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
        }
    } else {
        // The kernel takes it only together with a listener.
        bits &= !libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    }
    bits
}
