//! `--restart`: when a container is started again.

use serde::{Deserialize, Serialize};

/// When it is started again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restart {}
