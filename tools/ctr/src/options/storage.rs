//! Options of `ctr run` and `ctr create` about files: volumes, and what may be written.

use super::{Refusals, failure};
use cli::failure::Failure;
use engine::request::Request;
use engine::request::secret::Use;
use engine::request::volume::{Volume, distinct};
use std::path::PathBuf;

/// Which files it sees.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Bind mount a folder or file of this machine
    #[arg(short, long, value_name = "SOURCE:TARGET[:OPTIONS]")]
    volume: Vec<String>,
    /// Attach a filesystem mount to the container: type=bind or tmpfs, src, dst, readonly, …
    #[arg(long, value_name = "FIELD=VALUE,…")]
    mount: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "CONTAINER[:ro|rw]")]
    volumes_from: Vec<String>,
    /// Mount the container's root filesystem as read only
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    read_only: bool,
    /// With --read-only, /run, /tmp and /var/tmp can be written
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    read_only_tmpfs: bool,
    /// What stands for the image is a root file system on this machine
    #[arg(long)]
    rootfs: bool,
    /// A secret of the store as a file or a variable
    #[arg(long, value_name = "NAME[,OPTION=VALUE]")]
    secret: Vec<String>,
    /// Which overlay drivers to try, in this order: kernel, fuse
    #[arg(long, value_name = "LIST")]
    driver: Option<String>,
    /// Storage driver options: there is none for a container
    #[arg(long, value_name = "KEY=VALUE", hide = true)]
    storage_opt: Vec<String>,
}

impl Options {
    /// The folder that relative sources are taken from; one that is gone is an error where there are such.
    fn here(&self) -> Result<PathBuf, Failure> {
        let needed = self.rootfs
            || self.volume.iter().any(|text| text.starts_with('.'))
            || self.mount.iter().any(|text| text.contains("=."));
        match std::env::current_dir() {
            Err(error) if needed => {
                let failure = Failure::new(format!("current directory: {}", super::process::reason(&error)));
                Err(failure.hint("sources that begin with a dot are taken from there: cd to a folder that is there"))
            }
            here => Ok(here.unwrap_or_else(|_| "/".into())),
        }
    }

    /// What `--mount` says, which docker's daemon looks at before anything else of these.
    pub(crate) fn mounts(&self, refusals: &mut Refusals) -> Result<Vec<Volume>, Failure> {
        let here = self.here()?;
        let mut mounts = Vec::new();
        for text in &self.mount {
            mounts.extend(refusals.hold(Volume::mount(text, &here).map_err(failure))?);
        }
        Ok(mounts)
    }

    /// Writes them into `request`, with what [`Self::mounts`] gave.
    pub(crate) fn read(
        &self,
        request: &mut Request,
        mounts: Vec<Volume>,
        refusals: &mut Refusals,
    ) -> Result<(), Failure> {
        if self.storage_opt.iter().any(|option| !option.contains('=')) {
            let failure = Failure::new("invalid storage option").hint("--storage-opt takes KEY=VALUE");
            return Err(failure.code(cli::exit::OURS));
        }
        let here = self.here()?;
        let secrets = self.secret.iter().map(|text| Use::parse(text)).collect::<engine::Result<_>>();
        request.manner.secrets = refusals.hold(secrets.map_err(failure))?.unwrap_or_default();
        let (mut volumes, mut others) = (Vec::new(), mounts);
        for text in &self.tmpfs {
            others.extend(refusals.hold(Volume::tmpfs(text).map_err(failure))?);
        }
        for text in &self.volume {
            volumes.extend(refusals.hold(Volume::parse(text, &here).map_err(failure))?);
        }
        volumes.extend(others);
        request.volumes = refusals.hold(distinct(volumes).map_err(failure))?.unwrap_or_default();
        request.volumes_from.clone_from(&self.volumes_from);
        request.read_only = self.read_only;
        request.manner.read_only_tmpfs = self.read_only_tmpfs;
        request.manner.rootfs = self.rootfs;
        if self.rootfs {
            request.image = here.join(&request.image).to_string_lossy().into_owned();
        }
        request.driver.clone_from(&self.driver);
        if let Some(option) = self.storage_opt.first() {
            let message = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
            let hint = format!("leave out {option}: no driver here bounds a writable layer");
            refusals.hold::<()>(Err(Failure::new(message).hint(hint)))?;
        }
        Ok(())
    }
}
