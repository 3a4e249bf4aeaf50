//! The default seccomp profile: which system calls a container may make unless told otherwise.
//!
//! The same decisions as docker's current profile (moby/profiles, 2026-06): everything not named answers EPERM; most calls
//! are allowed always; some only with a capability that makes them meaningful; sockets of families whose kernel code has been a way
//! out of containers (AF_ALG, AF_VSOCK), unusual personalities, and new namespaces without CAP_SYS_ADMIN are refused by argument.
//! `clone3` hides its flags in memory, so without CAP_SYS_ADMIN it answers ENOSYS and C libraries fall back to `clone`.
//!
//! [`default_profile`] evaluates the conditions (capabilities, architecture, kernel) and gives plain runtime-spec data: any
//! OCI runtime can take it.

use crate::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompBuilder,
    LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use crate::syscall::Abi;

/// Allowed to everyone, by what they are for.
const ALWAYS: &[&str] = &[
    // Files by name.
    "access chdir chmod chown chown32 creat faccessat faccessat2 fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown",
    "fchown32 fchownat fstat fstat64 fstatat64 futimesat getcwd inotify_add_watch inotify_init inotify_init1",
    "inotify_rm_watch lchown lchown32 link linkat lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat",
    "open openat openat2 readlink readlinkat rename renameat renameat2 rmdir stat stat64 statx symlink symlinkat umask",
    "unlink unlinkat utime utimensat utimensat_time64 utimes",
    // Extended attributes, file systems.
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr",
    "lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
    "fstatfs fstatfs64 listmount statfs statfs64 statmount sync syncfs",
    // Open files.
    "_llseek cachestat close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl fcntl64",
    "fdatasync flock fsync ftruncate ftruncate64 getdents getdents64 ioctl lseek pipe pipe2 pread64 preadv preadv2",
    "pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync_file_range tee truncate truncate64",
    "vmsplice write writev",
    // Waiting for events, asynchronous input and output.
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old",
    "eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll",
    "ppoll_time64 pselect6 pselect6_time64 select",
    // Memory.
    "brk madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap",
    "mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages",
    // Processes and threads.
    "execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getsid",
    "gettid membarrier pidfd_open pidfd_send_signal prctl process_mrelease restart_syscall rseq set_robust_list",
    "set_thread_area set_tid_address setpgid setsid uretprobe vfork wait4 waitid waitpid",
    "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake riscv_hwprobe",
    // Signals.
    "kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait",
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn tgkill tkill",
    // Who one is.
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32",
    "getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32",
    "setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32",
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
    // Time, scheduling, limits.
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64",
    "clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete",
    "timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime",
    "timerfd_gettime64 timerfd_settime timerfd_settime64 times",
    "getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max sched_get_priority_min",
    "sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval",
    "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield",
    "setpriority setrlimit ugetrlimit",
    // Sockets (`socket` itself is below, by family) and System V and POSIX interprocess communication.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg",
    "send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair",
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64",
    "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget",
    // The machine.
    "getrandom sysinfo uname",
];

