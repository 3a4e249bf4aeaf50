//! What happened to containers and images, in docker's words: a file of JSON lines at the top of the state root.
//!
//! ```text
//! events.json       {"status":"start","id":"…","from":"busybox","Type":"container","Action":"start","Actor":{…},…}
//! events.json.1     what was there before the file had grown past LIMIT_BYTES
//! ```
//!
//! Whoever acts appends a line with one `write(2)` to a descriptor opened with `O_APPEND`, so that lines of several do not
//! mix; no lock is taken for that. Telling never fails anything: an event that cannot be written is lost, the deed is done.
//! A file that has grown too long is renamed under a `flock` of its own, by whoever notices.

use crate::life::Asked;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use spec::{Digest, Reference};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use store::{Record, Root};

pub mod follow;

/// How long the file grows before it is put aside, in bytes.
const LIMIT_BYTES: u64 = 4 << 20;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it happened to: `container`, `image`, `network`, `volume`.
    pub kind: &'static str,
    /// docker's word for it: `start`, `die`, `exec_create: sh`.
    pub action: String,
    /// The id of what it happened to.
    pub id: String,
    /// More about it: `image`, `name`, `exitCode`, labels.
    pub attributes: BTreeMap<String, String>,
}

/// An event as it is written down: docker's `GET /events`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What docker called the action at first.
    #[serde(default)]
    pub status: String,
    /// And whom it happened to.
    #[serde(default)]
    pub id: String,
    /// And a container's image.
    #[serde(default)]
    pub from: String,
    /// `container`, `image`, …
    #[serde(rename = "Type")]
    pub kind: String,
    /// docker's word for it.
    #[serde(rename = "Action")]
    pub action: String,
    /// Whom it happened to.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// How far it was heard: `local`.
    #[serde(default)]
    pub scope: String,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: i128,
    /// The whole line.
    #[serde(skip)]
    pub line: String,
}

/// Whom an event happened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// More about it.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// Where events are kept.
pub fn path(root: &Root) -> PathBuf {
    root.path().join("events.json")
}

/// The file that [`path`] became when it was long enough.
pub fn older(root: &Root) -> PathBuf {
    root.path().join("events.json.1")
}

/// Tells that `action` was done to a container, with docker's attributes and `more`.
pub fn container(root: &Root, record: &Record, action: &str, more: &[(&str, &str)]) {
    let mut attributes = Asked::of(record).map(|asked| asked.labels()).unwrap_or_default();
    attributes.insert("image".into(), record.image.clone());
    attributes.insert("name".into(), record.name.clone());
    attributes.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    tell(root, &Event { kind: "container", action: action.into(), id: record.id.to_string(), attributes });
}

/// An image's labels, as far as it can be read: who removes it asks before.
pub fn labels(root: &Root, image: &Digest) -> BTreeMap<String, String> {
    let raw = root.configuration(image).map(|configuration| configuration.raw).unwrap_or_default();
    let labels = raw.pointer("/config/Labels").and_then(serde_json::Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Tells that `action` was done to an image with these labels, under a name or else, as docker has it, under its id.
pub fn image(root: &Root, id: &Digest, labels: &BTreeMap<String, String>, name: Option<&Reference>, action: &str) {
    let mut attributes = labels.clone();
    attributes.insert("name".into(), name.map_or_else(|| id.to_string(), Reference::familiar));
    tell(root, &Event { kind: "image", action: action.into(), id: id.to_string(), attributes });
}

/// Tells that what nobody needs of a `kind` was removed, and how many bytes that freed.
pub fn pruned(root: &Root, kind: &'static str, freed_bytes: u64) {
    let attributes = [("reclaimed".to_owned(), freed_bytes.to_string())].into();
    tell(root, &Event { kind, action: "prune".into(), id: String::new(), attributes });
}

/// Writes an event down.
pub fn tell(root: &Root, event: &Event) {
    let line = line(event, jiff::Timestamp::now().as_nanosecond());
    let path = path(root);
    let options = || File::options().append(true).create(true).mode(0o600).open(&path);
    let Ok(mut file) = options() else { return };
    let _ = file.write_all(line.as_bytes());
    let long = file.metadata().is_ok_and(|meta| meta.len() > LIMIT_BYTES);
    if !long || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    // Somebody may have put it aside before we had the lock.
    let same = |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let ours = file.metadata().and_then(|ours| Ok(same(&ours, &std::fs::metadata(&path)?)));
    if ours.unwrap_or(false) {
        let _ = std::fs::rename(&path, older(root));
    }
}

/// What is written, in the order of docker's API.
#[derive(Serialize)]
struct Line<'a> {
    // the old members, for those who still read them
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Actor")]
    actor: ActorOf<'a>,
    scope: &'a str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Serialize)]
struct ActorOf<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "Attributes")]
    attributes: &'a BTreeMap<String, String>,
}

/// An event's line.
fn line(event: &Event, nanos: i128) -> String {
    let old = matches!(event.kind, "container" | "image");
    let image = event.attributes.get("image").filter(|_| event.kind == "container");
    let line = Line {
        status: old.then_some(&event.action),
        id: Some(event.id.as_str()).filter(|id| old && !id.is_empty()),
        from: image.map(String::as_str),
        kind: event.kind,
        action: &event.action,
        actor: ActorOf { id: &event.id, attributes: &event.attributes },
        scope: "local",
        time: (nanos / 1_000_000_000) as i64,
        time_nano: nanos as i64,
    };
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn event(action: &str) -> Event {
        let attributes = [("name", "web"), ("image", "busybox")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        Event { kind: "container", action: action.into(), id: "1234".into(), attributes: attributes.into() }
    }

    #[test]
    fn a_line_is_what_dockers_api_sends() {
        let value: Value = serde_json::from_str(&line(&event("start"), 1_700_000_000_123_456_789)).unwrap();
        let want = json!({
            "status": "start", "id": "1234", "from": "busybox", "Type": "container", "Action": "start",
            "Actor": { "ID": "1234", "Attributes": { "image": "busybox", "name": "web" } },
            "scope": "local", "time": 1_700_000_000, "timeNano": 1_700_000_000_123_456_789_i64,
        });
        assert_eq!(value, want);
    }

    #[test]
    fn events_of_many_at_once_are_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("store")).unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let root = &root;
                scope.spawn(move || (0..50).for_each(|_| tell(root, &event(&format!("exec_create: {number}")))));
            }
        });
        let mut reader = follow::Reader::new(&root);
        let told = reader.read();
        assert_eq!(told.len(), 400);
        assert!(told.iter().all(|t| t.action.starts_with("exec_create: ") && t.actor.id == "1234"));
    }
}
