//! The program's own constants and instructions, as pages in memory.

/// Gives back the memory that they take in this process. What runs next is read again from the file, which the machine mostly
/// still has in its cache: for a process that is about to wait for hours (madvise(2), `MADV_DONTNEED`).
pub fn release() {
    // Given by the linker, GNU's and LLVM's: the first byte of the program's file in memory, and the one behind its instructions.
    unsafe extern "C" {
        static __executable_start: u8;
        static etext: u8;
    }
    // SAFETY: takes a number and gives one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.try_into().unwrap_or(4096);
    let start = (&raw const __executable_start).addr();
    let end = (&raw const etext).addr() & !(page - 1);
    if !start.is_multiple_of(page) || end <= start {
        return;
    }
    let first = (&raw const __executable_start).cast_mut().cast();
    // SAFETY: these pages are mapped from the file, private, and equal to it: position-independent programs have no relocation
    // before the end of their instructions, and nobody writes to constants. So what is dropped comes back the same.
    unsafe { libc::madvise(first, end - start, libc::MADV_DONTNEED) };
}
