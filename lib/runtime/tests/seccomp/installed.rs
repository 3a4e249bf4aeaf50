//! A filter in the kernel: in a thread of its own, since it stays as long as that lives.

use runtime::seccomp::compile;
use rustix::io::Errno;
use spec::runtime::LinuxSeccomp;
use std::os::fd::AsRawFd;
use testkit::need;

/// Runs `check` in a thread under `document`, without asking for privileges.
fn under<T: Send>(document: serde_json::Value, check: impl FnOnce(Option<std::os::fd::OwnedFd>) -> T + Send) -> T {
    let profile: LinuxSeccomp = serde_json::from_value(document).expect("profile");
    let program = compile(&profile).expect("compiles");
    std::thread::scope(|scope| {
        let filtered = scope.spawn(move || {
            rustix::thread::set_no_new_privs(true).expect("no_new_privs");
            check(program.install().expect("install"))
        });
        filtered.join().expect("the thread lives")
    })
}

#[test]
fn the_kernel_answers_as_the_profile_says() {
    let pgid = under(
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["getpgid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71 },
            { "names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 72,
              "args": [{ "index": 0, "value": 0o27, "op": "SCMP_CMP_EQ" }] } ] }),
        |listener| {
            assert!(listener.is_none());
            rustix::process::getpgid(None)
        },
    );
    assert_eq!(pgid, Err(Errno::from_raw_os_error(71)));
    assert!(rustix::process::getpgid(None).is_ok(), "other threads are not filtered");
}

#[test]
fn the_default_profile_lets_ordinary_work_be_done() {
    let kernel = (6, 1);
    let native = spec::syscall::Abi::native(std::env::consts::ARCH).expect("a known machine");
    let profile = spec::seccomp::default_profile(&spec::capability::DEFAULT, native, kernel);
    let (read, unshared) = under(serde_json::to_value(profile).expect("serialises"), |_| {
        let read = std::fs::read_to_string("/proc/thread-self/status").map(|status| status.contains("Seccomp:\t2"));
        let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS);
        let spawned = std::process::Command::new("true").status().expect("starts");
        assert!(spawned.success());
        (read, unshared)
    });
    assert!(read.expect("reads"), "the thread is filtered");
    assert_eq!(unshared, Err(nix::errno::Errno::EPERM));
}

#[test]
fn notifying_gives_a_listener() {
    need!(root);
    let flags = under(
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }] }),
        |listener| {
            let listener = listener.expect("a listener");
            let link = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).expect("readlink");
            assert_eq!(link, std::path::Path::new("anon_inode:seccomp notify"));
            rustix::io::fcntl_getfd(&listener).expect("flags")
        },
    );
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn without_privilege_or_no_new_privs_the_hint_says_so() {
    let program =
        compile(&serde_json::from_value(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW" })).expect("profile"));
    let program = program.expect("compiles");
    let refused = std::thread::spawn(move || {
        sys::capability::set(sys::capability::Sets::default()).expect("capset");
        program.install().expect_err("refused")
    });
    let error = refused.join().expect("the thread lives");
    assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    assert_eq!(error.hint.as_deref(), Some("set noNewPrivileges, or be root"));
}
