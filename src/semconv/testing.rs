//! Values for the tests of this folder: JSON stands for what a caller hands over, `{"$": "Class", ...}` for an object
//! of that class, `{"$opaque": "Class"}` for one of which only the class is known, `{"$bytes": [1, 2]}` for bytes.
//! Attributes come back as JSON.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::resolve::attributes::{AttributeLimits, AttributeSet};
use crate::semconv::{Payloads, describe};
use crate::tape::{Cut, Reader, Tape, Text, Token, Width};

/// `value` as a tape has it.
pub(super) fn tape(value: &Value) -> Vec<u8> {
    let mut tape = Tape::default();
    write(value, &mut tape);
    tape.into_bytes()
}

fn write(value: &Value, tape: &mut Tape) {
    match value {
        Value::Null => tape.null(),
        Value::Bool(value) => tape.bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => tape.int(value),
            None => tape.float(number.as_f64().unwrap()),
        },
        // Half of the texts as Python keeps ASCII.
        Value::String(text) if text.is_ascii() && text.len() % 2 == 0 => {
            tape.text(Text { bytes: text.as_bytes(), width: Width::Latin1 });
        }
        Value::String(text) => tape.str(text),
        Value::Array(items) => {
            tape.list();
            for item in items {
                write(item, tape);
            }
            tape.end();
        }
        Value::Object(pairs) if pairs.contains_key("$bytes") => {
            let bytes: Vec<u8> = serde_json::from_value(pairs["$bytes"].clone()).unwrap();
            tape.bytes(&bytes);
        }
        Value::Object(pairs) if pairs.contains_key("$opaque") => {
            tape.opaque(Text::utf8(pairs["$opaque"].as_str().unwrap()));
        }
        Value::Object(pairs) => {
            match pairs.get("$").and_then(Value::as_str) {
                Some(class) => tape.object(Text::utf8(class)),
                None => tape.map(),
            }
            for (key, value) in pairs.iter().filter(|(key, _)| *key != "$") {
                tape.str(key);
                write(value, tape);
            }
            tape.end();
        }
    }
}

/// What a span carries: its name under `name`, its attributes under their keys. Text that is JSON is given parsed.
pub(super) fn described(kind: Kind, payloads: &Payloads<'_>) -> BTreeMap<String, Value> {
    described_under(kind, payloads, AttributeSet::default())
}

/// The same with attributes set before, or under limits.
pub(super) fn described_under(kind: Kind, payloads: &Payloads<'_>, mut set: AttributeSet) -> BTreeMap<String, Value> {
    let name = describe(kind, payloads, &mut set);
    let mut found = attributes(&set);
    found.insert("name".to_owned(), json!(name));
    found
}

/// Attributes by key. Panics where one is no value of an attribute, or a key comes twice.
pub(super) fn attributes(set: &AttributeSet) -> BTreeMap<String, Value> {
    let mut tape = Tape::default();
    set.write_into(&mut tape);
    let mut reader = Reader::new(tape.as_bytes());
    let mut found = BTreeMap::new();
    while let Some(key) = reader.next_token() {
        let Token::Text(key) = key else { panic!("a key that is no text") };
        let value = attribute(&mut reader, &key.to_str());
        assert!(found.insert(key.to_str().into_owned(), value).is_none(), "twice: {}", key.to_str());
    }
    found
}

/// Attributes whose text is JSON always.
pub(super) const JSON_KEYS: [&str; 6] = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.retrieval.documents",
    "ironspan.request.params",
];

fn attribute(reader: &mut Reader<'_>, key: &str) -> Value {
    match reader.next_token().unwrap() {
        Token::Bool(value) => json!(value),
        Token::Int(value) => json!(value),
        Token::Float(value) => json!(value),
        Token::Null => Value::Null,
        Token::Bytes(bytes) => json!(bytes),
        Token::Text(text) => {
            let text = text.to_str();
            if JSON_KEYS.contains(&key) {
                return serde_json::from_str(&text).unwrap_or_else(|error| panic!("{key}: {error}: {text}"));
            }
            json!(text)
        }
        Token::List => {
            let mut items = Vec::new();
            loop {
                match reader.next_token().unwrap() {
                    Token::End => return Value::Array(items),
                    Token::Text(text) => items.push(json!(text.to_str())),
                    Token::Int(value) => items.push(json!(value)),
                    Token::Float(value) => items.push(json!(value)),
                    Token::Bool(value) => items.push(json!(value)),
                    other => panic!("{other:?} in a list of {key}"),
                }
            }
        }
        other => panic!("{other:?} under {key}"),
    }
}

