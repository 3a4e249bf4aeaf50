//! `mounts`, `rootfsPropagation` and devices of a configuration, by what a container sees of them (mountinfo, stat).

use crate::bundle::{Bundle, Runtime, runtimes, told};
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use testkit::need;

fn nsrun() -> Runtime {
    let [.., nsrun] = runtimes();
    nsrun
}

fn add(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().expect("mounts").push(mount);
}

/// `point flags` of each mount below `prefix`, and with `-p` its propagation in front of the dash.
fn shown(prefix: &str) -> String {
    format!(
        "while read -r a b c root point options rest; do case $point in {prefix}*) echo $point $options;; esac; done \
         </proc/self/mountinfo | sort"
    )
}

#[test]
fn attributes_are_those_of_the_words_the_last_one_of_two() {
    need!(root, "runc", "crun", "busybox");
    for (words, wanted) in [
        (vec!["ro", "nosuid", "nodev", "noexec"], "ro,nosuid,nodev,noexec,relatime"),
        (vec!["noatime"], "rw,noatime"),
        (vec!["nodiratime", "relatime"], "rw,nodiratime,relatime"),
        (vec!["strictatime"], "rw"),
    ] {
        for runtime in runtimes() {
            let bundle = Bundle::new(&shown("/here"), |config| {
                add(config, json!({ "destination": "/here", "type": "tmpfs", "source": "t", "options": words }));
            });
            let (out, err, _) = told(&bundle.run(&runtime));
            assert_eq!(out, format!("/here {wanted}\n"), "{} {words:?}: {err}", runtime.name);
        }
    }
    // Newer words, and those that older runtimes hand to a tmpfs that refuses them.
    // Of two that contradict each other crun 1.8 takes both.
    for (words, wanted) in [
        (vec!["ro", "rw", "noatime", "relatime"], "rw,relatime"),
        (vec!["defaults", "async", "norelatime"], "rw,relatime"),
        (vec!["noexec", "exec", "nosuid", "suid", "nodev", "dev"], "rw,relatime"),
        (vec!["nosymfollow"], "rw,relatime,nosymfollow"),
        (vec!["silent", "iversion", "loud", "noiversion", "nolazytime", "nomand", "nostrictatime"], "rw,relatime"),
        (vec!["x-gvfs-hide", "nofail", "_netdev", "size=1m"], "rw,relatime"),
    ] {
        let bundle = Bundle::new(&shown("/here"), |config| {
            add(config, json!({ "destination": "/here", "type": "tmpfs", "source": "t", "options": words }));
        });
        let (out, err, _) = told(&bundle.run(&nsrun()));
        assert_eq!((out, err.as_str()), (format!("/here {wanted}\n"), ""), "{words:?}");
    }
}

