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
