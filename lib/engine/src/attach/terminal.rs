//! Our own terminal: raw while a container's is shown in it, and its size.

use crate::stream::Order;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// Our terminal in raw mode; as it was again when dropped.
#[derive(Debug)]
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    /// Nothing where standard input is no terminal.
    pub(super) fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        if !isatty(&stdin) {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Our terminal's size, `more` characters larger each way; none where we have no terminal, or one without a size.
pub(super) fn size(more: u16) -> Option<Order> {
    let size = tcgetwinsize(std::io::stdout()).or_else(|_| tcgetwinsize(std::io::stdin())).ok()?;
    let known = size.ws_row > 0 && size.ws_col > 0;
    let (rows, columns) = (size.ws_row.saturating_add(more), size.ws_col.saturating_add(more));
    known.then_some(Order::Resize { rows, columns })
}
