//! What compiled filters decide: by an interpreter, beside libseccomp's program for the same profile, and by the kernel.

mod decisions;
mod differential;
mod installed;
mod interpret;
mod looser;
