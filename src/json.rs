//! Tape to JSON text (RFC 8259). The text is always valid: what JSON cannot say becomes a string that says it.

use std::borrow::Cow;

use crate::resolve::attributes::shorten;
use crate::tape::{Cut, Reader, Text, Token};

/// Deepest nesting that is written. Common readers stop at 128 levels, and a value may itself lie a few levels deep.
const MAX_DEPTH: u32 = 100;

/// Appends the next value of `reader` as JSON and says whether there was one.
pub fn write_value(reader: &mut Reader<'_>, out: &mut String) -> bool {
    let Some(token) = reader.next_token() else { return false };
    Writer::new(out, None).token(token, reader)
}

/// Appends the next value of `reader` as JSON with every string in it shortened to `limit` characters: the text stays
/// valid JSON of the same shape. Says whether anything was cut, here or by the walker.
pub fn write_limited(reader: &mut Reader<'_>, limit: Option<usize>, out: &mut String) -> bool {
    let mut writer = Writer::new(out, limit);
    match reader.next_token() {
        Some(token) => {
            let before = writer.out.len();
            if !writer.token(token, reader) && writer.out.len() == before {
                writer.out.push_str("null");
            }
        }
        None => writer.out.push_str("null"),
    }
    writer.cut
}

/// The value in `bytes` (one tape value) as JSON text.
#[must_use]
pub fn to_json(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    if !write_value(&mut Reader::new(bytes), &mut out) && out.is_empty() {
        out.push_str("null");
    }
    out
}

/// Writes one JSON text piece by piece: structure by [`Writer::raw`], values under the length limit.
#[derive(Debug)]
pub struct Writer<'o> {
    limit: Option<usize>,
    cut: bool,
    depth: u32,
    out: &'o mut String,
}

impl<'o> Writer<'o> {
    /// A writer that appends to `out` and shortens strings to `limit` characters.
    pub fn new(out: &'o mut String, limit: Option<usize>) -> Self {
        Self { limit, cut: false, depth: 0, out }
    }

    /// Whether anything was shortened or had been cut before.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// What has been written so far, in bytes; see [`Writer::rewind`].
    #[must_use]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes back everything after `position`.
    pub fn rewind(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// Appends JSON as it is: punctuation and keys known to need no escape.
    pub fn raw(&mut self, json: &str) {
        self.out.push_str(json);
    }

    /// Appends a string.
    pub fn str(&mut self, text: &str) {
        let (kept, cut) = shorten(text, self.limit);
        self.cut |= cut;
        write_str(kept, self.out);
    }

    /// Appends a string as it lies on a tape.
    pub fn text(&mut self, text: Text<'_>) {
        self.str(&text.to_str());
    }

    /// Appends a word of a closed set: the limit on content must not make another word of it. A word that is no word at
    /// all is cut where no vocabulary reaches.
    pub fn word(&mut self, word: &str) {
        let (kept, cut) = shorten(word, Some(256));
        self.cut |= cut;
        write_str(kept, self.out);
    }

    /// Appends a key and its colon. Keys are not shortened: two could become one.
    pub fn key(&mut self, key: &str) {
        write_str(key, self.out);
        self.out.push(':');
    }

    /// Appends bytes as a base64 string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let kept = self.limit.map_or(bytes.len(), |limit| (limit / 4 * 3).min(bytes.len()));
        self.cut |= kept < bytes.len();
        write_base64(bytes.get(..kept).unwrap_or(bytes), self.out);
    }

    /// Appends the mark of something left out.
    pub fn cut_mark(&mut self, cut: Cut) {
        self.cut = true;
        write_str(cut.mark(), self.out);
    }

    /// Appends one tape value; `null` where the bytes hold none.
    pub fn value(&mut self, value: &[u8]) {
        let before = self.out.len();
        let mut reader = Reader::new(value);
        let written = reader.next_token().is_some_and(|token| self.token(token, &mut reader));
        if !written && self.out.len() == before {
            self.out.push_str("null");
        }
    }

