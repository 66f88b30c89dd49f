//! Where finished spans go: the `Sink` trait and the `Delivery` that is handed to each sink.
//!
//! A delivery is a range of a shared batch, for one destination, and must be settled exactly once: delivered, partly
//! rejected, rejected or dropped. Whoever lets one fall without settling it (a panic, a forgotten path) has it counted
//! as `dropped{internal}`, so the ledger's identity holds whatever happens here.

pub mod build;
pub mod console;
pub mod file;
pub mod memory;
pub mod otlp;
pub mod stdout;
#[cfg(feature = "local")]
pub mod store;
#[cfg(test)]
pub(crate) mod testing;
pub mod worker;

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::Sender;

use crate::finished::{Batch, SpanView};
use crate::ledger::{Counts, DropReason, Ledger, Loss};

/// How a destination fares, for `stats()` and the doctor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Nothing was sent yet.
    #[default]
    Unknown = 0,
    /// The last attempt succeeded.
    Healthy = 1,
    /// Attempts fail and are retried.
    Retrying = 2,
    /// The receiver refuses us (401, 403); deliveries are kept and tried again later.
    Paused = 3,
    /// The sink has stopped.
    Stopped = 4,
}

impl Health {
    /// The word in `stats()`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// What is known of one destination, shared by its sink and the readers of `stats()`.
#[derive(Debug)]
pub struct Destination {
    /// The name in `stats()`: `otlp`, `otlp-2`, `console`, `file`, `memory`. Never holds a secret.
    pub name: String,
    /// Spans of this destination alone.
    pub spans: Counts,
    /// Waiting bytes that this destination may hold before it drops the newest.
    pub queue_limit: usize,
    health: AtomicU8,
    last_error: Mutex<Option<String>>,
}

impl Destination {
    /// A destination that has seen nothing yet.
    #[must_use]
    pub fn new(name: impl Into<String>, queue_limit: usize) -> Self {
        Self {
            name: name.into(),
            spans: Counts::default(),
            queue_limit,
            health: AtomicU8::new(Health::Unknown as u8),
            last_error: Mutex::new(None),
        }
    }

    /// How it fares.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.health.load(Relaxed) {
            0 => Health::Unknown,
            1 => Health::Healthy,
            2 => Health::Retrying,
            3 => Health::Paused,
            _ => Health::Stopped,
        }
    }

    /// Notes how it fares.
    pub fn set_health(&self, health: Health) {
        self.health.store(health as u8, Relaxed);
    }

    /// The last thing that went wrong, one short line without control characters, payloads or credentials.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what went wrong. Control bytes are escaped and the line is cut at 256 bytes.
    pub fn set_last_error(&self, message: &str) {
        let mut line: String = message.chars().flat_map(char::escape_debug).collect();
        if line.len() > 256 {
            let cut = (0..=253).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
            line.truncate(cut);
            line.push_str("...");
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }
}

/// What became of each span of a batch, over all destinations together.
#[derive(Debug)]
struct Tally {
    ledger: &'static Ledger,
    destinations: u8,
    /// For each span: how many destinations have it, or `LOST`.
    states: Mutex<Vec<u8>>,
}

/// The state of a span that some destination has finally lost.
const LOST: u8 = u8::MAX;

impl Tally {
    fn settle(&self, range: Range<usize>, rejected: usize, loss: Option<Loss>) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut arrived, mut given_up, mut refused) = (0, 0, 0);
        for (at, state) in states.get_mut(range).unwrap_or_default().iter_mut().enumerate() {
            let loss = if at < rejected { Some(Loss::Rejected) } else { loss };
            if *state == LOST {
                continue;
            }
            if let Some(loss) = loss {
                *state = LOST;
                if loss == Loss::Rejected { refused += 1 } else { given_up += 1 }
            } else {
                *state += 1;
                if *state == self.destinations {
                    arrived += 1;
                }
            }
        }
        // One call per door, outside the lock: counters only.
        drop(states);
        if arrived > 0 {
            self.ledger.spans.deliver(arrived);
        }
        if refused > 0 {
            self.ledger.spans.lose(Loss::Rejected, refused);
        }
        if let (1.., Some(loss)) = (given_up, loss) {
            self.ledger.spans.lose(loss, given_up);
        }
    }
}

/// A range of a batch on its way to one destination. Settle it exactly once.
#[derive(Debug)]
pub struct Delivery {
    batch: Arc<Batch>,
    tally: Arc<Tally>,
    destination: Arc<Destination>,
    range: Range<usize>,
}

