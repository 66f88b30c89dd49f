//! From a record to a finished span: text becomes UTF-8, the last value of a key wins, limits apply, payloads get their
//! names of record. Runs in the collector; a record that cannot be read costs itself only.

pub mod attributes;

use std::fmt::Write as _;

use crate::clock::Anchor;
use crate::finished::{BatchBuilder, SpanHead};
use crate::ids::{SpanId, TraceId};
use crate::keys::{Key, names};
use crate::kind::{Kind, Outcome};
use crate::record::{Moment, Record, Scope};
use crate::resolve::attributes::{AttributeLimits, AttributeSet, shorten};
use crate::semconv::{self, Payloads};
use crate::tape::{Reader, Tape, Text, Token};

/// Limits of a span (OpenTelemetry specification, trace SDK, "Span Limits").
#[derive(Clone, Copy, Debug)]
pub struct SpanLimits {
    /// A span's attributes.
    pub attributes: AttributeLimits,
    /// Most events; the newest are kept.
    pub events: Option<usize>,
    /// Most links; the first are kept.
    pub links: Option<usize>,
    /// Most attributes of an event.
    pub event_attributes: Option<usize>,
    /// Most attributes of a link.
    pub link_attributes: Option<usize>,
}

impl Default for SpanLimits {
    fn default() -> Self {
        Self {
            attributes: AttributeLimits::default(),
            events: Some(128),
            links: Some(128),
            event_attributes: Some(128),
            link_attributes: Some(128),
        }
    }
}

/// OTLP flag: it is known whether the parent is remote.
const HAS_IS_REMOTE: u32 = 0x100;
/// OTLP flag: the parent is remote.
const IS_REMOTE: u32 = 0x200;

/// Turns records into finished spans. Keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Resolver {
    limits: SpanLimits,
    /// Leave out what was said and found: messages, inputs and outputs, arguments, documents, queries.
    without_content: bool,
    set: AttributeSet,
    /// Attributes of the event or link at hand.
    inner: AttributeSet,
}

/// The parts of a record's tape that are not attributes.
#[derive(Debug, Default)]
struct Parts<'a> {
    payloads: Payloads<'a>,
    events: Vec<Part<'a>>,
    links: Vec<&'a [u8]>,
    error_message: Option<&'a [u8]>,
    first_chunk: Option<u64>,
}

/// An entry of a tape that becomes an event.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    Event(&'a [u8]),
    Exception(&'a [u8]),
}

impl Resolver {
    /// A resolver under `limits`.
    #[must_use]
    pub fn new(limits: SpanLimits) -> Self {
        let count = limits.event_attributes;
        Self {
            limits,
            without_content: false,
            set: AttributeSet::new(limits.attributes),
            inner: AttributeSet::new(AttributeLimits { count, ..limits.attributes }),
        }
    }

    /// Appends the finished form of `record` to `batch`.
    pub fn resolve(&mut self, record: &Record, anchor: &Anchor, batch: &mut BatchBuilder) {
        self.set.clear();
        self.set.core_str(names::KIND, record.kind.name());
        let mut parts = self.read_tape(record);
        if let Some(scope) = &record.scope {
            self.apply_scope(scope);
        }
        if let (Some(first), Moment::Ticks(start)) = (parts.first_chunk, record.start) {
            #[expect(clippy::cast_precision_loss, reason = "seconds with nanosecond digits")]
            let seconds = anchor.nanos_between(start, first) as f64 / 1e9;
            parts.payloads.first_chunk_seconds = Some(seconds);
        }
        parts.payloads.outcome = record.outcome;
        let name = semconv::describe(record.kind, &parts.payloads, &mut self.set);
        let status_message = self.apply_outcome(record.outcome, &parts);
        if self.set.truncated() || record.left_out > 0 || record.cut {
            self.set.core_bool(names::TRUNCATED, true);
        }
        let trace_state = record.trace_state.as_deref().unwrap_or_default();
        let agent = record.scope.as_ref().and_then(|scope| scope.agent.as_deref()).unwrap_or_default();
        batch.begin(&name, trace_state, &status_message, agent);
        self.set.write_into(batch.attributes());
        batch.end_attributes();
        let dropped_events = self.write_events(&parts.events, anchor, batch);
        batch.end_events();
        let dropped_links = self.write_links(&parts.links, batch);
        let (start_unix_nano, end_unix_nano) = times(record, anchor);
        let mut flags = u32::from(record.flags) & 0xFF | HAS_IS_REMOTE;
        if record.parent_remote {
            flags |= IS_REMOTE;
        }
        batch.finish_span(SpanHead {
            trace_id: record.trace_id,
            span_id: record.span_id,
            parent_id: record.parent_id,
            start_unix_nano,
            end_unix_nano,
            flags,
            kind: record.kind,
            span_kind: record.span_kind.unwrap_or_else(|| record.kind.default_span_kind()),
            outcome: record.outcome,
            dropped_attributes: self.set.dropped().saturating_add(record.left_out),
            dropped_events,
            dropped_links,
        });
    }

