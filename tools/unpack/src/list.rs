//! `unpack --list`: what is in a layer, or in each layer of an image, lowest first.

mod long;
mod names;
mod record;

use crate::interrupt::Stop;
use crate::plan::Style;
use crate::report::printed;
use cli::failure::Outcome;
use cli::progress::Progress;
use cli::{Failure, exit, output};
use layer::Kind;
use layer::extract::Expected;
use layer::list::{self, Listed, Options};
use layer::select::Select;
use layer::source::{Image, ImageSource, LayerRef};
use long::Long;
use std::io::{self, IsTerminal, Read};
use std::ops::ControlFlow;

/// So much is gathered before it is written.
const AT_ONCE_BYTES: usize = 64 << 10;

/// One listing: how it looks, and what of it has not been written yet.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    style: Style,
    select: &'a Select,
    stop: &'a Stop,
    quiet: bool,
    long: Long,
    unwritten: Vec<u8>,
    /// Why nothing more can be written.
    failed: Option<io::Error>,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(style: Style, select: &'a Select, stop: &'a Stop, quiet: bool) -> Self {
        Self { style, select, stop, quiet, long: Long::default(), unwritten: Vec::new(), failed: None }
    }

    /// Lists one layer.
    pub(crate) fn layer(mut self, blob: impl Read + Send, name: &str, size_bytes: Option<u64>) -> Outcome {
        let progress = self.progress(size_bytes);
        let listed = self.one(blob, &Expected::named(name), None, &progress);
        drop(progress);
        self.end(name, listed)
    }

    /// Lists the layers of an image.
    pub(crate) fn image(mut self, source: &ImageSource, image: &Image) -> Outcome {
        let progress = self.progress(Some(image.blob_bytes()));
        let mut listed = Ok(());
        for layer in &image.layers {
            listed = source.blob(layer).and_then(|blob| self.one(blob, &layer.expected(), Some(layer), &progress));
            if listed.is_err() {
                break;
            }
        }
        drop(progress);
        self.end(source.name(), listed)
    }

    fn one(
        &mut self,
        blob: impl Read + Send,
        expected: &Expected,
        layer: Option<&LayerRef>,
        progress: &Progress,
    ) -> layer::Result<()> {
        let tell = |count| progress.add(count);
        let stop = self.stop;
        let select = (!self.select.is_everything()).then_some(self.select);
        let options = Options { select, on_progress: Some(&tell), cancel: Some(&stop.flag) };
        list::list_layer(blob, expected, &options, |listed| self.tell(listed, layer)).map(|_| ())
    }

    fn tell(&mut self, listed: &Listed<'_>, layer: Option<&LayerRef>) -> ControlFlow<()> {
        match self.style {
            Style::Names(b'\n') => {
                names::escape(&listed.entry.path, &mut self.unwritten);
                self.unwritten.push(b'\n');
            }
            Style::Names(end) => {
                self.unwritten.extend_from_slice(&listed.entry.path);
                self.unwritten.push(end);
            }
            Style::Long => self.long.line(listed.entry, &mut self.unwritten),
            Style::Json => record::line(listed, layer, &mut self.unwritten),
        }
        if self.unwritten.len() >= AT_ONCE_BYTES { self.write() } else { ControlFlow::Continue(()) }
    }

    fn write(&mut self) -> ControlFlow<()> {
        let written = output::write(&self.unwritten);
        self.unwritten.clear();
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// What was listed is written even where an error follows on it: it is what was found until then.
    fn end(mut self, name: &str, listed: layer::Result<()>) -> Outcome {
        if self.failed.is_none() {
            let _ = self.write();
        }
        if let Some(error) = self.failed {
            return printed(Err(error));
        }
        match listed {
            Err(error) => Err(Failure::from(error)),
            Ok(()) => nothing_unused(self.select, name).map(|()| exit::DONE),
        }
    }

    fn progress(&self, total_bytes: Option<u64>) -> Progress {
        // On one terminal bar and names would write over each other.
        let hidden = self.quiet || io::stdout().is_terminal();
        if hidden { Progress::hidden() } else { Progress::bytes("reading", total_bytes) }
    }
}

/// Fails where a pattern to include has fitted nothing: it is a mistake, as a name is that is not there.
pub(crate) fn nothing_unused(select: &Select, source: &str) -> Result<(), Failure> {
    match select.unused().next() {
        None => Ok(()),
        Some(pattern) => {
            let shown = layer::error::shown(pattern);
            let inside = pattern.iter().any(|b| b"*?[".contains(b));
            let hint = if inside {
                "unpack -t lists what is there"
            } else {
                "a pattern holds from the layer's root on: */NAME fits below any folder; unpack -t lists what is there"
            };
            Err(layer::Error::new(Kind::Choice, "", source)
                .because(format!("nothing in it fits {shown}"))
                .hint(hint)
                .into())
        }
    }
}
