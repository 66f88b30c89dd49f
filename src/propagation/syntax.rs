//! Pieces of header grammar that several formats share: blanks, tokens, percent-encoding.

use std::borrow::Cow;

use crate::ids::hex_value;

/// Without the blanks (SP, HTAB) that HTTP allows around header values and list members (OWS, RFC 9110 section 5.6.3).
/// Not `str::trim`, which also takes line breaks and Unicode blanks.
pub(super) fn trim_ows(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// A non-empty HTTP token (RFC 9110 section 5.6.2): what names of headers and of baggage entries consist of.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Undoes percent-encoding. A `%` without two hex digits stays as it is; bytes that are not UTF-8 become U+FFFD (W3C
/// Baggage, section 3.2.1.3).
pub(super) fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if let (b'%', Some((byte, tail))) = (first, hex_byte(tail)) {
            bytes.push(byte);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Cow::Owned(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The byte that two hex digits of any case spell, and what follows them.
fn hex_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    let ([high, low], tail) = text.split_first_chunk()?;
    Some((hex_value(*high, true)? << 4 | hex_value(*low, true)?, tail))
}

/// Appends `text` with every byte percent-encoded that `plain` does not allow; `%` and all beyond ASCII always are.
pub(super) fn percent_encode(text: &str, plain: fn(u8) -> bool, out: &mut String) {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'A' - 10 + nibble });
    for byte in text.bytes() {
        if byte != b'%' && byte.is_ascii() && plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte & 0xf));
        }
    }
}
