//! Directories against layers.
