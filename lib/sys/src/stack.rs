//! The main thread's stack, as pages in memory.

/// How far below the current frame the stack is left alone: the red zone, and the frames of what is called here.
const MARGIN_BYTES: usize = 16 << 10;
/// How far down it is looked for pages that were used once.
const DEPTH_BYTES: usize = 1 << 20;

/// Gives back the memory of stack pages that deeper calls once used: for a process that is about to wait for hours. Only for
/// the main thread; from another one it does nothing.
pub fn release() {
    let here = 0_u8;
    let frame = (&raw const here).addr();
    let Some((low, high)) = main_stack() else { return };
    if !(low..high).contains(&frame) {
        return;
    }
    let end = (frame - MARGIN_BYTES.min(frame)) & !0xfff;
    let start = low.max(end.saturating_sub(DEPTH_BYTES)) & !0xfff;
    let start = if start < low { start + 0x1000 } else { start };
    if start >= end {
        return;
    }
    // SAFETY: the range lies in this thread's own stack, below every frame in use and the red zone: nothing there is ever read
    // before it is written again. Signal handlers, which would run there, come and go whole.
    unsafe { libc::madvise(std::ptr::without_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
}

/// The main thread's stack as it is mapped now: `/proc/self/maps` names it.
fn main_stack() -> Option<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    let (low, high) = line.split(' ').next()?.split_once('-')?;
    Some((usize::from_str_radix(low, 16).ok()?, usize::from_str_radix(high, 16).ok()?))
}

#[cfg(test)]
mod tests {
    #[inline(never)]
    fn deep(bytes: &mut [u8; 200_000]) -> u8 {
        bytes.iter().fold(0, |a, b| a.wrapping_add(*b))
    }

    #[test]
    fn frames_in_use_stay() {
        let mut kept = [7_u8; 64];
        assert_eq!(deep(&mut [1; 200_000]), 64);
        super::release();
        kept[0] = 8;
        assert_eq!((kept[0], kept[63]), (8, 7));
        assert_eq!(deep(&mut [1; 200_000]), 64);
    }
}