    fn read_tape<'a>(&mut self, record: &'a Record) -> Parts<'a> {
        let mut parts = Parts::default();
        let mut reader = Reader::new(record.tape.as_bytes());
        while let Some(key) = reader.next_token() {
            let Some(value) = reader.skip_value() else { break };
            match key {
                Token::Text(text) => self.set.user(&text.to_str(), value),
                Token::Key(number) => {
                    if let Some(key) = Key::from_number(number) {
                        self.sort_in(key, value, &mut parts);
                    }
                }
                _ => break,
            }
        }
        parts
    }

    /// A resolver that leaves content out (`capture` other than `full`).
    #[must_use]
    pub fn without_content(mut self, without: bool) -> Self {
        self.without_content = without;
        self
    }

    fn sort_in<'a>(&mut self, key: Key, value: &'a [u8], parts: &mut Parts<'a>) {
        let content = matches!(
            key,
            Key::Input
                | Key::Output
                | Key::Messages
                | Key::Tools
                | Key::Prompt
                | Key::Query
                | Key::Documents
                | Key::Arguments
        );
        if content && self.without_content {
            return;
        }
        let payloads = &mut parts.payloads;
        match key {
            Key::Name => payloads.name = text_of(value),
            Key::Input => payloads.input = Some(value),
            Key::Output => payloads.output = Some(value),
            Key::Messages => payloads.messages = Some(value),
            Key::Params => payloads.params = Some(value),
            Key::Tools => payloads.tools = Some(value),
            Key::Prompt => payloads.prompt = Some(value),
            Key::Model => payloads.model = Some(value),
            Key::Provider => payloads.provider = Some(value),
            Key::Query => payloads.query = Some(value),
            Key::Source => payloads.source = Some(value),
            Key::TopK => payloads.top_k = Some(value),
            Key::Documents => payloads.documents = Some(value),
            Key::Arguments => payloads.arguments = Some(value),
            Key::CallId => payloads.call_id = Some(value),
            Key::Description => payloads.description = Some(value),
            Key::Role => payloads.role = Some(value),
            Key::Usage => payloads.usage.push(value),
            Key::Cost => payloads.cost = Some(value),
            Key::FinishReason => payloads.finish_reasons.push(value),
            Key::ChunkCount => payloads.chunks = int_of(value),
            Key::FirstChunk => parts.first_chunk = int_of(value).map(i64::cast_unsigned),
            Key::Tags => add_tags(&mut self.set, value),
            Key::Attributes => {
                let mut reader = Reader::new(value);
                match reader.next_token() {
                    Some(Token::Map | Token::Object(_)) => set_pairs(&mut self.set, reader),
                    Some(Token::Null) => {}
                    _ => self.set.core_str("ironspan.bad_argument", "attributes"),
                }
            }
            Key::Event => parts.events.push(Part::Event(value)),
            Key::Exception => parts.events.push(Part::Exception(value)),
            Key::Link => parts.links.push(value),
            Key::ErrorMessage => parts.error_message = Some(value),
            Key::StreamDropped => self.set.core_value("ironspan.stream.dropped", value),
        }
    }

    fn apply_scope(&mut self, scope: &Scope) {
        if let Some(session) = &scope.session {
            for key in [names::SESSION_ID, names::CONVERSATION_ID] {
                if !self.set.contains(key) {
                    self.set.core_str(key, session);
                }
            }
        }
        if let Some(user) = &scope.user
            && !self.set.contains(names::USER_ID)
        {
            self.set.core_str(names::USER_ID, user);
        }
        if !scope.tags.is_empty() {
            let mut tags = Tape::default();
            tags.list();
            scope.tags.iter().for_each(|tag| tags.str(tag));
            tags.end();
            add_tags(&mut self.set, tags.as_bytes());
        }
        let mut pairs = Reader::new(&scope.metadata);
        while let Some(Token::Text(key)) = pairs.next_token() {
            let Some(value) = pairs.skip_value() else { break };
            let key = key.to_str();
            if !self.set.contains(&key) {
                self.set.user(&key, value);
            }
        }
    }

    /// Writes what the outcome says and returns the status message.
    fn apply_outcome(&mut self, outcome: Outcome, parts: &Parts<'_>) -> String {
        match outcome {
            Outcome::Ok => return String::new(),
            Outcome::Abandoned => {
                self.set.core_bool(names::ABANDONED, true);
                self.set.core_str(names::STATUS, outcome.name());
                return String::new();
            }
            Outcome::Cancelled | Outcome::Interrupted => {
                self.set.core_str(names::STATUS, outcome.name());
                return String::new();
            }
            Outcome::Error => {}
        }
        let thrown = parts.events.iter().rev().find_map(|part| match part {
            Part::Exception(value) => ThrownView::read(value),
            Part::Event(_) => None,
        });
        if !self.set.contains(names::ERROR_TYPE) {
            let class =
                thrown.as_ref().map_or_else(|| "_OTHER".to_owned(), |thrown| thrown.class.to_str().into_owned());
            self.set.core_str(names::ERROR_TYPE, &class);
        }
        let message = match parts.error_message {
            Some(message) => text_of(message),
            None => thrown.map_or_else(String::new, |thrown| thrown.message.to_str().into_owned()),
        };
        let (kept, cut) = shorten(&message, self.limits.attributes.value_length);
        if cut {
            self.set.mark_truncated();
        }
        kept.to_owned()
    }

    fn write_events(&mut self, events: &[Part<'_>], anchor: &Anchor, batch: &mut BatchBuilder) -> u32 {
        let skipped = self.limits.events.map_or(0, |limit| events.len().saturating_sub(limit));
        for part in events.iter().skip(skipped) {
            self.inner.clear();
            let (ticks, name) = match part {
                Part::Event(value) => {
                    let mut fields = Reader::new(value);
                    fields.next_token();
                    let ticks = take_int(&mut fields);
                    let name = take_text(&mut fields);
                    let level = take_text(&mut fields);
                    if let Some(Token::Map | Token::Object(_)) = fields.next_token() {
                        set_pairs(&mut self.inner, fields);
                    }
                    if level != "info" {
                        self.inner.core_str(names::EVENT_LEVEL, &level);
                    }
                    (ticks, name)
                }
                Part::Exception(value) => {
                    let Some(thrown) = ThrownView::read(value) else { continue };
                    self.inner.core_str(names::EXCEPTION_TYPE, &thrown.class.to_str());
                    self.inner.core_str(names::EXCEPTION_MESSAGE, &thrown.message.to_str());
                    self.inner.core_str(names::EXCEPTION_STACKTRACE, &thrown.stack.to_str());
                    if thrown.has_causes() {
                        self.inner.core_json(names::EXCEPTION_CAUSES, thrown.causes);
                    }
                    (thrown.ticks, "exception".to_owned())
                }
            };
            let inner = &self.inner;
            batch.event(anchor.unix_nano(ticks), &name, inner.dropped(), |tape| inner.write_into(tape));
        }
        u32::try_from(skipped).unwrap_or(u32::MAX)
    }

    fn write_links(&mut self, links: &[&[u8]], batch: &mut BatchBuilder) -> u32 {
        let kept = self.limits.links.unwrap_or(usize::MAX).min(links.len());
        for link in links.iter().take(kept) {
            let mut fields = Reader::new(link);
            fields.next_token();
            let Some(Token::Bytes(ids)) = fields.next_token() else { continue };
            let (Some(trace), Some(span)) = (ids.first_chunk::<16>(), ids.last_chunk::<8>()) else { continue };
            let flags = u32::try_from(take_int(&mut fields)).unwrap_or(0);
            let trace_state = take_text(&mut fields);
            let role = take_text(&mut fields);
            self.inner.clear();
            if let Some(Token::Map | Token::Object(_)) = fields.next_token() {
                set_pairs(&mut self.inner, fields);
            }
            if !role.is_empty() {
                self.inner.core_str(names::LINK_ROLE, &role);
            }
            let inner = &self.inner;
            let target = (TraceId::from_bytes(*trace), SpanId::from_bytes(*span));
            batch.link(target, flags, &trace_state, inner.dropped(), |tape| inner.write_into(tape));
        }
        u32::try_from(links.len() - kept).unwrap_or(u32::MAX)
    }
}

