//! One entry for fuzzers: any bytes as the payloads of a span.

use crate::kind::{Kind, Outcome};
use crate::resolve::attributes::{AttributeLimits, AttributeSet};
use crate::semconv::{Payloads, describe};

/// Describes a span whose payloads are all made of `bytes`: the first says the kind, the second how it ended, the third
/// the limit on values, the rest is every payload's tape. Returns the attributes for checks.
#[must_use]
pub fn describe_bytes(bytes: &[u8]) -> AttributeSet {
    let (head, rest) = bytes.split_at_checked(3).unwrap_or((&[], bytes));
    let head = |at: usize| head.get(at).copied().unwrap_or(0);
    let kind = Kind::ALL.get(usize::from(head(0)) % Kind::ALL.len()).copied().unwrap_or_default();
    let limit = usize::from(head(2));
    let limits = AttributeLimits { value_length: (limit > 0).then_some(limit), ..AttributeLimits::default() };
    let mut set = AttributeSet::new(limits);
    let payloads = Payloads {
        name: String::new(),
        input: Some(rest),
        output: Some(rest),
        messages: Some(rest),
        params: Some(rest),
        tools: Some(rest),
        prompt: Some(rest),
        model: Some(rest),
        provider: Some(rest),
        query: Some(rest),
        source: Some(rest),
        top_k: Some(rest),
        documents: Some(rest),
        arguments: Some(rest),
        call_id: Some(rest),
        description: Some(rest),
        role: Some(rest),
        usage: vec![rest],
        cost: Some(rest),
        finish_reasons: vec![rest],
        first_chunk_seconds: None,
        chunks: None,
        outcome: Outcome::from_byte(head(1)),
    };
    let _ = describe(kind, &payloads, &mut set);
    set
}
