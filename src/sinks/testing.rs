//! Spans, deliveries and ledgers for the tests of local sinks.

#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::finished::{BatchBuilder, OwnedValue, Resource, SpanHead};
use crate::ids::{SpanId, TraceId};
use crate::kind::{Kind, Outcome, SpanKind};
use crate::ledger::{CountsSnapshot, Ledger};
use crate::sinks::{Delivery, Destination};
use crate::tape::Tape;

/// Milliseconds since 2023-11-14T22:13:20Z as nanoseconds since the Unix epoch.
pub(crate) fn at(milliseconds: u64) -> u64 {
    1_700_000_000_000_000_000 + milliseconds * 1_000_000
}

/// A span to be: a plain, successful root of trace 1 until told otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) head: SpanHead,
    name: String,
    error: String,
    agent: String,
    attributes: Vec<(String, OwnedValue)>,
}

/// A span with the id `id` and the name `name`, from `start` to `end` milliseconds.
pub(crate) fn span(id: u64, parent: u64, name: &str, start: u64, end: u64) -> Made {
    let head = SpanHead {
        trace_id: TraceId::from_u128(1),
        span_id: SpanId::from_u64(id),
        parent_id: (parent != 0).then(|| SpanId::from_u64(parent)),
        start_unix_nano: at(start),
        end_unix_nano: at(end),
        flags: 0x101,
        kind: Kind::Span,
        span_kind: SpanKind::Internal,
        outcome: Outcome::Ok,
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
    };
    Made { head, name: name.to_owned(), error: String::new(), agent: String::new(), attributes: Vec::new() }
}

impl Made {
    pub(crate) fn kind(mut self, kind: Kind) -> Self {
        self.head.kind = kind;
        self
    }

    pub(crate) fn trace(mut self, trace: u128) -> Self {
        self.head.trace_id = TraceId::from_u128(trace);
        self
    }

    pub(crate) fn remote_parent(mut self) -> Self {
        self.head.flags |= 0x200;
        self
    }

    pub(crate) fn outcome(mut self, outcome: Outcome) -> Self {
        self.head.outcome = outcome;
        self
    }

    pub(crate) fn failed(mut self, message: &str) -> Self {
        self.head.outcome = Outcome::Error;
        self.error = message.to_owned();
        self
    }

    /// The agent that it is done for.
    #[cfg(feature = "local")]
    pub(crate) fn agent(mut self, name: &str) -> Self {
        self.agent = name.to_owned();
        self
    }

    pub(crate) fn with(mut self, key: &str, value: OwnedValue) -> Self {
        self.attributes.push((key.to_owned(), value));
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.with(key, OwnedValue::Str(value.to_owned()))
    }
}

/// A ledger that lives as long as the test process.
pub(crate) fn ledger() -> &'static Ledger {
    Box::leak(Box::default())
}

/// A delivery of `spans` for `destination`, pending in `ledger`.
pub(crate) fn delivery(spans: &[Made], destination: &Arc<Destination>, ledger: &'static Ledger) -> Delivery {
    let mut builder = BatchBuilder::new();
    for span in spans {
        builder.begin(&span.name, "", &span.error, &span.agent);
        for (key, value) in &span.attributes {
            builder.attributes().str(key);
            push(builder.attributes(), value);
        }
        builder.end_attributes();
        builder.end_events();
        builder.finish_span(span.head);
    }
    ledger.spans.create_many(spans.len() as u64);
    let resource = Resource {
        attributes: vec![(String::from("service.name"), OwnedValue::Str(String::from("demo")))],
        scope_name: String::from("ironspan"),
        scope_version: String::from("0.1.0"),
    };
    let batch = builder.build(Arc::new(resource), None);
    Delivery::fan_out(batch, std::slice::from_ref(destination), ledger).pop().unwrap()
}

fn push(tape: &mut Tape, value: &OwnedValue) {
    match value {
        OwnedValue::Str(text) => tape.str(text),
        OwnedValue::Int(number) => tape.int(*number),
        OwnedValue::Float(number) => tape.float(*number),
        OwnedValue::Bool(value) => tape.bool(*value),
        OwnedValue::List(items) => {
            tape.list();
            for item in items {
                push(tape, item);
            }
            tape.end();
        }
    }
}

/// What became of the spans: created = delivered + rejected + dropped + pending, checked here.
pub(crate) fn counts(ledger: &Ledger) -> CountsSnapshot {
    let counts = ledger.spans.snapshot();
    let settled = counts.delivered + counts.rejected + counts.dropped_total();
    assert_eq!(counts.created.cast_signed(), settled.cast_signed() + counts.pending, "{counts:?}");
    counts
}

/// A moment that a passing test never reaches.
pub(crate) fn patience() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = patience();
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within the deadline");
        std::thread::yield_now();
    }
}
