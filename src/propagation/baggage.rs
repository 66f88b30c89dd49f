//! `baggage` (W3C Baggage): `key=value;property, ...`, percent-encoded UTF-8. A broken member is skipped and the rest
//! kept. Properties are kept as text and handed on.

use super::syntax::{is_token, percent_decode, percent_encode, trim_ows};
use super::{Carrier, MAX_HEADER_BYTES};
use crate::context::{Baggage, BaggageEntry};

/// The header name.
pub const HEADER: &str = "baggage";

/// Bytes of all members and the commas between them that are read and written. The specification demands this much for
/// up to 64 members.
pub const MAX_BYTES: usize = 8192;

/// Members that are read and written. The first edition of the specification demanded 180, the present one 64; senders
/// built by the first one are still served.
pub const MAX_MEMBERS: usize = 180;

/// Reads the value of a `baggage` header. Members beyond the limits are skipped whole. Of a repeated key the last value
/// counts.
#[must_use]
pub fn parse(text: &str) -> Baggage {
    let mut reader = Reader::default();
    reader.line(text);
    Baggage::from_entries(reader.entries)
}

/// Reads all lines of the header as one list. `None` when no valid entry is found.
pub(super) fn extract(carrier: &dyn Carrier) -> Option<Baggage> {
    let mut reader = Reader::default();
    carrier.get_all(HEADER, &mut |line| reader.line(line));
    (!reader.entries.is_empty()).then(|| Baggage::from_entries(reader.entries))
}

#[derive(Default)]
struct Reader {
    entries: Vec<BaggageEntry>,
    /// Bytes looked at, good or bad.
    scanned: usize,
    /// Bytes of the members taken, with their commas.
    taken: usize,
}

impl Reader {
    fn line(&mut self, line: &str) {
        for member in line.split(',') {
            self.scanned = self.scanned.saturating_add(member.len() + 1);
            if self.scanned > MAX_HEADER_BYTES || self.entries.len() >= MAX_MEMBERS {
                return;
            }
            let member = trim_ows(member);
            let taken = self.taken + usize::from(self.taken > 0) + member.len();
            if taken <= MAX_BYTES
                && let Some(entry) = parse_member(member)
            {
                self.taken = taken;
                self.entries.push(entry);
            }
        }
    }
}

fn parse_member(member: &str) -> Option<BaggageEntry> {
    let (pair, properties) = match member.split_once(';') {
        Some((pair, properties)) => (pair, properties),
        None => (member, ""),
    };
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (trim_ows(key), trim_ows(value));
    if !is_token(key) || !value.bytes().all(is_value_byte) {
        return None;
    }
    Some(BaggageEntry {
        key: key.into(),
        value: percent_decode(value).into(),
        metadata: normalise_properties(properties)?.into(),
    })
}

/// Properties joined by `;` without the blanks around them; empty ones go. `None` when one is broken.
fn normalise_properties(text: &str) -> Option<String> {
    let mut out = String::new();
    for property in text.split(';').map(trim_ows).filter(|property| !property.is_empty()) {
        let (key, value) = match property.split_once('=') {
            Some((key, value)) => (trim_ows(key), Some(trim_ows(value))),
            None => (property, None),
        };
        if !is_token(key) || !value.unwrap_or_default().bytes().all(is_value_byte) {
            return None;
        }
        if !out.is_empty() {
            out.push(';');
        }
        out.push_str(key);
        if let Some(value) = value {
            out.push('=');
            out.push_str(value);
        }
    }
    Some(out)
}

/// What a value may hold as it stands: a baggage-octet (W3C Baggage, section 3.2.1.3). No blank, `"`, `,`, `;`, `\`.
const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// Appends a value in the form that headers take; a space becomes `%20`.
pub(super) fn encode_value(value: &str, out: &mut String) {
    percent_encode(value, is_value_byte, out);
}

