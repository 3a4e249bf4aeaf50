//! Options about a container's streams: which are whose (`run`, `create`), and how to be attached to them (`run`, `start`, `attach`).

use crate::context::Context;
use cli::failure::Failure;
use engine::attach::Keys;
use engine::request::streams::Streams;

/// Whose its streams are.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Attach only to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "STREAM")]
    attach: Vec<String>,
}

impl Options {
    /// What is attached to a container that keeps its input open or not, and goes to the background or not.
    pub(crate) fn read(&self, interactive: bool, detach: bool) -> Result<Streams, Failure> {
        Streams::choose(&self.attach, interactive, detach).map_err(|e| {
            // docker's codes
            let code = if e.kind == engine::Kind::Conflict { cli::exit::FAILED } else { cli::exit::OURS };
            Failure::from(e).code(code)
        })
    }
}

/// How to be attached.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Attaching {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<String>,
    /// Pass on all signals to the process
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) sig_proxy: bool,
}

impl Attaching {
    /// What to attach of a container with these streams and perhaps a terminal.
    pub(crate) fn read(
        &self,
        streams: Streams,
        tty: bool,
        context: &Context,
    ) -> Result<engine::attach::Options, Failure> {
        Ok(engine::attach::Options {
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
            tty,
            proxy_signals: self.sig_proxy,
            keys: keys(self.detach_keys.as_deref(), context)?,
            redraw: false,
            exec: None,
        })
    }
}

/// The keys that leave a container, as asked for or as configured.
pub(crate) fn keys(asked: Option<&str>, context: &Context) -> engine::Result<Keys> {
    Keys::choose(asked, context.config().text("detachKeys"))
}

/// Refuses a terminal that is none: docker's words.
pub(crate) fn check_terminal(stdin: bool, tty: bool) -> Result<(), Failure> {
    if stdin && tty && !rustix::termios::isatty(std::io::stdin()) {
        return Err(Failure::new("the input device is not a TTY").hint("leave out -t, or -i"));
    }
    Ok(())
}
