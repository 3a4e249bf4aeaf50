//! `ctr` as an ordinary user.

use crate::lab::{Lab, SOON, Said};
use crate::person::Person;
use testkit::{fixture, need};

/// An ordinary user with a store of their own; when dropped, their containers are removed.
pub(crate) struct User {
    pub(crate) home: tempfile::TempDir,
}

impl User {
    /// What `ctr ARGS` does.
    pub(crate) fn ctr(&self, args: &[&str]) -> Said {
        self.sh("exec $ctr \"$@\"", args)
    }

    /// What a script does whose `$ctr` is ours, and that gets `args`.
    pub(crate) fn sh(&self, script: &str, args: &[&str]) -> Said {
        let home = self.home.path().display();
        let ctr = env!("CARGO_BIN_EXE_ctr");
        let script = format!("export VENEER_ROOT={home}/root VENEER_RUN={home}/run; ctr={ctr}; {script}");
        let mut command = testkit::user::command("sh");
        command.args(["-c", &script, "sh"]).args(args);
        command.output().expect("it runs").into()
    }
}

impl User {
    /// The user at a terminal of their own, in front of `ctr ARGS`.
    fn types(&self, args: &[&str]) -> Person {
        let program = testkit::user::command(env!("CARGO_BIN_EXE_ctr"));
        let words: Vec<&str> =
            program.get_args().map(|word| word.to_str().expect("a word")).chain(args.iter().copied()).collect();
        Person::before(program.get_program(), &words, |command| {
            command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
            let home = self.home.path();
            command.env("VENEER_ROOT", home.join("root")).env("VENEER_RUN", home.join("run"));
        })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let ids = self.ctr(&["ps", "-aq"]).out;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = self.ctr(&[&["rm", "-f"], &*ids].concat());
        }
    }
}

pub(crate) fn user() -> User {
    User { home: testkit::user::scratch() }
}

