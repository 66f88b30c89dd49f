//! A span's content as the one JSON text that `body` holds, with long texts taken out: each is kept once, whoever repeats
//! it. An agent sends its whole history with every call, so a chat of 20 turns keeps 40 messages and not 400.
//!
//! ```text
//! {"attributes": {"k": "short", "long": {"$text": [7]}, "gen_ai.input.messages": {"$list": [7, 8, "{\"role\":..}"]}},
//!  "events": [{"time": "ns", "name": "...", "attributes": {}}],
//!  "links": [{"trace": "...", "span": "...", "role": "...", "attributes": {}}], "state": "tracestate"}
//! ```
//! A number in `$text` and `$list` is a row of `blob`. `$list` stands for a text that holds a JSON array of objects: the
//! pieces joined by commas, in brackets. There `[7, ",..}"]` is row 7 with its last brace replaced by that text: what a
//! model answered comes with a reason why it stopped, and without one in the history of the next call. `$bytes` is
//! base64, `$map` a mapping of the user's that begins with such a key.

use std::fmt::Write as _;

use crate::finished::{Attributes, SpanView, Value};
use crate::json;
use crate::keys::names;

/// A text of more bytes is kept once.
pub const LONG_TEXT: usize = 256;
/// An object in a list of more bytes is kept once: in a list it will come again, one longer, with the next call.
const LONG_PIECE: usize = 64;
/// Deepest nesting that is written; the resolver has cut deeper values already.
const MAX_DEPTH: usize = 100;

/// Keeps long texts, and tells the number of each.
pub trait Blobs {
    /// What can go wrong.
    type Error;

    /// The number of `text`, which is kept from now on.
    ///
    /// # Errors
    ///
    /// It could not be kept.
    fn number(&mut self, text: &str) -> Result<i64, Self::Error>;
}

/// Appends the content of `span` to `out`.
///
/// # Errors
///
/// What `blobs` says.
pub fn write<B: Blobs>(span: &SpanView<'_>, blobs: &mut B, out: &mut String) -> Result<(), B::Error> {
    let mut body = Body { blobs, out };
    body.out.push_str("{\"attributes\":");
    body.map(span.attributes(), 0)?;
    let mut any = false;
    for event in span.events() {
        body.out.push_str(if any { "," } else { ",\"events\":[" });
        any = true;
        body.out.push_str("{\"time\":\"");
        body.out.push_str(itoa::Buffer::new().format(event.time_unix_nano));
        body.out.push_str("\",\"name\":");
        json::write_str(event.name, body.out);
        body.out.push_str(",\"attributes\":");
        body.map(event.attributes, 0)?;
        body.out.push('}');
    }
    if any {
        body.out.push(']');
    }
    any = false;
    for link in span.links() {
        body.out.push_str(if any { "," } else { ",\"links\":[" });
        any = true;
        let role = match link.attributes.get(names::LINK_ROLE) {
            Some(Value::Str(role)) => role,
            _ => "",
        };
        let _ = write!(body.out, "{{\"trace\":\"{}\",\"span\":\"{}\",\"role\":", link.trace_id, link.span_id);
        json::write_str(role, body.out);
        body.out.push_str(",\"attributes\":");
        body.map(link.attributes, 0)?;
        body.out.push('}');
    }
    if any {
        body.out.push(']');
    }
    if !span.trace_state().is_empty() {
        body.out.push_str(",\"state\":");
        json::write_str(span.trace_state(), body.out);
    }
    body.out.push('}');
    Ok(())
}

struct Body<'b, 'o, B> {
    blobs: &'b mut B,
    out: &'o mut String,
}

impl<B: Blobs> Body<'_, '_, B> {
    fn map(&mut self, pairs: Attributes<'_>, depth: usize) -> Result<(), B::Error> {
        self.out.push('{');
        let mut first = true;
        for (key, value) in pairs {
            if !first {
                self.out.push(',');
            }
            first = false;
            json::write_str(key, self.out);
            self.out.push(':');
            self.value(value, depth + 1)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn value(&mut self, value: Value<'_>, depth: usize) -> Result<(), B::Error> {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if value { "true" } else { "false" }),
            Value::Int(value) => self.out.push_str(itoa::Buffer::new().format(value)),
            Value::Float(value) => json::write_float(value, self.out),
            Value::Str(text) if text.len() > LONG_TEXT => self.long(text)?,
            Value::Str(text) => json::write_str(text, self.out),
            Value::Bytes(bytes) => {
                self.out.push_str("{\"$bytes\":");
                json::write_base64(bytes, self.out);
                self.out.push('}');
            }
            Value::List(_) | Value::Map(_) if depth >= MAX_DEPTH => self.out.push_str("null"),
            Value::List(items) => {
                self.out.push('[');
                for (at, item) in items.enumerate() {
                    if at > 0 {
                        self.out.push(',');
                    }
                    self.value(item, depth + 1)?;
                }
                self.out.push(']');
            }
            Value::Map(mut pairs) => {
                let ahead = pairs;
                if pairs.next().is_some_and(|(key, _)| key.starts_with('$')) {
                    self.out.push_str("{\"$map\":");
                    self.map(ahead, depth + 1)?;
                    self.out.push('}');
                } else {
                    self.map(ahead, depth)?;
                }
            }
        }
        Ok(())
    }

    fn long(&mut self, text: &str) -> Result<(), B::Error> {
        let Some(pieces) = objects(text) else {
            let number = self.blobs.number(text)?;
            self.out.push_str("{\"$text\":[");
            self.out.push_str(itoa::Buffer::new().format(number));
            self.out.push_str("]}");
            return Ok(());
        };
        self.out.push_str("{\"$list\":[");
        for (at, piece) in pieces.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            if piece.len() <= LONG_PIECE {
                json::write_str(piece, self.out);
            } else if let Some((message, reason)) = without_reason(piece) {
                let number = self.blobs.number(&format!("{message}}}"))?;
                self.out.push('[');
                self.out.push_str(itoa::Buffer::new().format(number));
                self.out.push(',');
                json::write_str(reason, self.out);
                self.out.push(']');
            } else {
                let number = self.blobs.number(piece)?;
                self.out.push_str(itoa::Buffer::new().format(number));
            }
        }
        self.out.push_str("]}");
        Ok(())
    }
}

