//! A classic BPF machine, with the instructions seccomp filters may use and no others.

use sys::seccomp::Instruction;

/// What the kernel shows a filter: `struct seccomp_data`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) arch: u32,
    pub(crate) args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        let arg = |at: u32| self.args[at as usize];
        match offset {
            0 => self.number,
            4 => self.arch,
            16.. if offset.is_multiple_of(8) => arg((offset - 16) / 8) as u32,
            16.. if offset.is_multiple_of(4) => (arg((offset - 20) / 8) >> 32) as u32,
            _ => panic!("load from {offset}"),
        }
    }
}

/// What the program returns for a call, and after how many instructions.
pub(crate) fn run(program: &[Instruction], call: &Call) -> (u32, usize) {
    let (answer, steps, _) = follow(program, call);
    (answer, steps)
}

/// Whether the program looks at the call's number at all.
pub(crate) fn reads_number(program: &[Instruction], call: &Call) -> bool {
    follow(program, call).2
}

fn follow(program: &[Instruction], call: &Call) -> (u32, usize, bool) {
    let (mut accumulator, mut at, mut read) = (0_u32, 0_usize, false);
    for steps in 1.. {
        let Instruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        let mut branch = |taken: bool| at += usize::from(if taken { jump_true } else { jump_false });
        match code {
            0x20 => {
                read |= k == 0;
                accumulator = call.word(k);
            }
            0x05 => at += k as usize,
            0x15 => branch(accumulator == k),
            0x25 => branch(accumulator > k),
            0x35 => branch(accumulator >= k),
            0x45 => branch(accumulator & k != 0),
            0x54 => accumulator &= k,
            0x06 => return (k, steps, read),
            other => panic!("instruction {other:#x}"),
        }
    }
    unreachable!("programs only go forward")
}
