//! `-v`, `--mount` and `--tmpfs`: folders and files of the machine, and file systems in memory, inside the container. docker's
//! grammars, with podman's options.
//!
//! `-v` makes a source that is missing, `--mount` refuses it; both name a folder by an absolute path or one that begins with a dot.

mod csv;
mod flags;

use crate::request::wrong;
use crate::{Error, Result};
use flags::Flags;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One thing mounted into the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Absolute path on the machine; empty for a tmpfs.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
    /// What it is.
    pub kind: Kind,
    /// The options as they were given behind `-v`'s second colon or to `--tmpfs`.
    pub mode: String,
    /// `shared`, `rslave` and so on; none for `rprivate`.
    pub propagation: Option<String>,
    /// What becomes of mounts below the source.
    pub below: Below,
    /// Further options of the mount: `noexec`, `size=1m`.
    pub options: Vec<String>,
    /// podman's `U`: the source is given to the container's user.
    pub own: bool,
    /// podman's `idmap`: the source's owners show as the container's.
    pub ids: Option<Ids>,
    /// Said by `--mount`: a missing source is an error.
    pub strict: bool,
}

/// What a volume is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something of the machine's.
    #[default]
    Bind,
    /// podman's `O`: a folder of the machine's below a writable layer; the folders of that where they are to be kept.
    Overlay {
        /// `upperdir=`
        upper: Option<PathBuf>,
        /// `workdir=`
        work: Option<PathBuf>,
    },
    /// A file system in memory.
    Tmpfs,
}

/// What becomes of mounts below a bind mount's source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Below {
    /// They are there too; where the volume is read-only, they are if the kernel can.
    #[default]
    Enabled,
    /// They are not there.
    Disabled,
    /// They stay writable below a read-only one.
    Writable,
    /// They are read-only with it.
    Readonly,
}

/// How owners show on an id-mapped mount; without runs by the container's own map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ids {
    /// User ids: as the files have them, as they show, how many.
    pub users: Vec<(u32, u32, u32)>,
    /// Group ids.
    pub groups: Vec<(u32, u32, u32)>,
    /// Whether what shows is as seen in the container's user namespace.
    pub relative: bool,
}

impl Volume {
    /// Reads `-v`'s value. Relative sources (`./data`) are taken from `current_dir`, as docker does.
    pub fn parse(text: &str, current_dir: &Path) -> Result<Self> {
        let empty = || wrong(format!("invalid spec: {text}: empty section between colons"));
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, mode) = match parts[..] {
            [target] if !target.is_empty() => return Err(no_volumes(target)),
            [source, target] => (source, target, ""),
            [source, target, mode] => (source, target, mode),
            [_] | [] => return Err(wrong("invalid empty volume spec")),
            _ => return Err(wrong(format!("invalid spec: {text}: too many colons"))),
        };
        if source.is_empty() || target.is_empty() {
            return Err(empty());
        }
        let folder = path(source, current_dir);
        let kind = if folder.is_some() { "bind" } else { "volume" };
        let because = |why: String| {
            refused(format!("invalid volume specification: '{text}': invalid mount config for type \"{kind}\": {why}"))
        };
        let target = destination(target).map_err(because)?;
        let flags = Flags::parse(mode)?;
        let source = folder.ok_or_else(|| no_volumes(source))?;
        if flags.no_copy {
            return Err(because("field VolumeOptions must not be specified".into()));
        }
        Ok(Self { source, target, mode: mode.into(), ..flags.volume })
    }

    /// Reads `--tmpfs`' value: `TARGET[:OPTIONS]`.
    pub fn tmpfs(text: &str) -> Result<Self> {
        let (target, mode) = text.split_once(':').unwrap_or((text, ""));
        let target = destination(target).map_err(refused)?;
        let options = flags::tmpfs(mode)?;
        let read_only = options.iter().any(|o| o == "ro");
        Ok(Self { target, read_only, kind: Kind::Tmpfs, mode: mode.into(), options, ..Self::default() })
    }

    /// Reads `--mount`'s value: fields as in a line of CSV.
    pub fn mount(text: &str, current_dir: &Path) -> Result<Self> {
        csv::parse(text, current_dir)
    }

    /// Whether it is something of the machine's.
    pub fn is_bind(&self) -> bool {
        !matches!(self.kind, Kind::Tmpfs)
    }
}

