//! What a command line means: one of the three forms, checked for contradictions, with every default filled in.

use crate::cli::Args;
use cli::Failure;
use overlay::Compat;
use overlay::driver::{Driver, parse_preferences};
use overlay::options::Options;
use overlay::server::{Service, Streams};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// Layers (those of `--layers` come later) and how to mount them.
    pub options: Options,
    /// Where the list of layers comes from, in the `--layers` form.
    pub list: Option<LayerList>,
    /// The mount point.
    pub target: PathBuf,
    /// Whether the mount point is ours to make: it was not named.
    pub default_target: bool,
    /// Drivers to try, in order.
    pub drivers: Vec<Driver>,
    /// What to do once it is mounted.
    pub then: Then,
    /// Tell on stderr which driver was chosen.
    pub verbose: bool,
    /// Tell it as JSON on stdout.
    pub json: bool,
    /// Take a mount on the target away whose server is dead.
    pub replace: bool,
    /// How a server is kept.
    pub service: Service,
}

/// Where names of layers, lowest first, are read from.
#[derive(Debug, PartialEq, Eq)]
pub struct LayerList {
    /// A file; `None` is stdin.
    pub file: Option<PathBuf>,
    /// What ends a name.
    pub end: u8,
}

/// What happens once the overlay is mounted.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// Return and serve on in the background.
    Return,
    /// Wait until it is unmounted.
    Stay,
    /// Run this in there, in a mount namespace of its own; never empty.
    Run(Vec<OsString>),
    /// Nothing is mounted: what is mounted already gets these options.
    Remount(Vec<OsString>),
}

/// Makes a plan of `args`; `preferred` is what `$OVL_DRIVER` says.
pub fn plan(args: Args, preferred: Option<&OsStr>) -> Result<Plan, Failure> {
    let mut options = Options::default();
    for list in &args.options {
        options.add(list).map_err(usage)?;
    }
    options.single_thread |= args.single_thread;
    options.debug |= args.debug;
    options.compat = args.compat.as_deref().map(compat).transpose()?;
    if options.remount {
        return remount(args, options);
    }
    let list = args.layers.map(|file| LayerList {
        file: (file.as_os_str() != "-").then_some(file),
        end: if args.nul { 0 } else { b'\n' },
    });
    if list.is_some() && !options.lowers.is_empty() {
        return Err(Failure::usage("lower layers by both --layers and lowerdir=").hint("name them in one place"));
    }
    options.upper = one_of(args.upper, options.upper, "--upper", "upperdir=")?;
    options.work = one_of(args.work, options.work, "--work", "workdir=")?;
    if let (Some(upper), None, true) = (&options.upper, &options.work, list.is_some()) {
        options.work = Some(beside(upper, ".work"));
    }
    let mut paths = args.paths;
    let named = paths.pop();
    if let (Some(source), None) = (paths.pop(), &options.fsname) {
        options.fsname = Some(source.to_string_lossy().into_owned());
    }
    let run = !args.command.is_empty();
    let default_target = named.is_none();
    let target = match (named, &options.upper) {
        (Some(target), _) => target,
        (None, Some(upper)) if list.is_some() || run => beside(upper, ".merged"),
        _ => return Err(Failure::usage("no mount point named").hint("the last argument is the folder to mount on")),
    };
    if args.json && run {
        return Err(Failure::usage("--json with a command").hint("stdout is the command's; use --verbose"));
    }
    if args.foreground && run {
        return Err(Failure::usage("-f with a command").hint("ovl-mount waits for the command anyway"));
    }
    let in_debug = options.debug;
    let in_front = args.foreground || in_debug;
    let preferred = preferred.map(OsStr::to_string_lossy).filter(|p| !p.is_empty());
    let order = args.driver.as_deref().or(preferred.as_deref()).unwrap_or("fuse,kernel");
    Ok(Plan {
        drivers: parse_preferences(order).map_err(usage)?,
        options,
        list,
        target,
        default_target,
        service: Service {
            streams: if run || !in_front { Streams::Close } else { Streams::Keep },
            log: args.log,
            control: args.control,
        },
        then: match (run, in_front) {
            (true, _) => Then::Run(args.command),
            (false, true) => Then::Stay,
            (false, false) => Then::Return,
        },
        verbose: args.verbose || in_debug,
        json: args.json,
        replace: args.replace,
    })
}

/// `-o remount`: the last argument is an overlay that is mounted, and none of the rest is about it.
fn remount(args: Args, options: Options) -> Result<Plan, Failure> {
    let mut paths = args.paths;
    let (Some(target), None, true) = (paths.pop(), args.layers, args.command.is_empty()) else {
        return Err(
            Failure::usage("remount takes options and a mount point only").hint("ovl-mount -o remount,ro TARGET")
        );
    };
    Ok(Plan {
        options,
        list: None,
        target,
        default_target: false,
        drivers: Vec::new(),
        then: Then::Remount(args.options),
        verbose: args.verbose,
        json: false,
        replace: false,
        service: Service::default(),
    })
}

