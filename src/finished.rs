//! Finished spans: what the collector makes of records, and the only form in which sinks see them.
//!
//! A `Batch` keeps the fixed part of each span in one vector and everything of variable length (names, attributes,
//! events, links) in one byte arena, in the tape's encoding with all text in UTF-8. So a batch that waits costs what its
//! bytes cost, and the budget can count it exactly.

use std::sync::Arc;

use crate::buffer::Permit;
use crate::ids::{SpanId, TraceId};
use crate::kind::{Kind, Outcome, SpanKind};
use crate::tape::{Reader, Tape, Token};

/// The fixed part of a finished span.
#[derive(Clone, Copy, Debug)]
pub struct SpanHead {
    /// W3C trace id.
    pub trace_id: TraceId,
    /// W3C span (parent) id of this span.
    pub span_id: SpanId,
    /// The parent's span id; `None` for a root.
    pub parent_id: Option<SpanId>,
    /// Start, nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// End, nanoseconds since the Unix epoch, never before the start.
    pub end_unix_nano: u64,
    /// OTLP `flags`: W3C trace flags in the low 8 bits, 0x100 "remote known", 0x200 "parent is remote".
    pub flags: u32,
    /// What the step is.
    pub kind: Kind,
    /// OpenTelemetry SpanKind.
    pub span_kind: SpanKind,
    /// How it ended.
    pub outcome: Outcome,
    /// Attributes over the limits.
    pub dropped_attributes: u32,
    /// Events over the limits.
    pub dropped_events: u32,
    /// Links over the limits.
    pub dropped_links: u32,
}

/// Where the variable parts of a span begin in the arena, and where each ends, counted from there; each begins where the
/// one before ends. No span has 4 GiB: `Limits::span_bytes` ends at 256 MiB.
#[derive(Clone, Copy, Debug, Default)]
struct Sections {
    start: usize,
    name: u32,
    trace_state: u32,
    status_message: u32,
    agent: u32,
    attributes: u32,
    events: u32,
    links: u32,
}

/// Bytes of a span that do not depend on what it holds.
const FIXED: usize = size_of::<SpanHead>() + size_of::<Sections>();

/// The part of a resource that all spans of an engine share: who sends.
#[derive(Clone, Debug, Default)]
pub struct Resource {
    /// Resource attributes, unique keys (OpenTelemetry resource semantic conventions).
    pub attributes: Vec<(String, OwnedValue)>,
    /// Instrumentation scope name, `ironspan`.
    pub scope_name: String,
    /// Instrumentation scope version: ours.
    pub scope_version: String,
}

/// A value that owns its memory, for resources.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
    /// Text.
    Str(String),
    /// An integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A sequence.
    List(Vec<Self>),
}

/// A value of an attribute, read from the arena.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// No value (OTLP: an empty AnyValue).
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A double; NaN and infinities included.
    Float(f64),
    /// Text.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A sequence.
    List(Values<'a>),
    /// A mapping.
    Map(Attributes<'a>),
}

/// The items of a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a>(Reader<'a>);

/// Key and value pairs: a span's attributes, an event's, a link's, or a mapping inside a value.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(Reader<'a>);

fn read_value<'a>(reader: &mut Reader<'a>) -> Option<Value<'a>> {
    let mut ahead = *reader;
    let value = match ahead.next_token()? {
        Token::Null | Token::Cut(_) | Token::Opaque(_) | Token::Key(_) => Value::Null,
        Token::Bool(value) => Value::Bool(value),
        Token::Int(value) => Value::Int(value),
        Token::Float(value) => Value::Float(value),
        Token::Text(text) => Value::Str(std::str::from_utf8(text.bytes).unwrap_or_default()),
        Token::BigInt(digits) => Value::Str(digits),
        Token::Bytes(bytes) => Value::Bytes(bytes),
        Token::List => Value::List(Values(ahead)),
        Token::Map | Token::Object(_) => Value::Map(Attributes(ahead)),
        Token::End => return None,
    };
    reader.skip_value()?;
    Some(value)
}

fn read_str<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    match reader.next_token()? {
        Token::Text(text) => std::str::from_utf8(text.bytes).ok(),
        _ => None,
    }
}

fn read_u32(reader: &mut Reader<'_>) -> Option<u32> {
    match reader.next_token()? {
        Token::Int(value) => u32::try_from(value).ok(),
        _ => None,
    }
}

#[expect(clippy::copy_iterator, reason = "a copy is a second walk over the same bytes, and meant as one")]
impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        read_value(&mut self.0)
    }
}

#[expect(clippy::copy_iterator, reason = "a copy is a second walk over the same bytes, and meant as one")]
impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = read_str(&mut self.0)?;
        Some((key, read_value(&mut self.0)?))
    }
}

