//! What a container may use of the machine: docker's resource options.

use serde::{Deserialize, Serialize};

/// What it may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {}
