//! Locks, syncing, and what `statfs` says.

use crate::ground::{Driver, Ground, alike, alone, errno, on_each};
use crate::server::{Server, until};
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::{Command, Stdio};
use testkit::need;

fn layers(g: &Ground) {
    g.put("low/f", "text");
    g.put("low/d/x", "x");
    g.put("high/d/y", "y");
}

/// semantics: locks
#[test]
fn flock_is_one_lock_whatever_layer_the_file_is_in() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        let open = || File::open(g.m("f")).expect("open");
        let held = Flock::lock(open(), FlockArg::LockExclusiveNonblock).expect("a lock");
        let refused = |arg| Flock::lock(open(), arg).map(|_| ()).map_err(|(_, e)| e);
        assert_eq!(refused(FlockArg::LockSharedNonblock), Err(nix::errno::Errno::EWOULDBLOCK), "{:?}", g.driver);
        // Copied up while it is locked.
        let mut writer = OpenOptions::new().append(true).open(g.m("f")).expect("open");
        writer.write_all(b" more").expect("write");
        assert_eq!(refused(FlockArg::LockExclusiveNonblock), Err(nix::errno::Errno::EWOULDBLOCK), "{:?}", g.driver);
        let waits = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Flock::lock(open(), FlockArg::LockExclusive).map(|_| ()).map_err(|(_, e)| e));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished(), "{:?}", g.driver);
            drop(held);
            waiting.join().expect("no panic")
        });
        assert_eq!(waits, Ok(()), "{:?}", g.driver);
        assert_eq!(refused(FlockArg::LockExclusiveNonblock), Ok(()), "{:?}", g.driver);
    });
}

/// semantics: locks
#[test]
fn locks_of_ranges_hold_between_descriptions_and_processes() {
    need!(root, fuse, overlay, "python3");
    on_each(layers, |g| {
        let range = |kind: libc::c_int, start: i64, len: i64| libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: start,
            l_len: len,
            l_pid: 0,
        };
        let open = || OpenOptions::new().read(true).write(true).open(g.m("f")).expect("open");
        let (one, two) = (open(), open());
        fcntl(&one, FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK, 0, 10))).expect("a lock");
        let refused = fcntl(&two, FcntlArg::F_OFD_SETLK(&range(libc::F_RDLCK, 5, 10)));
        assert_eq!(refused, Err(nix::errno::Errno::EAGAIN), "{:?}", g.driver);
        fcntl(&two, FcntlArg::F_OFD_SETLK(&range(libc::F_WRLCK, 10, 10))).expect("beside it");
        // Another process, with locks of the older kind.
        let script = "import fcntl,sys\nf=open('f','r+b')\n\
                      try: fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB,4,int(sys.argv[1])); print('free')\n\
                      except OSError as e: print('held')";
        let other = |start: &str| {
            let out = Command::new("python3").args(["-c", script, start]).current_dir(g.dir.join("m")).output();
            String::from_utf8_lossy(&out.expect("python").stdout).trim().to_owned()
        };
        assert_eq!(
            (other("0"), other("15"), other("30")),
            ("held".into(), "held".into(), "free".into()),
            "{:?}",
            g.driver
        );
        drop(one);
        assert_eq!((other("0"), other("15")), ("free".into(), "held".into()), "{:?}: closing frees", g.driver);
    });
}

/// semantics: syncing
#[test]
fn everything_can_be_synced() {
    need!(root, fuse, overlay);
    on_each(layers, |g| {
        for name in ["f", "d", "d/x", ""] {
            let file = File::open(g.m(name)).expect("open");
            file.sync_all().unwrap_or_else(|e| panic!("{:?}: fsync {name:?}: {e}", g.driver));
            file.sync_data().unwrap_or_else(|e| panic!("{:?}: fdatasync {name:?}: {e}", g.driver));
            rustix::fs::syncfs(&file).unwrap_or_else(|e| panic!("{:?}: syncfs {name:?}: {e}", g.driver));
        }
        let mut file = OpenOptions::new().append(true).open(g.m("f")).expect("open");
        file.write_all(b" more").expect("write");
        file.sync_all().expect("fsync");
        std::fs::remove_file(g.m("f")).expect("unlink");
        file.sync_all().expect("fsync of what has no name");
        std::fs::write(g.m("new"), "").expect("a file");
        File::open(g.m("")).expect("open").sync_all().expect("fsync of the folder");
    });
}

