//! `ovl-mount` from outside: its three forms, its drivers, its life and its words.

mod drivers;
mod lifecycle;
mod mount8;
mod mounting;
mod options;
mod pipeline;
mod refusals;
mod remount;
mod room;
mod rootless;
mod server;