/// An exception as it lies on the tape: list of ticks, class, message, stack, causes.
struct ThrownView<'a> {
    ticks: u64,
    class: Text<'a>,
    message: Text<'a>,
    stack: Text<'a>,
    causes: &'a [u8],
}

impl<'a> ThrownView<'a> {
    fn read(value: &'a [u8]) -> Option<Self> {
        let mut fields = Reader::new(value);
        let Token::List = fields.next_token()? else { return None };
        let Token::Int(ticks) = fields.next_token()? else { return None };
        let mut text = || match fields.next_token()? {
            Token::Text(text) => Some(text),
            _ => None,
        };
        let (class, message, stack) = (text()?, text()?, text()?);
        Some(Self { ticks: ticks.cast_unsigned(), class, message, stack, causes: fields.skip_value()? })
    }

    fn has_causes(&self) -> bool {
        let mut causes = Reader::new(self.causes);
        causes.next_token() == Some(Token::List) && causes.next_token() != Some(Token::End)
    }
}

/// Start and end in Unix nanoseconds. The end comes from the anchor, the start from the length, so that a wall clock
/// that was set meanwhile bends neither.
fn times(record: &Record, anchor: &Anchor) -> (u64, u64) {
    match (record.start, record.end) {
        (Moment::Ticks(start), Moment::Ticks(end)) => {
            let ended = anchor.unix_nano(end);
            (ended.saturating_sub(anchor.nanos_between(start, end)), ended)
        }
        (Moment::Unix(start), Moment::Ticks(end)) => (start, anchor.unix_nano(end).max(start)),
        (Moment::Ticks(start), Moment::Unix(end)) => {
            let started = anchor.unix_nano(start);
            (started, end.max(started))
        }
        (Moment::Unix(start), Moment::Unix(end)) => (start, end.max(start)),
    }
}

