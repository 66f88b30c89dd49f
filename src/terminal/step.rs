//! One step of a trace, as little of it as a line of text needs, and the sum over a trace.

use crate::finished::{SpanView, Value};
use crate::ids::{SpanId, TraceId};
use crate::keys::names;
use crate::kind::{Kind, Outcome};
use crate::terminal::text::first_line;

/// Characters kept of a name.
pub(crate) const NAME: usize = 120;
/// Characters kept of a model's name, and of a session's.
pub(crate) const LABEL: usize = 80;
/// Characters kept of an error's message.
pub(crate) const MESSAGE: usize = 200;

/// Whether a step has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It has.
    #[default]
    Ended,
    /// It has not, and its process lives.
    Running,
    /// It has not, and its process is gone.
    Lost,
}

/// A step, ended or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The span.
    pub id: SpanId,
    /// The span above it.
    pub parent: Option<SpanId>,
    /// What it is.
    pub kind: Kind,
    /// Whether it has ended.
    pub stage: Stage,
    /// How it ended; [`Outcome::Ok`] as long as it has not.
    pub outcome: Outcome,
    /// Start, nanoseconds since the Unix epoch.
    pub start: u64,
    /// End, nanoseconds since the Unix epoch.
    pub end: u64,
    /// What it is called, without the operation that the kind says already.
    pub name: Box<str>,
    /// The model that answered.
    pub model: Option<Box<str>>,
    /// What went wrong, one line.
    pub error: Option<Box<str>>,
    /// Tokens in and out, together.
    pub tokens: Option<u64>,
    /// USD.
    pub cost: Option<f64>,
}

impl Step {
    /// The step behind a finished span, and the session it belongs to.
    #[must_use]
    pub fn from_span(span: &SpanView<'_>) -> (Self, Option<Box<str>>) {
        let head = span.head();
        let mut facts = Facts::default();
        for (key, value) in span.attributes() {
            facts.read(key, value);
        }
        let error = (head.outcome == Outcome::Error).then(|| {
            let message = first_line(span.status_message(), MESSAGE);
            let text = if message.is_empty() { facts.error_type.unwrap_or("error") } else { &message };
            Box::from(first_line(text, MESSAGE))
        });
        let model = facts.response_model.or(facts.request_model).map(|model| Box::from(first_line(model, LABEL)));
        let tokens = match (facts.input_tokens, facts.output_tokens) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        };
        let step = Self {
            id: head.span_id,
            parent: head.parent_id,
            kind: head.kind,
            stage: Stage::Ended,
            outcome: head.outcome,
            start: head.start_unix_nano,
            end: head.end_unix_nano.max(head.start_unix_nano),
            name: Box::from(first_line(without_operation(head.kind, span.name()), NAME)),
            model,
            error,
            tokens,
            cost: facts.cost,
        };
        let session = facts.session.or(facts.conversation);
        (step, session.map(|session| Box::from(first_line(session, LABEL))))
    }

    /// Bytes of memory that the step takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        size_of::<Self>() + self.name.len() + text(&self.model) + text(&self.error)
    }
}

/// Attributes of interest.
#[derive(Debug, Default)]
struct Facts<'a> {
    request_model: Option<&'a str>,
    response_model: Option<&'a str>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cost: Option<f64>,
    error_type: Option<&'a str>,
    session: Option<&'a str>,
    conversation: Option<&'a str>,
}

impl<'a> Facts<'a> {
    fn read(&mut self, key: &str, value: Value<'a>) {
        let text = || match value {
            Value::Str(text) if !text.is_empty() => Some(text),
            _ => None,
        };
        let count = || match value {
            Value::Int(number) => u64::try_from(number).ok(),
            _ => None,
        };
        match key {
            "gen_ai.request.model" => self.request_model = text(),
            "gen_ai.response.model" => self.response_model = text(),
            "gen_ai.usage.input_tokens" => self.input_tokens = count(),
            "gen_ai.usage.output_tokens" => self.output_tokens = count(),
            // The first is what our own core writes, the second what OpenInference does.
            "gen_ai.usage.cost" | "llm.cost.total" => {
                self.cost = match value {
                    Value::Float(usd) if usd.is_finite() => Some(usd),
                    #[expect(clippy::cast_precision_loss, reason = "nobody spends 2^53 dollars")]
                    Value::Int(usd) => Some(usd as f64),
                    _ => self.cost,
                }
            }
            names::ERROR_TYPE => self.error_type = text(),
            names::SESSION_ID => self.session = text(),
            names::CONVERSATION_ID => self.conversation = text(),
            _ => {}
        }
    }
}