/// Allowed with a capability.
const WITH: &[(Capability, &str)] = &[
    (Capability::DacReadSearch, "open_by_handle_at"),
    (
        Capability::SysAdmin,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules \
         lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
         sethostname setns syslog umount umount2 unshare",
    ),
    (Capability::SysBoot, "reboot"),
    (Capability::SysChroot, "chroot"),
    (Capability::SysModule, "delete_module init_module finit_module"),
    (Capability::SysPacct, "acct"),
    (Capability::SysPtrace, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    (Capability::SysRawio, "iopl ioperm"),
    (Capability::SysTime, "settimeofday stime clock_settime clock_settime64"),
    (Capability::SysTtyConfig, "vhangup"),
    (Capability::SysNice, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (Capability::Syslog, "syslog"),
    (Capability::Bpf, "bpf"),
    (Capability::Perfmon, "perf_event_open"),
];

/// From this kernel on tracing cannot be used to get around a filter.
const TRACING_SINCE: (u32, u32) = (4, 8);
const TRACING: &str = "process_vm_readv process_vm_writev ptrace";

/// Personalities that programs really ask for: PER_LINUX, PER_LINUX32, both with UNAME26, and 0xffffffff, which asks which it is.
const PERSONALITIES: [u64; 5] = [0, 8, 0x20000, 0x20008, 0xffff_ffff];

const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// The default profile for a container whose bounding set is `caps`, on a machine of convention `native` with the kernel
/// `(major, minor)`.
pub fn default_profile(caps: &[Capability], native: Abi, kernel: (u32, u32)) -> LinuxSeccomp {
    use LinuxSeccompOperator::{ScmpCmpEq, ScmpCmpGt, ScmpCmpLt};
    let x86 = matches!(native, Abi::X86_64 | Abi::X32 | Abi::I386);
    let has = |capability| caps.contains(&capability);

    let mut rules = vec![allow(&ALWAYS.join(" "))];
    if kernel >= TRACING_SINCE {
        rules.push(allow(TRACING));
    }
    // Between them: every family but AF_ALG and AF_VSOCK. (Where `socketcall` exists it hides the family; as docker's.)
    rules.push(allow_if("socket", argument(0, ScmpCmpLt, AF_ALG)));
    rules.push(allow_if("socket", argument(0, ScmpCmpEq, AF_ALG + 1)));
    rules.push(allow_if("socket", argument(0, ScmpCmpGt, AF_VSOCK)));
    rules.extend(PERSONALITIES.map(|persona| allow_if("personality", argument(0, ScmpCmpEq, persona))));
    if matches!(native, Abi::Aarch64 | Abi::Arm) {
        rules.push(allow("arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"));
    }
    if matches!(native, Abi::X86_64 | Abi::X32) {
        rules.push(allow("arch_prctl"));
    }
    if x86 {
        rules.push(allow("modify_ldt"));
    }
    rules.extend(WITH.iter().filter(|(capability, _)| has(*capability)).map(|(_, names)| allow(names)));
    if !has(Capability::SysAdmin) {
        rules.push(allow_if("clone", none_of(0, NEW_NAMESPACES)));
        rules.push(rule("clone3", LinuxSeccompAction::ScmpActErrno, Some(ENOSYS), None));
    }

    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(EPERM)
        .architectures(architectures(native))
        .syscalls(rules)
        .build()
        .expect("every member has a default")
}

/// The conventions a machine's programs may use: its own and the narrower ones it runs as well.
fn architectures(native: Abi) -> Vec<Arch> {
    match native {
        Abi::X86_64 | Abi::X32 => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
        Abi::I386 => vec![Arch::ScmpArchX86],
        Abi::Aarch64 => vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm],
        Abi::Arm => vec![Arch::ScmpArchArm],
    }
}

fn allow(names: &str) -> LinuxSyscall {
    rule(names, LinuxSeccompAction::ScmpActAllow, None, None)
}

fn allow_if(name: &str, argument: LinuxSeccompArg) -> LinuxSyscall {
    rule(name, LinuxSeccompAction::ScmpActAllow, None, Some(vec![argument]))
}

fn rule(
    names: &str,
    action: LinuxSeccompAction,
    errno: Option<u32>,
    args: Option<Vec<LinuxSeccompArg>>,
) -> LinuxSyscall {
    let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    let mut rule =
        LinuxSyscallBuilder::default().names(names).action(action).build().expect("every member has a default");
    rule.set_errno_ret(errno).set_args(args);
    rule
}

fn argument(index: usize, op: LinuxSeccompOperator, value: u64) -> LinuxSeccompArg {
    let argument = LinuxSeccompArgBuilder::default().index(index).op(op).value(value);
    argument.build().expect("every member has a default")
}

/// None of `bits` is set.
fn none_of(index: usize, bits: u64) -> LinuxSeccompArg {
    let masked = LinuxSeccompArgBuilder::default().index(index).op(LinuxSeccompOperator::ScmpCmpMaskedEq);
    masked.value(bits).value_two(0_u64).build().expect("every member has a default")
}

#[cfg(test)]
mod tests {
    use super::{ALWAYS, WITH, default_profile};
    use crate::capability::{ALL, DEFAULT};
    use crate::runtime::Capability;
    use crate::syscall::{Abi, is_known};

    fn names(caps: &[Capability], kernel: (u32, u32)) -> Vec<String> {
        let profile = default_profile(caps, Abi::X86_64, kernel);
        profile.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect()
    }

    #[test]
    fn no_name_is_misspelt() {
        let of_riscv = ["riscv_hwprobe"];
        for line in ALWAYS.iter().chain(WITH.iter().map(|(_, names)| names)) {
            for name in line.split_whitespace() {
                assert!(is_known(name) || of_riscv.contains(&name), "{name}");
            }
        }
        assert_eq!(ALWAYS.iter().flat_map(|line| line.split_whitespace()).count(), 361);
    }

    #[test]
    fn capabilities_open_their_calls() {
        let plain = names(&DEFAULT, (6, 1));
        for (capability, opened) in WITH {
            for name in opened.split_whitespace().filter(|n| !["clone", "clone3"].contains(n)) {
                let open = DEFAULT.contains(capability) || super::TRACING.contains(name);
                assert_eq!(plain.iter().any(|n| n == name), open, "{name}");
            }
        }
        let all = names(&ALL, (6, 1));
        assert!(["mount", "bpf", "reboot", "kcmp"].iter().all(|name| all.iter().any(|n| n == name)));
    }

    #[test]
    fn tracing_waits_for_the_kernel_that_made_it_safe() {
        assert!(!names(&DEFAULT, (4, 7)).iter().any(|n| n == "ptrace"));
        assert!(names(&DEFAULT, (4, 8)).iter().any(|n| n == "ptrace"));
        assert!(names(&[Capability::SysPtrace], (4, 7)).iter().any(|n| n == "ptrace"));
    }

    #[test]
    fn it_is_a_document_any_runtime_reads() {
        let profile = default_profile(&DEFAULT, Abi::Aarch64, (6, 1));
        let json = serde_json::to_value(&profile).expect("serialises");
        assert_eq!(json["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(json["architectures"], serde_json::json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]));
        assert_eq!(serde_json::from_value::<crate::runtime::LinuxSeccomp>(json).expect("parses"), profile);
    }
}
