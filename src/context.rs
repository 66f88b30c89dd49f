//! What travels between spans: the identity of a span ([`SpanContext`]) and the user's [`Baggage`]. Parsing and printing
//! of headers lives in `propagation`; only the short `traceparent` text is written here, because logs need it too.

use std::fmt;
use std::sync::Arc;

use crate::ids::{SpanId, TraceId};

/// Identity of a span, local or remote (OpenTelemetry Trace API, `SpanContext`). Cloning copies 40 bytes and at most
/// counts up one reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct SpanContext {
    /// The trace the span belongs to.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
    /// W3C trace flags, restricted to [`SpanContext::SAMPLED`] and [`SpanContext::RANDOM`] when written.
    pub flags: u8,
    /// True when the context came from another process.
    pub remote: bool,
    /// B3 and Jaeger debug: sampled by request of the sender. Handed on in those formats, unknown to `traceparent`.
    pub debug: bool,
    /// The `tracestate` list in its header form, valid and not empty; foreign entries are handed on unchanged.
    pub trace_state: Option<Arc<str>>,
}

impl SpanContext {
    /// Flag bit 0 (W3C Trace Context, trace-flags): the sender recorded the trace.
    pub const SAMPLED: u8 = 0x01;
    /// Flag bit 1 (W3C Trace Context Level 2): the lower 56 bits of the trace id are uniformly random.
    pub const RANDOM: u8 = 0x02;
    /// The flags that have a meaning; all others are written as zero.
    pub const KNOWN_FLAGS: u8 = Self::SAMPLED | Self::RANDOM;

    /// A local context without `tracestate`.
    #[inline]
    #[must_use]
    pub const fn new(trace_id: TraceId, span_id: SpanId, flags: u8) -> Self {
        Self { trace_id, span_id, flags, remote: false, debug: false, trace_state: None }
    }

    /// The context of a new local child: same trace, flags, debug mark and `tracestate`, another span.
    #[inline]
    #[must_use]
    pub fn child(&self, span_id: SpanId) -> Self {
        Self { span_id, remote: false, ..self.clone() }
    }

    /// Both ids are other than zero.
    #[inline]
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }

    /// The sampled flag.
    #[inline]
    #[must_use]
    pub const fn sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// The random flag.
    #[inline]
    #[must_use]
    pub const fn random(&self) -> bool {
        self.flags & Self::RANDOM != 0
    }

    /// The `traceparent` value: version 00, 55 characters, flags restricted to [`Self::KNOWN_FLAGS`].
    #[must_use]
    pub fn traceparent(&self) -> String {
        let mut out = String::with_capacity(55);
        out.push_str("00-");
        self.trace_id.push_hex(&mut out);
        out.push('-');
        self.span_id.push_hex(&mut out);
        out.push_str("-0");
        // At most 3, so one digit is the whole of it.
        out.push(char::from(b'0' + (self.flags & Self::KNOWN_FLAGS)));
        out
    }
}

/// One entry of [`Baggage`], decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaggageEntry {
    /// The name: an HTTP token on the wire, compared with case.
    pub key: Box<str>,
    /// The value, any text; percent-encoded on the wire only.
    pub value: Box<str>,
    /// Properties in their header form (`p1;k=v`), empty when there are none.
    pub metadata: Box<str>,
}

/// Name-value pairs that follow a request through all processes (W3C Baggage). Immutable: changes make a new one.
/// Ordered as written; one entry per key. Cloning counts up a reference.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Baggage {
    /// `None` when empty, so that the usual case neither allocates nor counts.
    entries: Option<Arc<[BaggageEntry]>>,
}