impl Delivery {
    /// One delivery of the whole batch for every destination, in their order. The batch's spans must be pending in
    /// `ledger`; with no destination at all they are counted as `dropped{no_destination}`.
    #[must_use]
    pub fn fan_out(batch: Batch, destinations: &[Arc<Destination>], ledger: &'static Ledger) -> Vec<Self> {
        let count = batch.len();
        if destinations.is_empty() {
            ledger.spans.lose(Loss::Dropped(DropReason::NoDestination), count as u64);
            return Vec::new();
        }
        let batch = Arc::new(batch);
        let tally = Arc::new(Tally {
            ledger,
            destinations: u8::try_from(destinations.len()).unwrap_or(LOST - 1),
            states: Mutex::new(vec![0; count]),
        });
        destinations
            .iter()
            .map(|destination| {
                destination.spans.create_many(count as u64);
                Self {
                    batch: Arc::clone(&batch),
                    tally: Arc::clone(&tally),
                    destination: Arc::clone(destination),
                    range: 0..count,
                }
            })
            .collect()
    }

    /// Spans of this delivery, in the order in which they ended.
    pub fn spans(&self) -> impl Iterator<Item = SpanView<'_>> + Clone {
        self.range.clone().filter_map(|index| self.batch.get(index))
    }

    /// How many spans.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it is empty, which a settled or split-off remainder may be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The batch this is a part of.
    #[must_use]
    pub fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// Where it goes.
    #[must_use]
    pub fn destination(&self) -> &Arc<Destination> {
        &self.destination
    }

    /// About how many bytes it will take on the wire.
    #[must_use]
    pub fn approximate_bytes(&self) -> usize {
        self.spans().map(|span| span.approximate_bytes()).sum()
    }

    /// Cuts the delivery in two: the first `at` spans stay here, the others are returned.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let middle = (self.range.start + at).min(self.range.end);
        let tail = middle..self.range.end;
        self.range.end = middle;
        Self {
            batch: Arc::clone(&self.batch),
            tally: Arc::clone(&self.tally),
            destination: Arc::clone(&self.destination),
            range: tail,
        }
    }

    fn settle(&mut self, rejected: usize, loss: Option<Loss>) {
        let range = std::mem::take(&mut self.range);
        if range.is_empty() {
            return;
        }
        let rejected = rejected.min(range.len());
        let rest = (range.len() - rejected) as u64;
        if rejected > 0 {
            self.destination.spans.lose(Loss::Rejected, rejected as u64);
        }
        match loss {
            Some(loss) => self.destination.spans.lose(loss, rest),
            None => self.destination.spans.deliver(rest),
        }
        self.tally.settle(range, rejected, loss);
    }

    /// The destination has it.
    pub fn delivered(mut self) {
        self.settle(0, None);
    }

    /// The destination has it but for `rejected` spans (OTLP partial success does not say which).
    pub fn delivered_except(mut self, rejected: usize) {
        self.settle(rejected, None);
    }

    /// The destination refuses it for good.
    pub fn rejected(mut self) {
        self.settle(0, Some(Loss::Rejected));
    }

    /// We give it up.
    pub fn dropped(mut self, reason: DropReason) {
        self.settle(0, Some(Loss::Dropped(reason)));
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.settle(0, Some(Loss::Dropped(DropReason::Internal)));
    }
}

/// Given to a sink with a flush or shutdown; the sink drops it when everything accepted before is settled. The waiting
/// side sees the channel close when the last token is gone.
#[derive(Clone, Debug)]
pub struct FlushToken(#[expect(dead_code, reason = "only its going away is a message")] Sender<()>);

impl FlushToken {
    /// A token, and the receiver that disconnects when the token and all its clones are gone.
    #[must_use]
    pub fn pair() -> (Self, crossbeam_channel::Receiver<()>) {
        let (sender, receiver) = crossbeam_channel::bounded(0);
        (Self(sender), receiver)
    }
}

/// A destination's end of the pipeline. No call may block on I/O or take long: work happens on the sink's own thread.
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Takes a delivery over. Over the destination's queue limit the sink drops it as `queue_full`.
    fn accept(&self, delivery: Delivery);

    /// Whether it wants to know of spans that begin.
    fn watches(&self) -> bool {
        false
    }

    /// Takes spans that have begun, with what is known of them so far. They are counted nowhere: each comes again, as a
    /// delivery, when it has ended.
    fn begun(&self, batch: Arc<Batch>) {
        let _ = batch;
    }

    /// Asks for everything accepted so far to be sent now; `done` is dropped when it is settled. After `deadline`
    /// nobody waits any more, and the sink goes on as usual.
    fn flush(&self, deadline: Instant, done: FlushToken);

    /// Asks for everything accepted so far to be sent by `deadline`; what is not is dropped as `shutdown`. Then the
    /// sink's thread ends and `done` is dropped.
    fn shutdown(&self, deadline: Instant, done: FlushToken);

    /// Before a fork: the sink's threads leave and are joined, waiting at most until `deadline`; requests in flight stay
    /// where they are. Called on an application thread. The default suits sinks without threads.
    fn park(&self, deadline: Instant) {
        let _ = deadline;
    }

    /// After a fork, in the parent: goes on where `park` stopped.
    fn resume(&self) {}
}
