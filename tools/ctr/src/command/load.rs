//! `ctr load`: images out of an OCI layout (a folder or a tar) or a docker-archive, from a file or standard input.

use super::Context;
use cli::failure::{Failure, Outcome};
use cli::progress::Progress;
use engine::images::{Loaded, Watch, load};
use layer::source::ImageSource;
use spec::Platform;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Options of `ctr load`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An archive, perhaps compressed, or an OCI layout's folder; - is standard input (default: -)
    #[arg(short, long, value_name = "FILE|DIR|-")]
    input: Option<PathBuf>,
    /// Load only the images for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// No progress bar, and nothing about what is left out
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let platform = args.platform.as_deref().map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|e| Failure::new(e).code(cli::exit::OURS))?;
    let root = context.store()?;
    let spool = root.path().join("tmp");
    let source = match args.input.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => ImageSource::open_spooling(path, &spool)?,
        None => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                return Err(Failure::new("requested load from stdin, but stdin is a terminal")
                    .hint("ctr load -i FILE, or ctr load < FILE"));
            }
            let file = stdin.as_fd().try_clone_to_owned().map_err(|e| Failure::new(format!("standard input: {e}")))?;
            ImageSource::from_file(file.into(), STDIN, &spool).map_err(|error| {
                let failure = Failure::from(error);
                if failure.message != format!("{STDIN}: is empty") {
                    return failure;
                }
                Failure::new("requested load from stdin, but stdin is empty")
                    .hint("ctr load -i FILE, or ctr load < FILE")
            })?
        }
    };
    let stem = args.input.as_deref().and_then(stem_of);
    let bar = if args.quiet { Bar(Progress::hidden()) } else { Bar(Progress::bytes("loading", Some(0))) };
    let watch: Option<&dyn Watch> = if bar.0.is_hidden() { None } else { Some(&bar) };
    let loaded = load(&root, &source, stem.as_deref(), platform.as_ref(), watch)?;
    drop(bar);
    for image in loaded {
        if !args.quiet {
            tell_skipped(&image);
        }
        for name in &image.names {
            super::print(&format!("Loaded image: {}\n", name.familiar()))?;
        }
        if image.names.is_empty() {
            super::print(&format!("Loaded image ID: {}\n", image.id))?;
        }
    }
    Ok(0)
}

/// The bar on a terminal.
struct Bar(Progress);

impl Watch for Bar {
    fn expect(&self, bytes: u64) {
        self.0.expect(bytes);
    }

    fn read(&self, bytes: u64) {
        self.0.add(bytes);
    }

    fn file(&self) {
        self.0.add_file();
    }
}

/// What standard input is called in messages.
const STDIN: &str = "standard input";

/// What a layout or archive is called that names only tags: `debian` for `/images/debian/`, `debian.tar`, `debian.tar.gz`.
fn stem_of(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let name = path.file_name()?.to_str()?;
    if path.is_dir() {
        return Some(name.to_owned());
    }
    let endings = [".gz", ".zst", ".tar", ".tgz", ".oci"];
    Some(endings.iter().fold(name, |name, ending| name.strip_suffix(ending).unwrap_or(name)).to_owned())
}

/// Says in one line what could not be made without privileges. Devices in `dev/` are not worth it: containers get a `/dev`
/// of their own.
fn tell_skipped(image: &Loaded) {
    let told: Vec<&str> = image.skipped.iter().map(String::as_str).filter(|line| !line.starts_with("dev/")).collect();
    let silent = (image.skipped.len() - told.len()) as u64;
    match (told.first(), image.skipped_count.saturating_sub(silent)) {
        (Some(first), 1) => cli::output::complain("ctr", &format!("left out: {first}")),
        (Some(first), count) => cli::output::complain("ctr", &format!("left out: {first}, and {} more", count - 1)),
        (None, _) => {}
    }
}
