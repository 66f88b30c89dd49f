//! The ledger: created = delivered + rejected + dropped{reason} + pending, exact at any quiet point.
//!
//! One module owns the counters, and a span leaves by exactly one door. `pending` is counted on its own, not derived,
//! so that the identity can be checked. Atomics only: the child of a fork resets them without taking a lock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Why a span was lost on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DropReason {
    /// The byte or record bound of the buffer was reached when the span ended.
    BufferFull = 0,
    /// The destination's share of the memory was full.
    QueueFull = 1,
    /// The process shut down before the destination had taken it.
    Shutdown = 2,
    /// Larger than the destination's largest request, even alone and shortened.
    TooLarge = 3,
    /// No destination was configured.
    NoDestination = 4,
    /// The destination failed in a way that retrying cannot cure (a file that cannot be written, say).
    Failed = 5,
    /// A fault of ours, caught; see `internal_errors`.
    Internal = 6,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::BufferFull,
        Self::QueueFull,
        Self::Shutdown,
        Self::TooLarge,
        Self::NoDestination,
        Self::Failed,
        Self::Internal,
    ];

    /// The name in `stats()`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::QueueFull => "queue_full",
            Self::Shutdown => "shutdown",
            Self::TooLarge => "too_large",
            Self::NoDestination => "no_destination",
            Self::Failed => "failed",
            Self::Internal => "internal",
        }
    }
}

/// How a span was finally lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The receiver refused it.
    Rejected,
    /// We could not or may not keep it.
    Dropped(DropReason),
}

/// Counters of spans, of one process or of one destination.
#[derive(Debug, Default)]
pub struct Counts {
    created: AtomicU64,
    delivered: AtomicU64,
    rejected: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    pending: AtomicI64,
    /// Something was lost since somebody last looked.
    news: AtomicBool,
}

/// A reading of [`Counts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountsSnapshot {
    /// Spans whose `end()` returned.
    pub created: u64,
    /// Spans that every destination has accepted.
    pub delivered: u64,
    /// Spans that a receiver refused.
    pub rejected: u64,
    /// Spans lost on our side, by reason, in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Spans on their way.
    pub pending: i64,
}

impl CountsSnapshot {
    /// Spans lost on our side, all reasons together.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

impl Counts {
    /// A span was created and is now pending.
    #[inline]
    pub fn create(&self) {
        self.created.fetch_add(1, Relaxed);
        self.pending.fetch_add(1, Relaxed);
    }

    /// Several spans were created and are now pending (a destination that is handed a batch).
    pub fn create_many(&self, count: u64) {
        self.created.fetch_add(count, Relaxed);
        self.pending.fetch_add(count.cast_signed(), Relaxed);
    }

    /// `count` pending spans were delivered.
    pub fn deliver(&self, count: u64) {
        self.delivered.fetch_add(count, Relaxed);
        self.pending.fetch_sub(count.cast_signed(), Relaxed);
    }

    /// `count` pending spans were lost.
    pub fn lose(&self, loss: Loss, count: u64) {
        let counter = match loss {
            Loss::Rejected => Some(&self.rejected),
            Loss::Dropped(reason) => self.dropped.get(reason as usize),
        };
        if let Some(counter) = counter {
            counter.fetch_add(count, Relaxed);
        }
        self.pending.fetch_sub(count.cast_signed(), Relaxed);
        self.set_news();
    }

    /// Whether something was lost since [`Counts::take_news`].
    #[inline]
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.news.load(Relaxed)
    }

    /// Asks for another look.
    pub fn set_news(&self) {
        self.news.store(true, Relaxed);
    }

    /// Somebody looks now.
    pub fn take_news(&self) {
        self.news.store(false, Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> CountsSnapshot {
        CountsSnapshot {
            created: self.created.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            dropped: std::array::from_fn(|at| self.dropped.get(at).map_or(0, |counter| counter.load(Relaxed))),
            pending: self.pending.load(Relaxed),
        }
    }

    fn reset(&self) {
        for counter in [&self.created, &self.delivered, &self.rejected].into_iter().chain(&self.dropped) {
            counter.store(0, Relaxed);
        }
        self.pending.store(0, Relaxed);
        self.news.store(false, Relaxed);
    }
}

/// The process-wide ledger. One static instance serves the Python module; tests make their own.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The identity.
    pub spans: Counts,
    /// Sampled spans started and not ended.
    pub open_spans: AtomicI64,
    /// Framework runs started and not ended.
    pub open_runs: AtomicI64,
    /// Faults of ours that were caught: panics, unreadable values, failing hooks.
    pub internal_errors: AtomicU64,
    /// Calls that came too late to count: a handle used after `end()`, a span after `shutdown()`.
    pub late_calls: AtomicU64,
}

/// The account of this process.
pub static PROCESS: Ledger = Ledger::new();

impl Ledger {
    /// A ledger at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            spans: Counts {
                created: AtomicU64::new(0),
                delivered: AtomicU64::new(0),
                rejected: AtomicU64::new(0),
                dropped: [const { AtomicU64::new(0) }; DropReason::ALL.len()],
                pending: AtomicI64::new(0),
                news: AtomicBool::new(false),
            },
            open_spans: AtomicI64::new(0),
            open_runs: AtomicI64::new(0),
            internal_errors: AtomicU64::new(0),
            late_calls: AtomicU64::new(0),
        }
    }

    /// Counts a caught fault of ours.
    pub fn internal_error(&self) {
        self.internal_errors.fetch_add(1, Relaxed);
    }

    /// All counters to zero: the child of a fork starts its own account. Safe in a fork handler (stores only).
    pub fn reset(&self) {
        self.spans.reset();
        self.open_spans.store(0, Relaxed);
        self.open_runs.store(0, Relaxed);
        self.internal_errors.store(0, Relaxed);
        self.late_calls.store(0, Relaxed);
    }
}
