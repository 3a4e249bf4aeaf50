//! Does what the plan says: reads the source, unpacks, tells.

use crate::TOOL;
use crate::interrupt::Stop;
use crate::plan::{Output, Plan};
use crate::source::{self, Opened, Source};
use cli::failure::Outcome;
use cli::progress::Progress;
use cli::{Failure, exit, output};
use layer::extract::{self, Devices, Expected, Options, Owners, Report, Whiteouts};
use layer::folders::{self, Folder};
use layer::probe::{self, Probed, What};
use layer::source::{ImageSource, choose};
use layer::{Kind, remove};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use serde_json::json;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Does it.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let stop = Stop::listen()?;
    let outcome = unpack(plan, &stop);
    stop.obey();
    outcome
}

fn unpack(plan: &Plan, stop: &std::sync::Arc<Stop>) -> Outcome {
    let Source { opened, name, reference } = source::open(&plan.source, stop)?;
    let target = Target::open(&plan.directory)?;
    let work = Work { plan, stop, target: &target, name: &name, reference: reference.as_deref() };
    let result = match opened {
        Opened::Folder(fd) => match plan.told {
            Some(What::Layer) => Err(Failure::new(format_args!("{name}: a folder, not a layer"))),
            _ => ImageSource::from_folder(fd, &name).map_err(Failure::from).and_then(|source| work.image(&source)),
        },
        Opened::File(file) => work.file(file),
        Opened::Stream(stream) => match probe::stream(stream, plan.told, &name, &plan.directory) {
            Ok(Probed::Layer(replay)) => work.layer(replay, None),
            Ok(Probed::Image(file)) => work.archive(file),
            Err(error) => Err(error.into()),
        },
    };
    if result.is_err() {
        target.take_back();
    }
    result
}

struct Work<'a> {
    plan: &'a Plan,
    stop: &'a Stop,
    target: &'a Target,
    name: &'a str,
    reference: Option<&'a str>,
}

