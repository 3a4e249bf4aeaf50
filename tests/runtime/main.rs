//! `nsrun` by its command line, each test first on a runtime that others trust.

mod bundle;
mod chain;
mod confinement;
mod enter;
mod exec;
mod fields;
mod fields_network;
mod lifecycle;
mod mounts;
mod rootfs;
mod rootless;
mod terminal;
