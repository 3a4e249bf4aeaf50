//! What every command gets besides its own options: where things are, and who we are.

use crate::config::Config;
use cli::failure::Failure;
use engine::machine::Machine;
use engine::place::Place;
use engine::tools;
use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use store::Root;

/// Set where an ordinary user's command runs again as root of a user namespace.
pub(crate) const AGAIN: &str = "VENEER_AGAIN";

/// The surroundings of a command.
#[derive(Debug)]
pub(crate) struct Context {
    /// The state root, as `--root` named it.
    pub(crate) root: Option<PathBuf>,
    /// The folder of docker's `config.json`, as `--config` named it.
    config_folder: Option<PathBuf>,
    /// What stands there, once somebody wants to know: what is wrong with it is told once.
    config: OnceCell<Config>,
    /// Our own command line, the program's name first.
    pub(crate) words: Vec<OsString>,
}

impl Context {
    /// The surroundings of the command line `words`, in which `--root` and `--config` were these.
    pub(crate) fn new(root: Option<PathBuf>, config_folder: Option<PathBuf>, words: Vec<OsString>) -> Self {
        Self { root, config_folder, config: OnceCell::new(), words }
    }

    /// Where the store is, or would be.
    pub(crate) fn state_root(&self) -> Result<PathBuf, Failure> {
        let path = match &self.root {
            Some(path) => path.clone(),
            None => Root::default_path()?,
        };
        std::path::absolute(&path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
    }

    /// The store, made where there is none.
    pub(crate) fn store(&self) -> Result<Root, store::Error> {
        let path = self.root.clone().map_or_else(Root::default_path, Ok)?;
        Root::open(&path)
    }

    /// What the user chose in docker's configuration.
    pub(crate) fn config(&self) -> &Config {
        self.config.get_or_init(|| Config::load(self.config_folder.as_deref()))
    }

    /// Where run state lives.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        Ok(Place::choose(&self.state_root()?))
    }

    /// What this machine is like.
    pub(crate) fn machine(&self) -> Result<Machine, Failure> {
        Ok(Machine::probe(&self.state_root()?))
    }

    /// Our own executable.
    pub(crate) fn own(&self) -> Result<PathBuf, Failure> {
        std::env::current_exe().map_err(|e| Failure::new(format!("find our own executable: {e}")))
    }

    /// For commands that touch the store or mount: as an ordinary user, starts the same command again as root of a fresh
    /// user namespace, with the user's id ranges, and does not come back. As root it does nothing.
    pub(crate) fn become_root(&self) -> Result<(), Failure> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let machine = self.machine()?;
        let own = self.own()?;
        let mut command = tools::ourselves(&own, OsStr::new("nsrun"));
        command.args(["--user", "--map-root-user"]);
        if machine.has_id_ranges {
            command.arg("--map-auto");
        } else {
            cli::output::complain("ctr", "only your own id is available inside: files of others cannot be kept");
            cli::output::err_line("hint: install uidmap and have a range for you in /etc/subuid and /etc/subgid");
        }
        command.args(["--mount", "--propagation", "slave", "--"]).arg(&own).args(self.words.iter().skip(1));
        command.env(AGAIN, "1").env("VENEER_ROOT", self.state_root()?).env("VENEER_RUN", self.place()?.path());
        let error = command.exec();
        Err(Failure::new(format!("execute {}: {error}", own.display())).code(cli::exit::OURS))
    }
}

/// An engine's error with docker's exit code for `run`.
pub(crate) fn run_failure(error: engine::Error) -> Failure {
    let code = engine::supervise::exit_code(error.kind);
    Failure::from(error).code(code)
}