/// semantics: statfs
#[test]
fn statfs_is_that_of_the_upper() {
    need!(root, fuse, overlay);
    alike(layers, |g| {
        let of = |path: &std::path::Path| {
            let s = rustix::fs::statvfs(path).expect("statvfs");
            (s.f_bsize, s.f_frsize, s.f_blocks, s.f_files, s.f_namemax)
        };
        let upper = of(&g.dir.join("u"));
        assert_eq!(of(&g.m("")), upper, "{:?}", g.driver);
        std::fs::write(g.m("new"), vec![1; 1 << 20]).expect("a file");
        let free = |path: &std::path::Path| rustix::fs::statvfs(path).expect("statvfs").f_bfree;
        let difference = free(&g.dir.join("u")).abs_diff(free(&g.m("d/x")));
        assert!(difference < 64, "{:?}: {difference}", g.driver);
        upper.4
    });
}

/// semantics: read-only
#[test]
fn without_an_upper_nothing_can_be_changed() {
    need!(root, fuse, overlay);
    for driver in [Driver::Kernel, Driver::Fuse] {
        alone(|dir| {
            let mut g = Ground::new(dir, driver);
            layers(&g);
            g.options = "lowerdir=high:low".into();
            g.mount();
            assert_eq!((g.names("d"), g.read("f")), (vec!["x".into(), "y".into()], "text".into()));
            let refused = [
                errno(OpenOptions::new().write(true).open(g.m("f"))),
                errno(File::create(g.m("new"))),
                errno(std::fs::remove_file(g.m("f"))),
                errno(std::fs::create_dir(g.m("e"))),
                errno(std::fs::rename(g.m("f"), g.m("g"))),
                errno(std::fs::hard_link(g.m("f"), g.m("g"))),
                errno(std::os::unix::fs::chown(g.m("f"), Some(1), None)),
                errno(std::fs::set_permissions(g.m("f"), std::os::unix::fs::PermissionsExt::from_mode(0o600))),
            ];
            assert_eq!(refused, [libc::EROFS; 8], "{driver:?}");
            let access = rustix::fs::access(g.m("f"), rustix::fs::Access::WRITE_OK);
            assert_eq!(access, Err(rustix::io::Errno::ROFS), "{driver:?}");
            let said = Command::new("mount").args(["-o", "remount,rw"]).arg(g.m("")).stderr(Stdio::null()).status();
            assert!(!said.expect("mount runs").success(), "{driver:?}: there is nothing to write to");
        });
    }
}

/// semantics: volatile
#[test]
fn a_volatile_upper_of_the_kernels_is_marked_and_not_taken_again() {
    need!(root, fuse, overlay);
    alone(|dir| {
        let mut g = Ground::in_full(dir, Driver::Kernel);
        layers(&g);
        g.options.push_str(",volatile");
        g.mount();
        std::fs::write(g.m("new"), "new").expect("a file");
        g.umount();
        refused_while_marked(&mut g);
    });
}

const MARK: &str = "w/work/incompat/volatile";

/// No driver takes it, until whoever trusts it takes the mark away.
fn refused_while_marked(g: &mut Ground) {
    assert!(g.dir.join(MARK).is_dir(), "{:?}", g.driver);
    let driver = g.driver;
    for (options, other) in [(",volatile", Driver::Kernel), (",volatile", Driver::Fuse), ("", Driver::Fuse)] {
        g.options = format!("lowerdir=high:low,upperdir=u,workdir=w{options}");
        g.driver = other;
        assert!(g.try_mount().is_err(), "{driver:?} then {other:?} with {options:?}");
    }
    std::fs::remove_dir_all(g.dir.join(MARK)).expect("whoever trusts it takes the mark away");
    g.driver = driver;
    g.mount();
    assert_eq!(g.read("f"), "text", "{driver:?}");
}

/// The kernel's mark stays for good; ours goes when the server ends in good order, since then all is on the disk.
///
/// semantics: volatile
#[test]
fn a_volatile_upper_is_marked_until_an_orderly_end() {
    need!(root, fuse, overlay);
    alone(|dir| {
        let mut g = Ground::in_full(dir, Driver::Fuse);
        layers(&g);
        g.options.push_str(",volatile");
        g.mount();
        assert!(g.dir.join(MARK).is_dir());
        let file = File::create(g.m("new")).expect("a file");
        file.sync_all().expect("it does nothing, and says so to nobody");
        drop(file);
        g.umount();
        until("the mark is gone", || !g.dir.join(MARK).exists());
        let options = g.options.clone();
        for driver in [Driver::Kernel, Driver::Fuse] {
            std::fs::remove_dir_all(g.dir.join("w")).expect("rm -r");
            g.put_folder("w");
            g.driver = Driver::Fuse;
            g.options = options.clone();
            let server = Server::start(&g.dir, &g.options, "f");
            std::fs::write(g.m("d/new"), "new").expect("a file");
            server.kill();
            // The one in front may have taken it away already.
            let _ = nix::mount::umount2(&g.m(""), nix::mount::MntFlags::MNT_DETACH);
            g.driver = driver;
            refused_while_marked(&mut g);
            g.umount();
        }
    });
}
