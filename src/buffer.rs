//! The bounded buffer between application threads and the collector, and the byte budget over all stages.
//!
//! Memory is bounded in bytes, over everything that waits anywhere: a record is charged when it is queued, the charge
//! moves to the batch that the collector makes of it, and is given back when the last destination has let go. Nobody
//! waits: what does not fit is dropped and counted by the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that may wait in the pipeline.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Charges `bytes` if they fit.
    #[inline]
    #[must_use]
    pub fn try_charge(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Relaxed);
        if before + bytes <= self.limit {
            return true;
        }
        self.used.fetch_sub(bytes, Relaxed);
        false
    }

    /// Gives `bytes` back.
    #[inline]
    pub fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// Bytes charged to a budget, given back when the permit is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Permit {
    /// Takes over a charge of `bytes` that was made with [`Budget::try_charge`].
    #[must_use]
    pub fn adopt(budget: Arc<Budget>, bytes: usize) -> Self {
        Self { budget, bytes }
    }

    /// Changes the charge to `bytes`, over the limit if need be: the memory exists already.
    pub fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Relaxed);
        } else {
            self.budget.release(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}