/// A message without its end, and the end, where that is the reason why the model stopped: one word.
fn without_reason(message: &str) -> Option<(&str, &str)> {
    const REASON: &str = ",\"finish_reason\":\"";
    let word = message.strip_suffix("\"}")?;
    let at = word.rfind(REASON)?;
    let is_word = word.get(at + REASON.len()..)?.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word.then(|| message.split_at(at))
}

/// The objects of a JSON array without space between them; `None` when `text` is anything else. Joined by commas and put
/// in brackets they are `text` again, byte for byte; whether each is valid JSON does not matter here.
fn objects(text: &str) -> Option<Vec<&str>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let mut pieces = Vec::new();
    let (mut begin, mut depth, mut in_string, mut escaped) = (0, 0_usize, false, false);
    for (at, byte) in inner.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'{' | b'[' => {
                if depth == 0 && (byte == b'[' || at != begin) {
                    return None;
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    pieces.push(inner.get(begin..=at)?);
                    // Past the comma that has to follow, or to the end.
                    begin = at + 2;
                }
            }
            // Between two pieces, and nowhere else.
            b',' if depth == 0 && at + 1 == begin => {}
            b'"' if depth > 0 => in_string = true,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    (depth == 0 && !in_string && begin == inner.len() + 1).then_some(pieces)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Kept(Vec<String>);

    impl Blobs for Kept {
        type Error = Infallible;

        fn number(&mut self, text: &str) -> Result<i64, Infallible> {
            let at = self.0.iter().position(|kept| kept == text).unwrap_or_else(|| {
                self.0.push(text.to_owned());
                self.0.len() - 1
            });
            Ok(i64::try_from(at).unwrap())
        }
    }

    fn long(text: &str, kept: &mut Kept) -> String {
        let mut out = String::new();
        Body { blobs: kept, out: &mut out }.long(text).unwrap();
        out
    }

    #[test]
    fn messages_are_kept_once() {
        let message =
            |n: usize| format!(r#"{{"role":"user","parts":[{{"type":"text","content":"{n} {}"}}]}}"#, "x".repeat(99));
        let mut kept = Kept::default();
        for turns in 1..=20 {
            let history: Vec<String> = (0..turns).map(message).collect();
            let numbers: Vec<String> = (0..turns).map(|at| at.to_string()).collect();
            let body = long(&format!("[{}]", history.join(",")), &mut kept);
            assert_eq!(body, format!("{{\"$list\":[{}]}}", numbers.join(",")));
        }
        assert_eq!(kept.0.len(), 20);
        assert_eq!(long(r#"[{"a":1},{}]"#, &mut kept), r#"{"$list":["{\"a\":1}","{}"]}"#);
        assert_eq!(long("plain text", &mut kept), "{\"$text\":[20]}");
        let answer = message(3).replace("]}", "],\"finish_reason\":\"stop\"}");
        assert_eq!(long(&format!("[{answer}]"), &mut kept), r#"{"$list":[[3,",\"finish_reason\":\"stop\"}"]]}"#);
    }

    #[test]
    fn only_arrays_of_objects_are_taken_apart() {
        for text in
            ["", "[", "[]", "[1]", "[{}", "[{},]", "[,{}]", "[{} ,{}]", "[{}{}]", "[[{}]]", "[{}],[{}]", "[\"a\"]"]
        {
            assert_eq!(objects(text), None, "{text}");
        }
        assert_eq!(
            objects(r#"[{"a":"]},{"},{"b":[{"c":"\""}]}]"#).unwrap(),
            [r#"{"a":"]},{"}"#, r#"{"b":[{"c":"\""}]}"#]
        );
    }

    proptest! {
        #[test]
        fn pieces_joined_are_the_text(text in r#"[\[\]{},"a\\ ]{0,24}"#) {
            if let Some(pieces) = objects(&text) {
                prop_assert_eq!(format!("[{}]", pieces.join(",")), text);
            }
        }
    }
}