pub(crate) fn compat(word: &str) -> Result<Compat, Failure> {
    match word {
        "kernel" => Ok(Compat::Kernel),
        "fuse" => Ok(Compat::Fuse),
        _ => Err(Failure::usage(format!("--compat {word}: no such value")).hint("--compat kernel|fuse")),
    }
}

/// Reads names of layers, lowest first, each ended by `end`; empty ones are skipped. Gives them uppermost first.
pub fn parse_layers(list: &[u8], end: u8) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let names = list.split(|byte| *byte == end).filter(|name| !name.is_empty());
    names.rev().map(|name| PathBuf::from(OsStr::from_bytes(name))).collect()
}

fn one_of(flag: Option<PathBuf>, option: Option<PathBuf>, a: &str, b: &str) -> Result<Option<PathBuf>, Failure> {
    match (flag, option) {
        (Some(_), Some(_)) => Err(Failure::usage(format!("both {a} and {b}")).hint("name it in one place")),
        (flag, option) => Ok(flag.or(option)),
    }
}

/// `rw/` and `.merged` give `rw.merged`.
pub(crate) fn beside(folder: &std::path::Path, ending: &str) -> PathBuf {
    // Components know nothing of trailing slashes and dots, which would put the name inside.
    let mut name: OsString = folder.components().collect::<PathBuf>().into_os_string();
    name.push(ending);
    name.into()
}

pub(crate) fn usage(error: overlay::Error) -> Failure {
    Failure::from(error).code(cli::exit::USAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn planned(line: &[&str]) -> Result<Plan, Failure> {
        plan(Args::try_parse_from([&["ovl-mount"], line].concat()).unwrap(), None)
    }

    #[test]
    fn the_mount_form() {
        let plan = planned(&["-o", "lowerdir=/a:/b,upperdir=/u,workdir=/w", "/t"]).unwrap();
        assert_eq!((plan.target, plan.then, plan.list), ("/t".into(), Then::Return, None));
        assert_eq!(plan.drivers, [Driver::Fuse, Driver::Kernel]);
        let plan = planned(&["src", "/t", "-o", "rw,lowerdir=/a", "-t", "fuse.ovl-mount", "-f"]).unwrap();
        assert_eq!((plan.options.fsname.as_deref(), plan.then), (Some("src"), Then::Stay));
    }

    #[test]
    fn the_layers_form_fills_in_names_beside_the_upper() {
        let plan = planned(&["--layers", "-", "-z", "--upper", "rw/"]).unwrap();
        assert_eq!(plan.list, Some(LayerList { file: None, end: 0 }));
        assert_eq!((plan.target, plan.options.work), ("rw.merged".into(), Some("rw.work".into())));
        assert!(plan.default_target);
        assert_eq!(parse_layers(b"low\n\nhigh\n", b'\n'), [PathBuf::from("high"), "low".into()]);
    }

    #[test]
    fn the_command_form() {
        let plan = planned(&["-o", "lowerdir=/a,upperdir=/u,workdir=/w", "--", "ls", "-l"]).unwrap();
        assert_eq!((plan.target, plan.then), ("/u.merged".into(), Then::Run(vec!["ls".into(), "-l".into()])));
    }

    #[test]
    fn the_environment_names_drivers_and_the_flag_overrules_it() {
        let args = |line: &[&str]| Args::try_parse_from([&["ovl-mount", "/t"], line].concat()).unwrap();
        let order = |line: &[&str]| plan(args(line), Some(OsStr::new("kernel,fuse"))).unwrap().drivers;
        assert_eq!(order(&[]), [Driver::Kernel, Driver::Fuse]);
        assert_eq!(order(&["--driver", "fuse"]), [Driver::Fuse]);
    }

    #[test]
    fn contradictions_are_usage_errors() {
        let said = |line: &[&str]| {
            let failure = planned(line).unwrap_err();
            assert_eq!(failure.code, cli::exit::USAGE);
            failure.message
        };
        assert_eq!(said(&["-o", "lowerdir=/a"]), "no mount point named");
        assert_eq!(said(&["--layers", "x", "-o", "lowerdir=/a", "/t"]), "lower layers by both --layers and lowerdir=");
        assert_eq!(said(&["--upper", "x", "-o", "upperdir=/a", "/t"]), "both --upper and upperdir=");
        assert_eq!(said(&["--driver", "aufs", "/t"]), "driver aufs: unknown");
        assert_eq!(said(&["--json", "/t", "--", "x"]), "--json with a command");
    }
}
