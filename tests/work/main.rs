//! Real work in a mounted Debian image, without a network: what people do in containers, by the kernel's overlay first, then
//! by the FUSE driver. Both must say the same and leave the same tree.

mod image;
mod packages;
mod sources;
