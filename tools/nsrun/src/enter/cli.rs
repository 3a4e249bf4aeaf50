//! nsenter(1)'s command line as data.

use clap::{ArgAction, Parser};
use cli::Failure;
use runtime::command::Command;
use runtime::enter::{Enter, Place, Target, Who};
use runtime::namespace::Namespace;
use std::ffi::OsString;
use std::path::PathBuf;

const NAMESPACES: &str = "Namespaces; of the target, or =FILE";
const AFTER: &str = "Without a command $SHELL or /bin/sh is run, as a login shell. A shell in a new pid namespace has the terminal's \
    foreground, so that job control works; --tty gives it a terminal of its own.";

/// Run a command in the namespaces of another process.
#[derive(Debug, Default, Parser)]
#[command(
    name = "nsrun enter",
    version,
    disable_version_flag = true,
    override_usage = "nsrun enter [OPTIONS] [--] [COMMAND [ARG]...]",
    after_help = AFTER
)]
pub(crate) struct Args {
    /// The process, perhaps with the inode of its pidfd
    #[arg(short, long, value_name = "PID[:INODE]")]
    target: Option<String>,
    /// Enter all namespaces of the target
    #[arg(help_heading = NAMESPACES, short, long)]
    all: bool,
    /// Enter the mount namespace
    #[arg(help_heading = NAMESPACES, short = 'm', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    mount: Option<OsString>,
    /// Enter the UTS namespace (host name)
    #[arg(help_heading = NAMESPACES, short = 'u', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    uts: Option<OsString>,
    /// Enter the IPC namespace
    #[arg(help_heading = NAMESPACES, short = 'i', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    ipc: Option<OsString>,
    /// Enter the network namespace
    #[arg(help_heading = NAMESPACES, short = 'n', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    net: Option<OsString>,
    /// Enter the network namespace of this socket of the target
    #[arg(help_heading = NAMESPACES, short = 'N', long, value_name = "FD")]
    net_socket: Option<i32>,
    /// Enter the pid namespace (and fork)
    #[arg(help_heading = NAMESPACES, short = 'p', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pid: Option<OsString>,
    /// Enter the cgroup namespace
    #[arg(help_heading = NAMESPACES, short = 'C', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    cgroup: Option<OsString>,
    /// Enter the user namespace
    #[arg(help_heading = NAMESPACES, short = 'U', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    user: Option<OsString>,
    /// Enter the parent of the user namespace
    #[arg(help_heading = NAMESPACES, long)]
    user_parent: bool,
    /// Enter the time namespace
    #[arg(help_heading = NAMESPACES, short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    time: Option<OsString>,
    /// Become this user, or `follow` the target's
    #[arg(short = 'S', long, value_name = "UID|follow")]
    setuid: Option<String>,
    /// Become this group and leave all others, or `follow` the target's
    #[arg(short = 'G', long, value_name = "GID|follow")]
    setgid: Option<String>,
    /// Keep the ids also in a user namespace
    #[arg(long)]
    preserve_credentials: bool,
    /// Keep capabilities granted in the user namespace
    #[arg(long)]
    keep_caps: bool,
    /// Take the target's root, or this one
    #[arg(short, long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    root: Option<OsString>,
    /// Take the target's working directory, or this one
    #[arg(short, long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    wd: Option<OsString>,
    /// Take this working directory, as it is inside
    #[arg(short = 'W', long, value_name = "DIR", conflicts_with = "wd")]
    wdns: Option<PathBuf>,
    /// Take the target's environment
    #[arg(short, long)]
    env: bool,
    /// Execute this file of ours, whatever is inside; COMMAND is what it is called with
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Do not fork before the command
    #[arg(short = 'F', long)]
    no_fork: bool,
    /// Join the target's cgroups
    #[arg(short = 'c', long)]
    join_cgroup: bool,
    /// Take the target's SELinux context
    #[arg(short = 'Z', long)]
    follow_context: bool,
    /// A terminal of its own, served by nsrun
    #[arg(long)]
    tty: bool,
    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: (),
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND", hide = true)]
    command: Vec<OsString>,
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(message).code(cli::exit::OURS)
}

impl Args {
    /// The command's first word, where it looks like an option.
    pub(crate) fn stray(&self) -> Option<&OsString> {
        self.command.first().filter(|word| word.to_string_lossy().starts_with('-'))
    }

