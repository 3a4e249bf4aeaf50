//! The union of layers as users of a mounted overlay see it. Every test body runs on the kernel's overlay first, then on the
//! FUSE driver: one that fails on the kernel's is a wrong test.

// The ground has what tests of coming features need.
#![allow(dead_code, unused_imports)]

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
mod random;
mod rights;
mod steady;
mod times;
mod view;
