//! Overlays under load and in trouble: a foreign test suite, random data operations, many processes at once, a server that
//! is killed, a disk that is full or does not answer, a hundred thousand files.
//!
//! Each drill runs on the kernel's overlay first, which is the reference, then on ours. What rolls dice prints its seed;
//! these repeat or lengthen a run (see tests/long): `VENEER_SEED`, `VENEER_ROUNDS`, `VENEER_SECONDS`.

mod disk_full;
mod field;
mod fsx;
mod killed;
mod memory;
mod pjdfstest;
mod slow_disk;
mod stress;
mod worker;
