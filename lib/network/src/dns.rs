//! The names of a network: a small DNS server on the bridge's addresses.

#![allow(dead_code)]

mod answer;
mod name;
mod wire;
mod zone;
