//! What a source is: a layer or an image, told by its content or by the user.

use crate::interrupt::Interruptible;
use crate::source::Opened;
use cli::Failure;
use layer::probe::{self, Probed, What};
use layer::source::{Image, ImageSource, choose};
use spec::Platform;
use std::fs::File;
use std::path::PathBuf;

/// What a source turned out to be.
pub(crate) enum Found {
    Image(Box<ImageSource>),
    /// A layer, and its size where that is known.
    File(File, Option<u64>),
    /// A layer on its way to us.
    Stream(probe::Replay<Interruptible>),
}

/// Finding that out.
pub(crate) struct Look<'a> {
    pub(crate) name: &'a str,
    /// What the user says it is.
    pub(crate) told: Option<What>,
    pub(crate) reference: Option<&'a str>,
    pub(crate) platform: Option<&'a Platform>,
    /// Where an image that comes by a pipe is kept meanwhile.
    pub(crate) spool: PathBuf,
}

impl Look<'_> {
    pub(crate) fn find(&self, opened: Opened) -> Result<Found, Failure> {
        let found = match opened {
            Opened::Folder(fd) => match self.told {
                Some(What::Layer) => return Err(Failure::new(format_args!("{}: a folder, not a layer", self.name))),
                _ => Found::Image(Box::new(ImageSource::from_folder(fd, self.name)?)),
            },
            Opened::File(file) => {
                let what = match self.told {
                    Some(what) => what,
                    // Only an image has names.
                    None if self.reference.is_some() => What::Image,
                    None => probe::file(&file, self.name)?,
                };
                match what {
                    What::Layer => {
                        let size = file.metadata().ok().map(|m| m.len());
                        Found::File(file, size)
                    }
                    What::Image => self.archive(file)?,
                }
            }
            Opened::Stream(stream) => match probe::stream(stream, self.told, self.name, &self.spool)? {
                Probed::Layer(replay) => Found::Stream(replay),
                Probed::Image(file) => self.archive(file)?,
            },
        };
        if !matches!(found, Found::Image(_)) && (self.reference.is_some() || self.platform.is_some()) {
            let what = if self.reference.is_some() { ":REF" } else { "--platform" };
            return Err(Failure::usage(format_args!("{}: a layer has no {what}; only an image has", self.name)));
        }
        Ok(found)
    }

    fn archive(&self, file: File) -> Result<Found, Failure> {
        Ok(Found::Image(Box::new(ImageSource::from_file(file, self.name, &self.spool)?)))
    }

    /// The image that is meant.
    pub(crate) fn choose<'s>(&self, source: &'s ImageSource) -> Result<&'s Image, Failure> {
        Ok(choose(source.images(), source.name(), self.reference, self.platform)?)
    }
}
