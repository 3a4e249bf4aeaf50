//! A seccomp profile as docker's `--security-opt seccomp=FILE` takes it (moby `profiles/seccomp`), made into the form of a
//! config.json (`linux.seccomp`), which is read as well.
//!
//! What docker's form has beside: `archMap` for lists of architectures, one `name` instead of `names`, and rules for some machines
//! only (`includes`, `excludes`: architectures, capabilities, the kernel's version).

use crate::capability;
use crate::runtime::{Capability, LinuxSeccomp};
use crate::syscall::Abi;
use serde_json::{Map, Value};

/// The document `text` for a container whose bounding set is `caps`, on a machine of convention `native` with the kernel
/// `(major, minor)`. An error is a sentence.
pub fn parse(text: &[u8], caps: &[Capability], native: Abi, kernel: (u32, u32)) -> Result<LinuxSeccomp, String> {
    let mut document: Map<String, Value> = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if let Some(Value::Array(listed)) = document.remove("archMap") {
        if document.get("architectures").and_then(Value::as_array).is_some_and(|a| !a.is_empty()) {
            return Err("has both architectures and archMap".into());
        }
        document.insert("architectures".into(), Value::Array(architectures(&listed, native)));
    }
    let machine = Machine { caps, arch: name_of(native), kernel };
    if let Some(Value::Array(rules)) = document.get_mut("syscalls") {
        let mut kept = Vec::new();
        for rule in rules.drain(..) {
            let Value::Object(mut rule) = rule else { return Err("syscalls holds what is no rule".into()) };
            let (includes, excludes) = (rule.remove("includes"), rule.remove("excludes"));
            if !machine.includes(includes.as_ref())? || machine.excludes(excludes.as_ref())? {
                continue;
            }
            rule.remove("comment");
            if let Some(name) = rule.remove("name").filter(|n| n.as_str().is_some_and(|n| !n.is_empty())) {
                if rule.get("names").and_then(Value::as_array).is_some_and(|n| !n.is_empty()) {
                    return Err("a rule has both name and names".into());
                }
                rule.insert("names".into(), Value::Array(vec![name]));
            }
            kept.push(Value::Object(rule));
        }
        *rules = kept;
    }
    serde_json::from_value(Value::Object(document)).map_err(|e| e.to_string())
}

/// Docker's name of a machine's convention.
const fn name_of(native: Abi) -> (&'static str, &'static str) {
    match native {
        Abi::X86_64 => ("amd64", "SCMP_ARCH_X86_64"),
        Abi::X32 => ("x32", "SCMP_ARCH_X32"),
        Abi::I386 => ("x86", "SCMP_ARCH_X86"),
        Abi::Aarch64 => ("arm64", "SCMP_ARCH_AARCH64"),
        Abi::Arm => ("arm", "SCMP_ARCH_ARM"),
    }
}

fn architectures(listed: &[Value], native: Abi) -> Vec<Value> {
    let (_, ours) = name_of(native);
    let own = listed.iter().find(|entry| entry["architecture"].as_str() == Some(ours));
    let mut all: Vec<Value> = own.map(|entry| entry["architecture"].clone()).into_iter().collect();
    all.extend(own.and_then(|entry| entry["subArchitectures"].as_array()).into_iter().flatten().cloned());
    all
}

struct Machine<'a> {
    caps: &'a [Capability],
    arch: (&'static str, &'static str),
    kernel: (u32, u32),
}

impl Machine<'_> {
    fn has(&self, name: &Value) -> bool {
        name.as_str().and_then(capability::from_name).is_some_and(|c| self.caps.contains(&c))
    }

    fn is(&self, name: &Value) -> bool {
        name.as_str().is_some_and(|name| name == self.arch.0 || name == self.arch.1)
    }

    /// All that is listed must be so.
    fn includes(&self, condition: Option<&Value>) -> Result<bool, String> {
        let Some(condition) = condition else { return Ok(true) };
        let arches = list(condition, "arches");
        let fits = (arches.is_empty() || arches.iter().any(|a| self.is(a)))
            && list(condition, "caps").iter().all(|c| self.has(c))
            && least_kernel(condition)?.is_none_or(|least| self.kernel >= least);
        Ok(fits)
    }

    /// Any of what is listed is enough.
    fn excludes(&self, condition: Option<&Value>) -> Result<bool, String> {
        let Some(condition) = condition else { return Ok(false) };
        Ok(list(condition, "arches").iter().any(|a| self.is(a))
            || list(condition, "caps").iter().any(|c| self.has(c))
            || least_kernel(condition)?.is_some_and(|least| self.kernel >= least))
    }
}

fn list<'a>(condition: &'a Value, name: &str) -> &'a [Value] {
    condition.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn least_kernel(condition: &Value) -> Result<Option<(u32, u32)>, String> {
    let Some(text) = condition.get("minKernel").and_then(Value::as_str).filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let parts = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parts.map(Some).ok_or_else(|| format!("minKernel {text} is no version such as 4.8"))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::runtime::{Arch, Capability};
    use crate::syscall::Abi;

    const TEXT: &str = r#"{ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [ { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
                     { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] } ],
        "syscalls": [
            { "names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "" },
            { "name": "ptrace", "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
            { "names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_SYS_ADMIN"] } },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": { "caps": ["CAP_SYS_ADMIN"], "arches": ["s390"] } },
            { "names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["amd64", "x32"] } } ] }"#;

    fn names(caps: &[Capability], native: Abi, kernel: (u32, u32)) -> Vec<String> {
        let profile = parse(TEXT.as_bytes(), caps, native, kernel).unwrap();
        profile.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect()
    }

    #[test]
    fn rules_are_for_some_machines_only() {
        assert_eq!(names(&[], Abi::X86_64, (6, 1)), ["read", "ptrace", "clone", "arch_prctl"]);
        assert_eq!(names(&[Capability::SysAdmin], Abi::Aarch64, (4, 7)), ["read", "bpf"]);
    }

    #[test]
    fn architectures_are_those_of_the_machine() {
        let profile = parse(TEXT.as_bytes(), &[], Abi::Aarch64, (6, 1)).unwrap();
        assert_eq!(*profile.architectures(), Some(vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]));
    }

    #[test]
    fn the_form_of_a_configuration_is_read_too_and_nonsense_is_not() {
        let text =
            br#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["x"], "action": "SCMP_ACT_KILL" }] }"#;
        assert_eq!(parse(text, &[], Abi::X86_64, (6, 1)).unwrap().syscalls().as_ref().map(Vec::len), Some(1));
        assert!(parse(b"[]", &[], Abi::X86_64, (6, 1)).is_err());
        let wrong = br#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "includes": { "minKernel": "new" } }] }"#;
        assert_eq!(parse(wrong, &[], Abi::X86_64, (6, 1)).unwrap_err(), "minKernel new is no version such as 4.8");
    }
}
