//! Which of its three faces `nsrun` shows (docs/contracts.md): the OCI runtime when the first word that is not an option is an
//! OCI verb and every option before it is one of runc's global ones; the enterer when the first word is `enter`; else the
//! chain loader.

use std::ffi::OsString;

/// What the command line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    Runtime,
    Enter,
    Chain,
}

/// The verbs of runc, those not done here too: they must not turn into commands run by the chain loader.
pub(crate) const VERBS: [&str; 17] = [
    "create",
    "start",
    "state",
    "kill",
    "delete",
    "run",
    "exec",
    "list",
    "ps",
    "pause",
    "resume",
    "update",
    "events",
    "spec",
    "features",
    "checkpoint",
    "restore",
];

/// runc's global options that take a value.
const WITH_VALUE: [&str; 7] =
    ["--root", "--log", "--log-format", "--log-level", "--rootless", "--cgroup-manager", "--criu"];
const FLAGS: [&str; 2] = ["--debug", "--systemd-cgroup"];

/// Decides by the words behind the program's name.
pub(crate) fn of(words: &[OsString]) -> Face {
    let mut words = words.iter().map(|w| w.to_string_lossy());
    let mut first = true;
    while let Some(word) = words.next() {
        if first && word == "enter" {
            return Face::Enter;
        }
        first = false;
        if VERBS.contains(&&*word) {
            return Face::Runtime;
        }
        if matches!(&*word, "--version" | "-v") {
            return Face::Runtime;
        }
        // As Go's flags, runc's take one dash as well as two.
        let name = word.split('=').next().unwrap_or_default();
        let long = if name.starts_with("--") { name.to_owned() } else { format!("-{name}") };
        if WITH_VALUE.contains(&long.as_str()) {
            if !word.contains('=') {
                let _ = words.next();
            }
        } else if !FLAGS.contains(&long.as_str()) {
            return Face::Chain;
        }
    }
    Face::Chain
}

#[cfg(test)]
mod tests {
    use super::{Face, of};

    fn face(line: &str) -> Face {
        of(&line.split_whitespace().map(Into::into).collect::<Vec<_>>())
    }

    #[test]
    fn verbs_behind_global_options_mean_the_runtime() {
        for line in [
            "run x",
            "--root /s state x",
            "--root=/s --log l --log-format json create -b b x",
            "--debug list",
            "--systemd-cgroup start x",
        ] {
            assert_eq!(face(line), Face::Runtime, "{line}");
        }
    }

    #[test]
    fn all_else_is_a_chain() {
        for line in [
            "",
            "-- run x",
            "--root /s -- ps",
            "-m run",
            "--root /s sh",
            "sh -c run",
            "--help",
            "--fork --pid exec",
            "--root /s",
        ] {
            assert_eq!(face(line), Face::Chain, "{line}");
        }
        assert_eq!(face("enter -t 1 -a"), Face::Enter);
        assert_eq!(face("-m enter"), Face::Chain);
    }
}
