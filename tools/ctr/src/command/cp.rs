//! `ctr cp`: files and folders into containers and out of them, as docker does it.

use super::Context;
use super::reach::{self, Need};
use cli::failure::{Failure, Outcome};
use engine::copy::{self, How, Tree};
use engine::life::{self, Asked};
use engine::view::{self, Merged, Surroundings};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use store::{Record, Root, Status};

/// Options of `ctr cp`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
    #[arg(short, long)]
    quiet: bool,
    /// CONTAINER:PATH, a path, or - for a tar on standard input
    #[arg(value_name = "SRC_PATH|-")]
    source: String,
    /// CONTAINER:PATH, a path, or - for a tar on standard output
    #[arg(value_name = "DEST_PATH|-")]
    target: String,
}

/// One end, as it was written.
#[derive(Debug, PartialEq, Eq)]
enum End<'a> {
    Container(&'a str, &'a Path),
    Path(&'a Path),
    Stream,
}

impl<'a> End<'a> {
    /// docker's `splitCpArg`: what begins with a slash or a dot is a path of this machine, whatever colons it has.
    fn parse(text: &'a str) -> Self {
        if text == "-" {
            return Self::Stream;
        }
        match text.split_once(':') {
            Some((container, path)) if !text.starts_with(['/', '.', ':']) => {
                Self::Container(container, Path::new(path))
            }
            _ => Self::Path(Path::new(text)),
        }
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    for (what, text) in [("source", &args.source), ("destination", &args.target)] {
        if text.is_empty() {
            return Err(Failure::new(format!("{what} can not be empty")));
        }
    }
    let (source, target) = (End::parse(&args.source), End::parse(&args.target));
    let (name, inside) = match (&source, &target) {
        (End::Container(..), End::Container(..)) => {
            return Err(Failure::new("copying between containers is not supported")
                .hint("ctr cp ONE:PATH - | ctr cp - OTHER:FOLDER"));
        }
        (End::Container(name, path), _) | (_, End::Container(name, path)) => (*name, *path),
        _ => return Err(Failure::new("must specify at least one container source")),
    };
    let root = context.store()?;
    let record = root.find_container(name)?;
    if matches!(&source, End::Container(_, path) if path.as_os_str().is_empty()) {
        // docker's daemon, to the letter
        return Err(Failure::new("bad parameter: pathcannot be empty").hint(format!("{name}:/ is all of it")));
    }
    reach::ready(context, &root, &record, Need::Tree)?;
    let opened = Opened::new(context, &root, &record, (name, inside), matches!(target, End::Container(..)))?;
    let inside = &opened.tree;
    let mut how = How { follow: args.follow_link, keep_owners: true, owner: None };
    let quiet = args.quiet || !std::io::stdout().is_terminal();
    let told = |bytes: u64, to: &str| {
        if !quiet {
            cli::output::err_line(&format!("Successfully copied {} to {to}", cli::human::size(bytes)));
        }
    };
    match (source, target) {
        (End::Container(_, path), End::Stream) => {
            super::whole::to(None, |out| copy::write(inside, path, out, how))?;
        }
        (End::Container(_, path), End::Path(to)) => {
            // docker: what comes out belongs to whoever fetched it
            how.keep_owners = args.archive;
            let bytes = copy::copy(inside, path, &Tree::Machine, to, how)?;
            told(bytes, &absolute(to).display().to_string());
        }
        (End::Stream, End::Container(_, path)) => {
            copy::read(std::io::stdin(), inside, path, how)?;
        }
        (End::Path(from), End::Container(container, path)) => {
            if args.archive {
                how.owner = opened.user(&root, &record)?;
            }
            let bytes = copy::copy(&Tree::Machine, from, inside, path, how)?;
            told(bytes, &format!("{container}:{}", path.display()));
        }
        _ => {}
    }
    Ok(0)
}

/// Whether `path` of a container, without its `.` and `..`, is `folder` or below it.
fn is_below(path: &Path, folder: &Path) -> bool {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => plain.push(name),
            std::path::Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain.starts_with(folder)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A container's tree, however it is reached.
struct Opened {
    tree: Tree,
    _merged: Option<Merged>,
}

impl Opened {
    fn new(
        context: &Context,
        root: &Root,
        record: &Record,
        (name, path): (&str, &Path),
        writes: bool,
    ) -> Result<Self, Failure> {
        let state = life::state(root, &record.id)?;
        let tree = |root| Tree::Container { root, name: name.to_owned() };
        if let Some(process) = state.process.filter(|_| life::is_live(&state) && state.status != Status::Exited) {
            return Ok(Self { tree: tree(view::of_process(process)?), _merged: None });
        }
        let asked = Asked::of(record)?;
        if let Some(volume) = asked.request.volumes.iter().find(|v| is_below(path, Path::new(&v.target))) {
            // What is mounted when it runs would hide what we wrote below it.
            return Err(Failure::new(format!(
                "{} is in the volume {} of {name}, which does not run",
                path.display(),
                volume.target
            ))
            .hint(match volume.source.as_os_str().is_empty() {
                true => "start it first".to_owned(),
                false => format!("start it first, or copy to {} itself", volume.source.display()),
            }));
        }
        if writes && asked.request.read_only {
            return Err(Failure::new("container rootfs is marked read-only"));
        }
        let machine = context.machine()?;
        let own = context.own()?;
        let around = Surroundings { root, own: &own, machine: &machine };
        let merged = view::merge(&around, record)?;
        let folder = merged.folder().try_clone_to_owned();
        let folder = folder.map_err(|e| Failure::new(format!("{}: {e}", merged.path().display())))?;
        Ok(Self { tree: tree(folder), _merged: Some(merged) })
    }

    /// Whose the files become with `-a`: the container's user's, where it has one.
    fn user(&self, root: &Root, record: &Record) -> Result<Option<(u32, u32)>, Failure> {
        let asked = Asked::of(record)?;
        let user = asked.request.user.as_deref().unwrap_or(&asked.defaults.user);
        if user.is_empty() {
            return Ok(None);
        }
        let identity = engine::accounts::Accounts::of_container(root, record).resolve(user)?;
        Ok(Some((identity.uid, identity.gid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_as_docker_reads_them() {
        assert_eq!(End::parse("web:/etc"), End::Container("web", Path::new("/etc")));
        assert_eq!(End::parse("web:"), End::Container("web", Path::new("")));
        assert_eq!(End::parse("./a:b"), End::Path(Path::new("./a:b")));
        assert_eq!(End::parse("/a:b"), End::Path(Path::new("/a:b")));
        assert_eq!(End::parse("a"), End::Path(Path::new("a")));
        assert_eq!(End::parse("-"), End::Stream);
        assert!(is_below(Path::new("x/../data/./f"), Path::new("/data")));
        assert!(!is_below(Path::new("/database"), Path::new("/data")));
    }
}
