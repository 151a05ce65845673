//! Shared memory with a safe interface: a value written once, and a value behind a try-lock.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, Ordering::*};

/// A static that the constructor writes once, and that may be withdrawn and restored.
pub struct Late<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

const EMPTY: u8 = 0;
const WRITING: u8 = 1;
const WRITTEN: u8 = 2;
const WITHDRAWN: u8 = 3;
const GONE: u8 = 4;

// SAFETY: the value is written by the one thread that moved EMPTY → WRITING, and read only after WRITTEN.
unsafe impl<T: Send + Sync> Sync for Late<T> {}

impl<T: Copy> Late<T> {
    /// Not yet written. All zeros.
    pub const fn new() -> Self {
        Late { state: AtomicU8::new(EMPTY), value: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// Writes the value, once; later calls change nothing.
    pub fn set(&self, value: T) {
        if self.state.compare_exchange(EMPTY, WRITING, Relaxed, Relaxed).is_ok() {
            // SAFETY: this thread alone moved EMPTY → WRITING, and nobody reads before WRITTEN.
            unsafe { (*self.value.get()).write(value) };
            self.state.store(WRITTEN, Release);
        }
    }

    /// From here on there is no value, until it is restored. References handed out before stay valid.
    pub fn withdraw(&self) {
        let _ = self.state.compare_exchange(WRITTEN, WITHDRAWN, Release, Relaxed);
    }

    /// What was withdrawn is there again, unless it is gone.
    pub fn restore(&self) {
        let _ = self.state.compare_exchange(WITHDRAWN, WRITTEN, Release, Relaxed);
    }

    /// There is no value any more, for good.
    pub fn remove(&self) {
        self.state.store(GONE, Release);
    }

    /// The value, once written, and until withdrawn.
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Acquire) != WRITTEN {
            return None;
        }
        // SAFETY: WRITTEN was stored after the value, which never changes again.
        Some(unsafe { (*self.value.get()).assume_init_ref() })
    }
}

/// A value that one thread at a time may use; the others go on without. Nobody ever waits.
pub struct TryLock<T> {
    taken: AtomicU8,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only by the thread that moved `taken` from 0 to 1.
unsafe impl<T: Send> Sync for TryLock<T> {}

impl<T> TryLock<T> {
    /// Runs `work` on the value, or returns `None` where another thread has it. Call with all signals blocked
    /// and cancellation disabled: a thread that left `work` half-way would keep the value for ever.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        if self.taken.compare_exchange(0, 1, Acquire, Relaxed).is_err() {
            return None;
        }
        // SAFETY: this thread moved `taken` from 0 to 1, so no other reference exists.
        let result = work(unsafe { &mut *self.value.get() });
        self.taken.store(0, Release);
        Some(result)
    }
}