    /// What the room is to do.
    pub(crate) fn plan(self) -> Result<Enter, Failure> {
        let given = [
            (Namespace::User, self.user),
            (Namespace::Cgroup, self.cgroup),
            (Namespace::Ipc, self.ipc),
            (Namespace::Uts, self.uts),
            (Namespace::Net, self.net),
            (Namespace::Pid, self.pid),
            (Namespace::Mnt, self.mount),
            (Namespace::Time, self.time),
        ];
        let named = |word: OsString| Some(PathBuf::from(word)).filter(|p| !p.as_os_str().is_empty());
        let place = |word: OsString| named(word).map_or(Place::Targets, Place::Named);
        Ok(Enter {
            target: self.target.as_deref().map(target).transpose()?,
            all: self.all,
            namespaces: given.into_iter().filter_map(|(kind, word)| word.map(|w| (kind, named(w)))).collect(),
            net_socket: self.net_socket,
            user_parent: self.user_parent,
            uid: self.setuid.as_deref().map(|t| who("--setuid", t)).transpose()?,
            gid: self.setgid.as_deref().map(|t| who("--setgid", t)).transpose()?,
            preserve_credentials: self.preserve_credentials,
            keep_caps: self.keep_caps,
            root: self.root.map(place),
            working_directory: self.wd.map(place),
            inner_directory: self.wdns,
            environment: self.env,
            join_cgroup: self.join_cgroup,
            follow_context: self.follow_context,
            no_fork: self.no_fork,
            terminal: self.tty,
            program: self.program,
            command: Command { words: self.command, ..Command::default() },
        })
    }
}

fn target(text: &str) -> Result<Target, Failure> {
    let (pid, inode) = text.split_once(':').map_or((text, None), |(pid, inode)| (pid, Some(inode)));
    let parsed = pid.parse().ok().filter(|pid| *pid > 0);
    let inode = inode.map(str::parse::<u64>).transpose();
    match (parsed, inode) {
        (Some(pid), Ok(inode)) => Ok(Target { pid, inode }),
        _ => Err(usage(format!("--target {text}: no process id")).hint("a number; pgrep -f NAME finds some")),
    }
}

fn who(option: &str, text: &str) -> Result<Who, Failure> {
    match text {
        "follow" => Ok(Who::Targets),
        _ => text.parse().map(Who::Id).map_err(|_| usage(format!("{option} {text}: neither a number nor follow"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, Place, Target, Who};
    use crate::letters;
    use clap::{CommandFactory, Parser};
    use runtime::enter::Enter;
    use runtime::namespace::Namespace;

    fn of(line: &str) -> Result<Enter, String> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        let args = Args::try_parse_from(letters::apart(&mut Args::command(), words.map(Into::into).collect(), true))
            .map_err(|e| e.to_string())?;
        args.plan().map_err(|f| f.message)
    }

    fn kinds(enter: &Enter) -> Vec<Namespace> {
        enter.namespaces.iter().map(|(k, _)| *k).collect()
    }

    #[test]
    fn nsenters_letters_mean_what_they_mean_there() {
        let enter = of("-m -u -n -p -i -t 8197 -r -w/tmp -c -e -S follow -G 5 ls -l").unwrap();
        assert_eq!(kinds(&enter), [Namespace::Ipc, Namespace::Uts, Namespace::Net, Namespace::Pid, Namespace::Mnt]);
        assert_eq!(enter.target, Some(Target { pid: 8197, inode: None }));
        assert_eq!((enter.root, enter.uid, enter.gid), (Some(Place::Targets), Some(Who::Targets), Some(Who::Id(5))));
        assert_eq!(enter.working_directory, Some(Place::Named("/tmp".into())));
        assert!(enter.join_cgroup && enter.environment);
        assert_eq!(enter.command.words, ["ls", "-l"]);
    }

    #[test]
    fn files_stand_at_once_behind_letters() {
        for line in ["-n/run/netns/x", "-n=/run/netns/x", "--net=/run/netns/x"] {
            let file = of(line).unwrap().namespaces[0].1.clone();
            assert_eq!(file.as_deref(), Some(std::path::Path::new("/run/netns/x")), "{line}");
        }
        assert_eq!(of("-nfile.d").unwrap().namespaces[0].1.as_deref(), Some(std::path::Path::new("file.d")));
        assert_eq!(kinds(&of("-mun -t 1").unwrap()).len(), 3);
        assert_eq!(of("-W/tmp").unwrap().inner_directory.as_deref(), Some(std::path::Path::new("/tmp")));
        assert_eq!(of("-t5:77").unwrap().target, Some(Target { pid: 5, inode: Some(77) }));
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(of("-t x").unwrap_err(), "--target x: no process id");
        assert_eq!(of("-t 0").unwrap_err(), "--target 0: no process id");
        assert_eq!(of("-t 1 -S me").unwrap_err(), "--setuid me: neither a number nor follow");
        Args::command().debug_assert();
    }
}
