//! The attributes of one span while it is resolved: unique keys, last one wins, limits of the OpenTelemetry
//! specification (common, "Attribute Limits").

use std::collections::HashMap;
use std::ops::Range;

use crate::json;
use crate::tape::{Reader, Tape, Token};

/// Limits that the resolver applies.
#[derive(Clone, Copy, Debug)]
pub struct AttributeLimits {
    /// Most attributes; `None` for no limit.
    pub count: Option<usize>,
    /// Most characters of a string and most bytes of a byte sequence; `None` for no limit.
    pub value_length: Option<usize>,
}

impl Default for AttributeLimits {
    fn default() -> Self {
        Self { count: Some(128), value_length: None }
    }
}

/// Above this many keys a map finds them; below, looking at each is quicker.
const MAP_ABOVE: usize = 32;

/// Attributes in the order in which their keys first came. Reused from span to span.
#[derive(Debug, Default)]
pub struct AttributeSet {
    keys: String,
    values: Tape,
    entries: Vec<(Range<usize>, Range<usize>)>,
    index: HashMap<Box<str>, usize>,
    limits: AttributeLimits,
    dropped: u32,
    truncated: bool,
}

impl AttributeSet {
    /// An empty set under `limits`.
    #[must_use]
    pub fn new(limits: AttributeLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Forgets everything but the limits and the memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.values.reset(64 * 1024);
        self.entries.clear();
        self.index.clear();
        self.dropped = 0;
        self.truncated = false;
    }

    /// Attributes that were over the count limit.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Whether any value was cut.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Notes that a value was cut.
    pub fn mark_truncated(&mut self) {
        self.truncated = true;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn key_at(&self, at: usize) -> Option<&str> {
        self.keys.get(self.entries.get(at)?.0.clone())
    }

    fn find(&self, key: &str) -> Option<usize> {
        if self.index.is_empty() {
            (0..self.entries.len()).find(|&at| self.key_at(at) == Some(key))
        } else {
            self.index.get(key).copied()
        }
    }

    /// Whether `key` has a value.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The value under `key`, one value in the tape's encoding.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        let at = self.find(key)?;
        self.values.as_bytes().get(self.entries.get(at)?.1.clone())
    }

