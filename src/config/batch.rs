//! When finished spans are handed to exporters: `OTEL_BSP_*`.
//!
//! Source: OpenTelemetry specification, "SDK environment variables", "Batch Span Processor". Two defaults differ on
//! purpose. The delay is one second and not five, since a trace that is watched should appear while it runs. The queue
//! holds 262,144 spans and not 2,048, since what bounds memory is bytes (`Limits::buffer_bytes`), and spans of agents
//! differ in size a thousandfold.

use std::time::Duration;

use super::env::{Reader, parse_integer, parse_milliseconds};
use super::error::Problem;

/// A shorter delay would keep the collector spinning.
const LEAST_DELAY: Duration = Duration::from_millis(10);

/// Batching of finished spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchConfig {
    /// The longest a finished span waits for company. At least 10 ms; smaller values count as that.
    pub schedule_delay: Duration,
    /// The longest one batch may take to be exported; `None` waits for ever. Destinations have their own timeout, too.
    pub export_timeout: Option<Duration>,
    /// Spans that may wait; the newest is dropped and counted when there are more.
    pub max_queue_size: usize,
    /// Spans that trigger an export.
    pub max_export_batch_size: usize,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            schedule_delay: Duration::from_secs(1),
            export_timeout: Some(Duration::from_secs(30)),
            max_queue_size: 262_144,
            max_export_batch_size: 512,
        }
    }
}

impl BatchConfig {
    /// Reads the variables.
    pub(super) fn resolve(reader: &mut Reader<'_>) -> Self {
        const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
        const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
        let size = |text: &str| parse_integer(text, 1..=16_777_216).map(|size| usize::try_from(size).unwrap_or(512));
        let default = Self::default();
        let schedule_delay = reader
            .read("OTEL_BSP_SCHEDULE_DELAY", parse_milliseconds, "1000 ms are used")
            .map_or(default.schedule_delay, |delay| delay.max(LEAST_DELAY));
        let export_timeout = reader
            .read("OTEL_BSP_EXPORT_TIMEOUT", parse_milliseconds, "30000 ms are used")
            .map_or(default.export_timeout, |timeout| (!timeout.is_zero()).then_some(timeout));
        let max_queue_size = reader.read(QUEUE, size, "262144 is used").unwrap_or(default.max_queue_size);
        let mut max_export_batch_size = default.max_export_batch_size.min(max_queue_size);
        if let Some(size) = reader.read(BATCH, size, "512 is used") {
            max_export_batch_size = size.min(max_queue_size);
            if size > max_queue_size {
                let problem = Problem::new(
                    format!("is {size}, which is more than {QUEUE} ({max_queue_size})"),
                    "write a smaller number, or a larger one there",
                );
                reader.wrong(BATCH, problem, &format!("{max_queue_size} is used"));
            }
        }
        Self { schedule_delay, export_timeout, max_queue_size, max_export_batch_size }
    }
}
