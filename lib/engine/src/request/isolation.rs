//! Namespaces and rights of a container: docker's options for them.

use serde::{Deserialize, Serialize};

/// Which namespaces it has, and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Isolation {}
