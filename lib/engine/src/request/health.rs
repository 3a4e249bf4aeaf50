//! `--health-*`: how a container's health is looked at.

use serde::{Deserialize, Serialize};

/// How its health is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {}
