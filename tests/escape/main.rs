//! Known ways out of a container, one test each, named after them.
//!
//! Each attack is tried three times: on nsrun; on the build of it in `weak/` with every defence on; and on that build with the
//! defence switched off that docs/privilege.md says stops it. It must fail twice and then succeed, which shows that the test
//! does what the attackers did, and that this defence is what stops it. What is harmed in the third try is a decoy: a
//! file or a copied program in a temporary folder, a parameter of a network namespace that the test made.

mod descriptors;
mod hooks;
mod keyring;
mod lab;
mod masks;
mod mounts;
mod overwrite;
mod procfs;
mod release_agent;
mod terminal;
mod trace;
