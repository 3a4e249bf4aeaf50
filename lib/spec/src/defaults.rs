//! What a container's `config.json` holds unless told otherwise: mounts, hidden paths, devices. Docker's values
//! (moby `daemon/pkg/oci/defaults.go`), so that what runs there runs here, and no looser.

use crate::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, Mount, MountBuilder};

/// PATH inside, where the image names none.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Size of `/dev/shm` in bytes: 64 MiB.
pub const SHM_SIZE_BYTES: u64 = 64 << 20;

/// Paths that look empty inside: they tell about the machine, or change it.
///
/// Beside these Docker hides `/sys/devices/system/cpu/cpuN/thermal_throttle` of every processor that has it (interrupt counts tell
/// what others do); which ones there are only the machine knows: [`thermal_throttle`].
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that cannot be written inside.
pub const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The path to hide for processor number `cpu`, where it exists.
pub fn thermal_throttle(cpu: usize) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle")
}

/// The default mounts, in order; `/dev/shm` of `shm_size_bytes`.
pub fn mounts(shm_size_bytes: u64) -> Vec<Mount> {
    let shm_size = format!("size={shm_size_bytes}");
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size]),
    ]
}

fn mount(destination: &str, typ: &str, source: &str, options: &[&str]) -> Mount {
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    let mount = MountBuilder::default().destination(destination).typ(typ).source(source).options(options);
    mount.build().expect("every member has a default")
}

/// The device rules of a container, for `linux.resources.devices`: all forbidden, then zero, null, urandom, random, tty and console
/// allowed, fuse forbidden. A runtime adds what every container may do ([`base_device_rules`]).
pub fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let mut rules = vec![rule(false, None, None, None, "rwm")];
    for (major, minor) in [(1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1)] {
        rules.push(rule(true, Some(LinuxDeviceType::C), Some(major), Some(minor), "rwm"));
    }
    rules.push(rule(false, Some(LinuxDeviceType::C), Some(10), Some(229), "rwm"));
    rules
}

/// What a runtime allows every container, behind the rules of its configuration (runc and crun do the same): making any node,
/// for image extraction needs it and making is not opening; and the devices the specification puts into every `/dev`.
pub fn base_device_rules() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{B, C};
    let mut rules = vec![rule(true, Some(C), None, None, "m"), rule(true, Some(B), None, None, "m")];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)] {
        rules.push(rule(true, Some(C), Some(major), Some(minor), "rwm"));
    }
    // The terminals of the container's own devpts.
    rules.push(rule(true, Some(C), Some(136), None, "rwm"));
    rules
}

/// One rule; `None` for a number means all.
pub fn rule(
    allow: bool,
    typ: Option<LinuxDeviceType>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroupBuilder::default().allow(allow).build().expect("every member has a default");
    rule.set_typ(typ).set_major(major).set_minor(minor).set_access(Some(access.to_owned()));
    rule
}

#[cfg(test)]
mod tests {
    use super::{SHM_SIZE_BYTES, device_rules, mounts};

    #[test]
    fn the_documents_read_as_dockers_do() {
        let rules = serde_json::to_value(device_rules()).unwrap();
        assert_eq!(rules[0], serde_json::json!({ "allow": false, "access": "rwm" }));
        assert_eq!(
            rules[1],
            serde_json::json!({ "allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm" })
        );
        let mounts = serde_json::to_value(mounts(SHM_SIZE_BYTES)).unwrap();
        assert_eq!(mounts[6]["source"], "shm");
        assert_eq!(mounts[6]["options"][4], "size=67108864");
    }
}
