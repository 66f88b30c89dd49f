//! The collector: takes records from the buffer, makes batches of finished spans and hands them to the sinks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, SeqCst};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, TryRecvError};

use super::{BATCH_BYTES, BATCH_RECORDS, Control, Engine, lock};
use crate::buffer::Permit;
use crate::clock::Anchor;
use crate::finished::BatchBuilder;
use crate::ledger::{DropReason, Loss};
use crate::sinks::Delivery;

/// How long the collector sleeps while spans flow: it bounds how long a finished span stays in the buffer.
const PERIOD: Duration = Duration::from_millis(200);
/// The same where somebody watches running spans, and how often is looked for them: they are to be seen within a tenth
/// of a second, and are told at the second look.
const LOOK: Duration = Duration::from_millis(25);
/// After this long without a span the collector parks until it is woken.
const IDLE: Duration = Duration::from_secs(5);

impl Engine {
    /// The collector's loop.
    pub(super) fn collect(&self) {
        let mut last_span = Instant::now();
        let mut last_look = Instant::now();
        let period = if self.watched { LOOK } else { PERIOD };
        loop {
            let message = if last_span.elapsed() < IDLE {
                self.control.1.recv_timeout(period)
            } else {
                self.asleep.store(true, SeqCst);
                if self.queued.load(SeqCst) > 0 || self.open.is_untold() {
                    self.asleep.store(false, SeqCst);
                    Ok(Control::Wake)
                } else {
                    self.control.1.recv().map_err(|_| RecvTimeoutError::Disconnected)
                }
            };
            self.wake_sent.store(false, SeqCst);
            match message {
                Ok(Control::Park) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Control::Flush { deadline, done }) => {
                    self.drain(usize::MAX);
                    self.tell(true);
                    for sink in &self.sinks {
                        sink.flush(deadline, done.clone());
                    }
                }
                Ok(Control::Shutdown { deadline, done }) => {
                    self.drain(usize::MAX);
                    for sink in &self.sinks {
                        sink.shutdown(deadline, done.clone());
                    }
                    return;
                }
                Ok(Control::Wake) | Err(RecvTimeoutError::Timeout) => {
                    // Some batches, then a look at the control channel: a fork or a flush must not wait for a flood.
                    if self.watched && last_look.elapsed() >= LOOK {
                        last_look = Instant::now();
                        if self.tell(false) {
                            last_span = last_look;
                        }
                    }
                    if self.drain(16) {
                        last_span = Instant::now();
                        if self.queued.load(SeqCst) > 0 && !self.wake_sent.swap(true, AcqRel) {
                            let _ = self.control.0.send(Control::Wake);
                        }
                    }
                }
            }
        }
    }

    /// Resolves up to `batches` batches and hands them on. Says whether there was anything.
    pub(super) fn drain(&self, batches: usize) -> bool {
        let mut any = false;
        for _ in 0..batches {
            // A fault in a batch costs that batch's bookkeeping, never the collector.
            match catch_unwind(AssertUnwindSafe(|| self.drain_batch())) {
                Ok(true) => any = true,
                Ok(false) => break,
                Err(_) => self.ledger.internal_error(),
            }
        }
        any
    }

    fn drain_batch(&self) -> bool {
        let mut resolver = lock(&self.resolver);
        let mut builder = BatchBuilder::new();
        let anchor = Anchor::now();
        let mut charged = 0;
        let mut taken = 0;
        let mut done = Vec::with_capacity(64);
        while taken < BATCH_RECORDS && builder.bytes() < BATCH_BYTES {
            let record = match self.records.1.try_recv() {
                Ok(record) => record,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            };
            taken += 1;
            charged += record.bytes();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                crate::failpoint::failpoint!("collector.resolve");
                resolver.resolve(&record, &anchor, &mut builder);
            }));
            let mut loss = None;
            if outcome.is_err() {
                builder.abort_span();
                self.ledger.internal_error();
                loss = Some(DropReason::Internal);
            } else if builder.abort_if_short() {
                // Only where the caller does the collector's part: the collector waits for memory.
                loss = Some(DropReason::BufferFull);
            }
            if let Some(reason) = loss {
                self.ledger.spans.lose(Loss::Dropped(reason), 1);
            }
            done.push(record);
            if done.len() == done.capacity() {
                self.give_all_back(&mut done);
            }
        }
        self.give_all_back(&mut done);
        drop(resolver);
        self.queued.fetch_sub(taken.cast_signed(), SeqCst);
        if taken == 0 {
            return false;
        }
        let permit = Permit::adopt(Arc::clone(&self.budget), charged);
        if builder.is_empty() {
            return true;
        }
        let batch = builder.build(Arc::clone(&self.resource), Some(permit));
        for (sink, delivery) in self.sinks.iter().zip(Delivery::fan_out(batch, &self.destinations, self.ledger)) {
            sink.accept(delivery);
        }
        true
    }

    /// Tells the sinks that watch which spans have begun: those that were there at the last look, or all. Says whether
    /// there are any to be told, now or at the next look.
    fn tell(&self, all: bool) -> bool {
        let due = self.open.look(all);
        if due.is_empty() {
            return self.watched && self.open.is_untold();
        }
        let anchor = Anchor::now();
        let mut builder = BatchBuilder::new();
        let mut resolver = lock(&self.resolver);
        for record in &due {
            let outcome = catch_unwind(AssertUnwindSafe(|| resolver.resolve(record, &anchor, &mut builder)));
            if outcome.is_err() {
                builder.abort_span();
                self.ledger.internal_error();
            } else {
                // It is seen when it ends.
                builder.abort_if_short();
            }
        }
        drop(resolver);
        self.open.give_back(due);
        if !builder.is_empty() {
            let permit = Permit::adopt(Arc::clone(&self.budget), 0);
            let batch = Arc::new(builder.build(Arc::clone(&self.resource), Some(permit)));
            self.sinks.iter().filter(|sink| sink.watches()).for_each(|sink| sink.begun(Arc::clone(&batch)));
        }
        true
    }
}
