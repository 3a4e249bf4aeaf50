//! What a container may do: capabilities, the filter of system calls, paths that are hidden or cannot be written.

use crate::plan::Inputs;
use crate::request::isolation::Filter;
use crate::request::wrong;
use crate::{Error, Kind, Result};
use serde_json::{Value, json};
use spec::runtime::Capability;

/// A container's rights.
#[derive(Debug)]
pub(super) struct Rights {
    pub(super) capabilities: Vec<Capability>,
    pub(super) seccomp: Value,
    pub(super) masked: Vec<String>,
    pub(super) read_only: Vec<String>,
}

pub(super) fn of(inputs: &Inputs<'_>) -> Result<Rights> {
    let capabilities = capabilities(inputs)?;
    let seccomp = seccomp(inputs, &capabilities)?;
    let isolation = &inputs.request.isolation;
    let security = &isolation.security;
    let all = security.unmasks.iter().any(|path| path.eq_ignore_ascii_case("all"));
    let (mut masked, mut read_only) = (Vec::new(), Vec::new());
    if !isolation.privileged && !security.open_paths && !all {
        let hidden = inputs.machine.hidden.iter().map(String::as_str);
        masked.extend(spec::defaults::MASKED_PATHS.into_iter().chain(hidden).map(str::to_owned));
        read_only.extend(spec::defaults::READONLY_PATHS.map(str::to_owned));
        let is_open = |path: &String| !security.unmasks.iter().any(|open| is_named(open, path));
        masked.retain(is_open);
        read_only.retain(is_open);
    }
    masked.extend(security.masks.iter().cloned());
    Ok(Rights { capabilities, seccomp, masked, read_only })
}

/// Whether podman's `unmask=` names `path`: by its name, or with a `*` at its end.
fn is_named(open: &str, path: &str) -> bool {
    match open.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => open.trim_end_matches('/') == path,
    }
}

/// docker's rule (moby `oci/caps`, `TweakCapabilities`): privileged has what we can give, whatever else was said; `ALL` stands for that too.
fn capabilities(inputs: &Inputs<'_>) -> Result<Vec<Capability>> {
    let all = |text: &String| text.eq_ignore_ascii_case("all");
    let (add, drop) = (&inputs.request.cap_add, &inputs.request.cap_drop);
    let read = |list: &[String], option: &str| {
        let one = |text: &String| {
            spec::capability::from_name(text).ok_or_else(|| {
                let name = text.to_uppercase();
                let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
                wrong(format!("invalid {option}: unknown capability: {name:?}"))
                    .hint("capabilities(7) lists them; ALL means every one")
            })
        };
        list.iter().filter(|t| !all(t)).map(one).collect::<Result<Vec<_>>>()
    };
    let (added, dropped) = (read(add, "CapAdd")?, read(drop, "CapDrop")?);
    let held = || match inputs.around.held.is_empty() {
        true => spec::capability::ALL.to_vec(),
        false => inputs.around.held.clone(),
    };
    if inputs.request.isolation.privileged {
        return Ok(held());
    }
    let mut set = match (add.iter().any(all), drop.iter().any(all)) {
        (true, _) => held(),
        (false, true) => Vec::new(),
        (false, false) => spec::capability::DEFAULT.to_vec(),
    };
    set.retain(|c| !dropped.contains(c));
    for capability in added {
        if !set.contains(&capability) {
            set.push(capability);
        }
    }
    Ok(set)
}

/// The filter; null for none.
fn seccomp(inputs: &Inputs<'_>, capabilities: &[Capability]) -> Result<Value> {
    let machine = inputs.machine;
    let isolation = &inputs.request.isolation;
    match (&isolation.security.seccomp, machine.abi) {
        (Some(Filter::Unconfined), _) | (None, None) => Ok(Value::Null),
        (None, Some(_)) if isolation.privileged => Ok(Value::Null),
        (None, Some(abi)) => Ok(json!(spec::seccomp::default_profile(capabilities, abi, machine.kernel))),
        (Some(Filter::Profile(_)), None) => {
            Err(Error::new(Kind::Request, "seccomp", "").because("no filter can be made for this processor"))
        }
        (Some(Filter::Profile(text)), Some(abi)) => {
            let profile = spec::profile::parse(text.as_bytes(), capabilities, abi, machine.kernel)
                .map_err(|why| wrong(format!("Decoding seccomp profile failed: {why}")))?;
            Ok(json!(profile))
        }
    }
}
