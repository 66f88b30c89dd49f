//! Spans, batches and ledgers for the tests of this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support: a failure here fails the test")]

use std::sync::{Arc, OnceLock};

use crate::finished::{Batch, BatchBuilder, OwnedValue, Resource, SpanHead};
use crate::ids::{SpanId, TraceId};
use crate::kind::{Kind, Outcome, SpanKind};
use crate::tape::Tape;

/// The resource of the process, as the engine has it: one for all batches.
pub(crate) fn resource() -> Arc<Resource> {
    static RESOURCE: OnceLock<Arc<Resource>> = OnceLock::new();
    let resource = || Resource {
        attributes: vec![("service.name".to_owned(), OwnedValue::Str("demo".to_owned()))],
        scope_name: "ironspan".to_owned(),
        scope_version: "0.1.0".to_owned(),
    };
    Arc::clone(RESOURCE.get_or_init(|| Arc::new(resource())))
}

/// The fixed part of span number `number` of a test.
pub(crate) fn head(number: u64) -> SpanHead {
    SpanHead {
        trace_id: TraceId::from_u128(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        span_id: SpanId::from_u64(number + 1),
        parent_id: None,
        start_unix_nano: 1_700_000_000_000_000_000,
        end_unix_nano: 1_700_000_001_000_000_000,
        flags: 0x101,
        kind: Kind::Span,
        span_kind: SpanKind::Internal,
        outcome: Outcome::Ok,
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
    }
}

/// A batch of one span.
pub(crate) fn one(head: SpanHead, write: impl FnOnce(&mut Tape)) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.begin("step", "", "", "");
    write(builder.attributes());
    builder.end_attributes();
    builder.end_events();
    builder.finish_span(head);
    builder.build(resource(), None)
}

/// A batch of `names.len()` small spans, numbered from `first`.
pub(crate) fn named<'a>(first: u64, names: impl IntoIterator<Item = &'a str>) -> Batch {
    let mut builder = BatchBuilder::new();
    for (number, name) in (first..).zip(names) {
        builder.begin(name, "", "", "");
        builder.attributes().str("number");
        builder.attributes().int(number.cast_signed());
        builder.end_attributes();
        builder.end_events();
        builder.finish_span(head(number));
    }
    builder.build(resource(), None)
}