    fn put(&mut self, key: &str, counted: bool, write: impl FnOnce(&mut Tape)) {
        if key.is_empty() {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let found = self.find(key);
        if found.is_none() && counted && self.limits.count.is_some_and(|count| self.entries.len() >= count) {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let start = self.values.len();
        write(&mut self.values);
        let value = start..self.values.len();
        if let Some(entry) = found.and_then(|at| self.entries.get_mut(at)) {
            entry.1 = value;
            return;
        }
        let key_start = self.keys.len();
        self.keys.push_str(key);
        self.entries.push((key_start..self.keys.len(), value));
        if !self.index.is_empty() {
            self.index.insert(key.into(), self.entries.len() - 1);
        } else if self.entries.len() > MAP_ABOVE {
            self.index = (0..self.entries.len()).filter_map(|at| Some((Box::from(self.key_at(at)?), at))).collect();
        }
    }

    /// Sets what the core itself says of the span: never crowded out by the count limit.
    pub fn core(&mut self, key: &str, write: impl FnOnce(&mut Tape)) {
        self.put(key, false, write);
    }

    /// Sets a text of the core's, under the value length limit.
    pub fn core_str(&mut self, key: &str, text: &str) {
        let limit = self.limits.value_length;
        let (kept, cut) = shorten(text, limit);
        self.truncated |= cut;
        self.put(key, false, |tape| tape.str(kept));
    }

    /// Sets an integer of the core's.
    pub fn core_int(&mut self, key: &str, value: i64) {
        self.put(key, false, |tape| tape.int(value));
    }

    /// Sets a double of the core's.
    pub fn core_float(&mut self, key: &str, value: f64) {
        self.put(key, false, |tape| tape.float(value));
    }

    /// Sets a boolean of the core's.
    pub fn core_bool(&mut self, key: &str, value: bool) {
        self.put(key, false, |tape| tape.bool(value));
    }

    /// Sets a value of the core's in whatever form the caller gave: one tape value.
    pub fn core_value(&mut self, key: &str, value: &[u8]) {
        let limit = self.limits.value_length;
        let mut cut = false;
        self.put(key, false, |tape| cut = write_attribute(value, limit, tape));
        self.truncated |= cut;
    }

    /// Sets a value as JSON text, whatever its form.
    pub fn core_json(&mut self, key: &str, value: &[u8]) {
        let mut text = String::new();
        let cut = json::write_limited(&mut Reader::new(value), self.limits.value_length, &mut text);
        self.truncated |= cut;
        self.put(key, false, |tape| tape.str(&text));
    }

    /// Sets JSON text that a [`json::Writer`] made under [`AttributeSet::value_length`]; `cut` says whether it had to cut.
    pub fn core_json_text(&mut self, key: &str, json: &str, cut: bool) {
        self.truncated |= cut;
        self.put(key, false, |tape| tape.str(json));
    }

    /// Most characters of a string; `None` for no limit.
    #[must_use]
    pub fn value_length(&self) -> Option<usize> {
        self.limits.value_length
    }

    /// Sets a value of the user's: one tape value, under all limits.
    pub fn user(&mut self, key: &str, value: &[u8]) {
        let limit = self.limits.value_length;
        let mut cut = false;
        self.put(key, true, |tape| cut = write_attribute(value, limit, tape));
        self.truncated |= cut;
    }

    /// Appends all pairs to `out`.
    pub fn write_into(&self, out: &mut Tape) {
        for (key, value) in &self.entries {
            out.str(self.keys.get(key.clone()).unwrap_or_default());
            out.extend(self.values.as_bytes().get(value.clone()).unwrap_or_default());
        }
    }
}

/// The first `limit` characters of `text`, and whether that is less than all.
#[must_use]
pub fn shorten(text: &str, limit: Option<usize>) -> (&str, bool) {
    let Some(limit) = limit else { return (text, false) };
    if text.len() <= limit {
        return (text, false);
    }
    match text.char_indices().nth(limit) {
        Some((end, _)) => (text.get(..end).unwrap_or(text), true),
        None => (text, false),
    }
}

/// What kind of OTLP array a list may become.
#[derive(Clone, Copy, PartialEq)]
enum Item {
    Bool,
    Int,
    Float,
    Text,
}

/// Whether `value` is a list of scalars of one type (then it stays a list), by a look at its tokens.
fn is_flat_list(value: &[u8]) -> bool {
    let mut reader = Reader::new(value);
    if reader.next_token() != Some(Token::List) {
        return false;
    }
    let mut seen = None;
    loop {
        let item = match reader.next_token() {
            Some(Token::Bool(_)) => Item::Bool,
            Some(Token::Int(_)) => Item::Int,
            Some(Token::Float(_)) => Item::Float,
            Some(Token::Text(_)) => Item::Text,
            Some(Token::End) => return true,
            _ => return false,
        };
        if *seen.get_or_insert(item) != item {
            return false;
        }
    }
}

/// Appends one caller's value in the form attributes have on the wire: scalars, bytes and flat lists as they are,
/// anything nested or mixed as JSON text (what trace backends read; GenAI semantic conventions, "Recording content").
/// Says whether something was cut.
pub fn write_attribute(value: &[u8], limit: Option<usize>, out: &mut Tape) -> bool {
    let mut reader = Reader::new(value);
    let mut cut = false;
    let mut text = |content: &str, out: &mut Tape| {
        let (kept, shortened) = shorten(content, limit);
        out.str(kept);
        cut |= shortened;
    };
    match reader.next_token() {
        None | Some(Token::Null | Token::Key(_) | Token::End) => out.null(),
        Some(Token::Bool(value)) => out.bool(value),
        Some(Token::Int(value)) => out.int(value),
        Some(Token::Float(value)) => out.float(value),
        Some(Token::Text(content)) => text(&content.to_str(), out),
        Some(Token::BigInt(digits)) => text(digits, out),
        Some(Token::Opaque(name)) => text(&format!("<{}>", name.to_str()), out),
        Some(Token::Cut(mark)) => {
            out.str(mark.mark());
            cut = true;
        }
        Some(Token::Bytes(bytes)) => {
            let kept = limit.map_or(bytes.len(), |limit| limit.min(bytes.len()));
            out.bytes(bytes.get(..kept).unwrap_or(bytes));
            cut = kept < bytes.len();
        }
        Some(Token::List) if is_flat_list(value) => {
            out.list();
            loop {
                match reader.next_token() {
                    Some(Token::Bool(value)) => out.bool(value),
                    Some(Token::Int(value)) => out.int(value),
                    Some(Token::Float(value)) => out.float(value),
                    Some(Token::Text(content)) => text(&content.to_str(), out),
                    _ => break,
                }
            }
            out.end();
        }
        Some(Token::List | Token::Map | Token::Object(_)) => {
            let mut json = String::with_capacity(value.len() + 16);
            cut = json::write_limited(&mut Reader::new(value), limit, &mut json);
            out.str(&json);
        }
    }
    cut
}
