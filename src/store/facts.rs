//! What the store keeps of a span in columns, read from its attributes.
//!
//! Our own core writes the GenAI names; beside them stand the names that people set by hand, and those of OpenInference
//! for what the GenAI conventions have no name for.

use super::tokens::Tokens;
use crate::finished::{SpanView, Value};
use crate::keys::names;
use crate::kind::Kind;
use crate::terminal::text::first_line;

/// Characters kept of names, models and the like.
const LABEL: usize = 200;
/// Characters kept of an error's message.
const MESSAGE: usize = 300;
/// Characters kept of what the root was given and returned: as many as a line of a list shows.
const PREVIEW: usize = 200;

/// A span's columns, borrowed from it.
#[derive(Debug, Default)]
pub struct Facts<'a> {
    request_model: &'a str,
    response_model: &'a str,
    /// Who serves the model.
    pub provider: Option<&'a str>,
    /// Token counts.
    pub tokens: Tokens,
    /// USD.
    pub cost: Option<f64>,
    /// Class of the error.
    pub error_type: Option<&'a str>,
    session: Option<&'a str>,
    conversation: Option<&'a str>,
    /// The user whom the run serves.
    pub user: Option<&'a str>,
    /// Nanoseconds from the start to the first chunk.
    pub first_chunk: Option<i64>,
    /// Tags.
    pub tags: Vec<&'a str>,
    agent_name: Option<&'a str>,
    input: Side<'a>,
    output: Side<'a>,
}

/// Where a preview can come from, the best last.
#[derive(Debug, Default)]
struct Side<'a> {
    messages: Option<&'a str>,
    value: Option<&'a str>,
}

impl<'a> Facts<'a> {
    /// Reads a span.
    #[must_use]
    pub fn read(span: &SpanView<'a>) -> Self {
        let mut facts = Self::default();
        for (key, value) in span.attributes() {
            facts.note(key, value);
        }
        facts
    }

    fn note(&mut self, key: &str, value: Value<'a>) {
        let text = || match value {
            Value::Str(text) if !text.is_empty() => Some(text),
            _ => None,
        };
        let count = || match value {
            Value::Int(number) => Some(number).filter(|&number| number >= 0),
            _ => None,
        };
        match key {
            "gen_ai.request.model" => self.request_model = text().unwrap_or_default(),
            "gen_ai.response.model" => self.response_model = text().unwrap_or_default(),
            "gen_ai.provider.name" => self.provider = text(),
            "gen_ai.agent.name" => self.agent_name = text(),
            "gen_ai.usage.input_tokens" => self.tokens.input = count(),
            "gen_ai.usage.output_tokens" => self.tokens.output = count(),
            "gen_ai.usage.cache_read.input_tokens" => self.tokens.cached = count(),
            "gen_ai.usage.reasoning.output_tokens" => self.tokens.reasoning = count(),
            "gen_ai.usage.cost" => self.cost = money(value),
            "llm.cost.total" => self.cost = self.cost.or_else(|| money(value)),
            "gen_ai.response.time_to_first_chunk" => self.first_chunk = nanoseconds(value),
            "gen_ai.input.messages" => self.input.messages = text(),
            "gen_ai.output.messages" => self.output.messages = text(),
            "input.value" | "gen_ai.tool.call.arguments" | "gen_ai.retrieval.query.text" => self.input.value = text(),
            "output.value" | "gen_ai.tool.call.result" => self.output.value = text(),
            names::ERROR_TYPE => self.error_type = text(),
            names::SESSION_ID => self.session = text(),
            names::CONVERSATION_ID => self.conversation = text(),
            names::USER_ID => self.user = text(),
            names::TAGS => {
                if let Value::List(items) = value {
                    self.tags =
                        items.filter_map(|item| if let Value::Str(tag) = item { Some(tag) } else { None }).collect();
                }
            }
            _ => {}
        }
    }

    /// The model that answered, or the one that was asked for.
    #[must_use]
    pub fn model(&self) -> String {
        first_line(if self.response_model.is_empty() { self.request_model } else { self.response_model }, LABEL)
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> Option<String> {
        self.session.or(self.conversation).map(|session| first_line(session, LABEL))
    }

    /// The agent that the span was done for: by its place under an agent, or by its own word.
    #[must_use]
    pub fn agent(&self, span: &SpanView<'a>) -> String {
        let by_place = span.agent();
        first_line(if by_place.is_empty() { self.agent_name.unwrap_or_default() } else { by_place }, LABEL)
    }

    /// The beginning of what the step was given.
    #[must_use]
    pub fn input(&self) -> Option<String> {
        self.input.preview(false)
    }

    /// The beginning of what the step returned.
    #[must_use]
    pub fn output(&self) -> Option<String> {
        self.output.preview(true)
    }
}

impl Side<'_> {
    fn preview(&self, last: bool) -> Option<String> {
        let said = self.value.or(self.messages)?;
        let text = if self.value.is_none() { spoken(said, last) } else { None };
        Some(first_line(text.as_deref().unwrap_or(said), PREVIEW))
    }
}

/// What was said in a list of messages: by the user first, or by anybody last.
fn spoken(messages: &str, last: bool) -> Option<String> {
    let parsed: serde_json::Value = serde_json::from_str(messages).ok()?;
    let messages = parsed.as_array()?;
    let text = |message: &serde_json::Value| {
        message.get("parts")?.as_array()?.iter().find_map(|part| Some(part.get("content")?.as_str()?.to_owned()))
    };
    if last {
        return messages.iter().rev().find_map(text);
    }
    let from_user = messages.iter().filter(|message| message.get("role").is_some_and(|role| role == "user"));
    from_user.rev().find_map(text).or_else(|| messages.iter().find_map(text))
}

fn money(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Float(usd) if usd.is_finite() => Some(usd),
        #[expect(clippy::cast_precision_loss, reason = "nobody spends 2^53 dollars")]
        Value::Int(usd) => Some(usd as f64),
        _ => None,
    }
}

fn nanoseconds(value: Value<'_>) -> Option<i64> {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
        Value::Float(seconds) if (0.0..1e9).contains(&seconds) => Some((seconds * 1e9) as i64),
        Value::Int(seconds) => seconds.checked_mul(1_000_000_000),
        _ => None,
    }
}

/// A span's name as it is kept: without the operation, which the kind says already.
#[must_use]
pub fn name(kind: Kind, name: &str) -> String {
    first_line(crate::terminal::step::without_operation(kind, name), LABEL)
}

/// What went wrong, one line.
#[must_use]
pub fn error(span: &SpanView<'_>, facts: &Facts<'_>) -> String {
    let message = first_line(span.status_message(), MESSAGE);
    if message.is_empty() { facts.error_type.unwrap_or("error").to_owned() } else { message }
}
