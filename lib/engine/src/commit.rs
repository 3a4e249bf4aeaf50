//! A container's writable layer as the uppermost layer of a new image.
//!
//! 1. what is asked is read: the name, the changes
//! 2. a running container is paused ([`crate::freeze`]), and what its file system still holds in memory is written, of one that is
//!    paused too
//! 3. its upper becomes a layer ([`layer::pack`]): the same content gives the same digest
//! 4. the image is put together and appears at once ([`crate::images::compose`])
//!
//! What the runtime made in the upper only to mount something on it is no part of the layer. An upper that has nothing
//! makes no layer, only a line in the history (moby, `daemon/images/image_commit.go`).
//!
//! **`host`.** Its lowest layer is this machine, which no image holds. The new image has the changes alone, and the label
//! [`BASE`]: run again here it lies over the machine as it is then; to others it is an image with one layer.

use crate::images::compose::{self, Step};
use crate::life::{self, Asked};
use crate::place::Place;
use crate::request::HOST;
use crate::{Error, Result, change, diff, freeze, view};
use layer::pack::{PackOptions, Packing};
use layer::select::Select;
use rustix::fs::{Mode, OFlags};
use serde_json::{Map, Value, json};
use spec::Digest;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use store::{Intake, Record, Root, State, Status};

/// The label of an image that lies over the machine's own root file system; its value is `host`.
pub const BASE: &str = "veneer.base";

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What the image is to be called, if anything.
    pub name: Option<String>,
    /// `-a`
    pub author: String,
    /// `-m`
    pub message: String,
    /// `-c`, each one or more Dockerfile instructions.
    pub changes: Vec<String>,
    /// Whether a running container stands still meanwhile.
    pub pause: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Committed {
    /// The image's id.
    pub id: Digest,
    /// Why it was not paused though it should have been.
    pub not_paused: Option<Error>,
    /// What a layer cannot hold and was left out, a line each.
    pub skipped: Vec<String>,
}

/// Makes the image.
pub fn commit(root: &Root, place: &Place, own: &Path, record: &Record, wanted: &Wanted) -> Result<Committed> {
    let name = wanted.name.as_deref().map(crate::images::parse_new_name).transpose().map_err(crate::error::store)?;
    let asked = Asked::of(record)?;
    let mut intake = Intake::begin(root).map_err(crate::error::store)?;
    let (raw, mut pieces) =
        compose::parent(root, &mut intake, record.image_id.as_ref()).map_err(crate::error::store)?;
    let mut config = config(raw.get("config"), &asked);
    if record.image == HOST && record.image_id.is_none() {
        label(&mut config, BASE, HOST);
    }
    change::apply(&mut config, &wanted.changes)?;

    let state = life::state(root, &record.id)?;
    let live = life::is_live(&state);
    let (mut frozen, mut not_paused) = (None, None);
    if live && state.status == Status::Running && wanted.pause {
        match freeze::freeze(root, place, own, record) {
            Ok(paused) => frozen = Some(paused),
            Err(e) => not_paused = Some(e),
        }
    }
    if live {
        write_back(&state);
    }
    let packed = pack(root, &mut intake, record, &asked);
    drop(frozen);
    let (new, skipped) = packed?;
    let is_new = new.is_some();
    pieces.extend(new);
    let (_, cmd) = crate::process::words(&asked.request, &asked.defaults);
    let step = Step {
        created: compose::now(),
        created_by: cmd.join(" "),
        author: wanted.author.clone(),
        comment: wanted.message.clone(),
    };
    let id = compose::assemble(root, &mut intake, raw, config, (&pieces, is_new), &step, name.clone())
        .map_err(crate::error::store)?;
    intake.commit().map_err(crate::error::store)?;
    if let Some(name) = &name {
        crate::events::image(root, &id, &crate::events::labels(root, &id), Some(name), "tag");
    }
    let reference = wanted.name.as_deref().unwrap_or_default();
    let more = [("comment", wanted.message.as_str()), ("imageID", &id.to_string()), ("imageRef", reference)];
    crate::events::container(root, record, "commit", &more);
    Ok(Committed { id, not_paused, skipped })
}

