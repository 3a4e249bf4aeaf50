//! Options of `ctr run` and `ctr create` that put others' programs in the place of ours.

use engine::request::Programs;
use std::path::PathBuf;

/// What stands in for our own tools.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// An OCI runtime instead of nsrun
    #[arg(long, value_name = "PROGRAM", env = "VENEER_RUNTIME")]
    runtime: Option<PathBuf>,
    /// An overlay program in -o grammar instead of ovl-mount
    #[arg(long, value_name = "PROGRAM", env = "VENEER_MOUNT_PROGRAM")]
    mount_program: Option<PathBuf>,
    /// A program in netwire's grammar instead of netwire
    #[arg(long, value_name = "PROGRAM", env = "VENEER_NETWIRE")]
    netwire: Option<PathBuf>,
    /// CNI plugins that netwire is to run instead of doing it itself
    #[arg(long, value_name = "DIR[:DIR]", env = "VENEER_CNI_PATH")]
    cni_path: Option<String>,
}

impl Options {
    /// As data.
    pub(crate) fn read(&self) -> Programs {
        Programs {
            runtime: self.runtime.clone(),
            mount: self.mount_program.clone(),
            netwire: self.netwire.clone(),
            cni: self.cni_path.clone(),
        }
    }
}
