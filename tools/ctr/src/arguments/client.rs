//! The options that docker's client takes before the command.
//!
//! An alias or a script may have them. What is about how much the client tells is taken and changes nothing; what is about a daemon
//! somewhere else is refused, because the command would then happen on this machine.

use cli::failure::Failure;
use std::path::PathBuf;

/// docker's own options.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct Client {
    /// Location of client config files (default: $DOCKER_CONFIG, or ~/.docker)
    #[arg(long, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// Enable debug mode (nothing more is told)
    #[arg(short = 'D', long)]
    debug: bool,
    /// Set the logging level: debug, info, warn, error or fatal (nothing is logged)
    #[arg(short = 'l', long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// A daemon by its name; there is `default`
    #[arg(short = 'c', long, hide = true)]
    context: Option<String>,
    /// A daemon's socket
    #[arg(short = 'H', long, hide = true)]
    host: Vec<String>,
    /// How a daemon is reached
    #[arg(long, hide = true)]
    tls: bool,
    /// How a daemon is reached
    #[arg(long, hide = true)]
    tlsverify: bool,
    /// How a daemon is reached
    #[arg(long, hide = true)]
    tlscacert: Option<String>,
    /// How a daemon is reached
    #[arg(long, hide = true)]
    tlscert: Option<String>,
    /// How a daemon is reached
    #[arg(long, hide = true)]
    tlskey: Option<String>,
}

/// logrus' words.
const LEVELS: [&str; 8] = ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"];

impl Client {
    /// Refuses what cannot be meant here.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let _ = self.debug;
        if let Some(level) = self.log_level.as_deref().filter(|level| !LEVELS.contains(&&*level.to_lowercase())) {
            return Err(Failure::new(format!("Unable to parse logging level: {level}"))
                .hint(format!("one of {}", LEVELS.join(", "))));
        }
        if let Some(name) = self.context.as_deref().filter(|name| !matches!(*name, "" | "default")) {
            return Err(Failure::new(format!("context {name:?}: context not found"))
                .hint("there is no daemon, and so one context: default"));
        }
        let elsewhere = [
            ("host", !self.host.is_empty()),
            ("tls", self.tls),
            ("tlsverify", self.tlsverify),
            ("tlscacert", self.tlscacert.is_some()),
            ("tlscert", self.tlscert.is_some()),
            ("tlskey", self.tlskey.is_some()),
        ];
        match elsewhere.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(Failure::new(format!("--{option}: there is no daemon to connect to"))
                .hint("leave it out: ctr works on this machine")),
            None => Ok(()),
        }
    }
}