    /// Appends text that is JSON as the JSON it is, under the limit, and says whether it was; else appends nothing.
    pub fn json_text(&mut self, text: &str) -> bool {
        match crate::json_text::copy(text, self.limit, self.out) {
            Some(cut) => {
                self.cut |= cut;
                true
            }
            None => false,
        }
    }

    fn token(&mut self, token: Token<'_>, reader: &mut Reader<'_>) -> bool {
        match token {
            Token::Null | Token::Key(_) => self.out.push_str("null"),
            Token::Bool(value) => self.out.push_str(if value { "true" } else { "false" }),
            Token::Int(value) => self.out.push_str(itoa::Buffer::new().format(value)),
            Token::Float(value) => write_float(value, self.out),
            Token::Text(text) => self.text(text),
            Token::Bytes(bytes) => self.bytes(bytes),
            Token::BigInt(digits) if is_integer(digits) => self.out.push_str(digits),
            Token::BigInt(digits) => self.str(digits),
            Token::Opaque(name) => self.str(&format!("<{}>", name.to_str())),
            Token::Cut(cut) => self.cut_mark(cut),
            Token::List | Token::Map | Token::Object(_) if self.depth >= MAX_DEPTH => {
                self.cut_mark(Cut::Depth);
                return reader.skip_open(1);
            }
            Token::List => return self.nested(|writer| writer.list(reader)),
            Token::Map | Token::Object(_) => return self.nested(|writer| writer.map(reader)),
            Token::End => return false,
        }
        true
    }

    fn nested(&mut self, write: impl FnOnce(&mut Self) -> bool) -> bool {
        self.depth += 1;
        let complete = write(self);
        self.depth -= 1;
        complete
    }

    fn list(&mut self, reader: &mut Reader<'_>) -> bool {
        self.out.push('[');
        let mut first = true;
        let complete = loop {
            match reader.next_token() {
                None => break false,
                Some(Token::End) => break true,
                Some(token) => {
                    if !first {
                        self.out.push(',');
                    }
                    first = false;
                    if !self.token(token, reader) {
                        break false;
                    }
                }
            }
        };
        self.out.push(']');
        complete
    }

    fn map(&mut self, reader: &mut Reader<'_>) -> bool {
        self.out.push('{');
        let mut first = true;
        let complete = loop {
            let key: Cow<'_, str> = match reader.next_token() {
                None => break false,
                Some(Token::End) => break true,
                Some(Token::Text(key)) => key.to_str(),
                Some(Token::List | Token::Map | Token::Object(_)) => {
                    if !reader.skip_open(1) {
                        break false;
                    }
                    Cow::Borrowed("?")
                }
                Some(_) => Cow::Borrowed("?"),
            };
            if !first {
                self.out.push(',');
            }
            first = false;
            self.key(&key);
            match reader.next_token() {
                Some(token) if token != Token::End => {
                    if !self.token(token, reader) {
                        break false;
                    }
                }
                _ => {
                    self.out.push_str("null");
                    break false;
                }
            }
        };
        self.out.push('}');
        complete
    }
}

/// Whether text is an integer by the grammar of JSON.
fn is_integer(digits: &str) -> bool {
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

/// Appends a double. JSON has no NaN and no infinities: they become the strings that OTLP JSON uses for them.
pub fn write_float(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        // `{:?}` keeps a decimal point or exponent, so that a double stays one on the way back.
        use std::fmt::Write as _;
        let _ = write!(out, "{value:?}");
    }
}

/// Appends text as a JSON string, escaping what the grammar asks for and nothing else.
pub fn write_str(text: &str, out: &mut String) {
    out.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1F => "",
            _ => continue,
        };
        out.push_str(text.get(clean..at).unwrap_or_default());
        clean = at + 1;
        if escape.is_empty() {
            use std::fmt::Write as _;
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(text.get(clean..).unwrap_or_default());
    out.push('"');
}

/// Appends bytes as a base64 JSON string (RFC 4648 section 4, with padding).
pub fn write_base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |group: u32, shift: u32| char::from(*ALPHABET.get((group >> shift & 63) as usize).unwrap_or(&b'='));
    out.push('"');
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        out.push(letter(group, 18));
        out.push(letter(group, 12));
        out.push(if chunk.len() > 1 { letter(group, 6) } else { '=' });
        out.push(if chunk.len() > 2 { letter(group, 0) } else { '=' });
    }
    out.push('"');
}

