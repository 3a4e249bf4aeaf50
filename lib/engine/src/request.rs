//! What the user asked for, as data: `ctr run`'s options after parsing, kept in the container's record.

use crate::wiring::Wiring;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub mod device;
pub mod health;
pub mod isolation;
pub mod limits;
pub mod logging;
pub mod manner;
pub mod restart;
pub mod secret;
pub mod stop;
pub mod streams;
pub mod volume;

pub use volume::Volume;

/// The name of the built-in image whose only layer is the running machine's root file system.
pub const HOST: &str = "host";

/// A container as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The image as named on the command line.
    pub image: String,
    /// Its lowest layer is the machine's own root file system, as the image's label says.
    pub over_host: bool,
    /// `--platform`: which one the image has to be of.
    pub platform: Option<String>,
    /// The words behind the image: they replace the image's `Cmd`.
    pub command: Vec<String>,
    /// `--entrypoint`: replaces the image's; one empty word clears it.
    pub entrypoint: Option<String>,
    /// `-e`: `NAME=value`, already resolved.
    pub env: Vec<String>,
    /// `-w`
    pub workdir: Option<String>,
    /// `-u`: `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// `-v`
    pub volumes: Vec<Volume>,
    /// `--network`
    pub network: Network,
    /// What else was said about networks: interfaces, ports, names.
    pub wiring: Wiring,
    /// `--hostname`
    pub hostname: Option<String>,
    /// `-t`: a terminal.
    pub tty: bool,
    /// `-i`: standard input stays open.
    pub interactive: bool,
    /// `--rm`: remove the container when it has ended.
    pub remove: bool,
    /// `--init`: a PID 1 of ours in front of the command.
    pub init: bool,
    /// `--read-only`
    pub read_only: bool,
    /// `--cap-add`
    pub cap_add: Vec<String>,
    /// `--cap-drop`
    pub cap_drop: Vec<String>,
    /// `--security-opt no-new-privileges`
    pub no_new_privileges: bool,
    /// `--label`: what is written on it.
    pub labels: std::collections::BTreeMap<String, String>,
    /// What it may use of the machine.
    pub limits: limits::Limits,
    /// Which namespaces it has, and what it may do.
    pub isolation: isolation::Isolation,
    /// How its process is set up otherwise.
    pub manner: manner::Manner,
    /// `--volumes-from`: containers whose volumes it has too, each with `:ro` or `:rw` behind it or not.
    pub volumes_from: Vec<String>,
    /// Where its output is kept.
    pub logging: logging::Logging,
    /// When it is started again.
    pub restart: restart::Restart,
    /// How its health is looked at.
    pub health: health::Health,
    /// How it is asked to end.
    pub stop: stop::Stop,
    /// Which of its streams are whose who started it.
    pub streams: streams::Streams,
    /// `--driver`: the ordered list of overlay drivers.
    pub driver: Option<String>,
    /// What stands in for our own tools.
    pub programs: Programs,
}

/// A request that contradicts itself, in docker's words.
pub(crate) fn wrong(text: impl std::fmt::Display) -> Error {
    Error::new(Kind::Request, "", text)
}

impl Request {
    /// Whether the lowest layer is the machine's own root file system: the image `host`, or one committed on it.
    pub fn is_on_host(&self) -> bool {
        self.image == HOST || self.over_host
    }
}

/// Programs by others in the place of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Programs {
    /// An OCI runtime instead of `nsrun`.
    pub runtime: Option<PathBuf>,
    /// An overlay program in `-o` grammar instead of `ovl-mount`.
    pub mount: Option<PathBuf>,
    /// A program in `netwire`'s grammar.
    pub netwire: Option<PathBuf>,
    /// Folders of CNI plugins that `netwire` is to run, as in `CNI_PATH`.
    pub cni: Option<String>,
}

impl Programs {
    /// The same for whoever works in another folder than we do: only a name alone is looked up in `$PATH`.
    pub(crate) fn in_any_folder(&self) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let program = |path: &Option<PathBuf>| {
            let is_name = |path: &Path| path.components().count() < 2;
            path.as_deref().map(|path| if is_name(path) { path.to_owned() } else { absolute(path) })
        };
        let folder = |text: &str| match text {
            "" => String::new(),
            text => absolute(Path::new(text)).to_string_lossy().into_owned(),
        };
        Self {
            runtime: program(&self.runtime),
            mount: program(&self.mount),
            netwire: program(&self.netwire),
            cni: self.cni.as_ref().map(|list| list.split(':').map(folder).collect::<Vec<_>>().join(":")),
        }
    }
}

/// Which network a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// What the image is used with: `none` for `host`, else the network `bridge`.
    #[default]
    Default,
    /// Only `lo`.
    None,
    /// The machine's own.
    Host,
    /// That of another container, by name or id.
    Container(String),
    /// A network of netwire's, by name; further ones are in [`Wiring::endpoints`].
    Named(String),
}

impl Network {
    /// Reads `--network`'s value.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "default" => Self::Default,
            "none" => Self::None,
            "host" => Self::Host,
            "" => return Err(Error::new(Kind::Request, "network", "\"\"").because("no name given")),
            name => match name.strip_prefix("container:") {
                Some(container) => Self::Container(container.to_owned()),
                None => Self::Named(name.to_owned()),
            },
        })
    }
}

/// A truth as docker reads it, by Go's `strconv.ParseBool`; none where the text is neither.
pub fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        assert_eq!(Network::parse("none").unwrap(), Network::None);
        assert_eq!(Network::parse("bridge").unwrap(), Network::Named("bridge".into()));
        assert_eq!(Network::parse("container:x").unwrap(), Network::Container("x".into()));
    }
}