#[test]
fn flags_of_the_file_system_and_its_own_words_reach_it() {
    need!(root, "runc", "crun", "busybox");
    let script = "sed -n 's/.* \\/here .* - //p' /proc/self/mountinfo; stat -c %a /here";
    for runtime in runtimes() {
        let bundle = Bundle::new(script, |config| {
            let options = ["sync", "dirsync", "mode=710", "size=64k", "nr_inodes=33"];
            add(config, json!({ "destination": "/here", "type": "tmpfs", "source": "name", "options": options }));
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        let (line, mode) = out.split_once('\n').unwrap_or_default();
        for part in ["tmpfs name", "sync", "dirsync", "size=64k", "nr_inodes=33", "mode=710"] {
            assert!(line.contains(part), "{} {part}: {line}{err}", runtime.name);
        }
        assert_eq!(mode, "710\n", "{}", runtime.name);
    }
    for (words, why) in [(vec!["such=that"], "such"), (vec!["whatever"], "whatever")] {
        let bundle = Bundle::new("echo ran", |config| {
            add(config, json!({ "destination": "/here", "type": "tmpfs", "source": "t", "options": words }));
        });
        let (out, err, code) = told(&bundle.run(&nsrun()));
        assert_eq!((out.as_str(), code), ("", Some(1)));
        assert!(err.starts_with("nsrun: mount /here: invalid argument") && err.contains(why), "{err}");
    }
}

#[test]
fn recursive_attributes_change_a_whole_tree() {
    need!(root, "crun", "busybox");
    // runc 1.1 knows them as well, but not all of them.
    testkit::alone("mounts", "mode=755", recursive_attributes);
}

fn recursive_attributes(source: &Path) {
    let below = source.join("below");
    std::fs::create_dir(&below).expect("below");
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "t"]).arg(&below).status().expect("mount");
    assert!(mount.success());
    for runtime in runtimes().into_iter().filter(|r| r.name != "runc") {
        for (words, wanted) in [
            (json!(["rbind", "rro", "rnosuid", "rnodev", "rnoexec"]), "ro,nosuid,nodev,noexec"),
            (json!(["rbind", "rro", "rrw", "rnoatime"]), "rw,noatime"),
        ] {
            // crun 1.8 hands the kernel both of two that contradict each other.
            if runtime.name == "crun" && wanted.starts_with("rw") {
                continue;
            }
            let bundle = Bundle::new(&shown("/here"), |config| {
                add(config, json!({ "destination": "/here", "type": "bind", "source": source, "options": words }));
            });
            let (out, err, _) = told(&bundle.run(&runtime));
            let lines: Vec<&str> = out.lines().collect();
            assert_eq!(lines.len(), 2, "{}: {out}{err}", runtime.name);
            for line in lines {
                let options: Vec<&str> = line.rsplit(' ').next().unwrap_or_default().split(',').collect();
                assert!(wanted.split(',').all(|w| options.contains(&w)), "{} {words}: {line}", runtime.name);
            }
        }
    }
    // Only the top of it, without the letter.
    let bundle = Bundle::new(&shown("/here"), |config| {
        add(config, json!({ "destination": "/here", "type": "bind", "source": source, "options": ["rbind", "ro"] }));
    });
    let (out, _, _) = told(&bundle.run(&nsrun()));
    assert!(out.contains("/here ro") && out.contains("/here/below rw"), "{out}");
    let bundle = Bundle::new(&shown("/here"), |config| {
        add(config, json!({ "destination": "/here", "type": "bind", "source": source, "options": ["bind"] }));
    });
    assert_eq!(told(&bundle.run(&nsrun())).0.lines().count(), 1);
}

#[test]
fn a_relative_destination_is_taken_from_the_root_with_a_warning() {
    need!(root, "runc", "crun", "busybox");
    for runtime in runtimes() {
        let bundle = Bundle::new("stat -f -c %T /a/b", |config| {
            add(config, json!({ "destination": "a/b", "type": "tmpfs", "source": "t" }));
        });
        let (out, err, _) = told(&bundle.run(&runtime));
        assert_eq!(out, "tmpfs\n", "{}: {err}", runtime.name);
        if runtime.name == "nsrun" {
            assert_eq!(err, "nsrun: warning: mounts a/b: is relative, which is deprecated: it is taken from /\n");
        }
    }
}

#[test]
fn remount_changes_mount_and_file_system() {
    need!(root, "busybox");
    let script = "sed -n 's/.* \\/here \\([^ ]*\\).* - / \\1 /p' /proc/self/mountinfo";
    let bundle = Bundle::new(script, |config| {
        add(config, json!({ "destination": "/here", "type": "tmpfs", "source": "t", "options": ["size=64k"] }));
        add(
            config,
            json!({ "destination": "/here", "type": "tmpfs", "source": "t", "options": ["remount", "ro", "noexec", "size=128k"] }),
        );
    });
    let (out, err, _) = told(&bundle.run(&nsrun()));
    assert!(out.contains("ro,noexec,relatime") && out.contains("size=128k"), "{out}{err}");
}

#[test]
fn file_systems_of_every_container_kind_are_mounted() {
    need!(root, "runc", "crun", "busybox");
    let mounts = json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue" },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] },
        { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"] },
        { "destination": "/r", "type": "ramfs", "source": "ramfs" },
    ]);
    let script = "sed 's/^\\([^ ]* \\)\\{4\\}\\([^ ]*\\) .* - \\([^ ]*\\) .*/\\2 \\3/' /proc/self/mountinfo | \
                  grep -E '^/(proc|dev|dev/pts|dev/mqueue|sys|r) ' | sort; ls /sys/fs/cgroup/devices/tasks; \
                  touch /sys/fs/cgroup/devices/x 2>/dev/null || echo refused; test -e /dev/ptmx && echo ptmx";
    for runtime in runtimes() {
        let bundle = Bundle::new(script, |config| config["mounts"] = mounts.clone());
        let (out, err, _) = told(&bundle.run(&runtime));
        let wanted = "/dev tmpfs\n/dev/mqueue mqueue\n/dev/pts devpts\n/proc proc\n/r ramfs\n/sys sysfs\n\
                      /sys/fs/cgroup/devices/tasks\nrefused\nptmx\n";
        assert_eq!(out, wanted, "{}: {err}", runtime.name);
    }
}

