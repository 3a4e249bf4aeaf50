//! The union of layers as users of a mounted overlay see it. Every test body runs on the kernel's overlay first, then on the
//! FUSE driver: one that fails on the kernel's is a wrong test.

mod files;
mod folders;
mod ground;
mod layers;
mod random;
mod view;
