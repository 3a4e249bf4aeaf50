//! Options of `ctr run` and `ctr create` about files: volumes, and what may be written.

use cli::failure::Failure;
use engine::request::{Request, Volume};

/// Which files it sees.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// A folder or file of this machine inside the container
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    volume: Vec<String>,
    /// The root file system cannot be written
    #[arg(long)]
    read_only: bool,
    /// Which overlay drivers to try, in this order: kernel, fuse
    #[arg(long, value_name = "LIST")]
    driver: Option<String>,
}

impl Options {
    /// Writes them into `request`.
    pub(crate) fn read(&self, request: &mut Request) -> Result<(), Failure> {
        let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
        request.volumes = self.volume.iter().map(|text| Volume::parse(text, &here)).collect::<engine::Result<_>>()?;
        request.read_only = self.read_only;
        request.driver.clone_from(&self.driver);
        Ok(())
    }
}
