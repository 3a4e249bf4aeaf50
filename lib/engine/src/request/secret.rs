//! `--secret`, podman's: a secret of the store as a file in the container, or as a variable of its process.

use super::wrong;
use crate::Result;
use serde::{Deserialize, Serialize};

/// One `--secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Its name, or its id.
    pub name: String,
    /// How it reaches the container.
    pub way: Way,
}

/// How a secret reaches a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// As a file that only its owner reads.
    File {
        /// Its path; a bare name is below `/run/secrets`.
        target: String,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its mode.
        mode: u32,
    },
    /// As this variable.
    Variable(String),
}

impl Use {
    /// Reads `NAME[,type=mount|env][,target=…][,uid=…][,gid=…][,mode=…]`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: String| wrong(format!("error parsing secret {text}: {why}"));
        let mut fields = text.split(',');
        let first = fields.next().unwrap_or_default();
        let (mut name, mut rest) = (first.to_owned(), Vec::new());
        if first.contains('=') {
            (name, rest) = (String::new(), vec![first]);
        }
        rest.extend(fields);
        let (mut kind, mut target, mut uid, mut gid, mut mode) = ("mount", None, 0, 0, None);
        for field in rest {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| bad(format!("option {field} must be in form option=value: invalid secret syntax")))?;
            let number = |value: &str| {
                value.parse::<u32>().map_err(|_| bad(format!("{key} {value} invalid: invalid secret syntax")))
            };
            match key {
                "source" => name = value.into(),
                "type" => kind = value,
                "target" => target = Some(value.to_owned()),
                "uid" => uid = number(value)?,
                "gid" => gid = number(value)?,
                "mode" => {
                    let octal = u32::from_str_radix(value, 8)
                        .map_err(|_| bad(format!("mode {value} invalid: invalid secret syntax")))?;
                    mode = Some(octal);
                }
                _ => return Err(bad(format!("option {field} invalid: invalid secret syntax"))),
            }
        }
        if name.is_empty() {
            return Err(bad("no source given: invalid secret syntax".into()));
        }
        let way = match kind {
            "mount" => {
                let target = target.unwrap_or_else(|| name.clone());
                let target = if target.starts_with('/') { target } else { format!("/run/secrets/{target}") };
                Way::File { target, uid, gid, mode: mode.unwrap_or(0o444) }
            }
            "env" if uid == 0 && gid == 0 && mode.is_none() => Way::Variable(target.unwrap_or_else(|| name.clone())),
            "env" => {
                return Err(bad(
                    "UID, GID, Mode options cannot be set with secret type env: invalid secret syntax".into()
                ));
            }
            other => return Err(bad(format!("type {other} is invalid: invalid secret syntax"))),
        };
        Ok(Self { name, way })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_podman_reads_them() {
        let file = |text: &str| match Use::parse(text).unwrap().way {
            Way::File { target, uid, gid, mode } => (target, uid, gid, mode),
            Way::Variable(name) => panic!("{name}"),
        };
        assert_eq!(file("pw"), ("/run/secrets/pw".into(), 0, 0, 0o444));
        assert_eq!(file("pw,target=/x,uid=5,gid=6,mode=0400"), ("/x".into(), 5, 6, 0o400));
        assert_eq!(Use::parse("pw,type=env,target=PW").unwrap().way, Way::Variable("PW".into()));
        assert!(Use::parse("pw,type=env,uid=5").is_err() && Use::parse("pw,foo").is_err());
    }
}
