//! The pipeline that a container is, in environments where one driver or another cannot serve: what was chosen, why the others
//! were not, and that the container is the same.

use crate::room::Said;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::{fixture, need, user};

/// A folder with all five programs.
fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_ctr")).parent().expect("a folder of programs").to_owned()
}

/// The pipeline; `$DRIVERS` is the order of preference.
const PIPELINE: &str = "unpack -C layers image.tar | ovl-mount -v --driver $DRIVERS --layers - --upper rw -- \
     nsrun --unshare-all --rootfs . -- /bin/sh -c 'PATH=/bin; echo in $(id -u); echo new >/new; rm /etc/group; test -e /etc/group || echo gone'";

/// What `script` says in a fresh folder with an image, run by root in a mount namespace of its own or by the user.
fn says(as_user: bool, script: &str) -> Said {
    let scratch = user::scratch();
    std::os::unix::fs::symlink(fixture::busybox_docker_archive(), scratch.path().join("image.tar")).expect("a link");
    let mut command = if as_user {
        let mut command = user::command("sh");
        command.args(["-euc", script]);
        command
    } else {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-euc", script]);
        command
    };
    // asuser.sh gives a login's PATH.
    command.env("VENEER_PROGRAMS", programs()).env("USER_NAME", user::NAME).env("PIPELINE", PIPELINE);
    command.current_dir(scratch.path()).env_remove("OVL_DRIVER").stdin(Stdio::null());
    let said = command.output().expect("sh runs").into();
    // What belongs to the user's other ids is root's to remove.
    drop(scratch);
    said
}

/// The pipeline after `prepare`, which ends in whatever starts a shell on `$PIPELINE`.
#[track_caller]
fn serves(as_user: bool, drivers: &str, prepare: &str, driver: &str, why_not: &str) {
    let script = format!("PATH=$VENEER_PROGRAMS:$PATH; export DRIVERS={drivers}; {prepare}");
    let said = says(as_user, &format!("{script}; stat -c '%F %t' rw/new"));
    let (inside, outside) = said.out.split_once("regular").unwrap_or_else(|| panic!("{said:?}"));
    assert_eq!((inside, outside), ("in 0\ngone\n", " file 0\n"), "{said:?}");
    let mut told = said.err.lines();
    if !why_not.is_empty() {
        let line = told.next().unwrap_or_default();
        assert!(line.starts_with("ovl-mount: not by ") && line.ends_with(why_not), "{said:?}");
    }
    let line = told.next().unwrap_or_default();
    assert!(line.starts_with(&format!("ovl-mount: mounted by {driver}: ")), "{said:?}");
}

const PLAIN: &str = "sh -euc \"$PIPELINE\"";

#[test]
fn as_root_by_either() {
    need!(root, user, fuse, overlay, images);
    serves(false, "kernel,fuse", PLAIN, "kernel", "");
    serves(false, "fuse,kernel", PLAIN, "fuse", "");
}

#[test]
fn as_root_where_the_device_is_missing_or_not_served() {
    need!(root, user, overlay, images);
    let bare = "mkdir dev; touch dev/null dev/tty; for n in null tty; do mount --bind /dev/$n dev/$n; done; mount --rbind dev /dev; ";
    serves(false, "fuse,kernel", &format!("{bare}{PLAIN}"), "kernel", "open /dev/fuse: no such file or directory");
    let other = "mknod nothing c 10 253; mount --bind nothing /dev/fuse; ";
    serves(false, "fuse,kernel", &format!("{other}{PLAIN}"), "kernel", "open /dev/fuse: no such device");
}

/// A container whose root is an overlay itself: its kernel takes no upper there.
#[test]
fn on_an_overlay() {
    need!(root, user, fuse, overlay, userns, images);
    let stacked = "mkdir l u w m; mount -t overlay -o lowerdir=l,upperdir=u,workdir=w$X none m; ln -s $(readlink image.tar) m/image.tar; cd m; ";
    let why = "the kernel takes no upper that is on an overlay itself";
    serves(false, "kernel,fuse", &format!("X=; {stacked}{PLAIN}"), "fuse", why);
    let within = format!("X=,userxattr; {stacked}{PLAIN}; stat -c \"%F %t\" rw/new");
    let script =
        format!("PATH=$VENEER_PROGRAMS:$PATH; export DRIVERS=kernel,fuse; exec unshare -Urm sh -euc '{within}'");
    let said = says(true, &script);
    assert!(said.out == "in 0\ngone\nregular file 0\n", "{said:?}");
    assert!(said.err.contains(why) && said.err.contains("mounted by fuse: "), "{said:?}");
}

#[test]
fn as_a_user_with_and_without_newuidmap() {
    need!(root, user, fuse, overlay, userns, images);
    // The one that is installed is not in PATH then.
    let without =
        "mkdir bin; for p in sh unpack ovl-mount nsrun; do ln -s $(command -v $p) bin/$p; done; PATH=$PWD/bin ";
    for drivers in ["kernel,fuse", "fuse,kernel"] {
        let driver = drivers.split(',').next().unwrap_or_default();
        serves(true, drivers, PLAIN, driver, "");
        serves(true, drivers, &format!("{without}{PLAIN}"), driver, "");
    }
}

