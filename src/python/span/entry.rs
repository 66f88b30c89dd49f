//! What is written to a span's tape: an entry is a key and a value. A value whose reading may run code of the user's is
//! written beside the tape first, so that the span's state is never held meanwhile.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::Span;
use crate::keys::Key;
use crate::python::convert::{self, Written, span_bytes};
use crate::record::Record;
use crate::tape::{Tape, Text};

/// Bytes that an entry of a tape may take besides its key and what its value may grow to: heads, marks, ends.
const ENTRY_BYTES: usize = 256;

impl Span {
    /// Runs `write` on the record's tape, if there is one; else counts a call that came too late.
    #[inline]
    pub(crate) fn with_record(&self, write: impl FnOnce(&mut Record)) {
        let mut state = self.hold();
        match &mut state.record {
            Some(record) => write(record),
            None => state.count_late(),
        }
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.hold().record.is_some()
    }

    /// Writes `key` with `value`, whatever it is. A value whose reading may run code of the user's is written aside
    /// first, so that the state is free meanwhile.
    #[inline]
    pub(crate) fn put(&self, key: Label<'_>, value: &Bound<'_, PyAny>) {
        let limit = span_bytes();
        {
            let mut state = self.hold();
            let Some(record) = &mut state.record else {
                return state.count_late();
            };
            let start = record.tape.len();
            if start < limit {
                key.write(&mut record.tape);
                if convert::write_scalar(value, &mut record.tape)
                    && record.tape.len() <= limit
                    && !record.tape.is_short()
                {
                    return;
                }
            }
            if start >= limit || record.tape.is_short() {
                record.tape.truncate(start);
                record.left_out += 1;
                return;
            }
            record.tape.truncate(start);
        }
        self.put_aside(key, value, limit);
    }

    /// Adds an entry whose value has been written aside.
    pub(crate) fn add(&self, key: Key, aside: &Tape, written: Written) {
        self.with_record(|record| append(record, Label::Known(key), written, aside));
    }

    /// Writes a value whose reading may run code of the user's beside the tape, and appends it then.
    fn put_aside(&self, key: Label<'_>, value: &Bound<'_, PyAny>, limit: usize) {
        let pairs = key.pairs(value);
        let value = pairs.as_ref().unwrap_or(value);
        let room = {
            let state = self.hold();
            let Some(record) = &state.record else {
                return state.count_late();
            };
            limit.saturating_sub(record.tape.len() + key.len() + ENTRY_BYTES)
        };
        let mut aside = Tape::default();
        let written = convert::write_within(value, &mut aside, room);
        self.with_record(|record| append(record, key, written, &aside));
    }

    /// `span.set(key, value)`.
    #[inline]
    pub(crate) fn set_attribute(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        match key.cast::<PyString>() {
            Ok(key) => self.put(Label::Text(convert::text(key)), value),
            Err(_) => self.put(Label::Text(Text::utf8(&lenient_text(key))), value),
        }
    }
}

/// The key of an entry: the caller's text, or one of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label<'a> {
    Text(Text<'a>),
    Known(Key),
}

impl Label<'_> {
    /// The value as a dict, where a mapping belongs and another kind of mapping is given.
    #[inline]
    fn pairs<'py>(self, value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        if !matches!(self, Self::Known(Key::Attributes | Key::Params)) || value.is_instance_of::<PyDict>() {
            return None;
        }
        convert::pairs_of(value).map(Bound::into_any)
    }

    /// Bytes of the key, about.
    fn len(self) -> usize {
        match self {
            Self::Text(text) => text.bytes.len(),
            Self::Known(_) => 0,
        }
    }

    #[inline]
    pub(crate) fn write(self, tape: &mut Tape) {
        match self {
            Self::Text(text) => tape.text(text),
            Self::Known(key) => tape.key(key as u16),
        }
    }
}

/// Appends what was written aside, unless the span is full.
pub(super) fn append(record: &mut Record, key: Label<'_>, written: Written, aside: &Tape) {
    if written == Written::LeftOut || aside.is_short() || record.tape.len() + aside.len() > span_bytes() {
        record.left_out += 1;
        return;
    }
    let whole = record.entry(|tape| {
        key.write(tape);
        tape.extend(aside.as_bytes());
    });
    record.cut |= whole && written == Written::Shortened;
}

/// Writes `key` and `value` to a record that nobody else can see yet.
#[inline]
pub(crate) fn put_unshared(record: &mut Record, key: Key, value: &Bound<'_, PyAny>) {
    let pairs = Label::Known(key).pairs(value);
    let value = pairs.as_ref().unwrap_or(value);
    let start = record.tape.len();
    record.tape.key(key as u16);
    let written = if convert::write_scalar(value, &mut record.tape) {
        Written::Whole
    } else {
        convert::write(value, &mut record.tape)
    };
    if written == Written::LeftOut || record.tape.is_short() {
        record.tape.truncate(start);
        record.left_out += 1;
    } else if written == Written::Shortened {
        record.cut = true;
    }
}

/// Any object as text without running code of the user's: strings as they are, anything else by its JSON form.
pub(crate) fn lenient_text(value: &Bound<'_, PyAny>) -> String {
    if let Ok(text) = value.cast::<PyString>() {
        return convert::text(text).to_str().into_owned();
    }
    let mut tape = Tape::default();
    convert::write(value, &mut tape);
    crate::resolve::text_of(tape.as_bytes())
}

/// Writes the entries of a mapping (a dict) as one payload.
pub(super) fn put_mapping(span: &Span, key: Key, pairs: &[(&str, Option<&Bound<'_, PyAny>>)]) {
    let mut aside = Tape::default();
    aside.map();
    let mut any = false;
    for (name, value) in pairs {
        if let Some(value) = value.filter(|value| !value.is_none()) {
            aside.str(name);
            convert::write(value, &mut aside);
            any = true;
        }
    }
    aside.end();
    if any {
        span.with_record(|record| append(record, Label::Known(key), Written::Whole, &aside));
    }
}

/// A link's entry on the tape: the target may be a span, a span context, or a `traceparent`.
pub(crate) fn link_entry(target: &Bound<'_, PyAny>, role: Option<&str>) -> Option<Tape> {
    let context = crate::python::context::context_of(target)?;
    let mut ids = [0_u8; 24];
    let (trace, span) = ids.split_at_mut(16);
    trace.copy_from_slice(&context.trace_id.to_bytes());
    span.copy_from_slice(&context.span_id.to_bytes());
    let mut flags = i64::from(context.flags) | 0x100;
    if context.remote {
        flags |= 0x200;
    }
    let mut aside = Tape::default();
    aside.list();
    aside.bytes(&ids);
    aside.int(flags);
    aside.str(context.trace_state.as_deref().unwrap_or_default());
    aside.str(role.unwrap_or_default());
    aside.map();
    aside.end();
    aside.end();
    Some(aside)
}
