//! runtime-linux.md: descriptors and the links in /dev.

use crate::case::{Bench, Case, Verdict};
use crate::container::Container;
use crate::{cases, check};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    cases!["runtime_linux": three_descriptors_are_open, dev_links, dev_links_in_a_folder]
}

fn three_descriptors_are_open(bench: Bench<'_>) -> Verdict {
    // The listing itself is one more: ls opens the folder as 3.
    let container = Container::new(bench, "exec ls -l /proc/1/fd")?;
    let said = container.says()?;
    let open: Vec<&str> = said.lines().filter_map(|line| line.split_whitespace().nth(8)).collect();
    check!(open[..open.len().min(3)] == ["0", "1", "2"], "open are {said}");
    check!(open.len() <= 4, "more is open: {said}");
    Ok(())
}

fn dev_links(bench: Bench<'_>) -> Verdict {
    let container = Container::new(bench, "for l in fd stdin stdout stderr; do readlink /dev/$l; done")?;
    let said = container.says()?;
    check!(said == "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n", "links: {said:?}");
    Ok(())
}

/// Without a mount at /dev they are made in the root file system.
fn dev_links_in_a_folder(bench: Bench<'_>) -> Verdict {
    let container = Container::with(bench, "true", |config| {
        let mounts = config["mounts"].as_array_mut().expect("mounts");
        // /dev is a plain folder of the root file system, so that what was made can be seen from outside.
        mounts.retain(|mount| mount["destination"] == "/proc");
        config["root"]["readonly"] = json!(false);
    })?;
    container.launch()?;
    container.stopped()?;
    let link = std::fs::read_link(container.inside("/dev/fd")).map_err(|e| format!("/dev/fd: {e}"))?;
    check!(link == std::path::Path::new("/proc/self/fd"), "/dev/fd leads to {}", link.display());
    Ok(())
}
