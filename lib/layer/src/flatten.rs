//! All layers of an image, applied in order, into one root file system.
//!
//! ```text
//! layer n    read + inflate ─▶ entries ─▶ tree ──┐ the tree is handed on
//! layer n+1  read + inflate ─▶ (waits)  ◀────────┘
//! ```
//!
//! Whiteouts are carried out, and a directory has what the last layer that names it says, with its time set when all layers are
//! in: the result is what an overlay of the separate layers shows. While a layer is written the next one is read ahead, as far
//! as its buffers go. Nothing that a later layer hides is left out beforehand: a stream does not tell until it has come.

use crate::error::{Error, Fault, Kind, Result, system};
use crate::extract::{self, Allowance, Options, Report, Tree, Ways, Whiteouts};
use crate::queue::{Receiver, bounded};
use crate::remove;
use crate::source::{Image, ImageSource, LayerRef};
use crate::stage::{self, Stage};
use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Unpacks the layers of `image` over each other into the directory `dest`, which must be empty, and is so again after an
/// error. What came of each layer, lowest first; the form of whiteouts in `options` does not matter.
pub fn into_empty(
    source: &ImageSource,
    image: &Image,
    dest: BorrowedFd<'_>,
    options: &Options<'_>,
    jobs: NonZeroUsize,
) -> Result<Vec<Report>> {
    if !remove::is_empty(dest).map_err(|e| system("read directory", "", e))? {
        return Err(Error::new(Kind::System, "", source.name())
            .because("the folder to unpack it into is not empty")
            .hint("name a folder that is empty or does not exist"));
    }
    let options = Options { whiteouts: Whiteouts::Apply, ..*options };
    let reports = extract::on_own_thread(|exact| apply(source, image, dest, &options, jobs, exact));
    let reports = reports.and_then(|reports| {
        if options.sync {
            stage::sync(dest)?;
        }
        Ok(reports)
    });
    if reports.is_err() {
        let _ = remove::remove_contents(dest);
    }
    reports
}

/// The same into the folder `name` below `parent`, which must not be there, or be empty: it is built under a temporary name.
/// What runs that were killed have left of such is removed.
pub fn into_new(
    source: &ImageSource,
    image: &Image,
    parent: BorrowedFd<'_>,
    name: &CStr,
    options: &Options<'_>,
    jobs: NonZeroUsize,
) -> Result<Vec<Report>> {
    stage::sweep(parent);
    let stage = Stage::new(parent)?;
    let reports = into_empty(source, image, stage.fd(), options, jobs)?;
    stage.commit_over(name)?;
    if options.sync {
        rustix::fs::fsync(parent).map_err(|e| system("fsync", "", e))?;
    }
    Ok(reports)
}

fn apply(
    source: &ImageSource,
    image: &Image,
    dest: BorrowedFd<'_>,
    options: &Options<'_>,
    jobs: NonZeroUsize,
    exact: bool,
) -> Result<Vec<Report>> {
    let (allowance, stop) = (Allowance::default(), AtomicBool::new(false));
    let ways = Ways::new(dest, options, exact);
    let name = |layer: Option<&LayerRef>| layer.map_or_else(String::new, |layer| layer.expected().name);
    let mut tree = Tree::new(dest, &ways, &allowance).map_err(|fault| fault.in_layer(&name(image.layers.first())))?;
    let mut reports = Vec::with_capacity(image.layers.len());
    std::thread::scope(|scope| {
        // Each layer gets the tree when the one below is done with it.
        let start = |at: usize| {
            let layer = image.layers.get(at)?;
            let (give, take) = bounded::<Tree<'_>>(1);
            let stop = &stop;
            let thread = scope.spawn(move || {
                extract::own_umask();
                one(source, layer, take, options, stop)
            });
            Some((give, thread))
        };
        let mut next = start(0);
        for at in 0..image.layers.len() {
            let Some((give, thread)) = next.take().or_else(|| start(at)) else { break };
            if jobs.get() > 1 {
                next = start(at + 1);
            }
            let _ = give.send(tree);
            match thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                Ok((after, report)) => {
                    tree = after;
                    reports.push(report);
                }
                Err(error) => {
                    // Whoever waits for the tree gets none.
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        tree.finish().map_err(|fault| fault.in_layer(&name(image.layers.last())))
    })?;
    if let Some(last) = reports.pop() {
        reports.push(last.with_skipped(&ways));
    }
    Ok(reports)
}

fn one<'t>(
    source: &ImageSource,
    layer: &LayerRef,
    take: Receiver<Tree<'t>>,
    options: &Options<'_>,
    stop: &AtomicBool,
) -> Result<(Tree<'t>, Report)> {
    let expected = layer.expected();
    let blob = source.blob(layer)?;
    let get = || take.recv().map_err(|_| Fault::interrupted());
    extract::add_layer(get, blob, &expected, options, Some(stop)).map_err(|fault| fault.in_layer(&expected.name))
}
