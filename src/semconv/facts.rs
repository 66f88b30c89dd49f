//! Writing what the core concludes beside what the user said: an attribute that the user set by its name stays.

use std::borrow::Cow;

use crate::json::Writer;
use crate::resolve::attributes::AttributeSet;
use crate::resolve::text_of;
use crate::semconv::view::View;
use crate::tape::Token;

/// The attributes of one span, open for conclusions.
#[derive(Debug)]
pub(super) struct Facts<'s> {
    set: &'s mut AttributeSet,
}

impl<'s> Facts<'s> {
    /// Conclusions go to `set`.
    pub(super) fn new(set: &'s mut AttributeSet) -> Self {
        Self { set }
    }

    /// Whether `key` is known.
    pub(super) fn has(&self, key: &str) -> bool {
        self.set.contains(key)
    }

    /// The value of an attribute.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        self.set.get(key)
    }

    /// The value of an attribute, copied so that another can be set from it.
    pub(super) fn copy_of(&self, key: &str) -> Option<Vec<u8>> {
        self.set.get(key).map(<[u8]>::to_vec)
    }

    /// Sets text.
    pub(super) fn str(&mut self, key: &str, text: &str) {
        if !self.has(key) {
            self.set.core_str(key, text);
        }
    }

    /// Sets text, or whatever the value is, as text; nothing for `None` and empty text.
    pub(super) fn text(&mut self, key: &str, value: View<'_>) {
        if value.is_empty() || self.has(key) {
            return;
        }
        match value.token() {
            Some(Token::Text(_) | Token::Opaque(_) | Token::Cut(_)) => self.set.core_value(key, value.bytes()),
            _ => self.set.core_str(key, &text_of(value.bytes())),
        }
    }

    /// Sets an integer.
    pub(super) fn int(&mut self, key: &str, value: i64) {
        if !self.has(key) {
            self.set.core_int(key, value);
        }
    }

    /// Sets a double.
    pub(super) fn float(&mut self, key: &str, value: f64) {
        if !self.has(key) {
            self.set.core_float(key, value);
        }
    }

    /// Sets a boolean.
    pub(super) fn bool(&mut self, key: &str, value: bool) {
        if !self.has(key) {
            self.set.core_bool(key, value);
        }
    }

    /// Sets a list of texts, unless there is none.
    pub(super) fn words(&mut self, key: &str, words: &[Cow<'_, str>]) {
        if !words.is_empty() && !self.has(key) {
            self.set.core(key, |tape| {
                tape.list();
                for word in words {
                    tape.str(word);
                }
                tape.end();
            });
        }
    }

    /// Sets an attribute of which there may be many, under the limit on their number.
    pub(super) fn numerous(&mut self, key: &str, text: &str) {
        if !self.has(key) {
            let mut value = crate::tape::Tape::with_capacity(text.len() + 6);
            value.str(text);
            self.set.user(key, value.as_bytes());
        }
    }

    /// Sets the JSON text that `write` makes of `source`, and nothing if it says that it made none.
    pub(super) fn json(&mut self, key: &str, source: View<'_>, write: impl FnOnce(&mut Writer<'_>) -> bool) -> bool {
        let mut text = String::with_capacity(source.bytes().len() / 4 * 5 + 32);
        let mut writer = Writer::new(&mut text, self.set.value_length());
        let done = write(&mut writer);
        // What the walker left out may be where the writer does not look.
        let cut = writer.was_cut() || done && source.has_cut();
        if done && !self.has(key) {
            self.set.core_json_text(key, &text, cut);
        }
        done
    }

    /// Sets a step's input or output as it came, with its media type (OpenInference, also read by
    /// most others): text as text, anything else as JSON.
    pub(super) fn payload(&mut self, side: Payload, value: View<'_>) {
        let (key, mime_key) = side.keys();
        if self.has(key) {
            return;
        }
        let mime = if let Some(Token::Text(_) | Token::Opaque(_) | Token::Cut(_)) = value.token() {
            self.set.core_value(key, value.bytes());
            "text/plain"
        } else {
            self.set.core_json(key, value.bytes());
            "application/json"
        };
        self.str(mime_key, mime);
    }

    /// Sets a step's input or output from JSON text.
    pub(super) fn json_payload(&mut self, of: Payload, source: View<'_>, write: impl FnOnce(&mut Writer<'_>) -> bool) {
        let (key, mime_key) = of.keys();
        if !self.has(key) && self.json(key, source, write) {
            self.str(mime_key, "application/json");
        }
    }
}

/// What goes into a step, or comes out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Input,
    Output,
}

impl Payload {
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Self::Input => ("input.value", "input.mime_type"),
            Self::Output => ("output.value", "output.mime_type"),
        }
    }
}
