//! `--device` and `--device-cgroup-rule`, in docker's grammar.

use super::wrong;
use crate::Result;
use serde::{Deserialize, Serialize};

/// One `--device`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// A device node of the machine, or a folder of them.
    pub source: String,
    /// Where it is in the container.
    pub target: String,
    /// What may be done with it: of `rwm`.
    pub access: String,
}

impl Device {
    /// Reads `SOURCE[:TARGET][:rwm]`.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, access) = match parts[..] {
            [source] if !source.is_empty() => (source, source, "rwm"),
            [source, access] if is_access(access) => (source, source, access),
            [source, target] => (source, target, "rwm"),
            [source, target, access] => (source, target, access),
            _ => return Err(wrong(format!("bad format for path: {text}"))),
        };
        for path in [source, target] {
            if path.is_empty() {
                return Err(wrong(format!("bad format for path: {text}")));
            }
            if !path.starts_with('/') {
                return Err(wrong(format!("{path} is not an absolute path")));
            }
        }
        if !is_access(access) {
            return Err(wrong(format!("bad mode specified: {access}")));
        }
        Ok(Self { source: source.into(), target: target.into(), access: access.into() })
    }
}

/// Letters of `rwm`, each at most once.
fn is_access(text: &str) -> bool {
    let once = |c: char| text.matches(c).count() <= 1;
    !text.is_empty() && text.chars().all(|c| "rwm".contains(c)) && "rwm".chars().all(once)
}

/// Reads `--device-cgroup-rule`: `c 10:229 rwm`, numbers or `*`.
pub fn rule(text: &str) -> Result<String> {
    let bad = || {
        wrong(format!(
            "invalid argument {text:?} for \"--device-cgroup-rule\" flag: invalid device cgroup format '{text}'"
        ))
        .hint("as in 'c 10:229 rwm'; a * stands for every number")
    };
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, access] = words[..] else { return Err(bad()) };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    let number = |n: &str| n == "*" || (!n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let fits = matches!(kind, "a" | "b" | "c") && number(major) && number(minor) && access.len() <= 3;
    if fits && !access.is_empty() && access.chars().all(|c| "rwm".contains(c)) { Ok(text.into()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_docker_reads_them() {
        let device = |s: &str, t: &str, a: &str| Device { source: s.into(), target: t.into(), access: a.into() };
        assert_eq!(Device::parse("/dev/fuse").unwrap(), device("/dev/fuse", "/dev/fuse", "rwm"));
        assert_eq!(Device::parse("/dev/fuse:r").unwrap(), device("/dev/fuse", "/dev/fuse", "r"));
        assert_eq!(Device::parse("/dev/fuse:/dev/x:rw").unwrap(), device("/dev/fuse", "/dev/x", "rw"));
        let said = |t: &str| Device::parse(t).unwrap_err().to_string();
        assert_eq!(said("foo"), "foo is not an absolute path");
        assert_eq!(said(""), "bad format for path: ");
        assert_eq!(said("/dev/fuse:/dev/x:rx"), "bad mode specified: rx");
        assert_eq!(said("/a:/b:/c:r"), "bad format for path: /a:/b:/c:r");
    }

    #[test]
    fn rules() {
        assert!(rule("c 10:* rwm").is_ok() && rule("a *:* rwm").is_ok());
        for bad in ["foo", "c 10:* rx", "d 1:2 r"] {
            assert!(rule(bad).unwrap_err().to_string().ends_with(&format!("invalid device cgroup format '{bad}'")));
        }
    }
}