#[test]
fn owners_are_shifted_by_a_map_of_the_mounts_own() {
    need!(root, "busybox");
    // Debian's runc does not know id-mapped mounts, crun 1.8 only its own option `idmap=`.
    let source = tempfile::tempdir().expect("source");
    std::fs::write(source.path().join("file"), "").expect("file");
    chown(source.path().join("file"), Some(1000), Some(1001)).expect("chown");
    let map = |inside: u32, outside: u32| json!([{ "containerID": inside, "hostID": outside, "size": 10 }]);
    for words in [json!(["rbind", "idmap"]), json!(["rbind", "ridmap"]), json!(["bind"])] {
        let bundle = Bundle::new("stat -c %u:%g /here/file; touch /here/new 2>/dev/null; true", |config| {
            add(
                config,
                json!({ "destination": "/here", "type": "bind", "source": source.path(), "options": words,
                "uidMappings": map(1000, 0), "gidMappings": map(1000, 20) }),
            );
        });
        let (out, err, _) = told(&bundle.run(&nsrun()));
        assert_eq!((out.as_str(), err.as_str()), ("0:21\n", ""), "{words}");
        let made = std::fs::metadata(source.path().join("new"));
        // Root's group has no place in this map: the kernel refuses the file.
        assert!(made.is_err() || made.is_ok_and(|m| m.uid() == 1000), "{words}");
    }
    let bundle = Bundle::new("stat -c %u:%g /here", |config| {
        add(
            config,
            json!({ "destination": "/here", "type": "tmpfs", "source": "t", "options": ["uid=5", "gid=6", "idmap"],
            "uidMappings": map(0, 100), "gidMappings": map(0, 200) }),
        );
    });
    let (out, err, _) = told(&bundle.run(&nsrun()));
    assert_eq!(out, "105:206\n", "{err}");
}

#[test]
fn owners_are_shifted_by_the_containers_own_user_namespace() {
    need!(root, "busybox");
    let source = tempfile::tempdir().expect("source");
    let below = source.path().join("below");
    std::fs::create_dir(&below).expect("below");
    for (at, owner) in [(source.path(), 3), (below.as_path(), 4)] {
        std::fs::write(at.join("file"), "").expect("file");
        chown(at.join("file"), Some(owner), Some(owner)).expect("chown");
    }
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    for (words, wanted) in
        [(json!(["rbind", "ridmap"]), "3:3\n4:4\n"), (json!(["rbind"]), "65534:65534\n65534:65534\n")]
    {
        let bundle = Bundle::new("stat -c %u:%g /here/file /here/below/file", |config| {
            config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = map.clone();
            add(config, json!({ "destination": "/here", "type": "bind", "source": source.path(), "options": words }));
        });
        // The root and the folders above it must be there for a root that is nobody outside.
        for dir in [bundle.folder(), source.path()] {
            std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("mode");
        }
        chown(bundle.folder().join("rootfs"), Some(100_000), Some(100_000)).expect("chown");
        let (out, err, _) = told(&bundle.run(&nsrun()));
        assert_eq!(out, wanted, "{words}: {err}");
    }
}

