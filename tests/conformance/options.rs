//! config.md, "Linux mount options": one case an option, seen in the container's /proc/self/mountinfo.
//!
//! Options of a file system are tried on a tmpfs. Those of a bind mount and the recursive ones are tried on a folder of the bundle
//! that is a tmpfs, shared, with another tmpfs at `sub` below it.

use crate::case::{Bench, Case, Verdict};
use crate::check;
use crate::container::Container;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;
use std::path::{Path, PathBuf};

/// How an option is tried, and what shows it.
#[derive(Debug, Clone, Copy)]
enum Try {
    /// On a tmpfs: the mount has the word, or lacks it.
    Mount(&'static str),
    Lacks(&'static str),
    /// On a tmpfs: the file system has the word.
    Super(&'static str),
    /// On a tmpfs: it is taken, nothing shows it.
    Taken,
    /// On a bind mount: propagation of the mount, and of what is below it.
    Propagation(&'static str, &'static str),
    /// On a recursive bind mount: both have the word.
    Both(&'static str),
    /// On a recursive bind mount of what has the attribute: neither has the word.
    Neither(&'static str, MsFlags),
}

use Try::{Both, Lacks, Mount, Neither, Propagation, Super, Taken};

const NONE: MsFlags = MsFlags::empty();

/// All but `remount`, `tmpcopyup`, `idmap` and `ridmap`, which have functions of their own.
const OPTIONS: &[(&str, Try)] = &[
    ("async", Taken),
    ("atime", Lacks("noatime")),
    ("bind", Propagation("", "")),
    ("defaults", Mount("rw")),
    ("dev", Lacks("nodev")),
    ("diratime", Lacks("nodiratime")),
    ("dirsync", Super("dirsync")),
    ("exec", Lacks("noexec")),
    ("iversion", Taken),
    ("lazytime", Super("lazytime")),
    ("loud", Taken),
    ("noatime", Mount("noatime")),
    ("nodev", Mount("nodev")),
    ("nodiratime", Mount("nodiratime")),
    ("noexec", Mount("noexec")),
    ("noiversion", Taken),
    ("nolazytime", Taken),
    ("norelatime", Taken),
    ("nostrictatime", Taken),
    ("nosuid", Mount("nosuid")),
    ("nosymfollow", Mount("nosymfollow")),
    ("private", Propagation("private", "")),
    ("ratime", Neither("noatime", MsFlags::MS_NOATIME)),
    ("rbind", Both("rw")),
    ("rdev", Neither("nodev", MsFlags::MS_NODEV)),
    ("rdiratime", Neither("nodiratime", MsFlags::MS_NODIRATIME)),
    ("relatime", Mount("relatime")),
    ("rexec", Neither("noexec", MsFlags::MS_NOEXEC)),
    ("rnoatime", Both("noatime")),
    ("rnodev", Both("nodev")),
    ("rnodiratime", Both("nodiratime")),
    ("rnoexec", Both("noexec")),
    ("rnorelatime", Both("rw")),
    ("rnostrictatime", Both("rw")),
    ("rnosuid", Both("nosuid")),
    ("rnosymfollow", Both("nosymfollow")),
    ("ro", Mount("ro")),
    ("rprivate", Propagation("private", "private")),
    ("rrelatime", Both("relatime")),
    ("rro", Both("ro")),
    ("rrw", Neither("ro", MsFlags::MS_RDONLY)),
    ("rshared", Propagation("shared", "shared")),
    ("rslave", Propagation("master", "master")),
    ("rstrictatime", Neither("relatime", NONE)),
    ("rsuid", Neither("nosuid", MsFlags::MS_NOSUID)),
    ("rsymfollow", Neither("nosymfollow", NONE)),
    ("runbindable", Propagation("unbindable", "unbindable")),
    ("rw", Mount("rw")),
    ("shared", Propagation("shared", "")),
    ("silent", Taken),
    ("slave", Propagation("master", "")),
    ("strictatime", Lacks("relatime")),
    ("suid", Lacks("nosuid")),
    ("symfollow", Lacks("nosymfollow")),
    ("sync", Super("sync")),
    ("unbindable", Propagation("unbindable", "")),
];

pub(crate) fn cases() -> Vec<Case> {
    let one = |(option, how): &(&'static str, Try)| {
        let (option, how) = (*option, *how);
        Case::new(format!("options::{option}"), move |bench| taken(bench, option, how))
    };
    let mut all: Vec<Case> = OPTIONS.iter().map(one).collect();
    all.extend(crate::cases!["options":
        remount,
        tmpcopyup,
        idmap,
        idmap_without_any_mapping_is_an_error,
        ridmap_without_any_mapping_is_an_error,
        idmap_by_the_containers_user_namespace,
        ridmap,
        uid_and_gid_mappings_go_together,
        unknown_ones_go_to_the_file_system,
        words_for_readers_of_fstab,
    ]);
    all
}

/// A folder of the bundle with mounts, taken away at the end.
pub(crate) struct Volume(PathBuf);

impl Volume {
    /// A shared tmpfs with another one at `sub`, both with `flags`.
    pub(crate) fn new(container: &Container<'_>, flags: MsFlags) -> Result<Self, String> {
        let top = container.folder().join("volume");
        let volume = Self(top.clone());
        let say = |e: nix::Error| format!("mount {}: {e}", top.display());
        let none = None::<&str>;
        for dir in [&top, &top.join("sub")] {
            std::fs::create_dir_all(dir).map_err(|e| e.to_string())?;
            mount(Some("none"), dir, Some("tmpfs"), NONE, none).map_err(say)?;
            mount(none, dir, none, MsFlags::MS_SHARED, none).map_err(say)?;
        }
        if !flags.is_empty() {
            for dir in [top.join("sub"), top.clone()] {
                mount(none, &dir, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags, none).map_err(say)?;
            }
        }
        Ok(volume)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// One line of mountinfo: options, propagation, options of the file system.
struct Line {
    options: Vec<String>,
    propagation: String,
    of_file_system: Vec<String>,
}

fn line(mountinfo: &str, place: &str) -> Result<Line, String> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    // The last one is on top.
    let fields = mountinfo.lines().map(words).rfind(|fields| fields.get(4).is_some_and(|at| at == place));
    let fields = fields.ok_or_else(|| format!("{place} is not mounted: {mountinfo}"))?;
    let list = |field: Option<&String>| field.map_or(Vec::new(), |f| f.split(',').map(str::to_owned).collect());
    let dash = fields.iter().position(|field| field == "-").unwrap_or(fields.len());
    Ok(Line {
        options: list(fields.get(5)),
        propagation: fields.get(6..dash).unwrap_or_default().join(" "),
        of_file_system: list(fields.last()),
    })
}

fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|entry| entry == word)
}

fn taken(bench: Bench<'_>, option: &str, how: Try) -> Verdict {
    let mut container = Container::new(bench, "cat /proc/self/mountinfo")?;
    let source_flags = if let Neither(_, flags) = how { flags } else { NONE };
    let bound = matches!(how, Propagation(..) | Both(_) | Neither(..));
    let volume = if bound { Some(Volume::new(&container, source_flags)?) } else { None };
    let entry = match (&volume, option) {
        (None, _) => json!({ "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": [option] }),
        (Some(volume), "bind" | "rbind") => {
            json!({ "destination": "/mnt", "type": "none", "source": volume.path(), "options": [option] })
        }
        (Some(volume), _) => {
            json!({ "destination": "/mnt", "type": "none", "source": volume.path(), "options": ["rbind", option] })
        }
    };
    container.config["mounts"].as_array_mut().expect("mounts").push(entry);
    let said = container.says()?;
    let top = line(&said, "/mnt")?;
    match how {
        Taken => {}
        Mount(word) => check!(has(&top.options, word), "no {word} in {:?}", top.options),
        Lacks(word) => check!(!has(&top.options, word), "{word} in {:?}", top.options),
        Super(word) => check!(has(&top.of_file_system, word), "no {word} in {:?}", top.of_file_system),
        Both(word) | Neither(word, _) => {
            let wanted = matches!(how, Both(_));
            for (place, line) in [("/mnt", top), ("/mnt/sub", line(&said, "/mnt/sub")?)] {
                check!(has(&line.options, word) == wanted, "{place} has {:?}", line.options);
            }
        }
        Propagation("", _) => check!(line(&said, "/mnt/sub").is_err(), "what is below came along"),
        Propagation(of_top, below) => {
            check_propagation("/mnt", &top.propagation, of_top)?;
            if !below.is_empty() {
                check_propagation("/mnt/sub", &line(&said, "/mnt/sub")?.propagation, below)?;
            }
        }
    }
    Ok(())
}

fn check_propagation(place: &str, is: &str, wanted: &str) -> Verdict {
    let right = if wanted == "private" { is.is_empty() } else { is.contains(wanted) };
    if right { Ok(()) } else { Err(format!("{place} is {is:?}, not {wanted}")) }
}

fn remount(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "cat /proc/self/mountinfo")?;
    let mounts = container.config["mounts"].as_array_mut().expect("mounts");
    mounts.push(json!({ "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["rw"] }));
    mounts.push(json!({ "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "ro"] }));
    let said = container.says()?;
    let top = line(&said, "/mnt")?;
    check!(has(&top.options, "ro") || has(&top.of_file_system, "ro"), "it is {:?}", top.options);
    let count = said.lines().filter(|line| line.split_whitespace().nth(4) == Some("/mnt")).count();
    check!(count == 1, "it is mounted {count} times");
    Ok(())
}

fn tmpcopyup(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "cat /etc/file; echo new > /etc/file")?;
    container.put("rootfs/etc/file", "old\n")?;
    let entry = json!({ "destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"] });
    container.config["mounts"].as_array_mut().expect("mounts").push(entry);
    check!(container.says()? == "old\n", "the content did not come along");
    check!(container.read("rootfs/etc/file") == "old\n", "the original changed");
    Ok(())
}

/// A container with the volume at /mnt under `option`; in it, at the top and in `sub`, a file that belongs to 1000.
fn mapped<'a>(bench: Bench<'a>, option: &str) -> Result<(Container<'a>, Volume), String> {
    let mut container = Container::new(bench, "stat -c %u:%g /mnt/file /mnt/sub/file")?;
    let volume = Volume::new(&container, NONE)?;
    for path in ["file", "sub/file"] {
        let path = volume.path().join(path);
        std::fs::write(&path, "").map_err(|e| e.to_string())?;
        std::os::unix::fs::chown(&path, Some(1000), Some(1000)).map_err(|e| e.to_string())?;
    }
    let entry = json!({ "destination": "/mnt", "type": "none", "source": volume.path(), "options": ["rbind", option] });
    container.config["mounts"].as_array_mut().expect("mounts").push(entry);
    Ok((container, volume))
}

fn map_last(container: &mut Container<'_>, keys: &[&str]) {
    if let Some(entry) = container.config["mounts"].as_array_mut().and_then(|mounts| mounts.last_mut()) {
        for key in keys {
            entry[*key] = json!([{ "containerID": 1000, "hostID": 5000, "size": 1 }]);
        }
    }
}

fn idmap(bench: Bench<'_>) -> Verdict {
    let (mut container, volume) = mapped(bench, "idmap")?;
    map_last(&mut container, &["uidMappings", "gidMappings"]);
    container.config["process"]["args"] = json!(["stat", "-c", "%u:%g", "/mnt/file"]);
    let said = container.says()?;
    check!(said.starts_with("5000:5000\n"), "1000 is {said:?}");
    let owner = std::os::unix::fs::MetadataExt::uid(&volume.path().join("file").metadata().map_err(|e| e.to_string())?);
    check!(owner == 1000, "the file itself belongs to {owner} now");
    Ok(())
}

fn ridmap(bench: Bench<'_>) -> Verdict {
    let (mut container, _volume) = mapped(bench, "ridmap")?;
    map_last(&mut container, &["uidMappings", "gidMappings"]);
    let said = container.says()?;
    check!(said == "5000:5000\n5000:5000\n", "1000 is {said:?}");
    Ok(())
}

fn without_any_mapping(bench: Bench<'_>, option: &str) -> Verdict {
    let (container, _volume) = mapped(bench, option)?;
    container.create()?.refused().map(drop)
}

fn idmap_without_any_mapping_is_an_error(bench: Bench<'_>) -> Verdict {
    without_any_mapping(bench, "idmap")
}

fn ridmap_without_any_mapping_is_an_error(bench: Bench<'_>) -> Verdict {
    without_any_mapping(bench, "ridmap")
}

/// It may be used, or it is an error.
fn idmap_by_the_containers_user_namespace(bench: Bench<'_>) -> Verdict {
    for option in ["idmap", "ridmap"] {
        let (mut container, _volume) = mapped(bench, option)?;
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 10_000 }]);
        container.config["linux"]["namespaces"].as_array_mut().expect("namespaces").push(json!({ "type": "user" }));
        container.config["linux"]["uidMappings"] = map.clone();
        container.config["linux"]["gidMappings"] = map;
        container.config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/dev/pts");
        let ran = container.run()?;
        // With the mapping the file belongs to 1000 in there too.
        check!(!ran.succeeded() || ran.out.starts_with("1000:1000\n"), "{option}: 1000 is {:?}", ran.out);
    }
    Ok(())
}

fn uid_and_gid_mappings_go_together(bench: Bench<'_>) -> Verdict {
    for key in ["uidMappings", "gidMappings"] {
        let (mut container, _volume) = mapped(bench, "idmap")?;
        map_last(&mut container, &[key]);
        container.create()?.refused().map_err(|why| format!("{key} alone: {why}"))?;
    }
    Ok(())
}

/// mount(8) keeps them from the kernel.
fn words_for_readers_of_fstab(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "grep ' /mnt ' /proc/self/mountinfo")?;
    container.config["mounts"].as_array_mut().expect("mounts").push(json!({
        "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["auto", "nofail", "_netdev", "x-systemd.automount"],
    }));
    container.says().map(drop)
}

fn unknown_ones_go_to_the_file_system(bench: Bench<'_>) -> Verdict {
    let mut container = Container::new(bench, "cat /proc/self/mountinfo")?;
    let mounts = container.config["mounts"].as_array_mut().expect("mounts");
    mounts.push(json!({
        "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["mode=700", "nosuid", "size=64k"],
    }));
    let top = line(&container.says()?, "/mnt")?;
    check!(
        has(&top.of_file_system, "size=64k") && has(&top.of_file_system, "mode=700"),
        "it has {:?}",
        top.of_file_system
    );
    if let Some(entry) = container.config["mounts"].as_array_mut().and_then(|mounts| mounts.last_mut()) {
        entry["options"] = json!(["no-such-option"]);
    }
    // The file system knows it no more than the runtime.
    container.create()?.refused().map(drop)
}