/// All of them, each said once; two different ones at one place are refused in docker's words.
pub fn distinct(all: Vec<Volume>) -> Result<Vec<Volume>> {
    let mut kept: Vec<Volume> = Vec::new();
    for volume in all {
        match kept.iter().find(|other| other.target == volume.target) {
            Some(other) if *other == volume => {}
            Some(_) => return Err(refused(format!("Duplicate mount point: {}", volume.target))),
            None => kept.push(volume),
        }
    }
    Ok(kept)
}

/// A source by its path: absolute, or below the current folder where it begins with a dot.
fn path(text: &str, current_dir: &Path) -> Option<PathBuf> {
    if text.starts_with('/') {
        return Some(tidy(Path::new(text)));
    }
    text.starts_with('.').then(|| tidy(&current_dir.join(text)))
}

/// The path without `.` and `..`, by its letters alone, as docker cleans them.
pub(crate) fn tidy(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components().fold(PathBuf::new(), |mut out, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
        out
    })
}

/// A place in the container: absolute, clean, and not the root.
fn destination(text: &str) -> std::result::Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("invalid mount path: '{text}' mount path must be absolute"));
    }
    match tidy(Path::new(text)).to_string_lossy().into_owned() {
        root if root == "/" => Err("invalid specification: destination can't be '/'".into()),
        clean => Ok(clean),
    }
}

/// What the client lets pass.
fn refused(text: impl std::fmt::Display) -> Error {
    Error::new(crate::Kind::Refused, "", text)
}

fn no_volumes(name: &str) -> Error {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let fits = name.len() > 1 && name.chars().all(allowed) && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !fits && !name.starts_with('/') {
        return refused(format!(
            "create {name}: {name:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. \
             If you intended to pass a host directory, use absolute path"
        ));
    }
    Error::new(crate::Kind::Refused, "volume", name)
        .because("volumes without a folder of the machine are not there yet")
        .hint(format!("give a folder by its path: -v ./{0}:/{0}", name.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        Volume::parse(text, Path::new("/home/me")).unwrap_err().to_string()
    }

    #[test]
    fn folders_by_their_paths() {
        let here = Path::new("/home/me");
        let volume = Volume::parse("./x/../y:/data/:ro", here).unwrap();
        assert_eq!((volume.source.as_path(), volume.read_only), (Path::new("/home/me/y"), true));
        assert_eq!(volume.target, "/data");
        let volume = Volume::parse("/a:/b:ro,rslave,z,noexec", here).unwrap();
        assert_eq!(
            (volume.propagation.as_deref(), volume.options.as_slice()),
            (Some("rslave"), &["noexec".to_owned()][..])
        );
        let volume = Volume::parse("/a:/b:O,upperdir=/u,workdir=/w", here).unwrap();
        assert_eq!(volume.kind, Kind::Overlay { upper: Some("/u".into()), work: Some("/w".into()) });
        let volume = Volume::parse("/a:/b:U,idmap=uids=0-1000-1;gids=0-1000-1", here).unwrap();
        assert!(volume.own);
        assert_eq!(volume.ids.unwrap().users, [(0, 1000, 1)]);
    }

    #[test]
    fn what_is_wrong_is_said_in_dockers_words() {
        assert_eq!(
            said("/a:b"),
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute"
        );
        assert!(said("/a:/").ends_with("invalid specification: destination can't be '/'"));
        assert_eq!(said("/a:/b:rx"), "invalid mode: rx");
        assert_eq!(said("/a:/b:ro,rw"), "invalid mode: ro,rw");
        assert_eq!(said("/a:/b:z,Z"), "invalid mode: z,Z");
        assert_eq!(said("/a:/b:private,shared"), "invalid mode: private,shared");
        assert_eq!(said("/a:/b:ro:z"), "invalid spec: /a:/b:ro:z: too many colons");
        assert_eq!(said(":/x"), "invalid spec: :/x: empty section between colons");
        assert!(said("v@x:/b").starts_with("create v@x: \"v@x\" includes invalid characters"));
        assert!(said("/a:/b:nocopy").ends_with("field VolumeOptions must not be specified"));
        assert_eq!(Volume::tmpfs("b").unwrap_err().to_string(), "invalid mount path: 'b' mount path must be absolute");
        assert_eq!(Volume::tmpfs("/b:foo").unwrap_err().to_string(), "invalid tmpfs option [\"foo\"]");
    }

    #[test]
    fn one_place_holds_one_thing() {
        let one = Volume::parse("/a:/b", Path::new("/")).unwrap();
        assert_eq!(distinct(vec![one.clone(), one.clone()]).unwrap().len(), 1);
        let error = distinct(vec![one, Volume::tmpfs("/b").unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), "Duplicate mount point: /b");
    }
}
