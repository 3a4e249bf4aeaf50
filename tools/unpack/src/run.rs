//! Does what the plan says: finds out what the source is, then lists it or unpacks it.

use crate::TOOL;
use crate::find::{Found, Look};
use crate::interrupt::Stop;
use crate::list::{self, Listing};
use crate::plan::{Action, Output, Owners, Plan, Unpack};
use crate::report;
use crate::source::{self, Source};
use crate::target::Target;
use cli::failure::Outcome;
use cli::progress::Progress;
use cli::{Failure, exit, output};
use layer::compression::budget;
use layer::extract::{self, Expected, Options, Whiteouts};
use layer::flatten;
use layer::folders;
use layer::owners::IdMaps;
use layer::remove;
use layer::source::{Image, ImageSource};
use serde_json::json;
use std::cell::Cell;
use std::ffi::{CString, OsStr};
use std::io::Read;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Does it.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let stop = Stop::listen()?;
    let outcome = act(plan, &stop);
    stop.obey();
    outcome
}

fn act(plan: &Plan, stop: &Arc<Stop>) -> Outcome {
    let Source { opened, name, reference } = source::open(&plan.source, stop)?;
    let (reference, platform) = (reference.as_deref(), plan.platform.as_ref());
    let look = |spool| Look { name: &name, told: plan.told, reference, platform, spool };
    match &plan.action {
        Action::List(style) => {
            let look = look(std::env::temp_dir());
            let listing = Listing::new(*style, &plan.select, stop, plan.quiet);
            match look.find(opened)? {
                Found::Image(source) => {
                    let image = look.choose(&source)?;
                    listing.image(&source, image)
                }
                Found::File(file, size) => listing.layer(file, &name, size),
                Found::Stream(stream) => listing.layer(stream, &name, None),
            }
        }
        Action::Unpack(how) => {
            if let Some(jobs) = how.jobs {
                budget::limit_workers(jobs);
            }
            let target = Target::open(&how.directory)?;
            for name in extract::left_behind(target.fd()) {
                let path = how.directory.join(OsStr::from_bytes(name.as_bytes()));
                let what = "holds what a run that was killed had replaced; move back what you need, and remove it";
                output::complain(TOOL, &format!("{}: {what}", path.display()));
            }
            let look = look(how.directory.clone());
            let work = Work { plan, how, stop, target: &target, name: &name, wrote_here: Cell::new(false) };
            let result = look.find(opened).and_then(|found| match found {
                Found::Image(source) => work.image(&source, &look),
                Found::File(file, size) => work.layer(file, size),
                Found::Stream(stream) => work.layer(stream, None),
            });
            if result.is_err() {
                target.take_back(work.wrote_here.get());
            }
            result
        }
    }
}

struct Work<'a> {
    plan: &'a Plan,
    how: &'a Unpack,
    stop: &'a Stop,
    target: &'a Target,
    name: &'a str,
    /// The folder itself got a tree, rather than folders that are whole or not there.
    wrote_here: Cell<bool>,
}

