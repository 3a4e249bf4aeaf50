//! What others see of a process that goes on as something else: the memory in which the kernel put its arguments and its environment is what
//! /proc/PID/cmdline and /proc/PID/environ show (fs/proc/base.c, `get_mm_cmdline`).
//!
//! Where it lies is told to functions of `.init_array` by the GNU C library, before anything else runs. Elsewhere nothing is remembered and
//! nothing is changed.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The first byte of the arguments, and how many bytes they and the environment behind them have; 0 where that is not known.
static FIRST: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static ARGUMENTS: AtomicUsize = AtomicUsize::new(0);
static ALL: AtomicUsize = AtomicUsize::new(0);

#[cfg(target_env = "gnu")]
#[used]
// SAFETY: the GNU C library calls what is in this section with the arguments that `remember` takes, once, before there is a second thread.
#[unsafe(link_section = ".init_array")]
static REMEMBER: extern "C" fn(libc::c_int, *const *mut libc::c_char, *const *mut libc::c_char) = remember;

#[cfg(target_env = "gnu")]
extern "C" fn remember(_: libc::c_int, arguments: *const *mut libc::c_char, environment: *const *mut libc::c_char) {
    // SAFETY: the C library gives the two arrays as the kernel made them: each ends in a null pointer, and points to strings that
    // lie one behind the other on the initial stack, which is there for as long as the process.
    unsafe {
        let end_of = |mut list: *const *mut libc::c_char, mut end: *mut u8| {
            while !(*list).is_null() {
                // One that lies elsewhere was put there by somebody else.
                if end.is_null() || (*list).cast::<u8>() == end {
                    end = (*list).cast::<u8>().add(libc::strlen(*list) + 1);
                }
                list = list.add(1);
            }
            end
        };
        let first = (*arguments).cast::<u8>();
        if first.is_null() {
            return;
        }
        let arguments_end = end_of(arguments, std::ptr::null_mut());
        let all_end = end_of(environment, arguments_end);
        FIRST.store(first, Ordering::Relaxed);
        ARGUMENTS.store(arguments_end.offset_from_unsigned(first), Ordering::Relaxed);
        ALL.store(all_end.offset_from_unsigned(first), Ordering::Relaxed);
    }
}

/// Shows `words`, as far as there is room, instead of the arguments, and no environment. For a process with one thread that has no more use
/// for either.
pub fn show<'a>(words: impl Iterator<Item = &'a [u8]>) {
    let (first, room, all) =
        (FIRST.load(Ordering::Relaxed), ARGUMENTS.load(Ordering::Relaxed), ALL.load(Ordering::Relaxed));
    if first.is_null() || room == 0 || all < room {
        return;
    }
    let mut text: Vec<u8> = words.flat_map(|word| word.iter().copied().chain([0])).collect();
    text.truncate(room - 1);
    // SAFETY: `remember` measured `all` bytes from `first` on, which are this process's own, writable, and there for ever. Whoever still reads an
    // argument or a variable finds a string that ends: the last byte is zero again. The caller has one thread, so nobody reads meanwhile.
    unsafe {
        std::ptr::write_bytes(first, 0, all);
        std::ptr::copy_nonoverlapping(text.as_ptr(), first, text.len());
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_the_kernel_shows() {
        let shown = std::fs::read("/proc/self/cmdline").expect("the arguments");
        assert_eq!(ARGUMENTS.load(Ordering::Relaxed), shown.len());
        let variables = std::fs::read("/proc/self/environ").expect("the environment");
        assert_eq!(ALL.load(Ordering::Relaxed), shown.len() + variables.len());
    }
}
