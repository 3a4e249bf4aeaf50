//! How the process of a container is set up beside what runs and as whom: groups, umask, time zone, names, and podman's options
//! for them.

use super::wrong;
use crate::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The manner in which a container's process begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manner {
    /// `--group-add`: names or numbers.
    pub groups: Vec<String>,
    /// `--umask`
    pub umask: Option<u32>,
    /// `--tz`: a zone of the machine's, or `local`.
    pub timezone: Option<String>,
    /// `--domainname`
    pub domainname: Option<String>,
    /// `--unsetenv`: variables of the image that are left out.
    pub unset: Vec<String>,
    /// `--unsetenv-all`: all of them are, and `PATH` and `TERM`.
    pub unset_all: bool,
    /// `--annotation`
    pub annotations: BTreeMap<String, String>,
    /// `--personality`
    pub personality: Option<String>,
    /// `--read-only-tmpfs`: with `--read-only`, the usual places can be written.
    pub read_only_tmpfs: bool,
    /// `--rootfs`: what stands for the image is a folder of the machine.
    pub rootfs: bool,
    /// `--secret`
    pub secrets: Vec<super::secret::Use>,
}

/// Reads `--umask`: octal.
pub fn umask(text: &str) -> Result<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let value = u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o777 && digits.len() <= 4);
    value.ok_or_else(|| wrong(format!("invalid umask string {text}: invalid argument")).hint("octal, as in 0022"))
}

/// Reads `--annotation`: `KEY=VALUE`.
pub fn annotation(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(wrong(format!(
            "invalid argument {text:?} for \"--annotation\" flag: invalid annotation format: {text:?}"
        )));
    }
    Ok((key.into(), value.into()))
}

/// Reads `--personality`: the two that there are (personality(2)).
pub fn personality(text: &str) -> Result<String> {
    match text {
        "LINUX" | "LINUX32" => Ok(text.into()),
        _ => Err(wrong(format!("unknown personality: {text}")).hint("LINUX and LINUX32 are known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        assert_eq!(umask("0027").unwrap(), 0o27);
        assert_eq!(umask("8").unwrap_err().to_string(), "invalid umask string 8: invalid argument");
        assert_eq!(annotation("a=b=c").unwrap(), ("a".into(), "b=c".into()));
        assert!(annotation("=x").is_err() && personality("BSD").is_err());
    }
}
