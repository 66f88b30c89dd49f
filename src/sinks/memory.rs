//! The memory sink: keeps finished spans for a test to look at (`ironspan.testing.MemoryExporter`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::finished::{Batch, BatchBuilder};
use crate::ledger::DropReason;
use crate::sinks::{Delivery, Destination, FlushToken, Health, Sink};

/// Bytes that a memory sink keeps at most; beyond it spans are dropped as `queue_full`.
const KEPT_BYTES: usize = 256 << 20;

/// Finished spans, shared between the sink and whoever reads them.
#[derive(Debug, Default)]
pub struct Kept {
    batches: Mutex<Vec<Arc<Batch>>>,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Batch>>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything kept so far, in the order of arrival.
    #[must_use]
    pub fn batches(&self) -> Vec<Arc<Batch>> {
        self.lock().clone()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.lock().clear();
    }
}

/// See the module.
#[derive(Debug)]
pub struct MemorySink {
    kept: Arc<Kept>,
    destination: Arc<Destination>,
}

impl MemorySink {
    /// A sink that keeps its spans in `kept`.
    #[must_use]
    pub fn new(kept: Arc<Kept>, destination: Arc<Destination>) -> Self {
        Self { kept, destination }
    }
}

impl Sink for MemorySink {
    fn accept(&self, delivery: Delivery) {
        let mut kept = self.kept.lock();
        let held: usize = kept.iter().map(|batch| batch.bytes()).sum();
        if held + delivery.batch().bytes() > KEPT_BYTES {
            drop(kept);
            return delivery.dropped(DropReason::QueueFull);
        }
        // A copy of its own, so that what a test keeps does not use up the pipeline's budget.
        let mut copy = BatchBuilder::new();
        delivery.spans().for_each(|span| copy.copy_span(span));
        kept.push(Arc::new(copy.build(Arc::clone(delivery.batch().resource()), None)));
        drop(kept);
        self.destination.set_health(Health::Healthy);
        delivery.delivered();
    }

    fn flush(&self, _deadline: Instant, _done: FlushToken) {}

    fn shutdown(&self, _deadline: Instant, _done: FlushToken) {
        self.destination.set_health(Health::Stopped);
    }
}
