//! What an interface was before: `DATADIR/CONTAINER_INTERFACE.json`, in the reference's form.

use super::super::message::{Link, link};
use super::file_failure;
use crate::socket::Request;
use crate::state::{self, Durability};
use serde::{Deserialize, Serialize};
use spec::cni::{Attachment, Failure};
use std::io;
use std::path::{Path, PathBuf};

/// The folder unless the configuration names one.
pub(super) const FOLDER: &str = "/run/cni/tuning";

/// The settings that were changed, as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Backup {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) promisc: Option<bool>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) mtu: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allmulti: Option<bool>,
    #[serde(rename = "txQLen", skip_serializing_if = "Option::is_none")]
    pub(super) queue_length: Option<u32>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn path(folder: &Path, of: &Attachment) -> PathBuf {
    folder.join(format!("{}_{}.json", of.container, of.interface))
}

impl Backup {
    /// Writes it down.
    pub(super) fn store(&self, folder: &Path, of: &Attachment) -> Result<(), Failure> {
        let path = path(folder, of);
        let wrong = |e: io::Error| file_failure("write", &path, &e);
        let bytes = serde_json::to_vec(self).map_err(|e| wrong(e.into()))?;
        state::replace(&path, &bytes, Durability::Run).map_err(super::failed)
    }

    /// What was written down; what cannot be read is nothing.
    pub(super) fn load(folder: &Path, of: &Attachment) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path(folder, of)).ok()?).ok()
    }

    /// The requests that put it back.
    pub(super) fn changes(&self, index: u32) -> Vec<Request> {
        let mac: Vec<u8> = self.mac.split(':').filter_map(|b| u8::from_str_radix(b, 16).ok()).collect();
        let mut link = Link::numbered(index).mac(Some(mac.as_slice()).filter(|mac| mac.len() == 6));
        for (flag, on) in [(libc::IFF_PROMISC, self.promisc), (libc::IFF_ALLMULTI, self.allmulti)] {
            if let Some(on) = on {
                link = link.flag(flag, on);
            }
        }
        if let Some(length) = self.queue_length {
            link = link.number(link::QUEUE_LENGTH, length);
        }
        vec![link.mtu(Some(self.mtu).filter(|mtu| *mtu > 0)).change()]
    }
}

/// Forgets it.
pub(super) fn remove(folder: &Path, of: &Attachment) -> Result<(), Failure> {
    let path = path(folder, of);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(file_failure("remove", &path, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Backup;

    #[test]
    fn is_written_as_the_reference_does() {
        let backup = Backup { mtu: 1500, queue_length: Some(0), ..Backup::default() };
        assert_eq!(serde_json::to_string(&backup).unwrap(), r#"{"mtu":1500,"txQLen":0}"#);
        let theirs: Backup = serde_json::from_str(r#"{"mac":"02:00:00:00:00:01","promisc":false}"#).unwrap();
        assert_eq!((theirs.promisc, theirs.changes(3).len()), (Some(false), 1));
    }
}