#[test]
fn as_a_user_to_whom_the_device_is_closed() {
    need!(root, user, overlay, userns, images, "setpriv");
    let closed = "mknod closed c 10 229; chmod 600 closed; mount --bind closed /dev/fuse; \
                  setpriv --reuid $USER_NAME --regid $USER_NAME --init-groups ";
    // Whoever is not root may not see the programs' folder: they come along.
    let script = format!(
        "mkdir bin; cp $VENEER_PROGRAMS/ovl-mount $VENEER_PROGRAMS/unpack $VENEER_PROGRAMS/nsrun bin; cat image.tar >i; mv i image.tar; PATH=$PWD/bin:$PATH; {closed}{PLAIN}"
    );
    serves(false, "fuse,kernel", &script, "kernel", "open /dev/fuse: permission denied");
}

/// Where nothing is possible every driver says why, and a hint what to do.
#[test]
fn where_nothing_is_possible() {
    need!(root, user, userns, images, "setpriv");
    let failing = |prepare: &str| {
        let said = says(false, &format!("PATH=$VENEER_PROGRAMS:$PATH; export DRIVERS=fuse,kernel; {prepare}"));
        assert_ne!(said.code, 0, "{said:?}");
        assert_eq!(said.out, "", "{said:?}");
        said.err
    };
    // No user namespaces for someone who may not mount.
    let none = "chmod 777 .; exec unshare -Urm sh -euc 'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-sys_admin sh -euc \"$PIPELINE\"'";
    let said = failing(none);
    assert!(
        said.starts_with(
            "ovl-mount: new user namespace: no space left on device\nhint: raise /proc/sys/user/max_user_namespaces"
        ),
        "{said}"
    );
    // Both devices of mounting refused: no /dev/fuse, and an upper on an overlay.
    let both = "mkdir l u w m dev; touch dev/null; mount --bind /dev/null dev/null; mount --rbind dev /dev; \
                mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none m; ln -s $(readlink image.tar) m/image.tar; cd m; exec sh -euc \"$PIPELINE\"";
    let said = failing(both);
    let lines: Vec<&str> = said.lines().collect();
    let [fuse, kernel, hint] = lines.as_slice() else { panic!("{said}") };
    assert_eq!(*fuse, "ovl-mount: fuse: open /dev/fuse: no such file or directory");
    assert!(kernel.starts_with("ovl-mount: kernel: upper layer "), "{kernel}");
    assert!(hint.starts_with("hint: this machine or container has no FUSE device"), "{hint}");
}

/// A container's seccomp filter that lets nobody mount, as engines have it.
#[test]
fn where_a_filter_refuses_to_mount() {
    need!(root, user, fuse, overlay, images, "python3");
    // fsopen(2) and mount(2) give EPERM; BPF: load the number, compare, return.
    let filter = "import ctypes,os,struct,sys\n\
        ins=lambda c,t,f,k: struct.pack('HBBI',c,t,f,k)\n\
        numbers=[430,165] if os.uname().machine=='x86_64' else [430,40]\n\
        code=ins(0x20,0,0,0)+ins(0x15,2,0,numbers[0])+ins(0x15,1,0,numbers[1])+ins(0x06,0,0,0x7fff0000)+ins(0x06,0,0,0x50001)\n\
        buffer=ctypes.create_string_buffer(code)\n\
        program=struct.pack('HxxxxxxP',len(code)//8,ctypes.addressof(buffer))\n\
        libc=ctypes.CDLL(None)\n\
        assert libc.prctl(38,1,0,0,0)==0 and libc.prctl(22,2,program,0,0)==0\n\
        os.execvp(sys.argv[1],sys.argv[1:])\n";
    let script = format!(
        "cat >filter.py <<'P'\n{filter}P\nmkdir low u m; PATH=$VENEER_PROGRAMS:$PATH; \
         exec python3 filter.py ovl-mount -o lowerdir=low,upperdir=u,workdir=w m"
    );
    let said = says(false, &script);
    assert_eq!(said.code, 1, "{said:?}");
    let lines: Vec<&str> = said.err.lines().collect();
    let [fuse, kernel, hint] = lines.as_slice() else { panic!("{said:?}") };
    assert!(
        fuse.starts_with("ovl-mount: fuse: fuse mount for ") && fuse.ends_with(": operation not permitted"),
        "{fuse}"
    );
    assert!(
        kernel.starts_with("ovl-mount: kernel: fsopen overlay for ") && kernel.ends_with(": operation not permitted"),
        "{kernel}"
    );
    assert!(hint.starts_with("hint: mounting needs CAP_SYS_ADMIN"), "{hint}");
}
