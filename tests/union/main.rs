//! The union of layers as users of a mounted overlay see it. Every test body runs on the kernel's overlay first, then on the
//! FUSE driver: one that fails on the kernel's is a wrong test.

mod compat;
mod continued;
mod copied_up;
mod data;
mod files;
mod folders;
mod foreign;
mod ground;
mod layers;
mod locks;
mod marks;
mod numbers;
mod owners;
mod reflink;
mod rights;
mod rootless;
mod server;
mod steady;
mod times;
mod view;