/// A set under a limit on the length of values.
pub(super) fn limited(value_length: usize) -> AttributeSet {
    AttributeSet::new(AttributeLimits { value_length: Some(value_length), ..AttributeLimits::default() })
}

/// Keys and words that the recognisers look for, so that random values come near to what they know.
const WORDS: &[&str] = &[
    "role",
    "type",
    "content",
    "parts",
    "user",
    "assistant",
    "ai",
    "human",
    "tool",
    "system",
    "text",
    "tool_calls",
    "id",
    "function",
    "name",
    "arguments",
    "args",
    "input",
    "image_url",
    "url",
    "data:image/png;base64,AAAA",
    "source",
    "data",
    "messages",
    "generations",
    "message",
    "choices",
    "candidates",
    "output",
    "usage",
    "usage_metadata",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "total_tokens",
    "model",
    "blocks",
    "block_type",
    "thinking",
    "tool_use",
    "tool_result",
    "page_content",
    "metadata",
    "score",
    "node",
    "temperature",
    "api_key",
    "stop",
    "{\"a\":[1]}",
    "kwargs",
    "lc",
    "additional_kwargs",
    "response_metadata",
    "finish_reason",
    "reasoning",
    "file",
    "delta",
    "index",
    "AIMessageChunk",
    "ChatResponse",
    "chat.completion.chunk",
    "object",
    "tool_call_chunks",
    "content_block_delta",
    "message_start",
    "response.completed",
    "response",
    "contentBlockDelta",
    "done",
    "system_instruction",
    "generation_config",
    "prompt",
    "variables",
];

/// Well-formed values of any shape.
pub(super) fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let word = || prop::sample::select(WORDS);
    let leaf = prop_oneof![
        4 => word().prop_map(|word| one(|tape| tape.str(word))),
        1 => any::<String>().prop_map(|text| one(|tape| tape.str(&text))),
        1 => any::<Vec<u8>>().prop_map(|bytes| one(|tape| tape.text(Text { bytes: &bytes, width: Width::Ucs2 }))),
        1 => any::<Vec<u8>>().prop_map(|bytes| one(|tape| tape.bytes(&bytes))),
        2 => any::<i64>().prop_map(|value| one(|tape| tape.int(value))),
        1 => any::<f64>().prop_map(|value| one(|tape| tape.float(value))),
        1 => any::<bool>().prop_map(|value| one(|tape| tape.bool(value))),
        1 => Just(one(Tape::null)),
        1 => word().prop_map(|class| one(|tape| tape.opaque(Text::utf8(class)))),
        1 => Just(one(|tape| tape.cut(Cut::Nodes))),
        1 => "[0-9]{1,30}".prop_map(|digits| one(|tape| tape.big_int(&digits))),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let pairs = || prop::collection::vec((word(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| one(|tape| {
                tape.list();
                for item in &items {
                    tape.extend(item);
                }
                tape.end();
            })),
            pairs().prop_map(|pairs| one(|tape| {
                tape.map();
                write_pairs(&pairs, tape);
            })),
            (word(), pairs()).prop_map(|(class, pairs)| one(|tape| {
                tape.object(Text::utf8(class));
                write_pairs(&pairs, tape);
            })),
        ]
    })
}

fn one(write: impl FnOnce(&mut Tape)) -> Vec<u8> {
    let mut tape = Tape::default();
    write(&mut tape);
    tape.into_bytes()
}

fn write_pairs(pairs: &[(&str, Vec<u8>)], tape: &mut Tape) {
    for (key, value) in pairs {
        tape.str(key);
        tape.extend(value);
    }
    tape.end();
}
