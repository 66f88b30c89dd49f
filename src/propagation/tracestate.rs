//! `tracestate` (W3C Trace Context Level 2): the list that tracing systems hand on for each other. Members of others are
//! kept byte for byte and in order; only blanks and empty members between them go. A list with one broken member is
//! dropped as a whole, as the specification asks.

use std::sync::Arc;

use super::syntax::trim_ows;
use super::{Carrier, MAX_HEADER_BYTES};

/// The header name.
pub const HEADER: &str = "tracestate";

/// Members in a list (W3C Trace Context, tracestate limits).
pub const MAX_MEMBERS: usize = 32;

/// Characters that are handed on. The specification asks for 512 at least; many servers refuse requests whose headers
/// pass 8 KiB, and tracing must not be what breaks a request.
pub const MAX_CHARS: usize = 4096;

/// A member above this length goes first when a list must be cut (same section).
const LARGE_MEMBER: usize = 128;

/// A valid list, possibly empty. Cloning counts up a reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceState {
    /// Members joined by commas; `None` when empty.
    text: Option<Arc<str>>,
}

impl TraceState {
    /// Reads a list. `None` when it is broken: longer than [`MAX_HEADER_BYTES`], more than [`MAX_MEMBERS`] members, or one
    /// that is no `key=value` of the allowed characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_HEADER_BYTES {
            return None;
        }
        let mut list: Vec<&str> = Vec::new();
        let members = text.split(',').map(trim_ows).filter(|member| !member.is_empty());
        for (place, member) in members.enumerate() {
            let (key, value) = member.split_once('=')?;
            // The limit counts what was sent, repeated keys included.
            if place >= MAX_MEMBERS || !is_key(key) || !is_value(value) {
                return None;
            }
            // The first of several equal keys stays: writers put the newest to the left.
            if !list.iter().any(|other| key_of(other) == key) {
                list.push(member);
            }
        }
        Some(Self::join(list))
    }

    /// The list in header form; `None` when empty.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The form in which [`crate::context::SpanContext`] keeps it.
    #[must_use]
    pub fn into_text(self) -> Option<Arc<str>> {
        self.text
    }

    /// Keys and values, left (newest) to right.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members().filter_map(|member| member.split_once('='))
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(found, value)| (found == key).then_some(value))
    }

    /// This list with `key` set, at its left end as the specification asks; where that makes 33 members, the right-most
    /// goes. `None`, and nothing is changed, when key or value are not allowed. The key must satisfy the grammars of
    /// both levels, so that receivers of either keep the list.
    #[must_use]
    pub fn insert(&self, key: &str, value: &str) -> Option<Self> {
        if !is_key(key) || !is_level_1_key(key) || !is_value(value) {
            return None;
        }
        let ours = format!("{key}={value}");
        let others = self.members().filter(|member| key_of(member) != key);
        let members = std::iter::once(ours.as_str()).chain(others).take(MAX_MEMBERS).collect();
        Some(Self::join(members))
    }

    fn members(&self) -> impl Iterator<Item = &str> {
        self.text.iter().flat_map(|text| text.split(','))
    }

    /// Joins members, cutting whole ones while the text is too long: from the right, large ones first. The left-most
    /// stays in any case: it is at most 513 characters and may be the one just set.
    fn join(mut members: Vec<&str>) -> Self {
        let mut chars = members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1);
        while chars > MAX_CHARS && members.len() > 1 {
            let large = members.iter().skip(1).rposition(|member| member.len() > LARGE_MEMBER);
            let cut = members.remove(large.map_or(members.len() - 1, |place| place + 1));
            chars -= cut.len() + 1;
        }
        Self { text: (!members.is_empty()).then(|| members.join(",").into()) }
    }
}

/// Reads all lines of the header, in order, as one list. Empty when there is none or it is broken.
pub(super) fn extract(carrier: &dyn Carrier) -> TraceState {
    // Lines only live as long as their callback, hence a joined copy.
    let mut joined = String::new();
    let mut too_long = false;
    carrier.get_all(HEADER, &mut |line| {
        too_long |= joined.len() + line.len() > MAX_HEADER_BYTES;
        if !too_long {
            joined.push_str(line);
            joined.push(',');
        }
    });
    if too_long { TraceState::default() } else { TraceState::parse(&joined).unwrap_or_default() }
}