/// Bytes from base64 of either alphabet (RFC 4648 sections 4 and 5), with or without padding. `None` for anything else.
#[must_use]
pub fn read_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let padding = text.iter().rev().take(2).filter(|&&byte| byte == b'=').count();
    let digits = text.get(..text.len() - padding)?;
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for (place, &digit) in group.iter().enumerate() {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits |= u32::from(value) << (18 - 6 * place);
        }
        let [_, first, second, third] = bits.to_be_bytes();
        let complete = group.len().checked_sub(1).filter(|&count| count > 0)?;
        out.extend([first, second, third].into_iter().take(complete));
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::tape::{Tape, Width};

    fn json(write: impl FnOnce(&mut Tape)) -> String {
        let mut tape = Tape::default();
        write(&mut tape);
        to_json(tape.as_bytes())
    }

    #[test]
    fn structure_scalars_and_text_of_every_width_become_json() {
        let text = json(|tape| {
            tape.map();
            tape.str("a\"\n\u{1}");
            tape.list();
            tape.null();
            tape.bool(true);
            tape.int(-7);
            tape.float(1.0);
            tape.float(f64::NAN);
            tape.big_int("1180591620717411303424");
            tape.bytes(b"\x00\xff\x10\x20");
            tape.end();
            tape.text(Text { bytes: b"caf\xe9", width: Width::Latin1 });
            tape.text(Text { bytes: &[0x3D, 0xD8, 0x41, 0x00], width: Width::Ucs2 });
            tape.str("object");
            tape.object(Text::utf8("m.Point"));
            tape.str("x");
            tape.cut(Cut::Depth);
            tape.end();
            tape.str("opaque");
            tape.opaque(Text::utf8("m.Socket"));
            tape.end();
        });
        let expected = concat!(
            r#"{"a\"\n\u0001":[null,true,-7,1.0,"NaN",1180591620717411303424,"AP8QIA=="],"#,
            "\"café\":\"\u{FFFD}A\",",
            r#""object":{"x":"<cut: too deep>"},"opaque":"<m.Socket>"}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_tape_that_ends_early_is_closed_and_stays_valid() {
        let text = json(|tape| {
            tape.list();
            tape.map();
            tape.str("key");
        });
        assert_eq!(text, r#"[{"key":null}]"#);
        assert_eq!(to_json(&[]), "null");
    }

    #[test]
    fn nesting_deeper_than_readers_follow_is_marked_and_the_rest_stays_in_place() {
        let text = json(|tape| {
            tape.list();
            (0..5000).for_each(|_| tape.list());
            (0..5000).for_each(|_| tape.end());
            tape.int(1);
            tape.end();
        });
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[1], 1);
        assert!(text.contains("<cut: too deep>"));
    }

    #[test]
    fn digits_that_are_no_number_become_a_string_and_a_container_as_key_keeps_its_neighbours() {
        assert_eq!(json(|tape| tape.big_int("007")), "\"007\"");
        let text = json(|tape| {
            tape.map();
            tape.list();
            tape.int(1);
            tape.end();
            tape.int(2);
            tape.str("next");
            tape.int(3);
            tape.end();
        });
        assert_eq!(text, r#"{"?":2,"next":3}"#);
    }

    #[test]
    fn base64_of_either_alphabet_is_read_with_and_without_padding() {
        for (text, bytes) in [
            ("", b"".as_slice()),
            ("Zg==", b"f"),
            ("Zg", b"f"),
            ("Zm8=", b"fo"),
            ("Zm8", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYmE", b"fooba"),
            ("+/+/", b"\xfb\xff\xbf"),
            ("-_-_", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(read_base64(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
        for text in ["Z", "Zm9vY", "Zm9v!", "Zg===", "Z=g=", "é"] {
            assert_eq!(read_base64(text.as_bytes()), None, "{text}");
        }
    }
}
