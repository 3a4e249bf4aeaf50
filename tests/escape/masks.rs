//! What the runtime binds is a file of the machine, by a name in the image: /dev/null for masking (CVE-2025-31133), /dev/pts/N for
//! the console (CVE-2025-52565). The attacker makes the name a link, and gets what it leads to, to be written. (In runc the link
//! was followed inside the container, to /proc/sys/kernel/core_pattern; here it would be from outside. The decoy is a file of the
//! machine.)

use crate::lab::{Tried, bundle, container, done, run_command, stopped_by};
use serde_json::json;
use std::os::unix::fs::symlink;
use testkit::need;

#[test]
fn cve_2025_31133_null_is_a_link_in_the_image() {
    need!(root, "busybox");
    stopped_by("Null", |build| {
        let decoy = tempfile::NamedTempFile::new().expect("file");
        let bundle = bundle("echo harmed >/proc/keys", |folder, config| {
            // Where /dev is not the container's own nobody makes the nodes in it.
            let dev = folder.join("dev");
            std::fs::create_dir(&dev).expect("folder");
            symlink(decoy.path(), dev.join("null")).expect("link");
            config["mounts"][1] = json!({ "destination": "/dev", "type": "bind", "source": dev, "options": ["bind"] });
            config["linux"]["maskedPaths"] = json!(["/proc/keys"]);
        });
        let tried = Tried::by_word(&done(run_command(&container(build, &bundle))), "never said");
        let text = std::fs::read_to_string(decoy.path()).expect("decoy");
        Tried { escaped: text.contains("harmed"), said: tried.said }
    });
}

#[test]
fn cve_2025_52565_the_console_is_a_link_in_a_volume() {
    need!(root, "busybox");
    stopped_by("Console", |build| {
        let decoy = tempfile::NamedTempFile::new().expect("file");
        let bundle = bundle("echo harmed >/dev/console", |folder, config| {
            let volume = folder.join("volume");
            std::fs::create_dir(&volume).expect("folder");
            symlink("/pts/ptmx", volume.join("ptmx")).expect("link");
            symlink(decoy.path(), volume.join("0")).expect("link");
            config["process"]["terminal"] = json!(true);
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.push(json!({ "destination": "/pts", "type": "devpts", "source": "devpts",
                "options": ["newinstance", "ptmxmode=0666", "mode=0620"] }));
            mounts.push(json!({ "destination": "/dev/pts", "type": "bind", "source": volume, "options": ["bind"] }));
        });
        let tried = Tried::by_word(&done(run_command(&container(build, &bundle))), "never said");
        let text = std::fs::read_to_string(decoy.path()).expect("decoy");
        Tried { escaped: text.contains("harmed"), said: tried.said }
    });
}
