//! PURE, but for two registers: the frame that the kernel pushes for a handler (`struct rt_sigframe`, in each architecture's
//! signal.c; what programs see of it is `ucontext_t`).

use core::arch::asm;
use core::ffi::c_long;

/// What a frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The interrupted instruction, or the one after an interrupted system call.
    pub instruction: usize,
    /// What an interrupted system call returns.
    result: u64,
    /// Its number, on aarch64.
    number: u64,
}

/// The words of a frame: from its beginning, as far as we look at it. Its last one is the key.
pub const WORDS: usize = KEY + 1;

/// No frame is longer: the vector registers' part is the largest, SME's of 64 KB.
const LONGEST: u64 = 1 << 20;

/// Where in the frame's words, and where the key is within 16 bytes.
#[cfg(target_arch = "x86_64")]
mod layout {
    /// The selectors, after the trampoline's address, `uc_flags` to `uc_stack`, and 18 registers.
    pub const KEY: usize = 24;
    pub const KEY_OFFSET: usize = 8;
    pub const LINK: usize = 2;
    pub const STACK: usize = 3;
    pub const RESULT: usize = 19;
    pub const NUMBER: usize = 19;
    pub const STACK_POINTER: usize = 21;
    pub const INSTRUCTION: usize = 22;
    pub const FLAGS: usize = 23;
}

#[cfg(target_arch = "aarch64")]
mod layout {
    /// The header of the floating point registers, the first record after `ucontext_t`'s other registers.
    pub const KEY: usize = 58;
    pub const KEY_OFFSET: usize = 0;
    pub const LINK: usize = 1;
    pub const STACK: usize = 2;
    pub const RESULT: usize = 23;
    pub const NUMBER: usize = 31;
    pub const STACK_POINTER: usize = 54;
    pub const INSTRUCTION: usize = 55;
    pub const FLAGS: usize = 56;
}

pub use layout::{KEY, KEY_OFFSET};
use layout::{FLAGS, INSTRUCTION, LINK, NUMBER, RESULT, STACK, STACK_POINTER};

/// Whether a word can be the key of a frame.
#[inline(always)]
pub fn is_key(word: u64) -> bool {
    // cs, gs and fs, of which the kernel always writes zeros; above them ss, which old kernels do not save.
    #[cfg(target_arch = "x86_64")]
    return word & 0xffff_ffff_ffff == u64::from(code_segment());
    // FPSIMD_MAGIC, and the size of `struct fpsimd_context`.
    #[cfg(target_arch = "aarch64")]
    return word == 0x0210_4650_8001;
}

impl Frame {
    /// The frame that these words are, which begin at `start`; `None` where they are none.
    pub fn read(words: &[u64; WORDS], start: usize) -> Option<Frame> {
        let start = start as u64;
        let stack_pointer = words[STACK_POINTER];
        let above = stack_pointer > start && stack_pointer - start < LONGEST;
        // On an alternate stack that is not to be asked for (SS_AUTODISARM): the kernel saves which it was.
        let [base, _, size] = [words[STACK], words[STACK + 1], words[STACK + 2]];
        let apart = start.wrapping_sub(base) < size;
        (words[LINK] == 0 && is_user(words[FLAGS]) && (above || apart)).then_some(Frame {
            instruction: words[INSTRUCTION] as usize,
            result: words[RESULT],
            number: words[NUMBER],
        })
    }

    /// The number of the system call that a signal has ended; `None` where it was no system call, or is started again. `code`
    /// reads four bytes so many before the interrupted instruction.
    pub fn interrupted_call(&self, code: impl Fn(usize) -> u32) -> Option<c_long> {
        const INTERRUPTED: u64 = (-libc::EINTR as i64) as u64;
        if self.result != INTERRUPTED {
            return None;
        }
        #[cfg(target_arch = "x86_64")]
        {
            // mov $number, %eax; syscall. The number is nowhere else: the result has taken its place.
            let is_call = code(2) & 0xffff == 0x050f && code(7) & 0xff == 0xb8;
            is_call.then(|| c_long::from(code(6)))
        }
        #[cfg(target_arch = "aarch64")]
        {
            // svc #0
            (code(4) == 0xd400_0001).then_some(self.number as c_long)
        }
    }
}

/// Whether flags are those of a running program.
fn is_user(flags: u64) -> bool {
    // Interrupts are on, and a bit that is always set; there are 22.
    #[cfg(target_arch = "x86_64")]
    return flags & 0x202 == 0x202 && flags >> 22 == 0;
    // EL0, 64-bit.
    #[cfg(target_arch = "aarch64")]
    return flags & 0x1f == 0;
}

/// Whether a system call is one in which threads wait for work or for others, and which malloc does not make.
pub fn is_wait(number: c_long) -> bool {
    #[cfg(target_arch = "x86_64")]
    if matches!(number, libc::SYS_poll | libc::SYS_select | libc::SYS_epoll_wait | libc::SYS_pause) {
        return true;
    }
    matches!(
        number,
        libc::SYS_ppoll
            | libc::SYS_pselect6
            | libc::SYS_epoll_pwait
            | libc::SYS_epoll_pwait2
            | libc::SYS_accept
            | libc::SYS_accept4
            | libc::SYS_read
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_wait4
            | libc::SYS_rt_sigsuspend
    )
}

/// The code segment's selector, of which each kernel has its own.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn code_segment() -> u16 {
    let selector: u16;
    // SAFETY: reads a register.
    unsafe { asm!("mov {0:x}, cs", out(reg) selector, options(pure, nomem, nostack, preserves_flags)) };
    selector
}

/// The address of glibc's descriptor of the calling thread.
pub fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register; on x86-64 the descriptor's own address, which its first word holds (System V ABI, TLS).
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("mov {}, fs:0", out(reg) pointer, options(pure, readonly, nostack, preserves_flags));
    }
    // SAFETY: reads a register.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}