impl Baggage {
    /// No entries.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: None }
    }

    /// Collects entries. A repeated key keeps its first place and takes the last value.
    #[must_use]
    pub fn from_entries(entries: impl IntoIterator<Item = BaggageEntry>) -> Self {
        let mut list: Vec<BaggageEntry> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for entry in entries {
            let place = *places.entry(entry.key.clone()).or_insert(list.len());
            match list.get_mut(place) {
                Some(slot) => *slot = entry,
                None => list.push(entry),
            }
        }
        Self { entries: (!list.is_empty()).then(|| list.into()) }
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|entry| &*entry.key == key).map(|entry| &*entry.value)
    }

    /// The entries in order.
    pub fn iter(&self) -> std::slice::Iter<'_, BaggageEntry> {
        self.entries.as_deref().unwrap_or_default().iter()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.as_deref().map_or(0, <[_]>::len)
    }

    /// True without entries.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_none()
    }

    /// This baggage with `key` set, without metadata. Keys that are no HTTP token stay in the process: see
    /// `propagation::baggage`.
    #[must_use]
    pub fn with(&self, key: &str, value: &str) -> Self {
        self.merged([BaggageEntry { key: key.into(), value: value.into(), metadata: "".into() }])
    }

    /// This baggage with all of `entries` set; theirs win.
    #[must_use]
    pub fn merged(&self, entries: impl IntoIterator<Item = BaggageEntry>) -> Self {
        Self::from_entries(self.iter().cloned().chain(entries))
    }

    /// This baggage without `key`.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        if self.get(key).is_none() {
            return self.clone();
        }
        Self::from_entries(self.iter().filter(|entry| &*entry.key != key).cloned())
    }
}

impl<'a> IntoIterator for &'a Baggage {
    type Item = &'a BaggageEntry;
    type IntoIter = std::slice::Iter<'a, BaggageEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|entry| (&entry.key, &entry.value))).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn context(flags: u8) -> SpanContext {
        SpanContext::new(
            "0af7651916cd43dd8448eb211c80319c".parse().unwrap(),
            "b7ad6b7169203331".parse().unwrap(),
            flags,
        )
    }

    fn entry(key: &str, value: &str) -> BaggageEntry {
        BaggageEntry { key: key.into(), value: value.into(), metadata: "".into() }
    }

    #[test]
    fn traceparent_carries_known_flags_only() {
        let expected = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0";
        for (flags, written) in [(0, '0'), (1, '1'), (2, '2'), (3, '3'), (0xff, '3'), (9, '1'), (0xfc, '0')] {
            assert_eq!(context(flags).traceparent(), format!("{expected}{written}"), "{flags:#x}");
        }
        assert!(!SpanContext { debug: true, ..context(0) }.traceparent().ends_with('1'));
    }

    #[test]
    fn flags_are_read_by_mask() {
        assert!(context(0x09).sampled() && !context(0x09).random());
        assert!(context(0xff).sampled() && context(0xff).random());
        assert!(!context(0xf0).sampled());
    }

    #[test]
    fn a_zero_id_makes_a_context_invalid() {
        assert!(context(0).is_valid());
        assert!(!SpanContext { trace_id: TraceId::INVALID, ..context(0) }.is_valid());
        assert!(!context(0).child(SpanId::INVALID).is_valid());
    }

    #[test]
    fn a_child_is_local_and_keeps_what_belongs_to_the_trace() {
        let parent = SpanContext { remote: true, debug: true, trace_state: Some("a=1".into()), ..context(3) };
        let child = parent.child(SpanId::from_u64(1));
        assert_eq!(child, SpanContext { span_id: SpanId::from_u64(1), remote: false, ..parent });
    }

    #[test]
    fn a_context_stays_small_enough_to_copy() {
        assert!(size_of::<SpanContext>() <= 48);
    }

    #[test]
    fn repeated_baggage_keys_keep_the_first_place_and_the_last_value() {
        let baggage = Baggage::from_entries([entry("a", "1"), entry("b", "2"), entry("a", "3")]);
        let flat: Vec<_> = baggage.iter().map(|entry| (&*entry.key, &*entry.value)).collect();
        assert_eq!(flat, [("a", "3"), ("b", "2")]);
    }

    #[test]
    fn baggage_changes_make_a_new_baggage() {
        let one = Baggage::new().with("a", "1");
        let two = one.with("A", "2");
        assert_eq!((one.len(), two.len()), (1, 2));
        assert_eq!((two.get("a"), two.get("A"), two.get("b")), (Some("1"), Some("2"), None));
        assert!(one.without("a").is_empty());
        assert_eq!(one.without("b"), one);
        assert!(Baggage::new().is_empty());
        assert_eq!(format!("{two:?}"), r#"{"a": "1", "A": "2"}"#);
    }
}
