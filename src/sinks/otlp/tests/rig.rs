//! A sink with its ledger, as the engine would build it, and the checks that every test ends with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::receiver::PATIENCE;
use crate::config::{BatchConfig, Compression, OtlpConfig, Protocol, Secret, TlsFiles};
use crate::finished::Batch;
use crate::ledger::{CountsSnapshot, DropReason, Ledger};
use crate::sinks::otlp::retry::Pace;
use crate::sinks::otlp::{OtlpSink, OtlpWorker, testing};
use crate::sinks::{Delivery, Destination, FlushToken, Health, Sink};

/// Waits so short that a test need not wait, in the proportions of the real ones.
pub(super) const FAST: Pace = Pace {
    base: Duration::from_millis(2),
    cap: Duration::from_millis(20),
    pause: Duration::from_millis(20),
    window: Duration::from_millis(50),
};

/// Waits so long that a test fails if it depends on one.
pub(super) const SLOW: Pace = Pace {
    base: Duration::from_secs(100_000),
    cap: Duration::from_secs(100_000),
    pause: Duration::from_secs(100_000),
    window: Duration::from_secs(60),
};

pub(super) fn config(url: &str) -> OtlpConfig {
    OtlpConfig {
        protocol: Protocol::HttpProtobuf,
        url: url.parse().unwrap(),
        headers: vec![("authorization".to_owned(), Secret::new("Bearer secret"))],
        compression: Compression::None,
        timeout: Some(PATIENCE),
        connect_timeout: Duration::from_secs(2),
        tls: TlsFiles::default(),
        max_request_bytes: 64 << 20,
        batch_bytes: 4 << 20,
        max_response_bytes: 4 << 20,
        allow_plain_credentials: false,
        dialects: None,
    }
}

pub(super) const BATCH: BatchConfig = BatchConfig {
    schedule_delay: Duration::from_secs(100_000),
    export_timeout: None,
    max_queue_size: 262_144,
    max_export_batch_size: 512,
};

/// One destination of one engine.
pub(super) struct Rig {
    pub(super) ledger: &'static Ledger,
    pub(super) destination: Arc<Destination>,
    pub(super) sink: OtlpSink,
    pub(super) worker: OtlpWorker,
}

impl Rig {
    pub(super) fn new(config: &OtlpConfig) -> Self {
        Self::with(config, &BATCH, FAST, 64 << 20)
    }

    pub(super) fn with(config: &OtlpConfig, batch: &BatchConfig, pace: Pace, queue_limit: usize) -> Self {
        let ledger: &'static Ledger = Box::leak(Box::default());
        let worker = OtlpWorker::new(ledger);
        let destination = Arc::new(Destination::new("otlp", queue_limit));
        let sink = OtlpSink::with_pace(config, batch, Arc::clone(&destination), &worker, pace).unwrap();
        Self { ledger, destination, sink, worker }
    }

    pub(super) fn send(&self, batch: Batch) {
        self.ledger.spans.create_many(batch.len() as u64);
        for delivery in Delivery::fan_out(batch, &[Arc::clone(&self.destination)], self.ledger) {
            self.sink.accept(delivery);
        }
    }

    /// Sends spans of these names as one delivery.
    pub(super) fn send_named<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        self.send(testing::named(0, names));
    }

    /// Asks for a flush, and says whether it was done within `timeout`.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let (token, done) = FlushToken::pair();
        let deadline = Instant::now() + timeout;
        self.sink.flush(deadline, token);
        done.recv_deadline(deadline) == Err(RecvTimeoutError::Disconnected)
    }

    /// Flushes, and insists that it succeeds.
    pub(super) fn flush_all(&self) {
        assert!(self.flush(PATIENCE), "not flushed: {:?}", self.destination.last_error());
        assert_eq!(self.counts().pending, 0);
    }

    /// Waits until the destination fares so.
    pub(super) fn wait_for(&self, health: Health) {
        let began = Instant::now();
        while self.destination.health() != health {
            assert!(began.elapsed() < PATIENCE, "{:?} {:?}", self.destination.health(), self.destination.last_error());
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Shuts down with this much time, and returns how long it took.
    pub(super) fn shutdown(&self, timeout: Duration) -> Duration {
        let (token, done) = FlushToken::pair();
        let began = Instant::now();
        self.sink.shutdown(began + timeout, token);
        assert_eq!(
            done.recv_timeout(timeout + PATIENCE),
            Err(RecvTimeoutError::Disconnected),
            "the thread has not ended"
        );
        began.elapsed()
    }

    /// The counts of the process, after checking the ledger's identity and that the destination counts the same.
    pub(super) fn counts(&self) -> CountsSnapshot {
        let counts = self.ledger.spans.snapshot();
        let gone = counts.delivered + counts.rejected + counts.dropped_total();
        assert_eq!(i128::from(counts.created), i128::from(gone) + i128::from(counts.pending), "{counts:?}");
        assert_eq!(counts, self.destination.spans.snapshot());
        counts
    }

    /// Delivered, rejected, dropped, pending.
    pub(super) fn tally(&self) -> (u64, u64, u64, i64) {
        let counts = self.counts();
        (counts.delivered, counts.rejected, counts.dropped_total(), counts.pending)
    }

    pub(super) fn dropped(&self, reason: DropReason) -> u64 {
        self.counts().dropped[reason as usize]
    }
}
