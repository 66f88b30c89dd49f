//! The store sink: finished spans go into the local store, one transaction for each batch, on a thread of its own.
//!
//! Spans that have begun are told too, so that a trace is seen while it runs and what was open is known after a crash.
//! The engine tells only those that last: most spans are written once.
//!
//! "Delivered" means committed: the end of the process loses nothing of it. A store that cannot be written now (disk
//! full, locked for long) is tried again; meanwhile deliveries wait within the destination's byte limit.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::finished::Batch;
use crate::ids::{SpanId, TraceId};
use crate::ledger::{DropReason, Ledger};
use crate::sinks::worker::{Again, LocalSink, Writer};
use crate::sinks::{Delivery, Destination, Health};
use crate::store::open::{self, Identity};
use crate::store::{self, Access, Database, StoreError};

/// How often a process with open spans shows that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// How long after a failure the store is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How often the file is looked for: it may be deleted, or replaced, under an open connection.
const LOOK: Duration = Duration::from_secs(2);
/// How often a damaged file is replaced at most.
const REPLACE: Duration = Duration::from_secs(60);
/// Spans that are remembered as open. Beyond it spans show when they end.
const MAX_OPEN: usize = 100_000;

/// The store sink.
pub type StoreSink = LocalSink<StoreWriter>;

/// A store sink for the file at `path`, which is opened with the first batch.
#[must_use]
pub fn sink(path: PathBuf, destination: Arc<Destination>, ledger: &'static Ledger) -> StoreSink {
    let writer = StoreWriter {
        path,
        destination: Arc::clone(&destination),
        open: None,
        announced: HashSet::new(),
        beaten: Instant::now(),
        looked: Instant::now(),
        replaced: None,
        seen: Identity::default(),
    };
    LocalSink::new("ironspan-store", writer, destination, ledger)
}

/// Writes deliveries to the store.
#[derive(Debug)]
pub struct StoreWriter {
    path: PathBuf,
    destination: Arc<Destination>,
    open: Option<store::Writer>,
    /// Open spans that are in the store.
    announced: HashSet<(TraceId, SpanId)>,
    beaten: Instant,
    looked: Instant,
    replaced: Option<Instant>,
    /// Which file is open, or was the last to be opened.
    seen: Identity,
}

impl StoreWriter {
    fn writer(&mut self) -> Result<&mut store::Writer, StoreError> {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            // What comes now goes to the file at the path.
            if self.open.is_some() && self.seen.has_gone_from(&self.path) {
                self.leave();
            }
        }
        if self.open.is_none() {
            self.seen = Identity::of(&self.path);
            let database = Database::open(&self.path, Access::Write)?;
            self.seen = Identity::of(&self.path);
            self.open = Some(store::Writer::new(database));
        }
        match &mut self.open {
            Some(writer) => Ok(writer),
            None => Err(StoreError::Missing(self.path.clone())),
        }
    }

    /// Lets go of a file that is not at the path any more. Where it was moved, it gets what is in its log; a file that
    /// others write to with another log does not.
    fn leave(&mut self) {
        if let Some(writer) = self.open.take() {
            let database = writer.into_database();
            if self.seen.has_another_log(&self.path) {
                database.close_quickly();
            } else {
                let _ = database.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            }
        }
        open::remove_log(&self.path, self.seen);
        self.announced.clear();
    }

    fn write_finished(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let announced = std::mem::take(&mut self.announced);
        let result = self.writer().and_then(|writer| {
            let is_announced = |trace, span| announced.contains(&(trace, span));
            writer.finished(delivery.spans(), delivery.batch().resource(), is_announced)
        });
        self.announced = announced;
        result
    }

    /// Puts a new file in the place of a damaged one, once a minute at most: a disk that damages whatever it is given
    /// must not be filled with that.
    fn replace(&mut self, delivery: Delivery) -> Option<Again> {
        let too_soon = self.replaced.is_some_and(|at| at.elapsed() < REPLACE);
        if too_soon && !self.seen.has_gone_from(&self.path) {
            delivery.dropped(DropReason::Failed);
            return None;
        }
        match open::set_aside(&self.path, self.seen) {
            Ok(Some(_)) => self.replaced = Some(Instant::now()),
            // Another process was first: what is there now is new.
            Ok(None) => {}
            Err(_) => {
                delivery.dropped(DropReason::Failed);
                return None;
            }
        }
        Some(Again { delivery, wait: Duration::ZERO })
    }

    fn note_failure(&mut self, error: &StoreError) {
        self.destination.set_health(Health::Retrying);
        self.destination.set_last_error(&error.to_string());
    }
}

impl Writer for StoreWriter {
    fn write(&mut self, delivery: Delivery) -> Option<Again> {
        match self.write_finished(&delivery) {
            Ok(()) => {
                for span in delivery.spans() {
                    self.announced.remove(&(span.head().trace_id, span.head().span_id));
                }
                self.destination.set_health(Health::Healthy);
                delivery.delivered();
                None
            }
            Err(error) => {
                self.note_failure(&error);
                self.open = None;
                self.announced.clear();
                match error {
                    StoreError::Damaged { .. } => self.replace(delivery),
                    // Nothing that time would mend.
                    StoreError::Foreign(_) | StoreError::Newer { .. } => {
                        delivery.dropped(DropReason::Failed);
                        None
                    }
                    _ => Some(Again { delivery, wait: RETRY }),
                }
            }
        }
    }

    fn watches(&self) -> bool {
        true
    }

    fn begun(&mut self, batch: Arc<Batch>) {
        let room = MAX_OPEN.saturating_sub(self.announced.len());
        let spans = || (0..batch.len()).filter_map(|at| batch.get(at)).take(room);
        if room == 0 {
            return;
        }
        // A store that cannot be written is told by the deliveries; what is only news is not tried again.
        if self.writer().and_then(|writer| writer.begun(spans().map(|span| (span, &**batch.resource())))).is_ok() {
            self.announced.extend(spans().map(|span| (span.head().trace_id, span.head().span_id)));
            self.beaten = Instant::now();
        }
    }

    fn patience(&self) -> Option<Duration> {
        (!self.announced.is_empty()).then(|| BEAT.saturating_sub(self.beaten.elapsed()))
    }

    fn tick(&mut self) {
        if !self.announced.is_empty() && self.beaten.elapsed() >= BEAT {
            self.beaten = Instant::now();
            let _ = self.writer().and_then(store::Writer::beat);
        }
    }

    fn park(&mut self) {
        // SQLite must not be carried over a fork. Closing must not take long either: the fork waits for this thread.
        if let Some(open) = self.open.take() {
            open.into_database().close_quickly();
        }
    }

    fn finish(&mut self) {
        self.open = None;
    }
}
