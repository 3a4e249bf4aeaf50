//! What the user asked for, as data: `ctr run`'s options after parsing, kept in the container's record.

use crate::wiring::Wiring;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The name of the built-in image whose only layer is the running machine's root file system.
pub const HOST: &str = "host";

/// A container as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The image as named on the command line.
    pub image: String,
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
    /// `--driver`: the ordered list of overlay drivers.
    pub driver: Option<String>,
    /// What stands in for our own tools.
    pub programs: Programs,
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

/// One `-v SOURCE:TARGET[:OPTIONS]`: a folder or file of the machine inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Absolute path on the machine.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
}

impl Volume {
    /// Reads `-v`'s value. Relative sources (`./data`) are taken from `current_dir`, as docker does.
    pub fn parse(text: &str, current_dir: &std::path::Path) -> Result<Self> {
        let wrong = |why: &str| Error::new(Kind::Request, "volume", text).because(why);
        let mut parts = text.split(':');
        let (source, target) = match (parts.next(), parts.next()) {
            (Some(source), Some(target)) if !source.is_empty() => (source, target),
            _ => return Err(wrong("want SOURCE:TARGET[:ro]").hint("for example -v /srv/data:/data:ro")),
        };
        let options = parts.next().unwrap_or("rw");
        if parts.next().is_some() {
            return Err(wrong("too many colons"));
        }
        if !target.starts_with('/') || target == "/" {
            return Err(wrong("the path in the container must be absolute and not /"));
        }
        let mut read_only = false;
        for option in options.split(',').filter(|o| !o.is_empty()) {
            match option {
                "ro" | "readonly" => read_only = true,
                "rw" | "z" | "Z" | "rprivate" | "private" => {}
                other => return Err(wrong("unknown option").hint(format!("{other} is none of ro, rw"))),
            }
        }
        let source = if source.starts_with('/') {
            PathBuf::from(source)
        } else if source.starts_with('.') {
            current_dir.join(source)
        } else {
            return Err(wrong("named volumes are not supported yet")
                .hint(format!("give a folder by its path: -v ./{source}:{target}")));
        };
        Ok(Self { source, target: target.to_owned(), read_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn volumes() {
        let here = Path::new("/home/me");
        let volume = Volume::parse("./x:/data:ro", here).unwrap();
        assert_eq!((volume.source.as_path(), volume.read_only), (Path::new("/home/me/./x"), true));
        assert_eq!(Volume::parse("/a:/b", here).unwrap().target, "/b");
        let text = |t: &str| Volume::parse(t, here).unwrap_err().to_string();
        assert_eq!(text("/a"), "volume /a: want SOURCE:TARGET[:ro]");
        assert_eq!(text("/a:b"), "volume /a:b: the path in the container must be absolute and not /");
        assert_eq!(text("/a:/b:rx"), "volume /a:/b:rx: unknown option");
    }

    #[test]
    fn networks() {
        assert_eq!(Network::parse("none").unwrap(), Network::None);
        assert_eq!(Network::parse("bridge").unwrap(), Network::Named("bridge".into()));
        assert_eq!(Network::parse("container:x").unwrap(), Network::Container("x".into()));
    }
}
