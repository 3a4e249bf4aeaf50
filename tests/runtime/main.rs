//! `nsrun` by its command line, each test first on a runtime that others trust.

mod bundle;
mod cgroups;
mod chain;
mod chain_terminal;
mod confinement;
mod enter;
mod events;
mod exec;
mod fields;
mod fields_namespace;
mod fields_network;
mod hooks;
mod landlock;
mod lifecycle;
mod limits;
mod mounts;
mod pty;
mod races;
mod rootfs;
mod rootless;
mod sandbox;
mod starts;
mod terminal;
mod tree;
mod update;
mod verbs;
