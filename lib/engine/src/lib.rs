//! The room `engine`.

pub mod images;
