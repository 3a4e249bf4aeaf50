//! Capabilities: the kernel's numbers, the field's names, and the fourteen a container keeps by default.
//!
//! The type is `oci-spec`'s [`Capability`]; this module adds what it lacks: numbers as in `<linux/capability.h>`, lenient
//! parsing as docker's `--cap-add` takes it, and [`drop_unknown`] for documents that name capabilities of a future kernel,
//! which `oci-spec` refuses to read and every runtime ignores with a warning.

use crate::runtime::Capability;

/// What a container keeps unless told otherwise: docker's fourteen.
pub const DEFAULT: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Every capability, at the index that is its number in the kernel.
pub const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// The kernel's number of a capability.
pub fn number(capability: Capability) -> u8 {
    ALL.iter().position(|c| *c == capability).map_or(u8::MAX, |at| at as u8)
}

/// The capability with the kernel's number `number`, where it has a name.
pub fn from_number(number: u8) -> Option<Capability> {
    ALL.get(usize::from(number)).copied()
}

/// The capability's full name: `CAP_SYS_ADMIN`.
pub fn name(capability: Capability) -> String {
    format!("CAP_{capability}")
}

/// A capability by its name in any case, with or without `CAP_`, as docker's `--cap-add` takes it.
pub fn from_name(name: &str) -> Option<Capability> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    ALL.iter().copied().find(|c| c.to_string() == short)
}

/// Removes from a `config.json` (or a `process` document) the capabilities that have no name here, and returns their
/// names in order, each once: the caller warns of them.
pub fn drop_unknown(document: &mut serde_json::Value) -> Vec<String> {
    let process = if document.get("process").is_some() { &mut document["process"] } else { document };
    let mut unknown = std::collections::BTreeSet::new();
    if let Some(sets) = process.get_mut("capabilities").and_then(|c| c.as_object_mut()) {
        for names in sets.values_mut().filter_map(|set| set.as_array_mut()) {
            names.retain(|name| {
                let known = name.as_str().is_none_or(|name| from_name(name).is_some());
                if !known {
                    unknown.extend(name.as_str().map(str::to_owned));
                }
                known
            });
        }
    }
    unknown.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{ALL, drop_unknown, from_name, from_number, name, number};
    use crate::runtime::Capability;

    #[test]
    fn every_name_has_one_number() {
        for (at, capability) in ALL.iter().enumerate() {
            assert_eq!(usize::from(number(*capability)), at);
            assert_eq!(from_number(at as u8), Some(*capability));
            assert_eq!(from_name(&name(*capability)), Some(*capability));
        }
        assert_eq!(number(Capability::SysAdmin), 21);
        assert_eq!(number(Capability::CheckpointRestore), 40);
        assert_eq!(from_number(41), None);
    }

    #[test]
    fn names_as_users_type_them() {
        assert_eq!(from_name("net_admin"), Some(Capability::NetAdmin));
        assert_eq!(from_name("CAP_NET_ADMIN"), Some(Capability::NetAdmin));
        assert_eq!(from_name("ALL"), None);
    }

    #[test]
    fn a_capability_of_the_future_is_set_aside() {
        let mut document = serde_json::json!({ "process": { "capabilities": {
            "bounding": ["CAP_KILL", "CAP_TIME_TRAVEL"], "effective": ["CAP_TIME_TRAVEL"] } } });
        assert_eq!(drop_unknown(&mut document), ["CAP_TIME_TRAVEL"]);
        assert_eq!(document["process"]["capabilities"]["bounding"], serde_json::json!(["CAP_KILL"]));
        assert_eq!(drop_unknown(&mut document), Vec::<String>::new());
    }
}