fn set_pairs(set: &mut AttributeSet, mut pairs: Reader<'_>) {
    loop {
        match pairs.next_token() {
            Some(Token::Text(key)) => {
                let Some(value) = pairs.skip_value() else { return };
                set.user(&key.to_str(), value);
            }
            Some(Token::End) | None => return,
            Some(_) => {
                if pairs.skip_value().is_none() {
                    return;
                }
            }
        }
    }
}

fn add_tags(set: &mut AttributeSet, value: &[u8]) {
    let mut tags: Vec<String> = set.get(names::TAGS).map(list_of_texts).unwrap_or_default();
    for tag in list_of_texts(value) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    set.core(names::TAGS, |tape| {
        tape.list();
        for tag in &tags {
            tape.str(tag);
        }
        tape.end();
    });
}

fn list_of_texts(value: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(value);
    let mut texts = Vec::new();
    if let Some(Token::Text(text)) = reader.next_token() {
        texts.push(text.to_str().into_owned());
        return texts;
    }
    while let Some(Token::Text(text)) = reader.next_token() {
        texts.push(text.to_str().into_owned());
    }
    texts
}

fn take_int(reader: &mut Reader<'_>) -> u64 {
    match reader.next_token() {
        Some(Token::Int(value)) => value.cast_unsigned(),
        _ => 0,
    }
}

fn take_text(reader: &mut Reader<'_>) -> String {
    match reader.next_token() {
        Some(Token::Text(text)) => text.to_str().into_owned(),
        _ => String::new(),
    }
}

/// One tape value as plain text: text as it is, anything else as JSON.
#[must_use]
pub fn text_of(value: &[u8]) -> String {
    match Reader::new(value).next_token() {
        Some(Token::Text(text)) => text.to_str().into_owned(),
        Some(Token::Opaque(name)) => {
            let mut label = String::new();
            let _ = write!(label, "<{}>", name.to_str());
            label
        }
        _ => crate::json::to_json(value),
    }
}

/// One tape value as an integer, if it is one.
#[must_use]
pub fn int_of(value: &[u8]) -> Option<i64> {
    match Reader::new(value).next_token() {
        Some(Token::Int(value)) => Some(value),
        _ => None,
    }
}

/// Whether a kind's name is the name of an entity (agent, tool, workflow) rather than of the step.
#[must_use]
pub fn names_entity(kind: Kind) -> bool {
    matches!(kind, Kind::Agent | Kind::Workflow | Kind::Tool)
}
