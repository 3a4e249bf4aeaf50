//! Does what the plan says: finds out what the source is, compares, tells.

use super::plan::{Owners, Plan};
use crate::find::{Found, Look};
use crate::interrupt::Stop;
use crate::report;
use crate::source::{self, Source};
use cli::failure::Outcome;
use cli::progress::Progress;
use cli::{Failure, exit, output};
use layer::error::shown;
use layer::extract::Expected;
use layer::owners::IdMaps;
use layer::source::{Image, ImageSource};
use layer::verify::{self, Difference, Options, Verified, verify_layer};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::json;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The code where directory and layer differ.
const DIFFERS: u8 = exit::FAILED;

/// Does it.
pub(super) fn run(plan: &Plan) -> Outcome {
    let stop = Stop::listen()?;
    let outcome = compare(plan, &stop);
    stop.obey();
    outcome
}

fn compare(plan: &Plan, stop: &Arc<Stop>) -> Outcome {
    let directory = source::folder(&plan.directory)?;
    let Source { opened, name, reference } = source::open(&plan.source, stop)?;
    let (reference, platform) = (reference.as_deref(), plan.platform.as_ref());
    let look = Look { name: &name, told: None, reference, platform, spool: std::env::temp_dir() };
    let map = match &plan.owners {
        Owners::Map(map) => map.ids()?,
        _ => IdMaps::default(),
    };
    let work = Work { plan, stop, directory, map, name: &name };
    match look.find(opened)? {
        Found::Image(source) => work.image(&source, look.choose(&source)?),
        Found::File(file, size) => work.layer(file, size),
        Found::Stream(stream) => work.layer(stream, None),
    }
}

struct Work<'a> {
    plan: &'a Plan,
    stop: &'a Stop,
    directory: OwnedFd,
    /// Of ids, where there is one.
    map: IdMaps,
    name: &'a str,
}

impl Work<'_> {
    fn layer(&self, blob: impl Read + Send, size_bytes: Option<u64>) -> Outcome {
        let progress = self.progress(size_bytes);
        let verified = self.verified(blob, self.directory.as_fd(), &Expected::named(self.name), &progress)?;
        drop(progress);
        self.tell(&verified, "")?;
        Ok(if verified.is_equal() { exit::DONE } else { DIFFERS })
    }

    /// Each layer's folder, by its chain id.
    fn image(&self, source: &ImageSource, image: &Image) -> Outcome {
        let progress = self.progress(Some(image.blob_bytes()));
        let mut code = exit::DONE;
        for (layer, chain_id) in image.layers.iter().zip(image.chain_ids()) {
            let hex = chain_id.0.hex();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&self.directory, &hex, flags, Mode::empty()) {
                Ok(folder) => {
                    let blob = source.blob(layer)?;
                    let verified = self.verified(blob, folder.as_fd(), &layer.expected(), &progress)?;
                    if !verified.is_equal() {
                        code = DIFFERS;
                    }
                    self.tell(&verified, &hex)?;
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    code = DIFFERS;
                    self.line("missing", &hex, &format!("missing {hex}"), &[])?;
                }
                Err(e) => return Err(source::cannot_open(self.plan.directory.join(&hex).as_os_str(), e)),
            }
        }
        Ok(code)
    }

    fn verified(
        &self,
        blob: impl Read + Send,
        dir: BorrowedFd<'_>,
        expected: &Expected,
        progress: &Progress,
    ) -> Result<Verified, Failure> {
        let tell = |count| progress.add(count);
        let options = Options {
            owners: match &self.plan.owners {
                Owners::Default if !rustix::process::geteuid().is_root() && !verify::records_owners(dir) => {
                    verify::Owners::Any
                }
                Owners::Default | Owners::Named => verify::Owners::Named,
                Owners::Any => verify::Owners::Any,
                Owners::Map(_) => verify::Owners::Map(&self.map),
            },
            times: self.plan.times,
            xattrs: self.plan.xattrs,
            applied: self.plan.applied,
            select: if self.plan.select.is_everything() { None } else { Some(&self.plan.select) },
            on_progress: if progress.is_hidden() { None } else { Some(&tell) },
            cancel: Some(&self.stop.flag),
        };
        Ok(verify_layer(blob, dir, expected, &options)?)
    }

    fn tell(&self, verified: &Verified, folder: &str) -> Result<(), Failure> {
        let inside = |path: String| if folder.is_empty() { path } else { format!("{folder}/{path}") };
        for differs in &verified.differences {
            let path = inside(shown(&differs.path));
            let (how, changes) = match &differs.how {
                Difference::Missing => ("missing", &[][..]),
                Difference::Extra => ("extra", &[][..]),
                Difference::Changed(changes) => ("changed", &changes[..]),
            };
            let mut line = format!("{how} {path}");
            for (at, change) in changes.iter().enumerate() {
                line.push_str(&format!("{} {change}", if at == 0 { ":" } else { "," }));
            }
            self.line(how, &path, &line, changes)?;
        }
        if verified.more > 0 {
            output::complain(crate::TOOL, &format!("{}: {} more differences", self.name, verified.more));
        }
        Ok(())
    }

    fn line(&self, how: &str, path: &str, text: &str, changes: &[verify::Change]) -> Result<(), Failure> {
        let written = if self.plan.json {
            let changes: Vec<_> =
                changes.iter().map(|c| json!({"what": c.what, "here": c.here, "layer": c.layer})).collect();
            output::json_line(&json!({"path": path, "difference": how, "changes": changes}))
        } else {
            output::line(text)
        };
        // Where its reader wants no more, the code still tells.
        report::printed(written).map(|_| ())
    }

    fn progress(&self, total_bytes: Option<u64>) -> Progress {
        if self.plan.quiet { Progress::hidden() } else { Progress::bytes("comparing", total_bytes) }
    }
}