/// A FUSE mount may hold what was written in its cache, where the upper does not show it yet.
fn write_back(state: &State) {
    if let Ok(tree) = view::of_layers(state)
        && let Ok(open) =
            rustix::fs::openat(&tree, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    {
        let _ = rustix::fs::syncfs(&open);
    }
}

/// The upper as a staged layer, `None` where it has nothing, and what a layer cannot hold of it.
fn pack(
    root: &Root,
    intake: &mut Intake<'_>,
    record: &Record,
    asked: &Asked,
) -> Result<(Option<compose::Piece>, Vec<String>)> {
    let upper = root.container_layer(&record.id).join("diff");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder: OwnedFd = match rustix::fs::open(&upper, flags, Mode::empty()) {
        Ok(folder) => folder,
        // never started
        Err(rustix::io::Errno::NOENT) => return Ok((None, Vec::new())),
        Err(e) => return Err(crate::error::system("open", upper.display(), e)),
    };
    let left_out: Vec<Vec<u8>> = diff::made_to_mount_on(root, record, asked)?.iter().map(|p| pattern(p)).collect();
    let select = Select::new::<Vec<u8>>(&[], &left_out);
    let stat = rustix::fs::fstat(&folder).map_err(|e| crate::error::system("stat", upper.display(), e))?;
    let usual = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) == (0o755, 0, 0);
    let name = format!("container {}", record.name);
    let options = PackOptions {
        name: &name,
        packing: Packing::default(),
        select: Some(&select),
        // The root's own mode is worth an entry only where it was changed.
        root: !usual,
        recorded: Some(false),
        ..PackOptions::default()
    };
    let (piece, packed) = compose::pack(root, intake, folder.as_fd(), &options).map_err(crate::error::store)?;
    Ok(((packed.entries > 0).then_some(piece), packed.skipped))
}

/// A path as a pattern that fits it alone, from the root on.
fn pattern(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut out = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}

/// The container's configuration as an image's: what the image said, and what it was run with.
fn config(image: Option<&Value>, asked: &Asked) -> Map<String, Value> {
    let mut config = image.and_then(Value::as_object).cloned().unwrap_or_default();
    // How a container was made is nothing of its image's.
    for member in [
        "Hostname",
        "Domainname",
        "AttachStdin",
        "AttachStdout",
        "AttachStderr",
        "Tty",
        "OpenStdin",
        "StdinOnce",
        "Image",
    ] {
        config.remove(member);
    }
    let (request, defaults) = (&asked.request, &asked.defaults);
    let (entrypoint, cmd) = crate::process::words(request, defaults);
    // docker: what it was run with first, then what of the image's is not set by that
    let mut env = request.env.clone();
    for setting in &defaults.env {
        if !env.iter().any(|e| e.split('=').next() == setting.split('=').next()) {
            env.push(setting.clone());
        }
    }
    let mut set = |name: &str, value: Value| {
        let empty = match &value {
            Value::Array(list) => list.is_empty(),
            Value::String(text) => text.is_empty(),
            Value::Object(map) => map.is_empty(),
            other => other.is_null(),
        };
        match empty {
            true => drop(config.remove(name)),
            false => drop(config.insert(name.to_owned(), value)),
        }
    };
    set("Entrypoint", json!(entrypoint));
    set("Cmd", json!(cmd));
    set("Env", json!(env));
    set("User", json!(request.user.as_deref().unwrap_or(&defaults.user)));
    set("WorkingDir", json!(request.workdir.as_deref().unwrap_or(&defaults.workdir)));
    let ports = crate::wiring::exposed(request, &defaults.ports).into_iter().map(|p| (p.text(), json!({})));
    set("ExposedPorts", Value::Object(ports.collect()));
    for (name, value) in asked.labels() {
        label(&mut config, &name, &value);
    }
    config
}

fn label(config: &mut Map<String, Value>, name: &str, value: &str) {
    let labels = config.entry("Labels").or_insert_with(|| json!({}));
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[name] = value.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_says_what_the_container_ran_with() {
        let image = json!({ "Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "Labels": { "x": "y" }, "Hostname": "h" });
        let mut asked = Asked { request: Default::default(), defaults: Default::default() };
        asked.defaults.env = vec!["PATH=/bin".into(), "A=1".into()];
        asked.defaults.cmd = vec!["sh".into()];
        asked.request.env = vec!["A=2".into(), "B=3".into()];
        asked.request.command = vec!["echo".into(), "hi".into()];
        let config = Value::from(config(Some(&image), &asked));
        let want = json!({ "Env": ["A=2", "B=3", "PATH=/bin"], "Cmd": ["echo", "hi"], "Labels": { "x": "y" } });
        assert_eq!(config, want);
    }

    #[test]
    fn a_path_is_a_pattern_for_itself() {
        assert_eq!(pattern(Path::new("/a[b]*")), b"/a\\[b\\]\\*");
    }
}
