//! The room `overlay`.
