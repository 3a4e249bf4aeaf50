//! `-a`, `-i` and `-d`: which of a container's streams are those of whoever starts it.

use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

/// What is attached, as docker records it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Streams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// The container's standard input ends with that of who is attached.
    pub stdin_once: bool,
}

impl Streams {
    /// What `-a` lists. Without any, output and error, and input with `-i`; in the background none. Names are as docker takes them.
    pub fn choose(listed: &[String], interactive: bool, detach: bool) -> Result<Self> {
        if detach {
            return match listed {
                [] => Ok(Self::default()),
                _ => Err(Error::new(
                    Kind::Conflict,
                    "",
                    "conflicting options: cannot specify both --attach and --detach",
                )),
            };
        }
        let mut streams = Self::default();
        for name in listed {
            *streams.named(name)? = true;
        }
        if listed.is_empty() {
            (streams.stdin, streams.stdout, streams.stderr) = (interactive, true, true);
        }
        streams.stdin_once = interactive && streams.stdin;
        Ok(streams)
    }

    fn named(&mut self, name: &str) -> Result<&mut bool> {
        match name.to_lowercase().as_str() {
            "stdin" => Ok(&mut self.stdin),
            "stdout" => Ok(&mut self.stdout),
            "stderr" => Ok(&mut self.stderr),
            _ => Err(Error::new(Kind::Request, "", format!("invalid argument \"{name}\" for \"-a, --attach\" flag"))
                .because("valid streams are STDIN, STDOUT and STDERR")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_list_all_that_is_asked_for() {
        let of = |listed: &[&str], interactive, detach| {
            let listed: Vec<String> = listed.iter().map(|s| (*s).to_owned()).collect();
            Streams::choose(&listed, interactive, detach).map(|s| (s.stdin, s.stdout, s.stderr, s.stdin_once))
        };
        assert_eq!(of(&[], false, false).unwrap(), (false, true, true, false));
        assert_eq!(of(&[], true, false).unwrap(), (true, true, true, true));
        assert_eq!(of(&[], true, true).unwrap(), (false, false, false, false));
        assert_eq!(of(&["STDIN", "stderr"], true, false).unwrap(), (true, false, true, true));
        assert_eq!(of(&["stdout"], true, false).unwrap(), (false, true, false, false));
        let said = |listed: &[&str], detach| of(listed, false, detach).unwrap_err().to_string();
        assert_eq!(
            said(&["foo"], false),
            "invalid argument \"foo\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR"
        );
        assert_eq!(said(&["stdout"], true), "conflicting options: cannot specify both --attach and --detach");
    }
}
