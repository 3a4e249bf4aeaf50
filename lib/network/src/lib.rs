//! The room `network`.
