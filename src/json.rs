//! Tape to JSON text (RFC 8259). The text is always valid: what JSON cannot say becomes a string that says it.

use std::borrow::Cow;

use crate::resolve::attributes::shorten;
use crate::tape::{Reader, Text, Token};

/// Appends the next value of `reader` as JSON and says whether there was one.
pub fn write_value(reader: &mut Reader<'_>, out: &mut String) -> bool {
    let Some(token) = reader.next_token() else { return false };
    Writer { limit: None, cut: false, out }.token(token, reader)
}

/// Appends the next value of `reader` as JSON with every string in it shortened to `limit` characters: the text stays
/// valid JSON of the same shape. Says whether anything was cut, here or by the walker.
pub fn write_limited(reader: &mut Reader<'_>, limit: Option<usize>, out: &mut String) -> bool {
    let mut writer = Writer { limit, cut: false, out };
    match reader.next_token() {
        Some(token) => {
            writer.token(token, reader);
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

/// One walk over a value.
struct Writer<'o> {
    limit: Option<usize>,
    cut: bool,
    out: &'o mut String,
}

impl Writer<'_> {
    fn token(&mut self, token: Token<'_>, reader: &mut Reader<'_>) -> bool {
        match token {
            Token::Null | Token::Key(_) => self.out.push_str("null"),
            Token::Bool(value) => self.out.push_str(if value { "true" } else { "false" }),
            Token::Int(value) => self.out.push_str(itoa::Buffer::new().format(value)),
            Token::Float(value) => write_float(value, self.out),
            Token::Text(text) => self.text(text),
            Token::Bytes(bytes) => write_base64(bytes, self.out),
            Token::BigInt(digits) => self.out.push_str(digits),
            Token::Opaque(name) => write_str(&format!("<{}>", name.to_str()), self.out),
            Token::Cut(cut) => {
                self.cut = true;
                write_str(cut.mark(), self.out);
            }
            Token::List => return self.list(reader),
            Token::Map | Token::Object(_) => return self.map(reader),
            Token::End => return false,
        }
        true
    }

    fn text(&mut self, text: Text<'_>) {
        let text = text.to_str();
        let (kept, cut) = shorten(&text, self.limit);
        self.cut |= cut;
        write_str(kept, self.out);
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
                Some(_) => Cow::Borrowed("?"),
            };
            if !first {
                self.out.push(',');
            }
            first = false;
            write_str(&key, self.out);
            self.out.push(':');
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Cut, Tape, Width};

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
}
