//! PURE, but for two registers: the frame that the kernel pushes for a handler (`struct rt_sigframe`, in each architecture's
//! signal.c; what programs see of it is `ucontext_t`).

use core::arch::asm;
use core::ffi::c_long;
#[cfg(target_arch = "x86_64")]
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

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

use layout::{FLAGS, INSTRUCTION, LINK, NUMBER, RESULT, STACK, STACK_POINTER};
pub use layout::{KEY, KEY_OFFSET};

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

/// Whether the registers that a frame's beginning does not hold are saved above it, where it says: between the kernel's two marks
/// (`struct _fpx_sw_bytes`, arch/x86/include/uapi/asm/sigcontext.h). `read` reads below `end`.
#[cfg(target_arch = "x86_64")]
pub fn has_registers(start: usize, end: usize, read: impl Fn(usize) -> u32) -> bool {
    const POINTER: usize = 29 * size_of::<u64>();
    const MARK: usize = 464;
    const SIZE: usize = MARK + 16;
    const SMALLEST: usize = 512;
    let inside = |from: usize, length: usize| from > start && from.checked_add(length).is_some_and(|last| last <= end);
    if !saves_extended_registers() {
        return true;
    }
    if !inside(start + POINTER, size_of::<u64>()) {
        return false;
    }
    let state = read(start + POINTER) as usize | (read(start + POINTER + 4) as usize) << 32;
    if !state.is_multiple_of(64) || !inside(state, SMALLEST) || read(state + MARK) != 0x4650_5853 {
        return false;
    }
    let size = read(state + SIZE) as usize;
    inside(state, size + size_of::<u32>()) && read(state + size) == 0x4650_5845
}

/// The first record holds them already.
#[cfg(target_arch = "aarch64")]
pub fn has_registers(_: usize, _: usize, _: impl Fn(usize) -> u32) -> bool {
    true
}

/// Whether the kernel saves them by xsave, and so marks them: on all machines since 2008.
#[cfg(target_arch = "x86_64")]
fn saves_extended_registers() -> bool {
    static SAVES: AtomicU8 = AtomicU8::new(0);
    match SAVES.load(Relaxed) {
        0 => {
            // Asked once: under a hypervisor the instruction takes long.
            let saves = core::arch::x86_64::__cpuid(1).ecx >> 27 & 1 == 1;
            SAVES.store(1 + u8::from(saves), Relaxed);
            saves
        }
        known => known == 2,
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

#[cfg(test)]
mod tests {
    use super::*;

    const START: usize = 0x7fff_0000_1008;

    /// What the kernel would have saved.
    fn words() -> [u64; WORDS] {
        let mut words = [0xdead; WORDS];
        words[LINK] = 0;
        words[STACK..STACK + 3].fill(0);
        words[STACK_POINTER] = START as u64 + 0xa00;
        words[INSTRUCTION] = 0x4000;
        words[FLAGS] = if cfg!(target_arch = "x86_64") { 0x246 } else { 0 };
        words
    }

    fn with(index: usize, word: u64) -> Option<Frame> {
        let mut words = words();
        words[index] = word;
        Frame::read(&words, START)
    }

    #[test]
    fn a_frame_tells_what_was_interrupted() {
        assert_eq!(Frame::read(&words(), START).map(|frame| frame.instruction), Some(0x4000));
    }

    #[test]
    fn what_the_kernel_would_not_have_saved_is_no_frame() {
        for (index, word) in [
            (LINK, 1),
            (STACK_POINTER, START as u64),
            (STACK_POINTER, START as u64 - 8),
            (STACK_POINTER, START as u64 + LONGEST),
            (FLAGS, u64::MAX),
        ] {
            assert_eq!(with(index, word), None, "{index} {word:x}");
        }
    }

    #[test]
    fn a_frame_on_an_alternate_stack_is_one() {
        let mut words = words();
        words[STACK_POINTER] = 0x1000;
        assert_eq!(Frame::read(&words, START), None);
        words[STACK] = START as u64 - 0x1000;
        words[STACK + 2] = 0x2000;
        assert!(Frame::read(&words, START).is_some());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn an_interrupted_system_call_is_known_by_its_code() {
        let interrupted = with(RESULT, -libc::EINTR as i64 as u64).expect("a frame");
        let code = |bytes: [u8; 7]| {
            move |before: usize| {
                let padded = [&bytes[..], &[0x90; 4]].concat();
                u32::from_le_bytes(padded[7 - before..][..4].try_into().expect("four bytes"))
            }
        };
        assert_eq!(interrupted.interrupted_call(code([0xb8, 7, 0, 0, 0, 0x0f, 0x05])), Some(libc::SYS_poll));
        assert_eq!(interrupted.interrupted_call(code([0xb8, 7, 0, 0, 0, 0x0f, 0x0b])), None);
        assert_eq!(interrupted.interrupted_call(code([0xbf, 7, 0, 0, 0, 0x0f, 0x05])), None);
        let returned = with(RESULT, 1).expect("a frame");
        assert_eq!(returned.interrupted_call(code([0xb8, 7, 0, 0, 0, 0x0f, 0x05])), None);
    }

    #[test]
    fn a_lock_is_no_wait_for_work() {
        assert!(is_wait(libc::SYS_ppoll) && is_wait(libc::SYS_accept4));
        assert!(!is_wait(libc::SYS_futex) && !is_wait(libc::SYS_madvise));
    }
}
