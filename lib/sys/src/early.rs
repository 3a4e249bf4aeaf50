//! Where `nsrun` begins when it is linked statically (build.rs): before the C library, before relocation. The one file that is all five
//! programs begins here too, and goes on to `_start` unless the name it is called by is `nsrun`.
//!
//! What leads into a container executes itself again from a read-only mount of its own file (lib/runtime/src/seal.rs says why, and makes
//! sure of it in any case). Done by the program proper that costs a whole start for nothing: relocations, page faults, and the C
//! library asking the processor for its features, which traps on virtual machines. So it happens here, in a few instructions on
//! the stack the kernel gave us:
//!
//! ```text
//! a word `run`, `create`, `exec` or `--rootfs…` in front of `--` ── no ──▶ _start
//! statfs /proc/self/exe: read-only already, or no /proc ────────── yes ─▶ _start
//! open_tree(OPEN_TREE_CLONE), mount_setattr(read-only) ────────── fail ─▶ _start      (who may not mount: sealed copy, later)
//! execveat with the same arguments and environment ────────────── fail ─▶ _start
//! ```
//!
//! What goes on to `_start` has the pages that relocation is about to write copied in one call first (madvise(2), MADV_POPULATE_WRITE):
//! all of them are written, and a page fault for each is a fifth of relocating, which is most of a program's start. Where they are tell the
//! program's own ELF header and program headers (elf(5)), which are read at each start. Only where the program may lie anywhere (ET_DYN) do
//! these count from the header; one with an address of its own has nothing to relocate, and nothing is copied.
//!
//! Too many words are recognised rather than too few, since being sealed without need is harmless. No memory is written but the
//! stack below its pointer, and none is read but the arguments and those headers, so nothing of Rust's or C's has to be set up. Other
//! architectures, and programs linked dynamically, start at `_start` and leave it to `seal`.

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    r#"
    .pushsection .text.veneer_start,"ax",@progbits
    .globl veneer_start
    .type veneer_start,@function
veneer_start:
    .cfi_startproc
    .cfi_undefined rip
    xor ebp, ebp
    mov r12, rsp                        # argc, argv…, 0, envp…
    lea r13, [rsp + 8]
2:  mov rax, [r13]
    add r13, 8
    test rax, rax
    jz 9f
    mov rcx, [rax]                      # eight bytes: behind the last word the kernel puts our name and a null word
    movabs rdx, 0x7366746f6f722d2d      # "--rootfs"
    cmp rcx, rdx
    je 4f
    cmp ecx, 0x006e7572                 # "run"
    je 4f
    mov rsi, rcx
    shl rsi, 24
    movabs rdx, 0x63657865000000        # "exec", in front of it nothing
    cmp rsi, rdx
    je 4f
    shl rcx, 8
    movabs rdx, 0x65746165726300        # "create"
    cmp rcx, rdx
    je 4f
    mov rcx, [rax]
    and ecx, 0xffffff
    cmp ecx, 0x002d2d                   # "--": what follows is the program's
    jne 2b
    jmp 9f

4:  sub rsp, 256
    and rsp, -16
    mov eax, 137                        # statfs
    lea rdi, [rip + 7f]
    mov rsi, rsp
    syscall
    test rax, rax
    jnz 9f
    test byte ptr [rsp + 80], 1         # f_flags & ST_RDONLY
    jnz 9f
    mov eax, 428                        # open_tree
    mov rdi, -100
    lea rsi, [rip + 7f]
    mov edx, 0x80001                    # OPEN_TREE_CLOEXEC | OPEN_TREE_CLONE
    syscall
    test rax, rax
    js 9f
    mov r14, rax
    mov qword ptr [rsp], 1              # struct mount_attr: MOUNT_ATTR_RDONLY
    mov qword ptr [rsp + 8], 0
    mov qword ptr [rsp + 16], 0
    mov qword ptr [rsp + 24], 0
    mov eax, 442                        # mount_setattr
    mov rdi, r14
    lea rsi, [rip + 8f]
    mov edx, 0x1000                     # AT_EMPTY_PATH
    mov r10, rsp
    mov r8d, 32
    syscall
    test rax, rax
    jnz 6f
    mov eax, 322                        # execveat
    mov rdi, r14
    lea rsi, [rip + 8f]
    lea rdx, [r12 + 8]
    mov rcx, [r12]
    lea r10, [rdx + 8*rcx + 8]
    mov r8d, 0x1000
    syscall
6:  mov eax, 3                          # close
    mov rdi, r14
    syscall

9:  mov rsp, r12
    jmp veneer_begin
7:  .asciz "/proc/self/exe"
8:  .byte 0
    .cfi_endproc
    .size veneer_start, . - veneer_start

    .globl veneer_start_by_name
    .type veneer_start_by_name,@function
veneer_start_by_name:
    .cfi_startproc
    .cfi_undefined rip
    mov rax, [rsp + 8]
    test rax, rax                       # no name at all
    jz 3f
    mov rcx, [rax]
    shl rcx, 16
    movabs rdx, 0x6e7572736e0000        # "nsrun" and its end
    cmp rcx, rdx
    je veneer_start
3:  jmp veneer_begin
    .cfi_endproc
    .size veneer_start_by_name, . - veneer_start_by_name

    .hidden __ehdr_start
    .type veneer_begin,@function
veneer_begin:
    .cfi_startproc
    .cfi_undefined rip
    lea rbx, [rip + __ehdr_start]
    cmp word ptr [rbx + 16], 3          # e_type: ET_DYN
    jne 5f
    mov rax, [rbx + 32]                 # e_phoff
    add rax, rbx
    movzx r13d, word ptr [rbx + 56]     # e_phnum
2:  cmp dword ptr [rax], 1              # p_type: PT_LOAD
    jne 3f
    test byte ptr [rax + 4], 2          # p_flags: PF_W
    jnz 4f
3:  add rax, 56
    dec r13d
    jnz 2b
    jmp 5f
4:  mov rdi, [rax + 16]                 # p_vaddr
    add rdi, rbx
    mov rsi, [rax + 32]                 # p_filesz
    add rsi, rdi
    and rdi, -4096
    sub rsi, rdi
    mov edx, 23                         # MADV_POPULATE_WRITE, since Linux 5.14; before it nothing happens
    mov eax, 28                         # madvise
    syscall
5:  xor edx, edx                        # nothing for atexit, as the kernel left it
    jmp _start
    .cfi_endproc
    .size veneer_begin, . - veneer_begin
    .popsection
    "#
);
