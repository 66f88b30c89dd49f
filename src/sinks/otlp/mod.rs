//! The OTLP destination: finished spans to an OpenTelemetry Collector or any backend that speaks OTLP, over HTTP
//! (protobuf or JSON) or gRPC.
//!
//! ```text
//! accept() -> queue -> parcel -> encode, compress -> client -> receiver
//!             bytes    <= 512 spans, 4 MiB           |
//!             bound    of one resource               `-> verdict: settled, again, halves, given up (line.rs)
//! ```
//!
//! All destinations of an engine share one thread ([`OtlpWorker`]); each has its own queue, task, connection and retry
//! state, so that one that hangs does not hold up the others. What cannot be delivered waits until the receiver is back,
//! the queue's byte bound is reached (the newest is dropped then) or the process shuts down.

mod client;
mod compress;
pub mod encode;
mod grpc;
mod http;
pub mod json;
mod line;
mod parcel;
mod queue;
mod resolver;
pub mod retry;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
mod worker;

use std::sync::Arc;
use std::time::Instant;

use self::line::Line;
use self::queue::{Portion, Refused};
use self::retry::Pace;
pub use self::worker::OtlpWorker;
use crate::config::{BatchConfig, OtlpConfig, Problem, Protocol};
use crate::ledger::DropReason;
use crate::sinks::{Delivery, Destination, FlushToken, Sink};

/// Sends spans by OTLP. See the module's description for what it promises.
#[derive(Debug)]
pub struct OtlpSink {
    line: Arc<Line>,
    worker: OtlpWorker,
}

impl OtlpSink {
    /// A sink for `config` that counts in `destination` and runs on `worker`. Starts nothing and connects to nothing.
    ///
    /// # Errors
    ///
    /// Settings that cannot work: unusable certificates and keys, headers that HTTP does not allow, a protocol or a
    /// compression that this build does not have.
    pub fn new(
        config: &OtlpConfig,
        batch: &BatchConfig,
        destination: Arc<Destination>,
        worker: &OtlpWorker,
    ) -> Result<Self, Problem> {
        Self::with_pace(config, batch, destination, worker, Pace::default())
    }

    /// The same with another pace of retries, for tests.
    pub(crate) fn with_pace(
        config: &OtlpConfig,
        batch: &BatchConfig,
        destination: Arc<Destination>,
        worker: &OtlpWorker,
        pace: Pace,
    ) -> Result<Self, Problem> {
        if config.protocol == Protocol::Grpc && !cfg!(feature = "grpc") {
            return Err(Problem::new("is grpc, which this build does not have", "write http/protobuf"));
        }
        if !compress::is_built_in(config.compression) {
            return Err(Problem::new("is zstd, which this build does not have", "write gzip"));
        }
        let portion = Portion {
            spans: batch.max_export_batch_size.max(1),
            bytes: config.batch_bytes.max(1),
            delay: batch.schedule_delay,
        };
        let line = Arc::new(Line::new(destination, config.clone(), portion, pace)?);
        Ok(Self { line, worker: worker.clone() })
    }

    #[cfg(test)]
    fn waiting_flushes(&self) -> usize {
        self.line.queue.waiting_flushes()
    }

    /// Makes sure that the task and the thread run. When the system has no thread to give, everything waits, within its
    /// bound, for the next call.
    fn start(&self) {
        if let Err(error) = self.worker.start(&self.line) {
            self.line.destination.set_last_error(&format!("the sender thread cannot start: {error}"));
        }
    }
}

impl Sink for OtlpSink {
    fn accept(&self, delivery: Delivery) {
        if delivery.is_empty() {
            return;
        }
        match self.line.queue.push(delivery, self.line.destination.queue_limit) {
            Ok(()) => self.start(),
            Err(Refused::Full(delivery)) => delivery.dropped(DropReason::QueueFull),
            Err(Refused::Closing(delivery)) => delivery.dropped(DropReason::Shutdown),
        }
    }

    fn flush(&self, deadline: Instant, done: FlushToken) {
        if !self.line.started() && self.line.queue.is_empty() {
            return;
        }
        self.line.queue.flush(deadline, done);
        self.start();
    }

    fn shutdown(&self, deadline: Instant, done: FlushToken) {
        self.line.queue.close(deadline, done);
        if self.line.started() || !self.line.queue.is_empty() {
            self.start();
        }
        if !self.line.started() {
            // There was nothing to send, or no thread to send it.
            self.line.abandon();
            drop(self.line.queue.end());
        }
    }

    fn park(&self, deadline: Instant) {
        self.worker.park(deadline);
    }

    fn resume(&self) {
        if let Err(error) = self.worker.resume() {
            self.line.destination.set_last_error(&format!("the sender thread cannot start: {error}"));
        }
    }
}
