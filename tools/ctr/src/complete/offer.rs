//! What may stand for an option's value or a word of a command: docker's choices where docker has them.

use super::known::Which;
use clap::Arg;

/// Candidates of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Only whoever types knows.
    Nothing,
    /// Files of this machine.
    Files,
    Words(&'static [&'static str]),
    /// Words, one of which may be `container:` with a name.
    Namespace(&'static [&'static str]),
    Networks,
    Containers(Which),
    /// A file of this machine, or of a container's.
    Paths,
    /// Images; with `host` also this machine.
    Images {
        host: bool,
    },
    /// Whatever has a name.
    Objects,
    Secrets,
    /// Variables of the environment.
    Variables,
    Capabilities,
    Signals,
}

/// The value of an option of `command`.
pub(super) fn value(command: &str, arg: &Arg) -> Offer {
    let Some(name) = arg.get_long() else { return Offer::Nothing };
    match (command, name) {
        ("inspect", "type") => Offer::Words(&["container", "image"]),
        ("run" | "create", "network" | "net") => Offer::Networks,
        ("run" | "create", "volumes-from") => Offer::Containers(Which::Any),
        ("run" | "create", "pid") => Offer::Namespace(&["container:", "host"]),
        ("run" | "create", "ipc") => Offer::Namespace(&["container:", "host", "none", "private", "shareable"]),
        ("run" | "create", "uts") => Offer::Words(&["host"]),
        ("run" | "create", "userns") => Offer::Words(&["auto", "host", "keep-id"]),
        ("run" | "create", "cgroupns") => Offer::Words(&["host", "private"]),
        ("run" | "create", "attach") => Offer::Words(&["stderr", "stdin", "stdout"]),
        ("run" | "create", "cap-add" | "cap-drop") => Offer::Capabilities,
        ("run" | "create", "security-opt") => {
            Offer::Words(&["apparmor=", "label=", "no-new-privileges", "seccomp=", "systempaths=unconfined"])
        }
        ("run" | "create", "log-driver") => Offer::Words(&["json-file", "local", "none", "journald"]),
        ("run" | "create", "log-opt") => Offer::Words(&[
            "compress=",
            "env=",
            "env-regex=",
            "labels=",
            "labels-regex=",
            "max-file=",
            "max-size=",
            "tag=",
        ]),
        ("run" | "create", "pull") => Offer::Words(&["always", "missing", "never"]),
        ("run" | "create", "driver") => Offer::Words(&["kernel", "fuse"]),
        ("run" | "create", "health-on-failure") => Offer::Words(&["none", "kill", "restart", "stop"]),
        ("run" | "create", "secret") => Offer::Secrets,
        ("run" | "create", "mount") => Offer::Words(&["type=bind,", "type=image,", "type=tmpfs,"]),
        ("run" | "create", "ulimit") => Offer::Words(&[
            "core=",
            "cpu=",
            "data=",
            "fsize=",
            "locks=",
            "memlock=",
            "msgqueue=",
            "nice=",
            "nofile=",
            "nproc=",
            "rss=",
            "rtprio=",
            "rttime=",
            "sigpending=",
            "stack=",
        ]),
        ("run" | "create" | "update", "restart") => Offer::Words(&["no", "always", "on-failure", "unless-stopped"]),
        (_, "env") if matches!(command, "run" | "create" | "exec") => Offer::Variables,
        ("run" | "create", "stop-signal") | (_, "signal") => Offer::Signals,
        (
            _,
            "env-file" | "label-file" | "cidfile" | "volume" | "device" | "rootfs" | "runtime" | "mount-program"
            | "netwire" | "root" | "input" | "output",
        ) => Offer::Files,
        (_, "detach-keys") => Offer::Words(&["ctrl-"]),
        _ => Offer::Nothing,
    }
}

/// A word of the command with the names `path`, behind the words `before` and these options.
pub(super) fn word(path: &[&str], before: &[String], given: &[&str]) -> Offer {
    let (first, forced) = (before.is_empty(), given.contains(&"force"));
    // `container rm` is `rm`, but `image rm` and `secret rm` are their own.
    match path {
        ["secret", "create"] => {
            if first {
                Offer::Nothing
            } else {
                Offer::Files
            }
        }
        ["secret", "inspect" | "rm"] => Offer::Secrets,
        ["secret", "exists"] if first => Offer::Secrets,
        ["image", name] => image(name, first),
        ["container", name] => container(name, first, forced),
        ["healthcheck", "run"] if first => Offer::Containers(Which::Running),
        ["inspect"] => Offer::Objects,
        ["completion"] if first => Offer::Words(&["bash", "fish", "zsh"]),
        ["rmi"] => image("rm", first),
        ["images"] => image("ls", first),
        [name @ ("history" | "import" | "load" | "save" | "tag")] => image(name, first),
        [name] => container(name, first, forced),
        _ => Offer::Nothing,
    }
}

fn image(command: &str, first: bool) -> Offer {
    match command {
        "history" | "inspect" | "rm" | "save" | "mount" | "umount" => Offer::Images { host: false },
        "exists" | "ls" | "tag" if first => Offer::Images { host: false },
        "import" if first => Offer::Files,
        _ => Offer::Nothing,
    }
}

fn container(command: &str, first: bool, forced: bool) -> Offer {
    match command {
        "run" | "create" if first => Offer::Images { host: true },
        "commit" if !first => Offer::Images { host: false },
        "cp" => Offer::Paths,
        "rm" if !forced => Offer::Containers(Which::AtRest),
        "rm" | "inspect" | "restart" | "update" | "mount" | "umount" => Offer::Containers(Which::Any),
        "start" => Offer::Containers(Which::AtRest),
        "kill" | "stop" | "stats" | "wait" => Offer::Containers(Which::Active),
        "pause" => Offer::Containers(Which::Running),
        "unpause" => Offer::Containers(Which::Paused),
        "attach" | "enter" | "exec" if first => Offer::Containers(Which::Running),
        "commit" | "diff" | "port" | "top" if first => Offer::Containers(Which::Active),
        "exists" | "export" | "logs" | "rename" if first => Offer::Containers(Which::Any),
        _ => Offer::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_takes_a_name_offers_some() {
        let mut all = crate::definition();
        all.build();
        let mut paths: Vec<Vec<&str>> = Vec::new();
        for command in all.get_subcommands() {
            match command.has_subcommands() {
                true => paths.extend(command.get_subcommands().map(|below| vec![command.get_name(), below.get_name()])),
                false => paths.push(vec![command.get_name()]),
            }
        }
        // `host` and files are offered where there is a choice; whoever has only words of their own is listed here
        let own = ["secret create"];
        for path in paths {
            let command = path.iter().fold(&all, |command, name| command.find_subcommand(name).expect("it is there"));
            let takes = command.get_positionals().next().is_some();
            let offers = word(&path, &[], &[]) != Offer::Nothing;
            assert_eq!(offers, takes && !own.contains(&&*path.join(" ")), "{path:?}");
        }
    }
}
