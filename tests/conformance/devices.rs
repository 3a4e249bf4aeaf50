//! config-linux.md, "Devices".

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    cases!["devices":
        listed,
        a_file_that_is_not_the_device_is_an_error,
        a_file_that_is_the_device_is_fine,
        not_listed_cannot_be_opened,
        default_devices,
        type_is_one_of_four,
    ]
}

/// In /dev and elsewhere, of every type, with mode and owner.
fn listed(bench: Bench<'_>) -> Verdict {
    let script = "stat -c '%n %F %t:%T %a %u:%g' /dev/one /opt/two /opt/three /opt/four";
    let container = Container::with(bench, script, |config| {
        config["linux"]["devices"] = json!([
            { "path": "/dev/one", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 12, "gid": 34 },
            { "path": "/opt/two", "type": "b", "major": 7, "minor": 33, "fileMode": 0o600 },
            { "path": "/opt/three", "type": "p", "fileMode": 0o622 },
            { "path": "/opt/four", "type": "u", "major": 1, "minor": 3, "fileMode": 0o666 },
        ]);
    })?;
    std::fs::create_dir(container.inside("/opt")).map_err(|e| e.to_string())?;
    let said = container.says()?;
    let wanted = "/dev/one character special file a:e5 640 12:34\n/opt/two block special file 7:21 600 0:0\n\
        /opt/three fifo 0:0 622 0:0\n/opt/four character special file 1:3 666 0:0\n";
    check!(said == wanted, "they are {said}");
    Ok(())
}

fn listed_at(bench: Bench<'_>) -> Result<Container<'_>, String> {
    let container = Container::with(bench, "stat -c '%F %t:%T' /opt/device", |config| {
        config["linux"]["devices"] =
            json!([{ "path": "/opt/device", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666 }]);
    })?;
    std::fs::create_dir(container.inside("/opt")).map_err(|e| e.to_string())?;
    Ok(container)
}

fn a_file_that_is_not_the_device_is_an_error(bench: Bench<'_>) -> Verdict {
    let container = listed_at(bench)?;
    container.put("rootfs/opt/device", "a plain file")?;
    container.create()?.refused().map(drop)
}

fn a_file_that_is_the_device_is_fine(bench: Bench<'_>) -> Verdict {
    let container = listed_at(bench)?;
    let made = nix::sys::stat::mknod(
        &container.inside("/opt/device"),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::from_bits_retain(0o666),
        nix::sys::stat::makedev(1, 3),
    );
    made.map_err(|e| format!("mknod: {e}"))?;
    let said = container.says()?;
    check!(said == "character special file 1:3\n", "it is {said:?}");
    Ok(())
}

/// The image brings a node of its own; nothing in the configuration names that device.
fn not_listed_cannot_be_opened(bench: Bench<'_>) -> Verdict {
    let container =
        Container::new(bench, "if true < /opt/device; then echo opened; fi 2>&1; true < /dev/null && echo null")?;
    std::fs::create_dir(container.inside("/opt")).map_err(|e| e.to_string())?;
    let made = nix::sys::stat::mknod(
        &container.inside("/opt/device"),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::from_bits_retain(0o666),
        // loop-control
        nix::sys::stat::makedev(10, 237),
    );
    made.map_err(|e| format!("mknod: {e}"))?;
    let said = container.says()?;
    check!(!said.contains("opened"), "it said {said:?}");
    check!(said.ends_with("null\n"), "/dev/null cannot be opened: {said:?}");
    Ok(())
}

fn default_devices(bench: Bench<'_>) -> Verdict {
    let script = "stat -c '%n %F %t:%T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty
        echo $(readlink -f /dev/ptmx)
        for d in null zero full random urandom; do true < /dev/$d || echo no $d; done; true > /dev/null";
    let said = Container::new(bench, script)?.says()?;
    let nodes =
        [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")];
    for (name, numbers) in nodes {
        check!(said.contains(&format!("/dev/{name} character special file {numbers}\n")), "no {name}: {said}");
    }
    check!(said.contains("\n/dev/pts/ptmx\n") || said.contains("\n/dev/ptmx\n"), "/dev/ptmx: {said}");
    check!(!said.contains("no "), "cannot be opened: {said}");
    Ok(())
}

fn type_is_one_of_four(bench: Bench<'_>) -> Verdict {
    for kind in ["x", "", "a"] {
        let container = Container::with(bench, "true", |config| {
            config["linux"]["devices"] = json!([{ "path": "/dev/one", "type": kind, "major": 1, "minor": 3 }]);
        })?;
        container.create()?.refused().map_err(|why| format!("{kind:?}: {why}"))?;
    }
    Ok(())
}