impl<'a> Attributes<'a> {
    /// The value under `key`, if there is one.
    #[must_use]
    pub fn get(mut self, key: &str) -> Option<Value<'a>> {
        self.find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// An event of a span.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    /// When, nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What happened.
    pub name: &'a str,
    /// Attributes over the limit.
    pub dropped_attributes: u32,
    /// What is known about it.
    pub attributes: Attributes<'a>,
}

/// A link of a span to another span.
#[derive(Clone, Copy, Debug)]
pub struct LinkView<'a> {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// OTLP link `flags`.
    pub flags: u32,
    /// W3C tracestate of the link.
    pub trace_state: &'a str,
    /// Attributes over the limit.
    pub dropped_attributes: u32,
    /// What is known about it (`ironspan.link.role` says what the link is for).
    pub attributes: Attributes<'a>,
}

/// The events of a span, in order.
#[derive(Clone, Copy, Debug)]
pub struct Events<'a>(Reader<'a>);

#[expect(clippy::copy_iterator, reason = "a copy is a second walk over the same bytes, and meant as one")]
impl<'a> Iterator for Events<'a> {
    type Item = EventView<'a>;

    fn next(&mut self) -> Option<EventView<'a>> {
        let Token::Int(time) = self.0.next_token()? else { return None };
        let name = read_str(&mut self.0)?;
        let dropped_attributes = read_u32(&mut self.0)?;
        let Value::Map(attributes) = read_value(&mut self.0)? else { return None };
        Some(EventView { time_unix_nano: time.cast_unsigned(), name, dropped_attributes, attributes })
    }
}

/// The links of a span, in order.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a>(Reader<'a>);

#[expect(clippy::copy_iterator, reason = "a copy is a second walk over the same bytes, and meant as one")]
impl<'a> Iterator for Links<'a> {
    type Item = LinkView<'a>;

    fn next(&mut self) -> Option<LinkView<'a>> {
        let Token::Bytes(ids) = self.0.next_token()? else { return None };
        let (trace, span) = ids.split_at_checked(16)?;
        let trace_id = TraceId::from_bytes(trace.try_into().ok()?);
        let span_id = SpanId::from_bytes(span.try_into().ok()?);
        let flags = read_u32(&mut self.0)?;
        let trace_state = read_str(&mut self.0)?;
        let dropped_attributes = read_u32(&mut self.0)?;
        let Value::Map(attributes) = read_value(&mut self.0)? else { return None };
        Some(LinkView { trace_id, span_id, flags, trace_state, dropped_attributes, attributes })
    }
}

/// A finished span, read in place.
#[derive(Clone, Copy, Debug)]
pub struct SpanView<'a> {
    head: &'a SpanHead,
    sections: &'a Sections,
    arena: &'a [u8],
}

impl<'a> SpanView<'a> {
    /// The fixed part.
    #[must_use]
    pub fn head(&self) -> &'a SpanHead {
        self.head
    }

    fn section(&self, from: u32, to: u32) -> &'a [u8] {
        let start = self.sections.start;
        self.arena.get(start + from as usize..start + to as usize).unwrap_or_default()
    }

    fn text(&self, from: u32, to: u32) -> &'a str {
        std::str::from_utf8(self.section(from, to)).unwrap_or_default()
    }

    /// The span's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.text(0, self.sections.name)
    }

    /// W3C tracestate; empty when there is none.
    #[must_use]
    pub fn trace_state(&self) -> &'a str {
        self.text(self.sections.name, self.sections.trace_state)
    }

    /// What went wrong, for a person; empty unless the outcome is an error.
    #[must_use]
    pub fn status_message(&self) -> &'a str {
        self.text(self.sections.trace_state, self.sections.status_message)
    }

    /// The agent that the step was done for; empty when there is none. Does not travel by OTLP.
    #[must_use]
    pub fn agent(&self) -> &'a str {
        self.text(self.sections.status_message, self.sections.agent)
    }

    /// Attributes, unique keys.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(Reader::new(self.section(self.sections.agent, self.sections.attributes)))
    }

    /// Events, in order.
    #[must_use]
    pub fn events(&self) -> Events<'a> {
        Events(Reader::new(self.section(self.sections.attributes, self.sections.events)))
    }

    /// Links, in order.
    #[must_use]
    pub fn links(&self) -> Links<'a> {
        Links(Reader::new(self.section(self.sections.events, self.sections.links)))
    }

    /// Bytes of memory the span takes in its batch, and about as many on the wire: what batching by bytes counts.
    #[must_use]
    pub fn approximate_bytes(&self) -> usize {
        self.sections.links as usize + FIXED
    }
}

/// Finished spans that travel together, shared by all destinations.
#[derive(Debug)]
pub struct Batch {
    heads: Vec<SpanHead>,
    sections: Vec<Sections>,
    arena: Vec<u8>,
    resource: Arc<Resource>,
    /// Holds the batch's bytes in the budget until the last destination lets go.
    permit: Option<Permit>,
}

