//! What can be said of a new container: the options that `ctr run` and `ctr create` share, a file a part.

use cli::failure::Failure;
use engine::request::Request;

mod duration;
mod health;
mod identity;
mod isolation;
pub(crate) mod limits;
mod logging;
mod network;
pub(crate) mod process;
mod programs;
mod restart;
mod stop;
mod storage;
pub(crate) mod streams;

/// A new container's options, its image and its command.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Remove the container when it has ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// Name the container
    #[arg(long)]
    name: Option<String>,
    /// Remove the container that has this name, if there is one
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    identity: identity::Options,
    #[command(flatten)]
    pub(crate) streams: streams::Options,
    #[command(flatten)]
    process: process::Options,
    #[command(flatten)]
    storage: storage::Options,
    #[command(flatten)]
    pub(crate) network: network::Options,
    #[command(flatten)]
    limits: limits::Options,
    #[command(flatten)]
    isolation: isolation::Options,
    #[command(flatten)]
    logging: logging::Options,
    #[command(flatten)]
    restart: restart::Options,
    #[command(flatten)]
    health: health::Options,
    #[command(flatten)]
    stop: stop::Options,
    #[command(flatten)]
    programs: programs::Options,
    /// The image; `host` is this machine's own root file system
    pub(crate) image: String,
    /// The command with its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

impl Options {
    /// All of it as data, checked as far as that goes without looking at the machine. A failure has the code that `create` gives:
    /// what docker's client refuses is 125, what its daemon refuses 1, and told only if the client refuses nothing.
    pub(crate) fn request(&self) -> Result<Request, Failure> {
        let mut request = self.read().map_err(|failure| failure.code(cli::exit::OURS))?;
        let mut refusals = Refusals::default();
        // in the order in which docker's daemon looks
        let health = request.health.check.iter().try_for_each(|check| check.validate());
        refusals.hold(health.map_err(Failure::from))?;
        let mounts = self.storage.mounts(&mut refusals)?;
        request.restart = refusals.hold(self.restart.read())?.unwrap_or_default();
        if request.remove && request.restart.policy != engine::request::restart::Policy::No {
            let why = "conflicting options: cannot specify both --restart and --rm";
            return Err(Failure::new(why).code(cli::exit::OURS));
        }
        self.storage.read(&mut request, mounts, &mut refusals)?;
        refusals.told()?;
        Ok(request)
    }

    fn read(&self) -> Result<Request, Failure> {
        let (network, wiring) = self.network.read()?;
        let mut request = Request {
            image: self.image.clone(),
            command: self.command.clone(),
            network,
            wiring,
            tty: self.tty,
            interactive: self.interactive,
            remove: self.rm,
            limits: self.limits.read()?,
            logging: self.logging.read()?,
            health: self.health.read()?,
            stop: self.stop.read()?,
            programs: self.programs.read(),
            ..Request::default()
        };
        if self.replace && self.name().is_none() {
            return Err(Failure::new("cannot replace container without --name being set"));
        }
        self.identity.read(&mut request)?;
        self.process.read(&mut request)?;
        self.isolation.read(&mut request)?;
        Ok(request)
    }

    /// What it is to be called, if anything: docker writes a name with a slash before it, which may be typed too.
    pub(crate) fn name(&self) -> Option<&str> {
        let name = self.name.as_deref()?;
        Some(name.strip_prefix('/').unwrap_or(name)).filter(|name| !name.is_empty())
    }

    /// Makes the file for the container's id, where one was asked for.
    pub(crate) fn id_file(&self) -> Result<identity::IdFile, Failure> {
        self.identity.id_file()
    }
}

/// A failure with the code that `create` gives: what docker's daemon refuses is 1, what its client does 125.
fn failure(error: engine::Error) -> Failure {
    let code = if error.kind == engine::Kind::Refused { cli::exit::FAILED } else { cli::exit::OURS };
    Failure::from(error).code(code)
}

/// What docker's daemon would refuse, held back until its client has read everything.
#[derive(Debug, Default)]
struct Refusals(Option<Failure>);

impl Refusals {
    /// What was read; of what the daemon refuses the first is kept, and what the client refuses is told at once.
    fn hold<T>(&mut self, read: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(refused) if refused.code == cli::exit::FAILED => {
                self.0.get_or_insert(refused);
                Ok(None)
            }
            Err(wrong) => Err(wrong),
        }
    }

    fn told(self) -> Result<(), Failure> {
        self.0.map_or(Ok(()), Err)
    }
}