fn key_of(member: &str) -> &str {
    member.split_once('=').map_or(member, |(key, _)| key)
}

const fn is_key_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/')
}

/// Level 2, section 3.3.2.2.1: one of `a-z0-9`, then up to 255 of those and `_ - * / @`.
fn is_key(key: &str) -> bool {
    key.len() <= 256
        && key.bytes().all(|byte| is_key_byte(byte) || byte == b'@')
        && key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
}

/// Level 1: a key without `@` that starts with a letter, or `tenant@system` with at most 241 and 14 characters. Asked
/// only of keys that satisfy [`is_key`].
fn is_level_1_key(key: &str) -> bool {
    let letter_first = |text: &str| text.starts_with(|first: char| first.is_ascii_lowercase());
    match key.split_once('@') {
        None => letter_first(key),
        Some((tenant, system)) => {
            tenant.len() <= 241 && system.len() <= 14 && letter_first(system) && !system.contains('@')
        }
    }
}

/// 1 to 256 printable ASCII characters but `,` and `=`, the last one not a space.
fn is_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
        && !value.ends_with(' ')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::context::{Baggage, SpanContext};
    use crate::propagation::support::{context, set};

    /// One member per key, each of `length` characters.
    fn members(keys: &str, length: usize) -> Vec<String> {
        keys.chars().map(|key| format!("{key}={}", "v".repeat(length - 2))).collect()
    }

    fn parsed(members: &[String]) -> String {
        TraceState::parse(&members.join(",")).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn a_list_of_4096_characters_is_handed_on() {
        let list = [members("abcdefghijklmno", 256), members("p", 241)].concat();
        assert_eq!(list.join(",").len(), MAX_CHARS);
        assert_eq!(parsed(&list), list.join(","));
    }

    #[test]
    fn a_longer_list_is_cut_from_the_right() {
        let list = members("abcdefghijklmnopqrstuvwxyz", 202);
        assert_eq!(parsed(&list), list[..20].join(","));
    }

    #[test]
    fn members_over_128_characters_are_cut_first() {
        let (left, right) = (members("ab", 128), members("defghijklmnopqrstuvwxyz0123456", 128));
        let list = [left.clone(), members("c", 129), right[..29].to_vec()].concat();
        assert_eq!(parsed(&list), [left, right[..29].to_vec()].concat().join(","));
    }

    #[test]
    fn an_inserted_member_stays_when_the_list_is_cut() {
        let full = TraceState::parse(&members("abcdefghijklmno", 256).join(",")).unwrap();
        let value = "v".repeat(256);
        let ours = full.insert("ironspan", &value).unwrap();
        assert_eq!((ours.get("ironspan"), ours.iter().count()), (Some(value.as_str()), 15));
    }

    #[test]
    fn inserting_refuses_what_receivers_would_refuse() {
        let state = TraceState::parse("b=2").unwrap();
        let (long, exact) = (format!("{}@v", "t".repeat(242)), format!("{}@{}", "t".repeat(241), "v".repeat(14)));
        for (key, value) in [
            ("", "1"),
            ("A", "1"),
            ("1a", "1"),
            ("a@", "1"),
            ("a@1", "1"),
            ("a@b@c", "1"),
            ("a.b", "1"),
            ("a", ""),
            ("a", "x "),
            ("a", "x,y"),
            ("a", "x=y"),
            ("a", "\u{e9}"),
            ("a", "x\n"),
            (&long, "1"),
        ] {
            assert_eq!(state.insert(key, value), None, "{key:?} {value:?}");
        }
        for (key, value) in [("a", " x"), ("1t@v", "1"), (&exact, "1")] {
            assert_eq!(state.insert(key, value).unwrap().get(key), Some(value), "{key:?} {value:?}");
        }
        assert_eq!(TraceState::default().insert("a", "1").unwrap().as_str(), Some("a=1"));
    }

    #[test]
    fn an_invalid_trace_state_in_a_context_is_not_sent() {
        let hostile = SpanContext { trace_state: Some("a=1\r\nx-evil: 1".into()), ..context(1) };
        set(&["tracecontext"]).inject(Some(&hostile), &Baggage::new(), &mut |name, _| {
            assert_eq!(name, "traceparent");
        });
    }
}
