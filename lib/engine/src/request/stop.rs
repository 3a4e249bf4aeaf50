//! `--stop-signal`, `--stop-timeout`, `--timeout`: how a container is asked to end.

use serde::{Deserialize, Serialize};

/// How it is asked to end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stop {}
