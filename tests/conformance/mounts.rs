//! config.md, "Mounts"; config-linux.md on default file systems, propagation, masked and read-only paths, and kernel parameters.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::options::Volume;
use crate::{cases, check};
use nix::mount::MsFlags;
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases!["mounts":
        in_the_listed_order,
        destination_is_required,
        destination_may_be_relative_to_the_root,
        source_of_a_bind_mount_may_be_relative_to_the_bundle,
        a_type_the_kernel_lacks_is_an_error,
        default_file_systems,
        propagation_unknown_is_an_error,
        masked_paths,
        readonly_paths,
        masked_and_readonly_paths_are_absolute,
        kernel_parameters,
        kernel_parameter_that_is_none_is_an_error,
        resctrl_missing_is_an_error,
    ];
    let propagations = [("shared", "shared:"), ("slave", "master:"), ("private", ""), ("unbindable", "unbindable")];
    all.extend(propagations.map(|(word, wanted)| {
        Case::new(format!("mounts::root_propagation_{word}"), move |bench| propagation(bench, word, wanted))
    }));
    all
}

fn push(container: &mut Container<'_>, mount: Value) {
    container.config["mounts"].as_array_mut().expect("mounts").push(mount);
}

fn in_the_listed_order(bench: Bench<'_>) -> Verdict {
    let tmpfs = json!({ "destination": "/mnt", "type": "tmpfs", "source": "tmpfs" });
    for (first, wanted) in [("tmpfs", "bound\n"), ("file", "nothing\n")] {
        let mut container = Container::new(bench, "cat /mnt/file 2>/dev/null || echo nothing")?;
        let file = container.put("bound", "bound\n")?;
        let bound = json!({ "destination": "/mnt/file", "type": "none", "source": file, "options": ["bind"] });
        let order = if first == "tmpfs" { [tmpfs.clone(), bound] } else { [bound, tmpfs.clone()] };
        order.into_iter().for_each(|mount| push(&mut container, mount));
        let said = container.says()?;
        check!(said == wanted, "{first} first: {said:?}");
    }
    Ok(())
}

fn destination_is_required(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    push(&mut container, json!({ "type": "tmpfs", "source": "tmpfs" }));
    container.create()?.refused().map(drop)
}

fn destination_may_be_relative_to_the_root(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "grep ' /some/where ' /proc/self/mountinfo")?;
    push(&mut container, json!({ "destination": "some/where", "type": "tmpfs", "source": "tmpfs" }));
    container.config["process"]["cwd"] = json!("/root");
    container.says().map(drop)
}

fn source_of_a_bind_mount_may_be_relative_to_the_bundle(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "cat /mnt/file")?;
    std::fs::create_dir(container.folder().join("volume")).map_err(|e| e.to_string())?;
    container.put("volume/file", "from the bundle\n")?;
    push(&mut container, json!({ "destination": "/mnt", "source": "volume", "options": ["bind"] }));
    container.write()?;
    // From another folder, or it could be the working folder that counts.
    let mut command = container.command();
    command.current_dir("/").args(["run", "--bundle"]).arg(container.folder()).arg(&container.id);
    let said = bench.runtime.run(container.folder(), command)?.ok()?;
    check!(said == "from the bundle\n", "it said {said:?}");
    Ok(())
}

fn a_type_the_kernel_lacks_is_an_error(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    push(&mut container, json!({ "destination": "/mnt", "type": "minix-not", "source": "none" }));
    container.create()?.refused().map(drop)
}

/// The configuration a runtime itself writes has them.
fn default_file_systems(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "true")?;
    container.call(&["spec"])?.ok()?;
    let mut config: Value = serde_json::from_str(&container.read("config.json")).map_err(|e| format!("spec: {e}"))?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["cat", "/proc/self/mountinfo"]);
    config["process"].as_object_mut().expect("process").remove("rlimits");
    config["linux"]["cgroupsPath"] = container.config["linux"]["cgroupsPath"].clone();
    container.config = config;
    let said = container.says()?;
    for (place, kind) in [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs")] {
        let found =
            said.lines().any(|line| line.contains(&format!(" {place} ")) && line.contains(&format!(" - {kind} ")));
        check!(found, "no {kind} at {place}: {said}");
    }
    Ok(())
}