#[test]
fn devices_have_every_type_mode_and_owner_and_may_be_anywhere() {
    need!(root, "runc", "crun", "busybox");
    let devices = json!([
        { "path": "/dev/c", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7, "gid": 8 },
        { "path": "/dev/u", "type": "u", "major": 1, "minor": 5 },
        { "path": "/elsewhere/b", "type": "b", "major": 7, "minor": 0, "fileMode": 0o60_600 },
        { "path": "/dev/p", "type": "p", "fileMode": 0o600 },
    ]);
    let script = "stat -c '%n %F %t:%T %a %u:%g' /dev/c /dev/u /elsewhere/b /dev/p";
    for runtime in runtimes() {
        let bundle = Bundle::new(script, |config| config["linux"]["devices"] = devices.clone());
        let (out, err, _) = told(&bundle.run(&runtime));
        let wanted = "/dev/c character special file 1:3 640 7:8\n/dev/u character special file 1:5 666 0:0\n\
                      /elsewhere/b block special file 7:0 600 0:0\n/dev/p fifo 0:0 600 0:0\n";
        // crun 1.8 gives 0 where no mode is given.
        let out = if runtime.name == "nsrun" { out } else { out.replace("1:5 0 0:0", "1:5 666 0:0") };
        assert_eq!(out, wanted, "{}: {err}", runtime.name);
    }
    // The same node again is fine; another one in its place is not.
    let bundle = Bundle::new("stat -c '%t:%T' /elsewhere/n; stat -c %a /dev/null", |config| {
        config["linux"]["devices"] = json!([
            { "path": "/elsewhere/n", "type": "c", "major": 1, "minor": 3 },
            { "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600 },
        ]);
    });
    std::fs::create_dir_all(bundle.folder().join("rootfs/elsewhere")).expect("folder");
    let node = bundle.folder().join("rootfs/elsewhere/n");
    let made = std::process::Command::new("mknod").arg(&node).args(["c", "1", "3"]).status().expect("mknod");
    assert!(made.success());
    let (out, err, _) = told(&bundle.run(&nsrun()));
    assert_eq!(out, "1:3\n600\n", "{err}");
    std::fs::remove_file(&node).expect("node");
    std::fs::write(&node, "").expect("file");
    for runtime in runtimes().into_iter().filter(|r| r.name == "nsrun") {
        let (out, err, code) = told(&bundle.run(&runtime));
        assert_eq!((out.as_str(), code), ("", Some(1)), "{}", runtime.name);
        assert!(err.starts_with("nsrun: make device /elsewhere/n: "), "{err}");
    }
}

/// A script on `runtime` in a mount namespace of the test's own, whose mounts at `/run` are shared.
fn in_shared(runtime: &Runtime, bundle: &Bundle, place: &Path, after: &str) -> (String, String, Option<i32>) {
    let run = bundle.command(runtime, "run");
    let mut words: Vec<String> = vec![run.get_program().to_string_lossy().into_owned()];
    words.extend(run.get_args().map(|w| w.to_string_lossy().into_owned()));
    words.extend(["--bundle".to_owned(), bundle.folder().display().to_string(), bundle.id().to_owned()]);
    let script = format!(
        "mount -t tmpfs t {place} && mount --make-shared {place} && mkdir {place}/v && \"$@\"; {after}",
        place = place.display()
    );
    let mut outer = std::process::Command::new("unshare");
    outer.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]).args(words);
    told(&outer.stdin(std::process::Stdio::null()).output().expect("unshare"))
}

#[test]
fn mounts_travel_as_the_configuration_says() {
    need!(root, "runc", "crun", "busybox");
    let place = tempfile::tempdir().expect("place");
    let seen = format!("grep -c ' {}/v/new ' /proc/self/mountinfo; true", place.path().display());
    // With rootfsPropagation shared and a volume that says so, what is mounted inside is seen outside; else never.
    for (root, volume, wanted) in [
        ("shared", "rshared", "1\n"),
        ("shared", "rslave", "0\n"),
        ("rslave", "rshared", "0\n"),
        ("", "rshared", "0\n"),
    ] {
        for runtime in runtimes().into_iter().filter(|r| r.name != "crun") {
            let bundle = Bundle::new("mkdir /v/new; mount -t tmpfs t /v/new", |config| {
                if !root.is_empty() {
                    config["linux"]["rootfsPropagation"] = json!(root);
                }
                for set in ["bounding", "effective", "permitted"] {
                    let caps = config["process"]["capabilities"][set].as_array_mut().expect("set");
                    caps.push(json!("CAP_SYS_ADMIN"));
                }
                add(
                    config,
                    json!({ "destination": "/v", "type": "bind", "source": place.path().join("v"), "options": ["rbind", volume] }),
                );
            });
            let (out, err, _) = in_shared(&runtime, &bundle, place.path(), &seen);
            assert_eq!(out, wanted, "{} {root} {volume}: {err}", runtime.name);
        }
    }
}