#[test]
fn the_main_job_without_root() {
    need!(root, user, fuse);
    let user = user();
    let script = "echo hello from $(hostname); touch /etc/veneer-was-here; ls -l /etc/veneer-was-here; id -u";
    let said = user.ctr(&["run", "--rm", "host", "sh", "-c", script]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("hello from ") && said.out.ends_with("\n0\n"), "{said:?}");
    assert!(said.out.contains(" root root "), "owners are root's: {said:?}");
    assert!(!std::path::Path::new("/etc/veneer-was-here").exists());
    let refused = user.ctr(&["run", "--rm", "--driver", "kernel", "host", "true"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.err.starts_with("ctr: driver kernel: the kernel does not take / as a lower layer"), "{refused:?}");
}

#[test]
fn debian_without_root() {
    need!(root, user, overlay, fuse, images);
    let user = user();
    let loaded = user.ctr(&["load", "-q", "-i", &fixture::debian_oci_gzip().to_string_lossy()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    for driver in ["kernel", "fuse"] {
        let script = "apt list --installed 2>/dev/null | wc -l; stat -c %U /etc/passwd /var/mail; chown games /root && stat -c %U /root";
        let said = user.ctr(&["run", "--rm", "--network", "none", "--driver", driver, "debian:12", "sh", "-c", script]);
        assert_eq!(said.code, 0, "{driver}: {said:?}");
        let lines: Vec<&str> = said.out.lines().collect();
        assert!(lines[0].parse::<u32>().is_ok_and(|n| n > 50), "{driver}: {said:?}");
        assert_eq!(lines[1..], ["root", "root", "games"], "{driver}: {said:?}");
    }
}

#[test]
fn twenty_at_once_without_root() {
    need!(root, user, overlay, fuse, images);
    let user = user();
    let loaded = user.ctr(&["load", "-q", "-i", &fixture::debian_oci_zstd().to_string_lossy()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    for driver in ["kernel", "fuse"] {
        std::thread::scope(|scope| {
            for n in 0..20 {
                let user = &user;
                scope.spawn(move || {
                    let script =
                        format!("echo {n} >/etc/mine; sleep 0.5; cat /etc/mine; ls /root | wc -l; touch /root/x");
                    let said = user.ctr(&[
                        "run",
                        "--rm",
                        "--network",
                        "none",
                        "--driver",
                        driver,
                        "debian:12",
                        "sh",
                        "-c",
                        &script,
                    ]);
                    assert_eq!(said.out, format!("{n}\n0\n"), "{driver} {n}: {said:?}");
                });
            }
        });
    }
}

#[test]
fn without_newuidmap_there_is_one_id_and_a_word_about_it() {
    need!(root, user, overlay, images);
    let home = testkit::user::scratch();
    // a file that cannot be executed in the place of the helper, in a mount namespace of its own
    let helper = testkit::gate::find_program("newuidmap").expect("the gate found it");
    let user_command = testkit::user::command("sh");
    let script = format!("mount --bind /dev/null {} && exec \"$@\"", helper.display());
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]).arg(user_command.get_program()).args(user_command.get_args());
    command.envs(user_command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let folder = home.path().display();
    let inner = format!(
        "VENEER_ROOT={folder}/root VENEER_RUN={folder}/run; export VENEER_ROOT VENEER_RUN; {0} load -q -i {1} >/dev/null; {0} run --rm --network none busybox cat /proc/self/uid_map",
        env!("CARGO_BIN_EXE_ctr"),
        fixture::busybox_oci().display()
    );
    command.args(["-c", &inner]).stdin(std::process::Stdio::null());
    let said = Said::from(command.output().expect("it runs"));
    assert_eq!(said.code, 0, "{said:?}");
    let map: Vec<&str> = said.out.split_whitespace().collect();
    assert_eq!((map.len(), map.first(), map.last()), (3, Some(&"0"), Some(&"1")), "{said:?}");
    assert!(said.err.contains("ctr: only your own id is available inside"), "{said:?}");
    assert!(said.err.contains("hint: install uidmap"), "{said:?}");
}

/// What the user's `ctr` says below a network namespace that plays the machine, with a default route into nothing, so that
/// no packet of the user's programs ever leaves it.
fn in_a_machine_of_its_own(script: &str) -> Said {
    let home = testkit::user::scratch();
    let user_command = testkit::user::command("sh");
    let mut command = std::process::Command::new("unshare");
    let machine = "ip link set lo up; ip link add up0 type veth peer name up1; ip link set up1 up
        ip addr add 198.51.100.1/24 dev up0; ip link set up0 up; ip route add default via 198.51.100.2
        ip addr add fd99::1/64 dev up0 nodad; ip route add default via fd99::2; exec \"$@\"";
    command.args(["-n", "sh", "-ec", machine, "sh"]);
    command.arg(user_command.get_program()).args(user_command.get_args());
    command.envs(user_command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let folder = home.path().display();
    let script = format!(
        "VENEER_ROOT={folder}/root VENEER_RUN={folder}/run; export VENEER_ROOT VENEER_RUN; ctr={}; $ctr load -q -i {} >/dev/null
        trap '$ctr rm -f web >/dev/null 2>&1 || :' EXIT; {script}",
        env!("CARGO_BIN_EXE_ctr"),
        fixture::busybox_oci().display()
    );
    command.args(["-euc", &script]).stdin(std::process::Stdio::null());
    let said: Said = command.output().expect("it runs").into();
    let left = || {
        let mut pgrep = std::process::Command::new("pgrep");
        let left = pgrep.args(["-f", &format!("(pasta|slirp4netns) .*{folder}")]).output().expect("pgrep");
        String::from_utf8_lossy(&left.stdout).into_owned()
    };
    let gone = Lab::within(SOON, || left().is_empty());
    assert!(gone, "lives on: {} {said:?}", left());
    said
}

/// A server with published ports, reached by loopback and by the machine's address; then all of it killed.
fn published_by(network: &str, also: &str) {
    let script = format!(
        "$ctr run -d --name web --network {network} -p 8080:80 -p 127.0.0.1:8081:80 busybox \\
            sh -c 'mkdir /www; echo page >/www/index.html; exec httpd -f -h /www' >/dev/null
        get() {{ bash -c 'exec 3<>/dev/tcp/$0/$1; printf \"GET / HTTP/1.0\\\\r\\\\n\\\\r\\\\n\" >&3; tail -n 1 <&3' $1 $2; }}
        for i in $(seq 100); do get 127.0.0.1 8080 >/dev/null 2>&1 && break; sleep 0.1; done
        for a in 127.0.0.1 198.51.100.1 {also}; do get $a 8080; done; get 127.0.0.1 8081
        get 198.51.100.1 8081 2>/dev/null || echo closed
        $ctr port web 80 | grep 127; $ctr exec web cat /etc/resolv.conf | head -n 1
        $ctr run --rm -p 8080:80 busybox true || echo code $?
        kill -9 $($ctr inspect -f '{{{{.State.SupervisorPid}}}} {{{{.State.Pid}}}}' web)
        for i in $(seq 100); do $ctr rm web 2>/dev/null && break; sleep 0.1; done"
    );
    let said = in_a_machine_of_its_own(&script);
    let pages = "page\n".repeat(3 + also.split_whitespace().count());
    let rest = "closed\n127.0.0.1:8081\nnameserver 10.0.2.3\ncode 125\nweb\n";
    assert_eq!((said.code, said.out), (0, pages + rest), "{}", said.err);
    assert!(said.err.contains("publish 0.0.0.0:8080: port is already allocated"), "{}", said.err);
}

#[test]
fn ports_without_root_by_pasta() {
    need!(root, user, overlay, images, netns, "pasta");
    published_by("user", "::1 fd99::1");
}

#[test]
fn ports_without_root_by_slirp4netns() {
    need!(root, user, overlay, images, netns, "slirp4netns");
    published_by("slirp4netns", "");
}

#[test]
fn a_script_without_root_has_the_same_network() {
    need!(root, user, overlay, images, netns, "pasta");
    let look = "busybox sh -c 'ip -4 addr show eth0 | grep -o 10.0.2.100/24; ip route; cat /etc/resolv.conf; grep box /etc/hosts'";
    let tools = "mkdir $VENEER_ROOT/bin; for t in nsrun ovl-mount netwire; do ln -s $ctr $VENEER_ROOT/bin/$t; done";
    let script = format!(
        "{tools}; $ctr run --rm -h box -p 8080:80 {look}; echo ==; $ctr run --explain --rm -h box -p 8080:80 {look} >$VENEER_ROOT/script
        PATH=$VENEER_ROOT/bin:$PATH sh $VENEER_ROOT/script"
    );
    let said = in_a_machine_of_its_own(&script);
    let (ours, theirs) = said.out.split_once("==\n").unwrap_or_default();
    assert_eq!(ours, theirs, "{said:?}");
    assert!(ours.contains("default via 10.0.2.2") && ours.contains("10.0.2.100\tbox"), "{said:?}");
}

#[test]
fn what_has_no_network_in_common_is_refused() {
    need!(root, user, overlay, images, netns, "slirp4netns");
    let script = "$ctr run --rm --network web busybox true || echo code $?
        $ctr run --rm --network container:x busybox true || echo code $?
        $ctr run --rm -p 80:80 busybox true || echo code $?";
    let said = in_a_machine_of_its_own(script);
    assert_eq!(said.out, "code 125\n".repeat(3), "{said:?}");
    assert!(said.err.contains("an ordinary user's containers have no network in common"), "{said:?}");
    assert!(said.err.contains("net.ipv4.ip_unprivileged_port_start=80"), "{said:?}");
}

#[test]
fn what_others_own_counts_too() {
    need!(root, user, overlay, fuse, images);
    let user = user();
    let loaded = user.ctr(&["load", "-q", "-i", &fixture::busybox_oci().to_string_lossy()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    let script = "mkdir -m 700 /d; head -c 2000000 /dev/zero >/d/x; chown -R 33 /d";
    let said = user.ctr(&["run", "--network", "none", "--name", "box", "busybox", "sh", "-c", script]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(user.ctr(&["ps", "-a", "--format", "{{.Size}}"]).out.starts_with("2MB (virtual "));
    assert!(user.ctr(&["ps", "-as"]).out.contains(" 2MB (virtual "));
    assert_eq!(user.ctr(&["inspect", "-s", "-f", "{{.SizeRw}}", "box"]).out, "2000000\n");
    let room = user.ctr(&["system", "df", "--format", "{{.Type}} {{.Size}}"]).out;
    assert!(room.contains("Containers 2MB\n"), "{room}");
}

#[test]
fn the_life_of_a_container_without_root() {
    need!(root, user, fuse);
    let user = user();
    let said = user.ctr(&["run", "-d", "--name", "web", "host", "sh", "-c", "touch /etc/new; echo up; sleep 100"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(Lab::within(SOON, || user.ctr(&["logs", "web"]).out == "up\n"));
    assert_eq!(user.ctr(&["exec", "web", "sh", "-c", "ls /etc/new; id -u; exit 3"]).code, 3);
    assert_eq!(user.ctr(&["diff", "web"]).out, "C /etc\nA /etc/new\n");
    let stopped = user.ctr(&["stop", "-t", "1", "web"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert!(user.ctr(&["ps", "-a"]).out.contains("Exited (137)"));
    assert_eq!(user.ctr(&["rm", "web"]).code, 0);
    // what a removal that was killed left of other ids' files, a user alone cannot remove, and need not
    let left = user.home.path().join("root/tmp/left/closed");
    std::fs::create_dir_all(&left).expect("made");
    std::fs::write(left.join("file"), "").expect("written");
    assert_eq!(user.ctr(&["ps", "-aq"]).code, 0);
    assert!(left.exists());
    std::fs::remove_dir_all(left.parent().expect("a folder")).expect("removed");
}

#[test]
fn terminals_without_root() {
    need!(root, user, fuse, "busybox");
    let user = user();
    // run: a prompt, a size that changes, and the way out that leaves it running
    let mut person =
        user.types(&["run", "-it", "--name", "box", "-e", "PS1=ready> ", "host", "bash", "--norc", "--noediting"]);
    person.types_until("\n", "ready> ");
    person.types("tty; stty size; id -u\n");
    person.sees("/dev/pts/0");
    person.sees("24 80");
    person.sees("\n0");
    person.resizes(30, 100);
    person.types_until("stty size\n", "30 100");
    person.types("\x10\x11");
    assert_eq!(person.ends(), 0);
    // attach: two at once, one of whom leaves
    let mut one = user.types(&["attach", "box"]);
    one.types_until("\n", "ready> ");
    let mut two = user.types(&["attach", "--detach-keys", "ctrl-a", "box"]);
    two.types_until("\n", "ready> ");
    one.types("echo from-$((40+1))\n");
    two.sees("from-41");
    two.types("\x01");
    two.sees("read escape sequence");
    assert!(two.terminal_is_sane());
    assert_eq!(two.ends(), 1);
    // exec: a terminal of its own, job control, its exit code; and left, it goes on
    let mut other = user.types(&["exec", "-it", "-e", "PS1=ready> ", "box", "bash", "--norc", "--noediting"]);
    other.types_until("echo up $((1+1))\n", "up 2");
    other.types("tty; sleep 500\n");
    other.sees("/dev/pts/1");
    other.types_until("\x03", "ready> ");
    other.types("exit 6\n");
    assert_eq!(other.ends(), 6);
    let mut left = user.types(&["exec", "-it", "box", "sh", "-c", "echo here; sleep 400"]);
    left.sees("here");
    left.types("\x10\x11");
    left.sees("read escape sequence");
    assert_eq!(left.ends(), 1);
    assert!(user.ctr(&["top", "box"]).out.contains("sleep 400"));
    // enter: a shell of the container's, and one that came along
    for (words, code) in [(&["enter", "box"][..], 3), (&["enter", "--tools", "box"], 4)] {
        let mut inside = user.types(words);
        inside.types_until("echo in $((3+3)); tty\n", "in 6");
        inside.types("test $(readlink /proc/self/ns/pid) = $(readlink /proc/1/ns/pid) && echo same $((4+4))\n");
        inside.sees("same 8");
        inside.types(&format!("exit {code}\n"));
        assert_eq!(inside.ends(), code, "{words:?}");
    }
    // the shell ends, and who is attached gets its code
    one.types("exit 7\n");
    assert_eq!(one.ends(), 7);
    let ended = || user.ctr(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box"]).out == "exited 7\n";
    assert!(Lab::within(SOON, ended));
}