impl Batch {
    /// Spans in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is no span.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The span at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<SpanView<'_>> {
        Some(SpanView { head: self.heads.get(index)?, sections: self.sections.get(index)?, arena: &self.arena })
    }

    /// Who sends.
    #[must_use]
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// Bytes of memory the batch holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.arena.capacity()
            + self.heads.capacity() * size_of::<SpanHead>()
            + self.sections.capacity() * size_of::<Sections>()
    }
}

/// Builds a batch, one span after the other. Within a span the order is: name, trace state, status message, agent (by
/// [`BatchBuilder::begin`]), attributes, events, links, [`BatchBuilder::finish_span`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    heads: Vec<SpanHead>,
    sections: Vec<Sections>,
    arena: Tape,
    current: Sections,
}

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Spans so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is no span yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.heads.len() * FIXED
    }

    /// How much of the current span is written. More than there can be is as much as there can be: it is cut there.
    fn reached(&self) -> u32 {
        u32::try_from(self.arena.len() - self.current.start).unwrap_or(u32::MAX)
    }

    /// Begins a span with its texts.
    pub fn begin(&mut self, name: &str, trace_state: &str, status_message: &str, agent: &str) {
        self.current.start = self.arena.len();
        self.arena.extend(name.as_bytes());
        self.current.name = self.reached();
        self.arena.extend(trace_state.as_bytes());
        self.current.trace_state = self.reached();
        self.arena.extend(status_message.as_bytes());
        self.current.status_message = self.reached();
        self.arena.extend(agent.as_bytes());
        self.current.agent = self.reached();
    }

    /// The arena, to append `key` (text) and value pairs to. All text must be UTF-8, and containers balanced.
    pub fn attributes(&mut self) -> &mut Tape {
        &mut self.arena
    }

    /// Ends the attributes; events follow.
    pub fn end_attributes(&mut self) {
        self.current.attributes = self.reached();
    }

    /// Appends an event; `attributes` appends key and value pairs.
    pub fn event(&mut self, time_unix_nano: u64, name: &str, dropped: u32, attributes: impl FnOnce(&mut Tape)) {
        self.arena.int(time_unix_nano.cast_signed());
        self.arena.str(name);
        self.arena.int(i64::from(dropped));
        self.arena.map();
        attributes(&mut self.arena);
        self.arena.end();
    }

    /// Ends the events; links follow.
    pub fn end_events(&mut self) {
        self.current.events = self.reached();
    }

    /// Appends a link; `attributes` appends key and value pairs.
    pub fn link(
        &mut self,
        target: (TraceId, SpanId),
        flags: u32,
        trace_state: &str,
        dropped: u32,
        attributes: impl FnOnce(&mut Tape),
    ) {
        let mut ids = [0_u8; 24];
        let (trace, span) = ids.split_at_mut(16);
        trace.copy_from_slice(&target.0.to_bytes());
        span.copy_from_slice(&target.1.to_bytes());
        self.arena.bytes(&ids);
        self.arena.int(i64::from(flags));
        self.arena.str(trace_state);
        self.arena.int(i64::from(dropped));
        self.arena.map();
        attributes(&mut self.arena);
        self.arena.end();
    }

    /// Ends the span.
    pub fn finish_span(&mut self, head: SpanHead) {
        self.current.links = self.reached();
        self.heads.push(head);
        self.sections.push(self.current);
    }

    /// Appends a span of another batch as it is.
    pub fn copy_span(&mut self, span: SpanView<'_>) {
        let sections = Sections { start: self.arena.len(), ..*span.sections };
        self.arena.extend(span.section(0, span.sections.links));
        self.heads.push(*span.head);
        self.sections.push(sections);
    }

    /// Takes back what the span begun last has written: nothing of it stays.
    pub fn abort_span(&mut self) {
        self.arena.truncate(self.current.start);
    }

    /// Takes the span back that was finished last if there was no memory for the whole of it, and says whether.
    pub fn abort_if_short(&mut self) -> bool {
        if !self.arena.is_short() {
            return false;
        }
        if self.sections.last().is_some_and(|sections| sections.start == self.current.start) {
            self.sections.pop();
            self.heads.pop();
        }
        self.abort_span();
        true
    }

    /// Seals the batch. `permit` is charged with its bytes.
    #[must_use]
    pub fn build(self, resource: Arc<Resource>, permit: Option<Permit>) -> Batch {
        let mut heads = self.heads;
        let mut sections = self.sections;
        heads.shrink_to_fit();
        sections.shrink_to_fit();
        let mut batch = Batch { heads, sections, arena: self.arena.into_bytes(), resource, permit: None };
        if let Some(mut permit) = permit {
            permit.resize(batch.bytes());
            batch.permit = Some(permit);
        }
        batch
    }
}