impl Work<'_> {
    fn file(&self, file: File) -> Outcome {
        let what = match self.plan.told {
            Some(what) => what,
            // Only an image has names.
            None if self.reference.is_some() => What::Image,
            None => probe::file(&file, self.name)?,
        };
        match what {
            What::Layer => {
                let size = file.metadata().ok().map(|m| m.len());
                self.layer(file, size)
            }
            What::Image => self.archive(file),
        }
    }

    fn archive(&self, file: File) -> Outcome {
        self.image(&ImageSource::from_file(file, self.name, &self.plan.directory)?)
    }

    fn layer(&self, blob: impl Read + Send, size_bytes: Option<u64>) -> Outcome {
        if self.reference.is_some() || self.plan.platform.is_some() {
            let what = if self.reference.is_some() { ":REF" } else { "--platform" };
            return Err(Failure::usage(format_args!("{}: a layer has no {what}; only an image has", self.name)));
        }
        let progress = self.progress(size_bytes);
        let tell = |count| progress.add(count);
        let expected = Expected::named(self.name);
        let report = extract::unpack_layer(blob, self.target.fd.as_fd(), &expected, &self.options(&tell))
            .map_err(|error| self.failure(error))?;
        drop(progress);
        tell_skipped(self.name, &report);
        if self.plan.output == Output::Json {
            let mut line = described(&report);
            line["path"] = json!(self.plan.directory.to_string_lossy());
            return printed(output::json_line(&line));
        }
        Ok(exit::DONE)
    }

    fn image(&self, source: &ImageSource) -> Outcome {
        if self.plan.whiteouts == Some(Whiteouts::Apply) {
            return Err(Failure::usage(format_args!("{}: an image; --whiteouts apply is for one layer", self.name))
                .hint(
                    "unpack its layers one after the other into one folder, or lay them over each other with ovl-mount",
                ));
        }
        let image = choose(source.images(), source.name(), self.reference, self.plan.platform.as_ref())?;
        let dir = self.target.fd.as_fd();
        let progress = self.progress(Some(folders::bytes_to_read(image, dir)));
        let tell = |count| progress.add(count);
        let folders = folders::unpack_image(source, image, dir, &self.options(&tell), self.jobs())
            .map_err(|error| self.failure(error))?;
        drop(progress);
        for folder in &folders {
            if let Some(report) = &folder.report {
                tell_skipped(&folder.layer.expected().name, report);
            }
        }
        printed(self.print(&folders))
    }

    fn print(&self, folders: &[Folder]) -> io::Result<()> {
        for folder in folders {
            let hex = folder.chain_id.0.hex();
            let path = self.plan.directory.join(&hex);
            match self.plan.output {
                Output::Paths(end) => {
                    let mut line = path.as_os_str().as_bytes().to_vec();
                    line.push(end);
                    output::write(&line)?;
                }
                Output::Json => {
                    let mut line = match &folder.report {
                        Some(report) => described(report),
                        None => json!({"diff_id": folder.layer.diff_id, "digest": folder.layer.digest}),
                    };
                    line["path"] = json!(path.to_string_lossy());
                    line["chain_id"] = json!(folder.chain_id);
                    line["unpacked"] = json!(folder.report.is_some());
                    output::json_line(&line)?;
                }
            }
        }
        Ok(())
    }

    fn options<'o>(&'o self, tell: &'o (dyn Fn(u64) + Sync)) -> Options<'o> {
        let keep = self.plan.keep_owners.unwrap_or_else(|| rustix::process::geteuid().is_root());
        Options {
            whiteouts: self.plan.whiteouts.unwrap_or_else(|| Whiteouts::overlay_form(self.target.fd.as_fd())),
            owners: if keep { Owners::Keep } else { Owners::Caller },
            devices: if self.plan.skip_privileged { Devices::Skip } else { Devices::Fail },
            skip_privileged: self.plan.skip_privileged,
            on_progress: Some(tell),
            cancel: Some(&self.stop.flag),
            ..Options::default()
        }
    }

    fn jobs(&self) -> NonZeroUsize {
        self.plan.jobs.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }

    fn progress(&self, total_bytes: Option<u64>) -> Progress {
        if self.plan.quiet { Progress::hidden() } else { Progress::bytes("unpacking", total_bytes) }
    }

    fn failure(&self, error: layer::Error) -> Failure {
        let partly = error.kind != Kind::Cancelled && !self.target.was_empty && error.hint.is_none();
        let failure = Failure::from(error);
        if partly {
            failure.hint("what was unpacked before it is still in the folder, which was not empty")
        } else {
            failure
        }
    }
}

/// The folder to unpack into.
#[derive(Debug)]
struct Target {
    path: std::path::PathBuf,
    fd: OwnedFd,
    made: bool,
    was_empty: bool,
}

impl Target {
    fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |op, e: Errno| -> Failure {
            layer::Error::new(Kind::System, op, path.display()).because(io::Error::from(e)).into()
        };
        let made = match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST | Errno::ISDIR) => false,
            Err(e) => return Err(fail("mkdir", e)),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| fail("open", e))?;
        let was_empty = made || remove::is_empty(fd.as_fd()).map_err(|e| fail("read", e))?;
        Ok(Self { path: path.to_owned(), fd, made, was_empty })
    }

    /// Leaves it as it was found, where that is possible: it was empty.
    fn take_back(&self) {
        if self.was_empty {
            let _ = remove::remove_contents(self.fd());
        }
        if self.made {
            let _ = rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR);
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn described(report: &Report) -> serde_json::Value {
    json!({
        "digest": report.digest,
        "diff_id": report.diff_id,
        "blob_bytes": report.blob_bytes,
        "tar_bytes": report.tar_bytes,
        "entries": report.entries,
        "skipped": report.skipped_count,
    })
}

fn tell_skipped(layer: &str, report: &Report) {
    for line in &report.skipped {
        output::complain(TOOL, &format!("layer {layer}: skipped {line}"));
    }
    let more = report.skipped_count - report.skipped.len() as u64;
    if more > 0 {
        output::complain(TOOL, &format!("layer {layer}: skipped {more} more"));
    }
}

/// A reader of ours that has gone wants no more: that is no failure.
fn printed(result: io::Result<()>) -> Outcome {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(format_args!("stdout: {error}"))),
        _ => Ok(exit::DONE),
    }
}
