//! From which memory nodes the calling thread and its children get their pages (`set_mempolicy(2)`).

use std::io;

/// Takes the policy `mode` (`MPOL_*`, flags included) over the nodes whose bits are set in `nodes`, 64 to a word; none where it is empty.
pub fn set(mode: i32, nodes: &[u64]) -> io::Result<()> {
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // The kernel takes one off the number of bits before it looks (`get_nodes`, mm/mempolicy.c).
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    // SAFETY: the kernel reads at most `bits` - 1 bits from `mask`, which `nodes` holds and which outlives the call; a null mask
    // goes with zero bits.
    let done = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