/// The header value, and how many entries it could not take: those whose key is no HTTP token and those beyond
/// [`MAX_BYTES`] or [`MAX_MEMBERS`]. Properties that are not of the right form are left off.
#[must_use]
pub fn encode(baggage: &Baggage) -> (String, usize) {
    let mut out = String::new();
    let mut members = 0;
    for entry in baggage {
        let before = out.len();
        // A value too long for the header as it stands need not be encoded to know that.
        if members < MAX_MEMBERS && is_token(&entry.key) && entry.value.len() <= MAX_BYTES {
            if before > 0 {
                out.push(',');
            }
            out.push_str(&entry.key);
            out.push('=');
            encode_value(&entry.value, &mut out);
            if let Some(properties) = normalise_properties(&entry.metadata).filter(|text| !text.is_empty()) {
                out.push(';');
                out.push_str(&properties);
            }
            members += 1;
            if out.len() > MAX_BYTES {
                out.truncate(before);
                members -= 1;
            }
        }
    }
    (out, baggage.len() - members)
}

pub(super) fn inject(baggage: &Baggage, set: &mut dyn FnMut(&str, String)) -> usize {
    if baggage.is_empty() {
        return 0;
    }
    let (value, left_out) = encode(baggage);
    if !value.is_empty() {
        set(HEADER, value);
    }
    left_out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::propagation::Headers;
    use crate::propagation::support::set;

    #[test]
    fn baggage_beyond_the_limits_is_left_out_whole_and_counted() {
        let many = Baggage::from_entries((0..200).map(|i| BaggageEntry {
            key: format!("k{i}").into(),
            value: "v".into(),
            metadata: "".into(),
        }));
        let (text, left_out) = encode(&many);
        assert_eq!((parse(&text).len(), left_out), (180, 20));

        let large = Baggage::new()
            .with("a", &"x".repeat(5000))
            .with("b", &"y".repeat(5000))
            .with("c", "z")
            .with("not a token", "1");
        let (text, left_out) = encode(&large);
        assert_eq!(parse(&text), Baggage::new().with("a", &"x".repeat(5000)).with("c", "z"));
        assert_eq!(left_out, 2);
        let counted = set(&["baggage", "jaeger"]).inject(None, &large, &mut |_, _| {});
        assert_eq!(counted, 2);

        let exact = format!("a={}", "x".repeat(MAX_BYTES - 2));
        assert_eq!(parse(&exact).len(), 1);
        assert_eq!(parse(&format!("{exact}x")).len(), 0);
        assert_eq!(encode(&parse(&exact)), (exact, 0));
    }

    #[test]
    fn reading_ends_at_180_members_and_8192_bytes_with_their_commas() {
        let many = (0..200).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join(",");
        let found = parse(&many);
        assert_eq!((found.len(), found.get("k179"), found.get("k180")), (180, Some("v"), None));

        let (first, second) = (format!("a={}", "x".repeat(4094)), format!("b={}", "x".repeat(4093)));
        assert_eq!(parse(&format!("{first},{second}")).len(), 2);
        assert_eq!(parse(&format!("{first},{second}x")).len(), 1);
    }

    #[test]
    fn junk_is_read_up_to_64_kib_only() {
        let junk = "bad member,".repeat(MAX_HEADER_BYTES / 11 + 1);
        assert_eq!(parse(&format!("{junk}a=1")).len(), 0);
        assert_eq!(parse(&format!("a=1,{junk}")).len(), 1);
    }

    #[test]
    fn baggage_lines_are_one_list() {
        let half = "x".repeat(5000);
        let carrier: Headers =
            [("baggage", format!("a={half}")), ("baggage", format!("b={half}, c=1"))].into_iter().collect();
        let found = set(&["baggage"]).extract(&carrier, None).baggage.unwrap();
        assert_eq!(found, Baggage::new().with("a", &half).with("c", "1"), "the limit holds for the sum");
    }

    #[test]
    fn baggage_properties_are_handed_on_unless_broken() {
        let text = "a=1;p=%41;q,b=2;bad value;r,c=3;;s;";
        let found = parse(text);
        assert_eq!(encode(&found).0, "a=1;p=%41;q,c=3;s");
        let own =
            Baggage::from_entries([BaggageEntry { key: "a".into(), value: "1".into(), metadata: "x\r\ny".into() }]);
        assert_eq!(encode(&own).0, "a=1");
    }
}
