//! Nothing that lies on a tape can break the meaning of a span: any bytes in, valid attributes out.

use proptest::prelude::*;

use crate::kind::{Kind, Outcome};
use crate::semconv::Payloads;
use crate::semconv::fuzz;
use crate::semconv::testing::{any_value, attributes, described_under, limited, tape};
use crate::tape::Tape;

/// Every payload is one of `values`, in turn.
fn payloads(values: &[Vec<u8>], outcome: Outcome) -> Payloads<'_> {
    let mut turn = values.iter().map(Vec::as_slice).cycle();
    let mut next = || turn.next();
    Payloads {
        name: String::new(),
        input: next(),
        output: next(),
        messages: next(),
        params: next(),
        tools: next(),
        prompt: next(),
        model: next(),
        provider: next(),
        query: next(),
        source: next(),
        top_k: next(),
        documents: next(),
        arguments: next(),
        call_id: next(),
        description: next(),
        role: next(),
        usage: next().into_iter().collect(),
        cost: next(),
        finish_reasons: next().into_iter().collect(),
        first_chunk_seconds: Some(0.5),
        chunks: Some(3),
        outcome,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_values_of_any_shape_give_valid_attributes(
        values in prop::collection::vec(any_value(), 1..8), limit in 0..200_usize, failed: bool,
    ) {
        let outcome = if failed { Outcome::Error } else { Outcome::Ok };
        for kind in Kind::ALL {
            described_under(kind, &payloads(&values, outcome), limited(limit));
            let only_output = Payloads { output: values.first().map(Vec::as_slice), outcome, ..Payloads::default() };
            described_under(kind, &only_output, limited(limit));
        }
    }

    #[test]
    fn arbitrary_bytes_give_valid_attributes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        attributes(&fuzz::describe_bytes(&bytes));
        for kind in Kind::ALL {
            described_under(kind, &payloads(std::slice::from_ref(&bytes), Outcome::Ok), limited(20));
        }
    }

    #[test]
    fn arbitrary_tags_give_valid_attributes(bytes in prop::collection::vec(0..19_u8, 0..300)) {
        for kind in Kind::ALL {
            described_under(kind, &payloads(std::slice::from_ref(&bytes), Outcome::Ok), limited(20));
        }
    }
}

#[test]
fn endless_nesting_of_every_container_neither_overflows_nor_breaks_the_text() {
    let nests: [fn(&mut Tape); 4] = [
        Tape::list,
        |tape| {
            tape.map();
            tape.str("messages");
        },
        |tape| {
            tape.map();
            tape.str("message");
        },
        |tape| {
            tape.map();
            tape.str("response_metadata");
        },
    ];
    for nest in nests {
        for closed in [true, false] {
            let mut deep = Tape::default();
            (0..50_000).for_each(|_| nest(&mut deep));
            deep.str("x");
            if closed {
                (0..50_000).for_each(|_| deep.end());
            }
            let values = [deep.into_bytes()];
            for kind in Kind::ALL {
                described_under(kind, &payloads(&values, Outcome::Ok), limited(20));
            }
        }
    }
    // Objects named by objects named by objects.
    let values = [vec![13_u8; 100_000]];
    described_under(Kind::Generation, &payloads(&values, Outcome::Ok), limited(20));
}

#[test]
fn a_limit_on_values_shortens_texts_inside_the_json_and_no_word_of_its_structure() {
    let messages = tape(&serde_json::json!([
        {"role": "assistant", "content": "a long answer", "tool_calls": [
            {"id": "call_123", "function": {"name": "weather", "arguments": "{\"city\": \"Trondheim\"}"}}]},
    ]));
    let payloads = Payloads { messages: Some(&messages), ..Payloads::default() };
    let found = described_under(Kind::Generation, &payloads, limited(3));
    let expected = serde_json::json!([{"role": "assistant", "parts": [
        {"type": "text", "content": "a l"},
        {"type": "tool_call", "id": "cal", "name": "wea", "arguments": {"city": "Tro"}},
    ]}]);
    assert_eq!(found["gen_ai.input.messages"], expected);
}
