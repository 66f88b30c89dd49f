//! Content as it was recorded: what `body` holds, with the long texts put back that are kept once in `blob`.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::Trouble;

/// What stands for a text that is in the store no longer.
const GONE: &str = "<no longer stored>";

/// The content of one span, parsed.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Body {
    value: Map<String, Value>,
}

/// A link, as the content has it.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Link<'b> {
    pub(super) trace: &'b str,
    pub(super) span: &'b str,
    pub(super) role: &'b str,
    pub(super) attributes: Option<&'b Value>,
}

impl Body {
    /// Reads the JSON of `body` or of `open_span`; what is damaged is empty.
    pub(in crate::store) fn parse(data: &str) -> Self {
        match serde_json::from_str(data) {
            Ok(Value::Object(value)) => Self { value },
            _ => Self::default(),
        }
    }

    /// The same with every long text in it.
    pub(in crate::store) fn expanded(data: &str, texts: &mut Texts<'_>) -> Result<Self, Trouble> {
        let mut body = Self::parse(data);
        for value in body.value.values_mut() {
            texts.expand(value)?;
        }
        Ok(body)
    }

    /// The attributes.
    pub(in crate::store) fn attributes(&self) -> Option<&Map<String, Value>> {
        self.value.get("attributes")?.as_object()
    }

    /// An attribute.
    pub(in crate::store) fn attribute(&self, key: &str) -> Option<&Value> {
        self.attributes()?.get(key)
    }

    /// An attribute that is text and not empty.
    pub(in crate::store) fn text(&self, key: &str) -> Option<&str> {
        self.attribute(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// W3C tracestate; empty when there is none.
    pub(in crate::store) fn state(&self) -> &str {
        self.value.get("state").and_then(Value::as_str).unwrap_or_default()
    }

    /// The events.
    pub(in crate::store) fn events(&self) -> impl Iterator<Item = &Value> {
        self.value.get("events").and_then(Value::as_array).into_iter().flatten()
    }

    /// The links.
    pub(in crate::store) fn links(&self) -> impl Iterator<Item = Link<'_>> {
        let links = self.value.get("links").and_then(Value::as_array).into_iter().flatten();
        links.map(|link| {
            let text = |key| link.get(key).and_then(Value::as_str).unwrap_or_default();
            Link { trace: text("trace"), span: text("span"), role: text("role"), attributes: link.get("attributes") }
        })
    }
}

/// The long texts of a store, each read once for one answer.
pub(in crate::store) struct Texts<'c> {
    connection: &'c Connection,
    read: HashMap<i64, Option<String>>,
    /// Bytes of text that have been put back.
    pub(in crate::store) bytes: usize,
}

impl<'c> Texts<'c> {
    pub(in crate::store) fn new(connection: &'c Connection) -> Self {
        Self { connection, read: HashMap::new(), bytes: 0 }
    }

    /// Puts long texts back. The parser has bounded the depth.
    pub(in crate::store) fn expand(&mut self, value: &mut Value) -> Result<(), Trouble> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.expand(item)),
            Value::Object(map) => {
                let stands_for = |key: &str| map.len() == 1 && map.contains_key(key);
                if stands_for("$map") {
                    let mut inner = map.remove("$map").unwrap_or_default();
                    // Its first key looks like one of ours and is the user's.
                    if let Value::Object(members) = &mut inner {
                        members.values_mut().try_for_each(|member| self.expand(member))?;
                    }
                    *value = inner;
                } else if stands_for("$text") {
                    *value = Value::String(self.join(map.get("$text"), "")?);
                } else if stands_for("$list") {
                    let inner = self.join(map.get("$list"), ",")?;
                    *value = Value::String(["[", &inner, "]"].concat());
                } else {
                    map.values_mut().try_for_each(|member| self.expand(member))?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn join(&mut self, pieces: Option<&Value>, between: &str) -> Result<String, Trouble> {
        let mut text = String::new();
        for (index, piece) in pieces.and_then(Value::as_array).into_iter().flatten().enumerate() {
            if index > 0 {
                text.push_str(between);
            }
            match piece {
                Value::String(piece) => text.push_str(piece),
                // A message, and the end that it has here.
                Value::Array(parts) => {
                    let whole = self.blob(parts.first().and_then(Value::as_i64).unwrap_or(-1))?;
                    match whole.and_then(|whole| whole.strip_suffix('}')) {
                        Some(begin) => {
                            text.push_str(begin);
                            text.push_str(parts.get(1).and_then(Value::as_str).unwrap_or("}"));
                        }
                        None => crate::json::write_str(GONE, &mut text),
                    }
                }
                number => match self.blob(number.as_i64().unwrap_or(-1))? {
                    Some(piece) => text.push_str(piece),
                    // A list stays JSON.
                    None if between == "," => crate::json::write_str(GONE, &mut text),
                    None => text.push_str(GONE),
                },
            }
        }
        self.bytes = self.bytes.saturating_add(text.len());
        Ok(text)
    }

    /// One long text.
    pub(in crate::store) fn blob(&mut self, id: i64) -> Result<Option<&str>, Trouble> {
        if !self.read.contains_key(&id) {
            let mut statement = self.connection.prepare_cached("SELECT data FROM blob WHERE id = ?1")?;
            let text = statement.query_row(params![id], |row| row.get(0)).optional()?;
            self.read.insert(id, text);
        }
        Ok(self.read.get(&id).and_then(Option::as_deref))
    }
}