impl Work<'_> {
    fn layer(&self, blob: impl Read + Send, size_bytes: Option<u64>) -> Outcome {
        let progress = self.progress(size_bytes);
        let expected = Expected::named(self.name);
        self.wrote_here.set(true);
        let report =
            self.with_options(&progress, |options| extract::unpack_layer(blob, self.target.fd(), &expected, options))?;
        drop(progress);
        list::nothing_unused(&self.plan.select, self.name)?;
        report::tell_skipped(self.name, &report);
        if self.how.output == Output::Json {
            let mut line = report::described(&report);
            line["path"] = json!(self.how.directory.to_string_lossy());
            return report::printed(output::json_line(&line));
        }
        Ok(exit::DONE)
    }

    fn image(&self, source: &ImageSource, look: &Look<'_>) -> Outcome {
        if self.how.flatten {
            return self.flat(source, look.choose(source)?);
        }
        if self.how.whiteouts == Some(Whiteouts::Apply) {
            return Err(Failure::usage(format_args!("{}: an image; --whiteouts apply is for one layer", self.name))
                .hint(
                    "unpack its layers one after the other into one folder, or lay them over each other with ovl-mount",
                ));
        }
        let image = look.choose(source)?;
        let dir = self.target.fd();
        let part = self.plan.select.mark();
        let to_read = folders::bytes_to_read(image, dir, &Options { part: part.as_deref(), ..Options::default() });
        let progress = self.progress(Some(to_read));
        let folders = self.with_options(&progress, |options| {
            folders::unpack_image(source, image, dir, &Options { part: part.as_deref(), ..*options }, self.jobs())
        })?;
        drop(progress);
        let new = || folders.iter().filter(|folder| folder.report.is_some());
        if new().count() == folders.len()
            && let Err(failure) = list::nothing_unused(&self.plan.select, self.name)
        {
            for name in new().filter_map(|folder| CString::new(folder.name.clone()).ok()) {
                let _ = remove::remove_tree(dir, &name);
            }
            return Err(failure);
        }
        for folder in new() {
            if let Some(report) = &folder.report {
                report::tell_skipped(&folder.layer.expected().name, report);
            }
        }
        report::printed(report::folders(self.how.output, &self.how.directory, &folders))
    }

    fn flat(&self, source: &ImageSource, image: &Image) -> Outcome {
        let target = self.target;
        if !target.was_empty {
            return Err(Failure::new(format_args!("{}: is not empty", self.how.directory.display()))
                .hint("--flatten makes a whole root file system: name a folder that is empty or does not exist"));
        }
        self.wrote_here.set(true);
        let beside = target.beside();
        let progress = self.progress(Some(image.blob_bytes()));
        let reports = self.with_options(&progress, |options| match &beside {
            Some((parent, name)) => flatten::into_new(source, image, parent.as_fd(), name, options, self.jobs()),
            None => flatten::into_empty(source, image, target.fd(), options, self.jobs()),
        })?;
        drop(progress);
        if let Err(failure) = list::nothing_unused(&self.plan.select, self.name) {
            if let Some((parent, name)) = &beside {
                // What has its name by now is not the folder that was made at first.
                let _ = remove::remove_tree(parent.as_fd(), name);
            }
            return Err(failure);
        }
        for (layer, report) in image.layers.iter().zip(&reports) {
            report::tell_skipped(&layer.expected().name, report);
        }
        report::printed(report::flat(self.how.output, &self.how.directory, image, &reports))
    }

    fn with_options<T>(
        &self,
        progress: &Progress,
        act: impl FnOnce(&Options<'_>) -> layer::Result<T>,
    ) -> Result<T, Failure> {
        let map = match &self.how.owners {
            Owners::Map(map) => map.ids()?,
            _ => IdMaps::default(),
        };
        let owners = match &self.how.owners {
            Owners::Default if rustix::process::geteuid().is_root() => extract::Owners::Keep,
            Owners::Default | Owners::Caller => extract::Owners::Caller,
            Owners::Keep => extract::Owners::Keep,
            Owners::Record => extract::Owners::Record,
            Owners::Map(_) => extract::Owners::Map(&map),
        };
        let select = &self.plan.select;
        let takes = |path: &[u8]| select.takes(path);
        let on_progress = |count| progress.add(count);
        let on_entry = |_: &layer::archive::Entry| progress.add_file();
        let options = Options {
            whiteouts: match self.how.whiteouts {
                Some(form) => form,
                None if self.how.flatten => Whiteouts::Apply,
                None => Whiteouts::overlay_form(self.target.fd()),
            },
            owners,
            devices: self.how.devices,
            skip_privileged: self.how.skip_privileged,
            no_xattrs: self.how.no_xattrs,
            limits: self.how.limits,
            select: if select.is_everything() { None } else { Some(&takes) },
            part: None,
            dedup: self.how.dedup,
            sync: self.how.sync,
            on_entry: if progress.is_hidden() { None } else { Some(&on_entry) },
            on_progress: if progress.is_hidden() { None } else { Some(&on_progress) },
            cancel: Some(&self.stop.flag),
        };
        Ok(act(&options)?)
    }

    fn jobs(&self) -> NonZeroUsize {
        threads(self.how.jobs)
    }

    fn progress(&self, total_bytes: Option<u64>) -> Progress {
        if self.plan.quiet { Progress::hidden() } else { Progress::bytes("unpacking", total_bytes) }
    }
}

/// How many threads: as told, else one a processor.
pub(crate) fn threads(jobs: Option<NonZeroUsize>) -> NonZeroUsize {
    jobs.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}
