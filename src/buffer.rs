//! The bounded buffer between application threads and the collector, and the byte budget over all stages.
//!
//! Memory is bounded in bytes, over everything that waits anywhere: a record is charged when it is queued, the charge
//! moves to the batch that the collector makes of it, and is given back when the last destination has let go. Nobody
//! waits: what does not fit is dropped and counted by the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that may wait in the pipeline.
///
/// Records may have three eighths of them. What they held stays with the arenas of the program's threads after the collector
/// has copied it, so a backlog that once was large and the queues that are large later add up in the process.
#[derive(Debug)]
pub struct Budget {
    /// All of it.
    used: AtomicUsize,
    /// The part that is in batches. The rest is in records.
    sealed: AtomicUsize,
    limit: usize,
    record_limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), sealed: AtomicUsize::new(0), limit, record_limit: limit / 8 * 3 }
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

    /// Charges the `bytes` of a record if they fit. A record with more than the share of all records fits alone. Says how
    /// many bytes of records waited before it.
    #[inline]
    #[must_use]
    pub fn try_charge(&self, bytes: usize) -> Option<usize> {
        let before = self.used.fetch_add(bytes, Relaxed);
        // Batches that are given back at this moment can only make it look fuller.
        let records = before.saturating_sub(self.sealed.load(Relaxed));
        if before + bytes <= self.limit && (records == 0 || records + bytes <= self.record_limit) {
            return Some(records);
        }
        self.used.fetch_sub(bytes, Relaxed);
        None
    }

    /// Gives the `bytes` of a record back.
    #[inline]
    pub fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

/// Bytes of a batch, charged to a budget and given back when the permit is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Permit {
    /// Takes over a charge of `bytes` that was made with [`Budget::try_charge`]: what they were charged for is now in a
    /// batch.
    #[must_use]
    pub fn adopt(budget: Arc<Budget>, bytes: usize) -> Self {
        budget.sealed.fetch_add(bytes, Relaxed);
        Self { budget, bytes }
    }

    /// Changes the charge to `bytes`, over the limit if need be: the memory exists already.
    pub fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Relaxed);
            self.budget.sealed.fetch_add(bytes - self.bytes, Relaxed);
        } else {
            self.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    fn give_back(&self, bytes: usize) {
        self.budget.sealed.fetch_sub(bytes, Relaxed);
        self.budget.used.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_their_share_and_batches_what_they_take() {
        let budget = Arc::new(Budget::new(800));
        assert_eq!(budget.try_charge(200), Some(0));
        assert_eq!(budget.try_charge(101), None, "more than three eighths");
        assert_eq!(budget.try_charge(100), Some(200));
        let mut batch = Permit::adopt(Arc::clone(&budget), 300);
        batch.resize(450);
        assert_eq!(budget.try_charge(250), Some(0));
        batch.resize(550);
        assert_eq!(budget.try_charge(1), None, "more than all");
        batch.resize(10);
        assert_eq!(budget.try_charge(51), None, "there is room again, but not for records");
        assert_eq!(budget.try_charge(50), Some(250));
        drop(batch);
        budget.release(300);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_record_with_more_than_the_share_of_records_fits_alone() {
        let budget = Budget::new(1000);
        assert_eq!(budget.try_charge(1001), None);
        assert_eq!(budget.try_charge(900), Some(0));
        assert_eq!(budget.try_charge(1), None);
    }
}
