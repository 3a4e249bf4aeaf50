//! What this machine's kernel cannot show, shown in a virtual machine with Debian's (`tests/lab/vm.sh`): a pure tree of
//! cgroup v2, and kinds of links that are modules elsewhere. The guest sees this machine's files and runs test executables
//! of other targets, built by `cargo test --workspace`.

mod cgroups;
mod guest;
mod network;
