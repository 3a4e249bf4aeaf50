//! A bar on stderr while something takes long; nothing at all where stderr is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often the bar is drawn in a second; more costs time that the work wants.
const DRAWN_PER_SECOND: u8 = 8;

/// Progress over a number of bytes, perhaps in a number of files. It goes away when this value does.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    files: Arc<AtomicU64>,
}

impl Progress {
    /// `verb` is what is going on (`unpacking`); `total_bytes` may be unknown.
    pub fn bytes(verb: &'static str, total_bytes: Option<u64>) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND);
        // Nothing is drawn before something has been done.
        let mut bar = ProgressBar::with_draw_target(total_bytes, target).with_message(verb);
        let files = Arc::new(AtomicU64::new(0));
        let template = match total_bytes {
            Some(_) => "{msg} [{wide_bar}] {bytes}/{total_bytes}{files} {bytes_per_sec} {eta}",
            None => "{msg} {bytes}{files} {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            let counted = Arc::clone(&files);
            let style = style.with_key("files", move |_: &ProgressState, out: &mut dyn Write| {
                let count = counted.load(Ordering::Relaxed);
                if count > 0 {
                    let _ = write!(out, " {count} files");
                }
            });
            bar = bar.with_style(style.progress_chars("=> "));
        }
        Self { bar, files }
    }

    /// No bar, whatever stderr is.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), files: Arc::default() }
    }

    /// Whether nobody sees it, so that nothing need be counted.
    pub fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// `count` bytes more are to be done.
    pub fn expect(&self, count: u64) {
        self.bar.inc_length(count);
    }

    /// `count` bytes more are done. Can be called from any thread.
    pub fn add(&self, count: u64) {
        self.bar.inc(count);
    }

    /// One file more is begun. Can be called from any thread; shows when the bar is drawn next.
    pub fn add_file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
