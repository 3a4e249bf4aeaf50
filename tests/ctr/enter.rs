//! `enter`: a shell in all of a container's namespaces, also where it has none; and nothing of the container changes by it.

use crate::lab::{Lab, SOON};
use crate::person::Person;
use testkit::{fixture, need};

const NAMESPACES: [&str; 6] = ["mnt", "uts", "ipc", "net", "pid", "cgroup"];

#[test]
fn all_namespaces_and_the_callers_rights() {
    need!(root, overlay);
    let lab = Lab::new();
    lab.ok(["run", "-d", "--name", "one", "-h", "boxed", "-e", "A=1", "host", "sleep", "1000"]);
    let pid = lab.field("one", "{{.State.Pid}}");
    let links = NAMESPACES.map(|n| format!("/proc/self/ns/{n}")).join(" ");
    let inside = lab.ok(["enter", "one", "sh", "-c", &format!("readlink {links}; hostname; echo $A")]);
    let links =
        NAMESPACES.map(|n| std::fs::read_link(format!("/proc/{pid}/ns/{n}")).expect("a link").display().to_string());
    assert_eq!(inside, format!("{}\nboxed\n1\n", links.join("\n")));
    // more than what the container itself has
    assert!(lab.ok(["exec", "one", "grep", "Seccomp:", "/proc/self/status"]).contains('2'));
    assert!(lab.ok(["enter", "one", "grep", "Seccomp:", "/proc/self/status"]).contains('0'));
    assert_eq!(lab.said(["enter", "one", "sh", "-c", "exit 9"]).code, 9);
    assert_eq!(lab.said(["enter", "one", "no-such-program"]).code, 127);
    let mut person = Person::new(&lab, &["enter", "one"]);
    person.types_until("echo $((40+2)) $(hostname)\n", "42 boxed");
    person.types("exit 3\n");
    assert_eq!(person.ends(), 3);
    lab.ok(["kill", "one"]);
    let gone = || lab.field("one", "{{.State.Status}}") == "exited";
    assert!(Lab::within(SOON, gone));
    let said = lab.said(["enter", "one"]);
    assert!(said.code == 1 && said.err.contains("is not running"), "{said:?}");
}

#[test]
fn tools_come_along_to_a_container_without_a_shell_and_leave_nothing() {
    need!(root, overlay, images, "busybox");
    let lab = Lab::new();
    lab.load(&fixture::busybox_docker_archive());
    lab.ok(["run", "-d", "--network", "none", "--name", "bare", "busybox", "sleep", "1000"]);
    lab.ok(["exec", "bare", "rm", "-rf", "/bin", "/lib", "/lib64", "/usr"]);
    let pid = lab.field("bare", "{{.State.Pid}}");
    let mounts = || std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("mounts");
    let (before, changes) = (mounts(), lab.ok(["diff", "bare"]));
    let said = lab.said(["enter", "bare"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (127, "ctr: the container has no shell\nhint: --tools brings this machine's busybox along\n")
    );

    let script =
        "ls -d /bin 2>/dev/null; cat /etc/passwd | head -n 1; readlink /proc/1/exe >/dev/null && ps | grep -c sleep";
    let out = lab.ok(["enter", "--tools", "bare", "sh", "-c", script]);
    assert!(out.starts_with("root:") && out.lines().count() == 2, "{out}");
    assert_eq!(
        lab.ok(["enter", "--tools", "bare", "readlink", "/proc/self/ns/mnt"]).trim(),
        std::fs::read_link(format!("/proc/{pid}/ns/mnt")).expect("a link").to_string_lossy()
    );
    let mut person = Person::new(&lab, &["enter", "--tools", "bare"]);
    person.types_until("echo $((40+2)); ls -d /etc\n", "42");
    person.sees("/etc");
    // the machine's own program cannot be written from in there, though it is the same file
    person.types("echo no >>/proc/self/exe; echo code $?\n");
    person.sees("code 1");
    person.types("exit 4\n");
    assert_eq!(person.ends(), 4);
    assert_eq!(mounts(), before);
    assert_eq!(lab.ok(["diff", "bare"]), changes);
}
