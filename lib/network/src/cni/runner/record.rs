//! What is written down of an attachment that plugins carry: what they must be told again, and what it is known by.
//!
//! The namespace is known by the number it had at ADD. The kernel gives that again when the namespace is gone, and nobody tells us
//! that a container died; so where the number is met, what the plugins made is looked for.

use super::chain::Mapping;
use crate::bridge;
use crate::error::Result;
use crate::mac::Mac;
use crate::namespace::{Identity, Namespace};
use crate::socket::Socket;
use crate::state::{self, Durability};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spec::cni::{Success, Version};
use std::path::{Path, PathBuf};

/// One attachment as it was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) container: String,
    pub(super) interface: String,
    pub(super) namespace: PathBuf,
    /// The namespace's number; none in what a netwire of before wrote.
    #[serde(default)]
    pub(super) number: Option<u64>,
    /// The number of the network namespace that the plugins worked in.
    #[serde(default)]
    pub(super) caller: Option<u64>,
    pub(super) version: Version,
    pub(super) chain: Vec<Value>,
    #[serde(default)]
    pub(super) result: Value,
    #[serde(default)]
    pub(super) ports: Vec<Mapping>,
}

impl Record {
    /// Its namespace as it was known at ADD.
    pub(super) fn identity(&self) -> Identity {
        match self.number {
            Some(inode) => Identity { path: self.namespace.clone(), inode },
            None => Identity::at(&self.namespace),
        }
    }

    /// Whether what the plugins made is there no more, for what can be seen of it here: the end outside, or where there is none
    /// the interface in the namespace that has its number.
    pub(super) fn is_dead(&self, namespace: &Namespace) -> Result<bool> {
        if self.caller.is_some_and(|caller| Namespace::own().is_ok_and(|own| own.identity().inode != caller)) {
            return Ok(false);
        }
        let Ok(result) = Success::read(&self.result, self.version) else { return Ok(false) };
        if let Some(outer) = outer(&result, self.chain.first().and_then(|c| c["bridge"].as_str())) {
            return Ok(bridge::find(&mut Socket::open_route()?, outer)?.is_none());
        }
        let inner = result.interfaces.iter().find(|i| !i.sandbox.is_empty() && i.name == self.interface);
        let Some(mac) = inner.and_then(|i| i.mac.parse::<Mac>().ok()) else { return Ok(false) };
        let found = bridge::find(&mut namespace.route_socket()?, &self.interface)?;
        Ok(found.is_none_or(|link| link.mac != Some(mac)))
    }
}

/// The end outside, among what was made here; the bridge is there for all.
pub(super) fn outer<'a>(result: &'a Success, bridge: Option<&str>) -> Option<&'a str> {
    let outside = result.interfaces.iter().filter(|i| i.sandbox.is_empty());
    outside.map(|i| i.name.as_str()).find(|name| Some(*name) != bridge)
}

/// What `file` says, if it is there.
pub(super) fn load(file: &Path) -> Result<Option<Record>> {
    let Some(bytes) = state::load(file)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| state::damaged(file, e))
}

/// Writes `record` down.
pub(super) fn keep(file: &Path, record: &Record) -> Result<()> {
    let bytes = serde_json::to_vec(record).map_err(|e| state::damaged(file, e))?;
    state::replace(file, &bytes, Durability::Run)
}