/// `chat gpt-4o` is the name on the wire of a generation without a name of its own (`GenAI` semantic conventions, spans).
/// Beside the glyph of the kind the operation says nothing new.
pub(crate) fn without_operation(kind: Kind, name: &str) -> &str {
    kind.operation()
        .and_then(|operation| name.strip_prefix(operation)?.strip_prefix(' '))
        .filter(|rest| !rest.trim().is_empty())
        .unwrap_or(name)
}

/// How a trace stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its root has ended so.
    Ended(Outcome),
    /// Its root has not been seen.
    Unfinished,
    /// Its root has not ended.
    Running,
    /// Its root has not ended, and its process is gone.
    Lost,
}

/// What one line says about a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The trace.
    pub trace_id: TraceId,
    /// The root's name.
    pub name: Box<str>,
    /// How it stands.
    pub state: State,
    /// Steps that failed of themselves and not because a step below them did.
    pub errors: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// USD; `None` when no step says.
    pub cost: Option<f64>,
    /// Tokens in and out; `None` when no step says.
    pub tokens: Option<u64>,
    /// Spans.
    pub spans: u64,
    /// Agents by name.
    pub agents: u64,
    /// The session.
    pub session: Option<Box<str>>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::finished::OwnedValue;
    use crate::sinks::Destination;
    use crate::sinks::testing::{Made, delivery, ledger, span};

    fn step(made: Made) -> (Step, Option<Box<str>>) {
        let delivery = delivery(&[made], &Arc::new(Destination::new("console", 0)), ledger());
        let found = Step::from_span(&delivery.spans().next().unwrap());
        delivery.delivered();
        found
    }

    #[test]
    fn what_a_line_needs_is_read_from_the_span() {
        let made = span(2, 1, "chat gpt-4o", 5, 9)
            .kind(Kind::Generation)
            .text("gen_ai.request.model", "gpt-4o")
            .text("gen_ai.response.model", "gpt-4o-2024-08-06")
            .with("gen_ai.usage.input_tokens", OwnedValue::Int(400))
            .with("gen_ai.usage.output_tokens", OwnedValue::Int(108))
            .with("gen_ai.usage.cost", OwnedValue::Float(0.002))
            .text("gen_ai.conversation.id", "c")
            .text("session.id", "sess-demo");
        let (step, session) = step(made);
        assert_eq!((&*step.name, step.model.as_deref()), ("gpt-4o", Some("gpt-4o-2024-08-06")));
        assert_eq!((step.tokens, step.cost, step.end - step.start), (Some(508), Some(0.002), 4_000_000));
        assert_eq!((step.parent, step.error), (Some(SpanId::from_u64(1)), None));
        assert_eq!(session.as_deref(), Some("sess-demo"));
    }

    #[test]
    fn strange_values_are_passed_over() {
        let made = span(1, 0, "execute_tool ", 5, 5)
            .kind(Kind::Tool)
            .text("gen_ai.usage.input_tokens", "many")
            .with("gen_ai.usage.output_tokens", OwnedValue::Int(-5))
            .with("gen_ai.usage.cost", OwnedValue::Float(f64::NAN))
            .with("session.id", OwnedValue::Int(1));
        let (step, session) = step(made);
        assert_eq!((step.tokens, step.cost, session), (None, None, None));
        assert_eq!(&*step.name, "execute_tool");
    }

    #[test]
    fn an_error_always_has_a_word() {
        assert_eq!(step(span(1, 0, "x", 0, 1).failed("\n boom\nat")).0.error.as_deref(), Some("boom..."));
        let typed = span(1, 0, "x", 0, 1).failed("").text("error.type", "TimeoutError");
        assert_eq!(step(typed).0.error.as_deref(), Some("TimeoutError"));
        assert_eq!(step(span(1, 0, "x", 0, 1).failed("")).0.error.as_deref(), Some("error"));
    }

    #[test]
    fn long_texts_are_cut_and_counted() {
        let (step, _) = step(span(1, 0, &"n".repeat(100_000), 0, 1).failed(&"m".repeat(100_000)));
        assert!(step.bytes() < 600 && step.name.ends_with("..."), "{}", step.bytes());
    }
}
