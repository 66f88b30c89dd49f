//! What a forked child must know: the process epoch. Everything per-process that memory copying would clone (random
//! states, engines, records) remembers the epoch it was made in and compares it with the present one.
//!
//! A counter and not `getpid`: one relaxed load costs nothing on the hot path, and it also tells apart a child whose
//! process id was recycled.

use std::sync::atomic::{AtomicU32, Ordering};

static EPOCH: AtomicU32 = AtomicU32::new(0);

/// The epoch of this process: 0 in the first one, one more in each forked child.
///
/// Relaxed is enough: the counter changes only in the child of a fork, while that child has a single thread.
#[inline]
#[must_use]
pub fn epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// Enters the next epoch. One atomic addition, hence safe in a `pthread_atfork` child handler.
pub fn bump() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
}

/// Has `handler` run in the child of every fork from now on, also of forks that bypass Python's hooks. The handler may
/// only store to atomics: at that moment any lock may be held by a thread that the child does not have.
///
/// POSIX, `pthread_atfork`. Does nothing on systems without fork.
pub fn on_child(handler: extern "C" fn()) {
    #[cfg(unix)]
    #[allow(unsafe_code, reason = "registering a fork handler is a C call")]
    // SAFETY: the handler is a function of this library, which Python never unloads.
    unsafe {
        unsafe extern "C" {
            fn pthread_atfork(
                prepare: Option<extern "C" fn()>,
                parent: Option<extern "C" fn()>,
                child: Option<extern "C" fn()>,
            ) -> i32;
        }
        // Fails only for want of memory; then a forked child would find the parent's engine and its threads missing,
        // and its flushes would time out.
        let _ = pthread_atfork(None, None, Some(handler));
    }
    #[cfg(not(unix))]
    let _ = handler;
}
