//! `ovl-mount convert`: an upper for the fuse driver alone becomes one that the kernel takes, and back.

use crate::cli::ConvertArgs;
use crate::plan::{self, LayerList};
use crate::run::read_layers;
use cli::failure::Outcome;
use cli::{Failure, exit, output};
use overlay::options::parse_lowerdir;
use overlay::union::{Lower, StackSpec, convert};
use overlay::{Compat, XattrNamespace, Xattrs};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;

pub(crate) fn run(args: ConvertArgs) -> Outcome {
    let to = args.to.as_deref().map_or(Ok(Compat::Kernel), plan::compat)?;
    let (lowers, data_only) = match (&args.lowerdir, args.layers) {
        (Some(list), _) => {
            let lowers = parse_lowerdir(list.as_bytes()).map_err(plan::usage)?;
            (lowers.layers, lowers.data)
        }
        (None, Some(file)) => {
            let file = (file.as_os_str() != "-").then_some(file);
            (read_layers(&LayerList { file, end: b'\n' })?, Vec::new())
        }
        (None, None) if to == Compat::Fuse => (Vec::new(), Vec::new()),
        (None, None) => {
            return Err(Failure::usage("no lower layers named").hint("name those it was made over: --lowerdir A:B"));
        }
    };
    let xattrs = if args.userxattr { Xattrs::User } else { Xattrs::for_this_process() };
    let each = |paths: Vec<_>| paths.into_iter().map(Lower::Path).collect();
    let spec = StackSpec {
        lowers: each(lowers),
        data_only: each(data_only),
        work: Some(args.work.unwrap_or_else(|| plan::beside(&args.upper, ".work"))),
        upper: Some(args.upper),
        xattrs: match xattrs {
            Xattrs::Trusted => XattrNamespace::Trusted,
            Xattrs::User => XattrNamespace::User,
        },
        ..StackSpec::default()
    };
    let done = convert(&spec, to)?;
    if args.json {
        let counted = serde_json::json!({
            "folders": done.folders, "files": done.files, "links": done.links, "whiteouts": done.whiteouts,
        });
        match output::json_line(&counted) {
            Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                return Err(spec::Error::new((), "write to", "stdout").because(e).into());
            }
            _ => {}
        }
    }
    Ok(exit::DONE)
}
