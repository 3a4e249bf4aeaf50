//! `ovl-mount` from outside: its three forms, its drivers, its life and its words.

mod drivers;
mod helper;
mod lifecycle;
mod mounting;
mod refusals;
mod remount;
mod room;
mod rootless;
mod server;