/// The root file system lies on a shared mount.
fn propagation(bench: Bench<'_>, word: &str, wanted: &str) -> Verdict {
    let mut container = Container::new(bench, "cat /proc/self/mountinfo")?;
    let volume = Volume::new(&container, MsFlags::empty())?;
    bench.ground.rootfs_copied(&volume.path().join("rootfs")).map_err(|e| e.to_string())?;
    container.config["root"]["path"] = json!(volume.path().join("rootfs"));
    container.config["linux"]["rootfsPropagation"] = json!(word);
    let said = container.says()?;
    let root = said.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default();
    let optional = root.split(" - ").next().unwrap_or_default().split(' ').skip(6).collect::<Vec<_>>().join(" ");
    let right = if wanted.is_empty() { optional.is_empty() } else { optional.contains(wanted) };
    if right { Ok(()) } else { Err(format!("the root is {optional:?}")) }
}

fn propagation_unknown_is_an_error(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "true", |config| config["linux"]["rootfsPropagation"] = json!("sideways"))?;
    container.create()?.refused().map(drop)
}

fn masked_paths(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "wc -c < /etc/secret; ls /etc/folder | wc -l", |config| {
        config["linux"]["maskedPaths"] = json!(["/etc/secret", "/etc/folder", "/not/there"]);
    })?;
    std::fs::create_dir(container.inside("/etc/folder")).map_err(|e| e.to_string())?;
    container.put("rootfs/etc/secret", "secret")?;
    container.put("rootfs/etc/folder/file", "secret")?;
    let said = container.says()?;
    check!(said == "0\n0\n", "it said {said:?}");
    Ok(())
}

fn readonly_paths(bench: Bench<'_>) -> Verdict {
    let script = "for f in /etc/file /etc/folder/file /etc/other; do echo a > $f || echo no; done 2>/dev/null";
    let container = Container::with(bench, script, |config| {
        config["linux"]["readonlyPaths"] = json!(["/etc/file", "/etc/folder", "/not/there"]);
    })?;
    std::fs::create_dir(container.inside("/etc/folder")).map_err(|e| e.to_string())?;
    container.put("rootfs/etc/file", "")?;
    container.put("rootfs/etc/folder/file", "")?;
    let said = container.says()?;
    check!(said == "no\nno\n", "it said {said:?}");
    check!(container.read("rootfs/etc/other") == "a\n", "another path is read-only too");
    Ok(())
}

/// What is relative is refused, or hides what it says from the root on; it is never passed over.
fn masked_and_readonly_paths_are_absolute(bench: Bench<'_>) -> Verdict {
    for key in ["maskedPaths", "readonlyPaths"] {
        let container = Container::with(bench, "echo a 2>/dev/null > /etc/secret; cat /etc/secret", |config| {
            config["linux"][key] = json!(["etc/secret"]);
        })?;
        container.put("rootfs/etc/secret", "secret\n")?;
        let ran = container.run()?;
        let left_alone = ran.out == "a\n" || (key == "maskedPaths" && ran.out == "secret\n");
        check!(!(ran.succeeded() && left_alone), "{key}: it is passed over");
    }
    Ok(())
}

fn kernel_parameters(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "cat /proc/sys/kernel/msgmax /proc/sys/kernel/sem", |config| {
        config["linux"]["sysctl"] = json!({ "kernel.msgmax": "12345", "kernel.sem": "100 200 30 40" });
    })?;
    let said = container.says()?;
    check!(said == "12345\n100\t200\t30\t40\n", "it said {said:?}");
    Ok(())
}

fn kernel_parameter_that_is_none_is_an_error(bench: Bench<'_>) -> Verdict {
    // One that is no namespace's would be the machine's, of which a container must not be master.
    for name in ["kernel.no_such_thing", "kernel.panic"] {
        let before = std::fs::read_to_string("/proc/sys/kernel/panic").unwrap_or_default();
        let container = Container::with(bench, "true", |config| {
            config["linux"]["sysctl"] = json!({ name: before.trim() });
        })?;
        container.create()?.refused().map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn resctrl_missing_is_an_error(bench: Bench<'_>) -> Verdict {
    if std::fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| mounts.contains(" resctrl ")) {
        return Ok(());
    }
    let container = Container::with(bench, "true", |config| {
        config["linux"]["intelRdt"] = json!({ "closID": "guaranteed", "l3CacheSchema": "L3:0=7f0" });
    })?;
    container.create()?.refused().map(drop)
}
