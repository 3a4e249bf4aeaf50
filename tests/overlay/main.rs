//! `ovl-mount` from outside: its three forms, its drivers, its life and its words.

mod drivers;
mod lifecycle;
mod mounting;
mod refusals;
mod room;
mod rootless;
