//! The C library's heap (`mallopt(3)`), which the allocator of Rust's standard library is.

/// Lets all threads share one arena instead of one each.
///
/// glibc grows every arena but the first a page at a time, with an `mprotect(2)` each; a process in which one thread does nearly
/// all the work is better off with the first. To be called before there are threads; other C libraries have no arenas.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers; M_ARENA_MAX only bounds how many arenas are made from now on.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives memory that was freed back to the machine (`malloc_trim(3)`): for a process that is about to wait.
pub fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; it only returns pages that nothing was allocated in.
    unsafe {
        libc::malloc_trim(0);
    }
}
