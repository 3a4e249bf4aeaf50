//! nsenter(1)'s command line as data.

use clap::Parser;
use runtime::enter::{Enter, Place};
use runtime::namespace::Namespace;
use std::ffi::OsString;
use std::path::PathBuf;

/// Run a command in the namespaces of another process.
#[derive(Debug, Default, Parser)]
#[command(name = "nsrun enter", override_usage = "nsrun enter [OPTIONS] [--] [COMMAND [ARG]...]")]
pub(crate) struct Args {
    /// Enter all namespaces of the target
    #[arg(short, long)]
    all: bool,
    /// The process
    #[arg(short, long, value_name = "PID")]
    target: Option<i32>,
    /// Enter the mount namespace
    #[arg(short = 'm', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    mount: Option<OsString>,
    /// Enter the UTS namespace (host name)
    #[arg(short = 'u', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    uts: Option<OsString>,
    /// Enter the IPC namespace
    #[arg(short = 'i', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    ipc: Option<OsString>,
    /// Enter the network namespace
    #[arg(short = 'n', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    net: Option<OsString>,
    /// Enter the pid namespace
    #[arg(short = 'p', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pid: Option<OsString>,
    /// Enter the cgroup namespace
    #[arg(short = 'C', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    cgroup: Option<OsString>,
    /// Enter the user namespace
    #[arg(short = 'U', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    user: Option<OsString>,
    /// Enter the time namespace
    #[arg(short = 'T', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    time: Option<OsString>,
    /// Become this user
    #[arg(short = 'S', long, value_name = "UID")]
    setuid: Option<u32>,
    /// Become this group
    #[arg(short = 'G', long, value_name = "GID")]
    setgid: Option<u32>,
    /// Keep the ids also in a user namespace
    #[arg(long)]
    preserve_credentials: bool,
    /// Take the target's root, or this one
    #[arg(short, long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    root: Option<OsString>,
    /// Take the target's working directory, or this one
    #[arg(short, long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    wd: Option<OsString>,
    /// Take this working directory, as it is inside
    #[arg(short = 'W', long, value_name = "DIR")]
    wdns: Option<PathBuf>,
    /// Do not fork before the command
    #[arg(short = 'F', long)]
    no_fork: bool,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Letters whose value may follow at once (`-n/run/netns/x`), as nsenter(1) takes them, and the long form of each.
const ATTACHED: [(char, &str); 10] = [
    ('m', "mount"),
    ('u', "uts"),
    ('i', "ipc"),
    ('n', "net"),
    ('p', "pid"),
    ('C', "cgroup"),
    ('U', "user"),
    ('T', "time"),
    ('r', "root"),
    ('w', "wd"),
];

/// Puts such words, as far as they are options, into the long form.
pub(crate) fn attached(words: Vec<OsString>) -> Vec<OsString> {
    let mut options = true;
    let mut value = false;
    let long = |word: OsString| {
        let text = word.to_string_lossy();
        let first = text.chars().next();
        if !options || first.is_none() {
            return word;
        }
        if std::mem::take(&mut value) {
            return word;
        }
        let mut letters = text.chars().skip(1);
        let letter = letters.next();
        if first != Some('-') || text == "--" {
            options = false;
            return word;
        }
        value = matches!(&*text, "-t" | "--target" | "-S" | "--setuid" | "-G" | "--setgid" | "-W" | "--wdns");
        match ATTACHED.iter().find(|(l, _)| Some(*l) == letter) {
            Some((_, name)) if letters.next() == Some('/') => {
                format!("--{name}={}", text.get(2..).unwrap_or_default()).into()
            }
            _ => word,
        }
    };
    let mut words = words.into_iter();
    let program: Vec<OsString> = words.by_ref().take(1).collect();
    program.into_iter().chain(words.map(long)).collect()
}

impl Args {
    /// The command's first word, where it looks like an option.
    pub(crate) fn stray(&self) -> Option<&OsString> {
        self.command.first().filter(|word| word.to_string_lossy().starts_with('-'))
    }

    /// What the room is to do.
    pub(crate) fn plan(self) -> Enter {
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
        Enter {
            target: self.target,
            all: self.all,
            namespaces: given.into_iter().filter_map(|(kind, word)| word.map(|w| (kind, named(w)))).collect(),
            uid: self.setuid,
            gid: self.setgid,
            preserve_credentials: self.preserve_credentials,
            root: self.root.map(place),
            working_directory: self.wd.map(place),
            inner_directory: self.wdns,
            no_fork: self.no_fork,
            command: self.command,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, Place, attached};
    use clap::Parser;
    use runtime::namespace::Namespace;

    #[test]
    fn nsenters_letters_mean_what_they_mean_there() {
        let words = "x -m -u -n -p -i -t 8197 -r -w/tmp ls -l".split_whitespace();
        let enter = Args::try_parse_from(attached(words.map(Into::into).collect())).unwrap().plan();
        let kinds: Vec<Namespace> = enter.namespaces.iter().map(|(k, _)| *k).collect();
        assert_eq!(kinds, [Namespace::Ipc, Namespace::Uts, Namespace::Net, Namespace::Pid, Namespace::Mnt]);
        assert_eq!((enter.target, enter.root), (Some(8197), Some(Place::Targets)));
        assert_eq!(enter.working_directory, Some(Place::Named("/tmp".into())));
        assert_eq!(enter.command, ["ls", "-l"]);
    }
}
