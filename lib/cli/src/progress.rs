//! A bar on stderr while something takes long; nothing at all where stderr is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar is drawn in a second; more costs time that the work wants.
const DRAWN_PER_SECOND: u8 = 8;

/// Progress over a number of bytes. It goes away when this value does.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// `verb` is what is going on (`unpacking`); `total_bytes` may be unknown.
    pub fn bytes(verb: &'static str, total_bytes: Option<u64>) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWN_PER_SECOND);
        let bar = ProgressBar::with_draw_target(total_bytes, target);
        let template = match total_bytes {
            Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{msg} {bytes} {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(verb);
        Self { bar }
    }

    /// No bar, whatever stderr is.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// `count` bytes more are done. Can be called from any thread.
    pub fn add(&self, count: u64) {
        self.bar.inc(count);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
