//! Where a container's output is kept: `--log-driver`, `--log-opt`.

use serde::{Deserialize, Serialize};

/// Where its output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {}
