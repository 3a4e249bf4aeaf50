//! `ctr import`: a tar of a root file system as an image.

use super::Context;
use cli::failure::{Failure, Outcome};
use engine::import::{Wanted, import};
use spec::Platform;
use std::fs::File;
use std::io::{IsTerminal, Read};

/// Options of `ctr import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "INSTRUCTION", allow_hyphen_values = true)]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "MESSAGE", default_value = "", allow_hyphen_values = true)]
    message: String,
    /// Set platform of the image
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// A tar, perhaps packed by gzip or zstd; - is standard input
    #[arg(value_name = "FILE|-")]
    source: String,
    /// What the image is called
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// docker takes more words, and does nothing with them
    #[arg(hide = true, num_args = 0..)]
    more: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Outcome {
    let platform = args.platform.as_deref().map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|e| Failure::new(e).code(cli::exit::OURS))?;
    let archive: Box<dyn Read> = match args.source.as_str() {
        "-" => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                return Err(Failure::new("requested import from stdin, but stdin is a terminal")
                    .hint("ctr import FILE, or ctr import - < FILE"));
            }
            Box::new(stdin)
        }
        url if url.starts_with("http://") || url.starts_with("https://") => {
            return Err(Failure::new(format!("import {url}: archives are not fetched"))
                .hint(format!("curl -L {url} | ctr import -")));
        }
        path => Box::new(File::open(path).map_err(|e| Failure::from(engine::error::system("open", path, e)))?),
    };
    let wanted = Wanted { name: args.name, message: args.message, changes: args.change, platform };
    let id = import(&context.store()?, archive, &wanted)?;
    super::print(&format!("{id}\n"))
}