#[test]
fn the_root_has_the_propagation_it_was_given() {
    need!(root, "runc", "crun", "busybox");
    let script =
        "while read -r a b c d point options rest; do [ $point = / ] && echo ${rest%% - *}; done </proc/self/mountinfo";
    for (word, wanted) in [
        ("private", "-"),
        ("rprivate", "-"),
        ("unbindable", "unbindable"),
        ("shared", "shared:"),
        ("rshared", "shared:"),
    ] {
        for runtime in runtimes() {
            // The others set it before they bind the root on itself: an unbindable one cannot be, and a shared one is what lies above it.
            if runtime.name != "nsrun" && word != "rprivate" {
                continue;
            }
            let bundle = Bundle::new(script, |config| config["linux"]["rootfsPropagation"] = json!(word));
            let (out, err, _) = told(&bundle.run(&runtime));
            assert!(out.starts_with(wanted), "{} {word}: {out}{err}", runtime.name);
        }
    }
    let bundle = Bundle::new("echo ran", |config| config["linux"]["rootfsPropagation"] = json!("sideways"));
    let (out, err, _) = told(&bundle.run(&nsrun()));
    assert_eq!(
        (out.as_str(), err.as_str()),
        ("", "nsrun: linux.rootfsPropagation sideways: is none of shared, slave, private, unbindable\n")
    );
}

/// Without a mount namespace of its own a container is among the caller's mounts, and leaves none there.
#[test]
fn nothing_is_mounted_in_the_callers_namespace() {
    need!(root, "unshare", "busybox");
    for (more, wanted, said) in [
        (&[][..], "ran\n", ""),
        // Where no device can be made it is not bound instead.
        (
            &["--user", "--map-root-user"],
            "",
            "nsrun: make device /dev/null: operation not permitted\nhint: only with a mount",
        ),
    ] {
        let bundle = Bundle::new("echo ran", |config| {
            config["linux"]["namespaces"] = json!([{ "type": "pid" }]);
            config["mounts"] = json!([]);
        });
        let mut command = bundle.command(&nsrun(), "run");
        command.arg("--bundle").arg(bundle.folder()).arg(bundle.id());
        let compared = "cat /proc/self/mountinfo >\"$0/before\"; \"$@\"; cmp \"$0/before\" /proc/self/mountinfo";
        let mut outer = std::process::Command::new("unshare");
        outer.arg("--mount").args(more).args(["sh", "-c", compared]).arg(bundle.folder());
        outer.arg(command.get_program()).args(command.get_args());
        let (out, err, code) = told(&outer.stdin(std::process::Stdio::null()).output().expect("unshare"));
        assert_eq!((out.as_str(), code), (wanted, Some(0)), "{more:?}: {err}");
        assert!(err.starts_with(said), "{more:?}: {err}");
    }
}

/// Where something was mounted over the caller's own root, what is below that goes with it: each would be a way out.
#[test]
fn nothing_of_a_callers_root_that_is_covered_stays_over_the_new_one() {
    need!(root, "unshare", "busybox");
    let script = "while read -r a b c d point rest; do [ $point != / ] || echo root; done </proc/self/mountinfo";
    for word in ["", "rslave", "rprivate", "shared"] {
        let bundle = Bundle::new(script, |config| {
            if !word.is_empty() {
                config["linux"]["rootfsPropagation"] = json!(word);
            }
        });
        let mut command = bundle.command(&nsrun(), "run");
        command.arg("--bundle").arg(bundle.folder()).arg(bundle.id());
        let covered = "mount --rbind / / && mount --bind / / && exec \"$@\"";
        let mut outer = std::process::Command::new("unshare");
        outer.args(["--mount", "--propagation", "private", "sh", "-c", covered, "sh"]);
        outer.arg(command.get_program()).args(command.get_args());
        let (out, err, _) = told(&outer.stdin(std::process::Stdio::null()).output().expect("unshare"));
        assert_eq!(out, "root\n", "{word}: {err}");
    }
}

#[test]
fn what_has_no_effect_on_a_bind_mount_is_told() {
    need!(root, "busybox");
    let bundle = Bundle::new("ls /here", |config| {
        add(
            config,
            json!({ "destination": "/here", "type": "bind", "source": "rootfs/bin", "options": ["rbind", "mode=700"] }),
        );
    });
    let (out, err, code) = told(&bundle.run(&nsrun()));
    assert!(out.contains("busybox"), "a relative source is the bundle's: {out}");
    assert_eq!(code, Some(0));
    assert_eq!(
        err,
        "nsrun: warning: mounts /here: mode=700 has no effect: it is the file system's, which a bind mount only shows\n"
    );
}
