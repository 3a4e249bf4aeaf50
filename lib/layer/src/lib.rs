//! The room `layer`.
